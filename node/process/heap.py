"""What a core freed a moment ago stays with it, so that the kernel need not clear the same pages again and again.

By default glibc gives the top of the heap back as soon as 128 KiB of it are free, and takes larger blocks from the
kernel one by one: a mailbox of 64 KiB messages that fills and empties then costs more in page faults than in copying.
"""

from __future__ import annotations

import ctypes
from typing import Final

MIB: Final = 1024 * 1024
KEPT_BYTES: Final = 16 * MIB  # free memory at the top of the heap that is kept: two windows of a link
STEP_BYTES: Final = 4 * MIB  # what is asked for at once when the heap has to grow
BLOCK_BYTES: Final = 1 * MIB  # larger blocks come from the kernel one by one, and go back at once

_TRIM_THRESHOLD: Final = -1  # the options' numbers in <malloc.h>
_TOP_PAD: Final = -2
_MMAP_THRESHOLD: Final = -3


def keep_heap() -> bool:
    """Set the allocator of this process, once and for good; False where it has no such options (musl)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    options = ((_TRIM_THRESHOLD, KEPT_BYTES), (_TOP_PAD, STEP_BYTES), (_MMAP_THRESHOLD, BLOCK_BYTES))
    return all(mallopt(option, value) == 1 for option, value in options)
