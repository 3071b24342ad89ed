"""Debts: every wait under way, and what settles it.

A debt is made when a wait begins and settled exactly once: by its outcome, its deadline, its cancellation or the end
of its owner. Its token is never reused in one life of a core, so a late answer finds nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from regrove.node.core import remote
from regrove.node.core.address import Caller, Home
from regrove.node.core.effects import Await, Call, CallAll, IoWait, Push, Sleep, Wait
from regrove.node.core.handles import Ticket
from regrove.node.core.isolate import OUTCOME, STARTING, SYSTEM, Cell, Request
from regrove.node.core.mailbox import OK, deliver_system, mail_of, offer, wake
from regrove.node.core.outcomes import Failed, Gathered, Outcome, Replied
from regrove.node.core.reasons import Cancelled, SelfCall, Timeout
from regrove.node.core.timers import DEADLINE, SLEPT, TimerRecord
from regrove.supervisor.reasons import Reason
from regrove.supervisor.requests import CalledInStart

if TYPE_CHECKING:
    from regrove.node.core.core import Core
    from regrove.node.core.waiters import Waiter

NANO = 1_000_000_000


class Debt:
    """One outcome owed to `cell`: of the returned wait, of a ticket, or of one call of a CallAll (`group`)."""

    __slots__ = ("cell", "group", "handle", "missing", "peer", "results", "ticket", "timer", "token", "wait", "waiter")

    def __init__(self, token: int, cell: Cell, wait: Wait, ticket: Ticket | None) -> None:
        self.token = token
        self.cell = cell
        self.wait = wait
        self.ticket = ticket
        self.timer: TimerRecord | None = None
        self.peer: Home | None = None
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
            if cell.debts is None:
                cell.debts = {}
            cell.debts[token] = None
        if type(wait) is Sleep:
            debt.timer = core.timers.ask(TimerRecord(SLEPT, int(wait.delay * NANO), token, cell))
        elif wait.timeout is not None:
            debt.timer = core.timers.ask(TimerRecord(DEADLINE, int(wait.timeout * NANO), token, cell))
        return debt

    def begin(self, debt: Debt) -> None:
        """Do what the wait asks for; a refusal settles the debt at once. What cannot begin raises and owes nothing."""
        wait = debt.wait
        try:
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
        except BaseException:
            self._forget(debt)
            raise

    def _call(self, debt: Debt, wait: Call, timeout: float | None) -> None:
        core = self.core
        where = core.registry.resolve(wait.to)
        caller = Caller(core.home, debt.token)
        if isinstance(where, Cell):
            if where is debt.cell:
                self.fail(debt.token, SelfCall())
                return
            message, charge = core.prepare(debt.cell, wait.request)
            sent = offer(core, where, message, charge, Request(caller, None), core.event)
        elif isinstance(where, tuple):
            home, slot, generation = where
            if debt.cell.state == STARTING and core.guests.waited_for(debt.cell, home, slot):
                self.settle(debt.token, Replied(CalledInStart()))
                return
            payload = core.encoded(debt.cell, wait.request)
            left = -1 if timeout is None else int(timeout * NANO)
            sent = core.links.post(home, (remote.CALL, slot, generation, debt.token, left, payload), debt.token)
            if sent is OK:
                self.at_peer(debt, home)
        else:
            sent = where
        if sent is OK:
            core.counters.sent += 1
        else:
            core.counters.rejected += 1
            self.fail(debt.token, sent.reason)

    def at_peer(self, debt: Debt, home: Home) -> None:
        """Remember that the answer comes from that life of a core."""
        debt.peer = home
        waiting = self.peers.get(home)
        if waiting is None:
            waiting = self.peers[home] = {}
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
            assert cell.debts is not None
            del cell.debts[token]
            object.__setattr__(outcome, "ticket", debt.ticket)
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
        if debt is not None and isinstance(debt.wait, Call | Push):
            self.settle(token, outcome)
        else:
            self.core.counters.late_answers += 1

    def fail(self, token: int, reason: Reason) -> None:
        """Pay a debt with `Failed(reason)`."""
        debt = self.debts.get(token)
        self.settle(token, Failed(reason, None if debt is None else debt.wait))

    def expire(self, token: int) -> None:
        """The deadline of a debt passed."""
        debt = self.debts.get(token)
        if debt is None:
            return
        debt.timer = None
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
        self._forget(debt)
        self._undo(debt)
        return True

    def _forget(self, debt: Debt) -> None:
        self.debts.pop(debt.token, None)
        self._close(debt)
        self._drop_parts(debt)
        if debt.ticket is not None and debt.cell.debts is not None:
            debt.cell.debts.pop(debt.token, None)

    def _close(self, debt: Debt) -> None:
        if debt.timer is not None:
            self.core.timers.cancel(debt.timer)
        if debt.peer is not None:
            waiting = self.peers.get(debt.peer)
            if waiting is not None:
                waiting.pop(debt.token, None)

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
            debt.peer = None
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
