"""What a supervisor is at a moment, and what it tells of a decision: the machine as others see it."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from regrove.supervisor.crew import Crew
from regrove.supervisor.intensity import Intensity
from regrove.supervisor.reasons import Reason
from regrove.supervisor.report import Context, Statistics, SupervisorReport
from regrove.supervisor.slots import Row, Slot
from regrove.supervisor.spec import DynamicSupervisor, Supervisor

State: TypeAlias = Literal["new", "idle", "busy", "finished"]


class Showing:
    """The state of one machine, and its views."""

    __slots__ = ("_crew", "_last_reason", "_restarts", "_slots", "_window", "spec", "state")

    def __init__(self, spec: Supervisor | DynamicSupervisor) -> None:
        self.spec = spec
        self.state: State = "new"
        self._restarts = 0  # restart events ever, by whichever window they were counted
        self._crew = Crew(spec)
        self._slots = self._crew.slots
        self._window = Intensity(spec.intensity, spec.period)
        self._last_reason: Reason | None = None

    def children(self) -> tuple[Row, ...]:
        """Show all children in start order."""
        return tuple(slot.row() for slot in self._slots)

    def slot(self, key: int) -> Slot | None:
        """Give a driver the place where it keeps the child's `life`."""
        return self._slots.get(key)

    def lives(self) -> list[Any]:
        """List what the driver keeps of the lives there are, in start order of the children."""
        return [slot.life for slot in self._slots if slot.life is not None]

    def child(self, key: int) -> Row | None:
        """Show one child."""
        return self._slots[key].row() if key in self._slots else None

    def budget(self, key: int, now_ns: int) -> tuple[int, int]:
        """Tell how many restarts the window of a child holds, and how many more it allows now."""
        window = self._slots[key].window or self._window
        return window.used(now_ns), window.left(now_ns)

    def statistics(self, now_ns: int) -> Statistics:
        """Count what is there; the budget is that of the window that ends now."""
        states = [slot.state for slot in self._slots]
        return Statistics(
            state=self.state,
            children=len(states),
            running=states.count("running"),
            restarting=states.count("restarting"),
            restarts=self._restarts,
            budget_used=self._window.used(now_ns),
            budget_left=self._window.left(now_ns),
            last_reason=self._last_reason,
        )

    def __repr__(self) -> str:
        job = self._crew.job
        doing = "" if job is None else f" with {job}"
        return f"<machine {self.spec.id!r} {self.state}{doing}, {len(self._slots)} children>"

    def restart_report(self, slot: Slot) -> SupervisorReport:
        """Tell of a restart at once, before the next event."""
        return self._report_of("child_terminated", slot, slot.last_reason)

    def _report_of(self, context: Context, slot: Slot, reason: object) -> SupervisorReport:
        window = slot.window or self._window
        used, left = window.used(self._crew.now_ns), window.left(self._crew.now_ns)
        return SupervisorReport(
            self.spec.id, context, reason, slot.spec.id, slot.key, used, left, self._restarts, slot.restarts
        )
