"""What a busy machine is about: one job at a time, stops before starts, and a purpose that says what follows."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

from regrove.records import dataclass, field
from regrove.supervisor.reasons import Reason


@dataclass(frozen=True, slots=True)
class Boot:
    """The supervisor's own start: `Up`, or the end with the failed start."""


@dataclass(frozen=True, slots=True)
class Regrow:
    """A restart by the strategy: a failing start is retried from there."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Of a restart with a delay: the strategy's stops now, the rest when `delay_seconds` are over."""

    key: int
    delay_seconds: float


@dataclass(frozen=True, slots=True)
class AddChild:
    """Of `StartChild`: a failing start stores nothing."""

    token: object


@dataclass(frozen=True, slots=True)
class RestartOne:
    """Of `RestartChild`: a failing start leaves the child down."""

    token: object


@dataclass(frozen=True, slots=True)
class StopOne:
    """Of `TerminateChild`."""

    token: object


@dataclass(frozen=True, slots=True)
class End:
    """The supervisor's own stop: `Finish(reason)` when the last child is gone."""

    reason: Reason


Purpose: TypeAlias = Boot | Regrow | Hold | AddChild | RestartOne | StopOne | End


@dataclass(slots=True)
class Job:
    """`stops` are keys, the last one first; then `starts` are keys in order."""

    purpose: Purpose
    stops: list[int] = field(default_factory=list)
    starts: deque[int] = field(default_factory=deque)
