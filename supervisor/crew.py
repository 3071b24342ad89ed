"""The children of one supervisor and what is being done with them: one job at a time, stops before starts.

This is the mechanism under `machine.py`: it knows in which order lives end and begin, and no rule of what follows.
"""

from __future__ import annotations

from typing import Any

from regrove.supervisor.actions import Action
from regrove.supervisor.jobs import End, Job, Regrow
from regrove.supervisor.slots import Slot, Slots
from regrove.supervisor.spec import AnySpec, Child, DynamicSupervisor, Supervisor, start_timeout_of
from regrove.supervisor.starting import Budget, Start
from regrove.supervisor.stopping import Stops


class Crew:
    """Carries a job forward as far as it goes; `actions` collects what is to be done for the event at hand."""

    __slots__ = (
        "_tokens",
        "actions",
        "alone",
        "budget",
        "dynamic",
        "extra",
        "job",
        "now_ns",
        "slots",
        "spec",
        "start",
        "stops",
        "together",
    )

    def __init__(self, spec: Supervisor | DynamicSupervisor) -> None:
        self.spec = spec
        self.dynamic = isinstance(spec, DynamicSupervisor)
        self.extra = spec.extra_arguments if isinstance(spec, DynamicSupervisor) else ()
        self.together = self.dynamic or (isinstance(spec, Supervisor) and spec.stop_together)
        self.slots = Slots(self.dynamic)
        self.start = Start(self.token)
        self.stops = Stops(self.token)
        self.budget = Budget(self.token)
        self.job: Job | None = None
        self.alone = Job(Regrow())  # the commonest: one child, started again; the same each time, as it has no lists
        self.actions: list[Action] = []
        self.now_ns = 0
        self._tokens = 0

    @property
    def ending(self) -> bool:
        """Whether the supervisor's own stop is under way."""
        return self.job is not None and isinstance(self.job.purpose, End)

    def begin_event(self, now_ns: int) -> list[Action]:
        """Start a fresh list of actions."""
        self.now_ns = now_ns
        self.actions = []
        return self.actions

    def do(self, action: Action) -> None:
        """Append an action."""
        self.actions.append(action)

    def token(self) -> int:
        """Give a number for a limit or a retry, never given before."""
        self._tokens += 1
        return self._tokens

    def arguments(self, spec: AnySpec) -> tuple[Any, ...]:
        """Give the positional arguments a child is built with; () for a supervisor."""
        if not isinstance(spec, Child):
            return ()
        return (*self.extra, *spec.args) if self.extra else spec.args

    def advance(self) -> Job | None:
        """Go on with the job until it has to wait; a job that is through is returned and no longer at hand."""
        while self.job is not None and not self.stops:
            job = self.job
            if job.stops:
                self._stop_next(job)
            elif self.start.slot is not None:
                return None
            elif job.starts:
                slot = self.slots[job.starts.popleft()]
                self.actions += self.start.begin(slot, self.arguments(slot.spec))
            else:
                self.job = None
                return job
        return None

    def begin_next(self) -> Slot | None:
        """Take the next one to start off the job, if starts are all it has left and neither start has a limit."""
        job, start = self.job, self.start
        if job is None or not job.starts or job.stops or self.stops or not start.unlimited:
            return None
        slot = self.slots[job.starts[0]]
        if start_timeout_of(slot.spec) is not None:
            return None
        job.starts.popleft()
        return slot

    def limit_reached(self, token: int) -> None:
        """Kill those whose time is over; with the budget's end that is everybody left."""
        if token == self.budget.token and self.job is not None:
            self._abort_start()
            self.actions += self.stops.kill_all(slot for slot in self.slots.backwards() if slot.alive)
        else:
            self.actions += self.start.limit(token) or self.stops.limit(token)

    def hurry(self, seconds: float) -> None:
        """Limit the whole stop, and tell those who are being stopped and have children of their own."""
        shorter = self.budget.shorten(seconds, self.now_ns)
        self.actions += shorter
        if shorter:
            self.actions += self.stops.hurry(self.slots, seconds)

    def all_to_stop(self) -> list[int]:
        """List everybody alive in start order; cancel what was to be restarted."""
        for slot in self.slots:
            if slot.state == "restarting":
                slot.state = "stopped"
        return [slot.key for slot in self.slots if slot.alive]

    def settle(self, slot: Slot) -> None:
        """Note that the child is down: a static one stays listed, a temporary or dynamic one is gone."""
        if self.dynamic or slot.temporary:
            self.slots.remove(slot)
        else:
            slot.state = "stopped"
            self.slots.unplace(slot)

    def _stop_next(self, job: Job) -> None:
        keys = [job.stops.pop()]
        if self.together:
            keys += reversed(job.stops)
            job.stops.clear()
        if self.start.slot is not None and self.start.slot.key in keys:
            self._abort_start()
        slots = [self.slots[key] for key in keys if key in self.slots and key not in self.stops]
        self.actions += self.stops.begin([slot for slot in slots if slot.alive], self.budget.left(self.now_ns))

    def _abort_start(self) -> None:
        """Whatever comes of the start that runs, its child is now stopped like one that runs."""
        slot, killed = self.start.slot, self.start.killed
        self.actions += self.start.over()
        if slot is not None and killed:
            self.stops.wait_for_killed(slot)
