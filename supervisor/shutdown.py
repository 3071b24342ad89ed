"""How a child is stopped and which ends are then expected: pure rules (OTP `supervisor`, `shutdown/1`)."""

from __future__ import annotations

from typing import Final

from regrove.records import dataclass
from regrove.supervisor.reasons import Killed, Normal, Reason, Shutdown, StartFailed
from regrove.supervisor.spec import Restart, ShutdownLimit

NESTED_MAX: Final = 32  # levels of StartFailed kept apart: a value of 1 000 levels could be neither shown nor sent


@dataclass(frozen=True, slots=True)
class StopOrder:
    """`ask` it to stop, or kill it outright; when asked, kill it after `limit` seconds (None: wait for ever)."""

    ask: bool
    limit: float | None


def stop_order(shutdown: ShutdownLimit) -> StopOrder:
    """Tell how a child with this `shutdown` is stopped."""
    match shutdown:
        case "brutal_kill":
            return StopOrder(ask=False, limit=None)
        case "infinity":
            return StopOrder(ask=True, limit=None)
        case _:
            return StopOrder(ask=True, limit=shutdown)


def is_expected(shutdown: ShutdownLimit, restart: Restart, reason: object) -> bool:
    """Tell whether a child that was stopped ended as it should; anything else is reported as a shutdown error."""
    plain = reason == Killed() if shutdown == "brutal_kill" else reason == Shutdown()
    return plain or (restart != "permanent" and isinstance(reason, Normal | Shutdown))


def root_cause(reason: object) -> object:
    """Take off the `Shutdown` that supervisors below put round a cause, so that escalation does not nest."""
    while isinstance(reason, Shutdown) and isinstance(reason.detail, Reason):
        reason = reason.detail
    return reason


def start_failed(id: str, reason: object) -> StartFailed:
    """Nest a failed start in its child's id; beyond `NESTED_MAX` levels ids are joined to a path instead."""
    inner = reason.detail if isinstance(reason, Shutdown) else reason
    if isinstance(inner, StartFailed) and _levels(inner) >= NESTED_MAX:
        return StartFailed(f"{id}/{inner.id}", inner.reason)
    return StartFailed(id, reason)


def _levels(reason: object) -> int:
    levels = 0
    while isinstance(reason, StartFailed):
        levels += 1
        reason = reason.reason.detail if isinstance(reason.reason, Shutdown) else reason.reason
    return levels
