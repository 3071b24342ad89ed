"""Why an isolate ended: the exit reasons and their two classes (OTP `supervisor`, exit reasons).

Clean: `Normal`, `Shutdown(detail)`. Abnormal: everything else. A reason is a frozen value that travels between cores.
"""

from __future__ import annotations

from regrove.records import dataclass


class Reason:
    """Base of every reason an isolate ended for or an outcome failed for."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Normal(Reason):
    """The isolate ended because its work was done."""


@dataclass(frozen=True, slots=True)
class Shutdown(Reason):
    """An orderly end that was asked for; `detail` is a reason, a text or None."""

    detail: object = None


@dataclass(frozen=True, slots=True)
class Crashed(Reason):
    """A callback raised, returned no effect, or returned `Crash(reason)`.

    `type` is the exception's class name (or `Crash`), `text` its message, `site` is `file:line` of the user's frame,
    `detail` the value given to `Crash`. `site` and `text` are for people and never compared between two runs.
    """

    type: str
    text: str = ""
    site: str = ""
    detail: object = None


@dataclass(frozen=True, slots=True)
class Kill(Reason):
    """Sent as an exit signal it cannot be trapped; the victim ends `Killed`."""


@dataclass(frozen=True, slots=True)
class Killed(Reason):
    """The isolate was ended without a callback (OTP `killed`)."""


@dataclass(frozen=True, slots=True)
class NoProcess(Reason):
    """The address is of a life that is over, or a name that nobody holds."""


@dataclass(frozen=True, slots=True)
class NoConnection(Reason):
    """The link to the other core was lost; a request that was under way may have run."""


@dataclass(frozen=True, slots=True)
class CoreDown(Reason):
    """The core that hosted the isolate ended; `detail` says why, as the manager saw it."""

    detail: object = None


@dataclass(frozen=True, slots=True)
class Ignored(Reason):
    """`start` returned IGNORE: not running, and not a failure."""


@dataclass(frozen=True, slots=True)
class StartFailed(Reason):
    """A child's `start` ended without success; nests outward through the supervisors above."""

    id: str
    reason: object


@dataclass(frozen=True, slots=True)
class StartTimedOut(Reason):
    """The child's `start` took longer than the `start_timeout` of its spec and was killed."""

    seconds: float


def is_clean(reason: object) -> bool:
    """Tell whether a supervisor takes `reason` as an orderly end: `Normal` or `Shutdown(...)`."""
    return isinstance(reason, Normal | Shutdown)
