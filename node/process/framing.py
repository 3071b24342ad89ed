"""One frame = 4 bytes of length (big endian) and that many bytes of msgpack: control socket and a core's pipe.

Only plain values pass (None, bool, int, float, str, bytes, lists and tuples, dicts with str keys); tuples arrive as
lists. Both ends are processes of one user on one machine; the limits guard against bugs, not against enemies.
"""

from __future__ import annotations

import socket
import struct
from typing import Any, Final

import msgpack

from regrove.node.core.errors import RegroveError

FRAME_BYTES_MAX: Final = 64 * 1024 * 1024  # the tree of a core with 100 000 isolates is about 20 MiB
_LENGTH: Final = struct.Struct(">I")


class FramingError(RegroveError):
    """Bytes that are no frame of ours came over a control connection."""


def pack(value: object) -> bytes:
    """Encode one frame; raises FramingError for a value that is not plain or a frame over FRAME_BYTES_MAX."""
    try:
        body = msgpack.packb(value, use_bin_type=True)
    except (TypeError, ValueError, OverflowError) as problem:
        raise FramingError(f"cannot frame a {type(value).__name__}: {problem}; send plain values only") from problem
    if len(body) > FRAME_BYTES_MAX:
        raise FramingError(f"a frame of {len(body)} bytes is over the limit of {FRAME_BYTES_MAX}")
    return _LENGTH.pack(len(body)) + bytes(body)


class FrameReader:
    """Cuts a byte stream into frames: `feed(data)` returns the values that are whole."""

    __slots__ = ("_buffer", "_limit")

    def __init__(self, limit: int = FRAME_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self._limit = limit

    def feed(self, data: bytes) -> list[Any]:
        """Take more bytes; raises FramingError for a length over the limit or a body that is not msgpack."""
        buffer = self._buffer
        buffer += data
        values: list[Any] = []
        start = 0
        while len(buffer) - start >= 4:
            (length,) = _LENGTH.unpack_from(buffer, start)
            if length > self._limit:
                raise FramingError(f"a frame of {length} bytes was announced, the limit is {self._limit}")
            if len(buffer) - start - 4 < length:
                break
            values.append(_unpack(bytes(buffer[start + 4 : start + 4 + length])))
            start += 4 + length
        del buffer[:start]
        return values


def read_frame(connection: socket.socket) -> Any:
    """Take one frame of a blocking socket and not one byte more; None when the other end closed.

    Raises OSError, and FramingError for what is no frame.
    """
    header = _exactly(connection, _LENGTH.size)
    if header is None:
        return None
    (length,) = _LENGTH.unpack(header)
    if length > FRAME_BYTES_MAX:
        raise FramingError(f"a frame of {length} bytes was announced, the limit is {FRAME_BYTES_MAX}")
    body = _exactly(connection, length)
    return None if body is None else _unpack(body)


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            return None
        data += more
    return data


def _unpack(body: bytes) -> Any:
    try:
        return msgpack.unpackb(body, raw=False, strict_map_key=True)
    except (ValueError, msgpack.exceptions.UnpackException, UnicodeDecodeError) as problem:
        raise FramingError(f"a frame of {len(body)} bytes is not msgpack: {problem}") from problem
