"""Listening, accepting and connecting at their bounds and in their odd cases."""

from __future__ import annotations

import contextlib
import errno
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from regrove.node.core.effects import Accept, Close, Connect, Listen, Offload, Open, Read, Write
from regrove.node.core.ports import IoCancel, IoRelease
from regrove.node.core.reasons import Busy, OsError
from regrove.node.io import Edge, EdgeLimits, EdgeStatistics, names, streams
from regrove.node.io.contract import HOST, LISTENER, STREAM, Bench
from regrove.node.io.streams import SocketAddress

MakeBench = Callable[..., Bench]


def statistics_of(bench: Bench) -> EdgeStatistics:
    assert isinstance(bench.port, Edge)
    return bench.port.statistics()


def test_at_the_bound_of_streams_accepts_pause_until_one_is_closed(benches: MakeBench) -> None:
    bench = benches(EdgeLimits(streams=2))
    listener, port = bench.listen()
    peers = [socket.create_connection((HOST, port), timeout=10) for _ in range(3)]
    first, _ = bench.run(Accept(LISTENER), listener)
    second, _ = bench.run(Accept(LISTENER), listener)
    bench._advance()  # all that the kernel had to announce is announced
    third = bench.begin(Accept(LISTENER), listener)
    assert not bench.has_ended(third)
    assert statistics_of(bench).accept_pauses == 1
    bench.run(Close(STREAM), first)
    handle, _peer = bench.end(third)
    peers[2].sendall(b"third")
    assert bench.read_all(handle, 5) == b"third"
    assert statistics_of(bench).streams == 2
    for peer in peers:
        peer.close()
    bench.submit(IoRelease(second))


def test_at_the_bound_of_streams_connect_and_open_fail_with_the_bound_in_the_text(benches: MakeBench) -> None:
    bench = benches(EdgeLimits(streams=1))
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        handle = bench.run(Connect(HOST, port))
        for wait in (Connect(HOST, port), Open("log", "a"), Connect("localhost", port)):
            result = bench.run(wait)
            assert isinstance(result, OsError)
            assert result.name == "EMFILE"
            assert "bound streams = 1" in result.text
        bench.run(Close(STREAM), handle)
        file = bench.run(Open("log", "a"))
        assert bench.run(Connect(HOST, port)).name == "EMFILE"
        bench.run(Close(STREAM), file)
        assert isinstance(bench.run(Connect(HOST, port)), int)


def test_a_failed_or_cancelled_connect_gives_its_place_back(benches: MakeBench) -> None:
    bench = benches(EdgeLimits(streams=1))
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        with socket.socket() as unused:
            unused.bind((HOST, 0))
            for _ in range(3):
                assert bench.run(Connect(HOST, unused.getsockname()[1])).name == "ECONNREFUSED"
        for _ in range(3):
            request = bench.request(Connect(HOST, port))
            bench.submit(request, IoCancel(request.token))
        for _ in range(3):
            request = bench.request(Open("log", "w"))
            bench.submit(request, IoCancel(request.token))
            assert bench.run(Open("missing/x", "r")).name in ("ENOENT", "EMFILE")
        # A cancelled Open that was under way gives its place back when its thread is through.
        assert bench.run(Offload(divmod, 3, 2)) == (1, 1)
        for _ in range(100):
            if statistics_of(bench).streams == 0:
                break
            bench._advance()
        assert isinstance(bench.run(Connect(HOST, port)), int)


