"""One core of a node as its manager sees it over all its lives, and what the decisions depend on [pure]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from regrove.node.process.budget import SECOND, Policy, RestartBudget
from regrove.node.process.manager_events import CoreEnded
from regrove.records import dataclass, field

START_LIMIT: Final = 60 * SECOND  # from spawn to up: the import of the application is part of it

CoreState: TypeAlias = Literal["spawning", "waiting", "starting", "up", "quarantined", "stopping", "ended"]
NodeState: TypeAlias = Literal["starting", "up", "degraded", "draining", "drained", "stopping", "stopped"]


def no_jitter(_core: int, _strikes: int) -> int:
    """Draw nothing: a retry comes exactly when its delay is over."""
    return 0


@dataclass(frozen=True, slots=True)
class ManagerSettings:
    """What the decisions depend on; `draw(core, strikes)` gives a 64-bit number for the jitter of a retry."""

    node: str
    incarnation: int
    cores: int
    budget: RestartBudget = field(default_factory=RestartBudget)
    drain_limit: int = 20 * SECOND
    start_limit: int | None = (
        START_LIMIT  # ns a core may take to be up, without its wait for the others; None: no limit
    )
    quarantine: Policy = "retry"
    address: str = ""
    draw: Callable[[int, int], int] = no_jitter
    zygote: bool = False  # cores are forked from one


@dataclass(slots=True)
class Troubles:
    """What the watchdog says of a core's life."""

    stalled_at: str = ""  # where it stands still; empty: it goes on
    stalled_since: int = 0
    starved: float = 0.0  # share of the last second it waited for a CPU; 0: it does not starve
    halted: bool = False  # its process is stopped
    slow: int = 0  # times a handler held it for 50 ms


@dataclass(slots=True)
class CoreSlot:
    """One core of the node over all its lives."""

    core: int
    incarnation: int = 0
    state: CoreState = "ended"
    endpoint: str = ""
    remote: str = ""
    key: str = ""
    last_exit: str | None = None
    report: str | None = None  # what the core itself said about its end, better than an exit status
    kill_reason: str | None = None  # why the manager killed it
    started_at: int = 0
    start_left: int | None = None  # ns of its start limit that are left when it waits for the others
    restarts: list[int] = field(default_factory=list)  # times of the replacements that still count
    troubles: Troubles = field(default_factory=Troubles)
    left: tuple[int, int, int] | None = None  # while it drains: requests, streams, queued; None: not yet known
    strikes: int = 0  # quarantines in a row; a life longer than the budget's period ends the row
    deadline: int | None = None
    owed: bool = False  # it waits for the zygote's first start; no process yet

    @property
    def bound(self) -> bool:
        """Tell whether peers can reach this life."""
        return self.state in ("waiting", "starting", "up", "stopping") and bool(self.endpoint)

    @property
    def alive(self) -> bool:
        """Tell whether a process runs for it."""
        return self.state not in ("quarantined", "ended")


def exit_text(slot: CoreSlot, event: CoreEnded) -> str:
    """What happened and why: the manager's own reason, else what the core said, else what the kernel says."""
    if slot.kill_reason is not None:
        return f"{slot.kill_reason} at {event.at}" if event.at else slot.kill_reason
    if slot.report is not None:
        return f"{slot.report} ({event.how})" if event.how else slot.report
    return event.how
