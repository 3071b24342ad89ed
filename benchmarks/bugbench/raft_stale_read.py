"""A leader answers reads from what it has, without asking whether it still leads."""

from __future__ import annotations

from benchmarks.bugbench.raft_core import STALE_READ
from benchmarks.bugbench.raft_trial import USUAL_FAULTS, raft_bug

BUG = raft_bug(
    STALE_READ,
    "who thinks it leads answers reads at once, also when another leads by now",
    USUAL_FAULTS,
)
