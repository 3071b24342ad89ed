"""The sending half of a session: what was sent and is not known to have arrived. Pure. `incoming.py` is the other.

Items get sequences 1, 2, 3 ... in the order they were posted, user items and signals alike. They leave in frames, and
are acknowledged frame by frame: an acknowledgement that falls inside a frame, and a frame that does not begin where
the last one ended, end the session.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from operator import itemgetter
from typing import Final

from regrove.transport.credit import OVERHEAD_BYTES, SendCredit, Window
from regrove.transport.ended import Ended
from regrove.transport.events import Verdict
from regrove.transport.parts import Parts
from regrove.transport.pieces import Sending
from regrove.transport.runs import RUN_BYTES_MAX, RUN_ITEMS_MAX, RUN_ITEMS_MIN, Heading
from regrove.transport.wire import BATCH_BYTES_MAX, BATCH_ITEMS_MAX, Encoder, Item, WireError, Written, joined

_OK: Final = Verdict.OK
_LINK_FULL: Final = Verdict.LINK_FULL
_TOO_LARGE: Final = Verdict.TOO_LARGE
_SEQUENCE: Final = itemgetter(0)
_PAYLOADS: Final = frozenset((bytes, Parts))

RECENT_MAX: Final = 4096  # acknowledged tokens kept so that a later refusal still names one: a window


class Outgoing:
    """The sending half: credit, batches, and what is under way.

    Posting is the hottest line of a link, so the common case is two subtractions in its caller (`LinkTable.post`, a
    core's `send`): while `left` bytes remain of batch and credit together and `waiting` is shorter than `cut_at`, an
    item is appended and nothing else is touched. The rest is counted when somebody looks (`_fold`) and allowed anew by
    `_arm`. Disarmed, `left` is negative and every post takes the slow way; so it is after a flush, which is how the
    table hears of the first one.

    While all that waits begins with the same `run`, payloads alone wait; whoever puts something else there calls `mix`
    before.
    """

    __slots__ = (
        "_acknowledged_places",
        "_armed",
        "_encoder",
        "_folded",
        "_lone",
        "_message_max",
        "_ordered",
        "_recent",
        "_settled",
        "_under_way",
        "_unsent",
        "_waiting_size",
        "acknowledged",
        "bulk",
        "credit",
        "cut_at",
        "fresh",
        "left",
        "next",
        "nonce",
        "room_wanted",
        "run",
        "runs",
        "signals",
        "taken",
        "tokens",
        "waiting",
        "written",
        "written_last",
    )

    def __init__(
        self, nonce: int, limit: Window, encoder: Encoder, message_max: int, bulk: Sending | None = None
    ) -> None:
        self.nonce = nonce
        self.bulk = bulk  # None: the peer takes nothing over the limit of one frame
        self.credit = SendCredit(limit)  # without what the fast path took since the last `_fold`
        self.left = -1  # bytes, overhead included, that may be posted the fast way
        self.cut_at = 0  # items in `waiting` at which `filled` must be called
        self.waiting: list[bytes] = []  # the batch that grows, each item as it will stand in the frame
        self.run: Heading | None = None  # what all of it begins with
        self.runs = False  # the peer takes runs
        self.fresh = False  # a frame was cut since the last `write`
        self.tokens: deque[tuple[int, object]] = deque()  # (sequence, token) of what is not acknowledged
        self.next = 1  # the sequence of the first item that waits
        self.taken = 0  # the last sequence acknowledged
        self.acknowledged = 0  # user items acknowledged, big ones once they are whole
        self._acknowledged_places = 0  # the same with the places of big ones that are not
        self._ordered = False  # what waits are rows of an ORDERED
        self.written = 0  # user items in frames the transport took
        self.written_last = 0  # the last sequence among those
        self.signals = 0
        self.room_wanted = False
        self._message_max = message_max
        self._encoder = encoder
        self._armed = -1  # what `left` was when it was armed
        self._folded = 0  # items of `waiting` that are counted
        self._lone: Item | None = None
        self._waiting_size = 0
        self._unsent: deque[tuple[Written, int, int]] = deque()
        self._under_way: deque[tuple[int, int]] = deque()
        self._recent: dict[int, object] = {}
        self._settled: deque[tuple[int, object]] = deque(maxlen=RECENT_MAX)  # acknowledged, not yet in `_recent`

    @property
    def messages(self) -> int:
        """User items posted."""
        return self.credit.messages + len(self.waiting) - self._folded

    @property
    def size(self) -> int:
        """Bytes posted, overhead included."""
        return self.credit.size + self._armed - self.left

    @property
    def settled(self) -> bool:
        """Whether everything posted has been acknowledged."""
        return not (self.waiting or self._unsent or self._under_way or (self.bulk is not None and self.bulk.transfers))

    def limit_message(self, message_max: int, bulk: tuple[int, int], parted: bool) -> bool:
        """Hear what the peer takes: `message_max` bytes in a frame, `bulk` in pieces. Whether all that waits fits.

        `parted`: it also takes places that say where the blobs are.
        """
        self._fold()
        self._message_max = message_max
        half = self.bulk
        if half is None:
            return True
        half.limit_pieces(message_max)
        half.parted = parted
        if bulk[0] > message_max:
            return half.limit(*bulk)
        self.bulk = None if not half.transfers else half
        return not half.transfers

    def raise_to(self, messages: int, size: int) -> bool:
        """Hear a grant. Returns whether there is more credit than before."""
        self._fold()
        return self.credit.raise_to(messages, size)

    def begin(self, heading: Heading, payload: bytes, lone: Item | None = None) -> bool:
        """Put the first item of a batch on the link, with another batch cut before; False: nothing was put there.

        `lone` is the item itself, for an encoder that wants it. The owner then marks the link, as it does for every
        first post.
        """
        if self.runs:
            return self.open(payload, len(payload), heading, lone)
        return self.open(joined(heading.head, payload), len(payload), None, lone)

    def open(self, packed: bytes, length: int, heading: Heading | None = None, lone: Item | None = None) -> bool:
        """Begin a batch with an item that is written already, its payload alone where a run begins."""
        bulk = self.bulk
        if self._ordered or (bulk is not None and bulk.transfers):
            return False
        if self.waiting:
            if self._armed < 0:
                return False  # a signal is there, with room behind it
            self.cut()
        credit = self.credit
        cost = length + OVERHEAD_BYTES
        more, room = credit.limit_messages - credit.messages, credit.limit_size - credit.size - cost
        most = self._message_max + OVERHEAD_BYTES
        if more <= 0 or room < 0 or cost > most or cost >= BATCH_BYTES_MAX:
            return False
        credit.messages += 1
        credit.size += cost
        items, size = BATCH_ITEMS_MAX, BATCH_BYTES_MAX
        if heading is not None:
            self.run = heading
            items, size = RUN_ITEMS_MAX, RUN_BYTES_MAX
        self.waiting.append(packed)
        self._lone = lone
        self._folded = 1
        self._waiting_size = cost
        if more == 1:
            self.left = self._armed = -1
            return True
        if room > size - cost:  # as `_arm` does
            room = size - cost
        self.left = self._armed = room if room < most else most
        self.cut_at = more if more < items else items
        return True

    def mix(self) -> None:
        """Let items that begin otherwise follow those of a run: what waits is written as in any batch, or leaves."""
        armed = self._armed >= 0
        self._fold()
        heading = self.run
        if heading is not None and len(self.waiting) < BATCH_ITEMS_MAX and self._waiting_size < BATCH_BYTES_MAX:
            self.run = None
            self.waiting = [joined(heading.head, payload) for payload in self.waiting]
        else:
            self.cut()
        if armed:
            self._arm()

    def post(self, item: Item, notify: object) -> Verdict:
        """Put a user item on the link the slow way, or say why not: LINK_FULL, TOO_LARGE."""
        length = len(item[-1])
        if length > self._message_max:
            return self._post_big(item, length, notify)
        if type(item[-1]) is Parts:
            item = (*item[:-1], bytes(item[-1]))
        cost = length + OVERHEAD_BYTES
        self._fold()
        if self.run is not None:
            self.mix()
        if self.waiting and self._waiting_size + cost > BATCH_BYTES_MAX:
            self.cut()
        row = self._row(item)  # before the credit is taken: what it cuts does not count this item
        if not self.credit.take(cost):
            self.room_wanted = True
            return _LINK_FULL
        packed = self._encoder.item(row)
        if notify is not None:
            self.tokens.append((self.next + len(self.waiting), notify))
        self._append(packed, cost)
        self._arm()
        return _OK

    def _post_big(self, item: Item, length: int, notify: object) -> Verdict:
        bulk = self.bulk
        if bulk is None:
            return _TOO_LARGE
        verdict = bulk.judge(length, user=True)
        if verdict is not _OK:
            return verdict
        self._fold()
        self._begin_rows()
        if not self.credit.take(OVERHEAD_BYTES):
            self.room_wanted = True
            return _LINK_FULL
        self._place(item, bulk, True, notify)
        return _OK

    def signal(self, item: Item) -> Verdict:
        """Put a signal behind what was posted before; it takes no credit. TOO_LARGE, or LINK_FULL for a big one."""
        length = len(item[-1]) if type(item[-1]) in _PAYLOADS else 0
        if length > self._message_max:
            return self._signal_big(item, length)
        if type(item[-1]) is Parts:
            item = (*item[:-1], bytes(item[-1]))
        cost = length + OVERHEAD_BYTES
        if self._armed >= 0:
            self._fold()
        if self.run is not None:
            self.mix()
        if self._waiting_size + cost > BATCH_BYTES_MAX and self.waiting:
            self.cut()
        self.signals += 1
        if self._ordered or (self.bulk is not None and self.bulk.transfers):
            item = self._row(item)
        self._append(self._encoder.item(item), cost)
        return _OK

    def _signal_big(self, item: Item, length: int) -> Verdict:
        bulk = self.bulk
        if bulk is None:
            return _TOO_LARGE
        verdict = bulk.judge(length, user=False)
        if verdict is _OK:
            self._fold()
            self._begin_rows()
            self.signals += 1
            self._place(item, bulk, False, None)
        return verdict

    def _row(self, item: Item) -> Item:
        """The item as it waits: with its source beside it while big messages are under way."""
        bulk = self.bulk
        if bulk is None or not bulk.transfers:
            if self._ordered:
                self.cut()
            return item
        self._begin_rows()
        return bulk.behind(item), 0, item

    def _begin_rows(self) -> None:
        if not self._ordered:
            self.cut()
            self._ordered = True

    def _place(self, item: Item, bulk: Sending, user: bool, notify: object) -> None:
        """Keep the place of a big message in the sequence; its bytes follow in pieces."""
        source = bulk.order.source(item)
        bulk.add(self.next + len(self.waiting), item[-1], source, user, notify)
        place = (source, bulk.lengths(item[-1]), (*item[:-1], b""))
        self._append(self._encoder.item(place), OVERHEAD_BYTES)

    def _append(self, item: bytes, cost: int) -> None:
        self.waiting.append(item)
        self._folded += 1
        self._waiting_size += cost
        if self._folded >= BATCH_ITEMS_MAX or self._waiting_size >= BATCH_BYTES_MAX:
            self.cut()

    def filled(self) -> None:
        """The fast path has reached `cut_at`: the batch is full, or the messages of the credit are used up."""
        self._fold()
        if self._folded >= (BATCH_ITEMS_MAX if self.run is None else RUN_ITEMS_MAX):
            self.cut()
        if not self.runs or self.waiting:
            self._arm()  # else `begin` does, for a run

    def _arm(self) -> None:
        """Allow the fast path what is left of batch and credit; nothing when the messages are used up.

        Nor while big messages are under way: each item is looked at then.
        """
        if self.bulk is not None and self.bulk.transfers:
            return
        credit = self.credit
        messages = credit.limit_messages - credit.messages
        if messages > 0:
            room = min(
                (BATCH_BYTES_MAX if self.run is None else RUN_BYTES_MAX) - self._waiting_size,
                credit.limit_size - credit.size,
            )
            self.left = self._armed = min(room, self._message_max + OVERHEAD_BYTES)
            self.cut_at = min(BATCH_ITEMS_MAX if self.run is None else RUN_ITEMS_MAX, self._folded + messages)

    def _fold(self) -> None:
        """Count what the fast path took, and disarm it."""
        fresh = len(self.waiting) - self._folded
        if fresh:
            cost = self._armed - self.left
            self.credit.messages += fresh
            self.credit.size += cost
            self._waiting_size += cost
            self._folded += fresh
        self.left = self._armed = -1

    def cut(self) -> None:
        """Close the batch: what waits becomes one frame. Disarms."""
        self._fold()
        items = self.waiting
        if items:
            ordered = self._ordered
            frame = self._encoder.ordered(self.nonce, self.next, items) if ordered else self._written(items)
            self.next += len(items)
            self._unsent.append((frame, self.next - 1, self.credit.messages))
            items.clear()
            self._folded = self._waiting_size = 0
            self.fresh = True
        self._ordered = False

    def _written(self, items: list[bytes]) -> Written:
        """What waits as one frame: a RUN, or a BATCH."""
        run, self.run = self.run, None
        lone, self._lone = self._lone, None
        count = len(items)
        if run is not None:
            if count >= RUN_ITEMS_MIN:
                return self._encoder.run(self.nonce, self.next, run, items)
            head = run.head
            items = [joined(head, payload) for payload in items]
        return self._encoder.batch(self.nonce, self.next, items, lone if count == 1 else None)

    def leave(self, session: int, try_send: Callable[[int, Written], bool]) -> None:
        """Cut the batch and give it, with what was cut before, to the transport."""
        items = self.waiting
        if not items or self._ordered or self._unsent:
            self.cut()
            self.write(session, try_send)
            return
        if self.left != self._armed or len(items) != self._folded:
            self._fold()
        else:
            self.left = self._armed = -1
        users = self.credit.messages
        frame = self._written(items)
        self.next += len(items)
        items.clear()
        self._folded = self._waiting_size = 0
        last = self.next - 1
        if try_send(session, frame):
            self._under_way.append((last, users))
            self.written = users
            self.written_last = last
        else:
            self._unsent.append((frame, last, users))

    def write(self, session: int, try_send: Callable[[int, Written], bool]) -> bool:
        """Give the cut frames to the transport; False when it did not take them all."""
        self.fresh = False
        unsent = self._unsent
        while unsent:
            frame, last, users = unsent[0]
            if not try_send(session, frame):
                return False
            unsent.popleft()
            self._under_way.append((last, users))
            self.written = users
            self.written_last = last
        return True

    def acknowledge(self, taken: int, unfinished: tuple[int, ...] = ()) -> None:
        """Hear the last sequence taken. Raises WireError when it is none of a frame's end, or falls back.

        `unfinished` are the big messages up to there that are not whole yet.
        """
        if taken != self.taken:
            self._acknowledge_frames(taken)
        bulk = self.bulk
        if bulk is not None and bulk.transfers:
            for done in bulk.settle(taken, unfinished):
                if done.notify is not None:
                    self._settled.append((done.sequence, done.notify))
            self.acknowledged = self._acknowledged_places - bulk.open_users(taken)
        elif unfinished:
            raise WireError("a GRANT names a big message where none is under way")
        else:
            self.acknowledged = self._acknowledged_places

    def _acknowledge_frames(self, taken: int) -> None:
        under_way = self._under_way
        end = self.taken
        while under_way and under_way[0][0] <= taken:
            end, self._acknowledged_places = under_way.popleft()
        if end != taken:
            raise WireError(f"acknowledged sequence {taken}, which is no end of a frame under way")
        self.taken = taken
        tokens, settled = self.tokens, self._settled
        while tokens and tokens[0][0] <= taken:
            settled.append(tokens.popleft())

    def refused(self, sequence: int) -> object:
        """The token of an acknowledged item that was refused, or None. Raises WireError for one never taken."""
        if not 0 < sequence <= self.taken:
            raise WireError(f"refused sequence {sequence} of {self.taken} taken")
        if self._settled:
            self._recent.update(self._settled)
            self._settled.clear()
            if len(self._recent) > 2 * RECENT_MAX:
                self._recent = dict(islice(self._recent.items(), len(self._recent) - RECENT_MAX, None))
        return self._recent.pop(sequence, None)

    def end(self) -> Ended:
        """Close the half: what left is unknown, what did not leave never will."""
        bulk = self.bulk
        left = () if bulk is None else bulk.left(self.written_last)
        tokens = [pair for pair in self.tokens if pair[0] <= self.written_last]
        never_left = [pair for pair in self.tokens if pair[0] > self.written_last]
        if bulk is not None and bulk.transfers:
            tokens += [(big.sequence, big.notify) for big in left if big.notify is not None]
            tokens.sort(key=_SEQUENCE)
            never_left += bulk.never_left(self.written_last)
            never_left.sort(key=_SEQUENCE)
        return Ended(
            nonce=self.nonce,
            taken=self.taken,
            frames=tuple(self._under_way),
            acknowledged=self.acknowledged,
            written=self.written,
            tokens=tuple(tokens),
            never_left=tuple(token for _, token in never_left),
            never_left_count=self.messages - self.written,
            left=left,
        )
