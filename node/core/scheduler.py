"""Turns: which callback of an isolate comes next, and how long it may go on (isolates.md, One core).

An isolate's next callback is the first of: kill; the outcome of its wait; stop; Continue's message; the mailbox.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import repeat
from operator import length_hint
from types import MethodType
from typing import TYPE_CHECKING, Any, Final

from regrove.node.core.effects import RECEIVE, Effect
from regrove.node.core.interpreter import carry_out
from regrove.node.core.isolate import (
    ACTIVE,
    BLOCKED,
    CONTINUE,
    ENDED,
    IDLE,
    KILL,
    OUTCOME,
    START,
    STARTING,
    STOP,
    STOPPING,
    Cell,
    Entry,
)
from regrove.node.core.lifecycle import site_of, text_of
from regrove.node.core.mailbox import settle
from regrove.node.core.page import GRAIN, SERVED, TURN
from regrove.supervisor.reasons import Killed, Shutdown

if TYPE_CHECKING:
    from regrove.node.core.core import Core

BATCH: Final = 3  # fewer messages are handled singly: a batch costs as much as it saves for two


def run_ready(core: Core, budget: int) -> None:
    """Give ready isolates their turns, in order of becoming ready, until `budget` callbacks ran or none is left."""
    ready = core.ready
    popleft = ready.popleft
    supervising = core.supervising
    inboxes = supervising.ready
    entered = core.entered - core.puts
    spare = budget
    letters = core.settle_turns() if core.grain else 0  # of a pass that was interrupted, or of nothing
    while True:
        if inboxes and spare > 0:
            supervising.serve()
            supervising.ahead += 1
        if supervising.ahead:
            spare -= supervising.ahead
            budget -= supervising.ahead
            supervising.ahead = 0
            core.words[SERVED] = budget
        if spare <= 0 or not (ready or inboxes):
            break
        # Turns by the grain: how many were begun is asked of the iterator, so that the commonest turn counts nothing.
        grain = 1 if inboxes else GRAIN if spare > GRAIN else spare  # between two events of an inbox comes a turn
        core.turns = turns = repeat(None, grain)
        core.grain, more = grain, 0  # `more`: callbacks above one a turn
        for _ in turns:
            if not ready or (inboxes and grain > 1):
                core.grain -= 1
                more -= 1
                break
            core.current = cell = popleft()
            if charge := cell.charge:  # the commonest turn: one message to who was idle, and nothing before it
                message = cell.letter
                cell.letter = None
                cell.charge = 0
                core.pool_bytes -= charge
                cell.handled += 1
                handle = cell.handle  # not called as a method: CPython 3.11 would not specialise the call
                try:
                    effect = handle(cell.isolate, cell.context, message)  # type: ignore[misc]  # who was idle has started
                except BaseException as error:
                    raised(core, cell, error)
                    continue
                if effect is not RECEIVE:
                    become(core, cell, effect, handle, message)  # type: ignore[arg-type]
                elif not cell.mailbox and not cell.flags:
                    cell.parked = core
                    continue
                if not cell.flags and cell.wait is None and cell.state != ENDED:
                    more += drain(core, cell, core.turn_budget - 1)
                rest(core, cell)
            else:
                core.grain -= 1
                more += longer(core, cell, core.turn_budget) - 1
            if more >= GRAIN or supervising.ahead:
                break
        else:
            letters += core.grain
            core.left += core.grain
            core.grain = 0
            spare -= grain + more
            core.words[TURN] = budget - spare
            continue
        read = core.grain - length_hint(turns)
        letters += read
        core.left += read
        core.grain -= read
        spare -= grain - core.grain + more
        core.words[TURN] = budget - spare
    core.current = None
    core.counters.add(core.entered - core.puts - entered, letters, budget - spare)


def raised(core: Core, cell: Cell, error: BaseException) -> None:
    """A callback raised `error`, which is being handled: the isolate crashes; Ctrl-C is nobody's fault and goes on."""
    if isinstance(error, KeyboardInterrupt):
        raise error
    core.lifecycle.crash(cell, error)


