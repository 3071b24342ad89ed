"""The one place that carries effects out. Adding an effect breaks the type check here, and only here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from regrove.node.core.effects import (
    RECEIVE,
    Accept,
    Await,
    Call,
    CallAll,
    Close,
    Connect,
    Continue,
    Crash,
    Done,
    Ignore,
    Listen,
    ListFiles,
    Offload,
    Open,
    Push,
    Read,
    Receive,
    Remove,
    Rename,
    Reply,
    Sleep,
    Sync,
    Truncate,
    Write,
)
from regrove.node.core.isolate import CONTINUE, STARTING, SYSTEM, Cell
from regrove.node.core.lifecycle import site_of, text_of
from regrove.node.core.mailbox import mail_of
from regrove.supervisor.reasons import Normal, Reason

if TYPE_CHECKING:
    from regrove.node.core.core import Core

AnyWait = (
    Call
    | CallAll
    | Push
    | Await
    | Sleep
    | Offload
    | Listen
    | Accept
    | Connect
    | Read
    | Write
    | Close
    | Open
    | Sync
    | Truncate
    | Rename
    | Remove
    | ListFiles
)
AnyEffect = Receive | Ignore | Done | Crash | Continue | Reply | AnyWait


def carry_out(core: Core, cell: Cell, effect: AnyEffect) -> None:
    """Make `cell` what its callback said it becomes."""
    if type(effect) is Reply:  # the commonest beside RECEIVE
        following = effect.effect
        if _reply(core, cell, effect.value) and (following is not RECEIVE or cell.state == STARTING):
            _carry_out(core, cell, following)  # type: ignore[arg-type]  # Reply refuses a Reply at birth
        return
    _carry_out(core, cell, effect)


def _carry_out(core: Core, cell: Cell, effect: AnyEffect) -> None:
    match effect:
        case Receive():
            if cell.request is not None and not cell.flags & CONTINUE:
                core.requests.judge(cell)
            if cell.state == STARTING:
                core.lifecycle.started(cell, at_rest=True)
        case Reply():
            carry_out(core, cell, effect)
        case (
            Call()
            | CallAll()
            | Push()
            | Await()
            | Sleep()
            | Offload()
            | Listen()
            | Accept()
            | Connect()
            | Read()
            | Write()
            | Close()
            | Open()
            | Sync()
            | Truncate()
            | Rename()
            | Remove()
            | ListFiles()
        ):
            _wait(core, cell, effect)
        case Continue(message=message):
            _continue(core, cell, message)
        case Done(reason=reason):
            _done(core, cell, reason)
        case Crash(reason=reason):
            _crash(core, cell, reason)
        case Ignore():
            _ignore(core, cell)
        case _:
            assert_never(effect)


def _continue(core: Core, cell: Cell, message: Any) -> None:
    if cell.flags & CONTINUE:  # `stop` came between: what it interrupted is handled after this one
        mail_of(cell).appendleft((cell.continued, SYSTEM, 0, cell.cause))
        cell.owed += 1
    cell.continued = message
    cell.flags |= CONTINUE
    cell.cause = core.event
    if cell.state == STARTING:
        core.lifecycle.started(cell)


def _reply(core: Core, cell: Cell, value: Any) -> bool:
    request = cell.request
    if request is None:
        text = (
            f"{cell.path} returned Reply({text_of(value)}) with no request in hand: only a Call or ctx.request is "
            "answered"
        )
        core.lifecycle.crash_text(cell, text, site_of(cell.handle))
        return False
    core.answer(cell, request.caller, value)  # first: when the value does not travel, the request is still in hand
    cell.request = None
    rare = cell.rare
    if rare is not None and rare.kept is not None:
        rare.kept.pop(request.caller[:2], None)
    return True


def _wait(core: Core, cell: Cell, wait: AnyWait) -> None:
    if cell.state == STARTING and wait.then is None:
        core.lifecycle.started(cell)
    debt = core.calls.open(cell, wait, None)
    cell.wait = wait
    cell.wait_token = debt.token
    core.calls.begin(debt)


def _done(core: Core, cell: Cell, reason: Reason | None) -> None:
    if reason is not None:
        reason = core.copy(reason)
    if cell.state == STARTING:
        core.lifecycle.started(cell)
    core.lifecycle.end(cell, reason or cell.stop_reason or Normal())


def _crash(core: Core, cell: Cell, reason: object) -> None:
    text = reason if isinstance(reason, str) else text_of(reason)
    detail = None if isinstance(reason, str) else core.copy(reason)
    core.lifecycle.crash_text(cell, text, site_of(cell.handle), detail)


def _ignore(core: Core, cell: Cell) -> None:
    if cell.state == STARTING:
        core.lifecycle.ignored(cell)
    else:
        text = f"{cell.path} returned IGNORE outside of start: return RECEIVE, or DONE to end"
        core.lifecycle.crash_text(cell, text, site_of(cell.handle))
