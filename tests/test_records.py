"""A class made by `regrove.records` is what `dataclasses` makes: each test asks both the same."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from regrove import records

LIBRARY: Any = dataclasses
OURS: Any = records
MAKERS = pytest.mark.parametrize("maker", [LIBRARY, OURS], ids=["library", "ours"])


def family(maker: Any) -> dict[str, Any]:
    """Make one of each kind that the sources have."""
    return {cls.__name__: cls for cls in (*usual(maker), *unusual(maker))}


def usual(maker: Any) -> tuple[Any, ...]:
    dataclass, field = maker.dataclass, maker.field

    @dataclass(frozen=True, slots=True)
    class Point:
        """A place."""

        x: int
        y: int = 2

    @dataclass(frozen=True, slots=True)
    class Empty:
        """Nothing."""

    @dataclass(slots=True)
    class Open:
        """Changes."""

        rows: list[int] = field(default_factory=list)
        name: str = ""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Base:
        """Has a field that is given by name."""

        ticket: int | None = field(default=None, compare=False)

    @dataclass(frozen=True, slots=True)
    class Derived(Base):
        """Has fields of its own in front."""

        value: object  # type: ignore[misc]
        of: str = field(default="", hash=False)

    return Point, Empty, Open, Base, Derived


def unusual(maker: Any) -> tuple[Any, ...]:
    dataclass, field = maker.dataclass, maker.field

    @dataclass(slots=True, eq=False, repr=False)
    class Bare:
        """Is itself only."""

        a: int

    @dataclass(frozen=True, slots=True)
    class Checked:
        """Looks at itself."""

        a: int

        def __post_init__(self) -> None:
            if self.a < 0:
                raise ValueError("negative")

    @dataclass(frozen=True, slots=True, init=False)
    class Own:
        """Has methods of its own."""

        a: int

        def __init__(self) -> None:
            object.__setattr__(self, "a", 5)

        def __repr__(self) -> str:
            return "own"

        def __hash__(self) -> int:
            return 7

    @dataclass(frozen=True, slots=True, order=True)
    class Ordered:
        """Has an order."""

        a: int
        b: list[int] = field(default_factory=list, compare=False)

    return Bare, Checked, Own, Ordered


def short(text: str) -> str:
    return text.replace("unusual.<locals>.", "").replace("usual.<locals>.", "")


def outcome(ask: Callable[[], Any]) -> str:
    """Give what comes of it, an error included, as text."""
    try:
        return short(repr(ask()))
    except Exception as error:
        return short(f"{type(error).__name__}: {error}")


QUESTIONS: list[Callable[[Any], Any]] = [
    lambda f: f["Point"](1),
    lambda f: f["Point"](x=1, y=3),
    lambda f: f["Point"](),
    lambda f: f["Point"](1, 2, 3),
    lambda f: f["Point"](1, z=3),
    lambda f: (f["Point"](1) == f["Point"](1), f["Point"](1) == f["Point"](2), f["Point"](1) != f["Point"](1)),
    lambda f: (f["Point"](1) == (1, 2), f["Point"](1).__eq__(5)),
    lambda f: hash(f["Point"](1)) == hash((1, 2)),
    lambda f: hash(f["Point"]([])),
    lambda f: {f["Point"](1): 3}[f["Point"](1)],
    lambda f: setattr(f["Point"](1), "x", 5),
    lambda f: delattr(f["Point"](1), "x"),
    lambda f: f["Empty"](),
    lambda f: (f["Empty"]() == f["Empty"](), hash(f["Empty"]()) == hash(())),
    lambda f: f["Open"](),
    lambda f: f["Open"]().rows is f["Open"]().rows,
    lambda f: f["Open"]([1], "a"),
    lambda f: hash(f["Open"]()),
    lambda f: (f["Open"]() == f["Open"](), f["Open"](name="a") == f["Open"]()),
    lambda f: f["Derived"](1),
    lambda f: f["Derived"](1, "of", ticket=3),
    lambda f: f["Derived"](1, "of", 3),
    lambda f: f["Derived"](1, ticket=3) == f["Derived"](1, ticket=4),
    lambda f: hash(f["Derived"](1, "a", ticket=3)) == hash((1,)),
    lambda f: isinstance(f["Derived"](1), f["Base"]),
    lambda f: f["Bare"](1) == f["Bare"](1),
    lambda f: f["Bare"](1).a,
    lambda f: f["Checked"](-1),
    lambda f: f["Checked"](1),
    lambda f: (f["Own"](), f["Own"]().a, hash(f["Own"]())),
    lambda f: sorted([f["Ordered"](2), f["Ordered"](1)]),
    lambda f: dataclasses.replace(f["Point"](1), y=7),
    lambda f: dataclasses.replace(f["Derived"](1, ticket=2), of="x"),
    lambda f: records.replace(f["Derived"](1, ticket=2), of="x"),
    lambda f: records.replace(f["Point"](1), z=1),
    lambda f: dataclasses.asdict(f["Derived"](f["Point"](1))),
    lambda f: dataclasses.astuple(f["Point"](1)),
    lambda f: [(name, cls.__match_args__, cls.__slots__, cls.__doc__) for name, cls in f.items()],
    lambda f: [(cls.__qualname__, cls.__module__, cls.__init__.__qualname__) for cls in f.values()],
    lambda f: [(cls.__eq__.__qualname__, cls.__hash__ is None) for cls in f.values()],
    lambda f: [str(inspect.signature(cls)) for cls in f.values()],
    lambda f: [[each.name for each in dataclasses.fields(cls)] for cls in f.values()],
    lambda f: [(each.type, each.default, each.compare) for each in dataclasses.fields(f["Point"])],
    lambda f: [[each.name for each in records.fields(cls)] for cls in f.values()],
    lambda f: [(each.type, each.default, each.init, each.hash) for each in records.fields(f["Derived"])],
    lambda f: [(each.name, each.default is records.MISSING) for each in records.fields(f["Point"])],
    lambda f: [dataclasses.is_dataclass(cls) and records.is_dataclass(cls) for cls in f.values()],
    lambda f: (dataclasses.is_dataclass(f["Point"](1)), records.is_dataclass(f["Point"](1)), records.is_dataclass(3)),
    lambda f: copy.copy(f["Derived"](1, ticket=2)),
    lambda f: copy.deepcopy(f["Derived"]([1], ticket=2)),
    lambda f: f["Point"](1).__getstate__(),
]


@pytest.mark.parametrize("number", range(len(QUESTIONS)))
def test_a_class_answers_as_one_of_the_library(number: int) -> None:
    ask = QUESTIONS[number]
    expected = outcome(lambda: ask(family(LIBRARY)))
    assert outcome(lambda: ask(family(OURS))) == expected


def test_a_pattern_takes_it_apart() -> None:
    point = family(OURS)["Point"]
    match point(1, 5):
        case point(x, y):
            assert (x, y) == (1, 5)
        case _:
            raise AssertionError("no match")


@MAKERS
def test_a_frozen_class_of_the_library_may_extend_it(maker: Any) -> None:
    point = family(maker)["Point"]

    @dataclasses.dataclass(frozen=True)
    class Deep(point):  # type: ignore[misc, valid-type]
        z: int = 3

    assert short(repr(Deep(1))) == f"{short(Deep.__qualname__)}(x=1, y=2, z=3)"
    assert Deep(1) == Deep(1, 2, 3)
    with pytest.raises(TypeError, match="cannot inherit non-frozen dataclass from a frozen one"):

        @dataclasses.dataclass
        class Thawed(point):  # type: ignore[misc, valid-type]
            pass


def test_a_plain_subclass_has_attributes_of_its_own_but_frozen_fields() -> None:
    """Not so in the library, whose class with slots is not the one its `__setattr__` knows (Python 3.11)."""
    point = family(OURS)["Point"]

    class Named(point):  # type: ignore[misc, valid-type]
        pass

    named = Named(1)
    named.name = "here"
    assert named.name == "here"
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
        named.x = 5


@MAKERS
def test_a_field_without_a_default_may_not_follow_one_with_a_default(maker: Any) -> None:
    with pytest.raises(TypeError, match="default"):

        @maker.dataclass(frozen=True, slots=True)
        class Wrong:
            a: int = 1
            b: int


@MAKERS
def test_a_default_that_can_change_is_refused(maker: Any) -> None:
    with pytest.raises(ValueError, match="use default_factory"):

        @maker.dataclass(frozen=True, slots=True)
        class Wrong:
            a: list[int] = []  # noqa: RUF012


@OURS.dataclass(frozen=True, slots=True)
class Travelling:
    a: int
    b: tuple[int, ...] = ()


def test_it_is_pickled() -> None:
    make: Any = Travelling
    assert pickle.loads(pickle.dumps(make(1, (2,)))) == make(1, (2,))


def test_a_value_in_itself_has_a_repr() -> None:
    value = family(OURS)["Open"]()
    value.rows.append(value)
    assert short(repr(value)) == "Open(rows=[...], name='')"


def test_nothing_of_the_library_is_imported_to_make_one() -> None:
    """That is what it is for: `dataclasses` and `inspect` take as long as a hundred classes."""
    import subprocess
    import sys

    program = (
        "import sys, regrove.node.process.manager_process\n"
        "print([name for name in ('dataclasses', 'inspect', 'structlog') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
