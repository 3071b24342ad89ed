"""RESP as Redis 7 reads it: any cut into pieces gives the same commands, any broken input one error line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.kv import resp
from examples.kv.resp import Parser, array, bulks, error, integer, split_words

WORDS = st.lists(st.binary(max_size=20), min_size=1, max_size=5)


@given(st.lists(WORDS, max_size=8), st.lists(st.integers(1, 40), max_size=30))
def test_a_pipeline_cut_anywhere_gives_the_same_commands(commands: list[list[bytes]], cuts: list[int]) -> None:
    data = b"".join(bulks(words) for words in commands)
    parser = Parser()
    found: list[list[bytes]] = []
    position = 0
    for cut in [*cuts, len(data)]:
        found += parser.feed(data[position : position + cut])
        position += cut
    found += parser.feed(data[position:])
    assert found == commands
    assert parser.error is None
    assert parser.pending == 0


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_garbage_ends_in_commands_or_in_one_error_line(pieces: list[bytes]) -> None:
    parser = Parser()
    for piece in pieces:
        for words in parser.feed(piece):
            assert words
    if parser.error is not None:
        assert parser.error.startswith(b"-ERR Protocol error: ")
        assert parser.error.index(b"\r\n") == len(parser.error) - 2
        assert parser.feed(b"PING\r\n") == []


@given(st.binary(max_size=80))
def test_garbage_in_one_piece_or_byte_by_byte_is_the_same(data: bytes) -> None:
    whole, single = Parser(), Parser()
    at_once = whole.feed(data)
    one_by_one = [words for value in data for words in single.feed(bytes([value]))]
    assert at_once == one_by_one
    assert whole.error == single.error


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"*x\r\n", "invalid multibulk length"),
        (b"*01\r\n", "invalid multibulk length"),
        (b"*1048577\r\n", "invalid multibulk length"),
        (b"*1\r\nx\r\n", "expected '$', got 'x'"),
        (b"*1\r\n\r\n", "expected '$', got ' '"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$1048577\r\n", "invalid bulk length"),
        (b"*" + b"1" * 70_000, "too big mbulk count string"),
        (b"*1\r\n$" + b"1" * 70_000, "too big bulk count string"),
        (b"x" * 70_000, "too big inline request"),
        (b"x" * 70_000 + b"\r\n", "too big inline request"),
        (b'get "a\r\n', "unbalanced quotes in request"),
        (b'get "a"b\r\n', "unbalanced quotes in request"),
    ],
)
def test_a_broken_command_is_answered_as_redis_answers_it(data: bytes, problem: str) -> None:
    parser = Parser()
    assert parser.feed(b"PING\r\n" + data) == [[b"PING"]]
    assert parser.error == b"-ERR Protocol error: " + problem.encode() + b"\r\n"


def test_a_request_over_the_limit_is_refused_before_it_is_held() -> None:
    parser = Parser()
    parser.feed(b"*3\r\n")
    for _ in range(2):
        parser.feed(b"$%d\r\n%b\r\n" % (1_000_000, b"x" * 1_000_000))
    parser.feed(b"$1000000\r\n")
    assert parser.error == b"-ERR Protocol error: request is over 2097152 bytes\r\n"
    assert parser.pending <= resp.REQUEST_LIMIT


@pytest.mark.parametrize("data", [b"\r\n", b"\n", b"*0\r\n", b"*-1\r\n", b"*-5\r\n", b"   \r\n"])
def test_an_empty_command_is_none(data: bytes) -> None:
    assert Parser().feed(data + b"PING\r\n") == [[b"PING"]]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"set a  b", [b"set", b"a", b"b"]),
        (b"\tset\ta ", [b"set", b"a"]),
        (b'echo "a\\x41\\n\\q\\""', [b"echo", b'aA\nq"']),
        (b"echo 'a\\'b\\n'", [b"echo", b"a'b\\n"]),
        (b'echo ""', [b"echo", b""]),
        (b'echo "\\xzz"', [b"echo", b"xzz"]),
        (b"get a\0b c", [b"get", b"a"]),
        (b"", []),
    ],
)
def test_inline_words_are_split_as_redis_splits_them(line: bytes, words: list[bytes]) -> None:
    assert split_words(line) == words


@given(st.integers(-(2**64), 2**64))
def test_integers_are_read_within_64_bits(value: int) -> None:
    assert integer(b"%d" % value) == (value if -(2**63) <= value < 2**63 else None)


@pytest.mark.parametrize("text", [b"", b"+1", b" 1", b"1 ", b"01", b"-0", b"--1", b"1.5", b"1_0", b"x", b"-"])
def test_what_redis_takes_for_no_integer_is_none(text: bytes) -> None:
    assert integer(text) is None


def test_an_error_stays_on_one_line() -> None:
    assert error("ERR a\r\nb") == b"-ERR a  b\r\n"


def test_an_array_counts_its_elements() -> None:
    assert array([b":1\r\n", b"$1\r\nx\r\n"]) == b"*2\r\n:1\r\n$1\r\nx\r\n"
