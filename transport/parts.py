"""Payloads whose large parts stand alone: nobody copies them to put them together or to take them apart. Pure.

The bytes are those of a payload in one piece, only their place in memory is another. Parts alternate: a stretch of
encoding, a blob (bytes of at least 64 KiB that are a value of their own), a stretch, a blob ...; what follows the last
blob may be missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Final, TypeAlias

BLOB_BYTES: Final = 64 * 1024  # the smallest blob


class Parts:
    """A payload in parts; its `len` is that of the whole, and `bytes(it)` puts it together."""

    __slots__ = ("_length", "parts")

    def __init__(self, parts: tuple[bytes, ...]) -> None:
        self.parts = parts
        self._length = sum(map(len, parts))

    def __len__(self) -> int:
        return self._length

    def __bytes__(self) -> bytes:
        return b"".join(self.parts)

    def __repr__(self) -> str:
        return f"<Parts of {', '.join(str(len(part)) for part in self.parts)} bytes>"


Payload: TypeAlias = bytes | Parts


def parts_of(payload: Payload) -> tuple[bytes, ...]:
    """The parts of a payload: of bytes, themselves."""
    return payload.parts if type(payload) is Parts else (payload,)  # type: ignore[return-value]


class Gathering:
    """Bytes that come in order: each part is written where it stays, so that its end costs nothing.

    A BytesIO that alone holds the bytes it was made of writes into them, and gives them away as they are. Those of
    `bytes(size)` take no memory until they are written to, where they are large.
    """

    __slots__ = ("_file", "_lengths", "_parts", "_room", "size")

    def __init__(self, length: int) -> None:
        self.size = 0  # bytes that came
        self._file: BytesIO | None = None  # the part that is being written, once a byte of it came
        self._lengths: list[int] = []  # of the parts behind it, the last one first
        self._room = length  # bytes until it is full
        self._parts: list[bytes] = []

    def add(self, data: bytes | memoryview) -> None:
        """Take the next bytes, which must not be more than are missing."""
        self.size += len(data)
        view = memoryview(data)
        while view:
            file = self._file
            if file is None:
                file = self._file = BytesIO(bytes(self._room))
            written = file.write(view[: self._room])
            view = view[written:]
            self._room -= written
            if not self._room:
                self._parts.append(file.getvalue())
                self._file = None
                self._room = self._lengths.pop() if self._lengths else 0

    def divide(self, lengths: Sequence[int]) -> None:
        """Hear of what parts the whole is: what came before is put in its place again."""
        whole = self._parts[0] if self._parts else b"" if self._file is None else self._file.getvalue()
        early = memoryview(whole)[: self.size]
        self._lengths = list(reversed(lengths))
        self._room = self._lengths.pop()
        self._file = None
        self._parts.clear()
        self.size = 0
        self.add(early)

    def payload(self) -> Payload:
        """The whole, once all has come; gives it away."""
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else Parts(tuple(parts))
