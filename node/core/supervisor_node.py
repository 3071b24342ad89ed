"""What a core keeps of one life of a supervisor, and how many lives each path under it had."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from regrove.node.core.inbox import Inbox
from regrove.node.core.isolate import Cell, Request
from regrove.node.core.timers import TimerRecord
from regrove.supervisor.machine import Machine
from regrove.supervisor.slots import Slot
from regrove.supervisor.spec import DynamicSupervisor, Supervisor

if TYPE_CHECKING:
    from regrove.node.core.remote_children import RemoteChild

LIVES_REMEMBERED: Final = 4_096  # ids under one supervisor


class Lives:
    """How many lives each path under one supervisor had; kept by its parent, so that it survives the supervisor.

    The LIVES_REMEMBERED newest ids are counted exactly. An id that was forgotten goes on above `births`, the number of
    all births on the core, which no life has passed: never the same number twice for one path.
    """

    __slots__ = ("below", "count", "forgot")

    def __init__(self, forgot: bool = False) -> None:
        self.count: dict[str, int] = {}
        self.below: dict[str, Lives] = {}
        self.forgot = forgot  # an id that is not counted may have lived

    def born(self, child: str, births: int) -> int:
        """Count one more life of `child`."""
        last = self.count.pop(child, births if self.forgot else 0)
        self.count[child] = last + 1
        if len(self.count) > LIVES_REMEMBERED:
            self.forgot = True
            del self.count[next(iter(self.count))]
        return last + 1

    def of(self, supervisor: str) -> Lives:
        """The lives under a child that is a supervisor."""
        below = self.below.pop(supervisor, None) or Lives(self.forgot)
        self.below[supervisor] = below
        if len(self.below) > LIVES_REMEMBERED:
            self.forgot = True
            del self.below[next(iter(self.below))]
        return below


class SupervisorNode:
    """One life of one supervisor: its machine, whose slots hold the cells of its children too, and its inbox."""

    __slots__ = (
        "alive",
        "asked_to_stop",
        "cell",
        "inbox",
        "killed",
        "limits",
        "lives",
        "machine",
        "path",
        "places",
        "queued",
        "requests",
        "spec",
        "up",
    )

    def __init__(
        self,
        spec: Supervisor | DynamicSupervisor,
        cell: Cell,
        path: str,
        lives: Lives,
        draw: Callable[[], float],
    ) -> None:
        self.spec = spec
        self.path = path
        self.cell = cell
        self.lives = lives
        self.machine = Machine(spec, draw)
        self.inbox = Inbox(self.machine)
        self.alive = 0  # children that have a life
        self.places: dict[int, tuple[str, int]] = {}  # which core a retry waits for, by token
        self.limits: dict[int, TimerRecord] = {}
        self.requests: dict[Request, None] = {}  # waiting or in hand: each fails with the reason if this life ends
        self.queued = False
        self.up = False
        self.killed = False
        self.asked_to_stop = False

    def born(self, slot: Slot, life: Cell | RemoteChild) -> None:
        """A life of a child begins."""
        slot.life = life
        self.alive += 1

    def over(self, slot: Slot | None, life: Cell | RemoteChild) -> None:
        """That life is over."""
        if slot is not None and slot.life is life:
            slot.life = None
            self.alive -= 1

    def life(self, key: int) -> Cell | RemoteChild | None:
        """The present life of a child."""
        slot = self.machine.slot(key)
        return None if slot is None else slot.life

    def living(self) -> list[Cell | RemoteChild]:
        """The present lives of its children, in start order."""
        return self.machine.lives()
