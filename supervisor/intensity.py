"""How many restarts in how long: an exact sliding window on integer nanoseconds (OTP `supervisor`, MaxR and MaxT).

An entry counts while it is at most `period` old; OTP's rule on whole seconds, ours on the injected clock.
"""

from __future__ import annotations

from collections import deque

NANOSECONDS = 1_000_000_000


class Intensity:
    """At most `limit` restarts in any window of `period_ns`; holds at most `limit + 1` entries."""

    __slots__ = ("_entries", "limit", "period_ns", "total")

    def __init__(self, limit: int, period_seconds: float) -> None:
        self.limit = limit
        self.period_ns = max(1, round(period_seconds * NANOSECONDS))
        self.total = 0  # restarts ever counted, the fatal one too
        self._entries: deque[int] = deque()

    def add(self, now_ns: int) -> bool:
        """Count a restart; False: it is one too many and nothing may be started."""
        self._expire(now_ns)
        self._entries.append(now_ns)
        self.total += 1
        return len(self._entries) <= self.limit

    def take(self, now_ns: int) -> bool:
        """Count a restart if it is allowed; False, and nothing is counted, if it is one too many."""
        entries = self._entries
        while entries and now_ns - entries[0] > self.period_ns:
            entries.popleft()
        if len(entries) >= self.limit:
            return False
        entries.append(now_ns)
        self.total += 1
        return True

    def used(self, now_ns: int) -> int:
        """Tell how many restarts the window holds."""
        self._expire(now_ns)
        return len(self._entries)

    def left(self, now_ns: int) -> int:
        """Tell how many more restarts are allowed now."""
        return max(0, self.limit - self.used(now_ns))

    def _expire(self, now_ns: int) -> None:
        entries = self._entries
        while entries and now_ns - entries[0] > self.period_ns:
            entries.popleft()

    def __repr__(self) -> str:
        return f"<intensity {len(self._entries)}/{self.limit} in {self.period_ns} ns>"
