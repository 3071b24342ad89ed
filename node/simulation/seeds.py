"""Keyed randomness: a decision is a pure function of (seed, kind, source, destination, ordinal).

Never the next number of a stream: taking one fault, log line or isolate away changes no decision on other pairs. Names
are hashed with blake2b once per pair; a draw is then one splitmix64 step (Steele, Lea, Flood 2014), so it is the same
in every process, on every machine and Python. A draw has 64 bits and is sliced; ratios and times are integers.
"""

from __future__ import annotations

from hashlib import blake2b
from types import FunctionType
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from mypy_extensions import i64

MASK: Final = 0xFFFF_FFFF_FFFF_FFFF
SLICE_BITS: Final = 20  # three independent decisions fit one draw
SLICE: Final = (1 << SLICE_BITS) - 1
GOLDEN: Final = 0x9E37_79B9_7F4A_7C15
MIX_1: Final = 0xBF58_476D_1CE4_E5B9
MIX_2: Final = 0x94D0_49BB_1331_11EB

# For the same draws in machine numbers, where this module is compiled.
HALF: Final = MASK >> 1
GOLDEN_SIGNED: Final = -0x61C8_8646_80B5_83EB
MIX_1_SIGNED: Final = -0x40A7_B892_E31B_1A47
MIX_2_SIGNED: Final = -0x6B2F_B644_ECCE_EE15

Part = str | int | bytes


class Ratio(NamedTuple):
    """`numerator` in `denominator`, both integers: `Ratio(1, 1000)` is one in a thousand (resolution 2**-20)."""

    numerator: int
    denominator: int


NEVER: Final = Ratio(0, 1)


def key_of(*parts: Part) -> int:
    """Hash names and numbers to 64 bits, the same in every process."""
    state = blake2b(digest_size=8)
    for part in parts:
        if isinstance(part, str):
            data = b"s" + part.encode()
        elif isinstance(part, int):
            data = b"i%d" % part
        else:
            data = b"b" + part
        state.update(b"%d:" % len(data))
        state.update(data)
    return int.from_bytes(state.digest(), "little")


COMPILED: Final = type(key_of) is not FunctionType


def mix(value: int) -> int:
    """Spread 64 bits over 64 bits (splitmix64)."""
    if COMPILED:
        return _unsigned(_mixed(_signed(value & MASK)))
    value = (value + GOLDEN) & MASK
    value = ((value ^ (value >> 30)) * MIX_1) & MASK
    value = ((value ^ (value >> 27)) * MIX_2) & MASK
    return value ^ (value >> 31)


def _mixed(value: i64) -> i64:
    """`mix` in machine numbers, which wrap at 64 bits; their shift brings the sign along, so it is cut off."""
    value = value + GOLDEN_SIGNED
    value = (value ^ ((value >> 30) & 0x3_FFFF_FFFF)) * MIX_1_SIGNED
    value = (value ^ ((value >> 27) & 0x1F_FFFF_FFFF)) * MIX_2_SIGNED
    return value ^ ((value >> 31) & 0x1_FFFF_FFFF)


def _signed(value: int) -> i64:
    return value - MASK - 1 if value > HALF else value


def _unsigned(value: i64) -> int:
    draw: int = value
    return draw if draw >= 0 else draw + MASK + 1


def slice_of(draw: int, index: int) -> int:
    """Return slice 0, 1 or 2 of a draw: an int below 2**20."""
    return (draw >> (index * SLICE_BITS)) & SLICE


def holds(draw: int, index: int, ratio: Ratio) -> bool:
    """Tell whether slice `index` of the draw falls into `ratio`."""
    return ((draw >> (index * SLICE_BITS)) & SLICE) * ratio.denominator < ratio.numerator << SLICE_BITS


def below(draw: int, limit: int) -> int:
    """Map a whole draw to 0 .. limit - 1 without a modulo's bias."""
    return (draw * limit) >> 64


def between(draw: int, low: int, high: int) -> int:
    """Map a whole draw to low .. high, both included."""
    return low + ((draw * (high - low + 1)) >> 64)


