"""The bench of the edge's contract: plays the core of any `IoPort` for a check or a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from regrove.node.core.effects import Accept, Close, Connect, IoWait, Listen, Open, Read, Write
from regrove.node.core.handles import Listener, Stream
from regrove.node.core.ports import IoCommand, IoPort, IoRelease, IoRequest

HOST: Final = "127.0.0.1"
STREAM: Final = Stream(0, "any")  # the request's `handle` says which one is meant; the wait's own is for isolates
LISTENER: Final = Listener(0, HOST, 0)


class Bench:
    """Plays the core of an edge: asks, cancels, and lets time pass until an answer is there.

    `advance()` lets the world go on, for real time or virtual time, until something may have ended; the bench gives up
    after `patience` of them without an answer it waits for. `flood` is a number of bytes that no buffers between two
    ends of a connection hold.
    """

    def __init__(self, port: IoPort, advance: Callable[[], None], patience: int = 400, flood: int = 16_000_000) -> None:
        self.port = port
        self.flood = flood
        self._advance = advance
        self._patience = patience
        self._tokens = 0
        self._ends: dict[int, object] = {}

    def request(self, wait: IoWait, handle: int = 0) -> IoRequest:
        """Make a request with a fresh token, without submitting it."""
        self._tokens += 1
        return IoRequest(self._tokens, wait, handle)

    def submit(self, *commands: IoCommand) -> None:
        """Submit commands of one pass."""
        self.port.submit(list(commands))

    def begin(self, wait: IoWait, handle: int = 0) -> int:
        """Submit one request and return its token."""
        request = self.request(wait, handle)
        self.submit(request)
        return request.token

    def has_ended(self, token: int) -> bool:
        """Tell whether an answer came in so far."""
        for done in self.port.collect():
            assert done.token not in self._ends, f"two ends of token {done.token}"
            self._ends[done.token] = done.result
        return token in self._ends

    def end(self, token: int) -> Any:
        """Wait for the end of a request."""
        for _ in range(self._patience):
            if self.has_ended(token):
                return self._ends[token]
            self._advance()
        raise AssertionError(f"no end of token {token}; ended: {self._ends}")

    def run(self, wait: IoWait, handle: int = 0) -> Any:
        """Submit one request and wait for its end."""
        return self.end(self.begin(wait, handle))

    def listen(self) -> tuple[int, int]:
        """A listener: its handle and port."""
        handle, _host, port = self.run(Listen(HOST, 0))
        return handle, port

    def pair(self) -> tuple[int, int]:
        """The two ends of a connection."""
        listener, port = self.listen()
        accept = self.begin(Accept(LISTENER), listener)
        near = self.run(Connect(HOST, port))
        far, _peer = self.end(accept)
        self.submit(IoRelease(listener))
        return near, far

    def read_all(self, handle: int, count: int, limit: int = 65536) -> bytes:
        """Read `count` bytes of a stream, at most `limit` at once."""
        data = bytearray()
        while len(data) < count:
            more = self.run(Read(STREAM, min(limit, count - len(data))), handle)
            assert more, f"the stream ended after {len(data)} of {count} bytes"
            data += more
        return bytes(data)

    def write_file(self, path: str, data: bytes) -> None:
        """Make a file of these bytes."""
        handle = self.run(Open(path, "w"))
        assert self.run(Write(STREAM, data), handle) is None
        assert self.run(Close(STREAM), handle) is None

    def file_content(self, path: str) -> bytes:
        """All bytes of a file."""
        handle = self.run(Open(path, "r"))
        data = b""
        while more := self.run(Read(STREAM), handle):
            data += more
        assert self.run(Close(STREAM), handle) is None
        return data
