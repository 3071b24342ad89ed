"""What was done beside what was told: nothing acknowledged is lost, nothing is done twice or out of nowhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING

from regrove.node.simulation.clock import written
from regrove.node.simulation.history import FAIL, OK, History, Operation

if TYPE_CHECKING:
    from regrove.node.simulation.simulation import Simulation


class NotOnce(AssertionError):
    """An effect that contradicts what its client was told; `operation` is None for one nobody asked for."""

    def __init__(self, problem: str, operation: Operation | None) -> None:
        self.operation = operation
        super().__init__(problem)


def at_most_once(
    history: History | Iterable[Operation], done: Iterable[Hashable], *, may_be_lost: bool = False
) -> None:
    """Hold what was done (the `given` of operations, each unique) against what was told. Raises NotOnce.

    Acknowledged: done exactly once (`may_be_lost`: or not at all). Failed: not done. Unknown: at most once.
    """
    times = Counter(done)
    for operation in history:
        count = times.pop(operation.given, 0)
        if count > 1:
            raise NotOnce(f"done {count} times: {operation!r}", operation)
        if count and operation.state == FAIL:
            raise NotOnce(f"done although its client was told that it failed: {operation!r}", operation)
        if not count and operation.state == OK and not may_be_lost:
            raise NotOnce(f"acknowledged and not done: {operation!r}", operation)
    for given, count in times.items():
        raise NotOnce(f"done {count} times and never asked for: {given!r}", None)


class NotConserved(AssertionError):
    """A quantity that neither grows nor shrinks did."""


class Conserved:
    """A quantity of a world that must be what it was at first whenever the world is quiet."""

    def __init__(self, sim: Simulation, name: str, measure: Callable[[Simulation], object]) -> None:
        self._sim = sim
        self._name = name
        self._measure = measure
        self._first = self._look()

    def _look(self) -> object:
        with self._sim.looking():
            return self._measure(self._sim)

    def check(self) -> None:
        """Look again. Raises NotConserved."""
        now = self._look()
        if now != self._first:
            raise NotConserved(
                f"{self._name!r} is not conserved: it was {self._first!r} at first and is {now!r} at "
                f"{written(self._sim.now)}"
            )
