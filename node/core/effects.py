"""What an isolate becomes: the closed union of effects a callback returns, carried out in `interpreter.py` only.

Their counterparts are the outcomes of `outcomes.py`: each wait has exactly one, or `Failed(reason, of)`.
Every wait takes `timeout=` (seconds, None waits for ever) and `then=` (a method of the isolate that gets the outcome),
and keeps the place that made it as (code, offset): the line is computed when somebody looks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, Union

from regrove.node.core.address import Address, Name
from regrove.node.core.errors import Misuse
from regrove.node.core.handles import Ticket
from regrove.supervisor.reasons import Reason

if TYPE_CHECKING:
    from regrove.node.core.handles import Listener, Stream

Target: TypeAlias = Union[Address, Name, str]  # noqa: UP007 - a runtime alias over forward references
Then: TypeAlias = "Callable[[Any, Any], Effect]"

MESSAGE_TIMEOUT: Final = 5.0  # seconds: Call, CallAll, Push, Await, as OTP's gen_server:call
IO_TIMEOUT: Final = 30.0  # seconds: Connect, Read, Write, Sync and the other file operations
OFFLOAD_TIMEOUT: Final = 60.0  # seconds
SECONDS_MAX: Final = 1_000_000_000  # over 30 years; in ns it fits 64 bits, on the wire and in a clock

NUMBERS: Final = (int, float)  # written out, `int | float` would be built anew for each wait

_getframe = sys._getframe


def is_delay(seconds: object) -> bool:
    """Tell whether `seconds` is a time that can be waited for: a number from 0 to SECONDS_MAX, no NaN."""
    return isinstance(seconds, NUMBERS) and 0 <= seconds <= SECONDS_MAX


class Effect:
    """What a callback returns. Construct one of the subclasses; the set is closed."""

    __slots__ = ()

    def _fields(self) -> tuple[Any, ...]:
        return ()

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other) or not isinstance(other, Effect):
            return NotImplemented
        return self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._fields()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._fields()))})"


class Receive(Effect):
    """Wait for the next message; use the constant `RECEIVE`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "RECEIVE"


class Ignore(Effect):
    """From `start` only: do not run, do not fail; use the constant `IGNORE`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "IGNORE"


class Done(Effect):
    """End with `reason`; without one, with `Normal` or, once asked to stop, with the reason it was asked with."""

    __slots__ = ("reason",)

    def __init__(self, reason: Reason | None = None) -> None:
        if reason is not None and not isinstance(reason, Reason):
            raise Misuse(f"Done takes a reason such as Normal() or Shutdown('why'), got {reason!r}")
        self.reason = reason

    def _fields(self) -> tuple[Any, ...]:
        return (self.reason,)


class Crash(Effect):
    """Fail on purpose, with a text or a message as the reason."""

    __slots__ = ("reason",)

    def __init__(self, reason: object) -> None:
        self.reason = reason

    def _fields(self) -> tuple[Any, ...]:
        return (self.reason,)


class Continue(Effect):
    """Handle `message` next, before the mailbox, after every other ready isolate had its turn."""

    __slots__ = ("message",)

    def __init__(self, message: object) -> None:
        self.message = message

    def _fields(self) -> tuple[Any, ...]:
        return (self.message,)


RECEIVE: Final = Receive()
DONE: Final = Done()
IGNORE: Final = Ignore()


class Reply(Effect):
    """Answer the request in hand with `value`, then become `effect`."""

    __slots__ = ("effect", "value")

    def __init__(self, value: object, effect: Effect = RECEIVE) -> None:
        if not isinstance(effect, Effect) or type(effect) is Reply:
            raise Misuse(f"Reply(value, effect) takes an effect other than Reply, got {effect!r}")
        self.value = value
        self.effect = effect

    def _fields(self) -> tuple[Any, ...]:
        return (self.value, self.effect)


class Wait(Effect):
    """An effect that ends with one outcome; `timeout` in seconds or None, `then(ctx, outcome) -> Effect`."""

    __slots__ = ("code", "offset", "then", "timeout")
    code: CodeType
    offset: int
    timeout: float | None
    then: Then | None

    def _begin(self, timeout: float | None, then: Then | None, frame: FrameType) -> None:
        if timeout is not None and not (isinstance(timeout, NUMBERS) and 0 <= timeout <= SECONDS_MAX):
            raise Misuse(f"timeout is seconds from 0 to {SECONDS_MAX}, or None to wait for ever; got {timeout!r}")
        if then is not None and not callable(then):
            raise Misuse(f"then is a method of the isolate, then(ctx, outcome) -> Effect; got {then!r}")
        self.timeout = timeout
        self.then = then
        self.code = frame.f_code
        self.offset = frame.f_lasti

    @property
    def site(self) -> str:
        """`file:line` of the expression that made this wait, computed now."""
        line = self.code.co_firstlineno
        for start, end, number in self.code.co_lines():
            if start <= self.offset < end and number is not None:
                line = number
                break
        return f"{self.code.co_filename}:{line}"


class Call(Wait):
    """Ask `to` and wait for its answer: `Replied(value)`."""

    __slots__ = ("request", "to")

    def __init__(
        self, to: Target, request: object, *, timeout: float | None = MESSAGE_TIMEOUT, then: Then | None = None
    ) -> None:
        frame = _getframe(1)
        if then is None and type(timeout) is float and 0 <= timeout <= SECONDS_MAX:
            self.timeout = timeout  # `_begin` once more: a call of it is a quarter of a Call
            self.then = None
            self.code = frame.f_code
            self.offset = frame.f_lasti
        else:
            self._begin(timeout, then, frame)
        self.to = to
        self.request = request

    def _fields(self) -> tuple[Any, ...]:
        return (self.to, self.request)


class CallAll(Wait):
    """Ask several at once under one deadline: `Gathered(outcomes)` in order. Each element is `Call(to, request)`."""

    __slots__ = ("calls",)

    def __init__(
        self, calls: Iterable[Call], *, timeout: float | None = MESSAGE_TIMEOUT, then: Then | None = None
    ) -> None:
        self._begin(timeout, then, _getframe(1))
        self.calls = tuple(calls)
        for call in self.calls:
            if type(call) is not Call:
                raise Misuse(f"CallAll takes Call(to, request) elements, got {call!r}")

    def _fields(self) -> tuple[Any, ...]:
        return (self.calls,)


class Push(Wait):
    """Send, waiting for room in the mailbox or on the link: `Pushed()`. Waiters are admitted in order."""

    __slots__ = ("message", "to")

    def __init__(
        self, to: Target, message: object, *, timeout: float | None = MESSAGE_TIMEOUT, then: Then | None = None
    ) -> None:
        self._begin(timeout, then, _getframe(1))
        self.to = to
        self.message = message

    def _fields(self) -> tuple[Any, ...]:
        return (self.to, self.message)


class Await(Wait):
    """Take no mail until one of these tickets (none given: anything owed to me) has its outcome."""

    __slots__ = ("tickets",)

    def __init__(self, *tickets: Ticket, timeout: float | None = MESSAGE_TIMEOUT, then: Then | None = None) -> None:
        self._begin(timeout, then, _getframe(1))
        for ticket in tickets:
            if not isinstance(ticket, Ticket):
                raise Misuse(f"Await takes tickets, as ctx.begin, request, send_after and monitor give; got {ticket!r}")
        self.tickets = tickets

    def _fields(self) -> tuple[Any, ...]:
        return self.tickets


class Sleep(Wait):
    """A pause of `delay` seconds that takes no mail: `Slept()`."""

    __slots__ = ("delay",)

    def __init__(self, delay: float, *, then: Then | None = None) -> None:
        if not is_delay(delay):
            raise Misuse(f"Sleep takes seconds from 0 to {SECONDS_MAX}, got {delay!r}")
        self._begin(None, then, _getframe(1))
        self.delay = delay

    def _fields(self) -> tuple[Any, ...]:
        return (self.delay,)


class IoWait(Wait):
    """A wait the core's I/O edge answers (`ports.IoPort`)."""

    __slots__ = ()


