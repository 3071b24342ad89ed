"""The term of a message is taken over whenever it differs, not only when it is higher."""

from __future__ import annotations

from benchmarks.bugbench.raft_core import STALE_TERM
from benchmarks.bugbench.raft_trial import USUAL_FAULTS, raft_bug

BUG = raft_bug(
    STALE_TERM,
    "a message of an older term takes its receiver back to that term",
    USUAL_FAULTS,
)
