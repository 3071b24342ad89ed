"""Bounded worker threads: jobs in, results back through one wake-up descriptor, both on the core's own thread.

Which job runs next is decided on the core's thread only; a worker thread sees one job at a time. A thread cannot be
stopped: a job nobody waits for any more keeps its thread busy until it ends, and its result is dropped.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

from regrove.node.core.reasons import OsError
from regrove.node.io.affinity import roam
from regrove.node.io.poller import Poller


class Job:
    """`run()` on a worker thread, then `done(result)` on the core's; `run` must not raise.

    `result` is what `run` returned, or `OsError("EAGAIN")` when the system gave no thread.
    """

    __slots__ = ("cancelled", "crew", "done", "result", "run", "started")

    def __init__(self, crew: Crew, run: Callable[[], object], done: Callable[[object], None]) -> None:
        self.crew = crew
        self.run = run
        self.done = done
        self.result: object = None
        self.started = False
        self.cancelled = False


class Wake:
    """Wakes the poller when threads have finished jobs, and hands these to their crews."""

    __slots__ = ("_fd", "_finished", "_lock", "_poller")

    def __init__(self, poller: Poller) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._finished: deque[Job] = deque()
        self._poller = poller
        self._lock = threading.Lock()  # only against `close`: the descriptor's number may then be another file's
        poller.register(self._fd, select.EPOLLIN, self._on_ready)

    def finish(self, job: Job) -> None:
        """Called by a worker thread at the end of `job`."""
        self._finished.append(job)
        with self._lock:
            if self._fd >= 0:
                os.eventfd_write(self._fd, 1)

    def drain(self, crew: Crew, limit_s: float) -> None:
        """Go on until `crew` has nothing to do, at most `limit_s` seconds: for the end of an edge only."""
        end = time.monotonic() + limit_s
        while crew.busy:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._fd], [], [], left)[0]:
                return
            self._on_ready(0)

    def close(self) -> None:
        """Close the descriptor; jobs that end later are dropped."""
        with self._lock:
            fd, self._fd = self._fd, -1
        self._poller.unregister(fd)
        os.close(fd)

    def _on_ready(self, events: int) -> None:
        try:
            os.eventfd_read(self._fd)
        except BlockingIOError:
            return
        while self._finished:
            job = self._finished.popleft()
            job.crew.finished(job)


class Crew:
    """At most `threads` threads, started when first needed. `waiting` is unbounded here: callers check it first."""

    __slots__ = ("_inbox", "_name", "_threads", "_threads_max", "_wake", "busy", "waiting")

    def __init__(self, name: str, threads: int, wake: Wake) -> None:
        self.busy = 0
        self.waiting: deque[Job] = deque()
        self._name = name
        self._threads_max = threads
        self._threads: list[threading.Thread] = []
        self._inbox: SimpleQueue[Job | None] = SimpleQueue()
        self._wake = wake

    def would_wait(self) -> bool:
        """Tell whether a job submitted now had to wait for a thread."""
        return self.busy >= self._threads_max

    def submit(self, run: Callable[[], object], done: Callable[[object], None]) -> Job:
        """Run `run()` on the next free thread, then call `done(result)` from the poller."""
        job = Job(self, run, done)
        if self.would_wait():
            self.waiting.append(job)
        else:
            self._start(job)
        return job

    def cancel(self, job: Job) -> None:
        """Drop the job: its `done` is not called, and when it has not begun it never runs."""
        job.cancelled = True
        if not job.started:
            self.waiting.remove(job)

    def finished(self, job: Job) -> None:
        """Take the end of a job (from the poller): the next one gets its thread, then its result is told."""
        self.busy -= 1
        if self.waiting:
            self._start(self.waiting.popleft())
        if not job.cancelled:
            job.done(job.result)

    def close(self, limit_s: float) -> None:
        """Let the threads go; idle ones are joined (each in at most `limit_s`), waiting jobs are dropped."""
        self.waiting.clear()
        for _ in self._threads:
            self._inbox.put(None)
        if not self.busy:
            for thread in self._threads:
                thread.join(limit_s)

    def _start(self, job: Job) -> None:
        job.started = True
        self.busy += 1
        if self.busy > len(self._threads):
            # Daemons, because one that hangs must not keep the process from ending.
            name = f"regrove-{self._name}-{len(self._threads)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                if not self._threads:
                    job.result = OsError("EAGAIN", f"no worker thread can be started: {error}")
                    self._wake.finish(job)
                    return
            else:
                self._threads.append(thread)
        self._inbox.put(job)

    def _work(self) -> None:
        roam()
        while True:
            job = self._inbox.get()
            if job is None:
                return
            job.result = job.run()
            self._wake.finish(job)
            del job  # a waiting thread must not keep the last job's arguments alive

    def __repr__(self) -> str:
        return f"<Crew {self._name} busy={self.busy}/{self._threads_max} waiting={len(self.waiting)}>"
