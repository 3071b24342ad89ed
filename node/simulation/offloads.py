"""Simulated Offload: the function runs at once, its end comes after keyed time; as many run as there are threads.

What goes to a worker process crosses the codec both ways, as outside: it works on copies, and what does not travel is
refused. A cancelled one loses its process, and so makes room; a thread is busy until its function ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from regrove.node.core.bounds import Bounds
from regrove.node.core.effects import Offload
from regrove.node.core.lifecycle import without_addresses
from regrove.node.core.reasons import Busy, Raised, TooLarge
from regrove.node.io.offload import importable_name, raised
from regrove.node.io.process_offload import Task, make_task, result_of
from regrove.node.io.worker import serve
from regrove.node.simulation.clock import MICROSECOND, MILLISECOND, Clock
from regrove.node.simulation.seeds import Distribution, Draws

OFFLOAD_TIME: Final = Distribution((15, 50 * MICROSECOND, 2 * MILLISECOND), (1, 2 * MILLISECOND, 50 * MILLISECOND))


class Pool:
    """The threads, or the processes, of one core: how many run, what waits for one."""

    __slots__ = ("limit", "queue", "running")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.running = 0
        self.queue: deque[tuple[int, Offload]] = deque()


class Ailing(Protocol):
    """How a core's threads and processes fare: `offload_slowness` times as slow, faults that make them fail.

    `offloads_slowed` and `offloads_failed` count what met that.
    """

    offload_slowness: int
    offload_failures: int
    offloads_slowed: int
    offloads_failed: int


class Offloads:
    """The pools of one life of one core. `end(token, result)` reports; `wanted(token)` tells whether anybody waits."""

    def __init__(
        self,
        who: str,
        clock: Clock,
        draws: Draws,
        bounds: Bounds,
        end: Callable[[int, object], None],
        wanted: Callable[[int], bool],
    ) -> None:
        self._who = who
        self._clock = clock
        self._draws = draws
        self._queue_limit = bounds.offload_queue
        self._end = end
        self._wanted = wanted
        self._pools = {"thread": Pool(bounds.offload_threads), "process": Pool(bounds.offload_processes)}
        self._killed: dict[int, None] = {}  # in worker processes that a cancel has ended
        self.whose: Callable[[int], str] = _nobody  # the path of the isolate that a token belongs to
        self.dead = False
        self.ailing: Ailing | None = None

    @property
    def working(self) -> int:
        """How many run or wait for a thread."""
        return sum(pool.running + len(pool.queue) for pool in self._pools.values())

    def begin(self, token: int, wait: Offload) -> None:
        """Begin an Offload, or refuse it at once."""
        pool = self._pools[wait.where]
        refused = _refusal(token, wait)
        if refused is not None:
            self._end(token, refused)
        elif pool.running < pool.limit:
            self._run(token, wait)
        elif len(pool.queue) < self._queue_limit:
            pool.queue.append((token, wait))
        else:
            self._end(token, Busy())

    def cancel(self, token: int, where: str) -> None:
        """Nobody waits for it any more."""
        pool = self._pools[where]
        waiting = len(pool.queue)
        pool.queue = deque(entry for entry in pool.queue if entry[0] != token)
        if len(pool.queue) == waiting and where == "process":
            self._killed[token] = None
            pool.running -= 1
            self._next(pool)

    def _run(self, token: int, wait: Offload) -> None:
        self._pools[wait.where].running += 1
        result: object
        ailing = self.ailing
        try:
            if ailing is not None and ailing.offload_failures:
                ailing.offloads_failed += 1
                raise OSError("the plan fails what this core offloads")
            result = _by_worker(token, wait) if wait.where == "process" else wait.function(*wait.args)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            told = raised(error)
            result = Raised(told.type, without_addresses(told.text))
        delay = OFFLOAD_TIME.pick(
            self._draws.draw("offload", f"{self._who}:{self.whose(token)}", wait.function.__qualname__)
        )
        if ailing is not None:
            ailing.offloads_slowed += ailing.offload_slowness > 1
            delay *= ailing.offload_slowness
        rank = self._draws.draw("offload.rank", self._who)
        self._clock.at(self._clock.now + delay, rank, self._returned, (token, result, wait.where))

    def _returned(self, job: tuple[int, object, str]) -> None:
        token, result, where = job
        if self.dead:
            return
        if token in self._killed:
            del self._killed[token]
            return
        pool = self._pools[where]
        pool.running -= 1
        self._end(token, result)
        self._next(pool)

    def _next(self, pool: Pool) -> None:
        while pool.queue:
            token, wait = pool.queue.popleft()
            if self._wanted(token):
                self._run(token, wait)
                break


def _nobody(_token: int) -> str:
    return ""


def _refusal(token: int, wait: Offload) -> Raised | TooLarge | None:
    if wait.where == "process":
        task = make_task(token, wait)
        return None if isinstance(task, Task) else task
    name = importable_name(wait.function)
    return name if isinstance(name, Raised) else None


def _by_worker(token: int, wait: Offload) -> object:
    task = make_task(token, wait)
    result = result_of(serve(task.frame)) if isinstance(task, Task) else task
    return Raised(result.type, without_addresses(result.text)) if isinstance(result, Raised) else result
