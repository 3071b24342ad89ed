"""The watch over one run: each call by which the application reads what the seed does not decide, at its line.

It hooks this whole process and is never undone (Python forgets no audit hook), so only a forked child does it.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from types import FrameType, FunctionType, ModuleType
from typing import Any, Final

from regrove.node.simulation.auditing.findings import Finding
from regrove.node.simulation.auditing.owners import Owner, Owners
from regrove.node.simulation.auditing.sources import (
    Rule,
    aliases,
    c_functions,
    of_event,
    of_hidden_random,
    python_functions,
)

HASH: Final = Rule("hash()", "a number that differs in each process", "use zlib.crc32 or hashlib")
_STABLE_NONE: Final = sys.version_info >= (3, 12)


class Watch:
    """Begins with `begin()`; `findings` are in the order of their first calls, one a line."""

    def __init__(self) -> None:
        self.owners = Owners()
        self._found: dict[tuple[str, int], Finding] = {}
        self._c = c_functions()
        self._python = python_functions()
        self._on = False
        self._busy = False

    @property
    def findings(self) -> list[Finding]:
        """What was found so far."""
        return list(self._found.values())

    def begin(self) -> None:
        """Watch from now on. Modules of the application get watched stand-ins for `hash` and for their aliases."""
        for module in application_modules(self.owners):
            self._dress(module)
        self._on = True
        sys.addaudithook(self._audited)
        sys.setprofile(self._profiled)

    def end(self) -> None:
        """Watch no longer."""
        sys.setprofile(None)
        self._on = False

    # --- what Python tells ---

    def _profiled(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call":
            rule = self._c.get(argument) or of_hidden_random(argument)
            if rule is not None:
                self.note(frame, rule)
        elif event == "call":
            look = self._python.get(frame.f_globals.get("__name__", ""))
            if look is not None and (rule := look(frame)) is not None:
                self.note(frame.f_back, rule)

    def _audited(self, event: str, arguments: tuple[object, ...]) -> None:
        if self._on and not self._busy and (rule := of_event(event)) is not None:
            self.note(sys._getframe(1), rule)

    def note(self, frame: FrameType | None, rule: Rule) -> None:
        """Note a call from this frame, when the application is to blame for it."""
        self._busy = True  # what is done here is ours
        try:
            blamed = self.owners.to_blame(frame)
            if blamed is not None and (blamed is frame or not rule.near):
                place = blamed.f_code.co_filename, blamed.f_lineno
                self._found.setdefault(place, Finding(*place, f"{rule.name} reads {rule.what}", rule.mend))
        finally:
            self._busy = False

    # --- stand-ins ---

    def _dress(self, module: ModuleType) -> None:
        names = vars(module)
        for name, function, rule in aliases(names, self._c):
            names[name] = self._stand_in(function, rule)
        for function in functions_of(module):
            defaults = dict(enumerate(function.__defaults__ or ()))
            replaced = {str(at): value for at, value in defaults.items()}
            for name, value, rule in aliases(replaced, self._c):
                defaults[int(name)] = self._stand_in(value, rule)
            function.__defaults__ = tuple(defaults.values()) or None
        if "hash" not in names:
            names["hash"] = self._hash

    def _stand_in(self, function: Callable[..., Any], rule: Rule) -> Callable[..., Any]:
        def watched(*args: Any, **options: Any) -> Any:
            self.note(sys._getframe(1), rule)
            return function(*args, **options)

        return watched

    def _hash(self, value: object, /) -> int:
        caller = sys._getframe(1)
        if caller.f_code.co_name != "__hash__" and differs(value):
            self.note(caller, HASH)
        return builtins.hash(value)


def application_modules(owners: Owners) -> Iterator[ModuleType]:
    """The modules that are loaded and belong neither to Python, nor to an installed package, nor to us."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and name.partition(".")[0] != "regrove" and not owners.is_library(file):
            yield module


def functions_of(module: ModuleType) -> Iterator[FunctionType]:
    """The functions that a module and its classes define."""
    for value in list(vars(module).values()):
        inside = list(vars(value).values()) if isinstance(value, type) and value.__module__ == module.__name__ else []
        for each in (value, *inside):
            function = getattr(each, "__func__", each)  # a classmethod or staticmethod has it inside
            if isinstance(function, FunctionType) and function.__module__ == module.__name__:
                yield function


def differs(value: object) -> bool:
    """Whether `hash(value)` may be another number in another process."""
    if value is None:
        return not _STABLE_NONE
    if isinstance(value, str | bytes):
        return bool(value)
    if isinstance(value, tuple | frozenset):
        return any(differs(each) for each in value)
    if is_dataclass(value) and not isinstance(value, type):
        return any(differs(getattr(value, each.name)) for each in fields(value))
    return type(value).__hash__ is object.__hash__


__all__ = ["Owner", "Watch", "application_modules", "functions_of"]
