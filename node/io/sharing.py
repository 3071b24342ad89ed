"""Who else listens on a shared port: SO_REUSEPORT lets any process of the same user join, silently.

The cores of one node share a port on purpose; they are children of one manager. Any other process there would take a
part of the connections without a word, so it is looked for when a listener opens (`/proc/net/tcp`, Linux).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

LISTENING: Final = "0A"  # the state column of /proc/net/tcp
PROC: Final = Path("/proc")


def stranger_on(sock: socket.socket) -> str | None:
    """Name the process outside this node that listens where `sock` does, or None. Read at each opening: rare."""
    inodes = _other_listeners(sock)
    if not inodes:
        return None
    own = (str(os.getpid()), str(os.getppid()))  # the manager keeps duplicates of what its cores listen on
    for process in _processes():
        if process.name in own or _parent(process) == os.getppid():
            continue
        if not inodes.isdisjoint(_sockets(process)):
            return f"process {process.name} ({_command(process)})"
    return None


def _other_listeners(sock: socket.socket) -> frozenset[str]:
    own = str(os.fstat(sock.fileno()).st_ino)
    found = []
    for table in ("tcp", "tcp6"):
        try:
            lines = (PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            if columns[3] == LISTENING and columns[9] != own and _same_place(columns[1], sock):
                found.append(columns[9])
    return frozenset(found)


def _same_place(local: str, sock: socket.socket) -> bool:
    host, port = local.split(":")
    name = sock.getsockname()
    if int(port, 16) != name[1]:
        return False
    everywhere = not int(host, 16)
    return everywhere or host in _hexadecimal(sock.family, name[0])


def _hexadecimal(family: int, host: str) -> tuple[str, ...]:
    """The address as the kernel prints it, in words of the machine's byte order."""
    packed = socket.inet_pton(family, host.partition("%")[0])
    words = [packed[start : start + 4][::-1].hex().upper() for start in range(0, len(packed), 4)]
    return ("".join(words),)


def _processes() -> Iterator[Path]:
    for entry in sorted(PROC.iterdir()):
        if entry.name.isdigit():
            yield entry


def _parent(process: Path) -> int:
    try:
        stat = (process / "stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])


def _sockets(process: Path) -> Iterator[str]:
    try:
        entries = list((process / "fd").iterdir())
    except OSError:
        return  # gone, or another user's
    for entry in entries:
        try:
            target = os.readlink(entry)
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[8:-1]


def _command(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return "gone by now"
    return b" ".join(words).decode("utf-8", "replace").strip()[:120]
