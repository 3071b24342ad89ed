"""Bytes and back: every value arrives as what was sent, and nothing but a message of ours is accepted."""

from __future__ import annotations

import enum
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrove.node.core import handles, reasons
from regrove.node.core.address import Address, Caller, Home, Name
from regrove.node.core.errors import DecodeError, UnsendableValue
from regrove.node.core.isolate import Isolate
from regrove.node.core.messages import decode, digest, encode, message, prepare
from regrove.supervisor import reasons as exits
from regrove.supervisor import requests
from regrove.supervisor.spec import Child, DynamicSupervisor, Supervisor


class Color(enum.Enum):
    RED = 1
    BLUE = "b"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mode(enum.Flag):
    READ = 1
    WRITE = 2


class Unannotated(enum.Enum):
    ONLY = 0


@message
class Line:
    item: str
    count: int = 1


@message
class Order:
    lines: list[Line]
    color: Color = Color.RED
    tags: tuple[str, ...] = ()
    pair: tuple[int, str] = (0, "")
    prices: dict[str, float] | None = None
    extra: object = None
    inner: Order | None = None
    size: Literal["s", "m"] = "s"


@message
class Loose:
    row: tuple  # type: ignore[type-arg]
    items: list  # type: ignore[type-arg]
    table: dict  # type: ignore[type-arg]


@message
class Any1:
    value: Any


class Worker(Isolate):
    pass


HOME = Home("n@h", 1, 2, 3)
SAMPLES: list[object] = [
    None,
    True,
    0,
    -(2**63),
    2**64 - 1,
    1.0,
    -0.0,
    float("inf"),
    "",
    "é\x00",
    b"",
    (),
    (1,),
    [],
    [[], ()],
    {},
    {"a": [1, (2,)], 3: None, b"k": True},
    {(1, "x"): 1, Color.RED: 2, None: 3},
    {Address(HOME, 1, 2): {}},
    Color.BLUE,
    Level.HIGH,
    Mode.READ | Mode.WRITE,
    Mode(0),
    Unannotated.ONLY,
    Loose((1, [2]), [Color.RED], {"a": ()}),
    Address(HOME, 5, 6),
    HOME,
    Name("x"),
    Name("x", "n@h", 1),
    Caller(HOME, 7),
    Line("pear"),
    Order([Line("a", 2)], Color.BLUE, ("x",), (1, "y"), {"z": 1.5}, [(1, {2: Line("q")})], Order([])),
    exits.Normal(),
    exits.Shutdown(exits.Shutdown("why")),
    exits.StartFailed("a", exits.Crashed("ValueError", "text", "f:1", Line("x"))),
    reasons.OsError("ENOSPC", "disk"),
    reasons.Timeout(),
    requests.StartChild(Child("a", Worker, 1, [2], kwargs={"k": (1,)}, name="n", shutdown="brutal_kill")),
    requests.StartChild(Supervisor("s", [DynamicSupervisor("d"), Child("c", Worker)], strategy="rest_for_one")),
    requests.TerminateChild(Address(HOME, 1, 1)),
    (requests.ChildInfo("a", "restarting", "worker"), requests.Counts(1, 1, 0, 1)),
    requests.AlreadyStarted(Address(HOME, 1, 1)),
]