@contextlib.contextmanager
def descriptors_exhausted() -> Iterator[None]:
    """No further descriptor can be had in here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as probe:
        resource.setrlimit(resource.RLIMIT_NOFILE, (probe.fileno(), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_descriptors_an_accept_pauses_without_spinning_and_goes_on_by_itself(bench: Bench) -> None:
    listener, port = bench.listen()
    with socket.create_connection((HOST, port), timeout=10):
        with descriptors_exhausted():
            accept = bench.begin(Accept(LISTENER), listener)
            assert not bench.has_ended(accept)
            assert [(where, reason.name) for where, reason in vars(bench)["waits"]] == [(f"{HOST}:{port}", "EMFILE")]
            before, begin = statistics_of(bench).accept_pauses, time.monotonic()
            for _ in range(5):
                bench._advance()
            retries = statistics_of(bench).accept_pauses - before
            assert retries <= 1 + (time.monotonic() - begin) / 0.1  # one each 100 ms
            assert bench.run(Connect(HOST, port)).name == "EMFILE"
            assert not bench.has_ended(accept)
        handle, _peer = bench.end(accept)
        assert handle > listener


def test_a_closed_listener_is_not_retried(bench: Bench) -> None:
    listener, port = bench.listen()
    with socket.create_connection((HOST, port), timeout=10), descriptors_exhausted():
        accept = bench.begin(Accept(LISTENER), listener)
        assert not bench.has_ended(accept)
        bench.submit(IoRelease(listener))
    for _ in range(4):
        bench._advance()
    assert not bench.has_ended(accept)


def test_a_connection_reset_in_the_backlog_does_not_stop_the_next_one(bench: Bench) -> None:
    listener, port = bench.listen()
    gone = socket.create_connection((HOST, port), timeout=10)
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    gone.close()
    with socket.create_connection((HOST, port), timeout=10) as peer:
        peer.sendall(b"here")
        results = []
        while b"here" not in results:
            handle, _peer = bench.run(Accept(LISTENER), listener)
            results.append(bench.run(Read(STREAM), handle))
        assert len(results) <= 2


def test_an_error_of_one_connection_does_not_fail_the_accept(bench: Bench) -> None:
    listener, port = bench.listen()

    class Aborting:
        """A listening socket of which two connections were aborted before they were accepted."""

        def __init__(self, sock: socket.socket) -> None:
            self.sock = sock
            self.errors = [errno.ECONNABORTED, errno.EPROTO]

        def accept(self) -> tuple[socket.socket, object]:
            if self.errors:
                raise OSError(self.errors.pop(), "aborted")
            return self.sock.accept()

        def __getattr__(self, name: str) -> object:
            return getattr(self.sock, name)

    held = bench.port._table.listeners[listener]  # type: ignore[attr-defined]
    held.sock = Aborting(held.sock)
    with socket.create_connection((HOST, port), timeout=10):
        handle, _peer = bench.run(Accept(LISTENER), listener)
        assert handle > listener
    held.sock.errors = [errno.EPERM]
    with socket.create_connection((HOST, port), timeout=10):
        assert bench.run(Accept(LISTENER), listener) == OsError("EPERM", "accept: aborted")


def test_a_port_whose_old_connections_linger_can_be_listened_on_again(bench: Bench) -> None:
    listener, _host, port = bench.run(Listen(HOST, 0, shared=False))
    near = bench.run(Connect(HOST, port))
    far, _peer = bench.run(Accept(LISTENER), listener)
    bench.run(Close(STREAM), far)  # the side that closes first is the one whose port lingers (TIME_WAIT)
    assert bench.run(Read(STREAM), near) == b""
    bench.run(Close(STREAM), near)
    bench.run(Close(LISTENER), listener)
    assert bench.run(Listen(HOST, port, shared=False))[1:] == (HOST, port)


def test_more_accepts_than_the_backlog_bound_are_busy(benches: MakeBench) -> None:
    bench = benches(EdgeLimits(accept_backlog=2))
    listener, _port = bench.listen()
    waiting = [bench.begin(Accept(LISTENER), listener) for _ in range(2)]
    assert bench.run(Accept(LISTENER), listener) == Busy()
    assert not any(bench.has_ended(token) for token in waiting)


def test_the_bound_of_listeners_is_told(benches: MakeBench) -> None:
    bench = benches(EdgeLimits(listeners=1))
    listener, _port = bench.listen()
    refused = bench.run(Listen(HOST, 0))
    assert refused.name == "EMFILE"
    assert "bound listeners = 1" in refused.text
    bench.run(Close(LISTENER), listener)
    bench.listen()


def test_a_listen_on_a_host_of_another_machine_names_it(bench: Bench) -> None:
    refused = bench.run(Listen("192.0.2.1", 80))
    assert refused.name == "EADDRNOTAVAIL"
    assert "listen on 192.0.2.1:80" in refused.text


def test_an_empty_host_listens_on_every_interface(bench: Bench) -> None:
    handle, host, port = bench.run(Listen("", 0))
    assert host == "0.0.0.0"
    assert isinstance(bench.run(Connect(HOST, port)), int)
    assert bench.run(Accept(LISTENER), handle)[1].startswith("127.0.0.1:")


def test_ipv6_peers_are_written_in_brackets(bench: Bench) -> None:
    listening = bench.run(Listen("::1", 0))
    if isinstance(listening, OsError):
        pytest.skip(f"no IPv6 loopback here: {listening}")
    handle, host, port = listening
    assert host == "::1"
    near = bench.run(Connect("::1", port))
    far, peer = bench.run(Accept(LISTENER), handle)
    assert peer.startswith("[::1]:")
    bench.run(Write(STREAM, b"six"), near)
    assert bench.read_all(far, 3) == b"six"


def test_shared_listeners_of_two_edges_share_the_connections_of_one_port(benches: MakeBench) -> None:
    one, two = benches(), benches()
    first, _host, port = one.run(Listen(HOST, 0, shared=True))
    second, _host, _port = two.run(Listen(HOST, port, shared=True))
    counts = {1: 0, 2: 0}
    peers = [socket.create_connection((HOST, port), timeout=10) for _ in range(64)]
    accepts = {1: one.begin(Accept(LISTENER), first), 2: two.begin(Accept(LISTENER), second)}
    for _ in range(2_000):
        for key, bench, listener in ((1, one, first), (2, two, second)):
            bench.poller.wait(1_000_000)  # type: ignore[attr-defined]
            while bench.has_ended(accepts[key]):
                counts[key] += 1
                accepts[key] = bench.begin(Accept(LISTENER), listener)
        if sum(counts.values()) == 64:
            break
    assert sum(counts.values()) == 64
    assert min(counts.values()) > 0
    for peer in peers:
        peer.close()


# Names


def test_a_name_is_looked_up_on_a_thread_while_the_core_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answer = threading.Event(), threading.Event()
    on_thread: list[str] = []

    def slow(host: str, port: int) -> list[SocketAddress]:
        on_thread.append(threading.current_thread().name)
        asked.set()
        assert answer.wait(10)
        return [(socket.AF_INET, (HOST, port))]

    monkeypatch.setattr(names, "look_up", slow)
    _listener, port = bench.listen()
    named = bench.begin(Connect("somewhere.example", port))
    assert asked.wait(10)
    assert isinstance(bench.run(Connect(HOST, port)), int)
    assert not bench.has_ended(named)
    answer.set()
    assert isinstance(bench.end(named), int)
    assert on_thread == ["regrove-offload-0"]


def test_a_connect_whose_place_was_taken_during_its_look_up_fails(
    benches: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = benches(EdgeLimits(streams=1))
    answer = threading.Event()
    with socket.create_server((HOST, 0)) as server:
        address = server.getsockname()
        monkeypatch.setattr(names, "look_up", lambda host, port: answer.wait(10) and [(socket.AF_INET, address)])
        named = bench.begin(Connect("somewhere.example", 1))
        assert isinstance(bench.run(Connect(*address)), int)
        answer.set()
        assert bench.end(named).name == "EMFILE"
    assert statistics_of(bench).streams == 1


def test_a_connect_cancelled_during_its_look_up_opens_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answer = threading.Event(), threading.Event()

    def slow(host: str, port: int) -> list[SocketAddress]:
        asked.set()
        assert answer.wait(10)
        return [(socket.AF_INET, (HOST, port))]

    monkeypatch.setattr(names, "look_up", slow)
    named = bench.begin(Connect("somewhere.example", 9))
    assert asked.wait(10)
    bench.submit(IoCancel(named))
    answer.set()
    for _ in range(100):
        if not statistics_of(bench).threads_busy:
            break
        bench._advance()
    assert not bench.has_ended(named)
    assert statistics_of(bench).streams == 0


def test_the_addresses_of_a_name_are_tried_in_order(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused, socket.create_server((HOST, 0)) as server:
        unused.bind((HOST, 0))
        addresses = [
            (socket.AF_INET, ("255.255.255.255", 1)),  # fails at once
            (socket.AF_INET, unused.getsockname()),  # is refused
            (socket.AF_INET, server.getsockname()),
        ]
        monkeypatch.setattr(names, "look_up", lambda host, port: list(addresses))
        assert isinstance(bench.run(Connect("three.example", 1)), int)
        server.accept()[0].close()
        addresses.pop()
        refused = bench.run(Connect("two.example", 1))
        assert refused.name == "ECONNREFUSED"
        assert "connect to two.example:1" in refused.text


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 300, "a..b"])
def test_a_host_that_has_no_address_is_named(bench: Bench, host: str) -> None:
    refused = bench.run(Connect(host, 1))
    assert refused.name.startswith("EAI_")
    assert repr(host) in refused.text


def test_a_look_up_uses_the_bound_of_offload(benches: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = benches(EdgeLimits(offload_threads=1, offload_queue=1))
    go_on = threading.Event()
    monkeypatch.setattr(names, "look_up", lambda host, port: go_on.wait(10) and OsError("EAI_NONAME", host))
    waiting = [bench.begin(Connect("one.example", 1)), bench.begin(Listen("two.example", 1))]
    assert bench.run(Connect("three.example", 1)) == Busy()
    go_on.set()
    assert [bench.end(token) for token in waiting] == [
        OsError("EAI_NONAME", "one.example"),
        OsError("EAI_NONAME", "two.example"),
    ]


def test_a_socket_joined_to_itself_is_a_refused_connect(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind((HOST, 0))
        port = unused.getsockname()[1]
    real = streams._start_connecting

    def from_that_very_port(sock: socket.socket, address: tuple[str, int]) -> int:
        sock.bind(address)
        return real(sock, address)

    monkeypatch.setattr(streams, "_start_connecting", from_that_very_port)
    assert bench.run(Connect(HOST, port)).name == "ECONNREFUSED"
