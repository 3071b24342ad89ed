"""Dataclasses with slots at a twentieth of the price of the standard library's: a start makes two hundred classes.

`dataclass`, `field`, `fields`, `replace` and `is_dataclass` mean what they mean in `dataclasses`, and type checkers
take them for those. What is dear there is source text, compiled for each method of each class. Here `__init__` is a
copy of one compiled for its number of fields, with other names in it, and the other methods are shared. `Field` objects
of the standard library are made when somebody asks for them. A class that cannot be made this way (without slots,
ordered, compiled by mypyc) is made by the standard library. ClassVar and InitVar are not known here.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from reprlib import recursive_repr
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Final, NoReturn

__all__ = ["MISSING", "dataclass", "field", "fields", "is_dataclass", "replace"]

_FIELDS: Final = "__dataclass_fields__"  # where the standard library looks
_PARAMETERS: Final = "__dataclass_params__"


class _Token:
    """Is nothing but itself."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


_MISSING: Final = _Token("<missing>")
_FACTORY: Final = _Token("<factory>")  # the default of a parameter whose value a factory makes


class _Field:
    """A field, with the attributes of `dataclasses.Field` that are used here."""

    __slots__ = ("compare", "default", "default_factory", "hash", "init", "kw_only", "name", "type")

    def __init__(self, default: Any, default_factory: Any, compare: bool, hash: bool | None) -> None:
        self.name = ""
        self.type: Any = None
        self.kw_only = False
        self.init = True
        self.default = default
        self.default_factory = default_factory
        self.compare = compare
        self.hash = hash

    def of_the_library(self) -> Any:
        """The same as `dataclasses.field` gives it."""
        import dataclasses

        told: dict[str, Any] = {"compare": self.compare, "hash": self.hash, "kw_only": self.kw_only}
        if self.default is not _MISSING:
            told["default"] = self.default
        if self.default_factory is not _MISSING:
            told["default_factory"] = self.default_factory
        return dataclasses.field(**told)


class _Made:
    """What a class made here consists of; found where the standard library looks for its own `Field` objects."""

    __slots__ = ("_cls", "_options", "_twin", "fields")

    def __init__(self, cls: type, fields: tuple[_Field, ...], options: Mapping[str, bool]) -> None:
        self.fields = fields
        self._cls = cls
        self._options = options
        self._twin: Any = None

    def __get__(self, _instance: object, _owner: type) -> Any:
        return getattr(self.twin(), _FIELDS)

    def twin(self) -> Any:
        """A class with the same fields, as the standard library makes it; made once."""
        if self._twin is None:
            body: dict[str, Any] = {field.name: field.of_the_library() for field in self.fields}
            body["__annotations__"] = {field.name: field.type for field in self.fields}
            body["__module__"] = self._cls.__module__
            self._twin = _by_the_library(type(self._cls.__name__, (), body), self._options)
        return self._twin


class _Parameters:
    """What the standard library asks of a base class: whether it is frozen."""

    __slots__ = ("_made",)

    def __init__(self, made: _Made) -> None:
        self._made = made

    def __get__(self, _instance: object, _owner: type) -> Any:
        return getattr(self._made.twin(), _PARAMETERS)


def _field(
    *, default: Any = _MISSING, default_factory: Any = _MISSING, compare: bool = True, hash: bool | None = None
) -> Any:
    return _Field(default, default_factory, compare, hash)


def _dataclass(cls: type | None = None, /, **options: bool) -> Any:
    if cls is None:
        return lambda decorated: _decorate(decorated, options)
    return _decorate(cls, options)


def _decorate(cls: type, options: Mapping[str, bool]) -> type:
    if not options.get("slots") or options.get("order") or "__mypyc_attrs__" in vars(cls):
        for name, value in list(vars(cls).items()):
            if isinstance(value, _Field):
                setattr(cls, name, value.of_the_library())
        return _by_the_library(cls, options)
    inherited = {field.name: field for base in reversed(cls.__mro__[1:]) for field in _made_fields(base)}
    own = _own_fields(cls, options.get("kw_only", False))
    return _build(cls, own, (*(inherited | own).values(),), options)


def _by_the_library(cls: type, options: Mapping[str, bool]) -> type:
    import dataclasses

    make: Any = dataclasses.dataclass
    made: type = make(cls, **options)
    return made


def _made_fields(cls: type) -> tuple[_Field, ...]:
    """The fields of a class that was made here, those of its bases included; nothing for any other class."""
    made = vars(cls).get(_FIELDS)
    return made.fields if isinstance(made, _Made) else ()


