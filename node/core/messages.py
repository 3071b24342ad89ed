"""Messages: frozen values with a wire name and a generated codec; nothing is shared between two isolates.

`@message` makes the class. `prepare` is a local send, `encode` and `decode` are the way over a link, `check` holds a
value against its annotations. Plain values travel too: None, bool, int (64 bit), float, str, bytes, tuple, list, dict,
enums, addresses, names, callers, reasons.
"""

from __future__ import annotations

import reprlib
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, TypeVar, dataclass_transform, overload

from regrove.node.core.codec import decode, decode_all, decode_array, encode, payload_of
from regrove.node.core.copying import prepare, take
from regrove.node.core.errors import Misuse
from regrove.node.core.inspection import callers_in, check, digest, schema_digest
from regrove.node.core.shapes import Shape, install
from regrove.node.core.tables import TABLES, Refused
from regrove.node.core.vocabulary import register_value

__all__ = [
    "FIXED",
    "callers_in",
    "check",
    "decode",
    "decode_all",
    "decode_array",
    "digest",
    "encode",
    "is_message",
    "message",
    "payload_of",
    "prepare",
    "register_value",
    "schema_digest",
]

T = TypeVar("T")

FIXED: Final[Mapping[type, int]] = TABLES.fixed  # immutable classes whose charge is a constant
CHARGES: Final = TABLES.charges  # it, and 0 for other classes: the hot path's short cut
UNCHARGED: Final = TABLES.uncharged


@overload
def message(cls: type[T], /) -> type[T]: ...


@overload
def message(*, name: str | None = None) -> Callable[[type[T]], type[T]]: ...


@dataclass_transform(frozen_default=True, eq_default=True)
def message(cls: type[T] | None = None, /, *, name: str | None = None) -> type[T] | Callable[[type[T]], type[T]]:
    """Make a frozen value class that travels: slots, equality and hash by value, match arguments, repr.

    `name` is the wire name, `module:Class` by default. A list or dict as a default is copied for each value. Raises
    Misuse for a class of `__main__`, an annotation that does not travel, and a name another class has.
    """
    frame = sys._getframe(1)
    scope = (frame.f_globals, {} if frame.f_locals is frame.f_globals else dict(frame.f_locals))
    if cls is None:
        return lambda decorated: _make(decorated, name, scope)
    return _make(cls, name, scope)


def is_message(value: object) -> bool:
    """Tell whether `value` is a class that @message made."""
    shape = TABLES.shapes.get(value) if isinstance(value, type) else None
    return shape is not None and not shape.lenient


def _make(cls: type[T], name: str | None, scope: tuple[dict[str, Any], dict[str, Any]]) -> type[T]:
    wire_name = _wire_name(cls, name)
    annotations = _own_annotations(cls, wire_name)
    defaults = {field: vars(cls)[field] for field in annotations if field in vars(cls)}
    _validate(cls, wire_name, annotations, defaults)
    made = _with_slots(cls, annotations, defaults)
    install(Shape(made, wire_name, wire_name, annotations, defaults, scope))
    return made


def _wire_name(cls: type, name: str | None) -> str:
    if not isinstance(cls, type):
        raise Misuse(f"@message decorates a class, got {cls!r}")
    if name is not None:
        if not isinstance(name, str) or not 0 < len(name) <= 200:
            raise Misuse(f"@message(name=...) takes a string of 1 to 200 characters, got {name!r}")
        return name
    if cls.__module__ == "__main__":
        raise Misuse(
            f"message class {cls.__qualname__} is defined in __main__, which is another module in every other "
            "process: move it to a module that is imported, or start the script with `regrove start FILE:app`"
        )
    return f"{cls.__module__}:{cls.__qualname__}"


def _own_annotations(cls: type, where: str) -> dict[str, object]:
    """Give the fields in order, as written; class variables are none."""
    if sys.version_info >= (3, 14):  # annotations are evaluated late there, and may name later classes
        import annotationlib

        own = annotationlib.get_annotations(cls, format=annotationlib.Format.STRING)
    else:
        own = vars(cls).get("__annotations__", {})
    fields = {}
    for field, annotation in own.items():
        text = annotation if isinstance(annotation, str) else ""
        if typing.get_origin(annotation) is typing.ClassVar or text.startswith(("ClassVar", "typing.ClassVar")):
            continue
        if field.startswith(("__", f"_{cls.__name__.lstrip('_')}__")):  # the second is what Python makes of the first
            raise Misuse(f"{where}.{field}: a field cannot begin with two underscores")
        fields[field] = annotation
    return fields


