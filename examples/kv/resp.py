"""RESP2 as Redis 7 reads it: an incremental parser with limits, and the encoder (plus RESP3's null and map).

`Parser.feed(data)` gives every command the buffer holds; what is left over waits for more. After a protocol error
`Parser.error` holds the line to answer with, no more is parsed, and the connection is to be closed (Redis,
`networking.c: processMultibulkBuffer, processInlineBuffer`).
"""

from __future__ import annotations

from typing import Final

INLINE_LIMIT: Final = 64 * 1024  # bytes without a line end; Redis, PROTO_INLINE_MAX_SIZE
MULTIBULK_LIMIT: Final = 1024 * 1024  # elements of one command; Redis until 7.0
BULK_LIMIT: Final = 1024 * 1024  # bytes of one argument; Redis has 512 MiB, ours travels as one message
REQUEST_LIMIT: Final = 2 * 1024 * 1024  # bytes of all arguments of one command, each counted with OVERHEAD
OVERHEAD: Final = 16

OK: Final = b"+OK\r\n"
NULL: Final = b"$-1\r\n"
NULL_3: Final = b"_\r\n"
ZERO: Final = b":0\r\n"
ONE: Final = b":1\r\n"

Command = list[bytes]

_SMALL: Final = {b"%d" % number: number for number in range(4096)}
_INT64: Final = range(-(2**63), 2**63)
_ESCAPES: Final = {110: 10, 114: 13, 116: 9, 98: 8, 97: 7}  # \n \r \t \b \a
_BLANKS: Final = b" \t\n\v\f\r"  # before a word
_ENDS: Final = b" \t\n\r"  # after one


def integer(text: bytes) -> int | None:
    """Read a signed 64-bit integer as strictly as Redis does (`string2ll`): no blanks, plus sign or leading zeros."""
    small = _SMALL.get(text)
    if small is not None:
        return small
    digits = text[1:] if text[:1] == b"-" else text
    if not digits.isdigit() or len(digits) > 19 or digits[:1] == b"0":
        return None
    value = int(text)
    return value if value in _INT64 else None


