"""The sockets of the ZeroMQ transport: a DEALER, a ROUTER, their monitors, and the one that answers for the keys."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import zmq
from zmq import zmq_poll

from regrove.transport.events import ABSENT
from regrove.transport.keys import Curve, zap_answer
from regrove.transport.wire import piece_bytes

if TYPE_CHECKING:
    from regrove.transport.zeromq import ZeromqTransport

POLL_CAP: Final = 256  # frames taken from one socket before the others have their turn
POLL_BYTES: Final = 256 * 1024  # of pieces: other mail is bounded by credit, and refused where a mailbox is full
GARBAGE: Final = b""  # stands for a multipart message: no frame of ours

# What is known of a socket after a drain.
DRY: Final = 0  # nothing waits
ASK: Final = 1  # its EVENTS must be read before a sleep
MORE: Final = 2  # something waits

_POLLIN: Final = int(zmq.POLLIN)
_NOBLOCK: Final = int(zmq.NOBLOCK)
_SNDMORE: Final = int(zmq.SNDMORE)
_RCVMORE: Final = int(zmq.RCVMORE)

_ENDED: Final = {
    int(zmq.EVENT_CLOSED): ABSENT,
    int(zmq.EVENT_DISCONNECTED): "the connection is gone",
    int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL): "closed during the handshake: that end may need keys, or other ones",
    int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL): "that end speaks another protocol, or needs keys, or other ones",
    int(zmq.EVENT_HANDSHAKE_FAILED_AUTH): "the other end does not know our key: give both ends one key file (--keys)",
}


class Socket:
    """A ZeroMQ socket in the epoll set; `drain` hands over what waits, and says what is known of it then.

    A drain is `sure` when a message is known to wait. Where one message at a time is what comes, whether another one
    waits is not asked behind each, but once before the sleep, with all other sockets.
    """

    def __init__(self, owner: ZeromqTransport, socket: zmq.Socket[bytes]) -> None:
        self.owner = owner
        self.socket = socket
        self.fd = int(socket.getsockopt(zmq.FD))
        self.asked = [(socket, _POLLIN)]
        self.busy = False  # more than one message came lately
        owner.watch(self)

    def drain(self, sure: bool) -> int:
        """Hand over what waits; answers DRY, ASK or MORE."""
        raise NotImplementedError

    def readable(self) -> bool:
        """Whether a message waits."""
        return bool(zmq_poll(self.asked, 0))  # reads EVENTS in two thirds of the time of getsockopt

    def owes(self) -> bool:
        """Whether `drain` has something to hand over that is no message of the socket."""
        return False

    def close(self, linger_ms: int = 0) -> None:
        """Leave the epoll set and close."""
        self.owner.unwatch(self)
        self.socket.close(linger=linger_ms)

    def part(self) -> bytes:
        """The next message when it has one part; a longer one is read to its end and given as GARBAGE."""
        socket = self.socket
        frame: zmq.Frame = socket.recv(_NOBLOCK, copy=False)
        if not frame.more:  # half the time of asking the socket
            return frame.bytes
        while socket.getsockopt(_RCVMORE):
            socket.recv(_NOBLOCK)
        return GARBAGE


class Monitor(Socket):
    """The monitor of a DEALER or ROUTER: calls `heard(event, value)`."""

    def __init__(self, owner: ZeromqTransport, watched: zmq.Socket[bytes], heard: Callable[[int, int], None]) -> None:
        pair = watched.get_monitor_socket()
        pair.rcvhwm = 0
        self.heard = heard
        super().__init__(owner, pair)

    def drain(self, sure: bool) -> int:
        """Hand over what waits; answers DRY, ASK or MORE."""
        for _ in range(POLL_CAP):
            if self.socket.closed or not self.readable():
                return DRY
            event = self.socket.recv_multipart(_NOBLOCK)
            self.heard(int.from_bytes(event[0][:2], "little"), int.from_bytes(event[0][2:6], "little"))
        return MORE


class Dealer(Socket):
    """A session we dialled."""

    def __init__(self, owner: ZeromqTransport, socket: zmq.Socket[bytes], session: int, endpoint: str) -> None:
        super().__init__(owner, socket)
        self.session = session
        self.endpoint = endpoint
        self.through = False
        self.over = ""  # why it ended; told once what had arrived was handed over
        self.monitor = Monitor(owner, socket, self.heard)

    def heard(self, event: int, _value: int) -> None:
        """An event of the monitor."""
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.through = True
            self.owner.handler.on_session(self.session, False, "")
        elif event in _ENDED and not self.over:
            self.over = f"{self.endpoint}: {_ENDED[event]}"
            self.owner.touch(self)

    def owes(self) -> bool:
        """Whether an end is to be told."""
        return bool(self.over)

    def drain(self, sure: bool) -> int:
        """Hand over what waits; answers DRY, ASK or MORE."""
        frames: list[bytes] = []
        left, size = MORE, 0
        while len(frames) < POLL_CAP and size < POLL_BYTES:
            if not sure:
                if len(frames) == 1 and not self.busy and not self.over:
                    left = ASK
                    break
                if not self.readable():
                    self.busy = len(frames) > 1
                    left = DRY
                    break
            sure = False
            try:
                frames.append(self.part())
            except zmq.Again:  # what woke us was no message
                continue
            size += piece_bytes(frames[-1])
        if frames:
            self.owner.handler.on_frames(self.session, frames)
        if left == DRY and self.over and self.owner.gone(self.session):
            self.end()
            self.owner.handler.on_closed(self.session, self.over)
        return DRY if self.socket.closed else left

    def send(self, frame: bytes) -> bool:
        """Hand a frame to libzmq; False when it takes none."""
        try:
            self.socket.send(frame, _NOBLOCK)
        except zmq.Again:
            return False
        return True

    def end(self, linger_ms: int = 0) -> None:
        """Close the socket and its monitor."""
        if not self.socket.closed:
            self.socket.disable_monitor()
            self.monitor.close()
            self.close(linger_ms if self.through else 0)


class Router(Socket):
    """An endpoint listened on, with the sessions that came in there."""

    def __init__(self, owner: ZeromqTransport, socket: zmq.Socket[bytes]) -> None:
        super().__init__(owner, socket)
        self.sessions: dict[bytes, int] = {}  # routing id -> session, 0 once it was closed here
        self.by_fd: dict[int, bytes] = {}  # the connection a routing id came through
        self.alive: dict[int, None] = {}  # accepted and not disconnected, as far as the monitor was read
        self.closing: deque[bytes] = deque()  # over, told once everything that had arrived was handed over
        self.monitor = Monitor(owner, socket, self.heard)

    def heard(self, event: int, value: int) -> None:
        """An event of the monitor."""
        if event == zmq.EVENT_ACCEPTED:
            self.alive[value] = None
        elif event == zmq.EVENT_DISCONNECTED:
            self.alive.pop(value, None)
            self._over(value)

    def _over(self, fd: int) -> None:
        route = self.by_fd.pop(fd, None)
        if route is not None:
            self.closing.append(route)
            self.owner.touch(self)

    def owes(self) -> bool:
        """Whether an end is to be told."""
        return bool(self.closing)

    def drain(self, sure: bool) -> int:
        """Hand over what waits; answers DRY, ASK or MORE."""
        size = 0
        for count in range(POLL_CAP):
            if self.socket.closed or size >= POLL_BYTES:
                return DRY if self.socket.closed else MORE
            if not sure:
                if count == 1 and not self.busy and not self.closing:
                    return ASK
                if not self.readable():
                    self.busy = count > 1
                    self._tell_closed()
                    return DRY
            sure = False
            try:
                route = self.socket.recv(_NOBLOCK)
            except zmq.Again:  # what woke us was no message
                continue
            size += self._take(route)
        return MORE

    def _take(self, route: bytes) -> int:
        """Hand over what came from there; its bytes where it is a piece."""
        session = self.sessions.get(route)
        if session is None:
            self._first(route)
        elif session == 0:
            self.part()
            self.owner.dropped += 1
        else:
            frame = self.part()
            self.owner.handler.on_frames(session, (frame,))
            return piece_bytes(frame)
        return 0

    def _first(self, route: bytes) -> None:
        """The first frame of a connection: a new session, tied to its descriptor so that its end is noticed.

        The monitor is read first: an end of an older connection on the same descriptor is among what it holds.
        """
        frame: zmq.Frame = self.socket.recv(_NOBLOCK, copy=False)
        single = not self.socket.getsockopt(_RCVMORE)
        while self.socket.getsockopt(_RCVMORE):
            self.socket.recv(_NOBLOCK)
        self.monitor.drain(sure=False)
        session = self.owner.admit(self, route)
        self.sessions[route] = session
        fd = int(_property(frame, "__fd") or -1)
        self._over(fd)
        if fd in self.alive:
            self.by_fd[fd] = route
        else:
            self.closing.append(route)
        handler = self.owner.handler
        handler.on_session(session, True, _property(frame, "User-Id"))
        handler.on_frames(session, (frame.bytes if single else GARBAGE,))

    def _tell_closed(self) -> None:
        while self.closing:
            session = self.sessions.pop(self.closing.popleft(), 0)
            if session and self.owner.gone(session):
                self.owner.handler.on_closed(session, "the peer is gone")

    def send(self, route: bytes, frame: bytes) -> bool:
        """Hand a frame to libzmq; False when it takes none."""
        try:
            self.socket.send(route, _SNDMORE | _NOBLOCK)
            self.socket.send(frame, _NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != errno.EHOSTUNREACH:
                raise
            self.closing.append(route)
            return False
        return True

    def end(self, linger_ms: int = 0) -> None:
        """Close the socket and its monitor."""
        self.socket.disable_monitor()
        self.monitor.close()
        self.close(linger_ms)


class Zap(Socket):
    """The allow-list, asked by libzmq for each CURVE handshake (ZAP, RFC 27), answered in `poll()`."""

    def __init__(self, owner: ZeromqTransport, socket: zmq.Socket[bytes], curve: Curve) -> None:
        super().__init__(owner, socket)
        self.curve = curve

    def drain(self, sure: bool) -> int:
        """Hand over what waits; answers DRY, ASK or MORE."""
        for _ in range(POLL_CAP):
            if not self.readable():
                return DRY
            self.socket.send_multipart(zap_answer(self.socket.recv_multipart(_NOBLOCK), self.curve.allowed))
        return MORE


def _property(frame: zmq.Frame, name: str) -> str:
    try:
        return str(frame.get(name))
    except zmq.ZMQError:
        return ""  # no such property: nothing was proved on this connection
