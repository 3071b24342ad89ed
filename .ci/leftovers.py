"""Print `PID COMMAND` for each process whose environment holds MARK=VALUE, but for this one and those it stems from.

Usage: leftovers.py MARK VALUE. Linux only. A process of another user, or with an emptied environment, is not seen.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def ancestors(pid: int) -> list[int]:
    """Give `pid` and every process above it."""
    line = []
    while pid > 0:
        line.append(pid)
        status = Path(f"/proc/{pid}/status").read_text()
        pid = next(int(row.split()[1]) for row in status.splitlines() if row.startswith("PPid:"))
    return line


def marked(mark: bytes) -> list[tuple[int, str]]:
    """Give every process that inherited `mark`, by pid."""
    ours = ancestors(os.getpid())
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) in ours:
            continue
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append((int(folder.name), command.strip()))
        except OSError:  # ended meanwhile, or not ours to read
            continue
    return sorted(found)


def main() -> None:
    """Print what is left."""
    mark, value = sys.argv[1:]
    for pid, command in marked(f"{mark}={value}".encode()):
        print(pid, command)


if __name__ == "__main__":
    main()
