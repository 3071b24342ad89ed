"""Reasons in words, for `status` and the log: what happened first, then where it led."""

from __future__ import annotations

from typing import Final

from regrove.supervisor.reasons import CoreDown, Crashed, Killed, Normal, Reason, Shutdown, StartFailed

NESTED_MAX: Final = 10  # a start that failed under ten supervisors; deeper ones end in the repr
CHARACTERS_MAX: Final = 2_000


def describe(reason: object, depth: int = 0) -> str:
    """One line, innermost cause last."""
    if depth >= NESTED_MAX:
        return _cut(repr(reason))
    match reason:
        case Crashed(type=kind, text=text, site=site):
            what = f"{kind}: {text}" if text else kind
            return _cut(f"{what} at {site}" if site else what)
        case StartFailed(id=name, reason=inner):
            return _cut(f"the start of {name} failed: {describe(inner, depth + 1)}")
        case Shutdown(detail) | CoreDown(detail):
            return "shutdown" if detail is None else describe(detail, depth + 1)
        case Killed():
            return "killed"
        case Normal():
            return "ended normally"
        case str():
            return _cut(reason)
        case Reason():
            return _cut(str(reason))
        case _:
            return _cut(repr(reason))


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= CHARACTERS_MAX else f"{line[:CHARACTERS_MAX]}..."
