"""The port over ZeroMQ: one ROUTER for each endpoint listened on, one DEALER for each session dialled.

One socket of ours is one session: no reconnect, no routing id, no handover. All descriptors sit in one epoll set, so
`fds()` is a single one. The descriptor of a ZeroMQ socket is edge-triggered and any call on the socket may swallow its
edge: every socket that was touched is remembered until a read of EVENTS said that nothing waits (`pending`).

How an end is noticed: a DEALER's monitor says closed, disconnected, or why the handshake failed. A ROUTER's monitor
names file descriptors only; the first frame of a peer carries the descriptor it came through, which ties the two.
"""

from __future__ import annotations

import errno
import select
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import zmq
from zmq import zmq_poll

from regrove.transport import endpoints
from regrove.transport.base import Handler, TransportError
from regrove.transport.keys import Curve, KeyPair, zap_answer
from regrove.transport.wire import WireLimits, piece_bytes

POLL_CAP: Final = 256  # frames taken from one socket before the others have their turn
POLL_BYTES: Final = 256 * 1024  # of pieces: other mail is bounded by credit, and refused where a mailbox is full
GARBAGE: Final = b""  # stands for a multipart message: no frame of ours
ZAP_DOMAIN: Final = b"regrove"
CLOSE_LINGER_MS: Final = 100  # so that a BYE written just before the close still leaves

_POLLIN: Final = int(zmq.POLLIN)
_NOBLOCK: Final = int(zmq.NOBLOCK)
_SNDMORE: Final = int(zmq.SNDMORE)
_RCVMORE: Final = int(zmq.RCVMORE)

_ENDED: Final = {
    int(zmq.EVENT_CLOSED): "nobody answers",
    int(zmq.EVENT_DISCONNECTED): "the connection is gone",
    int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL): "closed during the handshake: that end may need keys, or other ones",
    int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL): "that end speaks another protocol, or needs keys, or other ones",
    int(zmq.EVENT_HANDSHAKE_FAILED_AUTH): "the other end does not know our key: add it there with regrove keys add",
}


@dataclass(frozen=True, slots=True)
class ZeromqSettings:
    """Limits of the sockets. `receive_frames` is twice the frames of a window: honest peers never meet it."""

    limits: WireLimits = WireLimits()
    receive_frames: int = 2 * 4096
    handshake_ms: int = 2_000
    sockets_max: int = 3 * 4096  # a session is a DEALER and the two ends of its monitor
    tcp_silence_ms: int = 10_000  # unacknowledged bytes or keepalives on tcp end the connection after this


def make_pair() -> KeyPair:
    """Draw a new CURVE pair."""
    return KeyPair(*(key.decode() for key in zmq.curve_keypair()))


class _Socket:
    """A ZeroMQ socket in the epoll set; `drain` hands over what waits, True when the cap was hit."""

    def __init__(self, owner: ZeromqTransport, socket: zmq.Socket[bytes]) -> None:
        self.owner = owner
        self.socket = socket
        self.fd = int(socket.getsockopt(zmq.FD))
        self.asked = [(socket, _POLLIN)]
        owner.watch(self)

    def drain(self) -> bool:
        raise NotImplementedError

    def readable(self) -> bool:
        return bool(zmq_poll(self.asked, 0))  # reads EVENTS in two thirds of the time of getsockopt

    def owes(self) -> bool:
        """Whether `drain` has something to hand over that is no message of the socket."""
        return False

    def close(self, linger_ms: int = 0) -> None:
        self.owner.unwatch(self)
        self.socket.close(linger=linger_ms)

    def part(self) -> bytes:
        """The next message when it has one part; a longer one is read to its end and given as GARBAGE."""
        socket = self.socket
        data = socket.recv(_NOBLOCK)
        if not socket.getsockopt(_RCVMORE):
            return data
        while socket.getsockopt(_RCVMORE):
            socket.recv(_NOBLOCK)
        return GARBAGE


class _Monitor(_Socket):
    """The monitor of a DEALER or ROUTER: calls `heard(event, value)`."""

    def __init__(self, owner: ZeromqTransport, watched: zmq.Socket[bytes], heard: Callable[[int, int], None]) -> None:
        pair = watched.get_monitor_socket()
        pair.rcvhwm = 0
        self.heard = heard
        super().__init__(owner, pair)

    def drain(self) -> bool:
        for _ in range(POLL_CAP):
            if self.socket.closed or not self.readable():
                return False
            event = self.socket.recv_multipart(_NOBLOCK)
            self.heard(int.from_bytes(event[0][:2], "little"), int.from_bytes(event[0][2:6], "little"))
        return True


