"""Where threads and processes beside a core's own may run: a core may be pinned, what it hands work to must not be."""

from __future__ import annotations

import contextlib
import os


def roam(process: int = 0) -> None:
    """Let this thread (0), or a process just started, run wherever the manager, the parent of the core, may."""
    with contextlib.suppress(OSError):  # a parent that is gone, or a machine that allows none of its CPUs any more
        os.sched_setaffinity(process, os.sched_getaffinity(os.getppid()))
