"""A value as a text that two runs can compare: what it holds, in order; never an address, nor a `__repr__`.

The order of a set, and what a weak reference refers to, are left out: they matter only where something reads them.
"""

from __future__ import annotations

import weakref
from collections import deque
from enum import Enum
from types import FunctionType, MethodType, ModuleType
from typing import Any, Final

from regrove.node.core.address import Address, Name
from regrove.node.core.effects import Effect
from regrove.node.core.outcomes import Outcome

DEPTH: Final = 4
LONG: Final = 64  # parts of one value that are looked at
TEXT: Final = 300
_PLAIN: Final = (int, bool, float, complex, type(None))
_WEAK: Final = (weakref.ref, weakref.WeakSet, weakref.WeakKeyDictionary, weakref.WeakValueDictionary)
_OPENED: Final = (Address, Name, Effect, Outcome)  # of our own values, those that carry what an application says


def told(value: object, depth: int = DEPTH) -> str:
    """The text of a value, `depth` levels deep."""
    kind = type(value)
    if kind in _PLAIN:
        return repr(value)
    if isinstance(value, str | bytes):
        return f"{value[:TEXT]!r}:{len(value)}"
    if isinstance(value, Enum):
        return f"{kind.__qualname__}.{value.name}"
    if isinstance(value, type | FunctionType | ModuleType):
        return getattr(value, "__qualname__", value.__name__)
    if isinstance(value, MethodType):
        return value.__func__.__qualname__
    if depth == 0 or isinstance(value, _WEAK):
        return kind.__qualname__
    return f"{kind.__qualname__}({_parts(value, depth - 1)})"


def _parts(value: Any, depth: int) -> str:
    if isinstance(value, tuple | list | deque):
        return ",".join([told(each, depth) for each in list(value)[:LONG]] + [str(len(value))])
    if isinstance(value, dict):
        rows = list(dict.items(value))
        return ",".join([f"{told(key, depth)}:{told(each, depth)}" for key, each in rows[:LONG]] + [str(len(rows))])
    if isinstance(value, set | frozenset):
        return ",".join(sorted(told(each, depth) for each in value)[:LONG])
    module = type(value).__module__
    if module.partition(".")[0] == "regrove" and not isinstance(value, _OPENED):
        return ""
    return ",".join(f"{name}={told(each, depth)}" for name, each in _attributes(value))


def _attributes(value: object) -> list[tuple[str, object]]:
    found = dict(getattr(value, "__dict__", {})) if "__dict__" in dir(type(value)) else {}
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__", "cell") and name not in found:
                try:
                    found[name] = object.__getattribute__(value, name)
                except AttributeError:
                    continue
    return list(found.items())[:LONG]
