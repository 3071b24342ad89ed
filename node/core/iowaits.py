"""I/O as a core sees it: requests out, completions in, and who owns which stream.

Streams belong to one isolate and close with it. A completion whose debt is gone reaches nobody; what it opened is
released.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from regrove.node.core import effects as e
from regrove.node.core import outcomes as o
from regrove.node.core.calls import Debt
from regrove.node.core.compiling import Unjudged
from regrove.node.core.effects import IoWait
from regrove.node.core.errors import Misuse
from regrove.node.core.handles import Listener, Stream
from regrove.node.core.isolate import Cell
from regrove.node.core.mailbox import deliver_system
from regrove.node.core.ports import IoCancel, IoCommand, IoDone, IoRelease, IoRequest
from regrove.node.core.reasons import Busy, NotOwner, OsError
from regrove.node.core.sent import OK, STALE, Sent
from regrove.supervisor.reasons import Reason

if TYPE_CHECKING:
    from regrove.node.core.core import Core

READING = 1
WRITING = 2
_SIDE: dict[type[Any], int] = {e.Read: READING, e.Accept: READING, e.Write: WRITING, e.Sync: WRITING}


class Owned:
    """A stream or listener of an isolate, and which sides of it have a wait under way."""

    __slots__ = ("busy", "cell", "stream")

    def __init__(self, cell: Cell, stream: Stream | Listener) -> None:
        self.cell = cell
        self.stream = stream
        self.busy = 0


class Io:
    """The I/O requests and handles of one core."""

    __slots__ = ("_cancelled", "_cancelled_before", "commands", "core", "owned")

    def __init__(self, core: Core) -> None:
        self.core = core
        self.owned: dict[int, Owned] = {}
        self.commands: list[IoCommand] = []
        # Waits that would open something, cancelled in this pass and the one before: their answer may be under way.
        self._cancelled: dict[int, IoWait] = {}
        self._cancelled_before: dict[int, IoWait] = {}

    def begin(self, debt: Debt, wait: IoWait) -> None:
        """Send the request out, or refuse it at once."""
        handle = _handle_of(wait)
        draining = self.core.draining
        if draining is not None and draining.holds(wait, handle):
            if isinstance(wait, e.Close):
                self._forget(handle)
                self.core.calls.settle(debt.token, o.Closed(wait.stream))
            return
        if handle:
            owned = self.owned.get(handle)
            if owned is None or owned.cell is not debt.cell:
                self.core.calls.fail(debt.token, NotOwner())
                return
            side = _SIDE.get(type(wait), 0)
            if owned.busy & side:
                self.core.calls.fail(debt.token, Busy())
                return
            owned.busy |= side
            debt.handle = handle
        elif isinstance(wait, e.Connect) and len(self.owned) >= self.core.bounds.streams:
            self.core.counters.bounds_reached += 1
            self.core.calls.fail(debt.token, OsError("EMFILE", f"bound streams = {self.core.bounds.streams}"))
            return
        if isinstance(wait, e.Offload):
            # The function runs beside this core: what is mutable is copied, what does not travel is its own business.
            # Into a wait of its own: the isolate may return the same one again, with what its lists hold then.
            wait = copy(wait)
            wait.args = tuple(self.core.copy(value) if type(value) in (list, dict) else value for value in wait.args)
        self.commands.append(IoRequest(debt.token, wait, handle))

    def cancel(self, debt: Debt) -> None:
        """The wait was given up: take the request back."""
        wait = debt.wait
        assert isinstance(wait, IoWait)
        self._free_side(debt.handle, wait)
        self.commands.append(IoCancel(debt.token))
        if isinstance(wait, e.Accept | e.Connect | e.Listen | e.Open):
            self._cancelled[debt.token] = wait

    def _free_side(self, handle: int, wait: IoWait) -> None:
        owned = self.owned.get(handle)
        if owned is not None:
            owned.busy &= ~_SIDE.get(type(wait), 0)

    def done(self, done: IoDone) -> None:
        """A completion came in."""
        debt = self.core.calls.debts.get(done.token)
        if debt is None or not isinstance(debt.wait, IoWait):
            self._orphan(done)
            return
        wait = debt.wait
        self._free_side(debt.handle, wait)
        if isinstance(wait, e.Close):
            self._forget(debt.handle)
        if isinstance(done.result, Reason):
            self.core.calls.fail(done.token, done.result)
        else:
            self.core.calls.settle(done.token, self._outcome(debt.cell, wait, done.result))

    def _orphan(self, done: IoDone) -> None:
        wait = self._cancelled.pop(done.token, None) or self._cancelled_before.pop(done.token, None)
        if wait is None or isinstance(done.result, Reason):
            return
        handle = done.result[0] if isinstance(done.result, tuple) else done.result
        self.commands.append(IoRelease(handle))  # type: ignore[arg-type]

    def _outcome(self, cell: Cell, wait: IoWait, result: Any) -> o.Outcome:
        match wait:
            case e.Read(stream=stream):
                return o.Received(result, stream)
            case e.Write(stream=stream):
                return o.Written(stream)
            case e.Accept():
                return o.Accepted(self._own_stream(cell, result[0], "tcp"), result[1])
            case e.Connect():
                return o.Connected(self._own_stream(cell, result, "tcp"))
            case e.Listen():
                listener = Listener(*result)
                self._own(cell, listener)
                return o.Listening(listener)
            case e.Close(stream=stream):
                return o.Closed(stream)
            case e.Offload():
                return o.Returned(result)
            case _:
                return self._file_outcome(cell, wait, result)

    def _file_outcome(self, cell: Cell, wait: IoWait, result: Any) -> o.Outcome:
        match wait:
            case e.Open():
                return o.Opened(self._own_stream(cell, result, "file"))
            case e.Sync(stream=stream):
                return o.Synced(stream)
            case e.Truncate(stream=stream):
                return o.Truncated(stream)
            case e.Rename(new=new):
                return o.Renamed(new)
            case e.Remove(path=path):
                return o.Removed(path)
            case e.ListFiles():
                return o.Listed(result)
            case _:
                raise AssertionError(f"no outcome for {wait!r}")

    # --- ownership -------------------------------------------------------------------------------------------------

    def _own_stream(self, cell: Cell, handle: int, kind: str) -> Stream:
        stream = Stream(handle, kind)
        self._own(cell, stream)
        return stream

    def _own(self, cell: Cell, stream: Stream | Listener) -> None:
        self.owned[stream.handle] = Owned(cell, stream)
        if cell.handles is None:
            cell.handles = {}
        cell.handles[stream.handle] = None

    def _forget(self, handle: int) -> None:
        owned = self.owned.pop(handle, None)
        if owned is not None and owned.cell.handles is not None:
            owned.cell.handles.pop(handle, None)

    def release(self, cell: Cell) -> None:
        """An isolate ended: its streams close with it."""
        draining = self.core.draining
        for handle in cell.handles or ():
            del self.owned[handle]
            if draining is None or handle not in draining.closed:
                self.commands.append(IoRelease(handle))
        cell.handles = None

    def may_pass(self, cell: Cell, value: Stream | Listener) -> bool:
        """Tell whether `cell` owns the stream and no wait is under way on it."""
        owned = self.owned.get(value.handle)
        return owned is not None and owned.cell is cell and not owned.busy

    def pass_on(self, value: Stream | Listener, target: Cell) -> None:
        """Change the owner of a stream."""
        owned = self.owned[value.handle]
        assert owned.cell.handles is not None
        del owned.cell.handles[value.handle]
        owned.cell = target
        if target.handles is None:
            target.handles = {}
        target.handles[value.handle] = None

    def give(self, cell: Cell, stream: Stream, to: Unjudged) -> Sent:
        """`ctx.give`: the stream passes to an isolate of this core, which gets `Given(stream)`."""
        if not self.may_pass(cell, stream):
            raise Misuse(f"give({stream!r}): this isolate does not own it, or a Read or Write is under way on it")
        where = self.core.registry.resolve(to)
        if not isinstance(where, Cell) or where.supervising is not None:
            return STALE
        self.pass_on(stream, where)
        deliver_system(self.core, where, o.Given(stream), 0)
        return OK

    @property
    def idle(self) -> bool:
        """Whether `flush` has nothing to give and nothing to forget."""
        return not (self.commands or self._cancelled or self._cancelled_before)

    def flush(self) -> list[IoCommand]:
        """Take the commands of this pass."""
        self._cancelled_before = self._cancelled
        self._cancelled = {}
        commands = self.commands
        self.commands = []
        return commands


def _handle_of(wait: IoWait) -> int:
    match wait:
        case e.Read(stream=stream) | e.Write(stream=stream) | e.Sync(stream=stream) | e.Truncate(stream=stream):
            return _check(stream)
        case e.Close(stream=stream):
            return _check(stream)
        case e.Accept(listener=listener):
            return _check(listener)
        case _:
            return 0


def _check(value: object) -> int:
    if not isinstance(value, Stream | Listener):
        raise Misuse(f"expected a stream or listener from an outcome such as Connected or Listening, got {value!r}")
    return value.handle
