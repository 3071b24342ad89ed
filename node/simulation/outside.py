"""Programs outside the world: a tcp connection a test drives by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from regrove.node.core.errors import Misuse, RegroveError
from regrove.node.simulation.clock import Span, passing
from regrove.node.simulation.handles import SimulatedListener
from regrove.node.simulation.hiding import ours
from regrove.node.simulation.streams import Backlog, End
from regrove.node.simulation.trace import Doing

if TYPE_CHECKING:
    from regrove.node.simulation.client import Drive
    from regrove.node.simulation.cores import SimulatedCore
    from regrove.node.simulation.node import SimulatedNode
    from regrove.node.simulation.world import World

__tracebackhide__ = ours  # of pytest
OUTSIDE: Final = "outside"  # in stories: a stream is named as nothing inside is, such as an isolate `client-1`


class NobodyListens(RegroveError, ConnectionRefusedError):
    """A connect was refused on a port on which nobody has listened in this run; the text names those there are."""

    def __init__(self, port: int, listening: list[int]) -> None:
        self.port = port
        self.listening = listening
        super().__init__(f"nobody listens on {port}; listening: {', '.join(map(str, listening)) or 'nothing'}")


class OutsideStream:
    """One tcp connection from outside. `on_bytes(stream)`, when set, is called at each arrival, also of the end.

    `state` is `connecting`, `open`, `ended` (the peer closed in order), `failed` (see `error`) or `closed` (by us).
    """

    def __init__(self, world: World, drive: Drive, number: int, port: int) -> None:
        self._world = world
        self._port = port
        self._drive = drive
        self._end: End | None = None
        self._early = bytearray()
        self._received = bytearray()
        self._taken = 0
        self.number = number
        self._looked = False  # whether the test knows that it failed
        self._state = "connecting"
        self._error: str | None = None
        self.on_bytes: Callable[[OutsideStream], Any] | None = None

    # --- what a test does ---

    def send(self, data: bytes) -> None:
        """Send bytes; before the connection is through they wait.

        Raises NobodyListens, at the end of the simulation when the test neither sends more nor looks.
        """
        _check_bytes("send", data)
        self._check_refused(self._doing("send", data))
        if self._state == "connecting":
            self._early += data
        elif self._state == "open" and self._end is not None:
            self._end.write(data)
        elif self._state == "closed":
            raise Misuse("this connection was closed by the test: open another with sim.connect(port)")

    def received(self) -> bytes:
        """Return all that has arrived so far. Raises NobodyListens."""
        self._check_refused(None)
        return bytes(self._received)

    def take(self) -> bytes:
        """Return what has arrived since the last `take`. Raises NobodyListens."""
        self._check_refused(None)
        data = bytes(self._received[self._taken :])
        self._taken = len(self._received)
        return data

    def read(self, count: int, within: Span = "5s") -> bytes:
        """Let time pass until `count` untaken bytes have arrived, and take them; fewer when it ends or time is up.

        Raises NobodyListens.
        """
        if type(count) is not int or count < 0:
            raise Misuse(f"read takes how many bytes, a whole number, got {count!r:.100}")
        deadline = self._world.clock.now + passing(within)
        doing = self._doing("read", count)
        self._drive(lambda: len(self._received) - self._taken >= count or self._over, deadline)
        self._check_refused(doing)
        data = bytes(self._received[self._taken : self._taken + count])
        self._taken += len(data)
        doing.end(self._world.clock.now, data)
        return data

    def read_until(self, mark: bytes, within: Span = "5s") -> bytes:
        """Let time pass until `mark` has arrived; take the untaken bytes up to and including it, else what is there.

        Raises NobodyListens.
        """
        _check_bytes("read_until", mark)
        if not mark:
            raise Misuse("read_until takes the bytes at which to stop, got none")
        deadline = self._world.clock.now + passing(within)
        doing = self._doing("read_until", mark)
        self._drive(lambda: self._received.find(mark, self._taken) >= 0 or self._over, deadline)
        self._check_refused(doing)
        found = self._received.find(mark, self._taken)
        stop = len(self._received) if found < 0 else found + len(mark)
        data = bytes(self._received[self._taken : stop])
        self._taken = stop
        doing.end(self._world.clock.now, data)
        return data

    def _check_refused(self, doing: Doing | None) -> None:
        tcp = self._world.tcp
        if self._state == "failed" and self._end is None and self._port not in tcp.known:
            self._looked = True
            refused = NobodyListens(self._port, tcp.listening())
            if doing is not None:
                doing.end(self._world.clock.now, refused)
            raise refused

    def _doing(self, verb: str, argument: object) -> Doing:
        return self._world.trace.doing(self._world.clock.now, f"{OUTSIDE}{self.number}.{verb}", argument)

    def close(self) -> None:
        """Close this end in order."""
        if self._state != "closed":
            self._state = "closed"
            if self._end is not None:
                self._end.close()

    def reset(self) -> None:
        """Close this end with a reset."""
        self._state = "closed"
        if self._end is not None:
            self._end.reset()

    @property
    def state(self) -> str:
        """`connecting`, `open`, `ended`, `failed` or `closed`."""
        self._looked = self._looked or self._state == "failed"
        return self._state

    @property
    def error(self) -> str | None:
        """Why it failed, the name of an errno."""
        self._looked = True
        return self._error

    @property
    def over(self) -> bool:
        """Whether nothing will arrive any more."""
        self._looked = self._looked or self._state == "failed"
        return self._over

    @property
    def _over(self) -> bool:
        return self._state in ("ended", "failed", "closed")

    def _lost(self) -> None:
        """Raise NobodyListens when what the test sent was refused and it has not looked since."""
        if not self._looked:
            self._check_refused(None)

    # --- what the world does ---

    def connected(self, end: End | None, error: str) -> None:
        """The connect is through, or refused."""
        if end is None:
            self._state, self._error = "failed", error
            if self._early and self.on_bytes is None:
                self._world.at_end.append(self._lost)
        elif self._state == "closed":
            end.reset()
            return
        else:
            self._end = end
            end.owner = self
            self._state = "open"
            if self._early:
                end.write(bytes(self._early))
                self._early.clear()
            self.stream_ready(end)
            return
        self._tell()

    def stream_ready(self, end: End) -> None:
        """Take what has arrived."""
        before = (len(self._received), self._state)
        while self._state == "open":
            data = None if end.error is not None else end.read(65536)
            if end.error is not None:
                self._state, self._error = "failed", end.error
            elif data is None:
                break
            elif data == b"":
                self._state = "ended"
            else:
                self._received += data
        if before != (len(self._received), self._state):
            self._tell()

    def stream_drained(self, _: End) -> None:
        """All that was sent is on its way."""

    def _tell(self) -> None:
        if self.on_bytes is not None:
            self.on_bytes(self)

    def __repr__(self) -> str:
        return f"<{OUTSIDE}{self.number} {self._state} received={len(self._received)}>"


def _check_bytes(verb: str, data: object) -> None:
    if not isinstance(data, bytes | bytearray | memoryview):
        raise Misuse(f"{verb} takes bytes, such as b'PING\\r\\n', got {data!r:.100}")


def connect(
    world: World, drive: Drive, number: int, port: int, node: SimulatedNode, core: SimulatedCore | None
) -> OutsideStream:
    """Begin a connection from outside to a port of a node, or of one of its cores."""
    stream = OutsideStream(world, drive, number, port)

    def chosen(listener: Backlog) -> bool:
        return core is None or (isinstance(listener, SimulatedListener) and listener.edge.core == core.index)

    world.tcp.connect(("", f"client{number}"), (node.name, port), stream.connected, chosen)
    return stream
