"""The frames between a core and its worker processes: a length of 4 bytes, big-endian, and that many bytes."""

from __future__ import annotations

import struct
from typing import Final

HEADER: Final = struct.Struct("!I")
FRAME_BYTES: Final = 64 * 1024 * 1024  # the longest frame either side sends; longer arguments belong in a file
