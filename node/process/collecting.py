"""Garbage is collected between passes and never inside one: no handler pays for the garbage of another.

The automatic collector is off. Reference counts free nearly everything at once; what is left are cycles, looked for by
generation as the collector itself would, the oldest generation preferably while there is nothing else to do.
"""

from __future__ import annotations

import gc
from typing import Final

YOUNG_OBJECTS: Final = 10_000  # allocations minus frees before the youngest generation is looked at: about 1 ms of work
YOUNGER_RUNS: Final = 10  # collections of one generation before the next older one is looked at
FORCED_RUNS: Final = 10 * YOUNGER_RUNS  # a core that is never idle has its oldest generation looked at all the same


class Collector:
    """`start` once everything is imported; then `between_passes(idle)`."""

    __slots__ = ("collections",)

    def __init__(self) -> None:
        self.collections = 0

    def start(self) -> None:
        """What lives now lives for ever: it is not looked at any more."""
        gc.disable()
        gc.collect()
        gc.freeze()

    def between_passes(self, idle: bool) -> None:
        """Collect what is due."""
        young, middle, old = gc.get_count()
        if young < YOUNG_OBJECTS:
            return
        self.collections += 1
        if old >= FORCED_RUNS or (idle and old >= YOUNGER_RUNS):
            gc.collect(2)
        elif middle >= YOUNGER_RUNS:
            gc.collect(1)
        else:
            gc.collect(0)
