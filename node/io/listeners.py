"""Listening sockets: one Accept takes one connection; the others wait in the kernel's backlog."""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Callable
from select import EPOLLET, EPOLLIN
from typing import Any, Final

from regrove.node.core.reasons import Busy, OsError
from regrove.node.io.board import CLOSED, Board, os_error
from regrove.node.io.poller import Poller
from regrove.node.io.sharing import stranger_on
from regrove.node.io.streams import SocketAddress, prepare_stream

LISTENER_EVENTS: Final = EPOLLIN | EPOLLET
RETRY_NS: Final = 100_000_000  # out of descriptors or kernel memory, or shut: nothing announces that it is over
# EINVAL: the manager has shut the socket down while this core was stalled, and lets it listen again.
EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EINVAL})
# Errors of the connection that accept(2) would have returned: that one is gone, the next may be fine.
PASSING: Final = frozenset(
    {
        errno.ECONNABORTED,
        errno.EPROTO,
        errno.ENOPROTOOPT,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EOPNOTSUPP,
        errno.ENONET,
    }
)


class TcpListener:
    """A listening socket. `waiting` are the tokens of Accepts, served in order, at most `limit` of them."""

    __slots__ = (
        "_admit",
        "_has_room",
        "_limit",
        "_retrying",
        "_tell",
        "board",
        "handle",
        "paused",
        "poller",
        "ready",
        "sock",
        "waiting",
    )

    def __init__(
        self,
        handle: int,
        sock: socket.socket,
        board: Board,
        poller: Poller,
        limit: int,
        has_room: Callable[[], bool],
        admit: Callable[[socket.socket], int],
        tell: Callable[[str, OsError | None], None],
    ) -> None:
        self.handle = handle
        self.sock = sock
        self.board = board
        self.poller = poller
        self.waiting: deque[int] = deque()
        self.ready = True
        self.paused = 0  # how often a bound (ours or the kernel's) made it wait
        self._limit = limit
        self._has_room = has_room
        self._admit = admit
        self._retrying = False
        self._tell = tell  # why connections wait at this port, as often as it is met; None: the bound on streams
        poller.register(sock.fileno(), LISTENER_EVENTS, self._on_ready)

    def accept(self, token: int) -> None:
        """Begin an Accept; ends now when a connection waits in the backlog and a stream may be opened."""
        if len(self.waiting) >= self._limit:
            self.board.answer(token, Busy())
            return
        self.waiting.append(token)
        self.board.pending[token] = self
        self.serve()

    def serve(self) -> None:
        """Take connections as long as somebody waits for one and there is room for a stream."""
        while self.waiting and self.ready:
            if not self._has_room():
                self.paused += 1
                self._tell(self._where(), None)
                return
            try:
                sock, address = self.sock.accept()
            except BlockingIOError:
                self.ready = False
            except OSError as error:
                self._refused(error)
            else:
                self._accepted(sock, address)

    def close(self, token: int | None) -> None:
        """Close the socket; connections in its backlog are reset by the kernel."""
        while self.waiting:
            pending = self.waiting.popleft()
            if token is None:
                self.board.drop(pending)
            else:
                self.board.end(pending, CLOSED)
        self.poller.unregister(self.sock.fileno())
        self.sock.close()
        self.ready = False
        if token is not None:
            self.board.answer(token, None)

    def cancel(self, token: int) -> None:
        """Take the Accept out of the line."""
        self.waiting.remove(token)

    def _accepted(self, sock: socket.socket, address: Any) -> None:
        token = self.waiting.popleft()
        try:
            prepare_stream(sock)
        except OSError:  # reset before it was ours
            sock.close()
            self.waiting.appendleft(token)
            return
        handle = self._admit(sock)
        self.board.opened[token] = handle
        self.board.end(token, (handle, endpoint_text(address)))

    def _refused(self, error: OSError) -> None:
        if error.errno in PASSING:
            return
        if error.errno in EXHAUSTED:
            self.paused += 1
            self.ready = False
            if error.errno != errno.EINVAL:
                self._tell(self._where(), os_error(error, "accept"))
            if not self._retrying:
                self._retrying = True
                self.poller.alarm(RETRY_NS, self._retry)
            return
        self.board.end(self.waiting.popleft(), os_error(error, "accept"))

    def _where(self) -> str:
        return endpoint_text(self.sock.getsockname())

    def _retry(self) -> None:
        self._retrying = False
        self._on_ready(0)  # of a closed one nobody waits any more

    def _on_ready(self, events: int) -> None:
        self.ready = True
        self.serve()

    def __repr__(self) -> str:
        return f"<tcp listener {self.handle} waiting={len(self.waiting)} paused={self.paused}>"


def open_listener(where: str, address: SocketAddress, shared: bool, backlog: int) -> socket.socket | OsError:
    """Bind and listen, non-blocking; `shared` sets SO_REUSEPORT so that every core of this node may listen there."""
    family, name = address
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        return os_error(error, f"listen on {where}")
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(name)
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        return os_error(error, f"listen on {where}")
    stranger = stranger_on(sock) if shared and name[1] else None
    if stranger is not None:
        sock.close()
        return OsError("EADDRINUSE", f"listen on {where}: {stranger} listens there and is no core of this node")
    return sock


def endpoint_text(address: Any) -> str:
    """`host:port`, and `[host]:port` for IPv6."""
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
