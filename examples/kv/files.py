"""Paths and error texts of the journal: which file, where in it, and what to do about it."""

from __future__ import annotations

from typing import Any, Final

from examples.kv.log import Damaged
from regrove import Failed, OsError

FULL: Final = ("ENOSPC", "EDQUOT")


def problem_of(outcome: Any) -> str:
    """Return why a wait failed, in words."""
    reason = outcome.reason if isinstance(outcome, Failed) else outcome
    if isinstance(reason, OsError):
        return f"{reason.name} {reason.text}".strip()
    return str(reason)


def is_full(outcome: Any) -> bool:
    """Tell whether the disk had no room."""
    return isinstance(outcome, Failed) and isinstance(outcome.reason, OsError) and outcome.reason.name in FULL


def unusable(path: str, outcome: Any) -> str:
    """A file or folder that cannot be used."""
    return f"kv cannot use {path}: {problem_of(outcome)}; mend that, or give another folder with --set dir=PATH"


def damaged(path: str, problem: Damaged) -> str:
    """A log that cannot be trusted. It is left as it is."""
    return (
        f"{path} is damaged at byte {problem.offset}: {problem.problem}. Acknowledged keys would be lost, so kv does "
        f"not start. Restore the file from a copy, or give up what follows with `truncate -s {problem.offset} {path}`"
    )


def bad_manifest(path: str, problem: str) -> str:
    """A manifest that cannot be read."""
    return f"{path} is damaged: {problem}. Restore it from a copy: it names the logs that count"


def no_manifest(path: str, log: str) -> str:
    """Logs that hold keys, and no manifest."""
    return (
        f"{path} is missing, yet {log} holds records: which logs count is not known, so kv does not start. "
        "Restore the manifest from a copy, or move the logs away to begin empty"
    )