def longer(core: Core, cell: Cell, limit: int) -> int:
    """A turn that is not a letter alone. Answers how many callbacks ran, one at least."""
    if cell.flags or cell.wait is not None or cell.state == STARTING:
        return turn(core, cell, limit)
    used = drain(core, cell, limit) or 1
    rest(core, cell)
    return used


def turn(core: Core, cell: Cell, limit: int) -> int:
    """A turn with more than mail in it: at most `limit` callbacks. Answers how many ran (at least 1)."""
    used = 0
    while used < limit and cell.state != ENDED:
        flags = cell.flags
        # A Continue that stop interrupted waits for the wait of stop.
        if flags and (flags != CONTINUE or cell.wait is None):
            if flags == CONTINUE and used > 0:
                break  # every other ready isolate first
            used += 1
            special(core, cell)
        elif cell.wait is not None or cell.state == STARTING or not cell.mailbox:
            break
        else:
            used += drain(core, cell, limit - used)
    rest(core, cell)
    return used or 1


def rest(core: Core, cell: Cell) -> None:
    """A turn is over: the isolate gets in line again, or is parked."""
    if cell.state == ENDED:
        return
    if cell.flags and (cell.flags != CONTINUE or cell.wait is None):
        cell.parked = ACTIVE
        core.ready.append(cell)
    elif cell.wait is not None or cell.state == STARTING:
        cell.parked = BLOCKED
    elif cell.mailbox:
        cell.parked = ACTIVE
        core.ready.append(cell)
    elif core.letters and not cell.waiters:
        cell.parked = core
    else:
        cell.parked = IDLE
        cell.bound = 0


def drain(core: Core, cell: Cell, limit: int) -> int:
    """Handle mail until the mailbox is empty, `limit` is reached or the isolate becomes something else."""
    used = 0
    if core.letters:
        while used < limit and not cell.waiters:
            mailbox = cell.mailbox
            if not mailbox or len(mailbox) < BATCH or mailbox[0][2] is not None:
                break
            used += drain_batch(core, cell, mailbox, limit - used)
            if cell.flags or cell.wait is not None or cell.state == ENDED:
                return used
    return used + drain_singly(core, cell, limit - used)


def drain_batch(core: Core, cell: Cell, mailbox: deque[Entry], limit: int) -> int:
    """Handle plain mail with one entry in the books for all of it; anybody who needs them exact settles before.

    Ends before the first entry that is not plain, and when the isolate became something else or the batch was settled.
    """
    if len(mailbox) <= limit:
        batch = list(mailbox)
        mailbox.clear()
    else:
        popleft = mailbox.popleft
        batch = [popleft() for _ in range(limit)]
    cell.bound = 0  # what it holds is not in its mailbox now
    core.batch = batch
    core.batch_rest = entries = iter(batch)
    core.batch_done = 0
    handle = cell.handle
    isolate = cell.isolate
    context = cell.context
    assert handle is not None
    try:
        for message, _charge, tag, _cause in entries:
            if tag is not None:
                settle(core, unread=1)
                return core.batch_done
            effect = handle(isolate, context, message)
            if effect is not RECEIVE:
                break
        else:
            settle(core)
            return core.batch_done
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        settle(core)
        core.lifecycle.crash(cell, error)
        return core.batch_done
    settle(core)
    become(core, cell, effect, handle, message)
    return core.batch_done


