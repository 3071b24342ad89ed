"""What comes in pieces grows where it stays, whatever the pieces are and whenever the parts become known."""

from __future__ import annotations

import tracemalloc
from itertools import accumulate

import pytest

from regrove.transport import wire
from regrove.transport.parts import BLOB_BYTES, Gathering, Parts, parts_of
from regrove.transport.pieces import Assembly, OnePair, Sending
from regrove.transport.wire import Decoder, Encoder, WireError, WireLimits

DATA = bytes(at % 251 for at in range(1_000))
LENGTHS = [(1_000,), (3, 997), (5, 500, 495), (1, 1, 1, 996, 1), (999, 1)]
MIB = 1024 * 1024


def cut(data: bytes, lengths: tuple[int, ...]) -> tuple[bytes, ...]:
    ends = list(accumulate(lengths))
    return tuple(data[end - length : end] for end, length in zip(ends, lengths, strict=True))


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("size", [1, 2, 7, 500, 999, 1_000])
def test_pieces_of_any_size_become_the_parts(lengths: tuple[int, ...], size: int) -> None:
    for known in range(0, 1_000 + size, size):  # bytes that came before the place did
        gathering = Gathering(1_000)
        for at in range(0, 1_000, size):
            if at == known:
                gathering.divide(lengths)
            gathering.add(DATA[at : at + size])
            assert gathering.size == min(at + size, 1_000)
        if known >= 1_000:
            gathering.divide(lengths)
        assert gathering.size == 1_000
        assert parts_of(gathering.payload()) == cut(DATA, lengths)


def test_one_part_is_bytes_and_more_are_parts() -> None:
    whole, divided = Gathering(1_000), Gathering(1_000)
    divided.divide((400, 600))
    for gathering in (whole, divided):
        gathering.add(DATA)
    assert whole.payload() == DATA
    payload = divided.payload()
    assert type(payload) is Parts
    assert (len(payload), bytes(payload)) == (1_000, DATA)


@pytest.mark.parametrize("lengths", [(16 * MIB,), (5, 16 * MIB - 5)])
def test_a_message_of_16_mib_that_came_whole_is_not_copied_again(lengths: tuple[int, ...]) -> None:
    gathering = Gathering(16 * MIB)
    gathering.divide(lengths)
    piece = bytes(64 * 1024)
    tracemalloc.start()
    try:
        for _ in range(256):
            gathering.add(piece)
        grown = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        payload = gathering.payload()
        given = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert len(payload) == 16 * MIB
    assert given < 4_096, "its end costs nothing"
    assert grown < 17 * MIB, "it is kept once"


def sending(parted: bool) -> Sending:
    half = Sending(1, 16 * MIB, 64 * 1024, 32 * MIB, OnePair(), Encoder())
    half.parted = parted
    half.pace.window = 32 * MIB
    return half


@pytest.mark.parametrize("parted", [True, False])
def test_a_payload_in_parts_arrives_in_parts_where_they_are_understood_and_as_bytes_elsewhere(parted: bool) -> None:
    blob = bytes(at % 251 for at in range(200_000))
    payload = Parts((b"head", blob, b"between", b"b" * BLOB_BYTES, b"end"))
    half = sending(parted)
    half.add(1, payload, 1, True, None)
    place = (1, half.lengths(payload), (1, b""))
    decoder = Decoder(WireLimits())
    told = decoder.frame(Encoder().ordered(1, 1, [Encoder().item(place)]))
    assert told is not None
    assembly = Assembly(16 * MIB, 32 * MIB)
    assert assembly.rows(("a", 1, 0, 1), 1, told.body, OnePair()) == []
    ready = []
    while (found := half.piece(1)) is not None:
        frame = decoder.frame(found[1])
        assert frame is not None
        ready += assembly.piece(2, frame.first, *frame.body)
        half.wrote(found[0])
    ((sequence, (kind, given)),) = ready
    assert (sequence, kind) == (1, 1)
    if parted:
        assert given.parts == payload.parts
    else:
        assert given == bytes(payload)


@pytest.mark.parametrize("size", [1, 255, 256, 65_535, 65_536, 66_000])
def test_a_piece_is_written_as_any_other_frame(size: int) -> None:
    data = bytes(size)
    expected = Encoder().frame(wire.PIECE, 7, 9, (2**40, 2**41, data))
    assert Encoder().piece(7, 9, 2**40, 2**41, memoryview(data)) == expected


@pytest.mark.parametrize(
    ("lengths", "problem"),
    [
        ((), "at least two"),
        ((100_000,), "at least two"),
        ((0, 100_000), "none is empty"),
        ((5, 100_000, 0), "none is empty"),
        ((5, BLOB_BYTES - 1), "every second part"),
        ((5, BLOB_BYTES, 5, 7), "every second part"),
        ((5, -1), "are numbers"),
        ((5, "many"), "are numbers"),
        ((5, 2**64 - 1), "are numbers"),
        ((5, (BLOB_BYTES,)), "are numbers"),
        ((5, *[BLOB_BYTES] * 5_000), "not plain msgpack"),
    ],
)
def test_a_place_with_lengths_that_cannot_be_is_a_wire_error(lengths: tuple[object, ...], problem: str) -> None:
    encoder = Encoder()
    data = encoder.ordered(1, 1, [encoder.item((1, lengths, (1, b"")))])
    with pytest.raises(WireError, match=problem):
        Decoder(WireLimits()).frame(data)


def test_parts_that_are_too_long_together_are_a_wire_error() -> None:
    assembly = Assembly(300_000, 32 * MIB)
    rows = ((1, (5, 200_000, 5, 100_000), (1, b"")),)
    with pytest.raises(WireError, match="300010 bytes, at most 300000"):
        assembly.rows(("a", 1, 0, 1), 1, rows, OnePair())
