"""Runs: many user items of one frame that differ in their payloads alone. Pure.

    the body of a RUN:   [bytes of the second element, [fields, lengths], [payload, payload ...]]

`fields` is what every item begins with, `lengths` are the bytes of each payload, and the payloads stand as the msgpack
values they are: who takes them all reads them with one call and copies none before that.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Any, Final

RUN_ITEMS_MAX: Final = 256
RUN_BYTES_MAX: Final = 64 * 1024  # payload bytes, and OVERHEAD_BYTES for each, after which a run is closed
RUN_ITEMS_MIN: Final = 4  # fewer are a BATCH, which costs less to read then
RUN_OPENS: Final = b"\x93\xce"  # three elements, the first a number of 32 bits
VALUES_OPEN: Final = b"\xdd"  # an array whose length has 32 bits


class Heading:
    """What the items of a run begin with: `head` as an item holds it, `fields` as the run does."""

    __slots__ = ("fields", "head")

    def __init__(self, head: bytes, fields: bytes) -> None:
        self.head = head
        self.fields = fields


class Run:
    """The items of a RUN that arrived; iterated over they are tuples like those of a BATCH."""

    __slots__ = ("_data", "_values_at", "fields", "lengths", "size")

    def __init__(self, fields: tuple[Any, ...], lengths: tuple[int, ...], data: bytes, values_at: int) -> None:
        self.fields = fields
        self.lengths = lengths
        self.size = len(data) - values_at - 5  # bytes of all payloads
        self._data = data
        self._values_at = values_at

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        fields = self.fields
        return iter([(*fields, payload) for payload in self.payloads])

    @property
    def values(self) -> memoryview:
        """All payloads, as one array of msgpack."""
        return memoryview(self._data)[self._values_at :]

    @property
    def payloads(self) -> list[bytes]:
        """Each payload by itself."""
        data, begin = self._data, self._values_at + 5
        ends = accumulate(self.lengths, initial=begin)
        return [data[end : end + length] for end, length in zip(ends, self.lengths, strict=False)]

    def __repr__(self) -> str:
        return f"<Run of {len(self.lengths)} items {self.fields}>"
