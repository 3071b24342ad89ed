"""What a supervisor tells about its decisions: one frozen record, the same for logs, traces and consoles.

The contexts are OTP's supervisor report (`start_error`, `child_terminated`, `shutdown_error`, `shutdown`) and our
`auto_shutdown`. The supervisor's path is the core's to add. `restarts` are those of all its children in this life of
the supervisor, `child_restarts` those of the offender; the budget is of the window that the offender counts in.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from regrove.records import dataclass
from regrove.supervisor.reasons import Crashed, Reason, Shutdown, StartFailed

REPORT_EVENT: Final = "supervisor"  # the event of a report in logs and event streams
Context: TypeAlias = Literal["start_error", "child_terminated", "shutdown_error", "shutdown", "auto_shutdown"]


@dataclass(frozen=True, slots=True)
class SupervisorReport:
    """One decision, with the reason as it came and the intensity budget after it.

    `shutdown` says that the intensity was exceeded; `reason` then is the last crash, the root cause.
    """

    supervisor: str
    context: Context
    reason: object
    offender: str
    key: int
    budget_used: int
    budget_left: int
    restarts: int
    child_restarts: int

    @property
    def fingerprint(self) -> tuple[str, str]:
        """Kind of the failure and `file:line` of the user's frame, for grouping equal ones."""
        cause = cause_of(self.reason)
        if isinstance(cause, Crashed):
            return cause.type, cause.site
        return type(cause).__name__, ""


def cause_of(reason: object) -> object:
    """Find what began it: the crash inside the failed starts and shutdowns that supervisors put round it."""
    while True:
        match reason:
            case Shutdown(Reason() as inner) | StartFailed(_, Reason() as inner):
                reason = inner
            case _:
                return reason


def describe(reason: object) -> str:
    """Say a reason in one line for people; for a crash: exception, text and the user's `file:line`."""
    cause = cause_of(reason)
    if not isinstance(cause, Crashed):
        return str(reason)
    text = f"{cause.type}: {cause.text}" if cause.text else cause.type
    where = f" at {cause.site}" if cause.site else ""
    round_it = "" if cause is reason else f" ({_wrapping(reason)})"
    return " ".join(f"{text}{where}{round_it}".split())


def _wrapping(reason: object) -> str:
    return f"start of {reason.id!r} failed" if isinstance(reason, StartFailed) else _shutdown_of(reason)


def _shutdown_of(reason: object) -> str:
    detail = getattr(reason, "detail", None)
    return f"start of {detail.id!r} failed" if isinstance(detail, StartFailed) else "its supervisor gave up"


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a supervisor is at a moment; `restarts` counts every restart event of this life, retries included."""

    state: str
    children: int
    running: int
    restarting: int
    restarts: int
    budget_used: int
    budget_left: int
    last_reason: object | None
