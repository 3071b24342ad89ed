"""What happens to a supervisor: the events its machine decides on, each in the order it entered the inbox."""

from __future__ import annotations

from typing import TypeAlias

from regrove.records import dataclass
from regrove.supervisor.reasons import Reason


@dataclass(frozen=True, slots=True)
class Begin:
    """Start: the first event, once."""


@dataclass(frozen=True, slots=True)
class ChildStarted:
    """The child's `start` succeeded; exactly one `ChildEnded` follows when this life is over."""

    key: int
    address: object


@dataclass(frozen=True, slots=True)
class ChildIgnored:
    """The child's `start` returned IGNORE: this life is over, no `ChildEnded` follows."""

    key: int


@dataclass(frozen=True, slots=True)
class ChildStartFailed:
    """The child's `start` ended without success: this life is over, no `ChildEnded` follows.

    `unplaced`: nothing was tried, because the core it belongs on is not there (or is about to leave).
    """

    key: int
    reason: Reason
    unplaced: bool = False


@dataclass(frozen=True, slots=True)
class ChildEnded:
    """A child that had started is gone: names and groups are released, Exit and Down went out."""

    key: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class LimitReached:
    """A limit that `ArmLimit` set has passed. One that was disarmed since is ignored."""

    token: int


@dataclass(frozen=True, slots=True)
class Retry:
    """What `QueueRetry` asked for, from the inbox's end."""

    token: int


@dataclass(frozen=True, slots=True)
class Request:
    """A call of the API (`requests.py`); `token` is the driver's and comes back in one `Answer`."""

    token: object
    request: object


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Its parent, or the node, wants it to stop with `reason`.

    `budget` is None or the seconds left for the whole subtree, and then it is served at once, also while a start or a
    stop runs; without one it waits its turn (OTP: deaf).
    """

    reason: Reason
    budget: float | None = None


Event: TypeAlias = (
    Begin | ChildStarted | ChildIgnored | ChildStartFailed | ChildEnded | LimitReached | Retry | Request | StopAsked
)
