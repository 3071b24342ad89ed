"""Requests in a mailbox, in hand and kept, and their answers (isolates.md, `caller` and `reply`).

A request stays in hand through the waits, outcomes and Continues that follow it, and is judged when the isolate next
returns RECEIVE or ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from regrove.node.core import remote
from regrove.node.core.address import Caller
from regrove.node.core.isolate import Cell, Request
from regrove.node.core.messages import payload_of
from regrove.node.core.outcomes import Replied
from regrove.node.core.reasons import LinkFull, NoReply, TooLarge
from regrove.supervisor.reasons import Reason
from regrove.transport.events import Verdict

if TYPE_CHECKING:
    from regrove.node.core.core import Core

_OK: Final = Verdict.OK


class Requests:
    """Answers of one core."""

    __slots__ = ("core",)

    def __init__(self, core: Core) -> None:
        self.core = core

    def waits_still(self, request: Request) -> bool:
        """Tell whether somebody still wants the answer: an expired request is not started."""
        caller = request.caller
        deadline = request.deadline
        if deadline is not None:  # a caller of this core has none here
            return self.core.now < deadline
        if caller.home == self.core.home:
            return caller.token in self.core.calls.debts
        return True

    def answer(self, caller: Caller, value: Any) -> None:
        """Answer a request with a prepared or foreign value; a second answer is dropped and counted."""
        core = self.core
        if caller.home == core.home:
            core.calls.settle(caller.token, Replied(value))
            return
        payload = payload_of(value)
        if len(payload) > core.bounds.message_bytes:
            self.refuse(caller, TooLarge())
            return
        verdict = core.links.table.answer(caller.home, (remote.REPLY, caller.token, payload))
        if verdict is _OK:
            return
        match verdict:
            case Verdict.UNREACHABLE:
                core.counters.late_answers += 1
            case Verdict.TOO_LARGE:
                self.refuse(caller, TooLarge())
            case Verdict.LINK_FULL:  # of big answers that wait for their turn there is as much as may wait
                self.refuse(caller, LinkFull())
            case Verdict.OK:
                pass

    def refuse(self, caller: Caller, reason: Reason) -> None:
        """Tell a caller that there will be no answer, and why."""
        core = self.core
        if caller.home == core.home:
            if caller.token in self.core.calls.debts:
                core.calls.fail(caller.token, reason)
            return
        core.links.signal(caller.home, (remote.FAILED, caller.token, core.links.packed(reason)))

    def judge(self, cell: Cell) -> None:
        """The isolate returned RECEIVE with a request in hand: answered, kept, or NoReply."""
        request = cell.request
        cell.request = None
        if request is None or request.forwarded:
            return
        if cell.kept is not None and request.caller[:2] in cell.kept:
            return
        self.refuse(request.caller, NoReply())

    def keep(self, cell: Cell, request: Request) -> Caller:
        """The isolate read `ctx.caller`: it may answer later, unless it ends first."""
        if cell.kept is None:
            cell.kept = {}
        kept = cell.kept
        if len(kept) % 64 == 63:
            for key in [key for key, other in kept.items() if not self.waits_still(other)]:
                del kept[key]
        kept[request.caller[:2]] = request
        return request.caller
