"""The append-only file of one core: a header, then records with length, CRC and sequence number.

Header: magic, version, core, cores, generation, salt, first sequence, CRC. Record: mark, length, CRC-32 of (sequence,
payload) seeded with the salt of this file, sequence, payload. Little-endian. Sequence numbers go up by one, so a lost
record in the middle shows; the salt keeps a value that happens to hold such bytes from being taken for a record.

A file may end in the middle of a record: that is the torn tail of a crash, it was never acknowledged, it is cut. A
record that is broken while a whole one follows is damage of what was acknowledged: the file is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final
from zlib import crc32

MAGIC: Final = b"RGKVLOG\n"
VERSION: Final = 1
RECORD_LIMIT: Final = 8 * 1024 * 1024  # bytes of one payload; an MSET of the largest request is below it

_HEADER: Final = Struct("<8sHHHIIQ")
_CRC: Final = Struct("<I")
_RECORD: Final = Struct("<HIIQ")
_SEQUENCE: Final = Struct("<Q")
_MARK: Final = 0xD1A6
_MARK_BYTES: Final = _MARK.to_bytes(2, "little")

HEADER_SIZE: Final = _HEADER.size + _CRC.size
RECORD_SIZE: Final = _RECORD.size


class Damaged(Exception):
    """The file cannot be trusted: `offset` in bytes, `problem` in words."""

    def __init__(self, offset: int, problem: str) -> None:
        self.offset = offset
        self.problem = problem
        super().__init__(f"at byte {offset}: {problem}")


@dataclass(frozen=True, slots=True)
class Header:
    """Whose file it is. `salt` is random, `sequence` the number of the first record."""

    core: int
    cores: int
    generation: int
    salt: int
    sequence: int = 1

    def encode(self) -> bytes:
        """Return HEADER_SIZE bytes."""
        data = _HEADER.pack(MAGIC, VERSION, self.core, self.cores, self.generation, self.salt, self.sequence)
        return data + _CRC.pack(crc32(data))

    @classmethod
    def decode(cls, data: bytes) -> Header:
        """Read the first HEADER_SIZE bytes of a file. Raises Damaged."""
        if len(data) < HEADER_SIZE:
            raise Damaged(0, f"{len(data)} bytes are too short for the header of a log")
        magic, version, *fields = _HEADER.unpack_from(data)
        if magic != MAGIC:
            raise Damaged(0, f"it begins {magic!r}: not a log of this program")
        (crc,) = _CRC.unpack_from(data, _HEADER.size)
        if crc != crc32(data[: _HEADER.size]):
            raise Damaged(0, "the header does not match its checksum")
        if version != VERSION:
            raise Damaged(8, f"format version {version}, this program reads {VERSION}")
        return cls(*fields)


class Encoder:
    """Gives records their sequence numbers and checksums; one for the life of a file."""

    __slots__ = ("_salt", "sequence")

    def __init__(self, salt: int, sequence: int) -> None:
        self._salt = salt
        self.sequence = sequence  # of the next record

    def encode(self, payloads: list[bytes]) -> bytes:
        """Return the records of `payloads`, to be appended in one write."""
        parts: list[bytes] = []
        salt = self._salt
        sequence = self.sequence
        for payload in payloads:
            check = crc32(payload, crc32(_SEQUENCE.pack(sequence), salt))
            parts.append(_RECORD.pack(_MARK, len(payload), check, sequence))
            parts.append(payload)
            sequence += 1
        self.sequence = sequence
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class End:
    """How a file ends: `length` bytes are good, `torn` more are not; `sequence` is the next record's."""

    length: int
    torn: int
    sequence: int


class Reader:
    """Records out of a file that is fed in pieces; `finish` judges its end. Raises Damaged, at `feed` or `finish`."""

    __slots__ = ("_buffer", "_doubt", "_offset", "header", "sequence")

    def __init__(self) -> None:
        self._buffer = b""
        self._offset = 0  # of the buffer in the file
        self._doubt: tuple[int, str] | None = None  # where the first bad record begins, and what is wrong
        self.header: Header | None = None
        self.sequence = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the file and return the payloads of the whole records among them."""
        self._buffer += data
        payloads: list[bytes] = []
        if self.header is None:
            if len(self._buffer) < HEADER_SIZE:
                return payloads
            self.header = Header.decode(self._buffer)
            self.sequence = self.header.sequence
            self._advance(HEADER_SIZE)
        if self._doubt is None:
            self._records(payloads, self.header.salt)
        if self._doubt is not None:
            self._look_on(final=False)
        return payloads

    def finish(self) -> End:
        """Judge the end of the file."""
        if self.header is None:
            Header.decode(self._buffer)
        if self._doubt is None:
            self._doubt = (self._offset, "it ends inside a record")
        start, _ = self._doubt
        torn = self._offset + len(self._buffer) - start
        self._look_on(final=True)
        return End(start, torn, self.sequence)

    def _advance(self, count: int) -> None:
        self._buffer = self._buffer[count:]
        self._offset += count

    def _records(self, payloads: list[bytes], salt: int) -> None:
        """Take whole records off the buffer until one is incomplete or wrong."""
        position = 0
        buffer = self._buffer
        end = len(buffer)
        while True:
            start = position + RECORD_SIZE
            if start > end:
                break
            mark, length, check, sequence = _RECORD.unpack_from(buffer, position)
            problem = ""
            if mark != _MARK or length > RECORD_LIMIT:
                problem = "no record begins here"
            elif start + length > end:
                break
            else:
                payload = buffer[start : start + length]
                if check != crc32(payload, crc32(_SEQUENCE.pack(sequence), salt)):
                    problem = "the record does not match its checksum"
                elif sequence != self.sequence:
                    raise Damaged(self._offset + position, f"record {sequence} where {self.sequence} was expected")
            if problem:
                self._doubt = (self._offset + position, problem)
                break
            payloads.append(payload)
            self.sequence += 1
            position = start + length
        self._advance(position)

    def _look_on(self, final: bool) -> None:
        """Look for a whole record behind the bad one; keep only what may still be the beginning of one."""
        assert self._doubt is not None
        assert self.header is not None
        start, problem = self._doubt
        buffer = self._buffer
        end = len(buffer)
        keep = max(0, end - 1)
        position = buffer.find(_MARK_BYTES, max(0, start + 1 - self._offset))
        while position >= 0:
            if position + RECORD_SIZE > end:
                keep = min(keep, position)
                break
            _, length, check, sequence = _RECORD.unpack_from(buffer, position)
            if length <= RECORD_LIMIT and sequence >= self.sequence:
                body = position + RECORD_SIZE
                if body + length > end:
                    keep = min(keep, position)
                elif check == crc32(buffer[body : body + length], crc32(_SEQUENCE.pack(sequence), self.header.salt)):
                    raise Damaged(
                        start, f"{problem}, yet record {sequence} stands whole at byte {self._offset + position}"
                    )
            position = buffer.find(_MARK_BYTES, position + 1)
        if not final:
            self._advance(keep)


def read_all(data: bytes) -> tuple[list[bytes], End]:
    """Read a whole file at once. Raises Damaged."""
    reader = Reader()
    payloads = reader.feed(data)
    return payloads, reader.finish()
