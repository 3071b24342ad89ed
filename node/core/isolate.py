"""What the core keeps of one life of an isolate (`Cell`); what the user writes of it is in `behaviour.py`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from regrove.node.core.address import Address, Caller, Home
from regrove.node.core.behaviour import Isolate
from regrove.node.core.effects import Wait
from regrove.supervisor.reasons import Reason

if TYPE_CHECKING:
    from regrove.node.core.core import Core
    from regrove.node.core.signals import Watch
    from regrove.node.core.supervisor_node import SupervisorNode
    from regrove.node.core.timers import TimerRecord
    from regrove.node.core.waiters import Waiter
    from regrove.supervisor.slots import Slot
    from regrove.supervisor.spec import Child


__all__ = [
    "ACTIVE",
    "BLOCKED",
    "CONTINUE",
    "ENDED",
    "IDLE",
    "KILL",
    "OUTCOME",
    "RUNNING",
    "START",
    "STARTING",
    "STATE_NAMES",
    "STOP",
    "STOPPING",
    "SYSTEM",
    "Cell",
    "Entry",
    "Isolate",
    "Parked",
    "Rare",
    "Request",
]

# What is to happen before the mailbox, as bits of `Cell.flags`, lowest first (isolates.md, Isolate).
KILL: Final = 1
OUTCOME: Final = 2
STOP: Final = 4
CONTINUE: Final = 8
START: Final = 16

# Where a life is, in `Cell.state`.
STARTING: Final = 0
RUNNING: Final = 1
STOPPING: Final = 2
ENDED: Final = 3
STATE_NAMES: Final = ("starting", "running", "stopping", "ended")


class Parked(Enum):
    """Why a cell is not in the ready queue, in `Cell.parked`. Idle and open to a letter, it is parked in its core."""

    IDLE = "idle"  # but a letter may not be put: pushes wait for room, or the core has no letters
    ACTIVE = "active"  # it is in the ready queue, or has its turn
    BLOCKED = "blocked"


IDLE: Final = Parked.IDLE
ACTIVE: Final = Parked.ACTIVE
BLOCKED: Final = Parked.BLOCKED

SYSTEM: Final = -1  # the charge of an entry outside capacity and pool

# (message, charge or SYSTEM, Request | token | None, cause): tuples, because the hot path makes one a message.
Entry = tuple[Any, int, Any, int]


class Request:
    """A request in a mailbox or in hand: its caller, and until when (ns, None for ever or a caller of this core)."""

    __slots__ = ("caller", "deadline", "forwarded")

    def __init__(self, caller: Caller, deadline: int | None) -> None:
        self.caller = caller
        self.deadline = deadline
        self.forwarded = False


class Rare:
    """What most lives never have; made when first needed, read and written through the properties of `Cell`."""

    __slots__ = (
        "continued",
        "debts",
        "end_reason",
        "groups",
        "handles",
        "kept",
        "links",
        "monitors",
        "names",
        "path",
        "random",
        "refused",
        "spec",
        "stop_reason",
        "timers",
        "watchers",
    )

    def __init__(self) -> None:
        self.continued: Any = None
        self.stop_reason: Reason | None = None
        self.end_reason: Reason | None = None
        self.kept: dict[tuple[Home, int], Request] | None = None  # by caller: each core counts its own tokens
        self.debts: dict[int, None] | None = None
        self.timers: dict[int, TimerRecord] | None = None
        self.monitors: dict[int, Watch] | None = None
        self.watchers: dict[Any, Watch] | None = None
        self.links: dict[Address, None] | None = None
        self.names: list[str] | None = None
        self.groups: list[str] | None = None
        self.handles: dict[int, None] | None = None
        self.random: Any = None
        self.refused = 0
        self.spec: Child | None = None  # until it is built, of a child whose supervisor lives on another core
        self.path = ""  # of a child whose supervisor lives on another core


class Cell:
    """One life of one isolate (or supervisor) on its core.

    Mail is in `mailbox`, made when a second message waits, behind `letter`, with its charge in `charge` (0: there is
    none). A letter is a plain user message to an idle isolate nobody waits to push to: `parked` is its core then, and
    while there is a letter `waiters` is empty and the cell is in the ready queue. `bound` is what a sender compares the
    length of the mailbox with before it looks closer: never more than capacity - 1, and 0 where closer is needed, as
    while the cell is idle.
    """

    __slots__ = (
        "address",
        "bound",
        "capacity",
        "cause",
        "charge",
        "context",
        "core",
        "flags",
        "handle",
        "handled",
        "incarnation",
        "isolate",
        "letter",
        "mailbox",
        "outcome",
        "owed",
        "parent",
        "parked",
        "rare",
        "request",
        "slot",
        "state",
        "supervising",
        "wait",
        "wait_token",
        "waiters",
    )

    def __init__(
        self, core: Core, address: Address, parent: SupervisorNode | None, incarnation: int, capacity: int
    ) -> None:
        self.core = core
        self.address = address
        self.parent = parent
        self.slot: Slot | None = None  # its place among the children of `parent`
        self.incarnation = incarnation
        self.capacity = capacity
        self.parked: Core | Parked = BLOCKED
        self.state = STARTING
        self.flags = self.cause = self.handled = self.charge = self.wait_token = self.bound = 0
        self.owed = 0  # how many entries of the mailbox are the runtime's: outside capacity and pool
        self.letter: Any = None
        self.mailbox: deque[Entry] | None = None
        self.isolate: Any = None
        self.handle: Callable[[Any, Any, Any], Any] | None = None  # of its class: a method for each takes 64 bytes
        self.context: Any = None
        self.supervising: SupervisorNode | None = None  # set when this cell is a supervisor's address
        self.wait: Wait | None = None
        self.outcome: Any = None
        self.request: Request | None = None
        self.waiters: dict[Waiter, None] | None = None
        self.rare: Rare | None = None

    @property
    def key(self) -> int:
        """Its number among the children of its supervisor; 0 without one on this core."""
        return 0 if self.slot is None else self.slot.key

    @property
    def adopted(self) -> bool:
        """While it starts: whether ctx.spawn made it, and its supervisor counts it as running from the first turn."""
        return self.slot is not None and self.slot.address is self.address

    @property
    def id(self) -> str:
        """What its spec calls it."""
        if self.supervising is not None:
            return self.supervising.spec.id
        return self.path.rpartition("/")[2] if self.slot is None else self.slot.spec.id

    @property
    def path(self) -> str:
        """Where it is in the supervision tree; put together when somebody looks."""
        if self.supervising is not None:
            return self.supervising.path
        if self.parent is not None:
            return f"{self.parent.path}/{self.id}"
        return "" if self.rare is None else self.rare.path

    @property
    def queued(self) -> int:
        """How many user messages wait: what `capacity` bounds."""
        letter = 1 if self.charge else 0
        return letter if self.mailbox is None else letter + len(self.mailbox) - self.owed

    @property
    def refused(self) -> int:
        """What found the mailbox full, whether its sender heard at once or by a refusal."""
        return 0 if self.rare is None else self.rare.refused

    @refused.setter
    def refused(self, value: int) -> None:
        self.own().refused = value

    def own(self) -> Rare:
        """The record of what is rare, made now if need be."""
        if self.rare is None:
            self.rare = Rare()
        return self.rare

    @property
    def continued(self) -> Any:
        """What Continue will have it handle next."""
        return None if self.rare is None else self.rare.continued

    @continued.setter
    def continued(self, value: Any) -> None:
        self.own().continued = value

    @property
    def stop_reason(self) -> Reason | None:
        """Why it was asked to stop."""
        return None if self.rare is None else self.rare.stop_reason

    @stop_reason.setter
    def stop_reason(self, value: Reason | None) -> None:
        self.own().stop_reason = value

    @property
    def end_reason(self) -> Reason | None:
        """Why it is to be killed."""
        return None if self.rare is None else self.rare.end_reason

    @end_reason.setter
    def end_reason(self, value: Reason | None) -> None:
        self.own().end_reason = value

    @property
    def kept(self) -> dict[tuple[Home, int], Request] | None:
        """Requests whose caller it read, by caller."""
        return None if self.rare is None else self.rare.kept

    @kept.setter
    def kept(self, value: dict[tuple[Home, int], Request] | None) -> None:
        self.own().kept = value

    @property
    def debts(self) -> dict[int, None] | None:
        """Tokens of its tickets."""
        return None if self.rare is None else self.rare.debts

    @debts.setter
    def debts(self, value: dict[int, None] | None) -> None:
        self.own().debts = value

    @property
    def timers(self) -> dict[int, TimerRecord] | None:
        """Its timers by token."""
        return None if self.rare is None else self.rare.timers

    @timers.setter
    def timers(self, value: dict[int, TimerRecord] | None) -> None:
        self.own().timers = value

    @property
    def monitors(self) -> dict[int, Watch] | None:
        """What it watches, by token."""
        return None if self.rare is None else self.rare.monitors

    @monitors.setter
    def monitors(self, value: dict[int, Watch] | None) -> None:
        self.own().monitors = value

    @property
    def watchers(self) -> dict[Any, Watch] | None:
        """Who watches it."""
        return None if self.rare is None else self.rare.watchers

    @watchers.setter
    def watchers(self, value: dict[Any, Watch] | None) -> None:
        self.own().watchers = value

    @property
    def links(self) -> dict[Address, None] | None:
        """Whom it is linked to."""
        return None if self.rare is None else self.rare.links

    @links.setter
    def links(self, value: dict[Address, None] | None) -> None:
        self.own().links = value

    @property
    def names(self) -> list[str] | None:
        """The names it holds."""
        return None if self.rare is None else self.rare.names

    @names.setter
    def names(self, value: list[str] | None) -> None:
        self.own().names = value

    @property
    def groups(self) -> list[str] | None:
        """The groups it is in."""
        return None if self.rare is None else self.rare.groups

    @groups.setter
    def groups(self, value: list[str] | None) -> None:
        self.own().groups = value

    @property
    def handles(self) -> dict[int, None] | None:
        """Its streams and listeners."""
        return None if self.rare is None else self.rare.handles

    @handles.setter
    def handles(self, value: dict[int, None] | None) -> None:
        self.own().handles = value

    @property
    def random(self) -> Any:
        """Its random numbers."""
        return None if self.rare is None else self.rare.random

    @random.setter
    def random(self, value: Any) -> None:
        self.own().random = value

    def __repr__(self) -> str:
        return f"<{self.path} {self.incarnation} {STATE_NAMES[self.state]} mailbox={self.queued}/{self.capacity}>"
