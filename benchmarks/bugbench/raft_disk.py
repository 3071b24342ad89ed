"""How a Raft's records lie in a file: one a line, each with a checksum, so that a torn end is seen.

It uses the standard library alone, as `raft_core` does, so that every simulator keeps the same bytes.
"""

from __future__ import annotations

from zlib import crc32

from benchmarks.bugbench.raft_core import Record


def encoded(records: list[Record]) -> bytes:
    """Return the lines of some records."""
    lines = []
    for record in records:
        text = " ".join(map(str, record)).encode()
        lines.append(b"%08x %s\n" % (crc32(text), text))
    return b"".join(lines)


def decoded(data: bytes) -> tuple[list[Record], int]:
    """Return the whole records at the beginning of `data`, and how many bytes they take."""
    records: list[Record] = []
    length = 0
    for line in data.splitlines(keepends=True):
        text = line[9:-1]
        if not line.endswith(b"\n") or line[:8] != b"%08x" % crc32(text):
            break
        kind, *numbers = text.decode().split(" ")
        records.append((kind, *map(int, numbers)))
        length += len(line)
    return records, length
