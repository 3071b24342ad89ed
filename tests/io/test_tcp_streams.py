"""Tcp streams against plain blocking sockets at the other end."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import socket
import struct
import sys
import termios
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regrove.node.core.effects import Accept, Close, Read, Write
from regrove.node.core.ports import IoCancel, IoRelease
from regrove.node.core.reasons import Busy, OsError
from regrove.node.io.contract import LISTENER, STREAM, Bench
from regrove.node.io.streams import SENDS_PER_TURN, TcpStream
from regrove.node.io.table import HandleTable


@contextlib.contextmanager
def connection(bench: Bench) -> Iterator[tuple[int, socket.socket]]:
    """A stream of the bench, and the plain socket at its other end."""
    listener, port = bench.listen()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
        handle, _peer = bench.run(Accept(LISTENER), listener)
        yield handle, peer
        bench.submit(IoRelease(handle), IoRelease(listener))


def stream_of(bench: Bench, handle: int) -> TcpStream:
    table: HandleTable = bench.port._table  # type: ignore[attr-defined]
    stream = table.streams[handle]
    assert isinstance(stream, TcpStream)
    return stream


def test_an_accepted_socket_does_not_block_does_not_delay_and_is_not_inherited(bench: Bench) -> None:
    with connection(bench) as (handle, _peer):
        sock = stream_of(bench, handle).sock
        assert not sock.getblocking()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert fcntl.fcntl(sock, fcntl.F_GETFD) & fcntl.FD_CLOEXEC


def test_a_peer_that_shuts_down_only_its_sending_side_still_gets_the_answer(bench: Bench) -> None:
    with connection(bench) as (handle, peer):
        peer.sendall(b"question")
        peer.shutdown(socket.SHUT_WR)
        assert bench.read_all(handle, 8) == b"question"
        assert bench.run(Read(STREAM), handle) == b""
        assert bench.run(Write(STREAM, b"answer"), handle) is None
        assert peer.recv(100) == b"answer"


@pytest.mark.parametrize("announced", [False, True])
def test_bytes_and_the_end_that_arrive_together_are_both_read(bench: Bench, announced: bool) -> None:
    with connection(bench) as (handle, peer):
        peer.sendall(b"abc")
        peer.shutdown(socket.SHUT_WR)
        if announced:  # the poller has reported the end before anybody reads, and will not report it again
            bench._advance()
            assert stream_of(bench, handle).ended
        assert [bench.run(Read(STREAM, 2), handle) for _ in range(3)] == [b"ab", b"c", b""]


def test_a_reset_fails_the_waiting_read_with_its_name(bench: Bench) -> None:
    with connection(bench) as (handle, peer):
        read = bench.begin(Read(STREAM), handle)
        assert not bench.has_ended(read)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        result = bench.end(read)
        assert isinstance(result, OsError)
        assert result.name == "ECONNRESET"
        assert result.text.startswith("read: ")


def test_a_reset_fails_the_waiting_write(bench: Bench) -> None:
    with connection(bench) as (handle, peer):
        write = bench.begin(Write(STREAM, bytes(bench.flood)), handle)
        assert not bench.has_ended(write)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        assert bench.end(write).name in ("ECONNRESET", "EPIPE")


def test_nothing_is_read_ahead_of_a_read(bench: Bench) -> None:
    with connection(bench) as (handle, peer):
        peer.sendall(bytes(1_000))
        assert bench.run(Read(STREAM, 10), handle) == bytes(10)
        in_kernel = fcntl.ioctl(stream_of(bench, handle).sock, termios.FIONREAD, bytes(4))
        assert int.from_bytes(in_kernel, sys.byteorder) == 990


def test_a_write_begun_while_one_waits_is_busy_and_changes_nothing(bench: Bench) -> None:
    with connection(bench) as (handle, peer):
        data = bytes(range(256)) * (bench.flood // 256)
        write = bench.begin(Write(STREAM, data), handle)
        assert bench.run(Write(STREAM, b"!"), handle) == Busy()
        received = bytearray()
        while len(received) < len(data):
            received += peer.recv(1_000_000)
            bench.has_ended(write)
            bench._advance()
        assert received == data
        assert bench.end(write) is None


def test_a_long_write_to_a_fast_reader_gives_the_others_their_turn(bench: Bench) -> None:
    with connection(bench) as (handle, _peer):
        stream = stream_of(bench, handle)
        sizes: list[int] = []

        def send_a_little(data: bytes | memoryview) -> int:
            sizes.append(len(data))
            return min(len(data), 100)

        stream._send = send_a_little  # type: ignore[assignment]
        write = bench.begin(Write(STREAM, bytes(100 * 20 * SENDS_PER_TURN)), handle)
        assert len(sizes) <= SENDS_PER_TURN + 1
        assert not bench.has_ended(write)
        before = len(sizes)
        bench._advance()
        assert 0 < len(sizes) - before <= SENDS_PER_TURN
        assert bench.end(write) is None
        assert len(sizes) == 20 * SENDS_PER_TURN


def test_a_read_with_a_huge_limit_takes_what_is_there(bench: Bench) -> None:
    with connection(bench) as (handle, peer):
        peer.sendall(b"few")
        assert bench.run(Read(STREAM, 1 << 60), handle) == b"few"


def test_a_close_still_delivers_what_was_written(bench: Bench) -> None:
    with connection(bench) as (handle, peer):
        bench.submit(bench.request(Write(STREAM, b"bye"), handle), bench.request(Close(STREAM), handle))
        assert peer.recv(100) == b"bye"
        assert peer.recv(100) == b""


def test_cancelling_twice_or_after_the_end_changes_nothing(bench: Bench) -> None:
    with connection(bench) as (handle, peer):
        read = bench.begin(Read(STREAM), handle)
        bench.submit(IoCancel(read), IoCancel(read))
        peer.sendall(b"abc")
        second = bench.begin(Read(STREAM), handle)
        assert bench.end(second) == b"abc"
        bench.submit(IoCancel(second))
        peer.sendall(b"def")
        assert bench.run(Read(STREAM), handle) == b"def"


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("sent"), st.integers(1, 5_000)),
        st.tuples(st.just("read"), st.integers(1, 6_000)),
        st.tuples(st.just("cancelled read"), st.integers(1, 6_000)),
        st.tuples(st.just("late cancelled read"), st.integers(1, 6_000)),
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_reads_and_cancels_in_any_order_lose_and_repeat_no_byte(bench: Bench, steps: list[tuple[str, int]]) -> None:
    with connection(bench) as (handle, peer):
        content = bytes(index % 251 for index in range(200_000))
        sent = got = 0
        for step, size in steps:
            if step == "sent":
                peer.sendall(content[sent : sent + size])
                sent += size
            elif step == "read" and got < sent:
                data = bench.run(Read(STREAM, size), handle)
                assert 0 < len(data) <= size
                assert data == content[got : got + len(data)]
                got += len(data)
            elif step == "cancelled read":
                request = bench.request(Read(STREAM, size), handle)
                bench.submit(request, IoCancel(request.token))
            elif step == "late cancelled read" and got == sent:
                token = bench.begin(Read(STREAM, size), handle)
                bench._advance() if size % 2 else None
                bench.submit(IoCancel(token))
                assert not bench.has_ended(token)
        peer.shutdown(socket.SHUT_WR)
        assert bench.read_all(handle, sent - got) == content[got:sent]
        assert bench.run(Read(STREAM), handle) == b""


def test_an_unknown_errno_has_a_name_of_its_number() -> None:
    from regrove.node.io.board import os_error

    assert os_error(OSError(99_999, "odd"), "read") == OsError("E99999", "read: odd")
    assert os_error(OSError(errno.EPIPE, None), "write").name == "EPIPE"