def drain_singly(core: Core, cell: Cell, limit: int) -> int:
    """Handle mail of every kind, each with its own entry in the books."""
    mailbox = cell.mailbox
    handle = cell.handle
    isolate = cell.isolate
    context = cell.context
    tracing = core.tracing
    used = 0
    if mailbox is None or handle is None:
        return 0
    while mailbox and used < limit:
        message, charge, tag, cause = mailbox.popleft()
        used += 1
        if charge >= 0:
            core.left += 1
            core.pool_bytes -= charge
            if cell.waiters:
                core.waiters.admit(cell)
            if tag is not None:
                if not core.requests.waits_still(tag):
                    core.counters.abandoned += 1
                    continue
                cell.request = tag
            core.counters.handled += 1
            cell.handled += 1
        else:
            cell.owed -= 1
            rare = cell.rare
            if rare is not None and rare.timers is not None and tag in rare.timers:
                rare.timers[tag].queued = False
            tag = None
            cell.handled += 1
        if tracing:
            core.event = core.tracer.handle(core.now, cell, message, cause)
        try:
            effect = handle(isolate, context, message)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            core.lifecycle.crash(cell, error)
            return used
        if effect is RECEIVE and tag is None:
            continue
        become(core, cell, effect, handle, message)
        if cell.flags or cell.wait is not None or cell.state == ENDED:
            return used
    return used


def become(core: Core, cell: Cell, effect: Any, callback: Callable[..., Any], argument: Any) -> None:
    """Interpret what a callback returned; anything but an effect is a crash that names the mend."""
    if not isinstance(effect, Effect):
        text = (
            f"{type(cell.isolate).__qualname__} at {cell.path} returned {text_of(effect)} for {text_of(argument)}: "
            "a callback returns exactly one effect; return RECEIVE to wait for the next message "
            "(is a case missing in its match?)"
        )
        core.lifecycle.crash_text(cell, text, site_of(callback))
        return
    try:
        carry_out(core, cell, effect)  # type: ignore[arg-type]  # the union is closed: Effect has no other subclass
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        core.lifecycle.crash(cell, error)


def special(core: Core, cell: Cell) -> None:
    """Do what comes before the mailbox."""
    flags = cell.flags
    if flags & KILL:
        core.lifecycle.end(cell, cell.end_reason or Killed())
    elif flags & START:
        _start(core, cell)
    elif flags & OUTCOME:
        _resume(core, cell)
    elif flags & STOP:
        _stop(core, cell)
    else:
        cell.flags &= ~CONTINUE
        message, cell.continued = cell.continued, None
        _callback(core, cell, "continue", MethodType(cell.handle, cell.isolate), message)  # type: ignore[arg-type]


def _start(core: Core, cell: Cell) -> None:
    cell.flags &= ~START
    if cell.flags & STOP:
        core.lifecycle.end(cell, cell.stop_reason or Shutdown())
        return
    if core.tracing:
        core.event = core.tracer.start(core.now, cell, cell.cause)
    try:
        effect = core.lifecycle.construct(cell)(cell.context)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        core.lifecycle.crash(cell, error)
        return
    if effect is RECEIVE:
        core.lifecycle.started(cell, at_rest=True)
    else:
        become(core, cell, effect, cell.isolate.start, "its start")


def _resume(core: Core, cell: Cell) -> None:
    cell.flags &= ~OUTCOME
    outcome, cell.outcome = cell.outcome, None
    wait, cell.wait = cell.wait, None
    then = None if wait is None else wait.then
    callback = MethodType(cell.handle, cell.isolate) if then is None else then  # type: ignore[arg-type]
    _callback(core, cell, "outcome", callback, outcome)


def _stop(core: Core, cell: Cell) -> None:
    cell.flags &= ~STOP
    reason = cell.stop_reason or Shutdown()
    if cell.state == STARTING:
        core.lifecycle.end(cell, reason)
        return
    if cell.wait is not None:
        core.calls.cancel(cell.wait_token)  # stop interrupts a wait once: it ends without outcome
        cell.wait = None
        cell.wait_token = 0
    if cell.state == STOPPING:
        return  # asked again
    cell.state = STOPPING
    _callback(core, cell, "stop", cell.isolate.stop, reason)


def _callback(core: Core, cell: Cell, kind: str, function: Callable[[Any, Any], Any], argument: Any) -> None:
    cell.handled += 1
    if core.tracing:
        core.event = core.tracer.callback(core.now, cell, kind, argument, cell.cause)
    try:
        effect = function(cell.context, argument)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        core.lifecycle.crash(cell, error)
        return
    become(core, cell, effect, function, argument)
