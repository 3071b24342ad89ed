"""The keys of one shard: values, deadlines in absolute wall-clock ms, an order to scan them in.

Pure: the time is an argument. Every change is written to `changes` as a payload of `records.py` and, while `undo` is
on, can be taken back, so that what the disk refused was never there. An expired key is gone for every reader at
its deadline; `sweep` removes a bounded number of such keys at a time and only that is a change.
"""

from __future__ import annotations

from bisect import bisect_left
from heapq import heapify, heappop, heappush
from typing import Final

from examples.kv import records

CHUNK: Final = 16  # keys of one step of a scan, about SCAN's default COUNT
_SLACK: Final = 64


class Order:
    """Keys in order of creation, in chunks with ever growing numbers: a cursor is the number of a chunk.

    A key keeps its chunk for life, so a scan from 0 to the end returns every key that was there throughout.
    """

    __slots__ = ("_chunks", "_next", "_numbers", "_of")

    def __init__(self) -> None:
        self._of: dict[bytes, int] = {}
        self._chunks: dict[int, dict[bytes, None]] = {}
        self._numbers: list[int] = []  # ascending; those of emptied chunks go when they are half of it
        self._next = 0

    def __len__(self) -> int:
        return len(self._of)

    def add(self, key: bytes) -> None:
        """Put a new key at the end."""
        number = self._next // CHUNK
        self._next += 1
        chunk = self._chunks.get(number)
        if chunk is None:
            chunk = self._chunks[number] = {}
            if not self._numbers or self._numbers[-1] != number:
                self._numbers.append(number)
        chunk[key] = None
        self._of[key] = number

    def remove(self, key: bytes) -> None:
        """Take a key out."""
        number = self._of.pop(key)
        chunk = self._chunks[number]
        del chunk[key]
        if chunk:
            return
        del self._chunks[number]
        if len(self._numbers) > 2 * len(self._chunks) + _SLACK:
            self._numbers = list(self._chunks)
            self._numbers.sort()

    def after(self, cursor: int, count: int) -> tuple[list[bytes], int]:
        """Return about `count` keys from chunk `cursor` on and the cursor to go on with; 0 at the end."""
        keys: list[bytes] = []
        for position in range(bisect_left(self._numbers, cursor), len(self._numbers)):
            number = self._numbers[position]
            if len(keys) >= count:
                return keys, number
            keys.extend(self._chunks.get(number, ()))
        return keys, 0


