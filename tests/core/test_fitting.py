"""What is written out for a field says what the kind of its annotation says."""

from __future__ import annotations

import enum
from itertools import product
from typing import Any, Literal

import pytest

from regrove import Address, message
from regrove.node.core.fitting import test_of as written_for
from regrove.node.core.fitting import test_of_plain as written_for_all
from regrove.node.core.kinds import Kind, kind_of


class Colour(enum.Enum):
    RED = 1


@message(name="fitting:Inner")
class Inner:
    number: int


SCALARS: list[Any] = [int, bool, float, str, bytes, None, int | None, str | bytes, float | None]
OTHERS: list[Any] = [object, Colour, Literal[1, "a"], Inner, Inner | None, Colour | int]
VALUES: list[Any] = [
    *(0, True, 1.5, "a", b"a", None, Colour.RED, Inner(1), {}, {"a": 1}, [], [1], ["a"], [(1, "a")], [[1]], [None, 1]),
    *((Colour.RED,), [((1,),)], {"a": (1,)}, {"a": [1, "b"]}),
    *((), (1,), (1, 2), (True, "a"), ("a", 1), ((1, "a"),), ((1, "a"), (2, "b")), ((1, "a"), (2, 3)), ([1],)),
    *((Inner(1),), (((1,),),), (((("a",),),),), ((((((1,),),),),),), ((((((("a",),),),),),),), (1, None), ((),)),
]  # fmt: skip


def written_in_code() -> list[Any]:
    single = [*SCALARS, *OTHERS]
    pairs = [tuple[first, second] for first, second in product(single[:8], single[:8])]  # type: ignore[valid-type]
    once = [*(tuple[one, ...] for one in single), *(list[one] for one in single), *pairs, tuple[()]]  # type: ignore[valid-type]
    twice = [*(tuple[one, ...] for one in once), *(list[one] for one in once), *(dict[str, one] for one in once[:30])]  # type: ignore[valid-type]
    deep: Any = tuple[int, ...]
    for _ in range(6):
        deep = tuple[deep, ...]
    return [*single, *once, *twice, deep, tuple[int, tuple[str, tuple[int, tuple[str, tuple[int, tuple[str]]]]]]]


def kind(annotation: Any) -> Kind:
    return kind_of(annotation, "fitting", lambda cls: cls is Inner)


def test_what_is_written_out_says_what_the_kind_says() -> None:
    kinds = [kind(annotation) for annotation in written_in_code()]
    fitting = 0
    for each in kinds:
        fits = written_for(each)
        for value in VALUES:
            assert fits(value) == each.accepts(value) == (each.find(value) is None), (each.text, value)
            fitting += fits(value)
    assert 400 < fitting < len(kinds) * len(VALUES) / 2


@pytest.mark.parametrize(
    "annotation", [*SCALARS, tuple[int, ...], tuple[tuple[int, str], ...], tuple[int | None, bytes]]
)
def test_a_field_of_plain_values_and_tuples_of_them_is_plain(annotation: Any) -> None:
    fits = written_for_all({"number": kind(annotation)})
    assert fits is not None
    for value in VALUES:
        assert fits(_Held(value)) == kind(annotation).accepts(value)


@pytest.mark.parametrize(
    "annotation",
    [object, Inner, Address, list[int], dict[str, int], tuple[list[int], ...], tuple[int, Inner], tuple[object, ...]],
)
def test_a_field_that_may_hold_a_message_or_change_is_not_plain(annotation: Any) -> None:
    other = kind_of(annotation, "fitting", lambda cls: cls in (Inner, Address))
    assert written_for_all({"first": kind(int), "second": other}) is None


class _Held:
    def __init__(self, number: object) -> None:
        self.number = number
