"""Frames inside a simulated world: a BATCH and a GRANT remember what a decoder would have to find out.

Each is written by the real encoder, so what msgpack refuses is refused here. Its reader trusts that: the limits and
shapes of a frame are checked for strangers, and a simulated world has none. Each 64th of a link table, and each other
kind of frame, travels as bytes through the real decoder.
"""

from __future__ import annotations

from typing import Any, Final
from zlib import crc32

import msgpack

from regrove.transport.wire import (
    ARRAYS,
    BATCH,
    GRANT,
    HEADER,
    HEADER_BYTES,
    MAGIC,
    VERSION,
    Decoder,
    Encoder,
    Item,
    Read,
    Written,
)

AS_BYTES: Final = 64
PLAIN_GRANT: Final = 4  # taken, messages, bytes, refusals; one that tells of pieces besides travels as bytes

_crc32: Final = crc32  # found faster in compiled code, as the next
_pack_head: Final = HEADER.pack
_unpack: Final = msgpack.unpackb


class Packet:
    """One BATCH or GRANT under way: its bytes, their `digest`, and what a decoder reads from them."""

    __slots__ = ("_body", "data", "digest", "first", "nonce", "type")

    version: Final = VERSION

    def __init__(self, type_: int, nonce: int, first: int, data: bytes, body: Any = None) -> None:
        self.type = type_
        self.nonce = nonce
        self.first = first
        self.data = data
        self.digest = _crc32(data)
        self._body = body

    @property
    def body(self) -> Any:
        """The items of a BATCH, or what a GRANT says."""
        if self._body is None:
            self._body = _unpack(self.data[HEADER_BYTES:], use_list=False)
        return self._body


class PacketEncoder(Encoder):
    """Writes packets."""

    __slots__ = ("_count",)

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def frame(self, type_: int, nonce: int, first: int, body: Any, version: int = VERSION) -> Any:
        """One frame: a packet for a GRANT, else bytes."""
        data = super().frame(type_, nonce, first, body, version)
        if type_ != GRANT or len(body) != PLAIN_GRANT:
            return data
        *numbers, refusals = body
        return Packet(GRANT, nonce, first, data, (*numbers, tuple(refusals)))

    def batch(self, nonce: int, first: int, items: list[bytes], lone: Item | None = None) -> Any:
        """A BATCH of items whose sequences begin at `first`."""
        head = _pack_head(MAGIC, VERSION, BATCH, nonce, first)
        data = b"".join((head, ARRAYS[len(items)], *items))  # as `Encoder.batch` does
        self._count = count = self._count + 1
        return Packet(BATCH, nonce, first, data, None if lone is None else (lone,)) if count % AS_BYTES else data


class PacketDecoder(Decoder):
    """Reads packets and bytes."""

    __slots__ = ()

    def frame(self, data: Written) -> Read:
        """The frame in `data`. Raises WireError for bytes that are none of ours."""
        return data if type(data) is Packet else super().frame(data)


def data_of(frame: Any) -> bytes:
    """Give the bytes of a frame under way."""
    data: bytes = frame.data if type(frame) is Packet else frame
    return data
