"""Which files are the truth: a generation has one log a core, the manifest names the generation.

    FOLDER/manifest            regrove-kv 1 generation=3 cores=2 crc=...
    FOLDER/3.0of2.log          the log of core 0 in generation 3
    FOLDER/*.new               being written: whole only once renamed
    FOLDER/*.log.suspect       its last fsync failed: it is read, written anew under its own name, and removed

When the number of cores changed, each core writes its log of the next generation from all logs of this one; core 0
writes the manifest once every core of this run said that its own is on disk, and nobody serves before. So whatever is
killed at whatever moment, the manifest names logs that are whole, and the logs of an attempt that ended early are
written afresh by the next.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from zlib import crc32

MANIFEST: Final = "manifest"
NEW: Final = ".new"
SUSPECT: Final = ".suspect"  # its last fsync failed: what reads back may not be on the disk, it is written anew

_LOG: Final = re.compile(r"(\d+)\.(\d+)of(\d+)\.log")
_MANIFEST: Final = re.compile(rb"regrove-kv 1 generation=(\d{1,9}) cores=(\d{1,4}) crc=([0-9a-f]{8})\n")


@dataclass(frozen=True, slots=True)
class Generation:
    """A generation of logs and how many cores it was made for."""

    number: int
    cores: int

    def encode(self) -> bytes:
        """Return the text of the manifest."""
        text = b"regrove-kv 1 generation=%d cores=%d" % (self.number, self.cores)
        return b"%b crc=%08x\n" % (text, crc32(text))

    def log(self, core: int) -> str:
        """Return the file name of a core's log."""
        return f"{self.number}.{core}of{self.cores}.log"

    def logs(self) -> list[str]:
        """Return the file names of all cores' logs."""
        return [self.log(core) for core in range(self.cores)]

    def after(self, cores: int) -> Generation:
        """Return the next generation."""
        return Generation(self.number + 1, cores)


def decode_manifest(data: bytes) -> Generation:
    """Read the manifest. Raises ValueError with the problem."""
    found = _MANIFEST.fullmatch(data)
    if found is None:
        raise ValueError(f"it reads {data[:80]!r}, which is no manifest of this program")
    number, cores, crc = found.groups()
    if int(crc, 16) != crc32(data[: found.start(3) - len(b" crc=")]):
        raise ValueError("it does not match its checksum")
    return Generation(int(number), int(cores))


def generation_of(name: str) -> Generation | None:
    """Return the generation a file name belongs to, None for other files."""
    found = _LOG.fullmatch(name.removesuffix(NEW).removesuffix(SUSPECT))
    return Generation(int(found[1]), int(found[3])) if found else None


def leftovers(names: tuple[str, ...], current: Generation) -> list[str]:
    """Return what an attempt that ended early has left, and the logs of other generations: they do not count."""
    found = [(name, generation_of(name)) for name in names]
    old = [name for name, generation in found if generation is not None and generation != current]
    return old + [name for name in names if name == MANIFEST + NEW]


def source(names: tuple[str, ...], log: str) -> str:
    """Return the file to read for a log: the suspect one where there is no other."""
    suspect = log + SUSPECT
    return suspect if suspect in names and log not in names else log
