"""Looks at the pages of a manager's cores, 200 times a second while one is at work and 40 times while all rest.

A thread of its own, because a stack dump takes milliseconds and a look must not wait for the manager's other work; it
decides nothing (`watchdog.py` does) and touches no state of the manager: what it finds waits in a queue, and an eventfd
wakes the manager's poller.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from regrove.node.io.poller import Poller
from regrove.node.process.page import Pages, Reading
from regrove.node.process.peeking import path_in
from regrove.node.process.stacks import Code, Stack, ask, main_stack
from regrove.node.process.watchdog import (
    MILLISECOND,
    CoreWatch,
    Facts,
    Slow,
    Stalled,
    Stalling,
    Verdict,
)
from regrove.records import dataclass

QUICK: Final = 5 * MILLISECOND
UNHURRIED: Final = 25 * MILLISECOND  # all cores rest; a handler of 50 ms that begins now is still seen in time
TICKS_NS: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Found:
    """A verdict on a life of a core, the reading it rests on, and the stack at that moment where one was taken."""

    core: int
    incarnation: int
    verdict: Verdict
    reading: Reading
    stack: Stack
    path: str = ""  # of the isolate whose turn it was; empty when that could not be seen


class Process:
    """What /proc says of the main thread of a core."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._stat = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._schedule: int | None = os.open(f"/proc/{pid}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # a kernel without CONFIG_SCHED_INFO
            self._schedule = None
        self._last = (time.monotonic_ns(), 0)
        self._waited = 0

    def facts(self, deep: bool) -> Facts | None:
        """The facts of now, None when it is gone; only `deep` ones say whether it is traced."""
        try:
            fields = os.pread(self._stat, 1024, 0).rpartition(b")")[2].split()
            state = fields[0].decode()
            if state in ("Z", "X"):
                return None
            traced = state == "t" or (deep and self._traced())
            if self._schedule is not None:
                ran, waited = os.pread(self._schedule, 128, 0).split()[:2]
                return Facts(state, int(ran), int(waited), traced)
        except (OSError, IndexError, ValueError):
            return None
        return Facts(state, *self._guess(state, (int(fields[11]) + int(fields[12])) * TICKS_NS), traced)

    def _guess(self, state: str, ran: int) -> tuple[int, int]:
        """Without schedstat: a thread that could run and did not has waited."""
        now = time.monotonic_ns()
        if state == "R":
            self._waited += max(now - self._last[0] - (ran - self._last[1]), 0)
        self._last = (now, ran)
        return ran, self._waited

    def _traced(self) -> bool:
        with open(f"/proc/{self.pid}/status", "rb") as stream:
            for row in stream:
                if row.startswith(b"TracerPid:"):
                    return int(row.split()[1]) != 0
        return False

    def close(self) -> None:
        """Close its files."""
        os.close(self._stat)
        if self._schedule is not None:
            os.close(self._schedule)


@dataclass(slots=True, eq=False)
class _Watched:
    core: int
    incarnation: int
    watch: CoreWatch
    process: Process
    pidfd: int
    over: bool = False

    def close(self) -> None:
        self.process.close()
        os.close(self.pidfd)


class Sampler:
    """Watches cores from `watch` to `forget`; `on_found` is called from the poller. Start it once, close it last."""

    def __init__(
        self, pages: Pages, poller: Poller, on_found: Callable[[Found], None], stall_kill: int | None, code: Code
    ) -> None:
        self._pages = pages
        self._poller = poller
        self._on_found = on_found
        self._stall_kill = stall_kill
        self._code = code
        self._watched: dict[int, _Watched] = {}
        self._over: deque[_Watched] = deque()
        self._found: deque[Found] = deque()
        self._closing = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        poller.register(self._wake, select.EPOLLIN, self._woken)
        self._thread = threading.Thread(target=self._run, name="regrove-sampler", daemon=True)
        self._thread.start()

    def watch(self, core: int, incarnation: int, pid: int, pidfd: int) -> None:
        """Watch this life of a core; one that is gone already is not watched."""
        self.forget(core)
        with contextlib.suppress(OSError):
            watch = CoreWatch(time.monotonic_ns(), self._stall_kill)
            self._watched[core] = _Watched(core, incarnation, watch, Process(pid), os.dup(pidfd))

    def forget(self, core: int) -> None:
        """The life of that core is over."""
        watched = self._watched.pop(core, None)
        if watched is not None:
            watched.over = True
            self._over.append(watched)  # the thread may be using its files

    def limit(self, stall_kill: int | None) -> None:
        """Judge by this limit from now on."""
        self._stall_kill = stall_kill
        for watched in self._watched.values():
            watched.watch.stall_kill = stall_kill

    def confirmed(self, found: Found) -> bool:
        """Tell whether a core still stands where it stood when it was judged."""
        return self._pages.read(found.core) == found.reading

    def close(self) -> None:
        """End the thread."""
        self._closing = True
        self._thread.join()
        for watched in (*self._watched.values(), *self._over):
            watched.close()
        self._poller.unregister(self._wake)
        os.close(self._wake)

    def _run(self) -> None:
        due = time.monotonic_ns()
        while not self._closing:
            began = time.monotonic_ns()
            moving = False
            for watched in list(self._watched.values()):
                self._look(watched, began, max(began - due, 0))
                moving = moving or watched.watch.moving
            while self._over:
                self._over.popleft().close()
            due = began + (QUICK if moving else UNHURRIED)
            time.sleep(max(due - time.monotonic_ns(), 0) / 1e9)

    def _look(self, watched: _Watched, now: int, late: int) -> None:
        watch = watched.watch
        verdicts, judge = watch.look(now, late, self._pages.read(watched.core))
        if judge:
            facts = watched.process.facts(watch.suspected)
            if facts is not None:
                verdicts += watch.judge(now, facts)
        for verdict in verdicts:
            self._tell(watched, verdict)

    def _tell(self, watched: _Watched, verdict: Verdict) -> None:
        stack, path = Stack(), ""
        reading = watched.watch.reading
        if isinstance(verdict, Slow | Stalling | Stalled) and not watched.over:
            with contextlib.suppress(OSError):  # it has ended meanwhile
                stack = main_stack(ask(watched.pidfd, self._pages.dumps[watched.core]), self._code)
            if stack.place is not None and not self._code.is_ours(stack.place.file):
                path = path_in(watched.process.pid, self._pages.chart(watched.core))
        if not watched.over:
            if self._pages.read(watched.core) != reading:
                path = ""  # it went on: the stack may be of one isolate and the path of another
            self._found.append(Found(watched.core, watched.incarnation, verdict, reading, stack, path))
            os.eventfd_write(self._wake, 1)

    def _woken(self, _events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        while self._found:
            self._on_found(self._found.popleft())

    def __repr__(self) -> str:
        return f"<sampler of {len(self._watched)} cores>"
