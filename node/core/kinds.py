"""What a field of a message may hold: annotations read once into kinds (isolates.md, "Messages: nothing shared").

A kind says which values it accepts, whether they are immutable, what they weigh when that is a constant, and whether a
`Caller` may hide inside. It knows nothing of bytes: `codec.py` does.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable
from typing import Any, Final, Literal, NewType, Protocol, TypeAlias, Union, get_args, get_origin

from regrove.node.core.errors import Misuse

NUMBER_CHARGE: Final = 8  # a number, None, a bool, an enum member; and a place in a container
ADDRESS_CHARGE: Final = 64

IsValue: TypeAlias = Callable[[type], bool]


class Kind:
    """Accepts anything that travels; base of the narrower kinds. `size` is the constant weight, if it is one."""

    text: str = "object"
    immutable: bool = False
    size: int | None = None
    callers: bool = True
    parts: tuple[Kind, ...] = ()

    def accepts(self, value: object) -> bool:
        """Tell whether `value` fits; a message inside was judged when it was built, so it is not entered."""
        del value  # whatever it is
        return True

    def find(self, value: object) -> tuple[str, str, object] | None:
        """Give the first misfit inside `value` as (path, expected, got), or None."""
        return None if self.accepts(value) else ("", self.text, value)


ANYTHING: Final = Kind()


class PlainKind(Kind):
    """One plain type, with the types Python takes in its place: a bool for an int, an int for a float."""

    immutable = True
    callers = False

    def __init__(self, text: str, allowed: tuple[type, ...], size: int | None = NUMBER_CHARGE) -> None:
        self.text = text
        self.allowed = allowed
        self.size = size

    def accepts(self, value: object) -> bool:
        """Tell whether `value` fits."""
        return type(value) in self.allowed


PLAIN: Final[dict[object, Kind]] = {
    object: ANYTHING,
    Any: ANYTHING,
    None: PlainKind("None", (type(None),)),
    type(None): PlainKind("None", (type(None),)),
    bool: PlainKind("bool", (bool,)),
    int: PlainKind("int", (int, bool)),
    float: PlainKind("float", (float, int, bool)),
    str: PlainKind("str", (str,), None),
    bytes: PlainKind("bytes", (bytes,), None),
}


class LiteralKind(Kind):
    """`Literal[...]`: one of a few written values, of the very type written."""

    immutable = True
    callers = False

    def __init__(self, values: tuple[object, ...]) -> None:
        self.values = values
        self.text = f"Literal[{', '.join(map(repr, values))}]"

    def accepts(self, value: object) -> bool:
        """Tell whether `value` fits."""
        return any(type(value) is type(known) and value == known for known in self.values)


class EnumKind(Kind):
    """A member of one enum."""

    immutable = True
    callers = False
    size = NUMBER_CHARGE

    def __init__(self, cls: type[enum.Enum]) -> None:
        self.cls = cls
        self.text = cls.__qualname__

    def accepts(self, value: object) -> bool:
        """Tell whether `value` fits."""
        return type(value) is self.cls


class ValueKind(Kind):
    """A message, one of our own values, or a stateless base of such classes. What they hold is in their shapes."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self.text = cls.__qualname__

    def accepts(self, value: object) -> bool:
        """Tell whether `value` fits."""
        return isinstance(value, self.cls)


class TupleKind(Kind):
    """A tuple: of `rest` at any length, or of exactly `items`."""

    immutable = True
    callers = False

    def __init__(self, items: tuple[Kind, ...], rest: Kind | None) -> None:
        self.items = items
        self.rest = rest
        self.parts = items if rest is None else (rest,)
        inner = ", ".join(kind.text for kind in items) if rest is None else f"{rest.text}, ..."
        self.text = f"tuple[{inner or '()'}]"

    def find(self, value: object) -> tuple[str, str, object] | None:
        """Give the first misfit inside `value`."""
        if type(value) is not tuple or (self.rest is None and len(value) != len(self.items)):
            return ("", self.text, value)
        kinds = self.items if self.rest is None else (self.rest,) * len(value)
        return first_misfit(zip(kinds, value, map("[{}]".format, range(len(value))), strict=True))

    def accepts(self, value: object) -> bool:
        """Tell whether `value` fits."""
        if self.rest is None:
            return self.find(value) is None
        return type(value) is tuple and all_accepted(self.rest, value)


class ListKind(Kind):
    """A list of one kind of element."""

    callers = False

    def __init__(self, element: Kind) -> None:
        self.element = element
        self.parts = (element,)
        self.text = "list" if element is ANYTHING else f"list[{element.text}]"

    def find(self, value: object) -> tuple[str, str, object] | None:
        """Give the first misfit inside `value`."""
        if type(value) is not list:
            return ("", self.text, value)
        return first_misfit((self.element, item, f"[{index}]") for index, item in enumerate(value))

    def accepts(self, value: object) -> bool:
        """Tell whether `value` fits."""
        return type(value) is list and all_accepted(self.element, value)


