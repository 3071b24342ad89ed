"""Properties of a run: what always holds, what holds in the end, and when a world is quiet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from regrove.node.simulation.clock import MILLISECOND, SECOND, written
from regrove.node.simulation.hiding import ours

if TYPE_CHECKING:
    from regrove.node.simulation.driver import Life
    from regrove.node.simulation.simulation import Simulation

__tracebackhide__ = ours  # of pytest

POLL: Final = 100 * MILLISECOND
QUIET_POLL: Final = 1 * MILLISECOND
SETTLE_LIMIT: Final = 60 * SECOND

Predicate = Callable[["Simulation"], Any]


class PropertyViolated(AssertionError):
    """A property did not hold; `property` is its name, `time` the virtual ns."""

    def __init__(self, kind: str, name: str, time: int, detail: str = "") -> None:
        self.property = name
        self.time = time
        super().__init__(f"{kind} {name!r} was violated at {written(time)}{f': {detail}' if detail else ''}")


class NotSettled(AssertionError):
    """The world was not quiet within 60 virtual seconds; the text says what was still going on."""


class Always:
    """A property that is looked at again and again, and at the end."""

    def __init__(self, sim: Simulation, name: str, predicate: Predicate, every: int) -> None:
        self._sim = sim
        self.name = name
        self._predicate = predicate
        self._every = every
        self.looked = 0

    def begin(self) -> None:
        """Look now, and from now on."""
        self._look(None)

    def _look(self, _: object) -> None:
        if self._sim.closed:
            return
        self.check()
        clock = self._sim.world.clock
        clock.at(clock.now + self._every, 0, self._look)

    def check(self) -> None:
        """Look once. Raises PropertyViolated."""
        self.looked += 1
        with self._sim.looking():
            holds = self._predicate(self._sim)
        if not holds:
            raise PropertyViolated("always", self.name, self._sim.now)


def unrest(sim: Simulation) -> str:
    """Say what is still going on, "" when nothing is: timers, beats and idle waits for outsiders do not count."""
    world = sim.world
    if not world.network.quiet:
        return "frames are under way"
    if sim.client.under_way:
        return f"{sim.client.under_way} requests of the client wait for their answers"
    if sim.client.unsettled:
        return f"{sim.client.unsettled} messages of the client are not acknowledged"
    for node in world.nodes:
        for core in node.cores:
            life = core.life
            if life is not None and not life.dead and (doing := _doing(life)):
                return f"{core.short}: {doing}"
    return ""


def _doing(life: Life) -> str:
    core = life.core
    if not life.started:
        return "its tree has not started"
    if core.ready or core.supervising.owes or life.finish_at is not None:
        return "isolates are ready"
    if life.transport.pending() or life.edge.pending or life.control:
        return "inputs wait"
    if core.pool_messages:
        busy = next((cell.path for cell in core.cells if cell is not None and cell.queued), "")
        return f"{core.pool_messages} messages wait in mailboxes, first at {busy}"
    if life.edge.working:
        return f"{life.edge.working} file operations or offloads are under way"
    rows = life.links.statistics()
    if flight := sum(row.in_flight + row.waiting for row in rows):
        return f"{flight} messages on links are not acknowledged"
    big = sum(row.bulk_bytes for row in rows)
    return f"{big} bytes of big messages are not known to be whole" if big else ""
