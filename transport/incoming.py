"""The receiving half of a session: what was taken, and what is to be told of it. Pure."""

from __future__ import annotations

from regrove.transport.base import Peer
from regrove.transport.credit import OVERHEAD_BYTES, ReceiveCredit, Window
from regrove.transport.pieces import Assembly, Order
from regrove.transport.runs import Run
from regrove.transport.wire import BATCH_ITEMS_MAX, ENVELOPE_BYTES_MAX, SIGNAL, Item, WireError, payloads


class Incoming(ReceiveCredit):
    """The receiving half: checks the sequence, counts what was taken, gathers the next grant."""

    __slots__ = (
        "_mixed", "_owed", "_told", "assembly", "expected", "grant_at", "halves", "nonce", "refusals", "signals",
    )  # fmt: skip

    def __init__(self, nonce: int, window: Window, opening: Window, assembly: Assembly) -> None:
        super().__init__(window, opening)
        self.assembly = assembly
        self.halves = assembly.halves  # its own, which it changes in place
        self.nonce = nonce
        self.expected = 1
        self.signals = 0
        self.refusals: list[tuple[int, bytes]] = []
        self.grant_at: int | None = None  # when the quiet grant is due, None when nothing is owed
        self._owed = False
        self._told = 0  # the last sequence acknowledged
        self._mixed = False  # rows or pieces arrived since then

    @property
    def taken(self) -> int:
        """The last sequence taken."""
        return self.expected - 1

    @property
    def owed(self) -> bool:
        """Whether the sender has not heard of all that was taken or refused."""
        return self._owed

    def accept(self, first: int, items: tuple[Item, ...]) -> None:
        """Take one frame's items. Raises WireError on a gap and CreditError over the grant."""
        if first != self.expected:
            raise WireError(f"gap: sequence {first} came where {self.expected} was expected")
        users = payloads(items)
        count = len(users)
        self.expected = first + len(items)
        self.signals += len(items) - count
        self._owed = True
        self.took(count, sum(map(len, users)) + count * OVERHEAD_BYTES)

    def accept_run(self, first: int, run: Run) -> None:
        """Take the items of a RUN. Raises as `accept` does."""
        if first != self.expected:
            raise WireError(f"gap: sequence {first} came where {self.expected} was expected")
        count = len(run)
        self.expected = first + count
        self._owed = True
        self.took(count, run.size + count * OVERHEAD_BYTES)

    def lone(self, first: int, item: Item) -> bool:
        """Accept a frame of one item, if nothing is to be said of it at once; else False, and nothing was done."""
        if item[0] < SIGNAL:
            return type(item[-1]) is bytes and self.only(first, len(item[-1]) + OVERHEAD_BYTES)
        if first != self.expected or self.assembly.halves:
            return False
        self.expected = first + 1
        self.signals += 1
        self._owed = True
        return True

    def only(self, first: int, size: int) -> bool:
        """Accept a frame of one user item of `size` bytes, overhead included, that makes no grant due; else False."""
        messages, size = self.messages + 1, self.size + size
        if (
            first != self.expected or self.halves
            or self._granted_messages - messages <= self._window_messages // 2
            or self._granted_size - size <= self._window_size // 2
        ):  # fmt: skip
            return False
        self.expected = first + 1
        self.messages, self.size = messages, size
        self._owed = True
        return True

    def refuse(self, sequence: int, reason: bytes) -> bool:
        """Note that a taken item is refused; False for a sequence that was never taken here.

        Raises ValueError for a reason that would not fit a frame.
        """
        if len(reason) > ENVELOPE_BYTES_MAX:
            raise ValueError(f"the reason of a refusal has at most {ENVELOPE_BYTES_MAX} bytes, got {len(reason)}")
        if not 0 < sequence < self.expected:
            return False
        self.refusals.append((sequence, reason))
        self._owed = True
        return True

    def accept_ordered(self, peer: Peer, first: int, rows: tuple[Item, ...], order: Order) -> list[tuple[int, Item]]:
        """Take the rows of one ORDERED; those to be handed over now, as (sequence, item). Raises as `accept` does."""
        self.accept(first, tuple([row[2] for row in rows]))
        self._mixed = True
        ready = self.assembly.rows(peer, first, rows, order)
        self.assembly.check(self.expected)
        self.held_messages, self.held_size = self.assembly.held
        return ready

    def accept_piece(self, sequence: int, offset: int, length: int, data: bytes) -> list[tuple[int, Item]]:
        """Take a piece of a big message; what is to be handed over because of it. Raises WireError and CreditError."""
        self._mixed = True
        ready = self.assembly.piece(self.expected, sequence, offset, length, data)
        if ready:
            self.held_messages, self.held_size = self.assembly.held
            self._owed = True
        return ready

    @property
    def plain(self) -> bool:
        """Whether nothing but batches is under way: what a GRANT says of big messages cannot be said in advance."""
        return self.assembly.idle and not self._mixed

    def credit_body(self) -> list[object]:
        """The body of a GRANT of credit alone: nothing is acknowledged before it is known whether it is refused."""
        return [self._told, *self.grant(), []]

    def grant_body(self) -> list[object]:
        """The body of the next GRANT; with many refusals more than one is owed, so that none outgrows a frame."""
        messages, size = self.grant()
        body: list[object] = [self.taken, messages, size, self.refusals[:BATCH_ITEMS_MAX]]
        if not self.assembly.idle:
            body.append(self.assembly.unfinished())
        self.grant_at = None
        return body

    def left(self) -> None:
        """The transport has taken the GRANT whose body was made last; until then all of it is owed."""
        del self.refusals[:BATCH_ITEMS_MAX]
        self._told = self.taken
        self._mixed = False
        self._owed = bool(self.refusals)
