"""Probabilistic concurrency testing: receivers have priorities, and what is meant for a low one comes later.

After Burckhardt, Kothari, Musuvathi, Nagarakatte 2010, on the inputs of cores. For some virtual seconds, an epoch, the
cores and the world outside are ranked in a drawn order; the inputs of the core of rank k come k steps later, at most
`window` in all. So while one of a higher rank still has something to do within that window, the lower ones are not
heard. At `changes` drawn instants of an epoch a core falls below all others, or one link to it does. All of it is
written as faults of the kinds `late` and `delay`: it is printed, stored, replayed and shrunk as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from regrove.node.core.errors import Misuse
from regrove.node.simulation.clock import MILLISECOND, SECOND, Span, duration
from regrove.node.simulation.plan import DELAY, LATE, Fault, Layout
from regrove.node.simulation.seeds import NEVER, Draws, Ratio, below, slice_of

WINDOWS: Final = tuple(count * MILLISECOND for count in (1, 5, 20, 80, 300))
EPOCHS: Final = (1, 2, 4, 8)  # virtual seconds for which one ranking stands
CHANGES: Final = 3
CHANGES_MAX: Final = 64
_ORDINALS: Final = 1 << 20  # of the draws of one epoch


@dataclass(frozen=True, slots=True)
class Priorities:
    """A source of lateness by rank: `changes` an epoch (0 to 64), within `window` ns; 0: one drawn from the seed."""

    changes: int = CHANGES
    window: int = 0
    what: str = LATE
    noise: Ratio = NEVER
    strength: tuple[int, int] = (0, 0)

    def draw(self, second: int, layout: Layout, draws: Draws) -> list[Fault]:
        """Draw an epoch in its first second; nothing in the others."""
        return [] if second % _length(draws) else self.opening(second, layout, draws)

    def opening(self, second: int, layout: Layout, draws: Draws) -> list[Fault]:
        """Draw the whole epoch of that second."""
        epoch, length = second // _length(draws), _length(draws) * SECOND
        window = self.window or WINDOWS[slice_of(draws.at(epoch, "pct.window"), 0) * len(WINDOWS) >> 20]
        cores = [f"n{node}/{core}" for node in range(layout.nodes) for core in range(layout.cores)]
        order = sorted(["", *cores], key=lambda name: (draws.at(epoch, "pct.rank", name), name))
        begin, end = epoch * length, (epoch + 1) * length
        step = max(window // len(order), 1)
        ranks = {name: (0, rank * step) for rank, name in enumerate(order) if name}  # since when, and how late
        lowest = (len(order) - 1) * step
        found: list[Fault] = []
        fallen = 0
        for at, draw in self._changes(epoch, length, draws):
            name = cores[slice_of(draw, 0) * len(cores) >> 20]
            source = cores[slice_of(draw, 1) * len(cores) >> 20]
            if source != name and draw >> 63:
                found.append(Fault(DELAY, f"{source}>{name}", begin + at, length - at, window))
                continue
            since, late = ranks[name]
            found += _lateness(name, begin + since, begin + at, late)
            fallen += 1
            ranks[name] = (at, lowest + step * fallen // self.changes)
        for name, (since, late) in ranks.items():
            found += _lateness(name, begin + since, end, late)
        return found

    def _changes(self, epoch: int, length: int, draws: Draws) -> list[tuple[int, int]]:
        first = epoch * _ORDINALS
        each = ((draws.at(first + number, "pct.when"), number) for number in range(self.changes))
        return sorted((below(draw, length), draws.at(first + number, "pct.whom")) for draw, number in each)


def _length(draws: Draws) -> int:
    return EPOCHS[slice_of(draws.at(0, "pct.epoch"), 0) * len(EPOCHS) >> 20]


def _lateness(name: str, begin: int, end: int, late: int) -> list[Fault]:
    return [Fault(LATE, name, begin, end - begin, late)] if late and end > begin else []


def pct(changes: int = CHANGES, window: Span = 0) -> Priorities:
    """Rank the cores and hold back what is meant for the lower ones, within `window` (0: drawn, 1 to 300 ms).

    At `changes` instants of each epoch of 1 to 8 virtual seconds one of them, or one link, falls below all others.
    """
    if type(changes) is not int or not 0 <= changes <= CHANGES_MAX:
        raise Misuse(f"pct(changes={changes!r}): changes is an int from 0 to {CHANGES_MAX}")
    return Priorities(changes, duration(window))
