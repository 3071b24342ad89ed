"""Debts: every wait under way, and what settles it.

A debt is made when a wait begins and settled exactly once: by its outcome, its deadline, its cancellation or the end
of its owner. Its token is never reused in one life of a core, so a late answer finds nothing.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from regrove.node.core import remote
from regrove.node.core.address import Caller, Home
from regrove.node.core.effects import Await, Call, CallAll, IoWait, Push, Sleep, Wait
from regrove.node.core.handles import Ticket
from regrove.node.core.isolate import OUTCOME, SYSTEM, Cell, Request
from regrove.node.core.mailbox import LINK_FULL, MAILBOX_FULL, OK, deliver_system, offer, put, wake
from regrove.node.core.messages import encode
from regrove.node.core.outcomes import Failed, Gathered, Outcome, Pushed
from regrove.node.core.reasons import Cancelled, PoolExhausted, SelfCall, Timeout
from regrove.node.core.timers import DEADLINE, SLEPT, TimerRecord
from regrove.supervisor.reasons import Reason

if TYPE_CHECKING:
    from regrove.node.core.core import Core

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


class Waiter:
    """A Push waiting for room in a mailbox (or on a link): the message, and whom to tell."""

    __slots__ = ("alive", "cause", "charge", "item", "message", "peer", "token")

    def __init__(self, token: int, message: Any, charge: int, cause: int, peer: Home | None = None) -> None:
        self.token = token
        self.message = message
        self.charge = charge
        self.cause = cause
        self.peer = peer  # the core of a remote pusher
        self.item: tuple[Any, ...] | None = None  # a Push of ours that waits for credit on a link
        self.alive = True


class Calls:
    """The debts of one core."""

    __slots__ = ("core", "debts", "link_waiters", "peers", "remote_pushes")

    def __init__(self, core: Core) -> None:
        self.core = core
        self.debts: dict[int, Debt] = {}
        self.peers: dict[Home, dict[int, None]] = {}
        self.link_waiters: dict[Home, deque[Waiter]] = {}
        self.remote_pushes: dict[tuple[Home, int], Waiter] = {}

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
        try:
            self._begin(debt, debt.wait)
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
                self._push(debt, wait)
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
            payload = encode(wait.request)
            core.forwarding(debt.cell, wait.request)
            left = -1 if timeout is None else int(timeout * NANO)
            sent = core.links.post(home, (remote.CALL, slot, generation, debt.token, left, payload), debt.token)
            if sent is OK:
                self._at_peer(debt, home)
        else:
            sent = where
        if sent is OK:
            core.counters.sent += 1
        else:
            core.counters.rejected += 1
            self.fail(debt.token, sent.reason)

    def _at_peer(self, debt: Debt, home: Home) -> None:
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

    def _push(self, debt: Debt, wait: Push) -> None:
        core = self.core
        where = core.registry.resolve(wait.to)
        if isinstance(where, Cell):
            message, charge = core.prepare(debt.cell, wait.message)
            sent = offer(core, where, message, charge, None, core.event)
            if sent is OK:
                core.counters.sent += 1
                self.settle(debt.token, Pushed())
            elif sent is MAILBOX_FULL:
                self.park(where, debt, message, charge)
            else:
                core.counters.rejected += 1
                self.fail(debt.token, sent.reason)
        elif isinstance(where, tuple):
            home, slot, generation = where
            payload = encode(wait.message)
            core.forwarding(debt.cell, wait.message)
            left = -1 if wait.timeout is None else int(wait.timeout * NANO)
            self._push_remote(debt, home, (remote.PUSH, slot, generation, debt.token, left, payload))
        else:
            core.counters.rejected += 1
            self.fail(debt.token, where.reason)

    def _push_remote(self, debt: Debt, home: Home, item: tuple[Any, ...]) -> None:
        core = self.core
        waiting = self.link_waiters.get(home)
        sent = LINK_FULL if waiting else core.links.post(home, item, debt.token)
        if sent is OK:
            core.counters.sent += 1
            self._at_peer(debt, home)
        elif sent is LINK_FULL:
            waiter = Waiter(debt.token, None, 0, core.event)
            waiter.item = item
            debt.waiter = waiter
            if waiting is None:
                waiting = self.link_waiters[home] = deque()
            waiting.append(waiter)
            self._at_peer(debt, home)
        else:
            core.counters.rejected += 1
            self.fail(debt.token, sent.reason)

    def room(self, home: Home) -> None:
        """Credit came back on a link: let its waiters through, in order."""
        waiting = self.link_waiters.get(home)
        while waiting:
            waiter = waiting[0]
            if waiter.alive and waiter.item is not None:
                sent = self.core.links.post(home, waiter.item, waiter.token)
                if sent is LINK_FULL:
                    return
                debt = self.debts.get(waiter.token)
                if debt is not None:
                    debt.waiter = None
                if sent is OK:
                    self.core.counters.sent += 1
                else:
                    self.core.counters.rejected += 1
                    self.fail(waiter.token, sent.reason)
            waiting.popleft()
        self.link_waiters.pop(home, None)

    def park(self, cell: Cell, debt: Debt, message: Any, charge: int) -> None:
        """Have a Push of this core wait for room in `cell`'s mailbox."""
        waiter = Waiter(debt.token, message, charge, self.core.event)
        debt.waiter = waiter
        if cell.waiters is None:
            cell.waiters = deque()
        cell.waiters.append(waiter)

    def admit(self, cell: Cell) -> None:
        """Let waiting pushes into a mailbox that has room, in order."""
        core = self.core
        waiters = cell.waiters
        while waiters and cell.queued < cell.capacity:
            waiter = waiters[0]
            if waiter.alive:
                if waiter.peer is None:
                    if not core.pool_has_room(waiter.charge):
                        core.stalled[cell] = None  # tried again when the pool has room, even if this mailbox is empty
                        return
                    core.counters.sent += 1
                    self.settle(waiter.token, Pushed())
                else:
                    self._unpark(waiter, waiter.peer)
                    core.links.signal(waiter.peer, (remote.PUSHED, waiter.token))
                put(core, cell, waiter.message, waiter.charge, None, waiter.cause)
            waiters.popleft()

    def _await(self, debt: Debt, wait: Await) -> None:
        cell = debt.cell
        tokens = [ticket.token for ticket in wait.tickets]
        for index, entry in enumerate(cell.mailbox or ()):
            if entry[1] == SYSTEM and (not tokens or entry[2] in tokens):
                assert cell.mailbox is not None
                del cell.mailbox[index]
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
        if debt.waiter is not None:
            debt.waiter.alive = False
            debt.waiter = None
        elif debt.peer is not None and isinstance(debt.wait, Push):
            self.core.links.signal(debt.peer, (remote.CANCEL_PUSH, debt.token))
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
        for token in list(cell.debts or ()):
            self.cancel(token)
        owed: list[Request] = list((cell.kept or {}).values())
        request = cell.request
        if request is not None and not request.forwarded and request not in owed:
            owed.append(request)
        cell.request = cell.kept = None
        self._abandon(cell, owed)
        for request in owed:
            self.core.requests.refuse(request.caller, reason)
        for waiter in cell.waiters or ():
            if not waiter.alive:
                continue
            if waiter.peer is None:
                self.fail(waiter.token, reason)
            else:
                self._unpark(waiter, waiter.peer)
                self.core.counters.abandoned += 1
                self.core.links.signal(waiter.peer, (remote.FAILED, waiter.token, encode(reason)))
        cell.waiters = None

    def _abandon(self, cell: Cell, owed: list[Request]) -> None:
        core = self.core
        for _message, charge, tag, _cause in cell.mailbox or ():
            if charge == SYSTEM:
                continue
            core.pool_messages -= 1
            core.pool_bytes -= charge
            core.counters.abandoned += 1
            if tag is not None:
                owed.append(tag)
        cell.queued = 0
        cell.mailbox = None

    # --- remote pushes ---------------------------------------------------------------------------------------------

    def pushed_here(self, cell: Cell, peer: Home, token: int, message: Any, charge: int) -> Reason | None:
        """A Push came over a link: admit it, or have it wait its turn, charged to the pool like queued mail."""
        core = self.core
        sent = offer(core, cell, message, charge, None, core.event)
        if sent is OK:
            core.links.signal(peer, (remote.PUSHED, token))
            return None
        if sent is not MAILBOX_FULL:
            return sent.reason
        if not core.pool_has_room(charge):
            return PoolExhausted()
        waiter = Waiter(token, message, charge, core.event, peer)
        if cell.waiters is None:
            cell.waiters = deque()
        cell.waiters.append(waiter)
        self.remote_pushes[peer, token] = waiter
        core.pool_messages += 1
        core.pool_bytes += charge
        return None

    def push_given_up(self, peer: Home, token: int) -> None:
        """A remote pusher stopped waiting: its message must not arrive any more."""
        waiter = self.remote_pushes.get((peer, token))
        if waiter is not None:
            waiter.alive = False
            self._unpark(waiter, peer)
            self.core.counters.refused += 1

    def _unpark(self, waiter: Waiter, peer: Home) -> None:
        del self.remote_pushes[peer, waiter.token]
        self.core.pool_messages -= 1
        self.core.pool_bytes -= waiter.charge

    # --- the world ends of peers -----------------------------------------------------------------------------------

    def peer_lost(self, home: Home, reason: Reason) -> None:
        """All that waits for an answer from that life of a core fails now."""
        for token in list(self.peers.pop(home, ())):
            debt = self.debts.get(token)
            if debt is None:
                continue
            if debt.waiter is not None:
                debt.waiter.alive = False
                debt.waiter = None
            debt.peer = None
            self.fail(token, reason)
        self.link_waiters.pop(home, None)

    def peer_gone(self, home: Home, reason: Reason) -> None:
        """That life of a core is over for good: its pushes that wait here go too."""
        self.peer_lost(home, reason)
        for peer, token in [key for key in self.remote_pushes if key[0] == home]:
            self.push_given_up(peer, token)
