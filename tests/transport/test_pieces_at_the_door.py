"""Pieces of peers that lie, stop or are older: the session ends with a reason, or the message is refused at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from sys import getsizeof

import pytest

from regrove.transport import wire
from regrove.transport.contract import Recorder
from regrove.transport.contract_links import Node, Stage
from regrove.transport.events import DialRefused, LinkLost, LinkUp, Verdict
from regrove.transport.handshake import PARTS, PIECES, Hello, Identity, Welcome, hello_body, read_hello, welcome_body
from regrove.transport.link import LinkSettings
from regrove.transport.parts import Parts
from regrove.transport.pieces import Assembly, OnePair
from regrove.transport.wire import INLINE_BYTES_MAX, Decoder, Encoder, Item, WireLimits
from tests.transport.conftest import SimulatedWorld

MIB = 1024 * 1024
MS = 1_000_000
NONCE = 77
VANDAL = Identity("test", ("v", 1, 0, 1), features=(PIECES,))
SMALL = replace(LinkSettings(), message_max=4_000, inline_max=1_000, bulk=8_000)


class Vandal:
    """A peer of `b` that writes its frames by hand: a session, and a bulk session."""

    def __init__(self, stage: Stage, b: Node, name: str = "vandal") -> None:
        self.stage = stage
        self.end = stage.world.end(name)
        self.heard = Recorder()
        self.end.attach(self.heard)
        self.encoder = Encoder()
        self.b = b
        self.main = self.end.open(b.endpoint)
        self.bulk = 0
        hello = Hello(VANDAL, 1, message_max=1_000, bulk=(4_000, 8_000))
        self.end.try_send(self.main, self.encoder.frame(wire.HELLO, NONCE, 0, hello_body(hello)))
        for _ in range(4):
            stage.turn()

    def open_bulk(self, nonce: int = NONCE) -> None:
        self.bulk = self.end.open(self.b.endpoint)
        self.say(self.bulk, wire.BULK, 0, {"peer": list(VANDAL.peer)}, nonce)

    def say(self, session: int, type_: int, first: int, body: object, nonce: int = NONCE) -> None:
        self.end.try_send(session, self.encoder.frame(type_, nonce, first, body))
        for _ in range(3):
            self.stage.turn()

    def place(self, first: int, *lengths: int) -> None:
        rows = [(1, length, (1, first, b"")) for length in lengths]
        self.end.try_send(self.main, self.encoder.ordered(NONCE, first, [self.encoder.item(row) for row in rows]))
        for _ in range(3):
            self.stage.turn()

    def piece(self, sequence: int, offset: int, length: int, size: int) -> None:
        self.say(self.bulk, wire.PIECE, sequence, [offset, length, bytes(size)])


def one_of_two(vandal: Vandal) -> None:
    vandal.place(1, 2_000)
    vandal.piece(1, 0, 2_000, 1_000)


def twice(vandal: Vandal) -> None:
    one_of_two(vandal)
    vandal.piece(1, 0, 2_000, 1_000)


def too_long(vandal: Vandal) -> None:
    vandal.place(1, 1_500)
    vandal.piece(1, 0, 1_500, 1_000)
    vandal.piece(1, 1_000, 1_500, 501)


def other_length(vandal: Vandal) -> None:
    one_of_two(vandal)
    vandal.piece(1, 1_000, 3_000, 1_000)


def other_place(vandal: Vandal) -> None:
    vandal.piece(1, 0, 3_000, 1_000)
    vandal.place(1, 2_000)


def no_place(vandal: Vandal) -> None:
    vandal.piece(1, 0, 2_000, 1_000)
    vandal.say(vandal.main, wire.BATCH, 1, [(1, b"small")])


def after_its_place(vandal: Vandal) -> None:
    vandal.say(vandal.main, wire.BATCH, 1, [(1, b"small")])
    vandal.piece(1, 0, 2_000, 1_000)


def over_the_budget(vandal: Vandal) -> None:
    vandal.place(1, 4_000, 4_000, 4_000)
    for sequence in (1, 2, 3):
        vandal.piece(sequence, 0, 4_000, 1_000)


def over_the_limit(vandal: Vandal) -> None:
    vandal.place(1, 4_001)


def early_over_the_limit(vandal: Vandal) -> None:
    vandal.piece(1, 0, 4_001, 1_000)


def too_many(vandal: Vandal) -> None:
    for first in range(1, wire.TRANSFERS_MAX + 2, 64):
        vandal.place(first, *[1] * 64)


def on_the_session(vandal: Vandal) -> None:
    vandal.say(vandal.main, wire.PIECE, 1, [0, 2_000, b"x"])


def mail_on_the_bulk_session(vandal: Vandal) -> None:
    vandal.say(vandal.bulk, wire.BATCH, 1, [(1, b"x")])


def taken_of_nothing(vandal: Vandal) -> None:
    vandal.say(vandal.bulk, wire.TAKEN, 0, [5])


def another_nonce(vandal: Vandal) -> None:
    vandal.say(vandal.bulk, wire.PIECE, 1, [0, 2_000, b"x"], nonce=NONCE + 1)


def a_second_bulk_session(vandal: Vandal) -> None:
    one_of_two(vandal)
    vandal.open_bulk()


LIES: list[tuple[Callable[[Vandal], None], str]] = [
    (twice, "a piece of 1000 bytes at 0 of 2000 came for big message 1, of which 1000 of 2000 are there"),
    (too_long, "a piece of 501 bytes at 1000 of 1500"),
    (other_length, "at 1000 of 3000"),
    (other_place, "has 3000 bytes by its pieces, 2000 by its place"),
    (no_place, "pieces came for sequence 1, which is no big message"),
    (after_its_place, "a piece came for sequence 1, which is no big message under way"),
    (over_the_budget, "12000 bytes of big messages came under a budget of 8000"),
    (over_the_limit, "has 4001 bytes, at most 4000 are taken"),
    (early_over_the_limit, "has 4001 bytes, at most 4000 are taken"),
    (too_many, "is one more than the 1024 that may be under way"),
    (on_the_session, "pieces came where they do not travel"),
    (mail_on_the_bulk_session, "only pieces and what was taken of them"),
    (taken_of_nothing, "a TAKEN came on a session that sends no pieces"),
    (another_nonce, "a frame of session 78 came on the bulk session of 77"),
    (a_second_bulk_session, "a second BULK came while big messages were under way"),
]


@pytest.mark.parametrize(("lie", "problem"), LIES, ids=[lie.__name__ for lie, _ in LIES])
def test_pieces_that_cannot_be_right_end_the_session_with_the_reason(
    lie: Callable[[Vandal], None], problem: str
) -> None:
    world = SimulatedWorld()
    stage = Stage(world, SMALL)
    b = stage.node("b")
    vandal = Vandal(stage, b)
    vandal.open_bulk()
    lie(vandal)
    assert [problem in event.reason for event in b.heard(DialRefused)] == [True], b.heard(DialRefused)
    assert not b.table._sessions, "both connections are gone"
    assert b.table.statistics()[0].received_torn <= wire.TRANSFERS_MAX


@pytest.mark.parametrize("nonce", [NONCE, NONCE + 1])
def test_a_bulk_session_for_no_session_of_its_own_is_told_goodbye(nonce: int) -> None:
    stage = Stage(SimulatedWorld(), SMALL)
    b = stage.node("b")
    stranger = Vandal(stage, b, "vandal")
    if nonce == NONCE:
        stranger.say(stranger.main, wire.BYE, 0, {"reason": "gone"})
    stranger.open_bulk(nonce)
    stranger.end.poll()
    assert [frame[3] for session, frame in stranger.heard.frames if session == stranger.bulk] == [wire.BYE]
    assert len(b.table._sessions) == (nonce != NONCE)


def test_a_place_without_pieces_ends_the_session_after_ten_seconds() -> None:
    world = SimulatedWorld()
    stage = Stage(world, SMALL)
    b = stage.node("b")
    vandal = Vandal(stage, b)
    vandal.open_bulk()
    vandal.place(1, 2_000)
    begin = world.now()
    stage.until(lambda: not b.table._inbound, "the end", limit=20_000 * MS)
    assert 9_900 * MS <= world.now() - begin < 10_100 * MS
    for _ in range(3):
        stage.turn()
    vandal.end.poll()
    assert b"for 10000 ms no piece of one came" in vandal.heard.frames[-1][1]


def test_what_waits_behind_a_big_message_takes_no_more_than_the_window() -> None:
    """Its credit is given back when it goes on, so that a receiver holds no more than it granted."""
    stage = Stage(SimulatedWorld(), SMALL)
    b = stage.node("b")
    vandal = Vandal(stage, b)
    vandal.open_bulk()
    vandal.place(1, 2_000)
    first = 2
    while first < 10_000 and b.table._inbound:
        rows = [(1, 0, (1, at, b"")) for at in range(64)]
        vandal.end.try_send(
            vandal.main, vandal.encoder.ordered(NONCE, first, [vandal.encoder.item(row) for row in rows])
        )
        first += 64
        for _ in range(3):
            stage.turn()
    assert "came under a grant of 4097 messages" in b.heard(DialRefused)[0].reason
    assert 4_000 < len(b.items()) <= 4_097, "what was held is handed over, what was torn is not"


def test_signals_behind_a_big_message_that_is_never_whole_come_to_an_end() -> None:
    """They take no credit: a peer that sends a little of the big one now and then could have any number held."""
    stage = Stage(SimulatedWorld(), SMALL)
    b = stage.node("b")
    vandal = Vandal(stage, b)
    vandal.open_bulk()
    vandal.place(1, 2_000)
    rows = [vandal.encoder.item((1, 0, (17, at, b""))) for at in range(64)]
    for first in range(2, 40_000, 64):
        vandal.end.try_send(vandal.main, vandal.encoder.ordered(NONCE, first, rows))
        stage.turn()
        if not b.table._inbound:
            break
    assert "32832 signals of 2101248 bytes came behind big messages" in b.heard(DialRefused)[0].reason
    assert len(b.items()) == 32_832, "what was held is handed over"


def test_signals_behind_big_messages_are_counted_no_more_once_they_go_on() -> None:
    stage = Stage(SimulatedWorld(), SMALL)
    b = stage.node("b")
    vandal = Vandal(stage, b)
    vandal.open_bulk()
    rows = [vandal.encoder.item((1, 0, (17, at, b""))) for at in range(64)]
    first = 1
    for _ in range(600):
        vandal.place(first, 100)
        vandal.end.try_send(vandal.main, vandal.encoder.ordered(NONCE, first + 1, rows))
        vandal.piece(first, 0, 100, 100)
        first += 65
    assert len(b.items()) == 600 * 65
    assert not b.heard(DialRefused)


def test_a_message_in_the_smallest_of_pieces_takes_no_more_memory_than_its_bytes() -> None:
    assembly = Assembly(10_000, 10_000)
    rows = ((1, 10_000, (1, b"")),)
    assembly.rows(VANDAL.peer, 1, rows, OnePair())
    data = bytes(at % 251 for at in range(10_000))
    ready: list[tuple[int, Item]] = []
    for at in range(0, 10_000, 2):
        ready = assembly.piece(2, 1, at, 10_000, data[at : at + 2])
        if assembly.halves:
            assert getsizeof(assembly.halves[1].gathering._file) < 10_500
    assert ready == [(1, (1, data))]


@pytest.mark.parametrize("message_max", [0, 1])
def test_a_peer_that_takes_almost_nothing_in_a_frame_does_not_hold_up_a_pass(message_max: int) -> None:
    """0 can carry no message, and is refused: the pieces of one would have been empty, without an end."""
    stage = Stage(SimulatedWorld())
    a = stage.node("a")
    answer = older(stage, a, message_max, VANDAL)
    assert a.table.post(VANDAL.peer, (1, b"a")) is Verdict.OK
    answer()
    for _ in range(3):
        stage.turn()
    if not message_max:
        assert "'message_max' is at least 1" in a.heard(DialRefused)[0].reason
        return
    assert a.heard(LinkUp)
    assert a.table.post(VANDAL.peer, (1, bytes(MIB))) is Verdict.OK
    stage.turn()
    out = a.table._links[VANDAL.peer].out
    assert out is not None
    assert out.bulk is not None
    assert 0 < out.bulk.written <= 5_000, "each piece counts with what it costs beside its byte"


def older(
    stage: Stage, a: Node, message_max: int = 4 * MIB, identity: Identity = replace(VANDAL, features=())
) -> Callable[[], Hello]:
    """A peer without pieces that answers `a`'s HELLO, with a message limit of 4 MiB."""
    end, heard = stage.world.end("v"), Recorder()
    end.attach(heard)
    a.table.learn(VANDAL.peer, stage.world.listen("v"))

    def answer() -> Hello:
        for _ in range(10):
            stage.turn()
            end.poll()
        session, data = heard.frames[-1]
        frame = Decoder(WireLimits()).frame(data)
        assert frame is not None
        assert frame.type == wire.HELLO
        welcome = Welcome(identity, 1, (4096, 8 * MIB), message_max=message_max, bulk=(4 * MIB, 8 * MIB))
        end.try_send(session, Encoder().frame(wire.WELCOME, frame.nonce, 0, welcome_body(welcome)))
        return read_hello(frame.body)

    return answer


