"""What only the ZeroMQ transport can get wrong: keys, strangers, floods, descriptors."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import zmq

from regrove.transport.base import TransportError
from regrove.transport.contract import Bench, Recorder
from regrove.transport.keys import Curve, KeyPair
from regrove.transport.wire import HEADER, MAGIC, PIECE, VERSION, WireLimits
from regrove.transport.zeromq import ZeromqSettings, ZeromqTransport, make_pair
from tests.transport.conftest import ZeromqWorld

LIMIT = 10.0  # seconds


class Ends:
    """Transports of one test, turned together and closed at its end."""

    def __init__(self) -> None:
        self.made: list[ZeromqTransport] = []

    def make(
        self, curve: Curve | None = None, settings: ZeromqSettings | None = None
    ) -> tuple[ZeromqTransport, Recorder]:
        transport, recorder = ZeromqTransport(settings, curve), Recorder()
        transport.attach(recorder)
        self.made.append(transport)
        return transport, recorder

    def until(self, holds: Callable[[], object], what: str) -> None:
        end = time.monotonic() + LIMIT
        poller = zmq.Poller()
        for transport in self.made:
            poller.register(transport.fds()[0], zmq.POLLIN)
        while not holds():
            assert time.monotonic() < end, what
            asked = [transport.pending() for transport in self.made]
            if not any(asked):
                poller.poll(20)
            for transport in self.made:
                transport.poll()


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    for transport in made.made:
        transport.destroy()


@pytest.fixture
def dealer() -> Iterator[zmq.Socket[bytes]]:
    """A bare DEALER, as somebody else's program may use one."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.RECONNECT_IVL, -1)
    yield socket
    socket.close(linger=0)
    context.term()


def keyed(*allowed: KeyPair) -> Curve:
    pair = make_pair()
    keys = {pair.public, *(other.public for other in allowed)}
    return Curve(pair, keys.__contains__)


def test_the_key_of_a_dialler_is_proved_to_the_one_dialled(ends: Ends) -> None:
    mine = keyed()
    theirs = keyed(mine.pair)
    a, _ = ends.make(mine)
    b, there = ends.make(theirs)
    session = a.open(b.listen("tcp://127.0.0.1:0"), theirs.pair.public)
    a.try_send(session, b"hello")
    ends.until(lambda: there.frames, "the frame")
    assert [user for _, user in there.opened] == [mine.pair.public]


def test_a_key_that_is_not_on_the_list_gets_no_frame_in_and_hears_why(ends: Ends) -> None:
    theirs = keyed()
    a, heard = ends.make(keyed())
    b, there = ends.make(theirs)
    session = a.open(b.listen("tcp://127.0.0.1:0"), theirs.pair.public)
    a.try_send(session, b"hello")
    ends.until(lambda: heard.closed, "the refusal")
    assert "does not know our key" in heard.closed[0][1]
    assert not there.opened
    assert not there.frames


def test_a_server_with_another_key_than_expected_gets_no_frame(ends: Ends) -> None:
    mine = keyed()
    a, heard = ends.make(mine)
    b, there = ends.make(keyed(mine.pair))
    session = a.open(b.listen("tcp://127.0.0.1:0"), make_pair().public)
    a.try_send(session, b"secret")
    ends.until(lambda: heard.closed, "the failed handshake")
    assert heard.closed[0][1]
    assert not there.frames


def test_one_without_keys_gets_nothing_in_where_keys_are_needed(ends: Ends) -> None:
    b, there = ends.make(keyed())
    endpoint = b.listen("tcp://127.0.0.1:0")
    a, heard = ends.make()
    session = a.open(endpoint)
    a.try_send(session, b"hello")
    ends.until(lambda: heard.closed, "the failed handshake")
    assert "keys, or other ones" in heard.closed[0][1]
    assert not there.opened


def test_a_key_that_is_added_later_is_let_in(ends: Ends) -> None:
    mine, pair = keyed(), make_pair()
    allowed: dict[str, None] = {}
    b, there = ends.make(Curve(pair, allowed.__contains__))
    endpoint = b.listen("tcp://127.0.0.1:0")
    a, heard = ends.make(mine)
    a.try_send(a.open(endpoint, pair.public), b"first")
    ends.until(lambda: heard.closed, "the refusal")
    allowed[mine.pair.public] = None
    a.try_send(a.open(endpoint, pair.public), b"second")
    ends.until(lambda: there.frames, "the frame")
    assert [frame for _, frame in there.frames] == [b"second"]


def test_dialling_with_and_without_keys_is_not_mixed_up(ends: Ends) -> None:
    insecure, _ = ends.make()
    with pytest.raises(TransportError, match="start both the same way"):
        insecure.open("tcp://127.0.0.1:9", make_pair().public)
    secure, _ = ends.make(keyed())
    with pytest.raises(TransportError, match="give both ends one key file"):
        secure.open("tcp://127.0.0.1:9")
    with pytest.raises(TransportError, match="cannot dial"):
        secure.open("tcp://127.0.0.1:9", "no key")


def test_a_port_in_use_is_said_with_the_mend(ends: Ends) -> None:
    a, _ = ends.make()
    endpoint = a.listen("tcp://127.0.0.1:0")
    b, _ = ends.make()
    with pytest.raises(TransportError, match=f"{endpoint} is in use: choose another port"):
        b.listen(endpoint)
    with pytest.raises(TransportError, match=r"no address of this machine"):
        b.listen("tcp://192.0.2.1:7000")


