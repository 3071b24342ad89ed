"""No shared modules: one process holds all simulated cores, so what one writes into a module the others would read.

Before a run the application's modules and their classes are captured. A global or a class attribute that was bound
anew, added or removed during the run fails the seed with its name, and is undone, so that no seed sees another's.
A module under test that must keep something for itself does so in names that begin with an underscore.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final

from regrove.node.core.errors import RegroveError
from regrove.supervisor.spec import AnySpec, Child, Supervisor

_ABSENT: Final = object()
_OURS: Final = ("regrove", "builtins")


class SharedState(RegroveError):
    """An isolate wrote to a module or class that all cores of the process share; `name` says which."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        super().__init__(
            f"written to during the run: {', '.join(names)}; on a real node each core has its own copy, so keep it in "
            "the isolate (self.x), pass it in a message, or send it to an isolate that owns it"
        )


class Captured:
    """The names of some modules and of the classes defined in them, as they were when they were added."""

    def __init__(self) -> None:
        self._before: list[tuple[str, Any, dict[str, Any]]] = []
        self._modules: dict[str, None] = {}

    def add(self, tree: Callable[..., Any], root: Supervisor) -> None:
        """Capture the modules in which a tree and the classes of its children are defined, each once."""
        for name in _modules_of(tree, root):
            module = sys.modules.get(name)
            if name in self._modules or module is None or name.partition(".")[0] in _OURS:
                continue
            self._modules[name] = None
            self._before.append((name, module, dict(_public(vars(module)))))
            for value in list(vars(module).values()):
                if isinstance(value, type) and value.__module__ == name:
                    self._before.append((f"{name}.{value.__qualname__}", value, dict(_public(vars(value)))))

    def undo(self) -> list[str]:
        """Put everything back; return the names of what had changed."""
        changed = []
        for place, holder, before in self._before:
            now = dict(_public(vars(holder)))
            for name in [*before, *(name for name in now if name not in before)]:
                old = before.get(name, _ABSENT)
                if now.get(name, _ABSENT) is not old and not isinstance(now.get(name), ModuleType):
                    changed.append(f"{place}.{name}")
                    _put(holder, name, old)
        return changed


def _public(names: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in names.items() if not name.startswith("_")]


def _put(holder: Any, name: str, value: object) -> None:
    if value is _ABSENT:
        delattr(holder, name)
    else:
        setattr(holder, name, value)


def _modules_of(tree: Callable[..., Any], root: Supervisor) -> list[str]:
    found: list[object] = [getattr(tree, "__module__", None)]
    waiting: list[AnySpec] = [root]
    while waiting:
        spec = waiting.pop()
        if isinstance(spec, Child):
            found.append(getattr(spec.factory, "__module__", None))
        elif isinstance(spec, Supervisor):
            waiting.extend(spec.children)
    return [name for name in found if isinstance(name, str)]