def test_a_peer_without_pieces_is_sent_nothing_over_one_frame() -> None:
    stage = Stage(SimulatedWorld())
    a = stage.node("a")
    answer = older(stage, a)
    assert a.table.post(VANDAL.peer, (1, b"hello")) is Verdict.OK
    hello = answer()
    assert PIECES in hello.identity.features
    assert (hello.message_max, hello.bulk) == (INLINE_BYTES_MAX, (16 * MIB, 32 * MIB))
    stage.until(lambda: a.heard(LinkUp), "the link")
    assert a.table.post(VANDAL.peer, (1, bytes(INLINE_BYTES_MAX + 1))) is Verdict.TOO_LARGE
    assert a.table.answer(VANDAL.peer, (17, bytes(INLINE_BYTES_MAX + 1))) is Verdict.TOO_LARGE
    assert a.table.post(VANDAL.peer, (1, bytes(INLINE_BYTES_MAX))) is Verdict.OK


def test_a_big_message_that_waits_for_the_welcome_of_a_peer_without_pieces_never_left() -> None:
    stage = Stage(SimulatedWorld())
    a = stage.node("a")
    answer = older(stage, a)
    assert a.table.post(VANDAL.peer, (1, bytes(INLINE_BYTES_MAX + 1)), "big") is Verdict.OK
    assert a.table.post(VANDAL.peer, (1, b"small"), "small") is Verdict.OK
    answer()
    stage.until(lambda: a.heard(LinkLost), "the end of the session")
    assert a.heard(LinkLost)[0].never_left == ("big", "small")
    assert "takes no message as large as one that waits for it" in a.heard(LinkLost)[0].reason
    stage.until(lambda: a.table.statistics()[0].state == "opening", "the redial")
    assert a.table.post(VANDAL.peer, (1, bytes(INLINE_BYTES_MAX + 1))) is Verdict.TOO_LARGE