class Lane:
    """The draws of one (kind, source, destination), counted by their ordinal."""

    __slots__ = ("_wrapped", "fine", "key", "low", "ordinal", "row")

    def __init__(self, key: int) -> None:
        self.key = key
        self._wrapped: i64 = _signed(key)
        self.ordinal = 0
        self.low = 0  # of the last `next`: its slice 0, the 8 bits behind it, and its slice 2
        self.row = 0
        self.fine = 0

    def next(self) -> int:
        """Draw for the next ordinal: 64 bits."""
        self.ordinal = ordinal = self.ordinal + 1
        if COMPILED:
            return self._next(ordinal)
        value = (self.key + (ordinal + 1) * GOLDEN) & MASK  # `mix`, written out: one draw a frame
        value = ((value ^ (value >> 30)) * MIX_1) & MASK
        value = ((value ^ (value >> 27)) * MIX_2) & MASK
        value ^= value >> 31
        self.low = value & SLICE
        self.row = (value >> 20) & 0xFF
        self.fine = (value >> 40) & SLICE
        return value

    def _next(self, ordinal: i64) -> int:
        value: i64 = _mixed(self._wrapped + ordinal * GOLDEN_SIGNED)
        low: i64 = value & SLICE
        row: i64 = (value >> 20) & 0xFF
        fine: i64 = (value >> 40) & SLICE
        self.low, self.row, self.fine = low, row, fine
        return _unsigned(value)

    def at(self, ordinal: int) -> int:
        """Draw for a given ordinal, whatever was drawn before."""
        if COMPILED and ordinal < HALF:
            return self._at(ordinal)
        return mix(self.key + ordinal * GOLDEN)

    def _at(self, ordinal: i64) -> int:
        return _unsigned(_mixed(self._wrapped + ordinal * GOLDEN_SIGNED))


class Draws:
    """All draws of one seed. A lane is made at its first use; its draws do not depend on when that is."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._lanes: dict[tuple[str, str, str], Lane] = {}

    @property
    def kept(self) -> int:
        """How many lanes are kept."""
        return len(self._lanes)

    def lane(self, kind: str, source: str = "", destination: str = "") -> Lane:
        """Return the lane of this kind between these names."""
        names = (kind, source, destination)
        lane = self._lanes.get(names)
        if lane is None:
            lane = self._lanes[names] = Lane(key_of(self.seed, kind, source, destination))
        return lane

    def once(self, kind: str, source: str) -> Lane:
        """Return the lane of a name that is never used again, such as one connection's: nobody else keeps it."""
        return Lane(key_of(self.seed, kind, source, ""))

    def draw(self, kind: str, source: str = "", destination: str = "") -> int:
        """Draw for the next ordinal of (kind, source, destination)."""
        return self.lane(kind, source, destination).next()

    def at(self, ordinal: int, kind: str, source: str = "", destination: str = "") -> int:
        """Draw for one ordinal of (kind, source, destination); moves no counter."""
        return self.lane(kind, source, destination).at(ordinal)


class Distribution:
    """Times drawn from a table of (weight, low ns, high ns) rows; weights are out of their sum, cut to 1/256."""

    __slots__ = ("low", "rows", "span")

    def __init__(self, *rows: tuple[int, int, int]) -> None:
        self.rows = rows
        total = sum(weight for weight, _, _ in rows)
        low: list[int] = []
        span: list[int] = []
        seen = 0
        for weight, least, most in rows:
            seen += weight
            count = seen * 256 // total - len(low)
            low.extend([least] * count)
            span.extend([most - least] * count)
        self.low = tuple(low)
        self.span = tuple(span)

    def pick(self, draw: int) -> int:
        """Return ns by slices 1 and 2 of the draw; slice 0 is left for the decision whether at all."""
        row = (draw >> 20) & 0xFF
        return self.low[row] + ((self.span[row] * ((draw >> 40) & SLICE)) >> SLICE_BITS)