def test_strangers_on_the_port_do_no_harm(ends: Ends) -> None:
    """Bytes of other protocols, half a greeting, silence: the next honest dialler is served."""
    b, there = ends.make()
    endpoint = b.listen("tcp://127.0.0.1:0")
    host, port = endpoint.removeprefix("tcp://").split(":")
    strangers = []
    for data in (
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\xff" * 9,
        b"\xff\0\0\0\0\0\0\0\1\x7f\3\1NULL",
        b"\0" * 4096,
        b"",
    ):
        stranger = socket.create_connection((host, int(port)), timeout=LIMIT)
        stranger.sendall(data)
        strangers.append(stranger)
    a, _ = ends.make()
    a.try_send(a.open(endpoint), b"honest")
    ends.until(lambda: there.frames, "the honest frame")
    assert [frame for _, frame in there.frames] == [b"honest"]
    for stranger in strangers:
        stranger.close()


def test_a_multipart_message_is_handed_up_as_one_frame_that_is_none_of_ours(
    ends: Ends, dealer: zmq.Socket[bytes]
) -> None:
    b, there = ends.make()
    endpoint = b.listen("tcp://127.0.0.1:0")
    dealer.connect(endpoint)
    dealer.send_multipart([b"one", b"two", b"three"])
    dealer.send(b"single")
    dealer.send_multipart([b"four", b"five"])
    ends.until(lambda: len(there.frames) == 3, "three messages")
    assert [frame for _, frame in there.frames] == [b"", b"single", b""]


def test_a_message_over_the_limit_ends_its_connection_before_it_is_read(ends: Ends, dealer: zmq.Socket[bytes]) -> None:
    settings = ZeromqSettings(limits=WireLimits(message_max=1_000))
    b, there = ends.make(settings=settings)
    endpoint = b.listen("tcp://127.0.0.1:0")
    dealer.connect(endpoint)
    dealer.send(b"small")
    ends.until(lambda: there.frames, "the small one")
    dealer.send(bytes(settings.limits.frame_max + 1))
    ends.until(lambda: there.closed, "the end of the connection")
    assert [frame for _, frame in there.frames] == [b"small"]


def test_a_silent_handshake_is_cut(ends: Ends) -> None:
    """A connection that never greets must not be held for ever."""
    b, _ = ends.make(settings=ZeromqSettings(handshake_ms=100))
    host, port = b.listen("tcp://127.0.0.1:0").removeprefix("tcp://").split(":")
    with socket.create_connection((host, int(port)), timeout=LIMIT) as stranger:
        while stranger.recv(4096):  # the greeting of ZMTP, then the end
            pass


def test_descriptors_and_sockets_of_ended_sessions_are_given_back(tmp_path: Path) -> None:
    world = ZeromqWorld("ipc", tmp_path / "run")
    bench = Bench(world)
    a, heard = bench.end("a")
    _, there = bench.end("b")
    endpoint = world.listen("b")

    def once(number: int) -> None:
        session = a.open(endpoint)
        a.try_send(session, b"%d" % number)
        bench.until(lambda: len(there.frames) > number, "the frame")
        a.close(session)
        bench.until(lambda: len(there.closed) > number, "the end")

    for number in range(20):
        once(number)
    before = open_descriptors()
    for number in range(20, 120):
        once(number)
    bench.until(lambda: open_descriptors() <= before + 4, "descriptors to be closed by the I/O thread")
    router = next(iter(world.ends["b"]._routers.values()))
    assert (router.sessions, router.by_fd) == ({}, {})
    assert not heard.closed
    world.close()


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_destroy_is_idempotent_and_frees_the_endpoint(tmp_path: Path) -> None:
    world = ZeromqWorld("tcp", tmp_path / "run")
    end = world.end("a")
    end.attach(Recorder())
    endpoint = world.listen("a")
    end.destroy()
    end.destroy()
    world.end("b")
    assert world.listen("b", endpoint) == endpoint
    world.close()


def test_frames_given_before_a_destroy_with_linger_still_leave(ends: Ends) -> None:
    b, there = ends.make()
    endpoint = b.listen("tcp://127.0.0.1:0")
    a, heard = ends.make()
    session = a.open(endpoint)
    ends.until(lambda: heard.through, "the connection")
    for number in range(100):
        a.try_send(session, b"%d" % number)
    a.destroy(linger=LIMIT)
    ends.made.remove(a)
    ends.until(lambda: len(there.frames) == 100, "all frames")


def test_a_pass_takes_no_more_pieces_from_a_socket_than_it_can_handle_at_once(ends: Ends) -> None:
    """Pieces of 64 KiB that have all arrived: after each 256 KiB the other sockets, and the owner, have their turn."""
    server, there = ends.make()
    client, _ = ends.make()
    endpoint = server.listen("tcp://127.0.0.1:0")
    session = client.open(endpoint)
    assert client.try_send(session, b"first")
    ends.until(lambda: there.frames, "the session")
    for _ in range(12):
        assert client.try_send(session, HEADER.pack(MAGIC, VERSION, PIECE, 0, 0) + bytes(64 * 1024))
    taken = [1]

    def all_there() -> bool:
        taken.append(len(there.frames))
        return len(there.frames) == 13

    ends.until(all_there, "all")
    assert max(after - before for before, after in pairwise(taken)) <= 4
