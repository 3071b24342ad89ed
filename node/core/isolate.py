"""An isolate: what the user writes (`Isolate`) and what the core keeps of one life of it (`Cell`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from regrove.node.core.address import Address, Caller, Home
from regrove.node.core.effects import DONE, RECEIVE, Effect, Wait
from regrove.supervisor.reasons import Reason

if TYPE_CHECKING:
    from regrove.node.core.context import Context
    from regrove.node.core.signals import Watch
    from regrove.node.core.supervisor_node import SupervisorNode
    from regrove.node.core.timers import TimerRecord
    from regrove.node.core.waiters import Waiter


class Isolate:
    """A unit of work with a mailbox, one handler at a time. `__init__` takes the child spec's arguments at every start.

    `mailbox_capacity` is the number of messages that wait before `send` answers MAILBOX_FULL; `trap_exits` turns
    exit signals of linked isolates into `Exit` messages (OTP `trap_exit`).
    """

    mailbox_capacity: ClassVar[int] = 256
    trap_exits: ClassVar[bool] = False

    def start(self, ctx: Context) -> Effect:
        """Run once before the first message."""
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        """Handle one message or outcome; exactly one effect is returned."""
        raise NotImplementedError(f"{type(self).__qualname__}.handle(self, ctx, message) is missing")

    def stop(self, ctx: Context, reason: Reason) -> Effect:
        """Asked to stop: clean up, or go on working until the shutdown limit."""
        return DONE


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

# Why a cell is not in the ready queue, in `Cell.parked`.
ACTIVE: Final = 0
IDLE: Final = 1
BLOCKED: Final = 2

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


class Cell:
    """One life of one isolate (or supervisor) on its core. `mailbox` is made at the first message."""

    __slots__ = (
        "address",
        "adopted",
        "blocked_since",
        "capacity",
        "cause",
        "context",
        "continued",
        "debts",
        "end_reason",
        "factory",
        "flags",
        "groups",
        "handle",
        "handled",
        "handles",
        "id",
        "incarnation",
        "isolate",
        "kept",
        "key",
        "links",
        "mailbox",
        "monitors",
        "names",
        "outcome",
        "parent",
        "parked",
        "path",
        "queued",
        "random",
        "refused",
        "request",
        "state",
        "stop_reason",
        "supervising",
        "timers",
        "wait",
        "wait_token",
        "waiters",
        "watchers",
    )

    def __init__(self, address: Address, path: str, incarnation: int, capacity: int) -> None:
        self.address = address
        self.path = path
        self.incarnation = incarnation
        self.capacity = capacity
        self.queued = 0
        self.parked = BLOCKED
        self.state = STARTING
        self.flags = 0
        self.cause = 0
        self.handled = 0
        self.refused = 0  # what found the mailbox full, whether its sender heard at once or by a refusal
        self.mailbox: deque[Entry] | None = None
        self.isolate: Any = None
        self.handle: Callable[[Any, Any], Any] | None = None
        self.context: Any = None
        self.factory: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]] | None = None
        self.id = ""
        self.adopted = False  # made by ctx.spawn: its supervisor counts it as running from the first turn
        self.parent: SupervisorNode | None = None
        self.key = 0
        self.supervising: SupervisorNode | None = None  # set when this cell is a supervisor's address
        self.wait: Wait | None = None
        self.wait_token = 0
        self.blocked_since = 0
        self.outcome: Any = None
        self.continued: Any = None
        self.request: Request | None = None
        self.stop_reason: Reason | None = None
        self.end_reason: Reason | None = None
        # Tables below are made when first needed: most isolates never do.
        self.kept: dict[tuple[Home, int], Request] | None = None  # by caller: each core counts its own tokens
        self.debts: dict[int, None] | None = None
        self.timers: dict[int, TimerRecord] | None = None
        self.monitors: dict[int, Watch] | None = None
        self.watchers: dict[Any, Watch] | None = None
        self.links: dict[Address, None] | None = None
        self.names: list[str] | None = None
        self.groups: list[str] | None = None
        self.handles: dict[int, None] | None = None
        self.waiters: dict[Waiter, None] | None = None
        self.random: Any = None

    def __repr__(self) -> str:
        return f"<{self.path} {self.incarnation} {STATE_NAMES[self.state]} mailbox={self.queued}/{self.capacity}>"
