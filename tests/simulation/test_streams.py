"""Simulated tcp."""

from __future__ import annotations

import pytest

from regrove.node.simulation.clock import SECOND, Clock
from regrove.node.simulation.seeds import Draws
from regrove.node.simulation.streams import RETRY, WINDOW, End, Tcp


class Ear:
    """Owns an end and notes what it hears; reads all there is when told to."""

    def __init__(self, end: End, reads: bool = True) -> None:
        self.end = end
        self.reads = reads
        self.data = bytearray()
        self.pieces: list[bytes] = []
        self.ended = False
        self.error: str | None = None
        self.drained = 0
        end.owner = self

    def stream_ready(self, end: End) -> None:
        self.error = end.error
        while self.reads and end.error is None and not self.ended:
            piece = end.read(65536)
            if piece is None:
                return
            self.ended = piece == b""
            self.data += piece
            self.pieces.append(piece)

    def stream_drained(self, end: End) -> None:
        self.drained += 1


class Door:
    """A listener that takes everything."""

    def __init__(self, room: int = 10) -> None:
        self.ends: list[Ear] = []
        self.room = room

    def offer(self, end: End, peer: str) -> bool:
        if len(self.ends) >= self.room:
            return False
        self.ends.append(Ear(end))
        return True


class Pair:
    """A world with one listener at n0:80 and one connection to it."""

    def __init__(self, seed: int = 0) -> None:
        self.clock = Clock()
        self.cut: dict[tuple[str, str], None] = {}
        self.tcp = Tcp(self.clock, Draws(seed), lambda a, b: (a, b) not in self.cut)
        self.door = Door()
        assert self.tcp.bind("n0", 80, self.door, False) == 80
        self.near = self.connect()
        self.run()
        self.far = self.door.ends[0]

    def connect(self, port: int = 80) -> Ear:
        found: list[Ear | str] = []
        self.errors: list[str] = []

        def done(end: End | None, error: str) -> None:
            found.append(Ear(end) if end is not None else error)

        self.tcp.connect(("n1", "0"), ("n0", port), done)
        self.run()
        answer = found[0]
        if isinstance(answer, str):
            raise ConnectionRefusedError(answer)
        return answer

    def run(self, ns: int = SECOND) -> None:
        self.clock.run_until(self.clock.now + ns)


def test_bytes_arrive_in_order_whatever_their_pieces() -> None:
    data = bytes(range(256)) * 400
    counts = []
    for seed in range(5):
        pair = Pair(seed)
        pair.near.end.write(data)
        pair.run()
        assert bytes(pair.far.data) == data
        counts.append(len(pair.far.pieces))
    assert min(counts) > len(data) // (16 * 1024)
    assert len(dict.fromkeys(counts)) > 1


def test_both_ways_at_once() -> None:
    pair = Pair()
    pair.near.end.write(b"ping")
    pair.far.end.write(b"pong")
    pair.run()
    assert bytes(pair.far.data) == b"ping"
    assert bytes(pair.near.data) == b"pong"


def test_a_reader_that_does_not_read_stops_the_writer_at_the_window() -> None:
    pair = Pair()
    pair.far.reads = False
    pair.near.end.write(bytes(WINDOW + 1000))
    pair.run()
    assert len(pair.far.end.inbox) == WINDOW
    assert pair.near.drained == 0
    pair.far.reads = True
    pair.far.stream_ready(pair.far.end)
    pair.run()
    assert len(pair.far.data) == WINDOW + 1000
    assert pair.near.drained == 1


def test_a_close_is_read_as_the_end_behind_the_bytes() -> None:
    pair = Pair()
    pair.near.end.write(b"last words")
    pair.near.end.close()
    pair.run()
    assert bytes(pair.far.data) == b"last words"
    assert pair.far.ended
    assert pair.far.error is None


def test_a_close_with_bytes_unread_resets_the_peer() -> None:
    pair = Pair()
    pair.far.reads = False
    pair.near.end.write(b"nobody reads this")
    pair.run()
    pair.far.end.close()
    pair.run()
    assert pair.near.error == "ECONNRESET"


def test_a_write_to_a_closed_peer_is_answered_by_a_reset() -> None:
    pair = Pair()
    pair.far.end.close()
    pair.run()
    assert pair.near.ended
    pair.near.end.write(b"too late")
    pair.run()
    assert pair.near.error == "ECONNRESET"


def test_bytes_wait_for_the_end_of_a_cut_and_none_is_lost() -> None:
    pair = Pair()
    pair.cut[("n1", "n0")] = None
    pair.near.end.write(b"held up")
    pair.run(5 * SECOND)
    assert bytes(pair.far.data) == b""
    pair.far.end.write(b"the other way is open")
    pair.run()
    assert bytes(pair.near.data) == b"the other way is open"
    pair.cut.clear()
    pair.near.end.write(b", then more")
    pair.run(RETRY + SECOND)
    assert bytes(pair.far.data) == b"held up, then more"


def test_a_connect_to_nobody_or_to_a_full_backlog_is_refused() -> None:
    pair = Pair()
    for port, room in ((81, 10), (80, 1)):
        pair.door.room = room
        with pytest.raises(ConnectionRefusedError, match="ECONNREFUSED"):
            pair.connect(port)
    assert pair.tcp.refused == 2


def test_a_port_is_shared_only_by_listeners_that_all_ask_to() -> None:
    pair = Pair()
    tcp = pair.tcp
    assert tcp.bind("n0", 80, Door(), True) is None
    assert tcp.bind("n1", 80, Door(), False) == 80
    one, other = Door(100), Door(100)
    assert tcp.bind("n0", 90, one, True) == 90
    assert tcp.bind("n0", 90, other, True) == 90
    for _ in range(20):
        pair.connect(90)
    assert len(one.ends) + len(other.ends) == 20
    assert len(one.ends) > 2
    assert len(other.ends) > 2


def test_port_zero_takes_a_free_one() -> None:
    pair = Pair()
    first = pair.tcp.bind("n0", 0, Door(), False)
    second = pair.tcp.bind("n0", 0, Door(), False)
    assert first is not None
    assert second is not None
    assert first != second


def test_each_connection_draws_for_itself_and_its_draws_go_with_it() -> None:
    clock, draws, ends = Clock(), Draws(0), []
    tcp = Tcp(clock, draws, lambda _, to: True)
    tcp.bind("n0", 80, Door(room=1_000), shared=False)

    def connect() -> None:
        tcp.connect(("n1", "n1/0"), ("n0", 80), lambda end, _: ends.append(end))
        tcp.connect(("n1", "n1/0"), ("n0", 81), lambda end, _: ends.append(end))
        clock.run_until(clock.now + SECOND)

    connect()
    before = draws.kept
    for _ in range(20):
        connect()
    assert sum(end is not None for end in ends) == 21
    assert draws.kept == before


def test_a_connect_that_was_refused_is_no_connection_to_reset() -> None:
    clock = Clock()
    tcp = Tcp(clock, Draws(0), lambda _, to: True)
    full = Door(room=0)
    tcp.bind("n0", 80, full, shared=False)
    answers: list[str] = []
    for port in (80, 81):
        tcp.connect(("n1", "n1/0"), ("n0", port), lambda _, error: answers.append(error))
    clock.run_until(SECOND)
    assert answers == ["ECONNREFUSED", "ECONNREFUSED"]
    assert tcp.reset_all("n0") == 0
    assert tcp.reset_all("n1") == 0
