"""The edge as a whole: every wait is served, bounds are checked, nothing is left behind."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable

import pytest

from regrove.node.core.effects import Accept, Connect, IoWait, Listen, Offload, Open, Read, Write
from regrove.node.core.errors import InvalidBounds
from regrove.node.core.ports import IoCancel, IoPort, IoRelease
from regrove.node.core.reasons import NotOwner
from regrove.node.io import Edge, EdgeLimits, Poller
from regrove.node.io.contract import HOST, LISTENER, STREAM, Bench

MakeBench = Callable[..., Bench]


def edge_of(bench: Bench) -> Edge:
    assert isinstance(bench.port, Edge)
    return bench.port


def test_the_edge_is_an_io_port_and_serves_every_wait_there_is(bench: Bench) -> None:
    port: IoPort = edge_of(bench)
    assert port is not None
    assert set(edge_of(bench)._serve) == set(IoWait.__subclasses__())


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "4", None])
def test_limits_are_ints_of_at_least_one(value: object) -> None:
    with pytest.raises(InvalidBounds, match=r"EdgeLimits\(streams=.*at least 1"):
        EdgeLimits(streams=value)  # type: ignore[arg-type]


def test_an_edge_has_one_descriptor_and_no_thread_before_it_is_asked_for_something(benches: MakeBench) -> None:
    descriptors, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    bench = benches()
    assert len(os.listdir("/proc/self/fd")) - descriptors == 2  # epoll and wake-up
    assert threading.active_count() == threads
    assert edge_of(bench).statistics().pending == 0


def test_a_closed_edge_leaves_no_descriptor_and_no_thread(benches: MakeBench) -> None:
    descriptors, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    bench = benches()
    near, far = bench.pair()
    listener, port = bench.listen()
    for wait, handle in ((Read(STREAM), near), (Write(STREAM, bytes(bench.flood)), far), (Accept(LISTENER), listener)):
        bench.begin(wait, handle)
    bench.run(Open("log", "a"))
    bench.run(Open("log", "r"))
    bench.run(Offload(divmod, 3, 2))
    bench.begin(Connect(HOST, port))
    bench.begin(Open("other", "a"))
    assert threading.active_count() > threads
    benches.made.clear()  # type: ignore[attr-defined]
    edge_of(bench).close()
    bench.poller.close()  # type: ignore[attr-defined]
    assert bench.port.collect() == []
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert threading.active_count() == threads


def test_what_submit_ends_at_once_keeps_the_next_wait_from_sleeping(bench: Bench) -> None:
    near, far = bench.pair()
    requests = [bench.request(Write(STREAM, b"abc"), near), bench.request(Read(STREAM), 12_345)]
    bench.submit(*requests)
    assert [(done.token, done.result) for done in bench.port.collect()] == [
        (requests[0].token, None),
        (requests[1].token, NotOwner()),
    ]
    assert bench.read_all(far, 3) == b"abc"
    for _ in range(3):
        bench._advance()  # nothing of the kernel's is left to wake the poller
    bench.begin(Read(STREAM), 12_345)
    begin = time.monotonic()
    bench.poller.wait(20_000_000_000)  # type: ignore[attr-defined]
    assert time.monotonic() - begin < 10
    assert len(bench.port.collect()) == 1


def test_handles_are_never_reused(bench: Bench) -> None:
    seen: list[int] = []
    for _ in range(5):
        near, far = bench.pair()
        file = bench.run(Open("log", "a"))
        seen += [near, far, file]
        bench.submit(IoRelease(near), IoRelease(far), IoRelease(file))
    assert len(set(seen)) == 15


def test_a_descriptor_number_that_comes_again_serves_its_new_stream_only(bench: Bench) -> None:
    near, far = bench.pair()
    read = bench.begin(Read(STREAM), far)
    assert not bench.has_ended(read)
    bench.submit(IoRelease(near), IoRelease(far))
    again_near, again_far = bench.pair()
    bench.run(Write(STREAM, b"new"), again_near)
    assert bench.read_all(again_far, 3) == b"new"
    assert not bench.has_ended(read)
    assert bench.run(Read(STREAM), far) == NotOwner()


def test_what_was_opened_but_cancelled_before_it_was_collected_is_closed(bench: Bench) -> None:
    listening = bench.request(Listen(HOST, 0))
    bench.submit(listening, IoCancel(listening.token))
    assert edge_of(bench).statistics().listeners == 0
    listener, port = bench.listen()
    with socket.create_connection((HOST, port), timeout=10) as peer:
        accept = bench.request(Accept(LISTENER), listener)
        bench.submit(accept, IoCancel(accept.token))
        assert peer.recv(10) == b""
    assert edge_of(bench).statistics().streams == 0
    assert not bench.has_ended(accept.token)
    assert not bench.has_ended(listening.token)


def test_statistics_count_what_is_open_and_under_way(bench: Bench) -> None:
    near, _far = bench.pair()
    listener, _port = bench.listen()
    bench.begin(Accept(LISTENER), listener)
    bench.begin(Read(STREAM), near)
    bench.run(Open("log", "a"))
    now = edge_of(bench).statistics()
    assert (now.streams, now.listeners, now.pending) == (3, 1, 2)
    assert (now.threads_busy, now.processes_busy, now.files_busy) == (0, 0, 0)


def test_the_package_names_what_it_has() -> None:
    import regrove.node.io as package

    assert (package.Edge, package.Poller) == (Edge, Poller)
    with pytest.raises(AttributeError, match="has no attribute 'Missing'"):
        package.Missing  # noqa: B018
