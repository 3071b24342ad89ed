"""Frames: golden bytes, round trips, limits, and bytes of every kind that never raise anything but WireError.

Golden files are one per frame and wire version in golden/. After a deliberate change of the format, write them again
with  REGROVE_REWRITE=1 pytest tests/transport/test_wire.py  and commit only a difference you understand: a changed
file of a version that was released means that two releases no longer understand each other.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrove.transport import wire
from regrove.transport.handshake import (
    Hello,
    Identity,
    Welcome,
    hello_body,
    read_hello,
    read_reason,
    read_welcome,
    reason_body,
    welcome_body,
)
from regrove.transport.runs import RUN_ITEMS_MAX, Run
from regrove.transport.wire import Decoder, Encoder, Frame, WireError, WireLimits

GOLDEN = Path(__file__).parent / "golden"
LIMITS = WireLimits(message_max=64 * 1024)
NONCE = 0x0123456789ABCDEF
ME = Identity("prod", ("shop@north", 17, 2, 3), application="bank", version="1.4", digest="5eed", features=("pieces",))
YOU = Identity("prod", ("shop@south", 18, -1, 1), role="manager", application="bank", version="1.5", digest="5eee")
MIB = 1024 * 1024
HELLO = Hello(
    ME, 7, message_max=4 * MIB, asks=(NONCE - 1,), taken={NONCE - 2: 40}, endpoint="tcp://10.0.0.1:7000", key="k" * 40
)
CLIENT = Hello(
    Identity("prod", ("client:ab12", 1, 0, 0), role="client"),
    dial=1,
    duplex=True,
    grant=(4096, 8_388_608),
    message_max=4 * MIB,
)
WELCOME = Welcome(
    YOU,
    wire=1,
    grant=(4096, 8_388_608),
    message_max=4 * MIB,
    taken={NONCE - 1: 99},
    info={"cores": ("tcp://10.0.0.2:7001", "tcp://10.0.0.2:7002")},
)
HELLO_TO = replace(HELLO, to=YOU.peer)
HELLO_PIECES = replace(HELLO, message_max=64 * 1024, bulk=(16 * MIB, 32 * MIB), gaps={NONCE - 2: (7, 40)})
WELCOME_PIECES = replace(WELCOME, message_max=64 * 1024, bulk=(16 * MIB, 32 * MIB), gaps={NONCE - 1: (98,)})
BATCH = [(1, ("shop@north", 17, 2, 3), 5, b"payload"), (17, 3, None, True, 1.5), (2, "name", {"key": (1, 2)}, b"")]
GRANT = [64, 4160, 8_392_704, [(63, b"full"), (64, b"")]]
ORDERED = [(0, 0, BATCH[0]), (5, 10 * MIB, (1, 3, 0, b"")), (5, 0, (17, 3)), (6, 99_999, (16, 4, b""))]
ORDERED_PARTS = [(5, (7, 65_536, 3, 10 * MIB), (1, 3, 0, b"")), (6, (9, 99_999, 1), (16, 4, b""))]
PIECE = [65_536, 99_999, b"part"]
RUN = [(1, "name", 5, b"\x07"), (1, "name", 5, b"\xa3abc"), (1, "name", 5, b"\x90"), (1, "name", 5, b"\xc0")]

FRAMES: dict[str, tuple[int, int, Any]] = {
    "hello": (wire.HELLO, 0, hello_body(HELLO)),
    "hello_client": (wire.HELLO, 0, hello_body(CLIENT)),
    "welcome": (wire.WELCOME, 0, welcome_body(WELCOME)),
    "refused": (wire.REFUSED, 0, reason_body("other cluster: 'test' dialled 'prod'")),
    "batch": (wire.BATCH, 1_000_000, BATCH),
    "grant": (wire.GRANT, 0, GRANT),
    "bye": (wire.BYE, 0, reason_body("idle")),
    "hello_to": (wire.HELLO, 0, hello_body(HELLO_TO)),
    "hello_pieces": (wire.HELLO, 0, hello_body(HELLO_PIECES)),
    "welcome_pieces": (wire.WELCOME, 0, welcome_body(WELCOME_PIECES)),
    "ordered": (wire.ORDERED, 1_000_001, ORDERED),
    "ordered_parts": (wire.ORDERED, 1_000_001, ORDERED_PARTS),
    "grant_pieces": (wire.GRANT, 0, [*GRANT, [7, 40]]),
    "bulk": (wire.BULK, 0, {"peer": list(ME.peer)}),
    "piece": (wire.PIECE, 1_000_002, PIECE),
    "taken": (wire.TAKEN, 0, [17 * MIB]),
    "run": (wire.RUN, 1_000_003, RUN),
}


def written(name: str) -> bytes:
    type_, first, body = FRAMES[name]
    if type_ == wire.RUN:
        return run(body, first)
    return bytes(Encoder().frame(type_, NONCE, first, body))


def batch(items: list[tuple[Any, ...]], first: int = 1) -> bytes:
    encoder = Encoder()
    return bytes(encoder.batch(NONCE, first, [encoder.item(item) for item in items]))


def run(items: list[tuple[Any, ...]], first: int = 1) -> bytes:
    encoder = Encoder()
    return bytes(encoder.run(NONCE, first, encoder.heading(items[0][:-1]), [item[-1] for item in items]))


def decode(data: bytes) -> Frame:
    frame = Decoder(LIMITS).frame(data)
    assert isinstance(frame, Frame)
    return frame


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_is_written_as_its_golden_file_says(name: str) -> None:
    path = GOLDEN / f"v{wire.VERSION}" / f"{name}.bin"
    if os.environ.get("REGROVE_REWRITE"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(written(name))
    assert written(name) == path.read_bytes()


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("v*/*.bin")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_golden_files_of_every_version_are_still_understood(path: Path) -> None:
    frame = decode(path.read_bytes())
    assert frame.version == int(path.parent.name.removeprefix("v"))
    assert frame.nonce == NONCE
    match path.stem:
        case "hello":
            assert read_hello(frame.body) == HELLO
        case "hello_client":
            assert read_hello(frame.body) == CLIENT
        case "hello_to":
            assert read_hello(frame.body) == HELLO_TO
        case "welcome":
            assert read_welcome(frame.body) == WELCOME
        case "refused" | "bye":
            assert read_reason(path.stem, frame.body)
        case "batch":
            assert frame.first == 1_000_000
            assert frame.body == tuple(BATCH)
        case "grant" | "grant_pieces":
            assert frame.body[:4] == (64, 4160, 8_392_704, ((63, b"full"), (64, b"")))
            assert frame.body[4:] == (((7, 40),) if path.stem == "grant_pieces" else ())
        case "hello_pieces":
            assert read_hello(frame.body) == HELLO_PIECES
        case "welcome_pieces":
            assert read_welcome(frame.body) == WELCOME_PIECES
        case "ordered":
            assert (frame.first, frame.body) == (1_000_001, tuple(ORDERED))
        case "ordered_parts":
            assert (frame.first, frame.body) == (1_000_001, tuple(ORDERED_PARTS))
        case "piece":
            assert (frame.first, frame.body) == (1_000_002, tuple(PIECE))
        case "bulk":
            assert frame.body == {"peer": ME.peer}
        case "taken":
            assert frame.body == (17 * MIB,)
        case "run":
            assert (frame.first, list(frame.body), len(frame.body)) == (1_000_003, RUN, 4)
            assert frame.body.size == sum(len(item[-1]) for item in RUN)
            assert msgpack.unpackb(frame.body.values) == [7, "abc", [], None]
        case _:
            raise AssertionError(f"what does {path.name} say?")


def test_there_is_a_golden_file_for_every_frame_type_of_this_version() -> None:
    types = {decode(path.read_bytes()).type for path in GOLDEN.glob(f"v{wire.VERSION}/*.bin")}
    assert types == set(wire.FRAME_NAMES)


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
).filter(lambda value: depth(value) <= wire.DEPTH_MAX - 2)
user_items = st.tuples(st.integers(0, wire.SIGNAL - 1), plain, st.binary())
signals = st.tuples(st.integers(wire.SIGNAL, 127), plain)


def depth(value: object) -> int:
    if isinstance(value, tuple):
        return 1 + max(map(depth, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 0


@given(st.lists(user_items | signals, min_size=1, max_size=wire.BATCH_ITEMS_MAX), st.integers(1, 2**62))
def test_items_come_back_as_they_were(items: list[tuple[Any, ...]], first: int) -> None:
    frame = decode(batch(items, first))
    assert tuple(frame) == (wire.VERSION, wire.BATCH, NONCE, first, tuple(items))
    assert wire.payloads(frame.body) == [item[-1] for item in items if item[0] < wire.SIGNAL]


@given(st.lists(user_items | signals, min_size=1, max_size=wire.BATCH_ITEMS_MAX), st.integers(1, 2**62))
def test_a_batch_of_written_items_is_the_batch_written_at_once(items: list[tuple[Any, ...]], first: int) -> None:
    assert batch(items, first) == Encoder().frame(wire.BATCH, NONCE, first, items)


@pytest.mark.parametrize("length", [0, 1, 255, 256, 65_535])
def test_a_head_and_a_payload_are_the_item(length: int) -> None:
    encoder = Encoder()
    payload = bytes(length)
    assert wire.joined(encoder.head((1, 70_000, 3)), payload) == encoder.item((1, 70_000, 3, payload))


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=RUN_ITEMS_MAX), st.integers(1, 2**62))
def test_a_run_gives_back_its_items(payloads: list[bytes], first: int) -> None:
    items = [(1, ("shop@north", 17), 5, payload) for payload in payloads]
    frame = decode(run(items, first))
    assert (frame.type, frame.first, list(frame.body)) == (wire.RUN, first, items)


def test_a_run_holds_no_payload_over_the_limit_and_no_more_items_than_a_run_may() -> None:
    assert len(decode(run([(1, b"x" * LIMITS.message_max)] * 2)).body) == 2
    with pytest.raises(WireError, match=f"numbers up to {LIMITS.message_max}"):
        decode(run([(1, b""), (1, b"x" * (LIMITS.message_max + 1))]))
    assert len(decode(run([(1, b"")] * RUN_ITEMS_MAX)).body) == RUN_ITEMS_MAX
    with pytest.raises(WireError, match=f"1 to {RUN_ITEMS_MAX} items"):
        decode(run([(1, b"")] * (RUN_ITEMS_MAX + 1)))


def shared(shared: bytes, values: bytes = b"\xdd\x00\x00\x00\x01\x07") -> bytes:
    return raw(wire.RUN, b"\x93\xce" + len(shared).to_bytes(4, "big") + shared + values)


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_wire_errors(data: bytes) -> None:
    understand(data)


@given(st.sampled_from(sorted(wire.FRAME_NAMES)), st.binary(max_size=200))
def test_random_bodies_behind_a_good_header_raise_nothing_but_wire_errors(type_: int, body: bytes) -> None:
    understand(wire.HEADER.pack(wire.MAGIC, wire.VERSION, type_, NONCE, 1) + body)


@given(st.sampled_from(sorted(wire.FRAME_NAMES)), plain)
def test_random_plain_bodies_raise_nothing_but_wire_errors(type_: int, body: Any) -> None:
    understand(Encoder().frame(type_, NONCE, 1, body))


@pytest.mark.parametrize("name", FRAMES)
def test_mutated_golden_frames_raise_nothing_but_wire_errors(name: str) -> None:
    golden = written(name)
    random = Random(name)
    refused = 0
    for _ in range(3_000):
        data = bytearray(golden)
        for _ in range(random.choice([1, 1, 2, 8])):
            at = random.randrange(len(data))
            match random.randrange(4):
                case 0:
                    data[at] = random.randrange(256)
                case 1:
                    del data[at:]
                    break
                case 2:
                    data[at:at] = random.randbytes(random.choice([1, 4]))
                case 3:
                    data[at] ^= 1 << random.randrange(8)
            if not data:
                break
        refused += understand(bytes(data))
    assert refused > 500, "the mutations reach the checks"


def understand(data: bytes) -> bool:
    """Do everything with received bytes that a link table does; whether they were refused."""
    try:
        frame = Decoder(LIMITS).frame(data)
        if frame is None:
            return False
        match frame.type:
            case wire.HELLO:
                read_hello(frame.body)
            case wire.WELCOME:
                read_welcome(frame.body)
            case wire.REFUSED | wire.BYE:
                read_reason("BYE", frame.body)
            case wire.BATCH:
                wire.payloads(frame.body)
            case wire.RUN:
                assert isinstance(frame.body, Run)
                assert sum(map(len, frame.body.payloads)) == frame.body.size
                assert len(frame.body.values) == frame.body.size + 5
    except WireError as error:
        return bool(str(error))
    return False


def raw(type_: int, body: bytes, version: int = wire.VERSION, magic: bytes = wire.MAGIC, first: int = 1) -> bytes:
    return wire.HEADER.pack(magic, version, type_, NONCE, first) + body


def nested(times: int) -> bytes:
    return b"\x91\x93\x10" + b"\x91" * times + b"\x01" + b"\x01"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "header of 20 bytes"),
        (b"RG", "header of 20 bytes"),
        (raw(wire.BATCH, b"\x90", magic=b"GR"), "begins with"),
        (raw(99, b"\x90"), "unknown frame type 99"),
        (raw(wire.BATCH, b"\x90", version=2), "wire version 2 is outside"),
        (raw(wire.BATCH, b"\x91\x92\x01\xc4\x00", first=2**63 + 1), "out of range"),
        (raw(wire.BATCH, b""), "not plain msgpack"),
        (raw(wire.BATCH, b"\xc1"), "not plain msgpack"),
        (raw(wire.BATCH, b"\x91\x92\x01\xc4\x00\x00"), "not plain msgpack"),
        (raw(wire.BATCH, b"\xdd\xff\xff\xff\xff"), "not plain msgpack"),
        (raw(wire.BATCH, b"\x91\x92\x10\xc6\xff\xff\xff\xff"), "not plain msgpack"),
        (raw(wire.BATCH, b"\x91\x92\x10\xdb\xff\xff\xff\xff"), "not plain msgpack"),
        (raw(wire.BATCH, b"\x91\x92\x10\xa2\xff\xfe"), "not plain msgpack"),
        (raw(wire.BATCH, b"\x91\x92\x10\xd6\xff\x00\x00\x00\x00"), "not plain msgpack"),
        (raw(wire.BATCH, b"\x91\x92\x10\xc7\x00\x05"), "ext type"),
        (raw(wire.BATCH, b"\x91\x92\x10\x81\x01\x02"), "not plain msgpack"),
        (raw(wire.BATCH, b"\x91" * 1_100), "not plain msgpack"),
        (raw(wire.BATCH, nested(7)), "more than 8 deep"),
        (raw(wire.BATCH, b"\x90"), "1 to 64 items"),
        (raw(wire.BATCH, b"\xdc\x00\x41" + b"\x91\x10" * 65), "1 to 64 items"),
        (raw(wire.BATCH, b"\x80"), "1 to 64 items"),
        (raw(wire.BATCH, b"\x91\x90"), "begins with its kind, an int"),
        (raw(wire.BATCH, b"\x92\x91\x10\x90"), "begins with its kind, an int"),
        (raw(wire.BATCH, b"\x91\x01"), "begins with its kind"),
        (raw(wire.BATCH, b"\x91\x91\xa1x"), "an int"),
        (raw(wire.BATCH, b"\x91\x91\xc3"), "an int"),
        (raw(wire.BATCH, b"\x91\x92\x01\xa1x"), "payload as bytes"),
        (raw(wire.BATCH, b"\x91\x91\x01"), "payload as bytes"),
        (raw(wire.RUN, b"\x93\xcd\x00\x00"), "an array of a size in 32 bits"),
        (raw(wire.RUN, b"\x93\xce\x00"), "an array of a size in 32 bits"),
        (raw(wire.RUN, b"\x93\xce\xff\xff\xff\xff\x92\x91\x01\x91\x01"), "bytes, of 1 said|in 32 bits"),
        (shared(b"\x91\x91\x01"), "first fields and the lengths"),
        (shared(b"\x92\x01\x91\x01"), "first fields and the lengths"),
        (shared(b"\x92\x90\x91\x01"), "kind of a user item"),
        (shared(b"\x92\x91\xa1x\x91\x01"), "kind of a user item"),
        (shared(b"\x92\x91\x10\x91\x01"), "kind of a user item"),
        (shared(b"\x92\x92\x01" + b"\x91" * 8 + b"\x01\x91\x01"), "more than 8 deep"),
        (shared(b"\x92\x91\x01\x90"), "1 to 256 items"),
        (shared(b"\x92\x91\x01\x80"), "1 to 256 items"),
        (shared(b"\x92\x91\x01\x91\xff"), "lengths of the payloads"),
        (shared(b"\x92\x91\x01\x91\xc3"), "lengths of the payloads"),
        (shared(b"\x92\x91\x01\x92\x01\x00"), "an array of 2"),
        (shared(b"\x92\x91\x01\x91\x01", b"\x91\x07"), "an array of 1"),
        (shared(b"\x92\x91\x01\x91\x02"), "have 1 bytes, of 2"),
        (shared(b"\x92\x91\x01\x91\x00"), "have 1 bytes, of 0"),
        (raw(wire.GRANT, b"\x93\x01\x02\x03"), "a GRANT is"),
        (raw(wire.GRANT, b"\x94\x01\x02\xff\x90"), "three sequence numbers"),
        (raw(wire.GRANT, b"\x94\x01\x02\xc3\x90"), "three sequence numbers"),
        (raw(wire.GRANT, b"\x94\x01\x02\x03\x91\x01"), "a refusal is"),
        (raw(wire.GRANT, b"\x94\x01\x02\x03\x91\x92\x01\x01"), "an int and bytes"),
        (raw(wire.HELLO, b"\x90"), "is a map"),
        (raw(wire.HELLO, b"\x80"), "HELLO: field 'peer' is tuple"),
        (raw(wire.BYE, b"\x81\xa6reason\x01"), "'reason' is str"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, problem: str) -> None:
    with pytest.raises(WireError, match=problem):
        understand_or_raise(data)


def understand_or_raise(data: bytes) -> None:
    frame = decode(data)
    if frame.type == wire.BATCH:
        wire.payloads(frame.body)
    elif frame.type == wire.HELLO:
        read_hello(frame.body)
    elif frame.type == wire.BYE:
        read_reason("BYE", frame.body)


def test_the_deepest_legal_item_is_taken() -> None:
    assert decode(raw(wire.BATCH, nested(6)))


def test_an_unknown_frame_with_the_ignorable_bit_is_skipped() -> None:
    assert Decoder(LIMITS).frame(raw(99 | wire.IGNORABLE, b"whatever", version=9)) is None


def test_unknown_keys_in_a_hello_are_skipped() -> None:
    body = {**hello_body(HELLO), "invented": [1, 2]}
    assert read_hello(decode(Encoder().frame(wire.HELLO, NONCE, 0, body)).body) == HELLO


@pytest.mark.parametrize("field", sorted(hello_body(HELLO_TO)))
@pytest.mark.parametrize("value", [None, -1, "", [[]], {"a": 1}, True, [1], 2.5, "x" * 600, [[1, -1]], 2**64 - 1])
def test_a_wrong_field_in_a_hello_is_named_or_harmless(field: str, value: object) -> None:
    body = {**hello_body(HELLO_TO), field: value}
    data = Encoder().frame(wire.HELLO, NONCE, 0, body)
    said = ""
    try:
        read_hello(decode(data).body)
    except WireError as error:
        said = str(error)
    if said:
        assert f"'{field}'" in said or field == "peer"
    else:
        assert type(value) is type(hello_body(HELLO_TO)[field])


def test_a_frame_over_the_limit_is_refused_by_its_size_alone() -> None:
    with pytest.raises(WireError, match="at most"):
        decode(b"RG" + bytes(LIMITS.frame_max))


def test_a_payload_over_the_limit_is_refused() -> None:
    with pytest.raises(WireError, match="not plain msgpack"):
        decode(batch([(1, bytes(LIMITS.message_max + 1))]))
    assert decode(batch([(1, bytes(LIMITS.message_max))]))


def test_pickles_and_timestamps_are_not_plain() -> None:
    with pytest.raises(WireError, match="not plain msgpack"):
        decode(raw(wire.BATCH, msgpack.packb([[16, msgpack.Timestamp(1, 2)]])))


def test_reasons_are_printable_and_short() -> None:
    body = decode(Encoder().frame(wire.BYE, NONCE, 0, reason_body("a\x1b[2Jb" + "c" * 1_000))).body
    reason = read_reason("BYE", body)
    assert reason.startswith("a?[2Jb")
    assert len(reason) == 512
