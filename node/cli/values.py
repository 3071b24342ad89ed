"""From literals and JSON to values that travel, and back: what `regrove call` sends and prints.

JSON shapes (docs/shapes.md, version 1): a JSON value stands for itself; what JSON lacks is an object with one `$` key
    {"$message": "bank:Add", "amount": 1} · {"$enum": "bank:Colour.RED"} · {"$tuple": [..]} · {"$bytes": base64}
    {"$name": "ledger", "node": .., "core": ..} · {"$dict": [[key, value], ..]} when a key is no text or begins with $
and, in answers only, {"$address": text} and {"$other": repr}. A class is called only if it is a message class or an
enum: a module named by the user is imported, nothing else of it runs.
"""

from __future__ import annotations

import base64
import binascii
import enum
import importlib
import json
import math
import os
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

from regrove.node.cli.literals import MAX_DEPTH, Build, Items, Literal, Member, Plain, parse
from regrove.node.core.address import Address, Name
from regrove.node.core.errors import Misuse
from regrove.node.core.messages import check
from regrove.node.core.tables import TABLES

OURS: Final[Mapping[str, type]] = {"Name": Name}
INT_MIN, INT_MAX = -(2**63), 2**64 - 1  # what msgpack carries


class BadValue(Misuse):
    """A value given on the command line cannot be built; the text says which and how to mend it."""


def from_text(text: str) -> object:
    """Read one literal and build its value; imports the modules it names. Raises LiteralError or BadValue."""
    return _build(parse(text), None)


def from_json(text: str) -> object:
    """Read one JSON document and build its value. Raises BadValue."""
    try:
        document = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as problem:
        raise BadValue(f"the input is not JSON: {problem}; give one document, such as 1 or {_SHAPE}") from None
    return _from_document(document, "$", 0)


def to_json(value: object) -> Any:
    """The JSON shape of a value that came back."""
    match value:
        case bool() | int() | str() | None:
            return value if not isinstance(value, enum.Enum) else {"$enum": f"{_reference(type(value))}.{value.name}"}
        case float():
            return value if math.isfinite(value) else {"$other": repr(value)}
        case bytes():
            return {"$bytes": base64.b64encode(value).decode("ascii")}
        case Name():
            return {"$name": value.name, "node": value.node, "core": value.core}
        case Address():
            return {"$address": str(value)}
        case tuple() if type(value) is tuple:
            return {"$tuple": [to_json(element) for element in value]}
        case list():
            return [to_json(element) for element in value]
        case dict():
            return _dict_to_json(value)
        case enum.Enum():
            return {"$enum": f"{_reference(type(value))}.{value.name}"}
        case _:
            return _object_to_json(value)


def is_message(kind: object) -> bool:
    """Tell whether a value of this class travels field by field: a message class, or one of ours such as `Name`."""
    return isinstance(kind, type) and kind in TABLES.shapes


def import_module(name: str) -> ModuleType:
    """Import a module the user named, with the working directory first on the path. Raises BadValue."""
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name is not None and (name == problem.name or name.startswith(f"{problem.name}.")):
            raise BadValue(
                f"there is no module {name!r} in {folder} or on the path; run in its folder, or install it"
            ) from None
        raise BadValue(f"module {name!r} does not import: {problem}; install what it needs") from problem
    except Exception as problem:
        raise BadValue(f"module {name!r} does not import: {type(problem).__name__}: {problem}; mend it") from problem


_SHAPE: Final = '{"$message": "bank:Add", "amount": 1}'


def _no_constant(text: str) -> float:
    raise BadValue(f"the input holds {text}, which is not JSON; leave it out")


