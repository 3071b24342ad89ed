"""The log: every prefix loads or is cut, every flipped bit before the end is found, nothing whole is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.kv import records
from examples.kv.generations import Generation, decode_manifest, generation_of, leftovers, source
from examples.kv.log import HEADER_SIZE, RECORD_SIZE, Damaged, Encoder, Header, Reader, read_all

HEADER = Header(core=1, cores=2, generation=3, salt=0xDEADBEEF)
PAYLOADS = st.lists(st.binary(max_size=60), max_size=12)


def log_of(payloads: list[bytes], header: Header = HEADER) -> bytes:
    return header.encode() + Encoder(header.salt, header.sequence).encode(payloads)


@given(PAYLOADS, st.lists(st.integers(1, 50), max_size=40))
def test_what_was_written_is_read_back_whatever_the_pieces(payloads: list[bytes], cuts: list[int]) -> None:
    data = log_of(payloads)
    reader = Reader()
    found: list[bytes] = []
    position = 0
    for cut in [*cuts, len(data)]:
        found += reader.feed(data[position : position + cut])
        position += cut
    end = reader.finish()
    assert found == payloads
    assert (end.length, end.torn, end.sequence) == (len(data), 0, 1 + len(payloads))
    assert reader.header == HEADER


@given(PAYLOADS, st.data())
def test_every_prefix_gives_the_whole_records_in_it_and_is_cut_behind_them(
    payloads: list[bytes], data: st.DataObject
) -> None:
    whole = log_of(payloads)
    length = data.draw(st.integers(HEADER_SIZE, len(whole)))
    found, end = read_all(whole[:length])
    assert found == payloads[: len(found)]
    assert end.length == len(log_of(found))
    assert end.torn == length - end.length
    assert len(found) == len(payloads) or length < len(log_of(payloads[: len(found) + 1]))


@given(PAYLOADS, st.binary(max_size=80))
def test_a_torn_tail_of_any_bytes_is_cut(payloads: list[bytes], tail: bytes) -> None:
    found, end = read_all(log_of(payloads) + tail)
    assert found == payloads
    assert (end.length, end.torn) == (len(log_of(payloads)), len(tail))


@given(PAYLOADS, st.integers(1, 40))
def test_zeros_behind_the_last_record_are_cut(payloads: list[bytes], count: int) -> None:
    found, end = read_all(log_of(payloads) + bytes(count))
    assert found == payloads
    assert end.torn == count


@given(st.lists(st.binary(max_size=40), min_size=2, max_size=10), st.data())
def test_a_flipped_bit_before_the_last_record_refuses_the_file(payloads: list[bytes], data: st.DataObject) -> None:
    whole = bytearray(log_of(payloads))
    last = len(log_of(payloads[:-1]))
    bit = data.draw(st.integers(0, last * 8 - 1))
    whole[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(Damaged) as caught:
        read_all(bytes(whole))
    assert caught.value.offset <= bit // 8


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=10), st.data())
def test_a_flipped_bit_in_the_last_record_never_gives_another_record(
    payloads: list[bytes], data: st.DataObject
) -> None:
    whole = bytearray(log_of(payloads))
    last = len(log_of(payloads[:-1]))
    bit = data.draw(st.integers(last * 8, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << (bit % 8)
    found, end = read_all(bytes(whole))
    assert found == payloads[:-1]
    assert end.length == last


@given(st.lists(st.binary(max_size=40), min_size=3, max_size=8), st.data())
def test_a_record_that_is_missing_in_the_middle_refuses_the_file(payloads: list[bytes], data: st.DataObject) -> None:
    gone = data.draw(st.integers(0, len(payloads) - 2))
    before, after = log_of(payloads[:gone]), log_of(payloads[: gone + 1])
    with pytest.raises(Damaged):
        read_all(before + log_of(payloads)[len(after) :])


def test_a_value_that_holds_a_record_of_another_file_is_no_record_of_this_one() -> None:
    other = Encoder(salt=1, sequence=50).encode([b"Dkey"])
    torn = Encoder(HEADER.salt, 2).encode([b"S" + other * 3])[:-5]
    found, end = read_all(log_of([b"Da"]) + torn)
    assert found == [b"Da"]
    assert end.torn == len(torn)


def test_damage_is_found_across_pieces_of_one_byte() -> None:
    data = bytearray(log_of([b"x" * 30, b"y" * 30, b"z" * 30]))
    data[HEADER_SIZE + RECORD_SIZE + 3] ^= 1
    reader = Reader()

    def read() -> None:
        for value in data:
            reader.feed(bytes([value]))
        reader.finish()

    with pytest.raises(Damaged) as caught:
        read()
    assert caught.value.offset == HEADER_SIZE


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "too short"),
        (HEADER.encode()[:-1], "too short"),
        (b"X" + HEADER.encode()[1:], "not a log"),
        (HEADER.encode()[:10] + b"\xff" + HEADER.encode()[11:], "checksum"),
    ],
)
def test_a_file_without_a_header_of_ours_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(Damaged, match=problem):
        read_all(data)


KEYS = st.binary(max_size=20)
CHANGES = st.one_of(
    st.builds(records.put, KEYS, KEYS),
    st.builds(records.put, KEYS, KEYS, st.integers(0, 2**62)),
    st.builds(records.put_many, st.lists(st.tuples(KEYS, KEYS), max_size=5)),
    st.builds(records.remove, KEYS),
    st.builds(records.set_deadline, KEYS, st.one_of(st.none(), st.integers(0, 2**62))),
    st.just(records.CLEAR),
)


@given(KEYS, KEYS, st.one_of(st.none(), st.integers(0, 2**62)))
def test_a_change_is_read_back(key: bytes, value: bytes, deadline: int | None) -> None:
    assert records.decode(records.put(key, value, deadline)) == [(key, value, deadline)]
    assert records.decode(records.set_deadline(key, deadline)) == [(key, None, deadline)]
    (found,) = records.decode(records.remove(key))
    assert found[0] == key
    assert found[1] is records.REMOVED


@given(CHANGES, st.integers(1, 10))
def test_a_change_cut_short_is_refused_or_a_shorter_value(payload: bytes, count: int) -> None:
    short = payload[:-count]
    try:
        found = records.decode(short)
    except ValueError:
        return
    assert short[:1] in b"SPDEM"
    assert all(key is not None for key, _, _ in found)


@given(st.binary(max_size=40))
def test_a_payload_of_any_bytes_is_decoded_or_refused(payload: bytes) -> None:
    try:
        found = records.decode(payload)
    except ValueError:
        return
    assert payload[:1] in b"SPMDEF"
    assert len(found) == 1 or payload[:1] == b"M"


@given(st.integers(0, 10**8), st.integers(1, 999))
def test_a_manifest_is_read_back(number: int, cores: int) -> None:
    generation = Generation(number, cores)
    assert decode_manifest(generation.encode()) == generation
    for log in generation.logs()[:3]:
        assert generation_of(log) == generation_of(log + ".new") == generation


@given(st.data())
def test_a_manifest_with_a_flipped_bit_is_refused(data: st.DataObject) -> None:
    text = bytearray(Generation(3, 2).encode())
    bit = data.draw(st.integers(0, len(text) * 8 - 1))
    text[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(ValueError, match=r"manifest|checksum"):
        decode_manifest(bytes(text))


def test_leftovers_are_the_logs_of_other_generations() -> None:
    names = ("1.0of2.log", "2.0of3.log", "2.0of3.log.new", "2.1of3.log.suspect", "3.0of1.log.new", "manifest")
    assert leftovers(names, Generation(2, 3)) == ["1.0of2.log", "3.0of1.log.new"]
    assert leftovers(("manifest", "manifest.new", "x"), Generation(2, 3)) == ["manifest.new"]


def test_a_suspect_log_is_read_where_there_is_no_other() -> None:
    assert source(("1.0of1.log.suspect",), "1.0of1.log") == "1.0of1.log.suspect"
    assert source(("1.0of1.log", "1.0of1.log.suspect"), "1.0of1.log") == "1.0of1.log"