def bulk(value: bytes) -> bytes:
    """Encode one bulk string."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def number(value: int) -> bytes:
    """Encode an integer."""
    return b":%d\r\n" % value


def simple(text: str) -> bytes:
    """Encode a status line."""
    return b"+%b\r\n" % text.encode()


def error(text: str) -> bytes:
    """Encode an error line; a line end inside `text` becomes a blank, as in Redis."""
    return b"-%b\r\n" % text.replace("\r", " ").replace("\n", " ").encode("utf-8", "surrogateescape")


def array(items: list[bytes]) -> bytes:
    """Encode an array of elements that are encoded already."""
    return b"*%d\r\n%b" % (len(items), b"".join(items))


def bulks(values: list[bytes]) -> bytes:
    """Encode an array of bulk strings."""
    return array([bulk(value) for value in values])


def pairs(items: list[bytes], protocol: int) -> bytes:
    """Encode keys and values in turn: a map in RESP3, a flat array in RESP2."""
    if protocol == 3:
        return b"%%%d\r\n%b" % (len(items) // 2, b"".join(items))
    return array(items)


def shown(data: bytes, limit: int = 128) -> str:
    """Return bytes as they stand in an error text: at most `limit` of them, undecodable ones kept."""
    return data[:limit].decode("utf-8", "surrogateescape")


class Parser:
    """Commands out of a byte stream. `error` is the line to send before closing, or None."""

    __slots__ = ("_args", "_bulk_limit", "_rest", "_size", "_want", "error")

    def __init__(self, bulk_limit: int = BULK_LIMIT) -> None:
        self._bulk_limit = bulk_limit
        self._rest = b""
        self._args: Command = []
        self._want = 0  # elements still missing from the command at hand
        self._size = 0  # bytes it has so far
        self.error: bytes | None = None

    @property
    def pending(self) -> int:
        """Bytes held for a command that is not complete."""
        return len(self._rest) + self._size

    def feed(self, data: bytes) -> list[Command]:
        """Take `data` and return every command that is complete now."""
        commands: list[Command] = []
        if self.error is not None:
            return commands
        buffer = self._rest + data if self._rest else data
        position = 0
        end = len(buffer)
        while position < end:
            if self._want:
                position, complete = self._elements(buffer, position)
            elif buffer[position] == 42:  # *
                position, complete = self._begin(buffer, position)
            else:
                position, complete = self._inline(buffer, position)
            if not complete:
                break
            if self._args and not self._want:
                commands.append(self._args)
                self._args = []
                self._size = 0
        self._rest = b"" if self.error is not None else buffer[position:]
        return commands

    def _fail(self, problem: str, position: int) -> tuple[int, bool]:
        self.error = error("ERR Protocol error: " + problem)
        return position, False

    def _begin(self, buffer: bytes, position: int) -> tuple[int, bool]:
        stop = buffer.find(b"\r\n", position)
        if stop < 0:
            if len(buffer) - position > INLINE_LIMIT:
                return self._fail("too big mbulk count string", position)
            return position, False
        count = integer(buffer[position + 1 : stop])
        if count is None or count > MULTIBULK_LIMIT:
            return self._fail("invalid multibulk length", position)
        if count > 0:
            self._want = count
            return self._elements(buffer, stop + 2)
        return stop + 2, True

    def _elements(self, buffer: bytes, position: int) -> tuple[int, bool]:
        args = self._args
        end = len(buffer)
        for _ in range(self._want):
            stop = buffer.find(b"\r\n", position)
            if stop < 0:
                if end - position > INLINE_LIMIT:
                    return self._fail("too big bulk count string", position)
                return position, False
            if buffer[position] != 36:  # $
                found = chr(buffer[position]).replace("\r", " ")
                return self._fail(f"expected '$', got '{found}'", position)
            text = buffer[position + 1 : stop]
            length = _SMALL.get(text)
            if length is None or length > self._bulk_limit:
                length = integer(text)
                if length is None or not 0 <= length <= self._bulk_limit:
                    return self._fail("invalid bulk length", position)
            if self._size + length + OVERHEAD > REQUEST_LIMIT:
                return self._fail(f"request is over {REQUEST_LIMIT} bytes", position)
            stop += 2
            after = stop + length
            if after + 2 > end:
                return position, False
            args.append(buffer[stop:after])
            position = after + 2  # Redis does not look at these two bytes either
            self._size += length + OVERHEAD
            self._want -= 1
        return position, True

    def _inline(self, buffer: bytes, position: int) -> tuple[int, bool]:
        stop = buffer.find(b"\n", position)
        if stop < 0:
            if len(buffer) - position > INLINE_LIMIT:
                return self._fail("too big inline request", position)
            return position, False
        if stop - position > INLINE_LIMIT:
            return self._fail("too big inline request", position)
        line = buffer[position:stop]
        words = split_words(line[:-1] if line.endswith(b"\r") else line)
        if words is None:
            return self._fail("unbalanced quotes in request", position)
        if sum(map(len, words)) > self._bulk_limit:
            return self._fail("too big inline request", position)
        self._args = words
        return stop + 1, True


def split_words(line: bytes) -> Command | None:
    """Split an inline command as Redis does (`sds.c: sdssplitargs`); None when quotes are unbalanced."""
    line = line.partition(b"\0")[0]  # a C string ends there
    if not any(byte in line for byte in b"\"'\v\f"):
        return line.split()
    words: Command = []
    position = 0
    while True:
        while position < len(line) and line[position] in _BLANKS:
            position += 1
        if position >= len(line):
            return words
        found = _quoted_word(line, position)
        if found is None:
            return None
        word, position = found
        words.append(word)


def _quoted_word(line: bytes, position: int) -> tuple[bytes, int] | None:
    word = bytearray()
    quote = 0
    while position < len(line):
        byte = line[position]
        position += 1
        if not quote:
            if byte in _ENDS:
                return bytes(word), position
            if byte in b"\"'":
                quote = byte
            else:
                word.append(byte)
        elif byte == quote:
            if position < len(line) and line[position] not in _BLANKS:
                return None  # a closing quote ends its word
            return bytes(word), position
        elif byte == 92 and position < len(line):
            position = _escape(line, position, quote, word)
        else:
            word.append(byte)
    return None if quote else (bytes(word), position)


def _escape(line: bytes, position: int, quote: int, word: bytearray) -> int:
    byte = line[position]
    if quote == 39:  # in single quotes only \' is an escape
        if byte != 39:
            word.append(92)
            return position
        word.append(39)
        return position + 1
    pair = line[position + 1 : position + 3]
    if byte == 120 and len(pair) == 2 and all(digit in b"0123456789abcdefABCDEF" for digit in pair):
        word.append(int(pair, 16))
        return position + 3
    word.append(_ESCAPES.get(byte, byte))
    return position + 1
