"""What clients asked a system and what they were told, for the checkers (Jepsen's words: invoke, ok, fail, info).

history = sim.history()
write = history.invoke("client 1", "write", 5, key="x")
history.ok(write)                 # it happened; history.fail(write): it did not; history.info(write): nobody knows
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Any, Final, Literal

from regrove.node.core.errors import Misuse
from regrove.node.simulation.clock import written
from regrove.node.simulation.hiding import ours
from regrove.node.simulation.trace import Doing, Trace

__tracebackhide__ = ours  # of pytest

OPEN: Final = "open"
OK: Final = "ok"
FAIL: Final = "fail"
INFO: Final = "info"

State = Literal["open", "ok", "fail", "info"]


class Operation:
    """One operation of one process. `began` and `ended` count the history's events; the times are virtual ns."""

    __slots__ = ("answered", "began", "doing", "ended", "given", "invoked", "key", "name", "process", "state", "taken")

    def __init__(self, process: Hashable, name: str, given: Any, key: Hashable, began: int, invoked: int) -> None:
        self.process = process
        self.name = name
        self.given = given
        self.key = key
        self.state: State = OPEN
        self.taken: Any = None
        self.began = began
        self.ended: int | None = None
        self.invoked = invoked
        self.answered: int | None = None
        self.doing: Doing | None = None  # its row in a story

    def __repr__(self) -> str:
        where = "" if self.key is None else f" {self.key}"
        given = "" if self.given is None else f" {self.given!r}"
        took = f"{written(self.invoked)} to {'...' if self.answered is None else written(self.answered)}"
        told = {OK: f"-> {self.taken!r}", FAIL: "failed", INFO: "outcome unknown", OPEN: "not answered"}[self.state]
        return f"{self.process}: {self.name}{where}{given} {told} ({took})"


class History:
    """The operations of a run in order of their beginnings. `clock()` gives the time in ns, for people only.

    With a `trace` each is a row of the story of a failing run.
    """

    def __init__(self, clock: Callable[[], int], trace: Trace | None = None) -> None:
        self._clock = clock
        self._trace = trace
        self._events = 0
        self.operations: list[Operation] = []

    def invoke(self, process: Hashable, name: str, given: Any = None, *, key: Hashable = None) -> Operation:
        """A process begins an operation; what was not ended at the end counts as `info`."""
        self._events += 1
        operation = Operation(process, name, given, key, self._events, self._clock())
        if self._trace is not None:
            said = [part for part in (key, given) if part is not None]
            operation.doing = self._trace.doing(operation.invoked, f"{process}: {name}", *said)
        self.operations.append(operation)
        return operation

    def ok(self, operation: Operation, taken: Any = None) -> None:
        """It happened, between its beginning and now; `taken` is what was answered."""
        self._end(operation, OK, taken)

    def fail(self, operation: Operation) -> None:
        """It did not happen and never will."""
        self._end(operation, FAIL)

    def info(self, operation: Operation) -> None:
        """Nobody knows: it may have happened, may happen later, or never."""
        self._end(operation, INFO)

    def _end(self, operation: Operation, state: State, taken: Any = None) -> None:
        if not isinstance(operation, Operation):
            raise Misuse(f"{state} takes the operation that invoke gave, got {operation!r:.100}")
        if operation.state != OPEN:
            raise Misuse(f"an operation ends once: {operation!r} was ended as {operation.state} and now as {state}")
        self._events += 1
        operation.state = state
        operation.taken = taken
        operation.ended = self._events
        operation.answered = now = self._clock()
        if operation.doing is not None:
            if operation.taken is None:
                operation.doing.end_as(now, state)
            else:
                operation.doing.end(now, operation.taken)

    def by_key(self) -> dict[Hashable, list[Operation]]:
        """The operations of each key, for a system whose keys do not touch one another."""
        keys: dict[Hashable, list[Operation]] = {}
        for operation in self.operations:
            keys.setdefault(operation.key, []).append(operation)
        return keys

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.operations)

    def __len__(self) -> int:
        return len(self.operations)