def _validate(cls: type, where: str, annotations: dict[str, object], defaults: dict[str, object]) -> None:
    if cls in TABLES.names:
        raise Misuse(f"{where} is decorated twice with @message")
    for base in cls.__mro__[1:-1]:
        if base in TABLES.names:
            raise Misuse(f"{where} extends {TABLES.names[base]}: a message is final; hold one in a field instead")
        if vars(base).get("__slots__") != ():
            raise Misuse(f"{where} extends {base.__qualname__}, which has state: give it `__slots__ = ()`")
    for method in ("__init__", "__new__", "__slots__", "__post_init__", "__setattr__"):
        if method in vars(cls):
            raise Misuse(f"{where} defines {method}, which @message makes: write a function that builds the message")
    optional = ""
    for field in annotations:
        if field in defaults:
            optional = field
        elif optional:
            raise Misuse(f"{where}.{field} has no default and follows {optional}, which has one: put it before")
    for field, default in defaults.items():
        try:
            take(default, 0)
        except Refused:
            raise Misuse(f"{where}.{field} has the default {default!r}, which does not travel") from None


# The class: `__init__` writes through the slots' own descriptors, past a `__setattr__` that refuses everybody else


def _with_slots(cls: type[T], annotations: Mapping[str, object], defaults: Mapping[str, object]) -> type[T]:
    """Build the class again, with slots."""
    body = {key: value for key, value in vars(cls).items() if key not in ("__dict__", "__weakref__", *annotations)}
    body["__slots__"] = tuple(annotations)
    body["__qualname__"] = cls.__qualname__
    body["__match_args__"] = tuple(annotations)
    body["__setattr__"] = _refuse_set
    body["__delattr__"] = _refuse_delete
    body.setdefault("__repr__", _repr)
    metaclass: Any = type(cls)
    made: type[T] = metaclass(cls.__name__, cls.__bases__, body)
    _generate_methods(made, annotations, defaults)
    for value in body.values():
        _rebind_super(value, cls, made)
    return made


def _rebind_super(value: object, old: type, new: type) -> None:
    """Let `super()` and `__class__` in a method mean the class with slots."""
    function = getattr(value, "__func__", value)
    function = getattr(function, "fget", function)
    for cell in getattr(function, "__closure__", None) or ():
        if cell.cell_contents is old:
            cell.cell_contents = new


def _generate_methods(cls: Any, annotations: Mapping[str, object], defaults: Mapping[str, object]) -> None:
    fields = tuple(annotations)
    # Fields are parameters of `__init__`: what it uses beside them has names that no field has.
    names: dict[str, Any] = {"cls": cls, "regrove_copy": lambda value: take(value, 0)[0]}
    own = "self" if "self" not in fields else "regrove_self"
    parameters = [own]
    body = []
    for number, field in enumerate(fields):
        names[f"regrove_set{number}"] = cls.__dict__[field].__set__
        parameters.append(field)
        value = field
        if field in defaults:
            names[f"regrove_default{number}"] = defaults[field]
            parameters[-1] = f"{field}=regrove_default{number}"
            if isinstance(defaults[field], list | dict):
                value = f"regrove_copy({field}) if {field} is regrove_default{number} else {field}"
        body.append(f"    regrove_set{number}({own}, {value})")
    mine = "".join(f"self.{field}, " for field in fields)
    others = "".join(f"other.{field}, " for field in fields)
    lines = [
        *([f"def __init__({', '.join(parameters)}):", *body] if fields else []),
        "def __eq__(self, other):",
        "    if other.__class__ is not cls:",
        "        return NotImplemented",
        f"    return ({mine}) == ({others})",
        "def __hash__(self):",
        f"    return hash((cls, {mine}))",
        "def __reduce__(self):",
        f"    return (cls, ({mine}))",
    ]
    exec("\n".join(lines), names)
    for method in ("__init__", "__eq__", "__hash__", "__reduce__"):
        if method in names and method not in vars(cls):
            names[method].__qualname__ = f"{cls.__qualname__}.{method}"
            names[method].__module__ = cls.__module__
            setattr(cls, method, names[method])
    if fields:
        cls.__init__.__annotations__ = dict(annotations)


@reprlib.recursive_repr()
def _repr(self: Any) -> str:
    cls = type(self)
    return f"{cls.__qualname__}({', '.join(f'{field}={getattr(self, field)!r}' for field in cls.__slots__)})"


def _refuse_set(self: object, field: str, _value: object) -> NoReturn:
    raise AttributeError(f"{type(self).__qualname__} is a message and never changes: build a new one to set {field}")


def _refuse_delete(self: object, field: str) -> NoReturn:
    raise AttributeError(f"{type(self).__qualname__} is a message and never changes: {field} stays")
