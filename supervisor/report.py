"""What a supervisor tells about its decisions: one frozen record, the same for logs, traces and consoles.

The contexts are OTP's supervisor report (`start_error`, `child_terminated`, `shutdown_error`, `shutdown`) and our
`auto_shutdown`. The supervisor's path is the core's to add.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from regrove.supervisor.reasons import Crashed

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

    @property
    def fingerprint(self) -> tuple[str, str]:
        """Kind of the failure and `file:line` of the user's frame, for grouping equal ones."""
        if isinstance(self.reason, Crashed):
            return self.reason.type, self.reason.site
        return type(self.reason).__name__, ""


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
