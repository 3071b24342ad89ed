"""The one start that runs, and its `start_timeout`; and the time a whole stop may take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from regrove.supervisor.actions import Action, ArmLimit, DisarmLimit, KillChild, StartChild
from regrove.supervisor.intensity import NANOSECONDS
from regrove.supervisor.slots import Slot
from regrove.supervisor.spec import start_timeout_of


class Start:
    """Whose start runs; each method returns what is to be done."""

    __slots__ = ("_limit", "_new_token", "killed", "slot")

    def __init__(self, new_token: Callable[[], int]) -> None:
        self._new_token = new_token
        self._limit: int | None = None
        self.slot: Slot | None = None
        self.killed = False  # its start_timeout passed: however it ends, that start has failed

    def begin(self, slot: Slot, arguments: tuple[Any, ...]) -> list[Action]:
        """Begin a life of `slot`."""
        slot.state = "starting"
        self.slot = slot
        actions: list[Action] = [StartChild(slot.key, slot.spec, arguments)]
        timeout = start_timeout_of(slot.spec)
        if timeout is not None:
            self._limit = self._new_token()
            actions.append(ArmLimit(self._limit, timeout))
        return actions

    @property
    def unlimited(self) -> bool:
        """Whether a start runs that has no limit, and had none that passed."""
        return self.slot is not None and self._limit is None and not self.killed

    def pass_to(self, slot: Slot) -> None:
        """One start without a limit is over, and the one of `slot`, which has none either, begins."""
        slot.state = "starting"
        self.slot = slot

    def limit(self, token: int) -> list[Action]:
        """Kill a start whose time is over."""
        if token != self._limit or self.slot is None:
            return []
        self._limit, self.killed = None, True
        return [KillChild(self.slot.key)]

    def over(self) -> list[Action]:
        """Forget the start: it has ended, or the child is now to be stopped."""
        actions: list[Action] = [] if self._limit is None else [DisarmLimit(self._limit)]
        self.slot, self._limit, self.killed = None, None, False
        return actions


class Budget:
    """The time that is left for a whole stop, if there is a limit to it."""

    __slots__ = ("_end_ns", "_new_token", "token")

    def __init__(self, new_token: Callable[[], int]) -> None:
        self._new_token = new_token
        self._end_ns = 0
        self.token: int | None = None

    def shorten(self, seconds: float, now_ns: int) -> list[Action]:
        """Set the limit, unless an earlier one stands: then nothing is to be done."""
        end = now_ns + max(0, round(seconds * NANOSECONDS))
        if self.token is not None and self._end_ns <= end:
            return []
        actions = self.disarm()
        self._end_ns, self.token = end, self._new_token()
        return [*actions, ArmLimit(self.token, seconds)]

    def left(self, now_ns: int) -> float | None:
        """Tell the seconds left; None: there is no limit."""
        return None if self.token is None else max(0, self._end_ns - now_ns) / NANOSECONDS

    def disarm(self) -> list[Action]:
        """Give the limit up."""
        return [] if self.token is None else [DisarmLimit(self.token)]
