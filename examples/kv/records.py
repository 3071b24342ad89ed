"""What a record of the log says: one change of a shard's keys, absolute, so that replaying it twice does no harm.

`S` key value · `P` deadline key value · `M` count (key value)... · `D` key · `E` deadline key · `F`. Lengths are
unsigned 32 bit, deadlines signed 64 bit of wall-clock ms (none: NO_DEADLINE), all little-endian.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final

REMOVED: Final = b"\0removed"  # compared by identity: a value of this text is another object
CLEAR: Final = b"F"
NO_DEADLINE: Final = -1

_put = Struct("<cI")
_put_until = Struct("<cqI")
_count = Struct("<cI")
_pair = Struct("<II")
_deadline = Struct("<cq")

Change = tuple[bytes | None, bytes | None, int | None]


def put(key: bytes, value: bytes, deadline: int | None = None) -> bytes:
    """Set a key with its deadline, or with none."""
    if deadline is None:
        return _put.pack(b"S", len(key)) + key + value
    return _put_until.pack(b"P", deadline, len(key)) + key + value


def put_many(items: list[tuple[bytes, bytes]]) -> bytes:
    """Set several keys, all or none of them."""
    parts = [_count.pack(b"M", len(items))]
    for key, value in items:
        parts.append(_pair.pack(len(key), len(value)) + key + value)
    return b"".join(parts)


def remove(key: bytes) -> bytes:
    """Remove a key."""
    return b"D" + key


def set_deadline(key: bytes, deadline: int | None) -> bytes:
    """Change a deadline, None takes it away."""
    return _deadline.pack(b"E", NO_DEADLINE if deadline is None else deadline) + key


def decode(payload: bytes) -> list[Change]:
    """Return the changes of a record as (key, value, deadline).

    key None: all keys go; value REMOVED: the key goes; value None: only its deadline changes. Raises ValueError.
    """
    try:
        return list(_decode(payload))
    except Exception as problem:
        raise ValueError(f"a record of {len(payload)} bytes that begins {payload[:16]!r} is none of ours") from problem


def _decode(payload: bytes) -> Iterator[Change]:
    match payload[:1]:
        case b"S":
            _, length = _put.unpack_from(payload)
            yield _slice(payload, _put.size, length), payload[_put.size + length :], None
        case b"P":
            _, deadline, length = _put_until.unpack_from(payload)
            yield _slice(payload, _put_until.size, length), payload[_put_until.size + length :], deadline
        case b"M":
            yield from _decode_many(payload)
        case b"D":
            yield payload[1:], REMOVED, None
        case b"E":
            _, deadline = _deadline.unpack_from(payload)
            yield payload[_deadline.size :], None, None if deadline == NO_DEADLINE else deadline
        case b"F" if len(payload) == 1:
            yield None, None, None
        case kind:
            raise ValueError(f"unknown kind {kind!r}")


def _decode_many(payload: bytes) -> Iterator[Change]:
    _, count = _count.unpack_from(payload)
    position = _count.size
    for _ in range(count):
        key_length, value_length = _pair.unpack_from(payload, position)
        position += _pair.size
        yield (
            _slice(payload, position, key_length),
            _slice(payload, position + key_length, value_length),
            None,
        )
        position += key_length + value_length
    if position != len(payload):
        raise ValueError("bytes after the last pair")


def _slice(payload: bytes, start: int, length: int) -> bytes:
    if start + length > len(payload):
        raise ValueError("shorter than it says")
    return payload[start : start + length]
