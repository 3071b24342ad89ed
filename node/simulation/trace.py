"""What happened, in order, with causes: fixed tuples under one rolling hash.

Digested of an event: time, sequence, parent, node, path, incarnation, kind and its 64-bit digest (codec bytes, class
names of reasons). Never a text, traceback, line or file: `text` is for people and stays outside the hash.
Two runs are equal when their digests are; `first_difference` names the first event at which they part.
"""

from __future__ import annotations

import json
import re
from bisect import bisect
from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum
from hashlib import blake2b
from itertools import chain, islice, zip_longest
from typing import IO, Any, Final, NamedTuple, TypeAlias

import msgpack

from regrove.node.core.errors import DecodeError, Misuse
from regrove.node.core.messages import decode
from regrove.node.simulation.clock import SECOND, written

KEPT: Final = 200_000  # events kept for stories; the hash covers all
DOINGS: Final = 2_000  # of the test itself, kept for stories
GIVEN: Final = 250  # bytes of a message or answer that is kept for stories
SHORT: Final = 40
ANSWER: Final = 100  # letters of what a test got, which is what it judges
LARGE: Final = 1_000
BATCH: Final = 1_024  # rows hashed at once
_FAULT: Final = re.compile(r"(\d+) (-?\d+)")

Row: TypeAlias = tuple[int, int, int, str, str, int, str, int]  # an event without its text
Text: TypeAlias = str | bytes | tuple[str, bytes]  # words; of a message its bytes instead, of an answer both
Batch: TypeAlias = tuple[int, bytes, bytes, int]  # the first sequence, the rows as they were hashed, their texts, count


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
        text = _of_a_fault(self.text) if self.kind.startswith("fault-") else self.text
        return f"{written(self.time)} [{self.sequence} <- {self.parent}] {place} {self.kind} {text}".rstrip()


def _of_a_fault(text: str) -> str:
    """`for 1.146s x20`, of what is digested: the ns that it lasts and its strength, 0 where there is none."""
    found = _FAULT.fullmatch(text)
    if found is None:
        return text
    lasts, strength = map(int, found.groups())
    length = f"{lasts / SECOND:.3f}".rstrip("0").rstrip(".")
    words = [f"for {length if length != '0' else written(lasts)[:-1]}s"] if lasts else []
    return " ".join(words + ([f"x{strength}"] if strength else []))


class Doing:
    """What the test itself did at an instant, and what it got; for stories only, it is in no digest."""

    __slots__ = ("arguments", "ended", "gave", "sequence", "time", "verb")

    def __init__(self, time: int, sequence: int, verb: str, arguments: tuple[object, ...]) -> None:
        self.time = time
        self.sequence = sequence  # of the last event before it
        self.verb = verb
        self.arguments = tuple(map(_small, arguments))
        self.gave = ""
        self.ended: int | None = None

    def end(self, time: int, gave: object) -> None:
        """It came back at `time`."""
        self.end_as(time, shortly(_small(gave), ANSWER))

    def end_as(self, time: int, word: str) -> None:
        """It came back at `time`, and all there is to say of it is a word."""
        self.ended = time
        self.gave = word

    @property
    def words(self) -> str:
        """What is told of it, but for its time."""
        given = " ".join(map(shortly, self.arguments))
        when = f" at {written(self.ended)}" if self.ended is not None and self.ended != self.time else ""
        gave = "" if self.ended is None else f" -> {self.gave}{when}"
        return f"{self.verb} {given}{gave}"

    def __str__(self) -> str:
        return f"{written(self.time)} test {self.words}"


class Aside(Doing):
    """What the world did that is no event, as a buggify point that held; for stories only, as what the test does."""

    __slots__ = ()

    def __init__(self, time: int, sequence: int, words: str) -> None:
        super().__init__(time, sequence, words, ())
        self.ended = time

    @property
    def words(self) -> str:
        """What is told of it, but for its time."""
        return self.verb

    def __str__(self) -> str:
        return f"{written(self.time)} {self.words}"


def _small(value: object) -> object:
    """The value itself, or what stands for one that is large: a story holds no messages of megabytes alive."""
    if isinstance(value, bytes | str):
        return value[: ANSWER + 1] if len(value) > LARGE else value
    for name in getattr(type(value), "__match_args__", ()):
        part = getattr(value, name, None)
        if isinstance(part, bytes | str | tuple | list | dict) and len(part) > LARGE:
            return type(value)
    return value


def shortly(value: object, most: int = SHORT) -> str:
    """A value in at most `most` characters of one line; its class alone where that holds an address, or cannot be."""
    if isinstance(value, type):
        return value.__name__
    try:
        text = value.name if isinstance(value, Enum) else repr(value)
    except Exception:  # of a class of the application
        return type(value).__name__
    if " at 0x" in text:
        return type(value).__name__
    text = text if len(text) <= most else f"{text[: most - 3]}..."
    return text if text.isprintable() else "".join(map(_printed, text))


def _printed(letter: str) -> str:
    return letter if letter.isprintable() else ascii(letter)[1:-1]


