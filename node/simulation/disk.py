"""One disk a node: what was synced survives a power loss, of the rest a keyed prefix, and the last write may be torn.

A core that dies takes no byte back that the kernel had (its page cache outlives it); a node that crashes loses what was
not synced. `rename` and `remove` are atomic and sync their folder; a new file's entry is durable after its first sync.
A failed sync drops what it was to write, as Linux does: a later sync that succeeds does not bring it back.
"""

from __future__ import annotations

from typing import Final

from regrove.node.simulation.plan import DISK_FULL, DISK_SLOW, SYNC_FAILS
from regrove.node.simulation.seeds import Draws, Ratio, below, holds

TORN: Final = Ratio(1, 2)  # how often the first write that a power loss does not keep is kept in part


class DiskError(Exception):
    """The disk refused: `name` is the errno's name."""

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path
        super().__init__(f"{name}: {path}")


class File:
    """One file: what readers see, what is on the platter, and what was written since the last sync."""

    __slots__ = ("content", "durable", "entry_durable", "path", "pending")

    def __init__(self, path: str) -> None:
        self.path = path
        self.content = bytearray()
        self.durable = bytearray()
        self.pending: list[tuple[int, bytes | None]] = []  # (offset, data), or (length, None) for a cut
        self.entry_durable = False

    def __repr__(self) -> str:
        return f"<{self.path}: {len(self.content)} bytes, {len(self.durable)} durable, {len(self.pending)} pending>"


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    if data is None:
        del content[offset:]
    else:
        content[offset : offset + len(data)] = data


def _alike(one: bytearray, other: bytearray) -> int:
    """How many bytes at the beginning are the same: by halves, since files may be large."""
    low, high = 0, min(len(one), len(other))
    with memoryview(one) as ones, memoryview(other) as others:
        while low < high:
            middle = (low + high + 1) // 2
            if ones[low:middle] == others[low:middle]:
                low = middle
            else:
                high = middle - 1
    return low


