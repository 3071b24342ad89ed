"""What a local send delivers and charges, and what looking into a message finds."""

from __future__ import annotations

import enum
from typing import Annotated, Any, Literal, NewType

import pytest

from regrove.node.core.address import Address, Caller, Home, Name
from regrove.node.core.errors import Misuse, UnsendableValue
from regrove.node.core.messages import FIXED, callers_in, check, digest, message, prepare, schema_digest
from regrove.supervisor.reasons import Crashed, Normal, Reason, Shutdown


class Color(enum.Enum):
    RED = 1


UserId = NewType("UserId", int)


@message
class Point:
    x: int
    y: float | None = None


@message
class Segment:
    start: Point
    end: Point
    color: Color = Color.RED


@message
class Link:
    to: Address | None = None


@message
class Text:
    title: str
    size: int
    body: bytes = b""


@message
class Tags:
    tags: tuple[str, ...]


@message
class Bag:
    items: list[Point]
    more: object = None


@message
class Route:
    to: Address
    answer: Caller | None
    reason: Reason
    user: UserId
    note: Annotated[str, "free text"]
    unit: Literal["s", "ms"] = "s"


@message
class Chain:
    value: int
    next: Chain | None = None


HOME = Home("n@h", 1, 0, 1)


def test_classes_of_constant_charge_are_in_fixed() -> None:
    assert FIXED[Point] == 64 + 16
    assert FIXED[Segment] == 64 + 2 * 80 + 8
    assert FIXED[Link] == 64 + 64  # a union of constant kinds is charged for its largest
    prepare(Normal())  # what the runtime's own classes need is made at their first use
    assert FIXED[Normal] == 64
    assert FIXED[int] == FIXED[bool] == FIXED[float] == FIXED[type(None)] == FIXED[Color] == 72
    for varying in (Text, Tags, Bag, Route, Chain, str, bytes, tuple, list, dict, Crashed):
        assert varying not in FIXED


@pytest.mark.parametrize(
    ("value", "charge"),
    [
        (Point(1, 2.0), 80),
        (Text("abc", 1, b"12345"), 64 + 8 + 3 + 5),
        (Tags(("a", "bc")), 64 + 2 * 8 + 3),
        (Bag([Point(1)], None), 64 + 8 + 80 + 8),
        (Chain(1, Chain(2)), 64 + 8 + 64 + 8 + 8),
        ("abc", 67),
        (b"", 64),
        ([1, 2], 64 + 2 * 16),
        ((1, "ab"), 64 + 16 + 10),
        ({"ab": 1}, 64 + 10 + 16),
        (Shutdown("abc"), 67),
    ],
    ids=repr,
)
def test_a_value_is_charged_64_bytes_and_what_it_holds(value: object, charge: int) -> None:
    assert prepare(value) == (value, charge)


def test_immutable_values_pass_by_reference() -> None:
    for value in (Point(1), Segment(Point(1), Point(2)), Text("x", 1), Tags(("a",)), (1, (2,)), Chain(1, Chain(2))):
        assert prepare(value)[0] is value
    shutdown = Shutdown("text")
    assert prepare(shutdown)[0] is shutdown


def test_mutable_values_are_copied_all_the_way_in() -> None:
    points = [Point(1)]
    inner = {"k": [1]}
    bag = Bag(points, (inner, Shutdown(inner)))
    taken, _ = prepare(bag)
    assert taken == bag
    points.append(Point(2))
    inner["k"].append(2)
    assert taken == Bag([Point(1)], ({"k": [1]}, Shutdown({"k": [1]})))
    assert taken.items[0] is points[0]


def test_a_list_where_the_annotation_promised_a_text_is_not_shared() -> None:
    held: Any = ["mutable"]
    taken, _ = prepare(Text(held, 1))
    assert taken.title == held
    assert taken.title is not held


def test_check_names_class_field_expected_and_got() -> None:
    wrong: Any = [1]
    cases = [
        (Point(wrong), r"Point\.x is annotated int and holds list \[1\]"),
        (Segment(Point(1), wrong), r"Segment\.end is annotated Point and holds list"),
        (Segment(Point(1), Point(wrong)), r"Point\.x is annotated int"),
        (Tags(("a", wrong)), r"Tags\.tags\[1\] is annotated str and holds list"),
        (Bag([Point(1), wrong]), r"Bag\.items\[1\] is annotated Point"),
        (Bag([], {"deep": (Point(wrong),)}), r"Point\.x is annotated int"),
        ([Chain(1, Chain(wrong))], r"Chain\.value is annotated int"),
        (Shutdown(Point(wrong)), r"Point\.x is annotated int"),
    ]
    for value, text in cases:
        with pytest.raises(Misuse, match=text):
            check(value)


def test_check_takes_what_python_takes_in_place_of_an_annotation() -> None:
    check(Point(True, 3))
    check(Route(Address(HOME, 1, 1), None, Shutdown("x"), UserId(3), "note", "ms"))
    check([Point(1), {"k": (Point(2),)}, None])
    with pytest.raises(Misuse, match=r"unit is annotated Literal"):
        check(Route(Address(HOME, 1, 1), None, Normal(), UserId(3), "note", "min"))  # type: ignore[arg-type]


def test_check_and_callers_in_refuse_a_cycle() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    for door in (check, callers_in):
        with pytest.raises(UnsendableValue, match="contains itself"):
            door(Bag([], cycle))


def test_callers_inside_a_value_are_found_in_order() -> None:
    first, second = Caller(HOME, 1), Caller(HOME, 2)
    assert callers_in(Point(1)) == callers_in(5) == callers_in("x") == callers_in(Name("x")) == ()
    assert callers_in(first) == (first,)
    assert callers_in(Route(Address(HOME, 1, 1), second, Normal(), UserId(1), "")) == (second,)
    assert callers_in(Bag([], {"a": [first], "b": (second,)})) == (first, second)


def test_a_digest_tells_values_and_their_types_apart() -> None:
    assert digest(Point(1)) == digest(Point(1)) != digest(Point(2))
    assert len({digest(value) for value in ((1,), [1], 1, True, 1.0, "1", b"1", None, Point(1))}) == 9
    assert 0 <= digest(Point(1)) < 2**64


def test_a_schema_digest_follows_the_fields_of_all_classes_inside() -> None:
    def schema(inner: str) -> int:
        names: dict[str, Any] = {"__name__": "schema_example"}
        source = f"@message\nclass In:\n    {inner}\n@message\nclass Out:\n    held: list[In]\n"
        exec("from regrove.node.core.messages import message\n" + source, names)
        return schema_digest([names["Out"]])

    assert schema("a: int") == schema("a: int")
    assert len({schema("a: int"), schema("a: str"), schema("b: int"), schema("a: int = 0")}) == 4
    assert schema_digest([Point, Text]) == schema_digest([Text, Point])
    with pytest.raises(Misuse, match="takes message classes"):
        schema_digest([int])
