"""A signal as the kernel hands it to another thread than the main one: two at once, or one to a stopped process."""

from __future__ import annotations

import ctypes
from pathlib import Path


def threads(pid: int) -> list[int]:
    """The threads of a process beside its main one that take signals, oldest first."""
    tasks = sorted(int(task.name) for task in Path(f"/proc/{pid}/task").iterdir())
    return [task for task in tasks if task != pid and not blocked(pid, task) & 1 << 14]


def blocked(pid: int, task: int) -> int:
    """The mask of what a thread blocks; bit 14 is SIGTERM."""
    rows = Path(f"/proc/{pid}/task/{task}/status").read_text().splitlines()
    return next(int(row.split()[1], 16) for row in rows if row.startswith("SigBlk:"))


def hand_to_another_thread(pid: int, number: int) -> None:
    """Send a signal to the oldest of those threads."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.tgkill(ctypes.c_int(pid), ctypes.c_int(threads(pid)[0]), ctypes.c_int(number)) != 0:
        raise OSError(ctypes.get_errno(), "tgkill")