def same(left: object, right: object) -> bool:
    """Compare values and, all the way in, their types."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return same(list(left), list(right)) and same(list(left.values()), list(right.values()))
    if isinstance(left, float):
        return repr(left) == repr(right)
    return left == right


@pytest.mark.parametrize("value", SAMPLES, ids=repr)
def test_every_value_arrives_as_the_type_it_was_sent(value: object) -> None:
    assert same(decode(encode(value)), value)
    assert same(decode(encode(Any1(value))).value, value)
    assert same(prepare(value)[0], value)


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.sampled_from([Color.RED, Level.LOW, Mode.WRITE, HOME, Name("n"), Caller(HOME, 1), Address(HOME, 1, 1)])
)
hashable = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=4)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(hashable, inner, max_size=4)
        | inner.map(Any1)
        | inner.map(exits.Shutdown)
        | st.builds(Order, st.just([]), extra=inner)
    ),
    max_leaves=20,
)


@given(values)
def test_encoding_and_decoding_is_identity(value: object) -> None:
    data = encode(value)
    back = decode(data)
    assert same(back, value)
    assert encode(back) == data
    taken, charge = prepare(value)
    assert same(taken, value)
    assert charge >= 64


def accept(data: bytes) -> None:
    """Decode; whatever is accepted can be sent on. Any exception but DecodeError fails the test."""
    try:
        value = decode(data)
    except DecodeError:
        return
    prepare(value)
    encode(value)


@given(st.binary(max_size=200))
def test_random_bytes_are_a_value_or_a_decode_error(data: bytes) -> None:
    accept(data)


@given(values, st.data())
def test_damaged_bytes_are_a_value_or_a_decode_error(value: object, draw: st.DataObject) -> None:
    data = bytearray(encode(Order([Line("a")], extra=value)))
    for _ in range(draw.draw(st.integers(1, 4))):
        place = draw.draw(st.integers(0, len(data) - 1))
        match draw.draw(st.sampled_from(["set", "cut", "insert", "truncate"])):
            case "set":
                data[place] = draw.draw(st.integers(0, 255))
            case "cut":
                del data[place : place + 1]
            case "insert":
                data[place:place] = draw.draw(st.binary(min_size=1, max_size=4))
            case _:
                del data[place + 1 :]
        data = data or bytearray(b"\xc0")
    accept(bytes(data))


wires = st.recursive(
    st.none()
    | st.integers(-3, 9)
    | st.text(max_size=3)
    | st.binary(max_size=3)
    | st.sampled_from([f"{__name__}:Order", f"{__name__}:Color", "regrove:Crashed", "a@h"]),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=20,
)


@given(wires)
def test_wellformed_msgpack_that_is_no_message_is_a_value_or_a_decode_error(wire: object) -> None:
    accept(msgpack.packb(wire))


@pytest.mark.parametrize(
    ("wire", "path", "problem"),
    [
        (["{m}:Line"], "{m}:Line.item", "is missing and has no default"),
        (["{m}:Line", 5], "{m}:Line.item", "expected str, got int 5"),
        (["{m}:Order", [0, ["{m}:Line", "a", "b"]]], "{m}:Order.lines[0].count", "expected int, got str 'b'"),
        (["{m}:Order", [0, 5]], "{m}:Order.lines[0]", "expected Line, got int 5"),
        (["{m}:Order", [0], [2, "{m}:Color", "GREEN"]], "{m}:Order.color", "Color has no member 'GREEN'"),
        (["{m}:Order", [0], [2, "os:name", "posix"]], "{m}:Order.color", "no enum 'os:name' is loaded here"),
        (["gone:Thing", 1], "gone:Thing", "no class is registered as 'gone:Thing' here"),
        ([0, ["gone:Thing", 1]], "message[0]", "no class is registered as 'gone:Thing' here"),
        ([], "message", "instead of a tag or a wire name"),
        ([True], "message", "instead of a tag or a wire name"),
        ([99], "message", "instead of a tag or a wire name"),
        ([3, "n", 1], "message", "not an address"),
        ([5, "n", 1, "two", 3], "message.core", "expected int, got str 'two'"),
        ([4, 1], "message", "a key without a value"),
        ([4, [0], 1], "message", "unhashable"),
        ({"a": {"b": [77]}}, "message['a']['b']", "instead of a tag"),
        (msgpack.Timestamp(1), "message", "a msgpack Timestamp stands for nothing here"),
        ({msgpack.ExtType(5, b""): 1}, "message", "a key of a map is not plain"),
        ([2, "{m}:Color"], "message", "not an enum member"),
        ([2, 1, 2], "message", "not an enum member"),
        ([2, "{m}:Mode", 8], "message", "8"),
        ([2, "{m}:Mode", "EXECUTE"], "message", "has no member"),
        ([7, 1, 2], "message", "not a caller"),
        (["{m}:Order", [0], [2, "{m}:Color", "RED"], [0]], "{m}:Order.tags", "expected tuple[str, ...], got list []"),
        (["{m}:Order", [0], [2, "{m}:Color", "RED"], [1], [1, 5]], "{m}:Order.pair", "expected tuple[int, str]"),
        (["{m}:Order", [0], [2, "{m}:Color", "RED"], [1], [1, 5, 6]], "{m}:Order.pair[1]", "expected str, got int 6"),
        (["{m}:Loose", [0], [0], [0]], "{m}:Loose.row", "expected tuple[object, ...]"),
        (["{m}:Loose", [1], [1], [0]], "{m}:Loose.items", "expected list"),
        (["{m}:Loose", [1], [0], [0]], "{m}:Loose.table", "expected dict"),
    ],
)
def test_a_decode_error_names_the_field(wire: object, path: str, problem: str) -> None:
    def fill(part: Any) -> Any:
        if isinstance(part, str):
            return part.replace("{m}", __name__)
        return [fill(item) for item in part] if isinstance(part, list) else part

    with pytest.raises(DecodeError) as caught:
        decode(msgpack.packb(fill(wire)))
    assert caught.value.path == path.replace("{m}", __name__)
    assert problem in caught.value.problem


def test_missing_trailing_fields_are_defaults_and_extra_ones_are_dropped() -> None:
    assert decode(msgpack.packb([f"{__name__}:Line", "pear"])) == Line("pear", 1)
    assert decode(msgpack.packb([f"{__name__}:Line", "pear", 2, "newer", [0]])) == Line("pear", 2)


def test_nothing_named_by_the_wire_is_imported() -> None:
    program = (
        "import sys, msgpack\n"
        "from regrove.node.core.messages import decode, DecodeError\n"
        "for wire in (['colorsys:X', 1], [2, 'colorsys:X', 'A'], [2, 'colorsys:', 'A'], [2, 'os:path.join', 'A']):\n"
        "    try:\n        decode(msgpack.packb(wire))\n"
        "    except DecodeError as error:\n        print(error.problem)\n"
        "print('colorsys' in sys.modules)\n"
    ).replace("decode, DecodeError", "decode\nfrom regrove.node.core.errors import DecodeError")
    lines = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert lines.splitlines()[-1] == "False"
    assert len(lines.splitlines()) == 5


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def test_depth_is_limited_on_both_ways_and_a_cycle_is_refused() -> None:
    assert decode(encode(nested(60))) == nested(60)
    cycle: list[Any] = []
    cycle.append({"again": cycle})
    for value in (nested(100), nested(5000), cycle, Any1(cycle)):
        for door in (encode, prepare, digest):
            with pytest.raises(UnsendableValue, match="nested deeper than 64, or contains itself"):
                door(value)
    for depth in (100, 900, 100_000):
        with pytest.raises(DecodeError):
            decode(b"\x92\x00" * depth + b"\x91\x00")


def test_a_container_of_too_many_elements_is_refused_both_ways() -> None:
    for value in ([None] * 1_000_001, (None,) * 1_000_001, dict.fromkeys(range(500_001))):
        with pytest.raises(UnsendableValue, match="over 1000000 elements; send it in pieces"):
            encode(value)
    with pytest.raises(DecodeError):
        decode(msgpack.packb([0] + [None] * 1_000_001))
    assert len(decode(encode([None] * 1_000_000))) == 1_000_000


class Sub(int):
    pass


class Bare:
    pass


class Text(str):
    __slots__ = ()


class Pair(NamedTuple):
    a: int


@dataclass(frozen=True)
class Plain:
    a: int


@pytest.mark.parametrize(
    ("value", "mend"),
    [
        ({1}, "tuple or a list"),
        (frozenset((1,)), "tuple or a list"),
        (bytearray(b"x"), r"bytes\(value\)"),
        (Sub(1), r"int\(value\)"),
        (Text("x"), r"str\(value\)"),
        (Pair(1), r"tuple\(value\)"),
        (Plain(1), "@message"),
        (Line, "message that says what to do"),
        (len, "message that says what to do"),
        (Bare(), "@message"),
        (handles.Ticket(1), "belongs to its isolate"),
        (handles.Timer(1), "belongs to its isolate"),
        (handles.Stream(1, "tcp"), "belongs to its isolate"),
        (handles.Listener(1, "h", 1), "belongs to its isolate"),
        (2**64, "as bytes"),
        (-(2**63) - 1, "as bytes"),
        ("\ud800", "surrogate"),
    ],
    ids=lambda part: part if isinstance(part, str) else f"{type(part).__name__} {str(part)[:9]}".split(" <")[0],
)
def test_what_does_not_travel_is_refused_at_the_send_with_place_and_mend(value: Any, mend: str) -> None:
    order = Order([], extra={"deep": [1, (value,)]})
    with pytest.raises(UnsendableValue, match=mend) as caught:
        encode(order)
    assert caught.value.path == f"{__name__}:Order.extra['deep'][1][0]"
    with pytest.raises(UnsendableValue, match=mend):
        encode(value)
    if type(value) not in (int, str):  # a local send keeps an int or a text as it is
        with pytest.raises(UnsendableValue, match=mend) as caught:
            prepare(order)
        assert caught.value.path == f"{__name__}:Order.extra['deep'][1][0]"


def test_a_refused_send_leaves_nothing_behind_in_the_next_one() -> None:
    before = encode(Line("x"))
    for bad in (Line("x", 2**70), Line("\ud800"), Line({1})):  # type: ignore[arg-type]
        with pytest.raises(UnsendableValue):
            encode(bad)
    assert encode(Line("x")) == before


def test_a_caller_crosses_without_the_deadline_of_this_core_s_clock() -> None:
    assert decode(encode(Caller(HOME, 4, deadline=99))) == Caller(HOME, 4, None)


def test_a_factory_that_is_no_class_of_isolates_is_refused() -> None:
    for factory in (lambda: Line("x"), nested(0).append, nested, Line):
        for door in (encode, prepare):
            with pytest.raises(UnsendableValue, match="only classes of isolates travel") as caught:
                door(requests.StartChild(Child("a", factory)))
            assert caught.value.path == "regrove:StartChild.spec.factory"


@pytest.mark.parametrize(
    ("child", "problem"),
    [
        (["regrove:Child", "a", "colorsys:X", [1], {}, {}], "no class of isolates 'colorsys:X'"),
        (["regrove:Child", "a", "os:system", [1, "true"], {}, {}], "no class of isolates"),
        (["regrove:Child", "a/b", f"{__name__}:Worker", [1], {}, {}], "separates the ids"),
        (["regrove:Child", "a", f"{__name__}:Worker", [1], {}, {"restart": "sometimes"}], "restart"),
        (["regrove:Child", "a", f"{__name__}:Worker", [1], {}, {"unheard": 1}], "unheard"),
        (["regrove:Child"], "missing"),
        (["regrove:Child", 1, 2, 3, 4, 5], "no class of isolates '2'"),
        (["regrove:Supervisor", "s", 5], "children"),
    ],
    ids=str,
)
def test_a_spec_from_the_wire_keeps_every_rule_of_specs(child: list[Any], problem: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(msgpack.packb(["regrove:StartChild", child]))
    assert caught.value.path.startswith("regrove:StartChild.spec")
    assert problem in caught.value.problem


def test_bytes_and_digests_are_the_same_in_every_process() -> None:
    program = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('samples', {__file__!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "sys.modules['samples'] = module\n"
        "spec.loader.exec_module(module)\n"
        "for value in module.SAMPLES:\n    print(module.encode(value).hex(), module.digest(value))\n"
    )
    seen = []
    for seed in ("0", "1", "4294967295"):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        )
        seen.append(done.stdout)
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0].splitlines()) == len(SAMPLES)
