"""The ends of simulated connections: a transport for each life of each core, under the port of `transport/base.py`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from regrove.node.simulation.seeds import Distribution, Lane
from regrove.node.simulation.trace import Trace
from regrove.transport.base import Handler, TransportError
from regrove.transport.wire import Written

if TYPE_CHECKING:
    from regrove.node.simulation.network import Network

SCHEME: Final = "sim://"
Cause: TypeAlias = Any  # the number of an event; a search keeps with it which frame it is the cause of


class Way:
    """One direction of a connection: what is under way on it, in order."""

    __slots__ = (
        "arrivals", "clogged", "connection", "draws", "era", "free_at", "latency", "latest", "missing", "parents",
        "source", "stuck", "target", "unheard", "wanting", "wire",
    )  # fmt: skip

    def __init__(self, connection: Connection, source: Half, target: Half, draws: Lane, latency: Distribution) -> None:
        self.connection = connection
        self.source = source
        self.target = target
        self.draws = draws
        self.latency = latency
        self.wire: deque[Written] = deque()
        self.parents: deque[Cause] = deque()
        self.latest = 0
        self.arrivals: deque[int] | None = None  # where `emit` puts the events of frames that a tracer waits for
        self.free_at = 0  # when a clogged link has passed what it was given
        self.clogged = 0  # how many of the last ones under way are in a clog
        self.era = 0  # counts the clogs that were cleared: what was to arrive in an earlier one does not
        self.wanting = False  # the sender was refused a frame and waits for room
        self.stuck = False  # the first frame met a cut; `Network.heal` sets it going again
        self.missing = False  # a frame was lost from it
        self.unheard = False  # it leads to a machine that is gone without a word

    def unclogged(self) -> None:
        """What is in a clog will be set out anew."""
        self.clogged = 0
        self.era += 1

    def lose(self, keep: int = 0) -> int:
        """Lose what is under way, but for the first `keep` frames; return how many that were."""
        lost = max(len(self.wire) - keep, 0)
        for _ in range(lost):
            self.wire.pop()
            self.parents.pop()
        self.missing |= lost > 0
        return lost

    @property
    def name(self) -> str:
        """`n0/0>n1/0`; with `~` behind it the way back on a connection that the other end dialled."""
        back = "~" if self is not self.connection.out else ""
        return f"{_short(self.source.owner)}>{_short(self.target.owner)}{back}"


def _short(owner: SimulatedTransport) -> str:
    return owner.core.replace("@sim", "")


class Half:
    """One end of a connection, in one transport, under its session number there."""

    __slots__ = ("connection", "early", "number", "open", "out", "owner")

    def __init__(self, connection: Connection, owner: SimulatedTransport, number: int) -> None:
        self.connection = connection
        self.owner = owner
        self.number = number
        self.open = True
        self.early: list[Written] | None = []  # sent before the connect came through; None from then on
        self.out: Way


class Connection:
    """Two halves and the ways between them."""

    __slots__ = ("back", "far", "near", "out", "over")

    def __init__(self) -> None:
        self.near: Half
        self.far: Half
        self.out: Way
        self.back: Way
        self.over = False


class SimulatedTransport:
    """The `Transport` of one life of one core. `wake` is called when `poll` would have something to hand over."""

    def __init__(self, network: Network, node: str, core: str, wake: Callable[[], None], index: int = 0) -> None:
        self.network = network
        self.node = node
        self.core = core  # `n0@sim/1`: the place, the same in every life
        self.index = index
        self.wake = wake
        self.frame_came: Callable[[Way, Any, int], bool] = _not_taken  # offered a frame before it goes into the inbox
        self.dead = False
        self.dropped = 0  # frames for sessions that were closed here
        self.cause = 0  # the sequence of the trace event that brought the frame now being handed over
        self.trace: Trace | None = None  # the last event there is the cause of what is sent now
        self._handler: Handler | None = None
        self._halves: dict[int, Half] = {}
        self._last = 0
        self.inbox: deque[tuple[Half, Written | None, str, int]] = deque()
        self._endpoints: list[str] = []

    @property
    def cause_now(self) -> int:
        """The cause of what is sent now."""
        return 0 if self.trace is None else self.trace.sequence

    def attach(self, handler: Handler) -> None:
        """Give the handler; once, before anything else."""
        self._handler = handler

    def listen(self, endpoint: str) -> str:
        """Take connections at `sim://name`. Raises TransportError when it is taken or malformed."""
        self.network.listen(endpoint, self)
        self._endpoints.append(endpoint)
        return endpoint

    def open(self, endpoint: str, server_key: str = "") -> int:
        """Begin a connection; `on_session` or `on_closed` follows."""
        if not endpoint.startswith(SCHEME):
            raise TransportError(f"{endpoint!r} is no endpoint of a simulated world: write sim://name")
        half = self._half(Connection())
        self.network.dial(half, endpoint)
        return half.number

    def _half(self, connection: Connection) -> Half:
        self._last = number = self._last + 1
        half = self._halves[number] = Half(connection, self, number)
        return half

    def try_send(self, session: int, frame: Written) -> bool:
        """Hand over one frame; False when the session has ended."""
        half = self._halves.get(session)
        if half is None or self.dead or half.connection.over or not half.open:
            return False
        network = self.network
        if half.early is not None:
            half.early.append(frame)
            return True
        way = half.out
        if network.caps and network.full(way):
            return False
        trace = self.trace
        network.carry(way, frame, 0 if trace is None else trace.sequence)
        return True

    def close(self, session: int) -> None:
        """End a session, at once and silently; as with a ROUTER, one who dialled is not cut, only unheard from now."""
        half = self._halves.pop(session, None)
        if half is not None:
            half.open = False
            if half is half.connection.near:
                self.network.finish(half, "closed by the peer")

    def poll(self) -> bool:
        """Hand what has arrived to the handler."""
        handler, inbox = self._handler, self.inbox
        assert handler is not None
        while inbox:
            half, frame, word, cause = inbox.popleft()
            if not half.open:
                self.dropped += frame is not None
                continue
            self.cause = cause
            if frame is not None:
                handler.on_frames(half.number, (frame,))
            elif word == "room":
                handler.on_writable(half.number)
            elif word in ("in", "out"):
                handler.on_session(half.number, word == "in", "")
            else:
                half.open = False
                del self._halves[half.number]
                handler.on_closed(half.number, word)
        self.cause = 0
        return False

    def arrived(self, half: Half, frame: Written | None, word: str, cause: int) -> None:
        """Take what the network brings."""
        if not self.dead:
            self.inbox.append((half, frame, word, cause))
            self.wake()

    def pending(self) -> bool:
        """Whether something has arrived."""
        return bool(self.inbox)

    def fds(self) -> tuple[int, ...]:
        """There are none."""
        return ()

    def halves(self) -> list[Half]:
        """Return the ends that are open, in order of opening."""
        return list(self._halves.values())

    def destroy(self, linger: float = 0.0) -> None:
        """Close everything; what was sent before still arrives."""
        if self.dead:
            return
        for half in self.halves():
            half.open = False
            self.network.finish(half, "closed by the peer")
        self._leave()

    def crash(self, silently: bool = False) -> None:
        """The process is gone: a keyed part of what it had sent still arrives, what it had not read is lost.

        `silently`: its machine is gone, too, so the ends on other machines are not told.
        """
        if self.dead:
            return
        for half in self.halves():
            half.open = False
            if silently and between_machines(half):
                self.network.silence.vanish(half)
            else:
                self.network.cut_off(half)
        self._leave()

    def _leave(self) -> None:
        self.dead = True
        self.inbox.clear()
        self._halves.clear()
        for endpoint in self._endpoints:
            self.network.unlisten(endpoint, self)

    def __repr__(self) -> str:
        return f"<SimulatedTransport of {self.core}: {len(self._halves)} sessions>"


def between_machines(half: Half) -> bool:
    """Whether this is an end of a connection that stands, to another machine."""
    connection = half.connection
    return not connection.over and hasattr(half, "out") and connection.near.owner.node != connection.far.owner.node


def _not_taken(_way: Way, _frame: Any, _cause: int) -> bool:
    return False
