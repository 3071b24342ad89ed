"""How much of a bulk session may be under way: about 100 ms of the rate that was measured on it. Pure.

A round ends when everything that was under way at its beginning has been taken: its bytes over its time are the rate.
The window grows or shrinks by at most a factor of two a round, and only a round in which it stood in the way may
shrink it. On a short path a few round trips are as fast as 100 ms and keep small messages from waiting: so no more.
"""

from __future__ import annotations

from typing import Final

MS: Final = 1_000_000
SECOND: Final = 1_000 * MS
LONGEST: Final = 100 * MS  # of rate in the window
TRIPS: Final = 4  # round trips in the window, where that is less, and a pass of both ends
PASSES: Final = 1 * MS


class Pace:
    """The window of one sending half, in bytes; all times in ns."""

    __slots__ = ("_begin", "_fastest", "_from", "_mark", "ceiling", "floor", "limited", "window")

    def __init__(self, floor: int, ceiling: int) -> None:
        self.floor = floor
        self.ceiling = max(floor, ceiling)
        self.window = floor
        self.limited = False  # the window stood in the way during this round
        self._mark = 0  # bytes written when the round began; 0: no round
        self._from = 0  # bytes taken then
        self._begin = 0
        self._fastest = 0  # the shortest round since the session was last idle, 0: none yet

    def wrote(self, written: int, taken: int, now: int) -> None:
        """Pieces were written: a round begins if there is none."""
        if not self._mark:
            self._round(written, taken, now)

    def _round(self, written: int, taken: int, now: int) -> None:
        self._mark, self._from, self._begin = written, taken, now
        self.limited = False

    def taken(self, taken: int, written: int, now: int) -> None:
        """Pieces were taken."""
        if not self._mark or taken < self._mark:
            return
        took = now - self._begin
        if took > 0:
            self._fastest = min(self._fastest or took, took)
            self._adapt((taken - self._from) * SECOND // took)
        if written > taken:
            self._round(written, taken, now)
        else:
            self.idle()

    def idle(self) -> None:
        """Nothing is under way: the path may be another one when something is."""
        self._mark = self._fastest = 0

    def _adapt(self, rate: int) -> None:
        target = rate * min(LONGEST, TRIPS * self._fastest + PASSES) // SECOND
        if not self.limited:
            return
        near = min(max(target, self.window // 2), self.window * 2)
        self.window = min(max(near, self.floor), self.ceiling)
