"""A vote is given to who asks first, however much of the log it lacks: what was committed is overwritten."""

from __future__ import annotations

from benchmarks.bugbench.raft_core import LOG_UNCHECKED
from benchmarks.bugbench.raft_trial import USUAL_FAULTS, raft_bug

BUG = raft_bug(
    LOG_UNCHECKED,
    "a vote is given without a look at how far the log of the candidate goes",
    USUAL_FAULTS,
)
