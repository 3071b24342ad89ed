"""Virtual time: integer nanoseconds and a heap of what happens when; ties at one instant go by keyed rank."""

from __future__ import annotations

import re
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any, Final, TypeAlias

from regrove.node.core.errors import Misuse
from regrove.node.simulation.hiding import ours

__tracebackhide__ = ours  # of pytest

_push: Final = heappush  # found faster in compiled code
_pop: Final = heappop
MICROSECOND: Final = 1_000
MILLISECOND: Final = 1_000_000
SECOND: Final = 1_000_000_000

_UNITS: Final = {"ns": 1, "us": MICROSECOND, "ms": MILLISECOND, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND}
FOREVER: Final = 1e18  # s; also what no infinity and no NaN is below
LONGEST: Final = 400 * 86_400 * SECOND  # that a test lets pass in one go; more is a mistaken unit
SLOWEST: Final = -900_000  # ppm: no clock stands still
_DURATION: Final = re.compile(r"(\d+)(?:\.(\d+))?\s*(ns|us|ms|s|m|h)")

Span: TypeAlias = "str | int | float"


def duration(value: Span) -> int:
    """Return ns of `"60s"`, `"1.5ms"`, `"200us"`; a bare number counts seconds. Raises Misuse with the mend."""
    if isinstance(value, str):
        found = _DURATION.fullmatch(value.strip())
        if found is None:
            lacking = ", a text without its unit" if value.strip().replace(".", "", 1).isdigit() else ""
            ways = "'60s', '10ms' or '200us' (or a number of seconds)"
            raise Misuse(f"a duration is written like {ways}, got {value!r}{lacking}")
        whole, fraction, unit = found.groups()
        scale = _UNITS[unit]
        part = int(fraction) * scale // 10 ** len(fraction) if fraction else 0
        return int(whole) * scale + part
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < FOREVER:
        raise Misuse(f"a duration is seconds >= 0 or a text such as '60s', got {value!r}")
    return value * SECOND if isinstance(value, int) else round(value * SECOND)


def passing(value: Span) -> int:
    """Return the ns of a span that a test lets pass or waits for, at most 400 days. Raises Misuse with the mend."""
    ns = duration(value)
    if ns > LONGEST:
        took = f"{ns // (365 * 86_400 * SECOND)} years" if ns >= 730 * 86_400 * SECOND else "more than a year"
        if isinstance(value, str):
            raise Misuse(f"{value!r} is {took}: at most 400 days pass in one go")
        raise Misuse(f"a bare number is seconds: {value!r} is {took}; write a text with its unit, such as '5s'")
    return ns


def written(ns: int) -> str:
    """Return a time for people: `12.003450s`."""
    return f"{ns // SECOND}.{ns % SECOND // 1000:06d}s"


class Skew:
    """A clock that drifts: what it shows, and when it will show a time. `ppm` millionths fast, or slow below 0."""

    __slots__ = ("_asked", "_shown", "_since", "ppm")

    def __init__(self) -> None:
        self.ppm = 0
        self._asked = 0  # the sum of what was asked for, however slow that would be
        self._since = 0
        self._shown = 0

    def local(self, time: int) -> int:
        """Return what it shows at `time`."""
        passed = time - self._since
        return self._shown + passed + passed * self.ppm // 1_000_000

    def real(self, local: int) -> int:
        """Return the first instant at which it shows `local` or more."""
        passed = -((self._shown - local) * 1_000_000 // (1_000_000 + self.ppm))
        while self.local(self._since + passed) < local:
            passed += 1
        return self._since + passed

    def drift(self, now: int, ppm: int) -> None:
        """Run `ppm` faster from now on than it did."""
        self._shown, self._since = self.local(now), now
        self._asked += ppm
        self.ppm = max(self._asked, SLOWEST)


class Clock:
    """The present instant and what is still to happen. Nothing moves it but `step`."""

    __slots__ = ("callbacks", "heap", "limit", "now", "sequence")

    def __init__(self) -> None:
        self.now = 0
        self.callbacks = 0  # of all cores so far
        self.limit = 0
        self.sequence = 0
        self.heap: list[tuple[int, int, int, Callable[[Any], None], Any]] = []

    def at(self, time: int, rank: int, action: Callable[[Any], None], argument: Any = None) -> None:
        """Do `action(argument)` at `time` (never before now); `rank`, a draw, orders what shares the instant."""
        self.sequence = sequence = self.sequence + 1
        _push(self.heap, (time if time > self.now else self.now, rank, sequence, action, argument))

    def instead(self, action: Callable[[Any], None], others: list[tuple[int, Any]]) -> None:
        """Forget all that is still to happen by that action; have it happen at these times, first of what ties."""
        self.heap[:] = [entry for entry in self.heap if entry[3] != action]
        first = -len(others)
        self.heap += [(time, 0, first + number, action, argument) for number, (time, argument) in enumerate(others)]
        heapify(self.heap)

    def next_time(self) -> int | None:
        """When the next thing happens, None when nothing is left."""
        return self.heap[0][0] if self.heap else None

    def free_until(self, time: int) -> bool:
        """Whether nothing else happens up to and including `time`, within the run under way."""
        return time <= self.limit and (not self.heap or self.heap[0][0] > time)

    def step(self, limit: int = 0) -> None:
        """Move to the next thing and do it; it may go on by itself up to `limit`."""
        self.limit = limit
        self.now, _, _, action, argument = _pop(self.heap)
        action(argument)

    def run_until(self, limit: int) -> None:
        """Do all that is due up to and including `limit`, then stand there."""
        heap = self.heap
        self.limit = limit
        while True:
            if not heap or heap[0][0] > limit:
                break
            self.now, _, _, action, argument = _pop(heap)
            action(argument)
        if limit > self.now:
            self.now = limit
