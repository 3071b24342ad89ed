"""The memory a fork shares with its parent, made its own ahead of time, while nobody waits for it.

The first write to a shared page costs a fault and a copy, 1 to 3 us, and a core that starts writes to thousands of
them: reference counts. A process that waits to become a core (`spare.py`) pays for them while it waits.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from typing import Final

from regrove.records import dataclass

MIB: Final = 1024 * 1024
OWN_BYTES_MAX: Final = 48 * MIB  # an application that imports more keeps the rest shared
_POPULATE_WRITE: Final = 23  # MADV_POPULATE_WRITE in <linux/mman.h>
_RANGE: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (....) ")


@dataclass(frozen=True, slots=True)
class Area:
    """A private writable mapping: its address, its bytes, and how many of them are in use and no file's."""

    start: int
    size: int
    used: int


def areas(smaps: str) -> Iterator[Area]:
    """The private writable mappings in the text of /proc/PID/smaps."""
    found: tuple[int, int] | None = None
    for line in smaps.splitlines():
        match = _RANGE.match(line)
        if match is not None:
            start, end = int(match[1], 16), int(match[2], 16)
            found = (start, end - start) if match[3] == "rw-p" else None
        elif found is not None and line.startswith("Anonymous:"):
            yield Area(*found, int(line.split()[1]) * 1024)


def worth_owning(found: Iterator[Area], limit: int = OWN_BYTES_MAX) -> list[Area]:
    """Those that are mostly in use, the smallest first, as far as `limit` bytes reach."""
    chosen = []
    for area in sorted((area for area in found if 2 * area.used > area.size), key=lambda area: area.size):
        limit -= area.size
        if limit < 0:
            break
        chosen.append(area)
    return chosen


def own_pages() -> int:
    """Make them this process's own; returns how many bytes. A kernel that cannot (before 5.14), or no /proc: none."""
    try:
        with open("/proc/self/smaps") as file:
            chosen = worth_owning(areas(file.read()))
        madvise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return 0
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return sum(area.size for area in chosen if madvise(area.start, area.size, _POPULATE_WRITE) == 0)
