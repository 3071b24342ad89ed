"""A core of a simulated node as a place: what outlives its processes, and what faults have made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from regrove.node.core.address import Home
from regrove.node.core.ports import ControlInput
from regrove.node.simulation.clock import Skew
from regrove.node.simulation.plan import START_FAILS
from regrove.node.simulation.seeds import Ratio, holds
from regrove.node.simulation.tracing import CoreTracer
from regrove.node.simulation.watching import watch_stop

if TYPE_CHECKING:
    from regrove.node.simulation.driver import Life
    from regrove.node.simulation.node import SimulatedNode


class InjectedFault(Exception):
    """What a fault of the plan raises in an isolate."""


class SimulatedCore:
    """One core of a simulated node over all its lives; `life` is the present one, None while there is none."""

    def __init__(self, node: SimulatedNode, index: int) -> None:
        self.node = node
        self.index = index
        self.name = f"{node.name}/{index}"
        self.short = f"{node.short}/{index}"
        world = node.world
        self.life: Life | None = None
        self.ended: list[dict[str, int]] = []  # the counts of earlier lives
        self.pauses = 0
        self.halted = 0  # pauses of its node
        self.stopped_at = 0  # when the process that is stopped now was
        self.busy_with = ""  # the isolate that a test last had hold this core
        self.slowness = 1  # what faults and the test have made of it, both together
        self._slow_by = 1
        self._slow_to = 1
        self.lateness = 0  # ns by which its timers, outcomes and orders come late
        self.wall_offset = 0  # ns by which its wall clock was set
        self.skew: Skew | None = None
        self.failing_starts = 0
        self.offload_slowness = 1
        self.offload_failures = 0
        self.offloads_slowed = 0
        self.offloads_failed = 0
        self.on_resume: list[Callable[[], Any]] = []
        self.rank = world.draws.lane("pass", self.name)
        self.tracer = CoreTracer(world.trace, world.clock, self.name)

    @property
    def alive(self) -> bool:
        """Whether a process runs for this core."""
        return self.life is not None and not self.life.dead

    @property
    def paused(self) -> bool:
        """Whether its process, or its whole node, is stopped."""
        return self.pauses > 0 or self.halted > 0

    @property
    def waiting(self) -> int:
        """Frames, outcomes and orders that its process has not taken yet."""
        life = self.life
        return 0 if life is None else len(life.transport.inbox) + len(life.edge.done) + len(life.control)

    @property
    def incarnation(self) -> int:
        """Which life of this core runs, or ran last; 0 before the first."""
        return 0 if self.life is None else self.life.home.core_incarnation

    @property
    def counters(self) -> dict[str, int]:
        """The counters of the present or last life, with `queued`."""
        return {} if self.life is None else self.life.counts()

    def local(self, time: int) -> int:
        """What its monotonic clock shows at `time`."""
        return time if self.skew is None else self.skew.local(time)

    def real(self, local: int) -> int:
        """When its monotonic clock shows `local`."""
        return local if self.skew is None else self.skew.real(local)

    def pause(self) -> Callable[[], None]:
        """Stop its process; return how to let that one go on."""
        life = self.life
        if not self.pauses and life is not None:
            self.stopped_at = self.node.world.clock.now
            watch_stop(life)
        self.pauses += 1

        def go_on() -> None:
            if self.life is life and self.pauses and not (life is not None and life.dead):
                self.pauses -= 1
                self.resumed()

        return go_on

    def slow_by(self, factor: int, no_more_by: int = 1) -> None:
        """Let passes take so many times as long as they do; `no_more_by` takes such a factor back."""
        self._slow_by = self._slow_by * factor // no_more_by
        self.slowness = self._slow_by * self._slow_to

    def slow_to(self, factor: int) -> None:
        """Let passes take so many times as long as they would without the test."""
        self._slow_to = factor
        self.slowness = self._slow_by * self._slow_to

    def drift_by(self, ppm: int) -> None:
        """Let its clocks run so many millionths faster than they do."""
        if self.skew is None:
            self.skew = Skew()
        self.skew.drift(self.node.world.clock.now, ppm)
        if self.alive and self.life is not None:
            self.life.wake()  # its deadlines come at other times now

    def start_fault(self, path: str) -> None:
        """Called before each start of an isolate. Raises InjectedFault while starts fail here, in half of them."""
        world = self.node.world
        if self.failing_starts and holds(world.draws.draw("start-fails", self.name, path), 0, Ratio(1, 2)):
            world.plan.count(START_FAILS).affected += 1
            raise InjectedFault("a fault of the plan: this start fails")

    def deliver(self, item: ControlInput, home: Home) -> None:
        """Hand a control input to the life it is meant for."""
        life = self.life
        if life is not None and not life.dead and life.home == home:
            life.tell(item)

    def resumed(self) -> None:
        """Go on after a pause."""
        if self.paused:
            return
        waiting, self.on_resume = self.on_resume, []
        for action in waiting:
            action()
        if self.life is not None and not self.life.dead and self.life.finish_at is None:
            self.life.wake()

    def __repr__(self) -> str:
        return f"<core {self.short} incarnation={self.incarnation}{'' if self.alive else ' down'}>"
