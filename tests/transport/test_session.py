"""The sending half when the transport does not take everything, and what is left of it at its end."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from regrove.transport.base import Handler
from regrove.transport.credit import CreditError, Window
from regrove.transport.events import LinkUp, Verdict
from regrove.transport.handshake import Hello, Identity, Welcome, read_hello, welcome_body
from regrove.transport.incoming import Incoming
from regrove.transport.link import LinkSettings
from regrove.transport.links import LinkTable
from regrove.transport.pieces import Assembly
from regrove.transport.session import Outgoing
from regrove.transport.wire import GRANT, WELCOME, Decoder, Encoder, WireError, WireLimits
from tests.transport.conftest import draw_of

WINDOW = Window(1_000, 1_000_000)


def sending() -> Outgoing:
    return Outgoing(7, WINDOW, Encoder(), 100_000)


def never(session: int, frame: bytes) -> bool:
    return False


def always(session: int, frame: bytes) -> bool:
    return True


def test_a_batch_is_cut_at_64_items_and_at_32_kib() -> None:
    out = sending()
    frames: list[bytes] = []
    for number in range(130):
        assert out.post((1, number, b""), None) is Verdict.OK
    for size in (20_000, 20_000, 40_000, 5):
        assert out.post((1, bytes(size)), None) is Verdict.OK
    out.cut()
    out.write(1, lambda session, frame: frames.append(frame) or True)  # type: ignore[func-returns-value]
    decoder = Decoder(WireLimits(100_000))
    bodies = [frame.body for frame in map(decoder.frame, frames) if frame is not None]
    assert [len(body) for body in bodies] == [64, 64, 3, 1, 1, 1]
    assert [len(item[-1]) for body in bodies[2:] for item in body] == [0, 0, 20_000, 20_000, 40_000, 5]


def test_what_the_transport_did_not_take_has_not_left() -> None:
    out = sending()
    for number in range(100):
        out.post((1, number, b""), number)
    taken = iter([True, False])
    out.cut()
    assert not out.write(1, lambda session, frame: next(taken))
    ended = out.end()
    assert (ended.unknown, ended.never_left_count) == (64, 36)
    assert [token for _, token in ended.tokens] == list(range(64))
    assert ended.never_left == tuple(range(64, 100))


def test_acknowledgements_fall_on_ends_of_frames_and_never_back() -> None:
    out = sending()
    for number in range(128):
        out.post((1, number, b""), None)
    out.write(1, always)
    out.acknowledge(64)
    assert out.acknowledged == 64
    out.acknowledge(64)
    for wrong in (1, 63, 65, 127, 129):
        with pytest.raises(WireError, match="no end of a frame"):
            out.acknowledge(wrong)


def test_what_was_not_written_cannot_be_acknowledged() -> None:
    out = sending()
    for number in range(64):
        out.post((1, number, b""), None)
    assert not out.write(1, never)
    with pytest.raises(WireError, match="no end of a frame"):
        out.acknowledge(64)


@pytest.mark.parametrize(("last", "arrived", "lost"), [(64, 0, 64), (128, 64, 0)])
def test_an_ended_half_is_resolved_by_the_last_sequence_taken(last: int, arrived: int, lost: int) -> None:
    out = sending()
    for number in range(128):
        out.post((1, number, b""), number)
    out.write(1, always)
    out.acknowledge(64)
    taken, tokens = out.end().resolve(last)
    assert (taken, len(tokens)) == (arrived, lost)


@pytest.mark.parametrize("last", [0, 63, 65, 129, 10**6])
def test_a_resolution_that_cannot_be_true_is_an_error(last: int) -> None:
    out = sending()
    for number in range(128):
        out.post((1, number, b""), None)
    out.write(1, always)
    out.acknowledge(64)
    with pytest.raises(WireError, match="no end of a frame"):
        out.end().resolve(last)


def test_a_token_of_a_late_refusal_is_kept_for_a_window_and_given_once() -> None:
    out = Outgoing(7, Window(10_000, 1 << 30), Encoder(), 100)
    for number in range(6_400):
        out.post((1, number, b""), number)
    out.write(1, always)
    out.acknowledge(6_400)
    assert out.refused(6_400) == 6_399
    assert out.refused(6_400) is None
    assert out.refused(1) is None, "too old: forgotten"
    with pytest.raises(WireError, match="refused sequence"):
        out.refused(6_401)


def test_a_receiving_half_takes_no_gap_and_no_repetition() -> None:
    into = Incoming(7, WINDOW, WINDOW, Assembly(1_000, 1_000))
    into.accept(1, ((1, b"a"), (17,)))
    assert (into.taken, into.messages, into.signals) == (2, 1, 1)
    for first in (1, 2, 4):
        with pytest.raises(WireError, match=f"gap: sequence {first} came where 3"):
            into.accept(first, ((1, b"b"),))
    with pytest.raises(CreditError):
        into.accept(3, tuple((1, bytes(100_000)) for _ in range(11)))


class Stub:
    """A transport that takes frames only while it is willing."""

    def __init__(self) -> None:
        self.willing = True
        self.sent: list[bytes] = []
        self.handler: Handler | None = None

    def attach(self, handler: Handler) -> None:
        self.handler = handler

    def listen(self, endpoint: str) -> str:
        return endpoint

    def open(self, endpoint: str, server_key: str = "") -> int:
        return 1

    def try_send(self, session: int, frame: bytes) -> bool:
        if self.willing:
            self.sent.append(frame)
        return self.willing

    def close(self, session: int) -> None: ...

    def poll(self) -> bool:
        return False

    def pending(self) -> bool:
        return False

    def fds(self) -> Sequence[int]:
        return ()

    def destroy(self, linger: float = 0.0) -> None: ...


def test_a_transport_that_is_full_is_written_to_again_when_it_says_so() -> None:
    stub = Stub()
    you = Identity("test", ("b", 1, 0, 1))
    table = LinkTable(stub, Identity("test", ("a", 1, 0, 1)), draw_of("a"), LinkSettings())  # type: ignore[arg-type]
    table.learn(you.peer, "stub://b")
    table.post(you.peer, (1, b"one"))
    table.flush(0)
    decoder, encoder = Decoder(WireLimits()), Encoder()
    hello = decoder.frame(stub.sent.pop())
    assert hello is not None
    assert isinstance(read_hello(hello.body), Hello)
    welcome = welcome_body(Welcome(you, 1, (4096, 1 << 23)))
    table.on_frames(1, [encoder.frame(WELCOME, hello.nonce, 0, welcome)])
    stub.willing = False
    assert any(isinstance(event, LinkUp) for event in table.receive(1))
    table.flush(1)
    table.post(you.peer, (1, b"two"))
    table.flush(2)
    assert stub.sent == []
    row = table.statistics()[0]
    assert (row.in_flight, row.waiting) == (0, 2)
    stub.willing = True
    table.on_writable(1)
    table.flush(3)
    bodies = [frame.body for frame in map(decoder.frame, stub.sent) if frame is not None]
    assert bodies == [((1, b"one"),), ((1, b"two"),)]
    assert table.statistics()[0].in_flight == 2
    table.on_frames(1, [encoder.frame(GRANT, hello.nonce, 0, [2, 5_000, 1 << 23, []])])
    table.receive(4)
    assert table.statistics()[0].acknowledged == 2
