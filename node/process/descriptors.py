"""Messages that carry open descriptors (SCM_RIGHTS) between a manager and its children; one message is one datagram.

Beside a core's pipe, which carries bytes only, lies a second socketpair for what must change hands as a descriptor: a
listening socket that outlives its core, a worker's end of a connection. The zygote is spoken to in the same way.
Neither end ever blocks: what the socket does not take waits, at most `WAITING_MAX` messages.
"""

from __future__ import annotations

import array
import os
import select
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgpack

from regrove.node.io.poller import Poller

MESSAGE_BYTES_MAX: Final = 64 * 1024
DESCRIPTORS_MAX: Final = 16  # in one message; the kernel allows 253
WAITING_MAX: Final = 256
_RIGHTS_BYTES: Final = socket.CMSG_SPACE(DESCRIPTORS_MAX * array.array("i").itemsize)

OnMessage = Callable[[Any, list[int]], None]


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends that keep the borders of messages and tell when the other is gone. Raises OSError."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(sock: socket.socket, message: object, descriptors: Sequence[int] = ()) -> None:
    """Send one message; the descriptors stay the caller's. Raises OSError (BlockingIOError when it would block)."""
    rights = array.array("i", descriptors)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
    sock.sendmsg([msgpack.packb(message, use_bin_type=True)], ancillary, socket.MSG_NOSIGNAL)


def receive(sock: socket.socket) -> tuple[Any, list[int]] | None:
    """Take one message and its descriptors, which are the caller's now; None when the other end is gone.

    Raises OSError, and ValueError for bytes that are no message.
    """
    data, ancillary, flags, _ = sock.recvmsg(MESSAGE_BYTES_MAX, _RIGHTS_BYTES, socket.MSG_CMSG_CLOEXEC)
    found = array.array("i")
    for level, kind, rights in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(rights[: len(rights) - len(rights) % found.itemsize])
    descriptors = list(found)
    if not data:
        close_all(descriptors)
        return None
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        close_all(descriptors)
        raise ValueError("a message was cut off")
    try:
        return msgpack.unpackb(data, raw=False), descriptors
    except ValueError:
        close_all(descriptors)
        raise


def close_all(descriptors: Sequence[int]) -> None:
    """Close descriptors that nobody wants."""
    for descriptor in descriptors:
        os.close(descriptor)


class Hands:
    """One end: `on_message(message, descriptors)` for each, `on_end()` once when the other end is gone.

    It is ended too when the other end talks nonsense. The descriptors of a message belong to `on_message`.
    """

    __slots__ = ("_ended", "_on_end", "_on_message", "_out", "_poller", "_socket")

    def __init__(
        self, connection: socket.socket, poller: Poller, on_message: OnMessage, on_end: Callable[[], None]
    ) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._poller = poller
        self._on_message = on_message
        self._on_end = on_end
        self._out: deque[tuple[object, list[int]]] = deque()
        self._ended = False
        poller.register(connection.fileno(), select.EPOLLIN, self._ready)

    @property
    def ended(self) -> bool:
        """Tell whether it is closed, from either side."""
        return self._ended

    def send(self, message: object, descriptors: Sequence[int] = ()) -> bool:
        """Send now or as soon as the socket takes it; False when it has ended or too much waits. They stay yours."""
        if self._ended or len(self._out) >= WAITING_MAX:
            return False
        if not self._out:
            try:
                send(self._socket, message, descriptors)
            except BlockingIOError:
                self._poller.modify(self._socket.fileno(), select.EPOLLIN | select.EPOLLOUT)
            except OSError:
                return False  # the read side tells of the end, behind what the other end had still written
            else:
                return True
        self._out.append((message, [os.dup(descriptor) for descriptor in descriptors]))
        return True

    def drain(self) -> None:
        """Take what has arrived."""
        while not self._ended and self._read():
            pass

    def close(self) -> None:
        """Close this end; nothing is called any more. Idempotent."""
        if self._ended:
            return
        self._ended = True
        self._poller.unregister(self._socket.fileno())
        self._socket.close()
        while self._out:
            close_all(self._out.popleft()[1])

    def _ready(self, events: int) -> None:
        if events & select.EPOLLOUT:
            self._write()
        if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) and not self._ended:
            self.drain()

    def _write(self) -> None:
        while self._out:
            message, descriptors = self._out[0]
            try:
                send(self._socket, message, descriptors)
            except BlockingIOError:
                return
            except OSError:
                pass
            self._out.popleft()
            close_all(descriptors)
        self._poller.modify(self._socket.fileno(), select.EPOLLIN)

    def _read(self) -> bool:
        """Take one message; False when there is none."""
        try:
            found = receive(self._socket)
        except BlockingIOError:
            return False
        except (OSError, ValueError):
            found = None
        if found is None:
            self.close()
            self._on_end()
            return False
        self._on_message(*found)
        return True
