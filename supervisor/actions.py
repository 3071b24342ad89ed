"""What a supervisor wants done: the machine's answers to an event, to be carried out in the order of the list."""

from __future__ import annotations

from typing import Any, TypeAlias

from regrove.records import dataclass
from regrove.supervisor.reasons import Reason
from regrove.supervisor.report import SupervisorReport
from regrove.supervisor.spec import AnySpec


@dataclass(frozen=True, slots=True)
class StartChild:
    """Begin a life of child `key`: `ChildStarted`, `ChildIgnored` or `ChildStartFailed` comes back.

    `arguments` are the positional ones, the supervisor's extra arguments first; () for a supervisor.
    """

    key: int
    spec: AnySpec
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class AskStop:
    """Ask the child to stop with `reason`; `budget` (seconds or None) is what a child supervisor's `StopAsked` gets.

    A child whose `start` still runs answers `ChildStartFailed` or `ChildIgnored`, or `ChildStarted` and `ChildEnded`.
    """

    key: int
    reason: Reason
    budget: float | None = None


@dataclass(frozen=True, slots=True)
class KillChild:
    """End the child without a callback; with a supervisor all its children go. It ends as `AskStop` says."""

    key: int


@dataclass(frozen=True, slots=True)
class ArmLimit:
    """Send `LimitReached(token)` in `seconds` (>= 0); 0: once what was asked before it had its one turn."""

    token: int
    seconds: float


@dataclass(frozen=True, slots=True)
class DisarmLimit:
    """Nobody waits for the limit, or the delayed retry, any more."""

    token: int


@dataclass(frozen=True, slots=True)
class QueueRetry:
    """Put `Retry(token)` behind what waits in the inbox, after `delay_seconds`; in the next pass at the earliest.

    With `place_of` it comes as soon as the core that child `place_of` belongs on is there. One that is delayed, or
    waits for a place, is taken back by `DisarmLimit(token)`.
    """

    token: int
    delay_seconds: float = 0.0
    place_of: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Reply to the `Request` of this token with `value` (`requests.py`)."""

    token: object
    value: object


@dataclass(frozen=True, slots=True)
class Emit:
    """Log and trace a decision."""

    report: SupervisorReport


@dataclass(frozen=True, slots=True)
class Up:
    """The supervisor's own start succeeded."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The supervisor has ended with `reason` and all children are gone; before `Up` this is a failed start.

    Requests without an `Answer`, in hand or in the inbox, fail with `reason` as those of any isolate that ended.
    """

    reason: Reason


Action: TypeAlias = StartChild | AskStop | KillChild | ArmLimit | DisarmLimit | QueueRetry | Answer | Emit | Up | Finish