def _own_fields(cls: type, kw_only: bool) -> dict[str, _Field]:
    body = vars(cls)
    if sys.version_info >= (3, 14):  # annotations are evaluated late there
        import annotationlib

        annotations = annotationlib.get_annotations(cls, format=annotationlib.Format.STRING)
    else:
        annotations = body.get("__annotations__", {})
    found = {}
    for name, annotation in annotations.items():
        value = body.get(name, _MISSING)
        field = value if isinstance(value, _Field) else _Field(value, _MISSING, True, None)
        if isinstance(value, list | dict | set):
            raise ValueError(f"{cls.__qualname__}.{name} has a default that can change: use default_factory")
        field.name, field.type, field.kw_only = name, annotation, kw_only
        found[name] = field
    return found


# The class is built again, with slots, as the standard library does


def _build(cls: type, own: Mapping[str, _Field], fields: tuple[_Field, ...], options: Mapping[str, bool]) -> type:
    body = {key: value for key, value in vars(cls).items() if key not in ("__dict__", "__weakref__", *own)}
    body["__slots__"] = tuple(own)
    body["__qualname__"] = cls.__qualname__
    body.setdefault("__match_args__", tuple([field.name for field in fields if not field.kw_only]))
    frozen = options.get("frozen", False)
    if options.get("repr", True):
        body.setdefault("__repr__", _repr)
    if options.get("eq", True):
        _add_equality(cls, body, fields, frozen)
    if frozen:
        body.setdefault("__getstate__", _get_state)
        body.setdefault("__setstate__", _set_state)
    body.setdefault("__replace__", _replace)
    metaclass: Any = type(cls)
    made: Any = metaclass(cls.__name__, cls.__bases__, body)
    description = _Made(made, fields, options)
    setattr(made, _FIELDS, description)
    setattr(made, _PARAMETERS, _Parameters(description))
    if frozen:
        _freeze(made, frozenset([field.name for field in fields]))
    if options.get("init", True) and "__init__" not in body:
        made.__init__ = _initialiser(made, fields, frozen)
    result: type = made
    return result


def _add_equality(cls: type, body: dict[str, Any], fields: tuple[_Field, ...], frozen: bool) -> None:
    if "__eq__" not in body:
        names = [field.name for field in fields if field.compare]
        body["__eq__"] = _function(cls, _copy(_comparison(len(names)), names), {})
    if body.get("__hash__") is not None:
        return
    body["__hash__"] = None
    if frozen:
        hashed = [each.name for each in fields if (each.compare if each.hash is None else each.hash)]
        body["__hash__"] = _function(cls, _copy(_hashing(len(hashed)), hashed), {})


def _freeze(made: Any, names: frozenset[str]) -> None:
    def __setattr__(self: object, name: str, value: object) -> None:  # noqa: N807
        if type(self) is made or name in names:
            _refuse(f"cannot assign to field {name!r}")
        super(made, self).__setattr__(name, value)

    def __delattr__(self: object, name: str) -> None:  # noqa: N807
        if type(self) is made or name in names:
            _refuse(f"cannot delete field {name!r}")
        super(made, self).__delattr__(name)

    for method in (__setattr__, __delattr__):
        if method.__name__ in vars(made):
            raise TypeError(f"{made.__qualname__} is frozen and defines {method.__name__}")
        method.__qualname__ = f"{made.__qualname__}.{method.__name__}"
        setattr(made, method.__name__, method)


def _refuse(text: str) -> NoReturn:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(text)


@recursive_repr()
def _repr(self: Any) -> str:
    shown = ", ".join([f"{field.name}={getattr(self, field.name)!r}" for field in _fields(self)])
    return f"{self.__class__.__qualname__}({shown})"


