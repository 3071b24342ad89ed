"""Large bytes in a message travel apart: the same bytes, copied by nobody, and safe to read from anybody."""

from __future__ import annotations

from random import Random
from typing import Any

import msgpack
import pytest

from regrove.node.core import codec
from regrove.node.core.errors import DecodeError, UnsendableValue
from regrove.node.core.messages import decode, decode_all, encode, message, payload_of
from regrove.transport.parts import BLOB_BYTES, Parts

BLOB = bytes(range(256)) * 256
OTHER = b"o" * (BLOB_BYTES + 1)


@message(name="tests.parts.Page")
class Page:
    number: int
    data: bytes
    title: str = ""
    more: object = None


@message(name="tests.parts.Grown")
class Grown:
    number: int
    data: bytes = OTHER


PLACES: dict[str, tuple[Any, list[bytes]]] = {
    "by itself": (BLOB, [BLOB]),
    "in a list": ([1, BLOB], [BLOB]),
    "between others": ((b"s", BLOB, "text", OTHER, None), [BLOB, OTHER]),
    "one behind the other": ([BLOB, BLOB], [BLOB, BLOB]),
    "among small bytes": ([b"a", BLOB, b"b"], [BLOB]),
    "in a dict": ({"k": BLOB, 1: {b"inner": [OTHER, b"s"]}}, [BLOB, OTHER]),
    "in pairs": ({(1, 2): BLOB}, [BLOB]),
    "in a message": (Page(1, BLOB, "t", [OTHER]), [BLOB, OTHER]),
    "in a field of any kind": (Page(1, b"", "t", BLOB), [BLOB]),
}


@pytest.mark.parametrize(("value", "blobs"), PLACES.values(), ids=PLACES)
def test_large_bytes_are_sent_and_given_as_the_very_objects(value: Any, blobs: list[bytes]) -> None:
    payload = payload_of(value)
    assert type(payload) is Parts
    assert [id(part) for part in payload.parts[1::2]] == [id(blob) for blob in blobs]
    given: list[int] = []
    assert decode(payload) == value
    find(decode(payload), given)
    assert given == [id(blob) for blob in blobs]


def find(value: Any, given: list[int]) -> None:
    """The large bytes in a value, in order."""
    match value:
        case bytes() if len(value) >= BLOB_BYTES:
            given.append(id(value))
        case Page():
            find([value.data, value.more], given)
        case dict():
            find(list(value.values()), given)
        case list() | tuple():
            for item in value:
                find(item, given)


@pytest.mark.parametrize(("value", "blobs"), PLACES.values(), ids=PLACES)
def test_put_together_they_are_what_one_without_parts_reads_and_writes(value: Any, blobs: list[bytes]) -> None:
    lowered = plain(value)
    payload = payload_of(value)
    assert bytes(payload) == encode(value) == msgpack.packb(lowered, use_bin_type=True)
    assert len(payload) == len(bytes(payload))
    assert decode(bytes(payload)) == value
    assert all(blob in bytes(payload) for blob in blobs)


def plain(value: Any) -> Any:
    """What stands on the wire for a value."""
    match value:
        case Page():
            return ["tests.parts.Page", value.number, plain(value.data), value.title, plain(value.more)]
        case dict() if all(isinstance(key, str | bytes | int) for key in value):
            return {key: plain(item) for key, item in value.items()}
        case dict():
            return [4, *[plain(part) for pair in value.items() for part in pair]]
        case list():
            return [0, *map(plain, value)]
        case tuple():
            return [1, *map(plain, value)]
    return value


@pytest.mark.parametrize("value", [[1, BLOB[1:]], BLOB[1:], {BLOB: 1}, "s" * 100_000, [b"x" * 100] * 1_000])
def test_smaller_bytes_long_texts_and_keys_are_in_line(value: Any) -> None:
    payload = payload_of(value)
    assert type(payload) is bytes
    assert decode(payload) == value


def test_what_does_not_travel_is_refused_beside_large_bytes_too() -> None:
    for wrong in (object(), 2**64, "\ud800", {1}):
        with pytest.raises(UnsendableValue):
            payload_of([BLOB, wrong])
        with pytest.raises(UnsendableValue):
            payload_of([wrong, BLOB])
    assert decode(payload_of([1, b"x"])) == [1, b"x"]


def test_a_large_default_stands_for_a_missing_field() -> None:
    assert decode(msgpack.packb(["tests.parts.Grown", 1])) == Grown(1)


def test_a_batch_with_large_bytes_is_read_one_by_one() -> None:
    assert decode_all([encode(1), payload_of([1, BLOB])]) is None


def marker(number: int, code: int = codec.BLOB) -> bytes:
    return b"\xd6%c" % code + number.to_bytes(4, "big")


HEAD = b"\xc6" + len(BLOB).to_bytes(4, "big")
LIES: dict[str, tuple[bytes, ...]] = {
    "another length than its head says": (b"\x92\x00" + HEAD, BLOB + b"x"),
    "no head": (b"\x92\x00", BLOB),
    "nothing before it": (b"", BLOB),
    "more than the array holds": (b"\x92\x00" + HEAD, BLOB, HEAD, BLOB),
    "less than the array holds": (b"\x93\x00" + HEAD, BLOB),
    "a blob named twice": (b"\x93\x00" + marker(0) + HEAD, BLOB),
    "a blob named by hand": (b"\x93\x00" + HEAD, BLOB, marker(1)),
    "one that is out of range": (b"\x93\x00" + HEAD, BLOB, marker(7)),
    "one below zero": (b"\x93\x00" + HEAD, BLOB, marker(2**32 - 1)),
    "another ext": (b"\x93\x00" + marker(0, 5) + HEAD, BLOB),
    "a time": (b"\x93\x00" + marker(0, 255) + HEAD, BLOB),
    "a head inside a text": (b"\x92\x00\xa5" + HEAD, BLOB),
}


@pytest.mark.parametrize("parts", LIES.values(), ids=LIES)
def test_parts_that_do_not_fit_are_a_decode_error(parts: tuple[bytes, ...]) -> None:
    with pytest.raises(DecodeError):
        decode(Parts(parts))


def test_an_ext_in_a_message_without_parts_stays_a_decode_error() -> None:
    with pytest.raises(DecodeError):
        decode(b"\x92\x00" + marker(0))


def test_damaged_parts_are_a_value_or_a_decode_error() -> None:
    """Stretches with some bytes changed, and parts left out, doubled or put elsewhere."""
    ends = {"value": 0, "error": 0}
    values = [value for value, _ in PLACES.values()]
    for seed in range(3_000):
        random = Random(seed)
        payload = payload_of(random.choice(values))
        assert type(payload) is Parts
        parts = list(payload.parts)
        at = random.randrange(len(parts))
        match random.randrange(5):
            case 0:
                del parts[at]
            case 1:
                parts.insert(at, random.choice(parts))
            case 2:
                random.shuffle(parts)
            case _:
                at -= at % 2
                stretch = bytearray(parts[at])
                stretch[random.randrange(len(stretch))] = random.randrange(256)
                parts[at] = bytes(stretch)
        try:
            decode(Parts(tuple(parts)))
            ends["value"] += 1
        except DecodeError:
            ends["error"] += 1
    assert min(ends.values()) > 50, ends
