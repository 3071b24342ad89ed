"""The port over a network that is only a heap of events: deterministic, on virtual time, in one thread.

    network = SimulatedNetwork(latency=..., fate=...)     one for a world; knows time, no clock, no randomness
    network.endpoint("node-a/0")   -> SimulatedTransport  one for each core, manager and client, by a unique name
    network.advance(now)           first in each step of the world, since sends leave at its `now`: delivers everything
                                   due until then into the transports' inboxes, in order
    network.next_time()            when the next delivery is due, or None
    network.cut("a", "b")          what goes from a to b stands still (two-way: cut both ways) until `heal("a", "b")`
    network.reset(connection)      loses what is in flight on it both ways; both ends are told
    network.crash("a")             the owner is gone with everything it had not sent; its endpoints free themselves
    network.connections("a", "b")  the live connections between two names, oldest first
    network.in_flight(connection)  frames under way on it

A name stands for itself and, with "/" behind it, for everything below it: `cut("node-a", "node-b")` cuts all their
cores. Frames of one connection arrive in order (a later frame never overtakes); two connections race, and what is due
at the same instant is ordered by `rank`. Decisions are made by pure functions of stable keys:

    latency(key) -> ns      fate(key) -> DELIVER | RESET | LOSE      rank(key) -> any int
    key = Key(source name, target name, dial ordinal between the two, ordinal of the frame on that connection, size)

The faithful profile uses DELIVER and RESET only, which is what ZeroMQ can do; LOSE takes one frame out of a stream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import islice
from typing import Final, NamedTuple, Protocol, TypeAlias

from regrove.transport.base import Handler, TransportError

DELIVER: Final = 0
RESET: Final = 1  # the connection breaks with everything in flight, this frame first
LOSE: Final = 2  # this one frame is taken out: hostile, ZeroMQ cannot do it

POLL_CAP: Final = 256


class Key(NamedTuple):
    """What a decision about one frame may depend on: stable names and ordinals, never time or memory."""

    source: str
    target: str
    dial: int
    ordinal: int
    size: int


Latency: TypeAlias = Callable[[Key], int]
Fate: TypeAlias = Callable[[Key], int]
Rank: TypeAlias = Callable[[Key], int]


class Network(Protocol):
    """What a `SimulatedTransport` needs below it; `SimulatedNetwork` is one."""

    def listen(self, name: str, endpoint: str) -> str:
        """Bind. Raises TransportError when the endpoint is taken."""

    def connect(self, name: str, endpoint: str, key: str) -> int:
        """Begin a connection; the dialler's session, an even number 2 n. The other end's is 2 n + 1."""

    def send(self, session: int, frame: bytes) -> bool:
        """Put a frame on its way; False when the connection is over."""

    def close(self, session: int) -> None:
        """End a connection from this end."""

    def detach(self, name: str) -> None:
        """The transport is destroyed: its listeners and connections end."""


class SimulatedTransport:
    """One end in the simulated network: `regrove.transport.base.Transport`."""

    def __init__(self, network: Network, name: str, user_id: str = "") -> None:
        self.name = name
        self.user_id = user_id  # what the ends it dials are told of it, as CURVE would prove
        self.dropped = 0  # frames that arrived for sessions closed here
        self._network = network
        self._handler: Handler | None = None
        self._inbox: deque[tuple[str, int, object]] = deque()
        self._open: dict[int, bool] = {}  # live sessions -> inbound
        self._destroyed = False

    def attach(self, handler: Handler) -> None:
        """Give the handler, once."""
        assert self._handler is None, "a transport has one handler"
        self._handler = handler

    def listen(self, endpoint: str) -> str:
        """Bind `sim://name` (or any other text with ://) in the simulated network."""
        if "://" not in endpoint:
            raise TransportError(f"an endpoint looks like sim://name, got {endpoint!r}")
        return self._network.listen(self.name, endpoint)

    def open(self, endpoint: str, server_key: str = "") -> int:
        """Begin a connection; a refused one is told as closed."""
        if "://" not in endpoint:
            raise TransportError(f"an endpoint looks like sim://name, got {endpoint!r}")
        session = self._network.connect(self.name, endpoint, server_key)
        self._open[session] = False
        return session

    def try_send(self, session: int, frame: bytes) -> bool:
        """Put a frame on its way."""
        if session not in self._open:
            return False
        return self._network.send(session, frame)

    def close(self, session: int) -> None:
        """End a session."""
        if self._open.pop(session, None) is not None:
            self._network.close(session)

    def poll(self) -> bool:
        """Hand over up to 256 arrivals."""
        handler = self._handler
        assert handler is not None, "attach a handler first"
        for _ in range(min(POLL_CAP, len(self._inbox))):
            what, session, content = self._inbox.popleft()
            if what == "opened":
                self._open[session] = True
                handler.on_session(session, True, str(content))
            elif session not in self._open:
                self.dropped += what == "frame"
            elif what == "frame":
                assert isinstance(content, bytes)
                handler.on_frames(session, [content])
            elif what == "through":
                handler.on_session(session, False, "")
            else:
                del self._open[session]
                handler.on_closed(session, str(content))
        return bool(self._inbox)

    def pending(self) -> bool:
        """Whether arrivals wait."""
        return bool(self._inbox)

    def fds(self) -> tuple[int, ...]:
        """None: nothing here is known to the operating system."""
        return ()

    def destroy(self, linger: float = 0.0) -> None:
        """End everything."""
        if not self._destroyed:
            self._destroyed = True
            self._inbox.clear()
            self._open.clear()
            self._network.detach(self.name)

    # -- what the network calls

    def arrived(self, what: str, session: int, content: object) -> None:
        """Put an arrival behind the others: "opened", "through", "frame" or "closed"."""
        if not self._destroyed:
            self._inbox.append((what, session, content))


class _End:
    """What goes out of one end of a connection."""

    __slots__ = ("deaf", "last", "last_rank", "name", "ordinal", "peer", "queue", "session", "stalled")

    def __init__(self, name: str, peer: str, session: int) -> None:
        self.name = name
        self.session = session
        self.peer = peer
        self.ordinal = 0
        self.last = 0  # when the latest frame arrives, and its rank: none overtakes it
        self.last_rank = 0
        self.queue: deque[tuple[str, object, Key]] = deque()  # under way, in order; each delivery takes the front
        self.stalled = 0  # deliveries that came due while a cut was there
        self.deaf = False  # this end closed: what arrives for it is dropped


class _Connection:
    __slots__ = ("alive", "dial", "ends", "number", "user_id")

    def __init__(self, number: int, dial: int, source: str, target: str, user_id: str) -> None:
        self.number = number
        self.dial = dial
        self.user_id = user_id
        self.ends = (_End(source, target, 2 * number), _End(target, source, 2 * number + 1))  # the dialler's first
        self.alive = True


class SimulatedNetwork:
    """A world's network. All times are virtual ns; `now` moves only by `advance`."""

    def __init__(
        self,
        latency: Latency = lambda key: 100_000,  # noqa: ARG005
        fate: Fate = lambda key: DELIVER,  # noqa: ARG005
        rank: Rank = lambda key: 0,  # noqa: ARG005
    ) -> None:
        self.now = 0
        self.latency = latency
        self.fate = fate
        self.rank = rank
        self._transports: dict[str, SimulatedTransport] = {}
        self._listeners: dict[str, str] = {}  # endpoint -> name
        self._connections: dict[int, _Connection] = {}
        self._dials: dict[tuple[str, str], int] = {}
        self._cuts: dict[tuple[str, str], None] = {}
        self._heap: list[tuple[int, int, int, _Connection, _End]] = []
        self._pushed = 0
        self._numbers = 0
        self._ports = 40_000

    # -- the world's side

    def endpoint(self, name: str, user_id: str = "") -> SimulatedTransport:
        """A transport called `name`; the name is free again once that one was destroyed or crashed."""
        if name in self._transports:
            raise ValueError(f"the simulated network already has an endpoint called {name!r}")
        transport = SimulatedTransport(self, name, user_id)
        self._transports[name] = transport
        return transport

    def advance(self, now: int) -> None:
        """Deliver everything due until `now`, in order of time, then rank, then sending."""
        while self._heap and self._heap[0][0] <= now:
            when, _, _, connection, end = heappop(self._heap)
            self.now = max(self.now, when)
            self._deliver(connection, end)
        self.now = max(self.now, now)

    def next_time(self) -> int | None:
        """When the next delivery is due."""
        return self._heap[0][0] if self._heap else None

    def cut(self, source: str, target: str) -> None:
        """Hold what goes from `source` to `target`, one way."""
        self._cuts[source, target] = None

    def heal(self, source: str, target: str) -> None:
        """Undo that cut; what it held arrives a latency from now, in order."""
        self._cuts.pop((source, target), None)
        for connection in list(self._connections.values()):
            for end in connection.ends:
                if end.stalled and not self._is_cut(end.name, end.peer):
                    stalled, end.stalled = end.stalled, 0
                    for _, _, key in list(islice(end.queue, stalled)):
                        self._schedule(connection, end, key)

    def heal_all(self) -> None:
        """Undo every cut."""
        for source, target in list(self._cuts):
            self.heal(source, target)

    def connections(self, source: str, target: str) -> tuple[int, ...]:
        """The live connections that `source` dialled to `target`, oldest first."""
        return tuple(
            connection.number
            for connection in self._connections.values()
            if connection.alive and _below(connection.ends[0].name, source) and _below(connection.ends[1].name, target)
        )

    def in_flight(self, connection: int) -> int:
        """How many frames are under way on a connection both ways, held ones included."""
        there = self._connections.get(connection)
        if there is None:
            return 0
        return sum(what == "frame" for end in there.ends for what, _, _ in end.queue)

    def reset(self, connection: int) -> None:
        """Break a connection: what is in flight is lost, both ends are told (behind what has arrived)."""
        there = self._connections.get(connection)
        if there is not None and there.alive:
            self._break(there, "connection reset")

    def crash(self, name: str) -> None:
        """End `name` and everything below it at once; what is on the wire from it still arrives."""
        for victim in [other for other in self._transports if _below(other, name)]:
            self._transports[victim].destroy()

    # -- the transports' side (Network)

    def listen(self, name: str, endpoint: str) -> str:
        """Bind; port 0 gives a free one."""
        if endpoint.endswith(":0"):
            self._ports += 1
            endpoint = f"{endpoint[:-1]}{self._ports}"
        if endpoint in self._listeners:
            raise TransportError(f"{endpoint} is in use by {self._listeners[endpoint]}: choose another endpoint")
        self._listeners[endpoint] = name
        return endpoint

    def connect(self, name: str, endpoint: str, key: str) -> int:
        """Begin a connection; whoever listens hears of it after one latency, the dialler of a refusal too."""
        target = self._listeners.get(endpoint, endpoint)
        self._numbers += 1
        dial = self._dials[name, target] = self._dials.get((name, target), 0) + 1
        connection = _Connection(self._numbers, dial, name, target, self._transports[name].user_id)
        self._connections[connection.number] = connection
        self._put(connection, connection.ends[0], "opened", endpoint)
        return 2 * connection.number

    def send(self, session: int, frame: bytes) -> bool:
        """Put a frame on its way, by its fate."""
        there = self._connections.get(session // 2)
        if there is None or not there.alive:
            return False
        self._put(there, there.ends[session % 2], "frame", frame)
        return True

    def close(self, session: int) -> None:
        """End one side; the other is told behind what was sent."""
        there = self._connections.get(session // 2)
        if there is not None and there.alive:
            end = there.ends[session % 2]
            end.deaf = True
            # A ROUTER cannot cut a peer that dialled: the dialler's close ends the connection, the other's does not.
            if end is there.ends[0]:
                self._put(there, end, "closed", "closed by the peer")

    def detach(self, name: str) -> None:
        """Forget a transport: its listeners are free, its connections end behind what is on the wire."""
        self._transports.pop(name, None)
        for endpoint in [at for at, owner in self._listeners.items() if owner == name]:
            del self._listeners[endpoint]
        for connection in list(self._connections.values()):
            for end in connection.ends:
                if end.name == name and connection.alive:
                    end.deaf = True
                    self._put(connection, end, "closed", "the peer is gone")

    # -- on the wire

    def _put(self, connection: _Connection, end: _End, what: str, content: object) -> None:
        size = len(content) if isinstance(content, bytes) else 0
        end.ordinal += 1
        key = Key(end.name, end.peer, connection.dial, end.ordinal, size)
        if what == "frame":
            fate = self.fate(key)
            if fate == RESET:
                self._break(connection, "connection reset")
                return
            if fate == LOSE:
                return
        end.queue.append((what, content, key))
        self._schedule(connection, end, key)

    def _schedule(self, connection: _Connection, end: _End, key: Key) -> None:
        due = self.now + self.latency(key)
        rank = self.rank(key)
        if due <= end.last:  # no overtaking on one connection, not even at one instant
            due, rank = end.last, max(rank, end.last_rank)
        end.last, end.last_rank = due, rank
        self._pushed += 1
        heappush(self._heap, (due, rank, self._pushed, connection, end))

    def _deliver(self, connection: _Connection, end: _End) -> None:
        """One delivery from `end` is due: the front of its queue, whichever frame the delivery was planned for."""
        if not connection.alive:
            return
        if end.stalled or self._is_cut(end.name, end.peer):
            end.stalled += 1
            return
        what, content, _ = end.queue.popleft()
        other = connection.ends[1] if end is connection.ends[0] else connection.ends[0]
        if what == "opened":
            self._open(connection, str(content))
            return
        if what == "closed":
            self._gone(connection)
        if not other.deaf:
            self._tell(other, what, content)
        elif what == "frame" and other.name in self._transports:
            self._transports[other.name].dropped += 1

    def _open(self, connection: _Connection, endpoint: str) -> None:
        dialler, answerer = connection.ends
        if self._listeners.get(endpoint) != answerer.name:
            self._gone(connection)
            if not dialler.deaf:
                self._tell(dialler, "closed", f"nobody listens at {endpoint}")
            return
        self._tell(answerer, "opened", connection.user_id)
        self._put(connection, answerer, "through", "")

    def _tell(self, end: _End, what: str, content: object) -> None:
        transport = self._transports.get(end.name)
        if transport is not None:
            transport.arrived(what, end.session, content)

    def _break(self, connection: _Connection, reason: str) -> None:
        self._gone(connection)
        for end in connection.ends:
            if not end.deaf:
                self._tell(end, "closed", reason)

    def _gone(self, connection: _Connection) -> None:
        connection.alive = False
        for end in connection.ends:
            end.queue.clear()
        self._connections.pop(connection.number, None)

    def _is_cut(self, source: str, target: str) -> bool:
        return any(_below(source, near) and _below(target, far) for near, far in self._cuts)


def _below(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + "/")