class _Dealer(_Socket):
    """A session we dialled."""

    def __init__(self, owner: ZeromqTransport, socket: zmq.Socket[bytes], session: int, endpoint: str) -> None:
        super().__init__(owner, socket)
        self.session = session
        self.endpoint = endpoint
        self.through = False
        self.over = ""  # why it ended; told once what had arrived was handed over
        self.monitor = _Monitor(owner, socket, self.heard)

    def heard(self, event: int, _value: int) -> None:
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.through = True
            self.owner.handler.on_session(self.session, False, "")
        elif event in _ENDED and not self.over:
            self.over = f"{self.endpoint}: {_ENDED[event]}"
            self.owner.touch(self)

    def owes(self) -> bool:
        return bool(self.over)

    def drain(self) -> bool:
        frames: list[bytes] = []
        more, size = True, 0
        while len(frames) < POLL_CAP and size < POLL_BYTES:
            if not self.readable():
                more = False
                break
            frames.append(self.part())
            size += piece_bytes(frames[-1])
        if frames:
            self.owner.handler.on_frames(self.session, frames)
        if not more and self.over and self.owner.gone(self.session):
            self.end()
            self.owner.handler.on_closed(self.session, self.over)
        return more and not self.socket.closed

    def send(self, frame: bytes) -> bool:
        try:
            self.socket.send(frame, _NOBLOCK)
        except zmq.Again:
            return False
        return True

    def end(self, linger_ms: int = 0) -> None:
        if not self.socket.closed:
            self.socket.disable_monitor()
            self.monitor.close()
            self.close(linger_ms if self.through else 0)


class _Router(_Socket):
    """An endpoint listened on, with the sessions that came in there."""

    def __init__(self, owner: ZeromqTransport, socket: zmq.Socket[bytes]) -> None:
        super().__init__(owner, socket)
        self.sessions: dict[bytes, int] = {}  # routing id -> session, 0 once it was closed here
        self.by_fd: dict[int, bytes] = {}  # the connection a routing id came through
        self.alive: dict[int, None] = {}  # accepted and not disconnected, as far as the monitor was read
        self.closing: deque[bytes] = deque()  # over, told once everything that had arrived was handed over
        self.monitor = _Monitor(owner, socket, self.heard)

    def heard(self, event: int, value: int) -> None:
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
        return bool(self.closing)

    def drain(self) -> bool:
        handler = self.owner.handler
        size = 0
        for _ in range(POLL_CAP):
            if self.socket.closed or size >= POLL_BYTES:
                return not self.socket.closed
            if not self.readable():
                self._tell_closed()
                return False
            route = self.socket.recv(_NOBLOCK)
            session = self.sessions.get(route)
            if session is None:
                self._first(route)
            elif session == 0:
                self.part()
                self.owner.dropped += 1
            else:
                frame = self.part()
                size += piece_bytes(frame)
                handler.on_frames(session, (frame,))
        return True

    def _first(self, route: bytes) -> None:
        """The first frame of a connection: a new session, tied to its descriptor so that its end is noticed.

        The monitor is read first: an end of an older connection on the same descriptor is among what it holds.
        """
        frame: zmq.Frame = self.socket.recv(_NOBLOCK, copy=False)
        single = not self.socket.getsockopt(_RCVMORE)
        while self.socket.getsockopt(_RCVMORE):
            self.socket.recv(_NOBLOCK)
        self.monitor.drain()
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
        self.socket.disable_monitor()
        self.monitor.close()
        self.close(linger_ms)


class _Zap(_Socket):
    """The allow-list, asked by libzmq for each CURVE handshake (ZAP, RFC 27), answered in `poll()`."""

    def __init__(self, owner: ZeromqTransport, socket: zmq.Socket[bytes], curve: Curve) -> None:
        super().__init__(owner, socket)
        self.curve = curve

    def drain(self) -> bool:
        for _ in range(POLL_CAP):
            if not self.readable():
                return False
            self.socket.send_multipart(zap_answer(self.socket.recv_multipart(_NOBLOCK), self.curve.allowed))
        return True


