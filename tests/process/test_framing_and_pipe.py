"""Frames over sockets that never block."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrove.node.io.poller import Poller
from regrove.node.process.framing import FrameReader, FramingError, pack
from regrove.node.process.pipe import Pipe

SECOND = 1_000_000_000
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.lists(plain, max_size=5), st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_frames_come_out_whole_however_the_bytes_are_cut(values: list[Any], cuts: list[int]) -> None:
    data = b"".join(pack(value) for value in values)
    reader = FrameReader()
    found: list[Any] = []
    at = turn = 0
    while at < len(data):
        step = cuts[turn % len(cuts)]
        found += reader.feed(data[at : at + step])
        at, turn = at + step, turn + 1
    assert found == values


@given(st.binary(max_size=100))
def test_random_bytes_are_frames_or_a_framing_error(data: bytes) -> None:
    try:
        FrameReader(limit=50).feed(data)
    except FramingError:
        return


def test_a_length_over_the_limit_is_refused_before_its_body_comes() -> None:
    with pytest.raises(FramingError, match="1073741824 bytes was announced, the limit is 100"):
        FrameReader(limit=100).feed((1 << 30).to_bytes(4, "big"))


def test_what_is_not_plain_is_refused_at_the_sender() -> None:
    with pytest.raises(FramingError, match="send plain values only"):
        pack({"x": object()})
    with pytest.raises(FramingError, match="send plain values only"):
        pack(2**70)


class Ends:
    """A pipe and the raw socket at its other end."""

    def __init__(self) -> None:
        self.poller = Poller()
        ours, self.other = socket.socketpair()
        self.frames: list[Any] = []
        self.ended: list[str] = []
        self.pipe = Pipe(ours, self.poller, self.frames.append, self.ended.append)

    def close(self) -> None:
        self.pipe.close()
        self.other.close()
        self.poller.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.close()


def test_a_frame_arrives_and_the_end_is_told_once_behind_it(ends: Ends) -> None:
    ends.other.sendall(pack(["x", 1]) + pack(["y"]))
    ends.other.close()
    while not ends.ended:
        ends.poller.wait(SECOND)
    assert ends.frames == [["x", 1], ["y"]]
    assert ends.ended == ["the other end closed"]
    assert ends.pipe.ended


def test_nonsense_ends_the_pipe_with_the_reason(ends: Ends) -> None:
    ends.other.sendall(b"\xff" * 8)
    ends.poller.wait(SECOND)
    assert "bytes was announced" in ends.ended[0]


def test_a_slow_reader_never_blocks_the_writer_and_gets_everything_in_order(ends: Ends) -> None:
    block = b"x" * 100_000
    for number in range(50):
        ends.pipe.send([number, block])
    assert ends.pipe.waiting_bytes > 1_000_000
    reader = FrameReader()
    found: list[Any] = []
    while len(found) < 50:
        ends.poller.wait(0)
        if select.select([ends.other], [], [], 1.0)[0]:
            found += reader.feed(ends.other.recv(1 << 20))
    assert [number for number, _ in found] == list(range(50))
    assert ends.pipe.waiting_bytes == 0


def test_spare_frames_are_refused_while_too_much_waits(ends: Ends) -> None:
    taken = 0
    while ends.pipe.send_spare(b"x" * 10_000, spare_bytes=50_000):
        taken += 1
    assert taken > 5
    assert 50_000 < ends.pipe.waiting_bytes < 70_000
    ends.pipe.send("must arrive")


def test_writing_to_an_end_that_is_gone_loses_nothing_it_had_said(ends: Ends) -> None:
    ends.other.sendall(pack("last words"))
    ends.other.close()
    ends.pipe.send("too late")
    ends.pipe.drain()
    assert ends.frames == ["last words"]
    assert ends.pipe.ended
    ends.pipe.send("much too late")


def test_flush_writes_the_last_words_and_gives_up_in_time(ends: Ends) -> None:
    ends.pipe.send("bye")
    ends.pipe.flush(1.0)
    assert FrameReader().feed(ends.other.recv(100)) == ["bye"]
    ends.pipe.send(b"x" * 10_000_000)
    ends.pipe.flush(0.01)
    assert ends.pipe.waiting_bytes == 0


def test_a_frame_handler_may_close_the_pipe(ends: Ends) -> None:
    ends.pipe.close()
    ends.pipe.close()
    assert ends.ended == []
