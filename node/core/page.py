"""The words a core writes so that somebody outside can see it go on: where they are, and what stands for them at home.

A driver gives the core something that takes `words[index] = number`: a shared page on a real machine, a list elsewhere.
Who reads them compares: any change is progress. Writing costs about 30 ns, so a pass writes once in `GRAIN` callbacks.
"""

from __future__ import annotations

from typing import Final, Protocol

PASS_AT: Final = 0  # ns of the driver's clock when the pass under way began; 0: the core rests
TURN: Final = 1  # callbacks of this pass, at most GRAIN (or one turn) behind
SERVED: Final = 2  # changes with each turn of a supervisor
WORDS: Final = 3

GRAIN: Final = 8  # callbacks between two writes


class Words(Protocol):
    """64-bit numbers that take `words[index] = number`."""

    def __setitem__(self, index: int, value: int, /) -> None:
        """Write one word."""


def own_words() -> Words:
    """Words that nobody outside sees."""
    return [0] * WORDS
