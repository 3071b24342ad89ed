"""Debts: every wait under way, and what settles it.

A debt is made when a wait begins and settled exactly once: by its outcome, its deadline, its cancellation or the end
of its owner. Its token is never reused in one life of a core, so a late answer finds nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from regrove.node.core import remote
from regrove.node.core.address import Address, Caller, Home
from regrove.node.core.compiling import Unjudged
from regrove.node.core.effects import Await, Call, CallAll, IoWait, Push, Sleep, Wait
from regrove.node.core.handles import Ticket
from regrove.node.core.isolate import OUTCOME, STARTING, SYSTEM, Cell, Request
from regrove.node.core.mailbox import deliver_system, mail_of, offer, wake
from regrove.node.core.outcomes import Failed, Gathered, Outcome, Replied, replied, set_ticket
from regrove.node.core.reasons import Cancelled, SelfCall, Timeout
from regrove.node.core.sent import OK, Sent
from regrove.node.core.timers import DEADLINE, SLEPT, Timed
from regrove.supervisor.reasons import Reason
from regrove.supervisor.requests import CalledInStart

if TYPE_CHECKING:
    from regrove.node.core.core import Core
    from regrove.node.core.waiters import Waiter

NANO = 1_000_000_000
PAID: Final = Sleep(0)  # the wait of a debt that is settled
ANSWERED: Final = frozenset((Call, Push))  # the waits that another core may settle


class Debt(Timed):
    """One outcome owed to `cell`: of the returned wait, of a ticket, or of one call of a CallAll (`group`).

    It is its own timer: `alive` while a deadline is to come.
    """

    __slots__ = ("at_peer", "cell", "group", "handle", "missing", "peer", "results", "ticket", "wait", "waiter")

    def __init__(self, token: int, cell: Cell, wait: Wait, ticket: Ticket | None) -> None:
        self.token = token
        self.cell = cell
        self.wait = wait
        self.ticket = ticket
        self.alive = False
        self.peer: Home | None = None
        self.at_peer: dict[int, None] | None = None  # all that waits for that life of a core, this debt among them
        self.group: tuple[int, int] | None = None
        self.results: list[Outcome | None] | None = None
        self.missing = 0
        self.handle = 0
        self.waiter: Waiter | None = None


class Calls:
    """The debts of one core."""

    __slots__ = ("core", "debts", "peers")

    def __init__(self, core: Core) -> None:
        self.core = core
        self.debts: dict[int, Debt] = {}
        self.peers: dict[Home, dict[int, None]] = {}

    # --- beginning -------------------------------------------------------------------------------------------------

    def open(self, cell: Cell, wait: Wait, ticket: Ticket | None) -> Debt:
        """Make the debt of `wait`, with its deadline."""
        core = self.core
        token = ticket.token if ticket is not None else core.next_token()
        debt = Debt(token, cell, wait, ticket)
        self.debts[token] = debt
        if ticket is not None:
            rare = cell.rare or cell.own()
            if rare.debts is None:
                rare.debts = {}
            rare.debts[token] = None
        if type(wait) is Sleep:
            debt.kind = SLEPT
            debt.delay = int(wait.delay * NANO)
        elif wait.timeout is not None:
            debt.kind = DEADLINE
            debt.delay = int(wait.timeout * NANO)
        else:
            return debt
        debt.alive = True
        core.timers.ask(debt)
        return debt

    def ask(self, cell: Cell, wait: Call, ticket: Ticket) -> None:
        """Open and begin a call with a ticket: what goes along a route takes half as many steps here."""
        debt = self.open(cell, wait, ticket)
        unjudged: Unjudged = wait
        to = unjudged.to
        if type(to) is not Address or to.route is None or cell.state == STARTING:
            self.begin(debt)
            return
        timeout = wait.timeout
        try:
            sent = to.route.ask(
                self.core, cell, ticket.token, wait.request, -1 if timeout is None else int(timeout * NANO)
            )
        except BaseException:
            self._forget(debt)
            raise
        if sent is None:
            self.begin(debt)
        else:
            self._called(debt, sent, to.home)

    def begin(self, debt: Debt) -> None:
        """Do what the wait asks for; a refusal settles the debt at once. What cannot begin raises and owes nothing."""
        wait = debt.wait
        try:
            if type(wait) is Call:  # by far the most
                self._call(debt, wait, wait.timeout)
            else:
                self._begin(debt, wait)
        except BaseException:
            self._forget(debt)
            raise

    def _begin(self, debt: Debt, wait: Wait) -> None:
        match wait:
            case Call():
                self._call(debt, wait, wait.timeout)
            case CallAll():
                self._call_all(debt, wait)
            case Push():
                self.core.waiters.push(debt, wait)
            case Await():
                self._await(debt, wait)
            case Sleep():
                pass
            case IoWait():
                self.core.io.begin(debt, wait)
            case _:
                raise AssertionError(f"no such wait: {wait!r}")

    def _call(self, debt: Debt, wait: Call, timeout: float | None) -> None:
        core = self.core
        unjudged: Unjudged = wait
        to = unjudged.to
        left = -1 if timeout is None else int(timeout * NANO)
        if type(to) is Address and to.route is not None and debt.cell.state != STARTING:
            sent_along = to.route.ask(core, debt.cell, debt.token, wait.request, left)
            if sent_along is not None:
                self._called(debt, sent_along, to.home)
                return
        where = core.registry.resolve(to)
        if isinstance(where, Cell):
            if where is debt.cell:
                self.fail(debt.token, SelfCall())
                return
            message, charge = core.prepare(debt.cell, wait.request)
            request = Request(Caller(core.home, debt.token), None)
            self._called(debt, offer(core, where, message, charge, request, core.event), None)
        elif isinstance(where, tuple):
            home, slot, generation = where
            if debt.cell.state == STARTING and core.guests.waited_for(debt.cell, home, slot):
                self.settle(debt.token, Replied(CalledInStart()))
                return
            payload = core.encoded(debt.cell, wait.request)
            sent = core.links.post(home, (remote.CALL, slot, generation, debt.token, left, payload), debt.token)
            if sent is OK and type(to) is Address:
                core.links.remember(to)
            self._called(debt, sent, home)
        else:
            self._called(debt, where, None)

    def _called(self, debt: Debt, sent: Sent, peer: Home | None) -> None:
        """A call was sent, to another core when there is a `peer`, or was not."""
        core = self.core
        if sent is OK:
            core.counters.sent += 1
            if peer is not None:
                self.at_peer(debt, peer)
        else:
            core.counters.rejected += 1
            self.fail(debt.token, sent.reason)

    def at_peer(self, debt: Debt, home: Home) -> None:
        """Remember that the answer comes from that life of a core."""
        debt.peer = home
        waiting = self.peers.get(home)
        if waiting is None:
            waiting = self.peers[home] = {}
        debt.at_peer = waiting
        waiting[debt.token] = None

    def _call_all(self, debt: Debt, wait: CallAll) -> None:
        debt.results = [None] * len(wait.calls)
        debt.missing = len(wait.calls)
        if not wait.calls:
            self.settle(debt.token, Gathered(()))
            return
        parts = []
        for index, call in enumerate(wait.calls):
            part = Debt(self.core.next_token(), debt.cell, call, None)
            part.group = (debt.token, index)
            self.debts[part.token] = part
            parts.append((part, call))
        debt.handle = parts[0][0].token
        for part, call in parts:
            if part.token in self.debts:
                self._call(part, call, wait.timeout)

    def _await(self, debt: Debt, wait: Await) -> None:
        cell = debt.cell
        tokens = [ticket.token for ticket in wait.tickets]
        for index, entry in enumerate(cell.mailbox or ()):
            if entry[1] == SYSTEM and (not tokens or entry[2] in tokens):
                assert cell.mailbox is not None
                del cell.mailbox[index]
                cell.owed -= 1
                _taken(cell, entry[2])
                self.settle(debt.token, entry[0])
                return
        if tokens and not any(self._outstanding(cell, token) for token in tokens):
            self.fail(debt.token, Cancelled())

    def _outstanding(self, cell: Cell, token: int) -> bool:
        return any(table is not None and token in table for table in (cell.debts, cell.timers, cell.monitors))

    def awaited(self, cell: Cell, message: Any, token: int) -> bool:
        """Give `message` to a pending Await that wants it, instead of to the mailbox."""
        wait = cell.wait
        if type(wait) is not Await or cell.flags & OUTCOME:
            return False
        if wait.tickets and all(ticket.token != token for ticket in wait.tickets):
            return False
        _taken(cell, token)
        self.settle(cell.wait_token, message)
        return True

    # --- settling --------------------------------------------------------------------------------------------------

    def settle(self, token: int, outcome: Any) -> None:
        """Pay a debt with its outcome. A debt that is gone counts a late answer."""
        debt = self.debts.pop(token, None)
        if debt is None:
            self.core.counters.late_answers += 1
            return
        self._close(debt)
        cell = debt.cell
        if debt.group is not None:
            self._gathered(debt.group, outcome)
        elif debt.ticket is not None:
            del cell.rare.debts[token]  # type: ignore[union-attr]  # it was put there with the ticket
            set_ticket(outcome, debt.ticket)
            deliver_system(self.core, cell, outcome, token)
        elif cell.wait_token == token:
            cell.outcome = outcome
            cell.wait_token = 0
            cell.flags |= OUTCOME
            cell.cause = self.core.event
            wake(self.core, cell)

    def settle_from(self, token: int, outcome: Outcome) -> None:
        """Pay a debt with what a link brought: an answer may come from wherever the caller was handed on to."""
        debt = self.debts.get(token)
        if debt is not None and type(debt.wait) in ANSWERED:
            self.settle(token, outcome)
        else:
            self.core.counters.late_answers += 1

    def replied(self, token: int, value: Any) -> None:
        """Pay a debt with an answer that a link brought."""
        debt = self.debts.get(token)
        if debt is None or type(debt.wait) not in ANSWERED:
            self.core.counters.late_answers += 1
            return
        ticket = debt.ticket
        if ticket is None:
            self.settle(token, replied(value, None))
            return
        del self.debts[token]
        self._close(debt)
        cell = debt.cell
        del cell.rare.debts[token]  # type: ignore[union-attr]  # it was put there with the ticket
        deliver_system(self.core, cell, replied(value, ticket), token)

    def replied_all(self, tokens: Iterable[int], values: Iterable[Any]) -> None:
        """Do what `replied` does for each, with one entry in the books of the timers."""
        core = self.core
        debts = self.debts
        cancelled = 0
        for token, value in zip(tokens, values, strict=True):
            debt = debts.get(token)
            if debt is None or debt.ticket is None or type(debt.wait) is not Call:
                self.replied(token, value)
                continue
            del debts[token]
            if debt.alive:
                debt.alive = False
                cancelled += 1
                debt.wait = PAID
            if debt.at_peer is not None:
                debt.at_peer.pop(token, None)
            cell = debt.cell
            del cell.rare.debts[token]  # type: ignore[union-attr]  # it was put there with the ticket
            deliver_system(core, cell, replied(value, debt.ticket), token)
        core.timers.cancelled(cancelled)

    def fail(self, token: int, reason: Reason) -> None:
        """Pay a debt with `Failed(reason)`."""
        debt = self.debts.get(token)
        self.settle(token, Failed(reason, None if debt is None else debt.wait))

    def expire(self, token: int) -> None:
        """The deadline of a debt passed."""
        debt = self.debts.get(token)
        if debt is None:
            return
        if debt.results is not None:
            results = debt.results
            self._drop_parts(debt)
            self.settle(
                token,
                Gathered(
                    tuple(
                        Failed(Timeout(), call) if result is None else result
                        for call, result in zip(debt.wait.calls, results, strict=True)  # type: ignore[attr-defined]
                    )
                ),
            )
            return
        self._undo(debt)
        self.fail(token, Timeout())

    def cancel(self, token: int) -> bool:
        """Forget a debt; nobody will hear of it. Answers whether it was still owed."""
        debt = self.debts.pop(token, None)
        if debt is None:
            return False
        self._undo(debt)
        self._forget(debt)
        return True

    def _forget(self, debt: Debt) -> None:
        self.debts.pop(debt.token, None)
        self._drop_parts(debt)
        self._close(debt)
        if debt.ticket is not None and debt.cell.debts is not None:
            debt.cell.debts.pop(debt.token, None)

    def _close(self, debt: Debt) -> None:
        if debt.alive:
            self.core.timers.cancel(debt)
            # Its place among the timers may last as long as its deadline: what it was asked with does not.
            debt.wait = PAID
            debt.results = debt.waiter = None
        if debt.at_peer is not None:
            debt.at_peer.pop(debt.token, None)

    def _undo(self, debt: Debt) -> None:
        """Take back what a wait that is given up has left in the world."""
        if isinstance(debt.wait, Push):
            self.core.waiters.give_up(debt)
        if isinstance(debt.wait, IoWait):
            self.core.io.cancel(debt)

    def _gathered(self, group: tuple[int, int], outcome: Outcome) -> None:
        whole = self.debts.get(group[0])
        if whole is None or whole.results is None:
            return
        whole.results[group[1]] = outcome
        whole.missing -= 1
        if whole.missing == 0:
            self.settle(whole.token, Gathered(tuple(whole.results)))  # type: ignore[arg-type]

    def _drop_parts(self, debt: Debt) -> None:
        if debt.results is None:
            return
        # Tokens of the parts were drawn in one row, beginning at `handle`.
        for token in range(debt.handle, debt.handle + len(debt.results)):
            part = self.debts.pop(token, None)
            if part is not None:
                self._close(part)

    def owner_ended(self, cell: Cell, reason: Reason) -> None:
        """An isolate ended: forget what it waits for, and tell those who wait for it."""
        if cell.wait_token:
            self.cancel(cell.wait_token)
            cell.wait_token = 0
        owed: list[Request] = []
        if cell.rare is not None:
            for token in list(cell.debts or ()):
                self.cancel(token)
            owed += (cell.kept or {}).values()
            cell.kept = None
        request = cell.request
        if request is not None and not request.forwarded and request not in owed:
            owed.append(request)
        cell.request = None
        self._abandon(cell, owed)
        for request in owed:
            self.core.requests.refuse(request.caller, reason)
        self.core.waiters.target_ended(cell, reason)

    def _abandon(self, cell: Cell, owed: list[Request]) -> None:
        core = self.core
        if cell.mailbox is None and not cell.charge:
            return
        for _message, charge, tag, _cause in mail_of(cell):
            if charge == SYSTEM:
                continue
            core.left += 1
            core.pool_bytes -= charge
            core.counters.abandoned += 1
            if tag is not None:
                owed.append(tag)
        cell.mailbox = None
        cell.owed = 0

    # --- the world ends of peers -----------------------------------------------------------------------------------

    def peer_lost(self, home: Home, reason: Reason) -> None:
        """All that waits for an answer from that life of a core fails now."""
        for token in list(self.peers.pop(home, ())):
            debt = self.debts.get(token)
            if debt is None:
                continue
            debt.peer = debt.at_peer = None
            self.fail(token, reason)
        self.core.waiters.peer_lost(home)

    def peer_gone(self, home: Home, reason: Reason) -> None:
        """That life of a core is over for good: its pushes that wait here go too."""
        self.peer_lost(home, reason)
        self.core.waiters.peer_gone(home)


def _taken(cell: Cell, token: int) -> None:
    """The message of a timer was awaited: the next firing of a repeating one may enter the mailbox."""
    record = None if cell.timers is None else cell.timers.get(token)
    if record is not None:
        record.queued = False
