"""The one place where a core sleeps: an epoll shared by links, control, streams, files and offload.

A source is a file descriptor with a callable. Its readiness may be reported when it is no longer (or not yet) true,
so a callback asks the kernel and takes "would block" for an answer. The poller never spins: without a timeout, a ready
source or an alarm it sleeps.
"""

from __future__ import annotations

import heapq
import select
import time
from collections.abc import Callable
from typing import Final, TypeAlias

OnReady: TypeAlias = Callable[[int], None]

NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000
EVENTS_PER_WAIT: Final = 256  # a batch small enough that links and timers are looked at between two of them
SELECT_FDS: Final = 1024  # FD_SETSIZE: what select(2) can name


class Poller:
    """`register` sources, then `wait`: each ready source's callable is called with its epoll events."""

    __slots__ = ("_alarms", "_alarms_made", "_callbacks", "_epoll", "_fine", "_immediate")

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, OnReady] = {}
        self._alarms: list[tuple[int, int, Callable[[], None]]] = []
        self._alarms_made = 0
        self._immediate = False
        # epoll counts milliseconds, select microseconds, and an epoll can itself be selected on.
        self._fine = [self._epoll.fileno()] if self._epoll.fileno() < SELECT_FDS else []

    def register(self, fd: int, events: int, on_ready: OnReady) -> None:
        """Call `on_ready(events)` from `wait` when `fd` has one of `events` (`select.EPOLLIN` and so on)."""
        self._epoll.register(fd, events)
        self._callbacks[fd] = on_ready

    def modify(self, fd: int, events: int) -> None:
        """Replace the events of `fd`; an edge-triggered one that is ready now is reported again."""
        self._epoll.modify(fd, events)

    def unregister(self, fd: int) -> None:
        """Forget `fd`, before it is closed (a duplicate elsewhere would go on reporting)."""
        del self._callbacks[fd]
        self._epoll.unregister(fd)

    def prompt(self) -> None:
        """Make the next `wait` return without sleeping: somebody already holds results to be collected."""
        self._immediate = True

    def alarm(self, delay_ns: int, ring: Callable[[], None]) -> None:
        """Call `ring()` once from a `wait`, `delay_ns` from now or later (for retries, not for user timers)."""
        self._alarms_made += 1
        heapq.heappush(self._alarms, (time.monotonic_ns() + delay_ns, self._alarms_made, ring))

    def wait(self, timeout_ns: int | None) -> None:
        """Sleep until a source is ready, at most `timeout_ns` (None: for ever), and call the ready ones.

        Never ends early without a ready source, a due alarm or a `prompt`; ends about 0.1 ms late (the kernel's slack).
        """
        if self._alarms:
            timeout_ns = self._until_alarm(timeout_ns)
        if self._immediate:
            self._immediate = False
            timeout_ns = 0
        if timeout_ns is None:
            ready = self._epoll.poll(None, EVENTS_PER_WAIT)
        elif timeout_ns <= 0:
            ready = self._epoll.poll(0, EVENTS_PER_WAIT)
        else:
            ready = self._poll_finely(timeout_ns)
        callbacks = self._callbacks
        for fd, events in ready:
            on_ready = callbacks.get(fd)
            if on_ready is not None:
                on_ready(events)
        if self._alarms:
            self._ring()

    def close(self) -> None:
        """Close the epoll; the sources' descriptors stay with their owners."""
        self._callbacks.clear()
        self._alarms.clear()
        self._epoll.close()

    def _poll_finely(self, timeout_ns: int) -> list[tuple[int, int]]:
        if not self._fine:
            return self._epoll.poll(timeout_ns / NS_PER_S, EVENTS_PER_WAIT)
        milliseconds = timeout_ns // NS_PER_MS
        if milliseconds:
            end = time.monotonic_ns() + timeout_ns
            # Half a millisecond less, because the timeout is rounded up to a whole one.
            ready = self._epoll.poll((milliseconds - 0.5) / 1_000, EVENTS_PER_WAIT)
            timeout_ns = end - time.monotonic_ns()
            if ready or timeout_ns <= 0:
                return ready
        select.select(self._fine, (), (), timeout_ns / NS_PER_S)
        return self._epoll.poll(0, EVENTS_PER_WAIT)

    def _until_alarm(self, timeout_ns: int | None) -> int:
        left = max(0, self._alarms[0][0] - time.monotonic_ns())
        return left if timeout_ns is None else min(left, timeout_ns)

    def _ring(self) -> None:
        now = time.monotonic_ns()
        due = []
        while self._alarms and self._alarms[0][0] <= now:
            due.append(heapq.heappop(self._alarms)[2])
        for ring in due:
            ring()

    def __repr__(self) -> str:
        return f"<Poller {len(self._callbacks)} sources, {len(self._alarms)} alarms>"
