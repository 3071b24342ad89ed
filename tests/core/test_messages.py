"""The class that @message makes, and what it refuses to make."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import types
from typing import Any, ClassVar

import pytest

from regrove.node.core.address import Name
from regrove.node.core.errors import DecodeError, Misuse, UnsendableValue
from regrove.node.core.messages import FIXED, check, decode, encode, is_message, message, prepare
from regrove.supervisor.reasons import Normal


@message
class Add:
    amount: int
    note: str = "none"

    limit: ClassVar[int] = 10

    def doubled(self) -> Add:
        return Add(self.amount * 2, self.note)


@message
class Total:
    pass


@message
class Basket:
    items: list[str] = []  # noqa: RUF012 - copied for every value, which is what is tested
    weights: dict[str, int] = {}  # noqa: RUF012


@message(name="a short name")
class Named:
    value: object = None


class Command:
    __slots__ = ()

    def kind(self) -> str:
        return type(self).__name__


@message
class Start(Command):
    speed: float = 1.0

    def kind(self) -> str:
        return "start of " + super().kind()


def test_a_message_is_built_by_position_and_by_keyword_with_defaults() -> None:
    assert (Add(1).amount, Add(1).note) == (1, "none")
    assert Add(amount=2, note="x") == Add(2, "x")
    with pytest.raises(TypeError, match="amount"):
        Add()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Add(1, "x", 3)  # type: ignore[call-arg]


def test_messages_are_equal_and_hashed_by_value_and_class() -> None:
    assert Add(1) == Add(1) != Add(2)
    assert hash(Add(1)) == hash(Add(1))
    assert Total() == Total()
    assert {Add(1): "found"}[Add(1)] == "found"
    others: list[object] = [Total(), (1, "none"), 1]
    assert Add(1) not in others


def test_a_message_matches_by_position() -> None:
    match Add(3, "x"):
        case Add(amount, note):
            assert (amount, note) == (3, "x")


def test_a_message_never_changes() -> None:
    add = Add(1)
    with pytest.raises(AttributeError, match="build a new one"):
        add.amount = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del add.amount
    with pytest.raises(AttributeError):
        add.other = 2  # type: ignore[attr-defined]
    assert not hasattr(add, "__dict__")


def test_repr_names_class_and_fields_even_when_a_value_contains_itself() -> None:
    assert repr(Add(1, "x")) == "Add(amount=1, note='x')"
    inside: list[object] = []
    outer = Named(inside)
    inside.append(outer)
    assert repr(outer) == "Named(value=[...])"


def test_methods_class_variables_and_super_work() -> None:
    assert Add(2).doubled() == Add(4)
    assert Add.limit == 10
    assert Start().kind() == "start of Start"
    assert isinstance(Start(), Command)


def test_a_default_list_or_dict_is_copied_for_every_value() -> None:
    first, second = Basket(), Basket()
    first.items.append("pear")
    first.weights["pear"] = 3
    assert second == Basket([], {}) == Basket()


def test_fields_may_have_any_name_python_allows() -> None:
    cls = define(
        "@message\nclass Odd:\n    self: int\n    cls: str\n    copy: list = []\n    other: int = 1\n"
        "    value: int = 2\n    wire: int = 3\n    depth: int = 4\n    tag: int = 5\n    lower: int = 6\n"
        "    new: int = 7\n    f0: int = 8\n"
    )["Odd"]
    odd = cls(1, cls="x")
    assert odd == cls(self=1, cls="x", copy=[]) != cls(2, "x")
    assert decode(encode(odd)) == odd == prepare(odd)[0]
    assert hash(cls(1, "x", ())) == hash(cls(1, "x", ()))


def test_a_message_can_be_copied_and_pickled() -> None:
    assert pickle.loads(pickle.dumps(Add(5, "x"))) == Add(5, "x")
    assert copy.copy(Add(5)) == copy.deepcopy(Add(5)) == Add(5)


def test_the_wire_name_is_module_and_class_unless_it_is_given() -> None:
    assert f"{__name__}:Add".encode() in encode(Add(1))
    assert b"a short name" in encode(Named())
    assert decode(encode(Named("x"))) == Named("x")


def test_a_class_of_main_is_refused_with_the_mend() -> None:
    with pytest.raises(Misuse, match="move it to a module"):
        message(type("Lost", (), {"__module__": "__main__", "__annotations__": {"x": int}}))


def define(source: str, module: str = "bank") -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": module}
    exec("from __future__ import annotations\nfrom regrove.node.core.messages import message\n" + source, names)
    return names


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("@message\nclass M:\n    tags: set[str]", r"bank:M\.tags is annotated set\[str\].*tuple or a list"),
        ("@message\nclass M:\n    tags: frozenset", "tuple or a list"),
        ("@message\nclass M:\n    data: bytearray", "use bytes"),
        ("import datetime\n@message\nclass M:\n    at: datetime.datetime", "decorate that class"),
        ("from typing import Callable\n@message\nclass M:\n    call: Callable[[], int]", "does not travel"),
        ("from regrove.node.core.handles import Ticket\n@message\nclass M:\n    ticket: Ticket", "does not travel"),
        ("@message\nclass M:\n    tags: list[list[set[int]]]", r"bank:M\.tags"),
        ("@message\nclass M:\n    tags: object = {1}", "has the default"),
        ("@message\nclass M:\n    a: int = 1\n    b: int", "has no default and follows a"),
        ("@message\nclass M:\n    a: int\n    def __init__(self): pass", "defines __init__"),
        ("@message\nclass M:\n    a: int\n@message\nclass N(M):\n    b: int", "final"),
        ("class B:\n    pass\n@message\nclass N(B):\n    b: int", "has state"),
        ("@message\n@message\nclass N:\n    b: int", "decorated twice"),
        ("@message\nclass M:\n    __hidden: int", "two underscores"),
        ("@message(name='')\nclass N:\n    b: int", "1 to 200 characters"),
        ("@message(name=3)\nclass N:\n    b: int", "1 to 200 characters"),
        ("message(3)", "decorates a class"),
    ],
)
def test_what_cannot_be_a_message_is_refused_where_it_is_written(source: str, text: str) -> None:
    with pytest.raises(Misuse, match=text):
        define(source)


def test_two_classes_cannot_share_a_wire_name() -> None:
    define("@message(name='shared')\nclass First:\n    a: int = 0", "one")
    with pytest.raises(Misuse, match=r"'shared' is taken by one\.First.*two\.Second"):
        define("@message(name='shared')\nclass Second:\n    a: int = 0", "two")


def test_a_class_defined_again_replaces_the_old_one() -> None:
    old = define("@message\nclass Again:\n    a: int = 0")["Again"]
    new = define("@message\nclass Again:\n    a: int = 0\n    b: int = 7")["Again"]
    assert decode(encode(new(1))) == new(1, 7)
    assert old not in FIXED
    with pytest.raises(UnsendableValue, match="defined again"):
        encode(old(1))


def test_a_message_may_name_itself_and_later_classes() -> None:
    names = define(
        "@message\nclass Tree:\n    left: Tree | None = None\n    leaf: Leaf | None = None\n"
        "@message\nclass Leaf:\n    parent: Tree | None = None\n    value: int = 0\n"
    )
    tree = names["Tree"](names["Tree"](), names["Leaf"](None, 3))
    assert decode(encode(tree)) == tree


@pytest.mark.parametrize("first", ["encode", "prepare", "decode", "check"])
def test_a_class_that_names_a_later_one_is_completed_by_whatever_comes_first(first: str) -> None:
    names = define("@message\nclass Early:\n    held: Late\n@message\nclass Late:\n    value: int = 0")
    early, late = names["Early"], names["Late"]
    match first:
        case "encode":
            assert encode(early(late(1))) == b"\x92\xaabank:Early\x92\xa9bank:Late\x01"
        case "prepare":
            assert prepare(early(late(1))) == (early(late(1)), 64 + 64 + 8)
        case "decode":
            assert decode(b"\x92\xaabank:Early\x92\xa9bank:Late\x01") == early(late(1))
        case _:
            with pytest.raises(Misuse, match=r"bank:Early\.held is annotated Late and holds int 5"):
                check(early(5))
    assert FIXED[early] == 64 + 64 + 8


def test_an_annotation_that_never_resolves_is_named_at_the_first_use() -> None:
    cls = define("@message\nclass Adrift:\n    at: Nowhere")["Adrift"]
    for use in (encode, prepare, check):
        with pytest.raises(Misuse, match=r"bank:Adrift.*Nowhere.*TYPE_CHECKING"):
            use(cls(1))
    with pytest.raises(DecodeError, match=r"Nowhere"):
        decode(b"\x92\xabbank:Adrift\x01")


def test_only_classes_made_by_message_are_messages() -> None:
    assert is_message(Add)
    for other in (Add(1), Command, int, Normal, Name, None, "Add"):
        assert not is_message(other)


def test_a_message_class_in_a_function_sees_that_function_s_names() -> None:
    @message
    class Inner:
        value: int = 0

    @message
    class Outer:
        inner: Inner

    assert decode(encode(Outer(Inner(4)))) == Outer(Inner(4))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="`type X = ...` is of Python 3.12")
def test_a_type_alias_stands_for_its_value() -> None:
    cls = define("type Pairs = list[tuple[str, int]]\n@message\nclass Aliased:\n    pairs: Pairs")["Aliased"]
    assert decode(encode(cls([("a", 1)]))) == cls([("a", 1)])
    with pytest.raises(Misuse, match=r"pairs\[0\]\[1\] is annotated int and holds str"):
        check(cls([("a", "b")]))


def test_nothing_of_a_message_module_leaks_into_sys_modules() -> None:
    assert "bank" not in sys.modules
    assert isinstance(Add.__dict__["amount"], types.MemberDescriptorType)


def test_a_class_of_ours_is_completed_at_its_first_use() -> None:
    """Generating the codecs of all of them at each start would take as long as a tenth of its imports."""
    program = (
        "import regrove\n"
        "from regrove.node.core.messages import decode, encode, prepare\n"
        "from regrove.node.core.tables import TABLES\n"
        "ours = [cls for cls, shape in TABLES.shapes.items() if shape.lenient]\n"
        "print(len(ours) > 40, [cls for cls in ours if cls in TABLES.traits])\n"
        "value = regrove.Shutdown('over')\n"
        "print(decode(encode(value)) == value, prepare(value) == (value, 64 + 4), regrove.Shutdown in TABLES.traits)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True []\nTrue True True\n"