class Disk:
    """The files of one node and the health of their disk. Paths are relative and use `/`."""

    def __init__(self, node: str, draws: Draws) -> None:
        self.node = node
        self._draws = draws
        self.files: dict[str, File] = {}
        self._entries: dict[str, File] = {}  # the names a power loss leaves
        self.full = False
        self.failing_sync = False
        self.slow = 1  # every operation takes this many times as long
        self._ails: dict[str, list[int]] = {}
        self.torn: Ratio = TORN
        self.failed_syncs = 0
        self.refused_writes = 0
        self.slowed = 0
        self.taken: list[str] = []  # what the last power loss took, in words for a story

    def open(self, path: str, mode: str) -> File:
        """Return the file, made or cut as `mode` says. Raises DiskError ENOENT, ENOSPC."""
        file = self.files.get(path)
        if file is None:
            if mode in ("r", "r+"):
                raise DiskError("ENOENT", path)
            if self.full:
                self.refused_writes += 1
                raise DiskError("ENOSPC", path)
            file = self.files[path] = File(path)
        elif mode == "w":
            self.truncate(file, 0)
        return file

    def write(self, file: File, offset: int, data: bytes) -> None:
        """Write all of `data`. Raises DiskError ENOSPC on a full disk.

        At the end of the file nothing of it stays then, as the real edge cuts it back; elsewhere a keyed prefix does.
        """
        if self.full:
            self.refused_writes += 1
            if offset < len(file.content):
                room = below(self._draws.draw("disk.room", self.node, file.path), len(data) + 1)
                self._write(file, offset, data[:room])
            raise DiskError("ENOSPC", file.path)
        self._write(file, offset, data)

    def write_some(self, file: File, offset: int, data: bytes) -> None:
        """Write a keyed prefix: what a write that was under way when its core died had done."""
        done = below(self._draws.draw("disk.interrupted", self.node, file.path), len(data) + 1)
        self._write(file, offset, data[:done])

    def _write(self, file: File, offset: int, data: bytes) -> None:
        if data:
            _apply(file.content, offset, data)
            file.pending.append((offset, data))

    def truncate(self, file: File, length: int) -> None:
        """Cut the file, or fill it with zeros, to `length` bytes."""
        _apply(file.content, length, None)
        file.pending.append((length, None))

    def sync(self, file: File) -> None:
        """Put all of the file on the platter. A failing disk puts a keyed prefix there and raises DiskError EIO."""
        if self.failing_sync:
            self.failed_syncs += 1
            self._settle(file, below(self._draws.draw("disk.sync", self.node, file.path), len(file.pending) + 1))
            raise DiskError("EIO", file.path)
        self._settle(file, len(file.pending))
        self._keep_entry(file)

    def _settle(self, file: File, count: int) -> None:
        for offset, data in file.pending[:count]:
            _apply(file.durable, offset, data)
        file.pending.clear()

    def _keep_entry(self, file: File) -> None:
        if not file.entry_durable and self.files.get(file.path) is file:
            self._entries[file.path] = file
            file.entry_durable = True

    def rename(self, old: str, new: str) -> None:
        """Give the file its new name, replacing what had it; durable at once. Raises DiskError ENOENT."""
        file = self.files.pop(old, None)
        if file is None:
            raise DiskError("ENOENT", old)
        self._entries.pop(old, None)
        file.path = new
        self.files[new] = self._entries[new] = file
        file.entry_durable = True

    def remove(self, path: str) -> None:
        """Remove the name; durable at once. Raises DiskError ENOENT."""
        if self.files.pop(path, None) is None:
            raise DiskError("ENOENT", path)
        self._entries.pop(path, None)

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the sorted names of the files in `folder` (the empty text is the top)."""
        prefix = f"{folder}/" if folder else ""
        found = (path[len(prefix) :] for path in self.files if path.startswith(prefix))
        return tuple(sorted(name for name in found if "/" not in name))

    def lose_power(self) -> int:
        """Keep what was synced and a keyed prefix of the rest; return how many writes are lost."""
        lost = 0
        for path, file in self.files.items():
            draw = self._draws.draw("disk.power", self.node, path)
            if not file.entry_durable:
                if holds(draw, 0, Ratio(1, 2)):
                    lost += len(file.pending)
                    continue
                self._entries[path] = file
                file.entry_durable = True
            lost += self._cut(file, draw)
        self.taken = [words for path, file in self.files.items() if (words := self._taken(path, file))]
        self.files = dict(self._entries)
        for file in self._entries.values():
            file.content[:] = file.durable
            file.pending.clear()
        return lost

    def _taken(self, path: str, file: File) -> str:
        if self._entries.get(path) is not file:
            return f"the disk lost {path}, whose name was not synced"
        left, had = file.durable, file.content
        if left == had:
            return ""
        same = _alike(left, had)
        if same == len(left):
            return f"the disk kept {len(left)} of {len(had)} bytes of {path}"
        return f"the disk has {len(left)} bytes of {path}, which had {len(had)}, other ones from byte {same} on"

    def _cut(self, file: File, draw: int) -> int:
        pending = file.pending
        keep = ((draw >> 20) & 0xFFFFF) * (len(pending) + 1) >> 20
        for offset, data in pending[:keep]:
            _apply(file.durable, offset, data)
        if keep < len(pending):
            offset, data = pending[keep]
            tear = self._draws.draw("disk.torn", self.node, file.path)
            if data is not None and holds(tear, 0, self.torn):
                _apply(file.durable, offset, data[: ((tear >> 20) & 0xFFFFF) * len(data) >> 20])
        return len(pending) - keep

    def met(self, what: str) -> int:
        """How many operations met a fault of a kind so far."""
        return {SYNC_FAILS: self.failed_syncs, DISK_FULL: self.refused_writes, DISK_SLOW: self.slowed}[what]

    def ails(self, what: str, strength: int) -> None:
        """Begin a fault of a kind of the plan; those of one kind may overlap."""
        self._ails.setdefault(what, []).append(strength)
        self._feel()

    def recovers(self, what: str, strength: int) -> None:
        """End one; nothing when the disk was healed meanwhile."""
        if strength in self._ails.get(what, ()):
            self._ails[what].remove(strength)
            self._feel()

    def _feel(self) -> None:
        self.full = bool(self._ails.get(DISK_FULL))
        self.failing_sync = bool(self._ails.get(SYNC_FAILS))
        self.slow = max(self._ails.get(DISK_SLOW, ()), default=1)

    def heal(self) -> None:
        """Make the disk healthy; what is lost stays lost."""
        self._ails.clear()
        self.full = False
        self.failing_sync = False
        self.slow = 1

    def __repr__(self) -> str:
        return f"<Disk of {self.node}: {len(self.files)} files{', full' if self.full else ''}>"
