"""What happened, in order, with causes: fixed tuples under one rolling hash.

Digested of an event: time, sequence, parent, node, path, incarnation, kind and its 64-bit digest (codec bytes, class
names of reasons). Never a text, traceback, line or file: `text` is for people and stays outside the hash.
Two runs are equal when their digests are; `first_difference` names the first event at which they part.
"""

from __future__ import annotations

import json
import sys
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import zip_longest
from typing import IO, Final, NamedTuple

from regrove.node.simulation.clock import written

KEPT: Final = 200_000  # events kept for stories; the hash covers all
_BATCH_WORDS: Final = 8 * 512

Row = tuple[int, int, int, str, str, int, str, int, str]


class Event(NamedTuple):
    """One thing that happened. `parent` is the sequence of its cause (0: none); `time` is in virtual ns."""

    time: int
    sequence: int
    parent: int
    node: str
    path: str
    incarnation: int
    kind: str
    digest: int
    text: str

    def __str__(self) -> str:
        life = f"#{self.incarnation}" if self.incarnation else ""
        place = f"{self.node} {self.path}{life}".strip()
        return f"{written(self.time)} [{self.sequence} <- {self.parent}] {place} {self.kind} {self.text}".rstrip()


class Trace:
    """The events of one run. Iterating yields `Event`s, oldest kept first."""

    def __init__(self, kept: int = KEPT) -> None:
        self._rows: deque[Row] = deque(maxlen=kept)
        self._words = array("Q")
        self._hash = blake2b(digest_size=16)
        self._names: dict[str, int] = {}
        self.sequence = 0

    def emit(
        self, time: int, parent: int, node: str, path: str, incarnation: int, kind: str, digest: int, text: str = ""
    ) -> int:
        """Add one event; return its sequence number, the `parent` of what it causes."""
        self.sequence = sequence = self.sequence + 1
        self._rows.append((time, sequence, parent, node, path, incarnation, kind, digest, text))
        names = self._names
        number = names.get(node)
        if number is None:
            number = self._intern(node)
        place = names.get(path)
        if place is None:
            place = self._intern(path)
        sort = names.get(kind)
        if sort is None:
            sort = self._intern(kind)
        words = self._words
        words.extend((time, sequence, parent, number, place, incarnation, sort, digest & 0xFFFF_FFFF_FFFF_FFFF))
        if len(words) >= _BATCH_WORDS:
            self._absorb()
        return sequence

    def _intern(self, name: str) -> int:
        self._absorb()
        number = self._names[name] = len(self._names) + 1
        data = name.encode("utf-8", "surrogatepass")
        self._hash.update(b"%d:" % len(data) + data)
        return number

    def _absorb(self) -> None:
        words = self._words
        if not words:
            return
        if sys.byteorder == "big":
            words.byteswap()
        self._hash.update(words.tobytes())
        del words[:]

    @property
    def digest(self) -> str:
        """The rolling hash over every event so far, as 32 hex digits."""
        self._absorb()
        return self._hash.copy().hexdigest()

    @property
    def dropped(self) -> int:
        """How many of the oldest events are no longer kept; they are in the digest."""
        return self.sequence - len(self._rows)

    def __iter__(self) -> Iterator[Event]:
        return map(Event._make, self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def undelivered(self, reason: str | None = None) -> list[Event]:
        """Return the messages that reached nobody; `reason` is a word of `Sent` such as `"STALE"`."""
        return [
            event
            for event in self
            if event.kind == "undelivered" and (reason is None or event.text.split(" ", 1)[0] == reason)
        ]

    def causes(self, sequence: int, most: int = 40) -> list[Event]:
        """Return the event and what led to it, oldest first, at most `most`."""
        first = self.dropped + 1
        chain: list[Event] = []
        while sequence >= first and len(chain) < most:
            event = Event._make(self._rows[sequence - first])
            chain.append(event)
            sequence = event.parent
        chain.reverse()
        return chain

    def write(self, file: IO[str]) -> None:
        """Write the kept events as JSON lines, the digest in the first."""
        file.write(json.dumps({"digest": self.digest, "events": self.sequence, "dropped": self.dropped}) + "\n")
        for row in self._rows:
            file.write(json.dumps(row) + "\n")

    def __repr__(self) -> str:
        return f"<Trace of {self.sequence} events, {self.digest}>"


def read(file: Iterable[str]) -> list[Event]:
    """Read back what `Trace.write` wrote."""
    lines = iter(file)
    next(lines)
    return [Event(*json.loads(line)) for line in lines]


def first_difference(left: Iterable[Event], right: Iterable[Event]) -> str | None:
    """Name the first event at which two runs part, None when the kept events are equal."""
    for one, other in zip_longest(left, right):
        if one is None or other is None:
            longer = "second" if one is None else "first"
            return f"the {longer} run goes on with\n  {one or other}\nand the other one has ended"
        if one[:-1] != other[:-1]:
            names = (name for name in Event._fields[:-1] if getattr(one, name) != getattr(other, name))
            return f"the runs part at event {one.sequence}, in {', '.join(names)}:\n  first:  {one}\n  second: {other}"
    return None
