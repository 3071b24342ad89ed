"""The shared pages of a node: one memfd made by the manager, 4 KiB a core, written by the core, read by the manager.

A core opens what its manager made through `/proc/PID/fd`, so that a page reaches it whether it is a fresh Python or a
fork. A second memfd for each core takes its stack dumps (`stacks.py`). What a page's words mean: `node/core/page.py`.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from typing import Final, NamedTuple

from regrove.node.core.page import PASS_AT, SERVED, TURN, WORDS, Words
from regrove.node.process.peeking import Chart

PAGE_BYTES: Final = 4096
PAGE_WORDS: Final = PAGE_BYTES // 8
CHART: Final = 8  # the first word of a core's chart (`peeking.py`), written once, before it says that it is bound


class Reading(NamedTuple):
    """What a page says at one moment; two that are equal and not resting mean no progress in between."""

    pass_at: int = 0
    turn: int = 0
    served: int = 0

    @property
    def resting(self) -> bool:
        """Tell whether the core sleeps until it has something to do."""
        return self.pass_at == 0


class Pages:
    """The manager's side: one page and one place for dumps for each of `cores`. Raises OSError."""

    def __init__(self, cores: int) -> None:
        self.fd = os.memfd_create("regrove-pages", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, cores * PAGE_BYTES)
        self._map = mmap.mmap(self.fd, cores * PAGE_BYTES)
        self._words = memoryview(self._map).cast("Q")
        self.dumps = [os.memfd_create(f"regrove-stacks-{core}", os.MFD_CLOEXEC) for core in range(cores)]

    def read(self, core: int) -> Reading:
        """What the core's page says now."""
        first = core * PAGE_WORDS
        words = self._words[first : first + WORDS]
        return Reading(words[PASS_AT], words[TURN], words[SERVED])

    def chart(self, core: int) -> Chart:
        """Where the core says that its running isolate is to be found; all zeros when it says nothing."""
        first = core * PAGE_WORDS + CHART
        return Chart(*self._words[first : first + len(Chart._fields)])

    def clear(self, core: int) -> None:
        """Forget the last life of the core; before the next one is started."""
        first = core * PAGE_WORDS
        for index in (*range(WORDS), *range(CHART, CHART + len(Chart._fields))):
            self._words[first + index] = 0
        os.ftruncate(self.dumps[core], 0)

    def close(self) -> None:
        """Give everything back."""
        self._words.release()
        self._map.close()
        for fd in (self.fd, *self.dumps):
            os.close(fd)


def open_page(manager_pid: int, fd: int, core: int) -> Words:
    """The core's side of its page; raises OSError."""
    descriptor = os.open(f"/proc/{manager_pid}/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
    try:
        shared = mmap.mmap(descriptor, PAGE_BYTES, offset=core * PAGE_BYTES)
    finally:
        os.close(descriptor)
    return memoryview(shared).cast("Q")


def write_chart(words: Words, chart: Chart) -> None:
    """Let the manager see where the running isolate is to be found."""
    for index, word in enumerate(chart, CHART):
        words[index] = word


def read_all(fd: int, limit: int) -> bytes:
    """What a memfd holds, at most `limit` bytes from its start."""
    with contextlib.suppress(OSError):
        return os.pread(fd, limit, 0)
    return b""
