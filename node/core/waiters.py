"""Pushes that wait for room, in a mailbox or on a link: admitted in order, before later sends, forgotten at once.

A queue is a dict without values: a waiter that gives up leaves it in O(1), so that a mailbox that never has room again
holds no more than those who still wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from regrove.node.core import remote
from regrove.node.core.address import Home
from regrove.node.core.compiling import Unjudged
from regrove.node.core.effects import Push
from regrove.node.core.isolate import Cell
from regrove.node.core.mailbox import mail_of, offer, put
from regrove.node.core.outcomes import Pushed
from regrove.node.core.reasons import PoolExhausted, SelfCall, Undecodable
from regrove.node.core.sent import LINK_FULL, MAILBOX_FULL, OK
from regrove.supervisor.reasons import Reason

if TYPE_CHECKING:
    from regrove.node.core.calls import Debt
    from regrove.node.core.core import Core

NANO = 1_000_000_000


class Waiter:
    """One push that waits: `message` for a mailbox here, or `item` for a link; `peer`: the core of a remote pusher."""

    __slots__ = ("cause", "charge", "deadline", "item", "message", "peer", "queue", "token")

    def __init__(self, token: int, queue: dict[Waiter, None], cause: int) -> None:
        self.token = token
        self.queue = queue
        self.cause = cause
        self.message: Any = None
        self.charge = 0
        self.item: tuple[Any, ...] = ()
        self.peer: Home | None = None
        self.deadline: int | None = None  # of a remote pusher, ns
        queue[self] = None


class Waiters:
    """The pushes of one core, and those of others to it."""

    __slots__ = ("_remote", "big_lines", "core", "lines")

    def __init__(self, core: Core) -> None:
        self.core = core
        self.lines: dict[Home, dict[Waiter, None]] = {}  # pushes that wait for credit
        self.big_lines: dict[
            Home, dict[Waiter, None]
        ] = {}  # big ones, which wait for the budget of such: by themselves
        self._remote: dict[tuple[Home, int], Waiter] = {}

    # --- pushes of this core ---------------------------------------------------------------------------------------

    def push(self, debt: Debt, wait: Push) -> None:
        """Begin a Push: send, or wait in line. Raises UnsendableValue and Misuse."""
        core = self.core
        unjudged: Unjudged = wait
        where = core.registry.resolve(unjudged.to)
        if isinstance(where, Cell):
            message, charge = core.prepare(debt.cell, wait.message)
            sent = offer(core, where, message, charge, None, core.event)
            if sent is OK:
                core.counters.sent += 1
                core.calls.settle(debt.token, Pushed())
            elif sent is not MAILBOX_FULL:
                core.counters.rejected += 1
                core.calls.fail(debt.token, sent.reason)
            elif where is debt.cell and debt.ticket is None:
                core.counters.rejected += 1
                core.calls.fail(debt.token, SelfCall())  # it would wait for itself
            else:
                self._park(where, debt, message, charge)
        elif isinstance(where, tuple):
            home, slot, generation = where
            payload = core.encoded(debt.cell, wait.message)
            left = -1 if wait.timeout is None else int(wait.timeout * NANO)
            self._push_far(debt, home, (remote.PUSH, slot, generation, debt.token, left, payload))
        else:
            core.counters.rejected += 1
            core.calls.fail(debt.token, where.reason)

    def _park(self, cell: Cell, debt: Debt, message: Any, charge: int) -> None:
        mail_of(cell)  # who waits is let in when a mailbox is read, not a letter
        cell.bound = 0  # they come before who sends later
        if cell.waiters is None:
            cell.waiters = {}
        waiter = debt.waiter = Waiter(debt.token, cell.waiters, self.core.event)
        waiter.message = message
        waiter.charge = charge

    def _push_far(self, debt: Debt, home: Home, item: tuple[Any, ...]) -> None:
        core = self.core
        sent = core.links.post(home, item, debt.token)
        if sent is OK:
            core.counters.sent += 1
            core.calls.at_peer(debt, home)
        elif sent is LINK_FULL:
            lines = self.big_lines if len(item[-1]) > core.links.table.settings.inline else self.lines
            waiter = debt.waiter = Waiter(debt.token, lines.setdefault(home, {}), core.event)
            waiter.item = item
            core.calls.at_peer(debt, home)
        else:
            core.counters.rejected += 1
            core.calls.fail(debt.token, sent.reason)

    def waits_for(self, home: Home, item: tuple[Any, ...]) -> bool:
        """Tell whether pushes wait on that link that this mail may not overtake.

        A big push holds up big mail, and small mail of its own sender only.
        """
        if not self.lines and not self.big_lines:
            return False
        if self.lines.get(home):
            return True
        big = self.big_lines.get(home)
        if not big:
            return False
        links = self.core.links
        if len(item[-1]) > links.table.settings.inline:
            return True
        source = links.order.source
        mine = source(item)
        return any(source(waiter.item) == mine for waiter in big)

    def room(self, home: Home) -> None:
        """Credit or budget came back on a link: let its waiters through, in order."""
        self._let_through(home, self.lines)
        self._let_through(home, self.big_lines)

    def _let_through(self, home: Home, lines: dict[Home, dict[Waiter, None]]) -> None:
        core = self.core
        waiting = lines.get(home)
        while waiting:
            waiter = next(iter(waiting))
            sent = core.links.post_now(home, waiter.item, waiter.token)
            if sent is LINK_FULL:
                return
            del waiting[waiter]
            debt = core.calls.debts.get(waiter.token)
            if debt is not None:
                debt.waiter = None
            if sent is OK:
                core.counters.sent += 1
            else:
                core.counters.rejected += 1
                core.calls.fail(waiter.token, sent.reason)
        lines.pop(home, None)

    def give_up(self, debt: Debt) -> None:
        """The owner of a Push stopped waiting: it leaves the line, or is taken back from the core it went to."""
        if debt.waiter is not None:
            debt.waiter.queue.pop(debt.waiter, None)
            debt.waiter = None
        elif debt.peer is not None:
            self.core.links.signal(debt.peer, (remote.CANCEL_PUSH, debt.token))

    def peer_lost(self, home: Home) -> None:
        """The link is gone; those who waited for it were told."""
        self.lines.pop(home, None)
        self.big_lines.pop(home, None)

    # --- into mailboxes --------------------------------------------------------------------------------------------

    def admit(self, cell: Cell) -> None:
        """Let waiting pushes into a mailbox that has room, in order."""
        core = self.core
        waiters = cell.waiters
        while waiters and cell.queued < cell.capacity:
            waiter = next(iter(waiters))
            if waiter.peer is None:
                if not core.pool_has_room(waiter.charge):
                    core.stalled[cell] = None  # tried again when the pool has room, even if this mailbox is empty
                    return
                core.counters.sent += 1
                core.calls.settle(waiter.token, Pushed())
            else:
                self._unpark(waiter, waiter.peer)
                if waiter.deadline is not None and core.now >= waiter.deadline:
                    core.counters.refused += 1
                    waiters.pop(waiter)
                    continue
                core.links.signal(waiter.peer, (remote.PUSHED, waiter.token))
            waiters.pop(waiter)
            put(core, cell, waiter.message, waiter.charge, None, waiter.cause)

    def target_ended(self, cell: Cell, reason: Reason) -> None:
        """An isolate ended: who waits for room at it hears why there will be none."""
        waiters, cell.waiters = cell.waiters, None
        for waiter in waiters or ():
            if waiter.peer is None:
                self.core.calls.fail(waiter.token, reason)
            else:
                self._unpark(waiter, waiter.peer)
                self.core.counters.abandoned += 1
                failed = (remote.FAILED, waiter.token, self.core.links.packed(reason))
                self.core.links.signal(waiter.peer, failed)

    # --- pushes of other cores -------------------------------------------------------------------------------------

    def pushed_here(self, cell: Cell, peer: Home, token: int, left: int, message: Any, charge: int) -> Reason | None:
        """A Push came over a link: admit it, or have it wait its turn, charged to the pool like queued mail."""
        core = self.core
        sent = offer(core, cell, message, charge, None, core.event)
        if sent is OK:
            core.links.signal(peer, (remote.PUSHED, token))
            return None
        if sent is not MAILBOX_FULL:
            return sent.reason
        if (peer, token) in self._remote:
            return Undecodable(f"the token {token} of a push is taken")
        if not core.pool_has_room(charge):
            core.counters.bounds_reached += 1
            return PoolExhausted()
        mail_of(cell)
        cell.bound = 0  # they come before who sends later
        if cell.waiters is None:
            cell.waiters = {}
        waiter = self._remote[peer, token] = Waiter(token, cell.waiters, core.event)
        waiter.peer = peer
        waiter.message = message
        waiter.charge = charge
        waiter.deadline = None if left < 0 else core.now + left
        core.entered += 1
        core.puts += 1
        core.pool_bytes += charge
        return None

    def push_given_up(self, peer: Home, token: int) -> None:
        """A remote pusher stopped waiting: its message must not arrive any more."""
        waiter = self._remote.get((peer, token))
        if waiter is not None:
            waiter.queue.pop(waiter, None)
            self._unpark(waiter, peer)
            self.core.counters.refused += 1

    def peer_gone(self, home: Home) -> None:
        """That life of a core is over for good: its pushes that wait here go too."""
        for peer, token in [key for key in self._remote if key[0] == home]:
            self.push_given_up(peer, token)

    def _unpark(self, waiter: Waiter, peer: Home) -> None:
        del self._remote[peer, waiter.token]
        self.core.left += 1
        self.core.pool_bytes -= waiter.charge
