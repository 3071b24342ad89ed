"""The codec of one class, generated from its fields: to the wire, from the wire, copied and charged for a local send.

A shape is complete once every annotation resolves; a class that names a later one is completed at its first use.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Final

from regrove.node.core.codec import lower, raise_items, raise_value
from regrove.node.core.copying import take_fields
from regrove.node.core.errors import Misuse, RegroveError
from regrove.node.core.fitting import test_of, test_of_plain, types_of
from regrove.node.core.kinds import (
    ANYTHING,
    NUMBER_CHARGE,
    EnumKind,
    Kind,
    PlainKind,
    TupleKind,
    UnionKind,
    ValueKind,
    kind_of,
)
from regrove.node.core.tables import MESSAGE_CHARGE, TABLES, Apart, Broken, Build, Lower, Split, Take, Traits, add_enum
from regrove.transport.parts import BLOB_BYTES

OPEN_TRAITS: Final = Traits(immutable=False, size=None, callers=True)  # a base class: its subclasses are not known


class Shape:
    """The fields of one class that travels: `annotations` are resolved late, in `scope` (globals, locals).

    `lenient` takes an annotation that does not travel for `object`: for our own classes, whose constructors check.
    """

    def __init__(
        self,
        cls: type,
        name: str,
        tag: object,
        annotations: Mapping[str, object],
        defaults: Mapping[str, object],
        scope: tuple[dict[str, Any], dict[str, Any]],
        *,
        lenient: bool = False,
    ) -> None:
        self.cls = cls
        self.name = name
        self.tag = tag
        self.annotations = dict(annotations)
        self.fields = tuple(annotations)
        self.defaults = dict(defaults)
        self.scope = scope
        self.lenient = lenient
        self.kinds: dict[str, Kind] = {}
        # Where all fields are plain, or tuples of what is: whether they fit.
        self.plain: Callable[[Any], bool] | None = None if self.fields else _fits_always

    def resolve(self) -> None:
        """Read the annotations. Raises NameError while one names what does not exist yet, Misuse for a bad one."""
        if self.kinds or not self.fields:
            return
        self.kinds = {field: self._kind(field) for field in self.fields}
        self.plain = test_of_plain(self.kinds)

    def _kind(self, field: str) -> Kind:
        holder: Any = _Holder({field: self.annotations[field]})
        scope, inner = self.scope
        try:
            hint = typing.get_type_hints(holder, scope, inner | {self.cls.__name__: self.cls})[field]
            return kind_of(self.cls if hint is typing.Self else hint, f"{self.name}.{field}", self._is_value)
        except (NameError, Misuse):
            if self.lenient:
                return ANYTHING
            raise

    def _is_value(self, cls: type) -> bool:
        return cls is self.cls or cls in TABLES.names

    def adapt(self, wire: list[Any]) -> list[Any]:
        """Make `wire` as long as this class has fields: extra ones are dropped, missing ones are their defaults."""
        for field in self.fields[len(wire) - 1 :]:
            if field not in self.defaults:
                raise Broken("is missing and has no default", f".{field}")
            default = lower(self.defaults[field], 1)
            wire.append(default.data if type(default) is Apart else default)
        return wire[: len(self.fields) + 1]

    def reject(self, field: str, value: object) -> None:
        """Say what of `value` does not fit the annotation; raises Broken, unless it fits after all."""
        misfit = self.kinds[field].find(value)
        if misfit is not None:
            path, expected, got = misfit
            raise Broken(f"expected {expected}, got {describe(got)}", f".{field}{path}")


def _fits_always(_value: object) -> bool:
    return True


class _Holder:
    def __init__(self, annotations: dict[str, object]) -> None:
        self.__annotations__ = annotations


def describe(value: object) -> str:
    """Name a value in an error: its type and the beginning of its text."""
    return f"{type(value).__name__} {repr(value)[:80]}"


def install(shape: Shape) -> None:
    """Register a class by its shape, completing it now when its annotations resolve, else at its first use.

    One of our own is always completed at its first use: most processes never send or get most of them.
    """
    cls = shape.cls
    TABLES.claim(cls, shape.tag)
    TABLES.names[cls] = shape.name
    TABLES.fields[cls] = shape.fields
    TABLES.splits[cls] = _generate_split(shape)
    TABLES.shapes[cls] = shape
    if shape.lenient:
        _install_late(shape)
        return
    try:
        complete(shape)
    except NameError:
        _install_late(shape)
    except Misuse:
        TABLES.withdraw(cls, shape.tag)
        raise


def completed(cls: type) -> Shape | None:
    """Give the complete shape of a class, None when it has none. Raises Misuse when an annotation never resolves."""
    shape = TABLES.shapes.get(cls)
    if shape is not None and cls not in TABLES.traits:
        try:
            complete(shape)
        except NameError as error:
            raise Misuse(
                f"{shape.name} has an annotation that does not resolve ({error}): "
                "import what it names at run time, not under TYPE_CHECKING"
            ) from None
    return shape


def _install_late(shape: Shape) -> None:
    def lower_late(value: Any, depth: int) -> object:
        return _completed(shape, TABLES.lower)(value, depth)

    def take_late(value: Any, depth: int) -> tuple[Any, int]:
        taken: tuple[Any, int] = _completed(shape, TABLES.take)(value, depth)
        return taken

    def build_late(wire: list[Any], depth: int) -> object:
        try:
            completed(shape.cls)
        except Misuse as error:
            raise Broken(str(error)) from None
        return TABLES.build[shape.tag](wire, depth)

    TABLES.lower[shape.cls] = lower_late
    TABLES.take[shape.cls] = take_late
    TABLES.build[shape.tag] = build_late


def _completed(shape: Shape, table: dict[type, Any]) -> Any:
    completed(shape.cls)
    return table[shape.cls]


def complete(shape: Shape) -> None:
    """Resolve a shape and generate its three functions. Raises NameError or Misuse, leaving it as it was."""
    shape.resolve()
    traits = _traits(shape)
    cls = shape.cls
    for kind in _inside(shape):
        if isinstance(kind, EnumKind):
            add_enum(kind.cls)
    TABLES.traits[cls] = traits
    TABLES.lower[cls] = _generate_lower(shape)
    TABLES.build[shape.tag] = _generate_build(shape)
    TABLES.take[cls] = _generate_take(shape, traits)
    TABLES.charge(cls, traits.size)


# Traits: decided over everything a class can reach, so that classes that hold one another agree


def _traits(shape: Shape) -> Traits:
    immutable, callers = True, False
    seen = {shape.cls}
    pending = [shape]
    for current in pending:  # grows while it is walked
        current.resolve()
        for kind in _inside(current):
            inner = TABLES.shapes.get(kind.cls) if isinstance(kind, ValueKind) else None
            if inner is None:
                traits = _kind_traits(kind)
                immutable, callers = immutable and traits.immutable, callers or traits.callers
            elif inner.cls not in seen:
                seen.add(inner.cls)
                pending.append(inner)
    return Traits(immutable, _shape_size(shape, ()) if immutable else None, callers)


def _kind_traits(kind: Kind) -> Traits:
    if isinstance(kind, ValueKind):
        return TABLES.traits.get(kind.cls, OPEN_TRAITS)
    return Traits(kind.immutable, kind.size, kind.callers)


def _inside(shape: Shape) -> list[Kind]:
    """Give every kind in the fields of `shape`, at any depth; classes it holds are not entered."""
    kinds = list(shape.kinds.values())
    for kind in kinds:  # grows while it is walked
        kinds.extend(kind.parts)
    return kinds


def _shape_size(shape: Shape, around: tuple[type, ...]) -> int | None:
    sizes = [_kind_size(kind, (*around, shape.cls)) for kind in shape.kinds.values()]
    return _total(sizes, MESSAGE_CHARGE)


def _kind_size(kind: Kind, around: tuple[type, ...]) -> int | None:
    """Give the constant weight of a kind, None when it varies; `around` are the classes it is inside of."""
    inner = TABLES.shapes.get(kind.cls) if isinstance(kind, ValueKind) else None
    if inner is not None:
        return None if inner.cls in around else _shape_size(inner, around)
    if isinstance(kind, UnionKind):
        sizes = [_kind_size(part, around) for part in kind.parts]  # charged for the largest, so that it is a constant
        return None if None in sizes else max(size for size in sizes if size is not None)
    if isinstance(kind, TupleKind) and kind.rest is None:
        return _total([_kind_size(part, around) for part in kind.items], NUMBER_CHARGE * len(kind.items))
    return _kind_traits(kind).size


def _total(sizes: list[int | None], base: int) -> int | None:
    return None if None in sizes else base + sum(size for size in sizes if size is not None)


# The generated functions. Field values of the expected plain type are told by one test in line.


def _run(lines: list[str], names: dict[str, Any], function: str) -> Any:
    exec("\n".join(lines), names)
    return names[function]


def _exact(kind: Kind) -> str | None:
    """Name the type to test in line, None for kinds that need the general path."""
    if not isinstance(kind, PlainKind) or kind.allowed[0] is type(None):
        return None
    return kind.allowed[0].__name__


def _generate_split(shape: Shape) -> Split:
    if len(shape.fields) > 1:
        return attrgetter(*shape.fields)
    if not shape.fields:
        return lambda _value: ()
    field = attrgetter(*shape.fields)
    return lambda value: (field(value),)


def _generate_lower(shape: Shape) -> Lower:
    lines = ["def lower_fields(value, depth):", "    depth += 1"]
    items = ["tag"]
    for number, (field, kind) in enumerate(shape.kinds.items()):
        lines.append(f"    f{number} = value.{field}")
        exact = _exact(kind)
        small = f" and len(f{number}) < {BLOB_BYTES}" if exact == "bytes" else ""
        inline = f"f{number} if type(f{number}) is {exact}{small} else " if exact else ""
        items.append(f"{inline}lower(f{number}, depth)")
    lines.append(f"    return ({', '.join(items)},)")
    generated: Lower = _run(lines, {"lower": lower, "tag": shape.tag}, "lower_fields")
    return generated


def _generate_build(shape: Shape) -> Build:
    count = len(shape.fields) + 1
    lines = [
        "def build(wire, depth):",
        f"    if len(wire) != {count}:",
        "        wire = adapt(wire)",
        "    depth += 1",
        f"    {', '.join(['_', *(f'f{number}' for number in range(count - 1))])}, = wire",
    ]
    for number, (field, kind) in enumerate(shape.kinds.items()):
        lines += _raise_lines(f"f{number}", field, kind)
    names: dict[str, Any] = {"adapt": shape.adapt, "reject": shape.reject, "raise_value": raise_value, "Broken": Broken}
    for number, kind in enumerate(shape.kinds.values()):
        names |= {f"accepts_f{number}": test_of(kind), f"types_f{number}": types_of(kind)}
    if shape.lenient:
        names["make"] = _guarded(shape.cls)
        lines.append(f"    return make({', '.join(f'f{number}' for number in range(count - 1))})")
    else:  # a message: every field is there and fits, so its `__init__` has nothing to add
        names |= {"cls": shape.cls, "new": object.__new__}
        names |= {f"set{number}": shape.cls.__dict__[field].__set__ for number, field in enumerate(shape.fields)}
        lines.append("    made = new(cls)")
        lines += [f"    set{number}(made, f{number})" for number in range(count - 1)]
        lines.append("    return made")
    generated: Build = _run(lines, names, "build")
    return generated


def _raise_lines(value: str, field: str, kind: Kind) -> list[str]:
    """Give the lines that raise one field and hold it against its annotation; a plain one is told by one test."""
    exact = _exact(kind)
    indent = "        " if exact else "    "
    lines = [
        "try:",
        f"    {value} = raise_value({value}, depth)",
        "except Broken as broken:",
        f"    broken.path.append('.{field}')",
        "    raise",
        f"if type({value}) not in types_{value} and not accepts_{value}({value}):",
        f"    reject('{field}', {value})",
    ]
    return ([f"    if type({value}) is not {exact}:"] if exact else []) + [indent + line for line in lines]


def _guarded(cls: type) -> Callable[..., object]:
    """Build one of our own classes, whose constructor may refuse."""

    def make(*values: object) -> object:
        try:
            return cls(*values)
        except (RegroveError, ValueError, TypeError) as error:
            raise Broken(str(error)) from None

    return make


def _generate_take(shape: Shape, traits: Traits) -> Take:
    cls = shape.cls
    split = TABLES.splits[cls]
    if traits.size is not None:
        weight = traits.size
        return lambda value, _depth: (value, weight)
    general: Take = lambda value, depth: take_fields(value, depth, split, cls)  # noqa: E731
    texts = {field: _exact(kind) for field, kind in shape.kinds.items() if _exact(kind) in ("str", "bytes")}
    numbers = [_kind_size(kind, (cls,)) for field, kind in shape.kinds.items() if field not in texts]
    if not traits.immutable or None in numbers:
        return general
    base = MESSAGE_CHARGE + sum(size for size in numbers if size is not None)
    lines = ["def take(value, depth):"]
    lines += [f"    f{number} = value.{field}" for number, field in enumerate(texts)]
    tests = " and ".join(f"type(f{number}) is {exact}" for number, exact in enumerate(texts.values()))
    total = " + ".join([str(base), *(f"len(f{number})" for number in range(len(texts)))])
    lines += [f"    if {tests}:", f"        return value, {total}", "    return general(value, depth)"]
    generated: Take = _run(lines, {"general": general}, "take")
    return generated


# Our own classes that are taken apart and put together by hand


def add_custom(
    cls: type,
    tag: object,
    *,
    fields: tuple[str, ...],
    split: Split,
    join: Callable[..., object],
    traits: Traits,
    name: str,
) -> None:
    """Let `cls` travel as what `split` gives, called `fields`; `join` makes it again or raises a ValueError."""
    TABLES.claim(cls, tag)
    TABLES.fields[cls] = fields

    def build(wire: list[Any], depth: int) -> object:
        try:
            return join(*raise_items(wire, depth))
        except (ValueError, TypeError, RegroveError) as error:
            raise Broken(str(error)) from None

    TABLES.lower[cls] = lambda value, depth: (tag, *[lower(item, depth + 1) for item in split(value)])
    TABLES.build[tag] = build
    if traits.size is None:
        TABLES.take[cls] = lambda value, depth: take_fields(value, depth, split, join)
    else:
        weight = traits.size
        TABLES.take[cls] = lambda value, _depth: (value, weight)
    TABLES.charge(cls, None if traits.size is None else MESSAGE_CHARGE + traits.size)
    TABLES.traits[cls] = traits
    TABLES.splits[cls] = split
    TABLES.names[cls] = name
