"""Simulated tcp: two ends, a byte stream each way, bounded by a window, arriving in keyed pieces.

Bytes arrive in order. A piece that meets a cut waits and is tried again, as tcp does; nothing is lost while both ends
live. An end closed with bytes unread, or whose core died so, resets its peer (Linux), otherwise the peer reads the end.
A machine without power says nothing: its peers hear a reset once it is back, and connects to it wait until then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from regrove.node.simulation.clock import MICROSECOND, MILLISECOND, Clock
from regrove.node.simulation.seeds import Distribution, Draws, Lane, Ratio, holds, slice_of

WINDOW: Final = 256 * 1024  # bytes one end may have sent that the other has not read: two socket buffers
PIECE: Final = 16 * 1024  # bytes of one arrival at most
SPLIT: Final = Ratio(1, 4)  # how often a piece is cut once more, anywhere
SHORT_READ: Final = Ratio(1, 8)  # how often a read takes less than there is
RETRY: Final = 200 * MILLISECOND  # a piece held up by a cut is tried again: the least retransmission timeout of Linux
BACKLOG: Final = 1024

LATENCY: Final = Distribution(
    (14, 30 * MICROSECOND, 150 * MICROSECOND),
    (1, 150 * MICROSECOND, 2 * MILLISECOND),
    (1, 2 * MILLISECOND, 10 * MILLISECOND),
)

FIN: Final = b""


class Owner(Protocol):
    """Who holds an end and hears of what happens to it."""

    def stream_ready(self, end: End) -> None:
        """Bytes, the end or an error can be read."""

    def stream_drained(self, end: End) -> None:
        """All that was written is on its way."""


class End:
    """One end of a connection. `inbox` is what has arrived and was not read."""

    __slots__ = (
        "_clock", "_lane", "_latest", "_path_open", "_slow", "_slowed", "_wire",
        "closed", "dark", "error", "finished", "inbox", "name", "owner", "peer", "place", "unsent", "window",
    )  # fmt: skip

    def __init__(
        self, name: str, place: str, clock: Clock, draws: Draws, path_open: Callable[[str, str], bool]
    ) -> None:
        self.name = name
        self.place = place  # the node's name, empty for the world outside
        self.inbox = bytearray()
        self.unsent = bytearray()
        self.finished = False  # the peer's FIN has arrived
        self.closed = False
        self.dark = False  # its machine has lost its power: nobody answers for it
        self.error: str | None = None
        self.window = WINDOW
        self.owner: Owner | None = None
        self.peer: End = self
        self._clock = clock
        self._lane = draws.once("tcp", name)
        self._path_open = path_open
        self._slow: dict[str, int] = {}  # extra ns by node
        self._slowed: dict[str, int] = {}  # how many pieces met that
        self._wire: deque[bytes | None] = deque()  # None is a reset
        self._latest = 0

    def write(self, data: bytes) -> None:
        """Queue bytes; the owner hears `stream_drained` once the window has taken all of them."""
        self.unsent += data
        self._pump()

    def _pump(self) -> None:
        while self.unsent and self.window > 0:
            draw = self._lane.next()
            size = min(len(self.unsent), self.window, PIECE)
            if size > 1 and holds(draw, 0, SPLIT):
                size = 1 + (slice_of(draw, 1) * (size - 1) >> 20)
            self.window -= size
            piece = bytes(self.unsent[:size])
            del self.unsent[:size]
            self._send(piece, draw)
        if not self.unsent and self.owner is not None:
            self.owner.stream_drained(self)

    def _send(self, piece: bytes | None, draw: int) -> None:
        time = self._clock.now + LATENCY.pick(draw)
        if self._slow:
            for place in (self.place, self.peer.place):
                if place in self._slow:
                    time += self._slow[place]
                    self._slowed[place] = self._slowed.get(place, 0) + 1
        if time <= self._latest:
            time = self._latest + 1
        self._latest = time
        self._wire.append(piece)
        self._clock.at(time, draw, self._arrive)

    def _arrive(self, _: object) -> None:
        if not self._wire:
            return
        if not self._path_open(self.place, self.peer.place):
            self._clock.at(self._clock.now + RETRY, self._lane.next(), self._arrive)
            return
        piece = self._wire.popleft()
        peer = self.peer
        if piece is None:
            peer._fail("ECONNRESET")
        elif peer.closed:
            if piece and not peer.dark:
                peer._send(None, peer._lane.next())  # nobody is there to read it
        elif piece == FIN:
            peer.finished = True
            peer._tell()
        else:
            peer.inbox += piece
            peer._tell()

    def _tell(self) -> None:
        if self.owner is not None:
            self.owner.stream_ready(self)

    def _fail(self, error: str) -> None:
        if self.closed or self.error is not None:
            return
        self.error = error
        self.inbox.clear()
        self.unsent.clear()
        self._tell()

    def read(self, limit: int) -> bytes | None:
        """Take at most `limit` bytes, at times fewer than there are; empty at the end, None: nothing yet."""
        inbox = self.inbox
        if not inbox:
            return b"" if self.finished else None
        size = min(limit, len(inbox))
        if size > 1:
            draw = self._lane.next()
            if holds(draw, 0, SHORT_READ):
                size = 1 + (slice_of(draw, 1) * (size - 1) >> 20)
        data = bytes(inbox[:size])
        del inbox[:size]
        peer = self.peer
        peer.window += size
        if peer.unsent:
            peer._pump()
        return data

    def close(self) -> None:
        """Close this end: a FIN behind what was taken, or a reset when bytes are left unread or unsent."""
        if self.closed:
            return
        self.closed = True
        self.owner = None
        if self.error is not None:
            return
        broken = bool(self.inbox or self.unsent)
        self.inbox.clear()
        self.unsent.clear()
        self._send(None if broken else FIN, self._lane.next())

    def reset(self) -> None:
        """Close this end with a reset, whatever is left."""
        if not self.closed:
            self.closed = True
            self.owner = None
            self._send(None, self._lane.next())

    def vanish(self) -> None:
        """The machine at this end has lost its power: what it had sent arrives, and then nothing."""
        self.closed = self.dark = True
        self.owner = None
        self.inbox.clear()
        self.unsent.clear()

    def __repr__(self) -> str:
        state = "closed" if self.closed else self.error or ("finished" if self.finished else "open")
        return f"<{self.name}: {state}, {len(self.inbox)} to read, {len(self.unsent)} to send>"


class Backlog(Protocol):
    """A listener's side of a connect."""

    def offer(self, end: End, peer: str) -> bool:
        """Take a connection into the backlog; False when it is full."""


