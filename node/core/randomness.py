"""`ctx.random`: counter-based, one stream per path and life, the same on every Python and machine.

The n-th draw is a mix of (key, n), so nothing another isolate does moves it. SplitMix64's finaliser is the mix.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from hashlib import blake2b
from typing import Any, TypeVar

from regrove.node.core.errors import Misuse

T = TypeVar("T")
MASK = 0xFFFFFFFFFFFFFFFF
GOLDEN = 0x9E3779B97F4A7C15


def key_of(seed: int, *names: object) -> int:
    """A 64-bit key from a seed and stable names."""
    data = "\x00".join(map(str, names)).encode()
    return int.from_bytes(blake2b(data, digest_size=8, key=(seed & MASK).to_bytes(8, "little")).digest(), "little")


def mix(key: int, ordinal: int) -> int:
    """The 64-bit draw number `ordinal` of a key."""
    value = (key + ordinal * GOLDEN) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


class Random:
    """Random numbers of one life of one isolate; the names are those of the standard library's `random`."""

    __slots__ = ("_key", "_ordinal")

    def __init__(self, key: int) -> None:
        self._key = key
        self._ordinal = 0

    def getrandbits(self, bits: int) -> int:
        """An int of `bits` random bits."""
        value = 0
        for shift in range(0, bits, 64):
            self._ordinal += 1
            value |= mix(self._key, self._ordinal) << shift
        return value & ((1 << bits) - 1)

    def random(self) -> float:
        """A float in [0, 1)."""
        return self.getrandbits(53) / (1 << 53)

    def below(self, limit: int) -> int:
        """An int in [0, limit)."""
        if limit < 1:
            raise Misuse(f"random.below(limit) takes a limit of at least 1, got {limit}")
        return (self.getrandbits(64 + limit.bit_length()) * limit) >> (64 + limit.bit_length())

    def randint(self, low: int, high: int) -> int:
        """An int in [low, high]."""
        return low + self.below(high - low + 1)

    def uniform(self, low: float, high: float) -> float:
        """A float in [low, high)."""
        return low + (high - low) * self.random()

    def choice(self, items: Sequence[T]) -> T:
        """One of `items`."""
        return items[self.below(len(items))]

    def shuffle(self, items: MutableSequence[Any]) -> None:
        """Shuffle in place."""
        for index in range(len(items) - 1, 0, -1):
            other = self.below(index + 1)
            items[index], items[other] = items[other], items[index]

    def randbytes(self, count: int) -> bytes:
        """`count` random bytes."""
        return self.getrandbits(count * 8).to_bytes(count, "little") if count else b""
