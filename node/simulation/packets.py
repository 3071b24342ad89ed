"""Frames inside a simulated world: a BATCH and a GRANT keep what they hold beside their bytes.

Each is packed by the real encoder, so what msgpack refuses is refused here, and its digest is that of its bytes; the
receiver gets the very items, which are tuples of ints, texts and bytes and cannot change. Each 64th of a link table,
and each HELLO, WELCOME, REFUSED and BYE, travels as bytes through the real decoder.
"""

from __future__ import annotations

from typing import Any, Final
from zlib import crc32

from regrove.transport.wire import BATCH, GRANT, HEADER, MAGIC, VERSION, Decoder, Encoder, Frame, Item

AS_BYTES: Final = 64
PLAIN_GRANT: Final = 4  # taken, messages, bytes, refusals; one that tells of pieces besides travels as bytes


class Packet:
    """One BATCH or GRANT under way: what a decoder reads from it, and `digest` of its packed body."""

    __slots__ = ("body", "digest", "first", "nonce", "packed", "type")

    version: Final = VERSION

    def __init__(self, type_: int, nonce: int, first: int, body: Any, packed: bytes) -> None:
        self.type = type_
        self.nonce = nonce
        self.first = first
        self.body = body
        self.packed = packed
        self.digest = crc32(packed)

    def data(self) -> bytes:
        """Give the frame as it would be on the wire."""
        return HEADER.pack(MAGIC, VERSION, self.type, self.nonce, self.first) + self.packed


class PacketEncoder(Encoder):
    """Writes packets."""

    __slots__ = ("_count",)

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def frame(self, type_: int, nonce: int, first: int, body: Any, version: int = VERSION) -> Any:
        """One frame: a packet for a GRANT, else bytes."""
        if type_ != GRANT or len(body) != PLAIN_GRANT:
            return super().frame(type_, nonce, first, body, version)
        *numbers, refusals = body
        return Packet(GRANT, nonce, first, (*numbers, tuple(refusals)), self._pack(body))

    def batch(self, nonce: int, first: int, items: list[Item]) -> Any:
        """A BATCH of items whose sequences begin at `first`."""
        self._count += 1
        if not self._count % AS_BYTES:
            return super().batch(nonce, first, items)
        return Packet(BATCH, nonce, first, tuple(items), self._pack(items))


class PacketDecoder(Decoder):
    """Reads packets and bytes."""

    __slots__ = ()

    def frame(self, data: Any) -> Frame | None:
        """The frame in `data`. Raises WireError for bytes that are none of ours."""
        return data if type(data) is Packet else super().frame(data)  # type: ignore[return-value]  # read like a Frame


def data_of(frame: Any) -> bytes:
    """Give the bytes of a frame under way."""
    data: bytes = frame.data() if type(frame) is Packet else frame
    return data