class Offload(IoWait):
    """Run an importable function on the core's bounded threads (or processes): `Returned(value)`."""

    __slots__ = ("args", "function", "where")

    def __init__(
        self,
        function: Callable[..., Any],
        *args: Any,
        where: Literal["thread", "process"] = "thread",
        timeout: float | None = OFFLOAD_TIMEOUT,
        then: Then | None = None,
    ) -> None:
        if where not in ("thread", "process"):
            raise Misuse(f"Offload takes where='thread' or where='process', got {where!r}")
        if not callable(function):
            raise Misuse(f"Offload takes a function, got {function!r}")
        self._begin(timeout, then, _getframe(1))
        self.function = function
        self.args = args
        self.where = where

    def _fields(self) -> tuple[Any, ...]:
        return (self.function, self.args, self.where)


class Listen(IoWait):
    """Listen on tcp: `Listening(listener)`. `shared` lets every core listen on one port (SO_REUSEPORT)."""

    __slots__ = ("host", "port", "shared")

    def __init__(
        self,
        host: str,
        port: int,
        shared: bool = True,
        *,
        timeout: float | None = IO_TIMEOUT,
        then: Then | None = None,
    ) -> None:
        if type(port) is not int or not 0 <= port <= 65535:
            raise Misuse(f"port is an int from 0 (any free one) to 65535, got {port!r}")
        self._begin(timeout, then, _getframe(1))
        self.host = host
        self.port = port
        self.shared = shared

    def _fields(self) -> tuple[Any, ...]:
        return (self.host, self.port, self.shared)


class Accept(IoWait):
    """Wait for a connection: `Accepted(stream, peer)`. No timeout unless given."""

    __slots__ = ("listener",)

    def __init__(self, listener: Listener, *, timeout: float | None = None, then: Then | None = None) -> None:
        self._begin(timeout, then, _getframe(1))
        self.listener = listener

    def _fields(self) -> tuple[Any, ...]:
        return (self.listener,)