def _get_state(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in _fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for field, value in zip(_fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)


# One source text for a number of fields, compiled once; each class gets the code with the names of its own fields in it


def _compiled(*lines: str) -> CodeType:
    space: dict[str, Any] = {}
    exec(compile("\n".join(lines), "<record>", "exec"), space)
    code: CodeType = space.popitem()[1].__code__
    return code


@cache
def _comparison(count: int) -> CodeType:
    mine, others = ("".join([f"{one}.field{number}, " for number in range(count)]) for one in ("self", "other"))
    return _compiled(
        "def __eq__(self, other):",
        "    if other.__class__ is self.__class__:",
        f"        return ({mine}) == ({others})",
        "    return NotImplemented",
    )


@cache
def _hashing(count: int) -> CodeType:
    mine = "".join([f"self.field{number}, " for number in range(count)])
    return _compiled("def __hash__(self):", f"    return hash(({mine}))")


@cache
def _initialisation(positional: int, keywords: int, factories: tuple[int, ...], frozen: bool, after: bool) -> CodeType:
    names = [f"field{number}" for number in range(positional + keywords)]
    star = ["*"] if keywords else []
    lines = [f"def __init__({', '.join(['self', *names[:positional], *star, *names[positional:]])}):"]
    for number, name in enumerate(names):
        value = f"make{number}() if {name} is FACTORY else {name}" if number in factories else name
        lines.append(f"    SET(self, {name!r}, {value})" if frozen else f"    self.{name} = {value}")
    lines.append("    self.__post_init__()" if after else "    return None")
    return _compiled(*lines)


def _copy(template: CodeType, fields: Sequence[str]) -> CodeType:
    """The same code about other fields."""
    names = {f"field{number}": name for number, name in enumerate(fields)}
    return template.replace(
        co_varnames=tuple([names.get(name, name) for name in template.co_varnames]),
        co_names=tuple([names.get(name, name) for name in template.co_names]),
        co_consts=tuple([names.get(value, value) if type(value) is str else value for value in template.co_consts]),
    )


def _function(cls: type, code: CodeType, space: dict[str, Any], defaults: tuple[Any, ...] | None = None) -> Any:
    space["__name__"] = cls.__module__
    made = FunctionType(code, space, code.co_name, defaults)
    made.__qualname__ = f"{cls.__qualname__}.{code.co_name}"
    return made


def _initialiser(cls: Any, fields: tuple[_Field, ...], frozen: bool) -> Any:
    ordered = [*(each for each in fields if not each.kw_only), *(each for each in fields if each.kw_only)]
    positional = sum([not each.kw_only for each in ordered])
    made = [number for number, each in enumerate(ordered) if each.default_factory is not _MISSING]
    defaults = {each.name: _default(each) for each in ordered if _default(each) is not _MISSING}
    given = tuple([defaults[each.name] for each in ordered[:positional] if each.name in defaults])
    if any(each.name not in defaults for each in ordered[positional - len(given) : positional]):
        raise TypeError(f"{cls.__qualname__} has a field without a default behind one that has one")
    after = hasattr(cls, "__post_init__")
    template = _initialisation(positional, len(ordered) - positional, tuple(made), frozen, after)
    space: dict[str, Any] = {"SET": object.__setattr__, "FACTORY": _FACTORY}
    space.update((f"make{number}", ordered[number].default_factory) for number in made)
    code = _copy(template, [each.name for each in ordered])
    initialiser = _function(cls, code, space, given or None)
    keywords = {each.name: defaults[each.name] for each in ordered[positional:] if each.name in defaults}
    initialiser.__kwdefaults__ = keywords or None
    initialiser.__annotations__ = {**{each.name: each.type for each in ordered}, "return": None}
    return initialiser


def _default(field: _Field) -> Any:
    return field.default if field.default_factory is _MISSING else _FACTORY


# What is asked of such a class


def _fields(of: Any) -> tuple[Any, ...]:
    """The fields of a dataclass, or of a value of one, wherever it was made."""
    cls = of if isinstance(of, type) else type(of)
    for base in cls.__mro__:
        found = vars(base).get(_FIELDS)
        if isinstance(found, _Made):
            return found.fields
        if found is not None:
            break
    import dataclasses

    converted = []
    for each in dataclasses.fields(cls):
        own = [_MISSING if value is dataclasses.MISSING else value for value in (each.default, each.default_factory)]
        field = _Field(own[0], own[1], each.compare, each.hash)
        field.name, field.type, field.init = each.name, each.type, each.init
        converted.append(field)
    return tuple(converted)


def _replace(of: Any, /, **changes: Any) -> Any:
    for field in _fields(of):
        changes.setdefault(field.name, getattr(of, field.name))
    return of.__class__(**changes)


def _is_dataclass(value: object) -> bool:
    cls = value if isinstance(value, type) else type(value)
    return any(_FIELDS in vars(base) for base in cls.__mro__)


if TYPE_CHECKING:
    from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
else:
    MISSING, dataclass, field, fields = _MISSING, _dataclass, _field, _fields
    is_dataclass, replace = _is_dataclass, _replace
