"""A tcp connection: Read, Write and Close of one stream, and the outgoing `Connecting`.

Sockets are registered once, edge-triggered, and the two flags `readable` and `writable` remember the last word of the
kernel. So a request and its answer cost one recv, one send and their share of an epoll_wait, and nothing else.

  Read   takes what is there at once, else waits for the edge. Nothing is read ahead: bytes nobody asked for stay in the
         kernel, whose full buffer is what stops the sender.
  Write  hands over what fits at once, else goes on at each edge until the kernel has all of it.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from collections.abc import Callable
from select import EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP
from typing import Any, Final, TypeAlias

from regrove.node.core.ports import IoDone
from regrove.node.core.reasons import Busy, OsError
from regrove.node.io.board import CLOSED, NO_TOKEN, Board, os_error
from regrove.node.io.poller import Poller

# (family, socket address), as getaddrinfo gives them
SocketAddress: TypeAlias = tuple[int, Any]

STREAM_EVENTS: Final = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET
READ_EDGES: Final = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR
WRITE_EDGES: Final = EPOLLOUT | EPOLLHUP | EPOLLERR
END_EDGES: Final = EPOLLRDHUP | EPOLLHUP | EPOLLERR
READ_BYTES: Final = 1024 * 1024  # one recv allocates what it may take, so a huge limit must not be passed on
SENDS_PER_TURN: Final = 8  # a reader as fast as we write must not keep the core in one send loop


class TcpStream:
    """One connection. `reading` and `writing` are the tokens under way, None when there is none."""

    __slots__ = (
        "_recv",
        "_send",
        "board",
        "ended",
        "fd",
        "handle",
        "last_read",
        "limit",
        "poller",
        "readable",
        "reading",
        "rest",
        "returned",
        "sock",
        "writable",
        "writing",
    )

    def __init__(self, handle: int, sock: socket.socket, board: Board, poller: Poller) -> None:
        self.handle = handle
        self.sock = sock
        self.fd = sock.fileno()
        self.board = board
        self.poller = poller
        self.reading: int | None = None
        self.limit = 0
        self.last_read = NO_TOKEN
        self.writing: int | None = None
        self.rest = memoryview(b"")
        self.readable = True
        self.writable = True
        self.ended = False  # the peer has shut down or reset: no further edge will announce it
        self.returned = b""  # of a Read that was cancelled between its end and its collection
        self._recv = sock.recv
        self._send = sock.send

    def read(self, token: int, limit: int) -> None:
        """Begin a Read; ends now when the kernel has bytes, the end, or an error."""
        if limit > READ_BYTES:
            limit = READ_BYTES
        if self.reading is not None:
            self.board.answer(token, Busy())
            return
        if self.returned:
            data, self.returned = self.returned[:limit], self.returned[limit:]
            self.last_read = token
            self.board.answer(token, data)
            return
        if self.readable:
            result = self._take(limit)
            if result is not None:
                self.last_read = token
                self.board.done.append(IoDone(token, result))
                return
        self.reading = token
        self.limit = limit
        self.board.pending[token] = self

    def write(self, token: int, data: bytes) -> None:
        """Begin a Write; ends now when the kernel takes all of it."""
        if self.writing is not None:
            self.board.answer(token, Busy())
            return
        sent = 0
        if self.writable and data:
            try:
                sent = self._send(data)
            except BlockingIOError:
                self.writable = False
            except OSError as error:
                self.board.answer(token, os_error(error, "write"))
                return
        if sent == len(data):
            self.board.done.append(IoDone(token, None))
            return
        self.writing = token
        self.rest = memoryview(data)[sent:]
        self.board.pending[token] = self
        if self.writable:
            self._go_on_writing()

    def sync(self, token: int) -> None:
        """Refuse: a connection has no disk."""
        self.board.answer(token, OsError("EINVAL", "Sync takes a file stream, this one is tcp"))

    def truncate(self, token: int, length: int) -> None:
        """Refuse: a connection has no length."""
        self.board.answer(token, OsError("EINVAL", f"Truncate to {length} takes a file stream, this one is tcp"))

    def close(self, token: int | None) -> None:
        """Close the socket. The kernel still delivers what Write gave it; pending requests fail when asked by Close."""
        for pending in (self.reading, self.writing):
            if pending is None:
                continue
            if token is None:
                self.board.drop(pending)
            else:
                self.board.end(pending, CLOSED)
        self.reading = self.writing = None
        self.rest = memoryview(b"")
        self.poller.unregister(self.fd)
        self.sock.close()
        if token is not None:
            self.board.answer(token, None)

    def cancel(self, token: int) -> None:
        """Stop a Read before it took a byte, or a Write after what has gone."""
        if token == self.reading:
            self.reading = None
        elif token == self.writing:
            self.writing = None
            self.rest = memoryview(b"")

    def take_back(self, data: bytes) -> None:
        """Keep bytes that a cancelled Read had taken, for the next one."""
        self.returned = data + self.returned
        self.last_read = NO_TOKEN

    def on_ready(self, events: int) -> None:
        """Go on with what waits for one of `events`."""
        if events & END_EDGES:
            self.ended = True
        if events & READ_EDGES:
            self.readable = True
            token = self.reading
            if token is not None and (result := self._take(self.limit)) is not None:
                self.reading = None
                self.last_read = token
                self.board.end(token, result)
        if events & WRITE_EDGES:
            self.writable = True
            if self.writing is not None:
                self._go_on_writing()

    def _take(self, limit: int) -> bytes | OsError | None:
        try:
            data = self._recv(limit)
        except BlockingIOError:
            self.readable = False
            return None
        except OSError as error:
            return os_error(error, "read")
        # Fewer than asked for: the kernel is empty and announces the next byte, unless the end was announced already.
        if len(data) < limit and not self.ended:
            self.readable = not data
        return data

    def _go_on_writing(self) -> None:
        token = self.writing
        assert token is not None
        for _ in range(SENDS_PER_TURN):
            try:
                self.rest = self.rest[self._send(self.rest) :]
            except BlockingIOError:
                self.writable = False
                return
            except OSError as error:
                self._end_writing(token, os_error(error, "write"))
                return
            if not self.rest:
                self._end_writing(token, None)
                return
        self.poller.modify(self.fd, STREAM_EVENTS)  # reported again in the next wait, behind everybody else

    def _end_writing(self, token: int, result: object) -> None:
        self.writing = None
        self.rest = memoryview(b"")
        self.board.end(token, result)

    def __repr__(self) -> str:
        return f"<tcp stream {self.handle} fd={self.fd} reading={self.reading} writing={self.writing}>"


def prepare_stream(sock: socket.socket) -> None:
    """Make a connected socket fit for a core: non-blocking, small writes leave at once."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Connecting:
    """One Connect under way: tries `addresses` in order until one answers.

    Then `connected(sock)` gets the socket, registered nowhere; `failed(reason)` is called when the last one has
    refused, with the last one's reason. Exactly one of them is called, once, unless it was cancelled.
    """

    __slots__ = ("_addresses", "_connected", "_failed", "_poller", "_sock", "_where")

    def __init__(
        self,
        where: str,
        addresses: list[SocketAddress],
        poller: Poller,
        connected: Callable[[socket.socket], None],
        failed: Callable[[OsError], None],
    ) -> None:
        self._where = where
        self._addresses = deque(addresses)
        self._poller = poller
        self._connected = connected
        self._failed = failed
        self._sock: socket.socket | None = None

    def begin(self) -> None:
        """Try the next address, and the ones behind it as long as they fail at once."""
        code = errno.EADDRNOTAVAIL
        while self._addresses:
            family, address = self._addresses.popleft()
            try:
                sock = socket.socket(family, socket.SOCK_STREAM)
            except OSError as error:
                code = error.errno or errno.EIO
                continue
            code = _start_connecting(sock, address)
            if code == errno.EINPROGRESS:
                self._sock = sock
                self._poller.register(sock.fileno(), EPOLLOUT, self._on_ready)
                return
            code = self._judge(sock, code)
            if code == 0:
                return
        self._failed(os_error(OSError(code, os.strerror(code)), f"connect to {self._where}"))

    def cancel(self) -> None:
        """Give up."""
        sock, self._sock = self._sock, None
        if sock is not None:
            self._poller.unregister(sock.fileno())
            sock.close()

    def _on_ready(self, events: int) -> None:
        sock = self._sock
        if sock is None:
            return
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0 and not _has_peer(sock):
            return
        self._sock = None
        self._poller.unregister(sock.fileno())
        code = self._judge(sock, code)
        if code != 0 and self._addresses:
            self.begin()
        elif code != 0:
            self._failed(os_error(OSError(code, os.strerror(code)), f"connect to {self._where}"))

    def _judge(self, sock: socket.socket, code: int) -> int:
        """Hand the socket on when it is connected (0), else close it and say why."""
        # Two ends of one socket: the kernel picked the very port we asked for, where nobody listens.
        if code == 0 and _is_joined_to_itself(sock):
            code = errno.ECONNREFUSED
        if code == 0:
            self._connected(sock)
        else:
            sock.close()
        return code


def _start_connecting(sock: socket.socket, address: Any) -> int:
    try:
        prepare_stream(sock)
        return sock.connect_ex(address)
    except OSError as error:
        return error.errno or errno.EIO


def _has_peer(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError as error:
        return error.errno != errno.ENOTCONN
    return True


def _is_joined_to_itself(sock: socket.socket) -> bool:
    try:
        return bool(sock.getsockname() == sock.getpeername())
    except OSError:  # reset already: the first Read says so
        return False
