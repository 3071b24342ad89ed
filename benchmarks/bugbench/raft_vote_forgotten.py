"""The term is kept over a crash, whom it voted for is not: a member votes twice in a term, and two lead it."""

from __future__ import annotations

from benchmarks.bugbench.raft_core import VOTE_FORGOTTEN
from benchmarks.bugbench.raft_trial import raft_bug
from regrove.testing import faults as f

BUG = raft_bug(
    VOTE_FORGOTTEN,
    "a vote is not kept over a crash, so that a member can give two in a term",
    (
        f.crash(on="isolate", often=(20, 1)),
        f.delay(extra=("5ms", "100ms"), often=(10, 1), lasts=("100ms", "1s")),
        f.cut(often=(4, 1), lasts=("50ms", "300ms")),
    ),
    nodes=3,
)
