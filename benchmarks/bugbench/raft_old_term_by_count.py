"""An entry of an older term counts as committed once a majority has it: figure 8 of the paper."""

from __future__ import annotations

from benchmarks.bugbench.raft_core import OLD_TERM_BY_COUNT
from benchmarks.bugbench.raft_trial import USUAL_FAULTS, raft_bug

BUG = raft_bug(
    OLD_TERM_BY_COUNT,
    "an entry of an older term is committed by count, and overwritten by who leads next",
    USUAL_FAULTS,
)
