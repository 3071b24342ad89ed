"""What a simulated core holds open: files, connections, listening sockets, and its pools of workers."""

from __future__ import annotations

from collections import deque
from typing import Protocol, TypeAlias

from regrove.node.core.reasons import Busy, NotOwner, OsError
from regrove.node.simulation.disk import File
from regrove.node.simulation.hiding import ours
from regrove.node.simulation.streams import End, Tcp

__tracebackhide__ = ours  # of pytest


class Edge(Protocol):
    """The edge that holds a handle."""

    @property
    def node(self) -> str:
        """The node's name."""

    @property
    def core(self) -> int:
        """The core's index on its node."""

    @property
    def tcp(self) -> Tcp:
        """All tcp of the world."""

    def has_room(self) -> bool:
        """Whether one more stream may be opened."""

    def end(self, token: int, result: object) -> None:
        """Report the end of a request."""

    def keep(self, handle: Handle) -> int:
        """Give a handle its number."""


class OpenFile:
    """An open file of one isolate: its position, what is under way on it, and until when."""

    __slots__ = ("busy", "busy_until", "file", "mode", "position", "sync_failed")

    def __init__(self, file: File, mode: str) -> None:
        self.file = file
        self.mode = mode
        self.position = 0
        self.busy: dict[str, int] = {}  # the token of each kind of operation under way
        self.busy_until = 0
        self.sync_failed = False  # the kernel has forgotten what it could not write: every later Sync fails too

    def tokens(self) -> list[int]:
        """Who waits for it; the first one is under way."""
        return list(self.busy.values())

    def offset(self) -> int:
        """Where the next write goes."""
        return len(self.file.content) if self.mode == "a" else self.position


class TcpStream:
    """An open connection of one isolate: its end, and who waits to read and to have written."""

    __slots__ = ("closing", "edge", "end", "limit", "reader", "writer")

    def __init__(self, edge: Edge, end: End) -> None:
        self.edge = edge
        self.end = end
        self.reader = 0
        self.limit = 0
        self.writer = 0
        end.owner = self

    def tokens(self) -> list[int]:
        """Who waits for it."""
        return [token for token in (self.reader, self.writer) if token]

    def stream_ready(self, end: End) -> None:
        """Serve the waiting read, or fail what waits."""
        if end.error is not None:
            failure = OsError(end.error, end.name)
            reader, writer = self.reader, self.writer
            self.reader = self.writer = 0
            if reader:
                self.edge.end(reader, failure)
            if writer:
                self.edge.end(writer, failure)
        elif self.reader:
            data = end.read(self.limit)
            if data is not None:
                reader, self.reader = self.reader, 0
                self.edge.end(reader, data)

    def stream_drained(self, _: End) -> None:
        """The kernel has all of it."""
        if self.writer:
            writer, self.writer = self.writer, 0
            self.edge.end(writer, None)


class SimulatedListener:
    """A listening socket of one core: connections that wait, isolates that accept."""

    __slots__ = ("accepts", "backlog", "edge", "host", "limit", "port", "waiting")

    def __init__(self, edge: Edge, host: str, limit: int) -> None:
        self.edge = edge
        self.host = host
        self.port = 0
        self.limit = limit
        self.accepts: deque[int] = deque()
        self.waiting: deque[tuple[End, str]] = deque()

    def tokens(self) -> list[int]:
        """Who waits for it."""
        return list(self.accepts)

    def offer(self, end: End, peer: str) -> bool:
        """Take a connection; False when the backlog is full."""
        if len(self.waiting) >= self.limit:
            return False
        self.waiting.append((end, peer))
        self.serve()
        return True

    def accept(self, token: int) -> None:
        """Begin an Accept."""
        if len(self.accepts) >= self.limit:
            self.edge.end(token, Busy())
            return
        self.accepts.append(token)
        self.serve()

    def serve(self) -> None:
        """Give waiting connections to waiting accepts, as long as a stream may be opened."""
        while self.accepts and self.waiting and self.edge.has_room():
            end, peer = self.waiting.popleft()
            handle = self.edge.keep(TcpStream(self.edge, end))
            self.edge.end(self.accepts.popleft(), (handle, peer))

    def close(self) -> None:
        """Stop listening; what waits to be accepted is reset."""
        self.edge.tcp.unbind(self.edge.node, self.port, self)
        for token in self.accepts:
            self.edge.end(token, NotOwner())
        for end, _ in self.waiting:
            end.reset()
        self.accepts.clear()
        self.waiting.clear()


Handle: TypeAlias = OpenFile | TcpStream | SimulatedListener