def _is_enum(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


def _reference(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _look_up(module: str | None, name: str, what: str) -> Any:
    if module is None:
        if name in OURS:
            return OURS[name]
        raise BadValue(f"{name!r} does not say its module; write module:{name}, for example 'bank:{name}(...)'")
    found = getattr(import_module(module), name, None)
    if found is None:
        raise BadValue(f"module {module!r} has no {name!r}; {_offer(module, what)}")
    return found


def _offer(module: str, what: str) -> str:
    contents = vars(importlib.import_module(module))
    fits = is_message if what == "message" else _is_enum
    names = sorted(name for name, value in contents.items() if fits(value))
    return f"it has {', '.join(names[:12])}" if names else f"it has no {what} class"


def _call(kind: Any, module: str | None, name: str, args: list[object], kwargs: dict[str, object]) -> object:
    if not is_message(kind):
        shown = f"{module}:{name}" if module else name
        raise BadValue(f"{shown} is not a message class, so it is not called; put @message on it, or name another")
    try:
        built: object = kind(*args, **kwargs)
        check(built)
        return built
    except (TypeError, Misuse) as problem:
        raise BadValue(f"{name}: {problem}; its fields are {_fields(kind)}") from None


def _fields(kind: type) -> str:
    return ", ".join(TABLES.fields.get(kind, ())) or "none"


def _member(kind: Any, path: str, member: str) -> object:
    if not _is_enum(kind):
        raise BadValue(f"{path} is not an enum; messages are written with parentheses: {path}(...)")
    try:
        return kind[member]
    except KeyError:
        raise BadValue(f"{path} has no member {member!r}; it has {', '.join(kind.__members__)}") from None


def _build(literal: Literal, module: str | None) -> object:
    match literal:
        case Plain(value):
            return _checked(value)
        case Items(kind, elements):
            built: list[Any] = [_build(element, module) for element in elements]
            if kind is dict:  # of its pairs
                for key, _ in built:
                    _check_key(key, "a dict", "tuples")
            return kind(built)
        case Member(own, name, member):
            place = own or module
            return _member(_look_up(place, name, "enum"), f"{place}:{name}", member)
        case Build(own, name, args, kwargs):
            place = own or (None if name in OURS else module)
            kind = _look_up(place, name, "message")
            built = [_build(argument, place or module) for argument in args]
            return _call(kind, place, name, built, {key: _build(value, place or module) for key, value in kwargs})


def _checked(value: object) -> object:
    if type(value) is int and not INT_MIN <= value <= INT_MAX:
        raise BadValue(f"the number {str(value)[:40]} has more than 64 bits; such a number travels as text only")
    return value


def _from_document(document: object, path: str, depth: int) -> object:
    if depth > MAX_DEPTH:
        raise BadValue(f"{path} nests deeper than {MAX_DEPTH} levels; messages do not")
    match document:
        case list():
            return [_from_document(element, f"{path}[{index}]", depth + 1) for index, element in enumerate(document)]
        case dict():
            return _from_object(document, path, depth)
        case _:
            return _checked(document)


def _from_object(document: dict[str, object], path: str, depth: int) -> object:
    marks = [key for key in document if key.startswith("$")]
    if not marks:
        return {key: _from_document(value, f"{path}.{key}", depth + 1) for key, value in document.items()}
    if len(marks) > 1:
        raise BadValue(f"{path} holds {' and '.join(marks)}; one object has one $ key, for example {_SHAPE}")
    mark = marks[0]
    content = document[mark]
    rest = {key: _from_document(value, f"{path}.{key}", depth + 1) for key, value in document.items() if key != mark}
    if rest and mark not in ("$message", "$name"):
        raise BadValue(f"{path} holds {', '.join(rest)} beside {mark}; nothing else stands there")
    match mark, content:
        case "$message", str():
            module, name = _split(content, path)
            return _call(_look_up(module, name, "message"), module, name, [], rest)
        case "$enum", str():
            module, name = _split(content, path)
            name, _, member = name.rpartition(".")
            return _member(_look_up(module, name, "enum"), f"{module}:{name}", member)
        case "$name", str():
            return _call(Name, None, "Name", [content], rest)
        case "$tuple", list():
            return tuple(_from_document(element, f"{path}[{n}]", depth + 1) for n, element in enumerate(content))
        case "$bytes", str():
            return _bytes(content, path)
        case "$dict", list():
            return dict(_pair(element, f"{path}[{n}]", depth + 1) for n, element in enumerate(content))
        case _:
            raise BadValue(
                f"{path} holds {mark!r} with a {type(content).__name__}; see docs/shapes.md, for example {_SHAPE}"
            )


def _split(reference: str, path: str) -> tuple[str, str]:
    module, colon, name = reference.partition(":")
    if not (module and colon and name):
        raise BadValue(f"{path} names {reference!r}; write module:Class, for example {_SHAPE}")
    return module, name


def _bytes(content: str, path: str) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as problem:
        raise BadValue(f"{path} is not base64: {problem}; encode the bytes again") from None


def _pair(element: object, path: str, depth: int) -> tuple[object, object]:
    if not isinstance(element, list) or len(element) != 2:
        raise BadValue(f"{path} is not a pair; write [key, value]")
    key = _from_document(element[0], path, depth)
    _check_key(key, path, "$tuple")
    return key, _from_document(element[1], path, depth)


def _check_key(key: object, where: str, tuples: str) -> None:
    if isinstance(key, list | dict):
        raise BadValue(f"{where} has a {type(key).__name__} as its key; keys are plain values or {tuples}")
    try:
        hash(key)
    except TypeError:
        text = f"{where} has a key with a list or a dict inside; keys are plain values or {tuples} of these"
        raise BadValue(text) from None


def _dict_to_json(value: Mapping[object, object]) -> Any:
    if all(isinstance(key, str) and not key.startswith("$") for key in value):
        return {str(key): to_json(element) for key, element in value.items()}
    return {"$dict": [[to_json(key), to_json(element)] for key, element in value.items()]}


def _object_to_json(value: object) -> Any:
    kind = type(value)
    if not is_message(kind):
        return {"$other": repr(value)}
    fields = {field: to_json(getattr(value, field)) for field in TABLES.fields[kind]}
    return {"$message": TABLES.names[kind], **fields}
