"""The children that are being stopped: asked, limited, killed, waited for.

The end of a child is the only thing that ends its wait, whatever it does to its links. Children stopped together share
one limit for each length of it; what they were asked, and when, is the same moment (Elixir's `DynamicSupervisor`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from regrove.supervisor.actions import Action, ArmLimit, AskStop, DisarmLimit, KillChild
from regrove.supervisor.reasons import Shutdown
from regrove.supervisor.shutdown import stop_order
from regrove.supervisor.slots import Slot
from regrove.supervisor.spec import kind_of


class Stops:
    """Who is waited for; each method returns what is to be done."""

    __slots__ = ("_groups", "_killed", "_new_token", "_waiting")

    def __init__(self, new_token: Callable[[], int]) -> None:
        self._new_token = new_token
        self._waiting: dict[int, int | None] = {}  # key -> the token of its limit
        self._groups: dict[int, dict[int, None]] = {}  # token -> the keys its limit holds for
        self._killed: dict[int, None] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __contains__(self, key: int) -> bool:
        return key in self._waiting

    def begin(self, slots: Iterable[Slot], budget_seconds: float | None) -> list[Action]:
        """Stop `slots`, all from this moment on; a limit longer than the budget for everything is not armed."""
        actions: list[Action] = []
        limits: dict[float, int] = {}
        for slot in slots:
            slot.state = "stopping"
            self._waiting[slot.key] = None
            order = stop_order(slot.spec.shutdown)
            if not order.ask:
                actions += self._kill(slot.key)
                continue
            actions.append(AskStop(slot.key, Shutdown(), budget_seconds))
            if order.limit is not None and (budget_seconds is None or order.limit < budget_seconds):
                token = limits.get(order.limit)
                if token is None:
                    token = limits[order.limit] = self._new_token()
                    self._groups[token] = {}
                self._groups[token][slot.key] = None
                self._waiting[slot.key] = token
        return actions + [ArmLimit(token, seconds) for seconds, token in limits.items()]

    def wait_for_killed(self, slot: Slot) -> None:
        """Wait for a child that was killed before."""
        slot.state = "stopping"
        self._waiting[slot.key] = None
        self._killed[slot.key] = None

    def hurry(self, slots: Iterable[Slot], budget_seconds: float) -> list[Action]:
        """Tell the supervisors among the waited for that time is short now."""
        return [
            AskStop(slot.key, Shutdown(), budget_seconds)
            for slot in slots
            if slot.key in self._waiting and slot.key not in self._killed and kind_of(slot.spec) == "supervisor"
        ]

    def limit(self, token: int) -> list[Action]:
        """Kill those whose limit passed; a limit that was disarmed kills nobody."""
        actions: list[Action] = []
        for key in self._groups.pop(token, ()):
            self._waiting[key] = None
            actions += self._kill(key)
        return actions

    def kill_all(self, slots: Iterable[Slot]) -> list[Action]:
        """Kill `slots`, and wait for them."""
        actions: list[Action] = []
        for slot in slots:
            slot.state = "stopping"
            actions += self._disarm(slot.key)
            self._waiting[slot.key] = None
            actions += self._kill(slot.key)
        return actions

    def ended(self, key: int) -> list[Action]:
        """Stop waiting for a child that is gone."""
        actions = self._disarm(key)
        del self._waiting[key]
        self._killed.pop(key, None)
        return actions

    def _disarm(self, key: int) -> list[Action]:
        token = self._waiting.get(key)
        if token is None:
            return []
        group = self._groups[token]
        del group[key]
        if group:
            return []
        del self._groups[token]
        return [DisarmLimit(token)]

    def _kill(self, key: int) -> list[Action]:
        if key in self._killed:
            return []
        self._killed[key] = None
        return [KillChild(key)]