class Connect(IoWait):
    """Open a tcp connection: `Connected(stream)`."""

    __slots__ = ("host", "port")

    def __init__(self, host: str, port: int, *, timeout: float | None = IO_TIMEOUT, then: Then | None = None) -> None:
        if type(port) is not int or not 1 <= port <= 65535:
            raise Misuse(f"port is an int from 1 to 65535, got {port!r}")
        self._begin(timeout, then, _getframe(1))
        self.host = host
        self.port = port

    def _fields(self) -> tuple[Any, ...]:
        return (self.host, self.port)


class Read(IoWait):
    """Read at most `limit` bytes: `Received(data, stream)`, empty at the end."""

    __slots__ = ("limit", "stream")

    def __init__(
        self, stream: Stream, limit: int = 65536, *, timeout: float | None = IO_TIMEOUT, then: Then | None = None
    ) -> None:
        if type(limit) is not int or limit < 1:
            raise Misuse(f"Read takes a limit of at least 1 byte, got {limit!r}")
        self._begin(timeout, then, _getframe(1))
        self.stream = stream
        self.limit = limit

    def _fields(self) -> tuple[Any, ...]:
        return (self.stream, self.limit)


class Write(IoWait):
    """Write all of `data`: `Written(stream)` when the kernel has it."""

    __slots__ = ("data", "stream")

    def __init__(
        self, stream: Stream, data: bytes, *, timeout: float | None = IO_TIMEOUT, then: Then | None = None
    ) -> None:
        if not isinstance(data, bytes):
            raise Misuse(f"Write takes bytes, got {type(data).__name__}: call .encode() or bytes() first")
        self._begin(timeout, then, _getframe(1))
        self.stream = stream
        self.data = data

    def _fields(self) -> tuple[Any, ...]:
        return (self.stream, self.data)


class Close(IoWait):
    """Close a stream or a listener: `Closed(stream)`."""

    __slots__ = ("stream",)

    def __init__(
        self, stream: Stream | Listener, *, timeout: float | None = IO_TIMEOUT, then: Then | None = None
    ) -> None:
        self._begin(timeout, then, _getframe(1))
        self.stream = stream

    def _fields(self) -> tuple[Any, ...]:
        return (self.stream,)


class Open(IoWait):
    """Open a file under the node's data folder: `Opened(stream)`. Modes: `r`, `w` (truncate), `a` (append), `r+`."""

    __slots__ = ("mode", "path")

    def __init__(
        self, path: str, mode: str = "r", *, timeout: float | None = IO_TIMEOUT, then: Then | None = None
    ) -> None:
        if mode not in ("r", "w", "a", "r+"):
            raise Misuse(f"Open takes mode 'r', 'w', 'a' or 'r+' (always bytes), got {mode!r}")
        self._begin(timeout, then, _getframe(1))
        self.path = path
        self.mode = mode

    def _fields(self) -> tuple[Any, ...]:
        return (self.path, self.mode)


class Sync(IoWait):
    """Wait until what was written to the file is on the disk (fsync): `Synced(stream)`."""

    __slots__ = ("stream",)

    def __init__(self, stream: Stream, *, timeout: float | None = IO_TIMEOUT, then: Then | None = None) -> None:
        self._begin(timeout, then, _getframe(1))
        self.stream = stream

    def _fields(self) -> tuple[Any, ...]:
        return (self.stream,)


class Truncate(IoWait):
    """Cut the file to `length` bytes and append from there: `Truncated(stream)`."""

    __slots__ = ("length", "stream")

    def __init__(
        self, stream: Stream, length: int, *, timeout: float | None = IO_TIMEOUT, then: Then | None = None
    ) -> None:
        if type(length) is not int or length < 0:
            raise Misuse(f"Truncate takes a length >= 0, got {length!r}")
        self._begin(timeout, then, _getframe(1))
        self.stream = stream
        self.length = length

    def _fields(self) -> tuple[Any, ...]:
        return (self.stream, self.length)


class Rename(IoWait):
    """Rename a file under the data folder, atomically, and sync its folder: `Renamed(path)`."""

    __slots__ = ("new", "old")

    def __init__(self, old: str, new: str, *, timeout: float | None = IO_TIMEOUT, then: Then | None = None) -> None:
        self._begin(timeout, then, _getframe(1))
        self.old = old
        self.new = new

    def _fields(self) -> tuple[Any, ...]:
        return (self.old, self.new)


class Remove(IoWait):
    """Remove a file under the data folder and sync its folder: `Removed(path)`; a missing one is OsError("ENOENT")."""

    __slots__ = ("path",)

    def __init__(self, path: str, *, timeout: float | None = IO_TIMEOUT, then: Then | None = None) -> None:
        self._begin(timeout, then, _getframe(1))
        self.path = path

    def _fields(self) -> tuple[Any, ...]:
        return (self.path,)


class ListFiles(IoWait):
    """The names of the files in a folder under the data folder, sorted: `Listed(names)`; a missing folder is empty."""

    __slots__ = ("path",)

    def __init__(self, path: str = "", *, timeout: float | None = IO_TIMEOUT, then: Then | None = None) -> None:
        self._begin(timeout, then, _getframe(1))
        self.path = path

    def _fields(self) -> tuple[Any, ...]:
        return (self.path,)