class Store:
    """The keys of one shard. `now` is wall-clock ms everywhere."""

    __slots__ = (
        "_due",
        "_order",
        "bytes",
        "changed_bytes",
        "changes",
        "deadlines",
        "dirty",
        "dirty_all",
        "undo",
        "values",
    )

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.deadlines: dict[bytes, int] = {}
        self.bytes = 0  # of keys and values
        self.changes: list[bytes] = []
        self.changed_bytes = 0  # of `changes`
        self.undo: list[tuple[bytes, bytes | None, int | None] | Emptied] | None = None
        self.dirty: dict[bytes, None] = {}  # keys in `undo`
        self.dirty_all = False
        self._order = Order()
        self._due: list[tuple[int, bytes]] = []  # a heap; entries whose deadline has changed are skipped

    def __len__(self) -> int:
        return len(self.values)

    def get(self, key: bytes, now: int) -> bytes | None:
        """Return the value; None when missing or expired."""
        value = self.values.get(key)
        if value is not None and self.deadlines:
            deadline = self.deadlines.get(key)
            if deadline is not None and deadline <= now:
                return None
        return value

    def deadline(self, key: bytes) -> int | None:
        """Return the deadline in ms, None for a key that has none."""
        return self.deadlines.get(key)

    def put(self, key: bytes, value: bytes, deadline: int | None = None) -> None:
        """Set a key, and its deadline or that it has none."""
        self._remember(key)
        self._set(key, value, deadline)
        self._log(records.put(key, value, deadline))

    def put_many(self, items: list[tuple[bytes, bytes]]) -> None:
        """Set several keys as one change."""
        for key, value in items:
            self._remember(key)
            self._set(key, value, None)
        self._log(records.put_many(items))

    def remove(self, key: bytes) -> None:
        """Remove a key that is there."""
        self._remember(key)
        self._drop(key)
        self._log(records.remove(key))

    def set_deadline(self, key: bytes, deadline: int | None) -> None:
        """Change the deadline of a key that is there."""
        self._remember(key)
        self._set(key, self.values[key], deadline)
        self._log(records.set_deadline(key, deadline))

    def clear(self) -> None:
        """Remove every key."""
        if self.undo is not None:
            self.undo.append(Emptied(self))
            self.dirty_all = True
        self._empty()
        self._log(records.CLEAR)

    def sweep(self, now: int, limit: int) -> int:
        """Remove at most `limit` keys whose deadline has passed; return how many."""
        removed = 0
        while removed < limit and self._due and self._due[0][0] <= now:
            deadline, key = heappop(self._due)
            if self.deadlines.get(key) == deadline:
                self.remove(key)
                removed += 1
        return removed

    def scan(self, cursor: int, count: int, now: int) -> tuple[list[bytes], int]:
        """Return about `count` keys from `cursor` (0: the beginning) and the next cursor (0: the end)."""
        keys, after = self._order.after(cursor, count)
        if self.deadlines:
            keys = [key for key in keys if self.deadlines.get(key, now + 1) > now]
        return keys, after

    def replay(self, payload: bytes) -> None:
        """Apply a record that was read back. Raises ValueError for one that is not ours."""
        for key, value, deadline in records.decode(payload):
            if key is None:
                self._empty()
            elif value is records.REMOVED:
                if key in self.values:
                    self._drop(key)
            elif value is None:
                if key in self.values:
                    self._set(key, self.values[key], deadline)
            else:
                self._set(key, value, deadline)

    def snapshot(self, cursor: int, size: int) -> tuple[tuple[bytes, ...], int]:
        """Return records that make the keys from `cursor` on, about `size` bytes, and the next cursor (0: the end)."""
        found: list[bytes] = []
        while size > 0:
            keys, cursor = self._order.after(cursor, CHUNK)
            made = [records.put(key, self.values[key], self.deadlines.get(key)) for key in keys]
            found += made
            size -= sum(map(len, made))
            if cursor == 0:
                break
        return tuple(found), cursor

    def begin(self) -> None:
        """From here on changes can be taken back."""
        self.undo = []
        self.dirty.clear()
        self.dirty_all = False

    def commit(self) -> None:
        """Keep what changed since `begin`."""
        self.undo = None
        self.dirty.clear()
        self.dirty_all = False

    def roll_back(self) -> None:
        """Take back every change since `begin`."""
        for entry in reversed(self.undo or ()):
            if isinstance(entry, Emptied):
                entry.restore(self)
                continue
            key, value, deadline = entry
            if value is not None:
                self._set(key, value, deadline)
            elif key in self.values:
                self._drop(key)
        self.take_changes()
        self.commit()

    def is_dirty(self, key: bytes) -> bool:
        """Tell whether a change of this key could still be taken back."""
        return self.dirty_all or key in self.dirty

    def take_changes(self) -> tuple[bytes, ...]:
        """Take the records of what changed since the last call."""
        taken = tuple(self.changes)
        self.changes.clear()
        self.changed_bytes = 0
        return taken

    def put_back(self, records_: tuple[bytes, ...]) -> None:
        """Put records that were taken in front of those that came since."""
        self.changes[:0] = records_
        self.changed_bytes += sum(map(len, records_))

    def _log(self, payload: bytes) -> None:
        self.changes.append(payload)
        self.changed_bytes += len(payload)

    def _remember(self, key: bytes) -> None:
        if self.undo is not None:
            self.undo.append((key, self.values.get(key), self.deadlines.get(key)))
            self.dirty[key] = None

    def _set(self, key: bytes, value: bytes, deadline: int | None) -> None:
        old = self.values.get(key)
        if old is None:
            self._order.add(key)
            self.bytes += len(key) + len(value)
        else:
            self.bytes += len(value) - len(old)
        self.values[key] = value
        if deadline is not None:
            self.deadlines[key] = deadline
            heappush(self._due, (deadline, key))
            if len(self._due) > 2 * len(self.deadlines) + _SLACK:
                self._due = [(due, name) for name, due in self.deadlines.items()]
                heapify(self._due)
        elif self.deadlines:
            self.deadlines.pop(key, None)

    def _drop(self, key: bytes) -> None:
        self.bytes -= len(key) + len(self.values.pop(key))
        self.deadlines.pop(key, None)
        self._order.remove(key)

    def _empty(self) -> None:
        self.values = {}
        self.deadlines = {}
        self.bytes = 0
        self._order = Order()
        self._due = []


class Emptied:
    """What a store held when it was cleared, to be put back by `roll_back`."""

    __slots__ = ("_parts",)

    def __init__(self, store: Store) -> None:
        self._parts = (store.values, store.deadlines, store.bytes, store._order, store._due)

    def restore(self, store: Store) -> None:
        """Put it back."""
        store.values, store.deadlines, store.bytes, store._order, store._due = self._parts
