"""Mail: what is counted, and the one way into and out of a mailbox.

`offer` is the slow path of every send; the fast path is written out once more in `context.Context.send`, because a
function call is a fifth of its cost (performance.md).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from operator import length_hint
from typing import TYPE_CHECKING, Any, Final

from regrove.node.core.effects import Await
from regrove.node.core.isolate import ACTIVE, ENDED, IDLE, SYSTEM, Cell, Entry, Request
from regrove.node.core.sent import MAILBOX_FULL, OK, POOL_EXHAUSTED, STALE, Sent

if TYPE_CHECKING:
    from regrove.node.core.core import Core


COUNTS: Final = (
    "abandoned",
    "bounds_reached",
    "callbacks",
    "crashes",
    "ended",
    "handled",
    "injected",
    "late_answers",
    "lost",
    "passes",
    "refused",
    "rejected",
    "sent",
    "spawned",
    "unhandled",
    "unknown",
)


class Counters:
    """Absolute counts of one life of a core. sent = handled + abandoned + refused + lost + unknown + queued, summed.

    `sent` counts a message once, where `send` answered OK; the rest counts where it came to its end.
    """

    __slots__ = COUNTS

    def __init__(self) -> None:
        self.sent = 0
        self.handled = 0
        self.abandoned = 0
        self.refused = 0  # refused by the receiver after the sender heard OK
        self.lost = 0
        self.unknown = 0
        self.rejected = 0  # told to the sender at once: never sent
        self.injected = 0
        self.late_answers = 0
        self.unhandled = 0
        self.bounds_reached = 0
        self.spawned = 0
        self.ended = 0
        self.crashes = 0
        self.callbacks = 0
        self.passes = 0

    def add(self, sent: int, handled: int, callbacks: int) -> None:
        """What a pass's turns came to, beside what was counted on the way."""
        self.sent += sent
        self.handled += handled
        self.callbacks += callbacks

    def snapshot(self) -> dict[str, int]:
        """All counts by name."""
        return {name: getattr(self, name) for name in COUNTS}


def wake(core: Core, cell: Cell) -> None:
    """Put a parked cell, whose flags have changed, into the ready queue; a letter waits like other mail now."""
    if cell.charge:
        mail_of(cell)
    if cell.parked is not ACTIVE:
        cell.parked = ACTIVE
        core.ready.append(cell)


def offer(core: Core, cell: Cell, message: Any, charge: int, tag: Request | None, cause: int) -> Sent:
    """Put a user message into a mailbox, or say why not. Counts nothing as sent: the caller knows whose it is."""
    if core.batch:
        settle(core)
    if cell.queued >= cell.capacity or cell.state == ENDED or cell.supervising is not None or cell.waiters:
        if cell.state == ENDED:
            return STALE
        if cell.supervising is not None:
            return core.supervising.ask(cell.supervising, message, tag)
        cell.refused += 1
        return MAILBOX_FULL  # full, or others already wait for room: they come first
    if core.pool_messages >= core.pool_limit or core.pool_bytes + charge > core.pool_bytes_limit:
        core.counters.bounds_reached += 1
        return POOL_EXHAUSTED
    put(core, cell, message, charge, tag, cause)
    if cell.mailbox is not None:
        cell.bound = cell.capacity - 1  # whoever comes next need not look as closely
    return OK


def mail_of(cell: Cell) -> deque[Entry]:
    """The mailbox, made if need be, with the letter in it: at its head, because it came first."""
    mailbox = cell.mailbox
    if mailbox is None:
        mailbox = cell.mailbox = deque()
    if cell.charge:
        mailbox.appendleft((cell.letter, cell.charge, None, 0))
        cell.letter = None
        cell.charge = 0
    return mailbox


def settle(core: Core, unread: int = 0) -> None:
    """Write down what was read of the batch in hand, and give the rest back to its mailbox: the books are exact again.

    `unread`: how many of those taken from the batch, the last ones, have not been handled.
    """
    batch = core.batch
    cell = core.current
    if not batch or cell is None:
        return
    done = len(batch) - length_hint(core.batch_rest) - unread
    rest = batch[done:]
    if rest:
        mail_of(cell).extendleft(reversed(rest))
        del batch[done:]
    if cell.state != ENDED and not cell.waiters:
        cell.bound = cell.capacity - 1
    core.left += done
    core.pool_bytes -= sum([entry[1] for entry in batch])
    core.counters.handled += done
    cell.handled += done
    core.batch_done += done
    batch.clear()  # and the loop over it ends


def put(core: Core, cell: Cell, message: Any, charge: int, tag: Request | None, cause: int) -> None:
    """Append a user message that was admitted."""
    core.entered += 1
    core.puts += 1
    core.pool_bytes += charge
    if cell.parked is core and tag is None:
        cell.parked = ACTIVE
        cell.letter = message
        cell.charge = charge
        core.ready.append(cell)
        return
    mailbox = cell.mailbox
    if mailbox is None:
        mailbox = cell.mailbox = deque()
    mailbox.append((message, charge, tag, cause))
    if cell.parked is core or cell.parked is IDLE:
        cell.parked = ACTIVE
        core.ready.append(cell)


def put_all(core: Core, cell: Cell, entries: Iterable[Entry], count: int, charge: int) -> None:
    """Append `count` user messages of `charge` bytes together, all of which were admitted."""
    core.entered += count
    core.puts += count
    core.pool_bytes += charge
    if cell.mailbox is None:
        cell.mailbox = deque()
    cell.mailbox.extend(entries)
    if cell.parked is core or cell.parked is IDLE:
        cell.parked = ACTIVE
        core.ready.append(cell)


def deliver_system(core: Core, cell: Cell, message: Any, token: int) -> None:
    """Append what the runtime owes: outside capacity and pool, because it was reserved when the debt was made."""
    if cell.state == ENDED:
        return
    if type(cell.wait) is Await and core.calls.awaited(cell, message, token):
        return
    mailbox = cell.mailbox
    if mailbox is None:
        mailbox = cell.mailbox = deque()
    mailbox.append((message, SYSTEM, token, core.event))
    cell.owed += 1
    if cell.parked is core or cell.parked is IDLE:
        cell.parked = ACTIVE
        core.ready.append(cell)
