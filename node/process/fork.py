"""What a process does at once after it was forked or started by a manager: its parent, its death, its randomness."""

from __future__ import annotations

import os
import random
import signal
import sys
from typing import Any, Final

from regrove.node.process.children import PR_SET_PDEATHSIG, prctl

NUMPY_SEED_WORDS: Final = 4


def tie_to(parent: int) -> bool:
    """Die with `parent`, from now on; False when it is gone already."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    return os.getppid() == parent


def wait_for_parent(between: int) -> None:
    """Wait until the process `between` has ended and this one has its next parent.

    Not by a signal or a descriptor: the kernel closes the descriptors of a dying process before it gives its children
    away. It has nothing left to do but end, so this takes microseconds.
    """
    while os.getppid() == between:
        os.sched_yield()


def reseed() -> None:
    """Make what was drawn before the fork this process's own: two cores must not draw the same numbers.

    `os.urandom`, `secrets` and `uuid4` ask the kernel each time; `random` reseeds its hidden instance itself, and is
    seeded here again for versions that did not; `logging` makes its locks anew by itself.
    """
    random.seed()
    numpy: Any = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed([int.from_bytes(os.urandom(4), "little") for _ in range(NUMPY_SEED_WORDS)])