class DictKind(Kind):
    """A dict of one kind of key to one kind of value."""

    callers = False

    def __init__(self, key: Kind, element: Kind) -> None:
        self.key = key
        self.element = element
        self.parts = (key, element)
        self.text = "dict" if key is ANYTHING and element is ANYTHING else f"dict[{key.text}, {element.text}]"

    def find(self, value: object) -> tuple[str, str, object] | None:
        """Give the first misfit inside `value`."""
        if type(value) is not dict:
            return ("", self.text, value)
        return first_misfit((self.key, key, f" key {key!r}") for key in value) or first_misfit(
            (self.element, item, f"[{key!r}]") for key, item in value.items()
        )

    def accepts(self, value: object) -> bool:
        """Tell whether `value` fits."""
        return type(value) is dict and all_accepted(self.key, value) and all_accepted(self.element, value.values())


class UnionKind(Kind):
    """One of several kinds."""

    immutable = True
    callers = False

    def __init__(self, parts: tuple[Kind, ...]) -> None:
        self.parts = parts
        self.text = " | ".join(kind.text for kind in parts)
        plain = [kind.allowed for kind in parts if isinstance(kind, PlainKind)]
        named = [kind.cls for kind in parts if isinstance(kind, EnumKind | ValueKind)]
        self.types: frozenset[type] = frozenset([*named, *(cls for allowed in plain for cls in allowed)])

    def accepts(self, value: object) -> bool:
        """Tell whether `value` fits."""
        return type(value) in self.types or any(kind.accepts(value) for kind in self.parts)


def all_accepted(kind: Kind, values: typing.Iterable[object]) -> bool:
    """Tell whether every value fits; plain kinds are compared by type alone, which C does."""
    if kind is ANYTHING:
        return True
    if type(kind) is PlainKind:
        return frozenset(kind.allowed).issuperset(map(type, values))
    return all(map(kind.accepts, values))


def first_misfit(items: typing.Iterable[tuple[Kind, object, str]]) -> tuple[str, str, object] | None:
    """Give the first misfit of (kind, value, place) items, its path led by the place."""
    for kind, value, place in items:
        found = kind.find(value)
        if found is not None:
            return (place + found[0], found[1], found[2])
    return None


class HasValue(Protocol):
    """What Python 3.12 makes of `type X = ...`."""

    __value__: object


def kind_of(annotation: object, where: str, is_value: IsValue) -> Kind:
    """Read one annotation. Raises Misuse, led by `where` (`bank:Add.tags`), for what does not travel."""
    plain = PLAIN.get(annotation) if isinstance(annotation, typing.Hashable) else None
    if plain is not None:
        return plain
    origin = get_origin(annotation)
    if isinstance(annotation, type) and origin is None:
        return _kind_of_class(annotation, where, is_value)
    if origin is Union or origin is types.UnionType:
        return UnionKind(tuple(kind_of(part, where, is_value) for part in get_args(annotation)))
    if origin is Literal:
        return LiteralKind(get_args(annotation))
    if origin in (tuple, list, dict):
        return _kind_of_container(origin, get_args(annotation), where, is_value)
    if isinstance(annotation, NewType):
        return kind_of(annotation.__supertype__, where, is_value)
    if hasattr(annotation, "__value__"):
        return kind_of(annotation.__value__, where, is_value)
    raise _untravelling(annotation, where)


def _kind_of_class(cls: type, where: str, is_value: IsValue) -> Kind:
    if cls is tuple:
        return TupleKind((), ANYTHING)
    if cls is list:
        return ListKind(ANYTHING)
    if cls is dict:
        return DictKind(ANYTHING, ANYTHING)
    if issubclass(cls, enum.Enum):
        return EnumKind(cls)
    if is_value(cls) or vars(cls).get("__slots__") == ():  # a class without state of its own: a base of messages
        return ValueKind(cls)
    raise _untravelling(cls, where)


def _kind_of_container(origin: object, args: tuple[object, ...], where: str, is_value: IsValue) -> Kind:
    kinds = [kind_of(arg, where, is_value) for arg in args if arg is not Ellipsis]
    if origin is list:
        return ListKind(kinds[0])
    if origin is dict:
        return DictKind(kinds[0], kinds[1])
    return TupleKind((), kinds[0]) if Ellipsis in args else TupleKind(tuple(kinds), None)


def _untravelling(annotation: object, where: str) -> Misuse:
    text = annotation.__qualname__ if isinstance(annotation, type) else str(annotation)
    mend = "decorate that class with @message, or use plain values"
    if annotation in (set, frozenset) or get_origin(annotation) in (set, frozenset):
        mend = "use a tuple or a list"
    elif annotation in (bytearray, memoryview):
        mend = "use bytes"
    return Misuse(f"{where} is annotated {text}, which does not travel between isolates: {mend}")
