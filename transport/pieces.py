"""Big messages: the two halves of a bulk session. Pure; the protocol is in docs/decisions/big-messages.md.

A payload over the inline limit stays behind; its place in the sequence travels as an empty item with the length beside
it, or those of its parts (ORDERED), and its bytes follow as PIECEs on the bulk session. The receiver hands over later
items of the same source to the same target only when it is whole; all others pass.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Final, NamedTuple, Protocol

from regrove.transport.base import Peer
from regrove.transport.credit import OVERHEAD_BYTES, CreditError
from regrove.transport.events import Verdict
from regrove.transport.pace import Pace
from regrove.transport.parts import Gathering, Parts, Payload, parts_of
from regrove.transport.wire import SIGNAL, TRANSFERS_MAX, Encoder, Item, WireError

SIGNALS_HELD_MAX: Final = 32_768  # behind big messages of one session: the answers to so many calls
SIGNALS_HELD_BYTES: Final = 128 * 1024 * 1024

Held = Callable[[], Iterator[tuple[Hashable, Item]]]  # (target, item) of all that is held, oldest first of each target


class Order(Protocol):
    """Which items must stay in order: those of one source to one target. Asked while big messages are under way."""

    def source(self, item: Item) -> int:
        """Who sends this item: a number of its own for each isolate, 0 for one that waits for nobody."""

    def target(self, peer: Peer, item: Item, held: Held) -> Hashable:
        """For whom this item is that came from `peer`."""


class OnePair:
    """All items of a link in order: of those who have no isolates."""

    def source(self, item: Item) -> int:
        """One for all."""
        del item
        return 1

    def target(self, peer: Peer, item: Item, held: Held) -> Hashable:
        """One for all."""
        del peer, item, held
        return 0


class Transfer:
    """A big message that was posted and is not known to be handed over."""

    __slots__ = ("_inside", "_part", "begun", "length", "notify", "offset", "parts", "sequence", "source", "user")

    def __init__(self, sequence: int, payload: Payload, source: int, user: bool, notify: object) -> None:
        self.sequence = sequence
        self.parts = parts_of(payload)
        self.length = len(payload)
        self.source = source
        self.user = user
        self.notify = notify
        self.offset = 0  # bytes the transport took
        self.begun = False
        self._part = 0  # where `offset` is: in this part, behind so many of its bytes
        self._inside = 0

    def next(self, most: int) -> memoryview:
        """The bytes that follow, of one part."""
        return memoryview(self.parts[self._part])[self._inside : self._inside + most]

    def skip(self, size: int) -> None:
        """So many of those were taken."""
        self.offset += size
        self._inside += size
        if self._inside == len(self.parts[self._part]):
            self._part += 1
            self._inside = 0


def _left_of(transfer: Transfer) -> int:
    return transfer.length - transfer.offset


class Left(NamedTuple):
    """A big message whose place was written and that was not whole when its session ended."""

    sequence: int
    user: bool
    notify: object


class Sending:
    """The sending half: what waits, what is begun within the budget, and how fast.

    Mail may take the budget, answers as much again: they cannot wait in line, so their room is their own. Pieces go
    to the oldest and to the one with the least left in turn: a short one does not wait for long ones, and long ones do
    not all become whole in the same pass.
    """

    __slots__ = (
        "_begun_size",
        "_encoder",
        "_lines",
        "_oldest",
        "_piece_max",
        "_size",
        "_sources",
        "_waiting",
        "budget",
        "message_max",
        "nonce",
        "order",
        "pace",
        "parted",
        "room_wanted",
        "taken",
        "transfers",
        "written",
    )

    def __init__(
        self, nonce: int, message_max: int, piece_max: int, budget: int, order: Order, encoder: Encoder
    ) -> None:
        self.nonce = nonce
        self.message_max = message_max
        self.budget = budget
        self.order = order
        self.pace = Pace(4 * piece_max, budget)
        self.parted = False  # the peer takes the lengths of parts
        self.transfers: dict[int, Transfer] = {}  # by sequence, in order: not known to be handed over
        self.written = 0  # bytes of pieces the transport took, and those the peer has taken
        self.taken = 0
        self.room_wanted = False
        self._piece_max = piece_max
        self._encoder = encoder
        self._waiting: deque[Transfer] = deque()  # not begun
        self._lines: dict[Transfer, None] = {}  # begun and not all written, in the order of their places
        self._oldest = True  # whose turn it is: the oldest line's, or that with the least left
        self._sources: dict[int, int] = {}
        self._size = 0
        self._begun_size = 0

    @property
    def size(self) -> int:
        """Bytes of all that was posted and is not known to be handed over."""
        return self._size

    def limit(self, message_max: int, budget: int) -> bool:
        """Hear what the peer takes; False when what was posted before is more than that."""
        self.budget = min(self.budget, budget)
        self.message_max = min(self.message_max, message_max, self.budget)
        self.pace.ceiling = max(self.pace.floor, self.budget)
        return all(transfer.length <= self.message_max for transfer in self.transfers.values())

    def limit_pieces(self, piece_max: int) -> None:
        """Hear what fits one frame of the peer."""
        self._piece_max = min(self._piece_max, piece_max)

    def judge(self, length: int, user: bool) -> Verdict:
        """Whether one more of `length` bytes may be posted."""
        if length > self.message_max:
            return Verdict.TOO_LARGE
        room = self.budget if user else 2 * self.budget
        if self._size + length > room or len(self.transfers) >= TRANSFERS_MAX:
            self.room_wanted = self.room_wanted or user
            return Verdict.LINK_FULL
        return Verdict.OK

    def lengths(self, payload: Payload) -> int | tuple[int, ...]:
        """What its place says of the length of a payload."""
        return tuple(map(len, payload.parts)) if self.parted and type(payload) is Parts else len(payload)

    def add(self, sequence: int, payload: Payload, source: int, user: bool, notify: object) -> None:
        """Take one that was judged."""
        transfer = Transfer(sequence, payload, source, user, notify)
        self.transfers[sequence] = transfer
        self._waiting.append(transfer)
        self._size += len(payload)
        self._sources[source] = self._sources.get(source, 0) + 1

    def behind(self, item: Item) -> int:
        """The source of an item that may have to wait for a big one, 0 when none of its source is under way."""
        source = self.order.source(item)
        return source if source in self._sources else 0

    def piece(self, places: int) -> tuple[Transfer, bytes] | None:
        """The next piece, of those whose places up to `places` were written; None when the window or all is used."""
        waiting, lines = self._waiting, self._lines
        while waiting and waiting[0].sequence <= places:
            length = waiting[0].length
            if self._begun_size + length > self.budget and self._begun_size:
                break
            self._begun_size += length
            waiting[0].begun = True
            lines[waiting.popleft()] = None
        if not lines:
            return None
        if self.written - self.taken >= self.pace.window:
            self.pace.limited = True
            return None
        transfer = next(iter(lines)) if self._oldest else min(lines, key=_left_of)
        data = transfer.next(self._piece_max)
        return transfer, self._encoder.piece(self.nonce, transfer.sequence, transfer.offset, transfer.length, data)

    def wrote(self, transfer: Transfer) -> int:
        """The transport took the piece; its size."""
        size = len(transfer.next(self._piece_max))
        transfer.skip(size)
        self.written += size
        if transfer.offset == transfer.length:
            del self._lines[transfer]
        self._oldest = not self._oldest
        return size

    def begin(self) -> None:
        """A bulk session begins: nothing is under way on it."""
        self.written = self.taken = 0
        self.pace.idle()

    def hear(self, total: int, now: int) -> None:
        """Hear how many bytes of pieces were taken. Raises WireError for more than were written, or fewer than told."""
        if not self.taken <= total <= self.written:
            raise WireError(f"{total} bytes of pieces taken, of {self.written} written and {self.taken} told before")
        self.taken = total
        self.pace.taken(total, self.written, now)

    def settle(self, taken: int, unfinished: tuple[int, ...]) -> list[Transfer]:
        """Hear that all places up to `taken` came and which of those are not whole: the others are done.

        Raises WireError for an answer that cannot be true.
        """
        missing = frozenset(unfinished)
        if not missing <= self.transfers.keys() or (missing and max(missing) > taken):
            raise WireError("a GRANT names a big message that is not under way")
        done = []
        for transfer in self.transfers.values():
            if transfer.sequence > taken:
                break
            if transfer.sequence not in missing:
                done.append(transfer)
        for transfer in done:
            if transfer.offset < transfer.length:
                raise WireError(f"big message {transfer.sequence} is said to be whole before it was sent")
            self._forget(transfer)
        return done

    def _forget(self, transfer: Transfer) -> None:
        del self.transfers[transfer.sequence]
        self._size -= transfer.length
        self._begun_size -= transfer.length
        left = self._sources[transfer.source] - 1
        if left:
            self._sources[transfer.source] = left
        else:
            del self._sources[transfer.source]

    def open_users(self, taken: int) -> int:
        """How many user items up to `taken` are not known to be whole."""
        return sum(transfer.user for transfer in self.transfers.values() if transfer.sequence <= taken)

    def left(self, places: int) -> tuple[Left, ...]:
        """Those under way whose places were written."""
        return tuple(
            Left(transfer.sequence, transfer.user, transfer.notify)
            for transfer in self.transfers.values()
            if transfer.sequence <= places
        )

    def never_left(self, places: int) -> list[tuple[int, object]]:
        """Tokens, with their sequences, of those whose places were not written."""
        return [
            (transfer.sequence, transfer.notify)
            for transfer in self.transfers.values()
            if transfer.sequence > places and transfer.notify is not None
        ]


class Half:
    """A big message that is not handed over yet: its place, its pieces, or both have come."""

    __slots__ = ("gathering", "item", "length", "placed")

    def __init__(self, length: int) -> None:
        self.length = length
        self.gathering = Gathering(length)
        self.placed = False
        self.item: Item = ()

    @property
    def whole(self) -> bool:
        """Whether it can be handed over when its turn comes."""
        return self.placed and self.gathering.size == self.length

    def finished(self) -> Item:
        """The item as it was posted."""
        return (*self.item[:-1], self.gathering.payload())


class _Lane:
    """What one source sent to one target since a big message of that pair that is not whole."""

    __slots__ = ("entries", "key")

    def __init__(self, key: tuple[int, Hashable]) -> None:
        self.key = key
        self.entries: deque[tuple[int, Item, Half | None]] = deque()


class Assembly:
    """The receiving half: puts pieces together, and holds what must wait."""

    __slots__ = ("_begun_size", "_budget", "_early", "_lanes", "_message_max", "_signals", "halves", "held", "size")

    def __init__(self, message_max: int, budget: int) -> None:
        self._message_max = message_max
        self._budget = budget
        self.halves: dict[int, Half] = {}  # by sequence
        self._early: dict[int, None] = {}  # of those, the ones whose places have not come
        self._lanes: dict[tuple[int, Hashable], _Lane] = {}
        self._begun_size = 0  # announced bytes of those of which a piece has come
        self._signals = [0, 0]  # the same of signals, which take no credit
        self.held = [0, 0]  # user items that wait behind big ones, and their bytes with overhead
        self.size = 0  # bytes of pieces taken

    @property
    def idle(self) -> bool:
        """Whether nothing is under way here."""
        return not self.halves

    def unfinished(self) -> list[int]:
        """The places that came and whose messages were not handed over."""
        return sorted(sequence for sequence in self.halves if sequence not in self._early)

    def check(self, expected: int) -> None:
        """Raise WireError when a piece came for a sequence that turned out to be no place of a big message."""
        for sequence in self._early:
            if sequence < expected:
                raise WireError(f"pieces came for sequence {sequence}, which is no big message")

    def rows(
        self, peer: Peer, first: int, rows: Iterable[tuple[int, int | tuple[int, ...], Item]], order: Order
    ) -> list[tuple[int, Item]]:
        """Take the rows of one ORDERED frame; what may be handed over now, as (sequence, item)."""
        ready: list[tuple[int, Item]] = []
        for sequence, (source, length, item) in enumerate(rows, first):
            if length:
                self._place(sequence, length, item)
            elif not source or not self._lanes:
                ready.append((sequence, item))
                continue
            key = (source, order.target(peer, item, lambda source=source: self._held(source)))  # type: ignore[misc]
            lane = self._lanes.get(key)
            if length:
                if lane is None:
                    lane = self._lanes[key] = _Lane(key)
                lane.entries.append((sequence, item, self.halves[sequence]))
                self._release(lane, ready)
            elif lane is None:
                ready.append((sequence, item))
            else:
                lane.entries.append((sequence, item, None))
                self._count(item, 1)
        self._check_signals()
        return ready

    def _held(self, source: int) -> Iterator[tuple[Hashable, Item]]:
        for key, lane in self._lanes.items():
            if key[0] == source:
                for _, item, _ in lane.entries:
                    yield key[1], item

    def _place(self, sequence: int, said: int | tuple[int, ...], item: Item) -> None:
        length = said if isinstance(said, int) else sum(said)
        self._check_length(sequence, length)
        half = self.halves.get(sequence)
        if half is None:
            self._admit(sequence)
            half = self.halves[sequence] = Half(length)
        elif half.length != length:
            raise WireError(f"big message {sequence} has {half.length} bytes by its pieces, {length} by its place")
        self._early.pop(sequence, None)
        if not isinstance(said, int):
            half.gathering.divide(said)
        half.placed = True
        half.item = item

    def _check_length(self, sequence: int, length: int) -> None:
        if not 0 < length <= self._message_max:
            raise WireError(f"big message {sequence} has {length} bytes, at most {self._message_max} are taken")

    def _admit(self, sequence: int) -> None:
        if len(self.halves) >= TRANSFERS_MAX:
            raise CreditError(f"big message {sequence} is one more than the {TRANSFERS_MAX} that may be under way")

    def piece(self, expected: int, sequence: int, offset: int, length: int, data: bytes) -> list[tuple[int, Item]]:
        """Take a piece; what may be handed over because of it. Raises WireError and CreditError (over the budget)."""
        half = self.halves.get(sequence)
        if half is None:
            if sequence < expected:
                raise WireError(f"a piece came for sequence {sequence}, which is no big message under way")
            self._check_length(sequence, length)
            self._admit(sequence)
            half = self.halves[sequence] = Half(length)
            self._early[sequence] = None
        size = half.gathering.size
        if half.length != length or offset != size or offset + len(data) > length:
            raise WireError(
                f"a piece of {len(data)} bytes at {offset} of {length} came for big message {sequence}, "
                f"of which {size} of {half.length} are there"
            )
        if not size:
            self._begun_size += length
            if self._begun_size > self._budget:
                raise CreditError(f"{self._begun_size} bytes of big messages came under a budget of {self._budget}")
        half.gathering.add(data)
        self.size += len(data)
        ready: list[tuple[int, Item]] = []
        if half.whole:
            for lane in list(self._lanes.values()):
                if lane.entries[0][0] == sequence:
                    self._release(lane, ready)
                    break
        return ready

    def _release(self, lane: _Lane, ready: list[tuple[int, Item]]) -> None:
        entries = lane.entries
        while entries:
            sequence, item, half = entries[0]
            if half is not None:
                if not half.whole:
                    return
                item = half.finished()
                del self.halves[sequence]
                self._begun_size -= half.length
            else:
                self._count(item, -1)
            entries.popleft()
            ready.append((sequence, item))
        del self._lanes[lane.key]

    def _count(self, item: Item, sign: int) -> None:
        books = self.held if item[0] < SIGNAL else self._signals
        books[0] += sign
        books[1] += sign * ((len(item[-1]) if type(item[-1]) is bytes else 0) + OVERHEAD_BYTES)

    def _check_signals(self) -> None:
        count, size = self._signals
        if count > SIGNALS_HELD_MAX or size > SIGNALS_HELD_BYTES:
            raise CreditError(f"{count} signals of {size} bytes came behind big messages that are not whole")

    def end(self) -> tuple[list[tuple[int, Item]], tuple[int, ...], int]:
        """The session is over: what was taken whole, the sequences of what never will be, the user items of those."""
        torn = tuple(sequence for sequence, half in self.halves.items() if half.placed and not half.whole)
        users = sum(self.halves[sequence].item[0] < SIGNAL for sequence in torn)
        ready: list[tuple[int, Item]] = []
        for lane in self._lanes.values():
            for sequence, item, half in lane.entries:
                if half is None:
                    ready.append((sequence, item))
                elif half.whole:
                    ready.append((sequence, half.finished()))
        ready.sort(key=lambda pair: pair[0])
        self.halves.clear()
        self._early.clear()
        self._lanes.clear()
        return ready, tuple(sorted(torn)), users