class Tcp:
    """All tcp of one world: who listens where, and connecting to them."""

    def __init__(self, clock: Clock, draws: Draws, path_open: Callable[[str, str], bool]) -> None:
        self._clock = clock
        self._draws = draws
        self._path_open = path_open
        self._ports: dict[tuple[str, int], list[tuple[Backlog, bool]]] = {}
        self._free = 49152
        self._ends: list[End] = []
        self._looked = 64  # open ends are sorted out when there are so many
        self.refused = 0
        self._dark: dict[str, list[End]] = {}  # by machine without power, the ends that went with it
        self.known: dict[int, None] = {}  # ports that anybody has ever listened on
        self.refusing: dict[str, int] = {}  # nodes that refuse connects
        self.slow: dict[str, int] = {}  # extra ns to and from a node
        self.slowed: dict[str, int] = {}  # pieces that met that, by node
        self.turned_away: dict[str, int] = {}  # connects that met a node that refuses them

    def bind(self, place: str, port: int, listener: Backlog, shared: bool) -> int | None:
        """Listen; return the port, or None when it is in use. Several share a port only if all of them ask to."""
        if port == 0:
            while (place, self._free) in self._ports:
                self._free += 1
            port = self._free
            self._free += 1
        taken = self._ports.setdefault((place, port), [])
        if taken and not (shared and all(other for _, other in taken)):
            return None
        taken.append((listener, shared))
        self.known[port] = None
        return port

    def unbind(self, place: str, port: int, listener: Backlog) -> None:
        """Stop listening."""
        taken = self._ports.get((place, port), [])
        taken[:] = [entry for entry in taken if entry[0] is not listener]
        if not taken:
            self._ports.pop((place, port), None)

    def listening(self) -> list[int]:
        """Return the ports of all nodes on which somebody listens."""
        return sorted(dict.fromkeys(port for _, port in self._ports))

    def listeners(self, place: str, port: int) -> list[Backlog]:
        """Return who listens on that port of that node, in order of binding."""
        return [listener for listener, _ in self._ports.get((place, port), ())]

    def connect(
        self,
        source: tuple[str, str],
        target: tuple[str, int],
        done: Callable[[End | None, str], None],
        choose: Callable[[Backlog], bool] | None = None,
    ) -> None:
        """Open a connection from (node, who) to (node, port); `done(end, "")` or `done(None, errno name)` follows.

        Among several listeners one is drawn, as SO_REUSEPORT does, from those that `choose` lets through.
        """
        place, who = source
        node, port = target
        lane = self._draws.lane("tcp.connect", f"{place}/{who}", f"{node}:{port}")
        draw = lane.next()
        name = f"{place}/{who}>{node}:{port}#{lane.ordinal}"
        call = (name, self._draws.once("tcp.reach", name), source, target, done, choose)
        self._clock.at(self._clock.now + LATENCY.pick(draw), draw, self._reach, call)

    def _reach(
        self,
        call: tuple[
            str,
            Lane,
            tuple[str, str],
            tuple[str, int],
            Callable[[End | None, str], None],
            Callable[[Backlog], bool] | None,
        ],
    ) -> None:
        name, lane, source, target, done, choose = call
        draw = lane.next()
        if source[0] in self._dark:
            return
        if target[0] in self._dark or not (
            self._path_open(source[0], target[0]) and self._path_open(target[0], source[0])
        ):
            self._clock.at(self._clock.now + RETRY, draw, self._reach, call)
            return
        able = [listener for listener in self.listeners(*target) if choose is None or choose(listener)]
        if target[0] in self.refusing:
            able = []
            self.turned_away[target[0]] = self.turned_away.get(target[0], 0) + 1
        back = self._clock.now + LATENCY.pick(draw)
        ends = self._pair(name, source[0], target[0])
        if able and able[draw % len(able)].offer(ends[1], f"{source[0] or 'outside'}:{name.rsplit('#', 1)[1]}"):
            self._clock.at(back, draw, lambda _: done(ends[0], ""))
        else:
            self.refused += 1
            ends[0].closed = ends[1].closed = True  # there is no connection, to reset or to keep
            self._clock.at(back, draw, lambda _: done(None, "ECONNREFUSED"))

    def _pair(self, name: str, source: str, target: str) -> tuple[End, End]:
        near = End(f"{name}+", source, self._clock, self._draws, self._path_open)
        far = End(f"{name}-", target, self._clock, self._draws, self._path_open)
        near.peer, far.peer = far, near
        near._slow = far._slow = self.slow
        near._slowed = far._slowed = self.slowed
        self._ends += (near, far)
        if len(self._ends) > self._looked:
            self._ends = [end for end in self._ends if not end.closed and end.error is None]
            self._looked = 2 * len(self._ends) + 64
        return near, far

    def lose_power(self, place: str) -> None:
        """A machine goes dark: its ends are gone, and nobody tells their peers."""
        gone = [end for end in self._ends if end.place == place and not end.closed and end.error is None]
        self._dark[place] = gone
        for end in gone:
            end.vanish()

    def power_back(self, place: str) -> None:
        """The machine is up again: it resets what it knows nothing of."""
        for end in self._dark.pop(place, ()):
            end.dark = False
            end._send(None, end._lane.next())

    def reset_all(self, place: str) -> int:
        """Reset the open connections of a node; return how many ends that were."""
        ends = [end for end in self._ends if end.place == place and not end.closed and end.error is None]
        for end in ends:
            end._send(None, end._lane.next())
            end._fail("ECONNRESET")
        return len(ends)
