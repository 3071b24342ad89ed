"""The port over ZeroMQ: one ROUTER for each endpoint listened on, one DEALER for each session dialled.

One socket of ours is one session: no reconnect, no routing id, no handover. All descriptors sit in one epoll set, so
`fds()` is a single one. The descriptor of a ZeroMQ socket is edge-triggered and any call on the socket may swallow its
edge: every socket that was touched is remembered until a read of EVENTS said that nothing waits (`pending`).

How an end is noticed: a DEALER's monitor says closed, disconnected, or why the handshake failed. A ROUTER's monitor
names file descriptors only; the first frame of a peer carries the descriptor it came through, which ties the two.
"""

from __future__ import annotations

import select
from typing import Any, Final

import zmq
from zmq import zmq_poll

from regrove.records import dataclass
from regrove.transport import endpoints
from regrove.transport.base import Handler, TransportError
from regrove.transport.keys import Curve, KeyPair
from regrove.transport.wire import WireLimits
from regrove.transport.zeromq_sockets import DRY, MORE, Dealer, Router, Socket, Zap

ZAP_DOMAIN: Final = b"regrove"
CLOSE_LINGER_MS: Final = 100  # so that a BYE written just before the close still leaves


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
        self._watched: dict[int, Socket] = {}
        self._touched: dict[Socket, bool] = {}  # to be asked before a sleep; True: a message is known to wait
        self._routers: dict[str, Router] = {}
        self._zap: Zap | None = None
        self._inbound: dict[int, tuple[Router, bytes]] = {}
        self._outbound: dict[int, Dealer] = {}
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
        router = Router(self, socket)
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
            dealer = Dealer(self, socket, self._numbers, endpoint)
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
            self._touched.setdefault(dealer, False)
            return dealer.send(frame)
        inbound = self._inbound.get(session)
        if inbound is None:
            return False
        self._touched.setdefault(inbound[0], False)
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
        more = False
        for fd, _ in self._epoll.poll(0):
            subjects[self._watched[fd]] = True
        for subject, sure in subjects.items():
            if subject.socket.closed:
                continue
            left = subject.drain(sure)
            if left != DRY:
                self._touched.setdefault(subject, False)
                more = more or left == MORE
        return more

    def pending(self) -> bool:
        """Read EVENTS of every socket touched since the last poll."""
        touched = self._touched
        if not touched:
            return False
        asked = [ask for subject in touched if not subject.socket.closed for ask in subject.asked]
        ready = [socket for socket, _ in zmq_poll(asked, 0)] if asked else []
        owing = {subject: False for subject in touched if subject.owes()}
        self._touched = owing
        for subject in touched:
            if subject.socket in ready:
                owing[subject] = True
                subject.busy = True
        return bool(owing)

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

    def watch(self, subject: Socket) -> None:
        """Put a socket into the epoll set; it counts as touched until its EVENTS were read."""
        self._epoll.register(subject.fd, select.EPOLLIN)
        self._watched[subject.fd] = subject
        self._touched[subject] = False

    def unwatch(self, subject: Socket) -> None:
        """Take it out again."""
        self._epoll.unregister(subject.fd)
        del self._watched[subject.fd]
        self._touched.pop(subject, None)

    def touch(self, subject: Socket) -> None:
        """Remember that EVENTS must be read before a sleep."""
        self._touched.setdefault(subject, False)

    def admit(self, router: Router, route: bytes) -> int:
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
            raise TransportError(
                f"{endpoint} can only be dialled with its public key: give both ends one key file (--keys)"
            )
        socket.setsockopt_string(zmq.CURVE_SERVERKEY, server_key)
        socket.setsockopt_string(zmq.CURVE_PUBLICKEY, self._curve.pair.public)
        socket.setsockopt_string(zmq.CURVE_SECRETKEY, self._curve.pair.secret)

    def _serve_zap(self, curve: Curve) -> None:
        if self._zap is None:
            socket: zmq.Socket[bytes] = self._context.socket(zmq.REP)
            socket.linger = 0
            self._zap = Zap(self, socket, curve)
            socket.bind("inproc://zeromq.zap.01")

    def _abandon(self, socket: zmq.Socket[bytes]) -> None:
        for session, dealer in list(self._outbound.items()):
            if dealer.socket is socket:
                del self._outbound[session]
                dealer.end()
        socket.close(linger=0)