class ZeromqTransport:
    """`regrove.transport.base.Transport` over ipc and tcp; with `curve` None tcp is in the clear (`--insecure`)."""

    def __init__(self, settings: ZeromqSettings | None = None, curve: Curve | None = None) -> None:
        self.settings = settings or ZeromqSettings()
        self.dropped = 0  # frames that arrived for sessions closed here
        self._curve = curve
        self._handler: Handler | None = None
        self._context = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, self.settings.sockets_max)
        self._epoll = select.epoll()
        self._watched: dict[int, _Socket] = {}
        self._touched: dict[_Socket, None] = {}
        self._routers: dict[str, _Router] = {}
        self._zap: _Zap | None = None
        self._inbound: dict[int, tuple[_Router, bytes]] = {}
        self._outbound: dict[int, _Dealer] = {}
        self._numbers = 0
        self._destroyed = False

    @property
    def handler(self) -> Handler:
        """The handler that was attached."""
        assert self._handler is not None, "attach a handler first"
        return self._handler

    def attach(self, handler: Handler) -> None:
        """Give the handler, once."""
        assert self._handler is None, "a transport has one handler"
        self._handler = handler

    def listen(self, endpoint: str) -> str:
        """Bind `ipc:///path` (in a 0700 folder, once) or `tcp://host:port` (port 0: any free one)."""
        endpoints.check_bind(endpoint)
        socket = self._socket(zmq.ROUTER, endpoint)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        if endpoint.startswith("tcp://") and self._curve is not None:
            self._serve_zap(self._curve)
            socket.setsockopt(zmq.CURVE_SERVER, 1)
            socket.setsockopt_string(zmq.CURVE_SECRETKEY, self._curve.pair.secret)
            socket.setsockopt(zmq.ZAP_DOMAIN, ZAP_DOMAIN)
        router = _Router(self, socket)
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            router.end()
            raise TransportError(endpoints.bind_problem(endpoint, error.errno)) from None
        bound: str = socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")
        self._routers[bound] = router
        return bound

    def open(self, endpoint: str, server_key: str = "") -> int:
        """Begin a connection; the session is usable for `try_send` at once."""
        endpoints.check_dial(endpoint)
        socket = self._socket(zmq.DEALER, endpoint)
        try:
            if endpoint.startswith("tcp://"):
                self._secure_dial(socket, endpoint, server_key)
            self._numbers += 1
            dealer = _Dealer(self, socket, self._numbers, endpoint)
            self._outbound[dealer.session] = dealer
            socket.connect(endpoint)
        except zmq.ZMQError as error:
            self._abandon(socket)
            raise TransportError(f"cannot dial {endpoint}: {error.strerror or error}") from None
        except TransportError:
            socket.close(linger=0)
            raise
        return dealer.session

    def try_send(self, session: int, frame: bytes) -> bool:
        """Hand one frame to libzmq."""
        dealer = self._outbound.get(session)
        if dealer is not None:
            self._touched[dealer] = None
            return dealer.send(frame)
        inbound = self._inbound.get(session)
        if inbound is None:
            return False
        self._touched[inbound[0]] = None
        return inbound[0].send(inbound[1], frame)

    def close(self, session: int) -> None:
        """End a session. One that was dialled to us cannot be cut: what it still sends is dropped and counted."""
        dealer = self._outbound.pop(session, None)
        if dealer is not None:
            dealer.end(CLOSE_LINGER_MS)
            return
        inbound = self._inbound.pop(session, None)
        if inbound is not None:
            router, route = inbound
            if route in router.sessions:
                router.sessions[route] = 0

    def poll(self) -> bool:
        """Hand over what has arrived, at most 256 frames or 256 KiB of pieces a socket."""
        subjects = self._touched
        self._touched = {}
        for fd, _ in self._epoll.poll(0):
            subjects[self._watched[fd]] = None
        for subject in subjects:
            if not subject.socket.closed and subject.drain():
                self._touched[subject] = None
        return bool(self._touched)

    def pending(self) -> bool:
        """Read EVENTS of every socket touched since the last poll."""
        asked = [ask for subject in self._touched if not subject.socket.closed for ask in subject.asked]
        if any(subject.owes() for subject in self._touched) or (asked and zmq_poll(asked, 0)):
            return True
        self._touched.clear()
        return False

    def fds(self) -> tuple[int, ...]:
        """The epoll set of all sockets: one descriptor, level-triggered."""
        return (self._epoll.fileno(),)

    def destroy(self, linger: float = 0.0) -> None:
        """Close all sockets and the context; blocks for at most `linger` seconds while frames leave."""
        if self._destroyed:
            return
        self._destroyed = True
        ends = [*(dealer.end for dealer in self._outbound.values()), *(router.end for router in self._routers.values())]
        for end in ends:
            end(int(linger * 1000))
        if self._zap is not None:
            self._zap.close()
        self._outbound.clear()
        self._inbound.clear()
        self._context.term()
        self._epoll.close()

    # -- what the sockets call

    def watch(self, subject: _Socket) -> None:
        """Put a socket into the epoll set; it counts as touched until its EVENTS were read."""
        self._epoll.register(subject.fd, select.EPOLLIN)
        self._watched[subject.fd] = subject
        self._touched[subject] = None

    def unwatch(self, subject: _Socket) -> None:
        """Take it out again."""
        self._epoll.unregister(subject.fd)
        del self._watched[subject.fd]
        self._touched.pop(subject, None)

    def touch(self, subject: _Socket) -> None:
        """Remember that EVENTS must be read before a sleep."""
        self._touched[subject] = None

    def admit(self, router: _Router, route: bytes) -> int:
        """Number a connection that came in."""
        self._numbers += 1
        self._inbound[self._numbers] = (router, route)
        return self._numbers

    def gone(self, session: int) -> bool:
        """Forget a session that ended; False when it was closed here before."""
        return (self._outbound.pop(session, None) or self._inbound.pop(session, None)) is not None

    # -- sockets

    def _socket(self, kind: int, endpoint: str) -> zmq.Socket[bytes]:
        settings = self.settings
        try:
            socket: zmq.Socket[bytes] = self._context.socket(kind)
        except zmq.ZMQError as error:
            raise TransportError(f"no socket for {endpoint}: {error.strerror}; raise ulimit -n") from None
        options: list[tuple[int, Any]] = [
            (zmq.LINGER, 0),
            (zmq.SNDHWM, 0),
            (zmq.RCVHWM, settings.receive_frames),
            (zmq.RECONNECT_IVL, -1),
            (zmq.HANDSHAKE_IVL, settings.handshake_ms),
            (zmq.MAXMSGSIZE, settings.limits.frame_max),
        ]
        if endpoint.startswith("tcp://"):
            options += [
                (zmq.IPV6, int("[" in endpoint)),
                (zmq.TCP_KEEPALIVE, 1),
                (zmq.TCP_KEEPALIVE_IDLE, max(1, settings.tcp_silence_ms // 2000)),
                (zmq.TCP_KEEPALIVE_INTVL, 1),
                (zmq.TCP_KEEPALIVE_CNT, max(1, settings.tcp_silence_ms // 2000)),
                (zmq.TCP_MAXRT, settings.tcp_silence_ms),
            ]
        for option, value in options:
            socket.setsockopt(option, value)
        return socket

    def _secure_dial(self, socket: zmq.Socket[bytes], endpoint: str, server_key: str) -> None:
        if self._curve is None:
            if server_key:
                raise TransportError(f"{endpoint} needs keys, and this end runs --insecure: start both the same way")
            return
        if not server_key:
            raise TransportError(f"{endpoint} can only be dialled with its public key: add it with regrove keys add")
        socket.setsockopt_string(zmq.CURVE_SERVERKEY, server_key)
        socket.setsockopt_string(zmq.CURVE_PUBLICKEY, self._curve.pair.public)
        socket.setsockopt_string(zmq.CURVE_SECRETKEY, self._curve.pair.secret)

    def _serve_zap(self, curve: Curve) -> None:
        if self._zap is None:
            socket: zmq.Socket[bytes] = self._context.socket(zmq.REP)
            socket.linger = 0
            self._zap = _Zap(self, socket, curve)
            socket.bind("inproc://zeromq.zap.01")

    def _abandon(self, socket: zmq.Socket[bytes]) -> None:
        for session, dealer in list(self._outbound.items()):
            if dealer.socket is socket:
                del self._outbound[session]
                dealer.end()
        socket.close(linger=0)


def _property(frame: zmq.Frame, name: str) -> str:
    try:
        return str(frame.get(name))
    except zmq.ZMQError:
        return ""  # no such property: nothing was proved on this connection
