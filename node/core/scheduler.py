"""Turns: which callback of an isolate comes next, and how long it may go on (isolates.md, One core).

An isolate's next callback is the first of: kill; the outcome of its wait; stop; Continue's message; the mailbox.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

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
)
from regrove.node.core.lifecycle import site_of, text_of
from regrove.node.core.page import GRAIN, SERVED, TURN
from regrove.supervisor.reasons import Killed, Shutdown

if TYPE_CHECKING:
    from regrove.node.core.core import Core


def run_ready(core: Core, budget: int) -> None:
    """Give ready isolates their turns, in order of becoming ready, until `budget` callbacks ran or none is left."""
    ready = core.ready
    supervising = core.supervising
    inboxes = supervising.ready
    limit = core.turn_budget
    words = core.words
    callbacks = 0
    mark = min(GRAIN, budget)
    while True:
        if inboxes and budget > callbacks:
            supervising.serve()
            budget -= 1
            mark = min(mark, budget)
            words[SERVED] = budget
        if callbacks >= mark:
            if callbacks >= budget:
                break
            words[TURN] = callbacks
            mark = min(callbacks + GRAIN, budget)
        if not ready:
            if inboxes:
                continue
            break
        cell = ready.popleft()
        core.current = cell
        if not cell.flags and cell.wait is None and cell.state != STARTING:
            # The common turn: only mail. What it leads to beyond RECEIVE is the full turn's business.
            callbacks += drain(core, cell, limit) or 1
            if not cell.flags and cell.wait is None and cell.state != ENDED:
                if cell.mailbox:
                    ready.append(cell)
                else:
                    cell.parked = IDLE
                continue
            rest(core, cell)
        else:
            callbacks += turn(core, cell, limit)
    core.current = None
    core.counters.callbacks += callbacks


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
    else:
        cell.parked = IDLE


def drain(core: Core, cell: Cell, limit: int) -> int:
    """Handle mail until the mailbox is empty, `limit` is reached or the isolate becomes something else."""
    mailbox = cell.mailbox
    handle = cell.handle
    context = cell.context
    tracing = core.tracing
    used = 0
    if mailbox is None or handle is None:
        return 0
    while mailbox and used < limit:
        message, charge, tag, cause = mailbox.popleft()
        used += 1
        if charge >= 0:
            core.pool_messages -= 1
            core.pool_bytes -= charge
            cell.queued -= 1
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
            if cell.timers is not None and tag in cell.timers:
                cell.timers[tag].queued = False
            tag = None
            cell.handled += 1
        if tracing:
            core.event = core.tracer.handle(core.now, cell, message, cause)
        try:
            effect = handle(context, message)
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
        assert cell.handle is not None
        _callback(core, cell, "continue", cell.handle, message)


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
    become(core, cell, effect, cell.isolate.start, "its start")


def _resume(core: Core, cell: Cell) -> None:
    cell.flags &= ~OUTCOME
    outcome, cell.outcome = cell.outcome, None
    wait, cell.wait = cell.wait, None
    then = None if wait is None else wait.then
    callback = cell.handle if then is None else then
    assert callback is not None
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