class Trace:
    """The events of one run. Iterating yields `Event`s, oldest kept first."""

    def __init__(self, kept: int = KEPT) -> None:
        self._most = max(kept, 1)
        self._batches: deque[Batch] = deque()
        self._count = 0  # of events in the batches
        self.fresh: list[Row] = []  # what is in no batch yet, and `texts` beside it
        self.texts: list[Text] = []
        self._hash = blake2b(digest_size=16)
        self._pack = msgpack.Packer().pack
        self.sequence = 0
        self.doings: deque[Doing] = deque(maxlen=DOINGS)
        self.asides: deque[Aside] = deque(maxlen=DOINGS)

    def doing(self, time: int, verb: str, *arguments: object) -> Doing:
        """Keep what the test does now; it `end`s when it comes back."""
        doing = Doing(time, self.sequence, verb, arguments)
        self.doings.append(doing)
        return doing

    def aside(self, time: int, words: str) -> None:
        """Keep what is told between events, and is none."""
        self.asides.append(Aside(time, self.sequence, words))

    def emit(
        self, time: int, parent: int, node: str, path: str, incarnation: int, kind: str, digest: int, text: Text = ""
    ) -> int:
        """Add one event; return its sequence number, the `parent` of what it causes. `digest` has at most 64 bits."""
        self.sequence = sequence = self.sequence + 1
        fresh = self.fresh
        fresh.append((time, sequence, parent, node, path, incarnation, kind, digest))
        self.texts.append(text)
        if len(fresh) >= BATCH:
            self.absorb()
        return sequence

    def absorb(self) -> None:
        """Hash what is fresh and keep it packed; who appends to `fresh` and `texts` itself calls it each `BATCH`."""
        fresh = self.fresh
        packed = self._packed(fresh)
        self._hash.update(memoryview(packed)[_head(len(fresh)) :])
        batches = self._batches
        batches.append((fresh[0][1], packed, self._packed(self.texts), len(fresh)))
        self._count += len(fresh)
        while self._count - batches[0][3] >= self._most:
            self._count -= batches.popleft()[3]
        fresh.clear()
        self.texts.clear()

    def _packed(self, rows: list[Row] | list[Text]) -> bytes:
        try:
            packed: bytes = self._pack(rows)
        except UnicodeEncodeError:  # a name with half a surrogate pair
            packed = msgpack.packb(rows, unicode_errors="surrogatepass")
        return packed

    @property
    def digest(self) -> str:
        """The rolling hash over every event so far, as 32 hex digits."""
        hashed = self._hash.copy()
        hashed.update(memoryview(self._packed(self.fresh))[_head(len(self.fresh)) :])
        return hashed.hexdigest()

    @property
    def dropped(self) -> int:
        """How many of the oldest events are no longer kept; they are in the digest."""
        return self.sequence - len(self)

    def __iter__(self) -> Iterator[Event]:
        batches = self._all()
        return islice(chain.from_iterable(map(_events, batches)), self._beyond(), None)

    def __len__(self) -> int:
        return min(self._count + len(self.fresh), self._most)

    def _beyond(self) -> int:
        """How many of the oldest that are still there are not kept any more: a batch goes as a whole."""
        return self._count + len(self.fresh) - len(self)

    def _all(self) -> list[Batch]:
        fresh = self.fresh
        last = (fresh[0][1] if fresh else 0, self._packed(fresh), self._packed(self.texts), len(fresh))
        return [*self._batches, last]

    def given(self) -> dict[int, bytes]:
        """The bytes of the messages and answers that events were given, by sequence; of long ones none are kept."""
        return {
            sequence: text if isinstance(text, bytes) else text[1]
            for batch in self._all()
            for sequence, text in enumerate(_unpacked(batch[2]), batch[0])
            if not isinstance(text, str)
        }

    def undelivered(self, reason: str | None = None) -> list[Event]:
        """Return the messages that reached nobody; `reason` is a word of `Sent` such as `"STALE"`."""
        if reason is not None and not (isinstance(reason, str) and reason.isupper()):
            raise Misuse(f"undelivered(reason={reason!r}): a reason is a word of Sent, such as 'STALE'")
        least = self.dropped
        return [
            event
            for batch in self._all()
            if b"undelivered" in batch[1]
            for event in _events(batch)
            if event.kind == "undelivered"
            and event.sequence > least
            and (reason is None or event.text.split(" ", 1)[0] == reason)
        ]

    def causes(self, sequence: int, most: int = 40) -> list[Event]:
        """Return the event and what led to it, oldest first, at most `most`."""
        first = self.dropped + 1
        batches = self._all()
        firsts = [batch[0] for batch in batches if batch[3]]
        found: list[Event] = []
        known: dict[int, list[Event]] = {}
        while sequence >= first and len(found) < most:
            index = bisect(firsts, sequence) - 1
            if index not in known:
                known[index] = list(_events(batches[index]))
            event = known[index][sequence - firsts[index]]
            found.append(event)
            sequence = event.parent
        found.reverse()
        return found

    def write(self, file: IO[str]) -> None:
        """Write the kept events as JSON lines, the digest in the first."""
        file.write(json.dumps({"digest": self.digest, "events": self.sequence, "dropped": self.dropped}) + "\n")
        for event in self:
            file.write(json.dumps(event) + "\n")

    def __repr__(self) -> str:
        return f"<Trace of {self.sequence} events, {self.digest}>"


def _head(count: int) -> int:
    """Bytes of the array around so many packed rows: they are hashed as if each by itself."""
    return 1 if count < 16 else 3


def _events(batch: Batch) -> Iterator[Event]:
    return map(_event, _unpacked(batch[1]), _unpacked(batch[2]))


def _unpacked(packed: bytes) -> tuple[Any, ...]:
    rows: tuple[Any, ...] = msgpack.unpackb(packed, use_list=False, unicode_errors="surrogatepass")
    return rows


def _event(row: Row, text: Text) -> Event:
    if isinstance(text, bytes):
        return Event(*row, _class_of(text))
    return Event(*row, text if isinstance(text, str) else text[0])


def _class_of(payload: bytes) -> str:
    try:
        return type(decode(payload)).__name__
    except DecodeError:  # of a class that is not there any more
        return "message"


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
