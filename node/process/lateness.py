"""How long a manager itself stood still, and that nobody is blamed for it [pure].

Whoever stops a node (^Z, a frozen container, a laptop that sleeps) stops its clock with it: what a start or a stop may
take is counted without that time. While a limit runs the manager's loop passes every `PULSE`, so that a longer gap
between two passes is time it did not get.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from regrove.node.process.budget import SECOND

if TYPE_CHECKING:
    from regrove.node.process.manager_state import ManagerState

PULSE: Final = SECOND // 4
LIMITED: Final = ("spawning", "starting", "stopping")


class Lateness:
    """Told of each pass; `until()` bounds the sleep behind it."""

    def __init__(self) -> None:
        self._due: int | None = None  # when the next pass comes at the latest, while a limit runs

    def passes(self, state: ManagerState, now: int) -> None:
        """A pass begins: what it comes too late is given to every limit that runs."""
        if self._due is not None and now - self._due > PULSE:
            allow(state, now - self._due)
        self._due = None

    def until(self, state: ManagerState, now: int) -> int | None:
        """When the next pass is due, or None while no limit runs."""
        self._due = now + PULSE if is_limited(state) else None
        return self._due


def is_limited(state: ManagerState) -> bool:
    """Tell whether somebody is given a time for a start or a stop."""
    slots = any(slot.deadline is not None and slot.state in LIMITED for slot in state.cores)
    return slots or state.stop_deadline is not None or state.zygote.deadline is not None


def allow(state: ManagerState, late: int) -> None:
    """Give `late` ns more to every start and stop under way."""
    for slot in state.cores:
        if slot.deadline is not None and slot.state in LIMITED:
            slot.deadline += late
    if state.stop_deadline is not None:
        state.stop_deadline += late
    if state.zygote.deadline is not None:
        state.zygote.deadline += late
