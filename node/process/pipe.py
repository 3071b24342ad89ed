"""A framed connection that never blocks: what its socket does not take yet waits in memory until epoll says it may.

Two kinds of frames: those that must arrive (control; bounded by what the two ends owe each other) and those that may be
dropped (log lines): the latter are refused while more than `spare_bytes` wait, and the caller counts them.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from regrove.node.io.poller import Poller
from regrove.node.process.framing import FrameReader, FramingError, pack

READ_BYTES: Final = 256 * 1024
SPARE_BYTES: Final = 1024 * 1024  # a thousand long log lines


class Pipe:
    """`on_frame(value)` for each whole frame, `on_end(why)` once when the other end is gone or talks nonsense."""

    __slots__ = ("_ended", "_on_end", "_on_frame", "_out", "_out_bytes", "_poller", "_reader", "_socket", "_writing")

    def __init__(
        self,
        connection: socket.socket,
        poller: Poller,
        on_frame: Callable[[Any], None],
        on_end: Callable[[str], None],
    ) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._poller = poller
        self._on_frame = on_frame
        self._on_end = on_end
        self._reader = FrameReader()
        self._out: deque[memoryview] = deque()
        self._out_bytes = 0
        self._writing = False
        self._ended = False
        poller.register(connection.fileno(), select.EPOLLIN, self._ready)

    @property
    def waiting_bytes(self) -> int:
        """Bytes the socket has not taken yet."""
        return self._out_bytes

    @property
    def ended(self) -> bool:
        """Tell whether it is closed, from either side."""
        return self._ended

    def send(self, value: object) -> None:
        """Send one frame, now or as soon as the socket takes it; to a connection that has ended: nothing."""
        if not self._ended:
            self._push(pack(value))

    def send_spare(self, value: object, spare_bytes: int = SPARE_BYTES) -> bool:
        """Send one frame unless too much waits already; False when it was not taken."""
        if self._ended or self._out_bytes > spare_bytes:
            return False
        self._push(pack(value))
        return True

    def close(self) -> None:
        """Close this end; nothing is called any more. Idempotent."""
        if self._ended:
            return
        self._ended = True
        self._poller.unregister(self._socket.fileno())
        self._socket.close()
        self._out.clear()
        self._out_bytes = 0

    def drain(self) -> None:
        """Take what has arrived, to the end if the other end is gone."""
        while not self._ended and self._read():
            pass

    def flush(self, limit: float) -> None:
        """Block until all is written, at most `limit` seconds: for the last words of a process."""
        if self._ended:
            return
        self._socket.settimeout(limit)
        try:
            while self._out:
                self._socket.sendall(self._out.popleft())
        except OSError:
            self._out.clear()
        self._out_bytes = 0

    def _push(self, data: bytes) -> None:
        self._out.append(memoryview(data))
        self._out_bytes += len(data)
        if not self._writing:
            self._write()

    def _write(self) -> None:
        out = self._out
        try:
            while out:
                sent = self._socket.send(out[0])
                self._out_bytes -= sent
                if sent == len(out[0]):
                    out.popleft()
                else:
                    out[0] = out[0][sent:]
        except BlockingIOError:
            pass
        except OSError as problem:
            # The read side reports it: what the other end wrote before it went is still to be read.
            out.clear()
            self._out_bytes = 0
            if not isinstance(problem, BrokenPipeError | ConnectionResetError):
                self._end(str(problem))
                return
        self._watch(bool(out))

    def _watch(self, writing: bool) -> None:
        if writing != self._writing:
            self._writing = writing
            events = select.EPOLLIN | select.EPOLLOUT if writing else select.EPOLLIN
            self._poller.modify(self._socket.fileno(), events)

    def _ready(self, events: int) -> None:
        if events & select.EPOLLOUT:
            self._write()
        if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) and not self._ended:
            self._read()

    def _read(self) -> bool:
        """Take what is there; False when there is nothing more for now."""
        try:
            data = self._socket.recv(READ_BYTES)
            frames = self._reader.feed(data)
        except BlockingIOError:
            return False
        except (OSError, FramingError) as problem:
            self._end(str(problem))
            return False
        for frame in frames:
            self._on_frame(frame)
            if self._ended:
                return False
        if not data:
            self._end("the other end closed")
        return bool(data)

    def _end(self, why: str) -> None:
        if not self._ended:
            self.close()
            self._on_end(why)
