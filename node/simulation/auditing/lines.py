"""The record of one run, line by line: what each line of the application left in its variables, and passed on.

Two records of one seed are compared; the first row at which they part names the line that made them part.
"""

from __future__ import annotations

import gc
import sys
from types import FrameType
from typing import Any, Final, NamedTuple

from regrove.node.simulation.auditing.owners import Owner, Owners
from regrove.node.simulation.auditing.values import told
from regrove.node.simulation.auditing.watching import application_modules, functions_of

MOST: Final = 200_000  # rows of one record


class Row(NamedTuple):
    """After `line` of `file` ran in `function`: the variables it changed, or what it called, returned or raised.

    `then` is the line that runs next, 0 where none does. `caller` is the place that called, in the first row of a
    function that was given all its values there.
    """

    file: str
    line: int
    function: str
    then: int
    values: dict[str, str]
    caller: tuple[str, int, str] | None = None


class Lines:
    """Traces this thread from `begin()` to `end()`; what the application did inside the run is in `rows`."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._owners = Owners()
        self._last: dict[FrameType, tuple[int, dict[str, str]]] = {}
        self._defaults: dict[int, object] = {}

    def begin(self) -> None:
        """Record from now on."""
        for module in application_modules(self._owners):
            for function in functions_of(module):
                defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
                self._defaults.update({id(each): each for each in defaults if isinstance(each, list | dict | set)})
        sys.settrace(self._called)

    def end(self) -> None:
        """Record no longer."""
        sys.settrace(None)
        self._last.clear()

    def _called(self, frame: FrameType, event: str, argument: Any) -> Any:
        gc.disable()  # what it frees, it frees under the application's lines, not in here
        try:
            return self._enter(frame)
        finally:
            gc.enable()

    def _enter(self, frame: FrameType) -> Any:
        owner, above = self._owners.of(frame), frame.f_back
        if owner is Owner.APPLICATION:
            if above in self._last or self._owners.in_a_run(frame):
                line = frame.f_lineno
                self._last[frame] = line, {}
                self._row(frame, line, caller=self._caller(frame, above) if above in self._last else None)
                return self._stepped
        elif above in self._last and owner is not Owner.HARMLESS and "Log." not in frame.f_code.co_qualname:
            given = {name: told(value) for name, value in frame.f_locals.items() if name not in ("self", "ctx")}
            self._add(
                above, above.f_lineno, -1, {f"{frame.f_code.co_qualname}({name})": text for name, text in given.items()}
            )
        return None

    def _caller(self, frame: FrameType, above: FrameType | None) -> tuple[str, int, str] | None:
        if above is None or any(id(value) in self._defaults for value in frame.f_locals.values()):
            return None
        return above.f_code.co_filename, above.f_lineno, above.f_code.co_qualname

    def _stepped(self, frame: FrameType, event: str, argument: Any) -> Any:
        gc.disable()
        try:
            self._step(frame, event, argument)
        finally:
            gc.enable()
        return self._stepped

    def _step(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "line":
            self._row(frame, frame.f_lineno)
        elif event == "return":
            self._row(frame, 0, {"what is returned": told(argument)})
            self._last.pop(frame, None)
        elif event == "exception":
            self._row(frame, 0, {"what is raised": argument[0].__qualname__})

    def _row(
        self,
        frame: FrameType,
        then: int,
        values: dict[str, str] | None = None,
        caller: tuple[str, int, str] | None = None,
    ) -> None:
        line, before = self._last.get(frame, (frame.f_lineno, {}))
        now = {name: told(value) for name, value in frame.f_locals.items()}
        changed = {name: text for name, text in now.items() if before.get(name) != text}
        self._last[frame] = then or frame.f_lineno, now
        self._add(frame, line, then, {**changed, **(values or {})}, caller)

    def _add(
        self,
        frame: FrameType,
        line: int,
        then: int,
        values: dict[str, str],
        caller: tuple[str, int, str] | None = None,
    ) -> None:
        if len(self.rows) < MOST:
            self.rows.append(Row(frame.f_code.co_filename, line, frame.f_code.co_qualname, then, values, caller))


def parting(left: list[Row], right: list[Row]) -> tuple[Row, str] | None:
    """The first row at which two records part, and what is different there; None when they do not."""
    for one, other in zip(left, right, strict=False):
        if one == other:
            continue
        if one[:3] != other[:3]:
            entered = other.line == other.then  # called in one run only
            return other if entered else one, "whether it runs now"
        names = [name for name in {**one.values, **other.values} if one.values.get(name) != other.values.get(name)]
        if names and one.caller is not None:
            file, line, function = one.caller
            return Row(file, line, function, 0, {}), ", ".join(f"{one.function}({name})" for name in names[:3])
        if names:
            return one, ", ".join(names[:3])
        return one, "which line runs next"
    if len(left) != len(right):
        longer = max(left, right, key=len)
        return longer[min(len(left), len(right))], "how often it runs"
    return None
