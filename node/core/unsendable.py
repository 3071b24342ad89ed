"""Why a value does not travel: the slow walk behind a refused send, which finds the place and names the mend."""

from __future__ import annotations

import enum

from regrove.node.core.errors import UnsendableValue
from regrove.node.core.tables import DEPTH_LIMIT, ITEMS_LIMIT, SCALARS, TABLES


def explain(value: object) -> UnsendableValue:
    """Find the first place in `value` that does not travel; only called once a send was refused."""
    root = TABLES.names.get(type(value), "message")
    found = _find_unsendable(value, root, 0)
    return found if found is not None else UnsendableValue(root, value, "it changed while it was being sent")


def _find_unsendable(value: object, path: str, depth: int) -> UnsendableValue | None:
    cls = type(value)
    if cls is int and not -(2**63) <= value < 2**64:  # type: ignore[operator]
        return UnsendableValue(path, value, "an int travels from -2**63 to 2**64 - 1; send this one as bytes")
    if cls is str:
        try:
            value.encode()  # type: ignore[attr-defined]
        except UnicodeEncodeError:
            return UnsendableValue(path, value, "it holds a lone surrogate; send os.fsencode(value) or other bytes")
    if cls in SCALARS:
        return None
    if depth > DEPTH_LIMIT:
        return UnsendableValue(
            path[:200], value, f"it is nested deeper than {DEPTH_LIMIT}, or contains itself; send it flat"
        )
    if cls in (list, tuple, dict) and len(value) > ITEMS_LIMIT // (2 if cls is dict else 1):  # type: ignore[arg-type]
        return UnsendableValue(path, value, f"it has over {ITEMS_LIMIT} elements; send it in pieces")
    places = _places(value, path)
    if places is None:
        return UnsendableValue(path, value, _mend(value))
    for inner, place in places:
        found = _find_unsendable(inner, place, depth + 1)
        if found is not None:
            return found
    return None


def _places(value: object, path: str) -> list[tuple[object, str]] | None:
    """Give what `value` holds, each with its path; None when its class does not travel at all."""
    if type(value) is list or type(value) is tuple:
        return [(item, f"{path}[{index}]") for index, item in enumerate(value)]
    if type(value) is dict:
        keys = [(key, f"{path} key {key!r:.80}") for key in value]
        return keys + [(item, f"{path}[{key!r:.80}]") for key, item in value.items()]
    cls = type(value)
    split = TABLES.splits.get(cls)
    if split is not None:
        return [(item, f"{path}.{name}") for name, item in zip(TABLES.fields[cls], split(value), strict=True)]
    return [] if cls in TABLES.lower or isinstance(value, enum.Enum) else None


def _mend(value: object) -> str:
    cls = type(value)
    if isinstance(value, set | frozenset):
        return "send a tuple or a list, sorted when the order matters"
    if isinstance(value, bytearray | memoryview):
        return "send bytes(value)"
    if cls.__module__ == "regrove.node.core.handles":
        return "it belongs to its isolate; send an Address or a message that says what to do"
    if cls in TABLES.names:
        return "its class was defined again since (a module loaded twice); build it from the class in use now"
    for plain in (bool, int, float, str, bytes, tuple, list, dict):
        if isinstance(value, plain):
            return f"send the plain value, {plain.__name__}(value), or make the class a @message"
    if callable(value):
        return "send a message that says what to do, not the code; of factories, only classes of isolates travel"
    return "decorate its class with @message, or send plain values"
