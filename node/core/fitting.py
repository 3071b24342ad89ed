"""Whether values fit their annotations, told by one generated expression: fields of plain values and tuples of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from regrove.node.core.kinds import ANYTHING, EnumKind, Kind, ListKind, PlainKind, TupleKind, UnionKind, ValueKind

DEEPEST: Final = 4  # containers inside each other that are written out; deeper ones are asked themselves


def types_of(kind: Kind) -> frozenset[type]:
    """Give types every value of which fits `kind`."""
    if isinstance(kind, UnionKind):
        return kind.types
    if isinstance(kind, PlainKind):
        return frozenset(kind.allowed)
    return frozenset((kind.cls,)) if isinstance(kind, EnumKind | ValueKind) else frozenset()


def test_of(kind: Kind) -> Callable[[Any], bool]:
    """Give a function that says what `kind.accepts` says, sooner where containers are inside each other."""
    if not isinstance(kind, TupleKind | ListKind):
        return kind.accepts
    return _Written().function("value", lambda written: written.test(kind, "value", 0))


def test_of_plain(kinds: Mapping[str, Kind]) -> Callable[[Any], bool] | None:
    """Give a function that says whether all fields fit, where none can hold a message or anything that changes."""
    if not all(map(_is_plain, kinds.values())):
        return None
    return _Written().function(
        "value",
        lambda written: " and ".join(written.test(kind, f"value.{field}", 0) for field, kind in kinds.items()),
    )


def _is_plain(kind: Kind) -> bool:
    """Whether each value that fits stays as it is, and is the same value when it has travelled."""
    if isinstance(kind, UnionKind):
        return all(isinstance(part, PlainKind) for part in kind.parts)
    if isinstance(kind, TupleKind):
        return all(map(_is_plain, kind.parts))
    return isinstance(kind, PlainKind)


class _Written:
    """An expression that is being written, with the names it uses."""

    def __init__(self) -> None:
        self._names: dict[str, Any] = {}

    def function(self, argument: str, body: Callable[[_Written], str]) -> Callable[[Any], bool]:
        exec(f"def fits({argument}):\n    return {body(self)}", self._names)
        fits: Callable[[Any], bool] = self._names["fits"]
        return fits

    def test(self, kind: Kind, value: str, depth: int) -> str:
        """Write the test of `value`, which stands inside `depth` containers."""
        if isinstance(kind, TupleKind) and kind.rest is None and depth < DEEPEST:
            items = [self.test(item, f"{value}[{place}]", depth + 1) for place, item in enumerate(kind.items)]
            return " and ".join([f"type({value}) is tuple", f"len({value}) == {len(items)}", *items])
        if isinstance(kind, TupleKind) and kind.rest is not None and depth < DEEPEST:
            return f"type({value}) is tuple and {self._each(kind.rest, value, depth)}"
        if isinstance(kind, ListKind) and depth < DEEPEST:
            return f"type({value}) is list and {self._each(kind.element, value, depth)}"
        if isinstance(kind, PlainKind):
            return f"type({value}) in {self._name(types_of(kind))}"
        if isinstance(kind, UnionKind) and all(isinstance(part, PlainKind) for part in kind.parts):
            return f"type({value}) in {self._name(kind.types)}"
        return f"{self._name(kind.accepts)}({value})"

    def _each(self, kind: Kind, values: str, depth: int) -> str:
        if kind is ANYTHING:
            return "True"
        if isinstance(kind, PlainKind):
            return f"{self._name(types_of(kind))}.issuperset(map(type, {values}))"
        item = f"item{depth}"
        return f"all([{self.test(kind, item, depth + 1)} for {item} in {values}])"

    def _name(self, what: object) -> str:
        name = f"known{len(self._names)}"
        self._names[name] = what
        return name