@pytest.mark.parametrize("block", range(4))
def test_a_core_survives_whatever_comes_on_a_bulk_session(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames of a right conversation, some changed, left out or out of order; a friend's link goes on."""
    monkeypatch.setattr(wire, "BLOB_BYTES", 900)
    lengths: list[object] = [0, 0, 1_500, (3, 997, 500), (600, 900), (1, 950, 1, 547, 1)]
    reached = {"refused": 0, "taken": 0, "parts": 0}
    for seed in range(block * 80, (block + 1) * 80):
        random = Random(seed)
        stage = Stage(SimulatedWorld(), SMALL)
        b, friend = stage.pair()
        friend.table.post(b.peer, (1, b"before"))
        stage.until(b.items, "the friend's item")
        vandal = Vandal(stage, b)
        vandal.open_bulk(NONCE if random.random() < 0.9 else 5)
        encoder = Encoder()
        rows = [(random.randrange(3), random.choice(lengths), (random.choice([1, 17]), at, b"")) for at in range(5)]
        said = [(vandal.main, encoder.ordered(NONCE, 1, [encoder.item(row) for row in rows]))]
        for sequence, (_, told, _) in enumerate(rows, 1):
            length = 1_500 if told else 0
            for offset in range(0, length, 1_000):
                body = [offset, length, bytes(min(1_000, length - offset))]
                said.append((vandal.bulk, encoder.frame(wire.PIECE, NONCE, sequence, body)))
        for session, frame in said:
            if random.random() < 0.05:
                continue
            data = bytearray(frame)
            if random.random() < 0.1:
                data[random.randrange(min(40, len(data)))] = random.randrange(256)
            vandal.end.try_send(session if random.random() < 0.97 else vandal.main, bytes(data))
            stage.turn()
        for _ in range(10):
            stage.turn()
        reached["refused"] += len(b.heard(DialRefused))
        reached["taken"] += len(b.items()) - 1
        reached["parts"] += sum(type(item[-1]) is Parts for item in b.items())
        before = len(b.items())
        assert friend.table.post(b.peer, (1, b"after")) is Verdict.OK
        stage.until(lambda b=b, before=before: len(b.items()) > before, "the friend")  # type: ignore[misc]
        assert not friend.heard(LinkLost)
    assert min(reached.values()) > 10, reached


@pytest.mark.parametrize("features", [(PIECES,), (PIECES, PARTS)])
def test_only_a_peer_that_reads_them_is_told_the_lengths_of_parts(features: tuple[str, ...]) -> None:
    stage = Stage(SimulatedWorld())
    a = stage.node("a")
    end, heard = stage.world.end("v"), Recorder()
    end.attach(heard)
    a.table.learn(VANDAL.peer, stage.world.listen("v"))
    assert a.table.post(VANDAL.peer, (1, b"a")) is Verdict.OK

    def turn() -> None:
        for _ in range(10):
            stage.turn()
            end.poll()

    turn()
    session, data = heard.frames[-1]
    hello = Decoder(WireLimits()).frame(data)
    assert hello is not None
    assert {PIECES, PARTS} <= set(read_hello(hello.body).identity.features)
    theirs = replace(VANDAL, features=features)
    welcome = Welcome(theirs, 1, (4096, 8 * MIB), message_max=INLINE_BYTES_MAX, bulk=(4 * MIB, 8 * MIB))
    end.try_send(session, Encoder().frame(wire.WELCOME, hello.nonce, 0, welcome_body(welcome)))
    stage.until(lambda: a.heard(LinkUp), "the link")
    payload = Parts((b"head", bytes(MIB), b"end"))
    assert a.table.post(VANDAL.peer, (1, payload)) is Verdict.OK
    turn()
    frames = [Decoder(WireLimits()).frame(data) for at, data in heard.frames if at == session]
    (row,) = [row for frame in frames if frame is not None and frame.type == wire.ORDERED for row in frame.body]
    assert row[1:] == ((4, MIB, 3) if PARTS in features else MIB + 7, (1, b""))


def test_parts_whose_pieces_come_before_their_place_are_put_where_they_belong() -> None:
    stage = Stage(SimulatedWorld())
    b = stage.node("b")
    vandal = Vandal(stage, b)
    vandal.open_bulk()
    data = bytes(at % 251 for at in range(100_000))
    for offset in range(0, 70_000, 35_000):
        vandal.say(vandal.bulk, wire.PIECE, 1, [offset, 100_000, data[offset : offset + 35_000]])
    row = (1, (1_000, 70_000, 29_000), (1, b""))
    vandal.end.try_send(vandal.main, vandal.encoder.ordered(NONCE, 1, [vandal.encoder.item(row)]))
    vandal.say(vandal.bulk, wire.PIECE, 1, [70_000, 100_000, data[70_000:]])
    stage.until(b.items, "the message")
    assert b.items()[0][1].parts == (data[:1_000], data[1_000:71_000], data[71_000:])
    assert not b.heard(DialRefused)
