"""Offload to worker processes: CPU work beside the core. A cancelled (timed-out) one loses its process.

Workers are started when first needed and kept. Arguments and results travel by the codec of messages.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import Any, Final

from regrove.node.core.effects import Offload
from regrove.node.core.errors import DecodeError, UnsendableValue
from regrove.node.core.messages import decode, encode
from regrove.node.core.reasons import Busy, Raised, TooLarge
from regrove.node.io.board import Board, os_error
from regrove.node.io.frames import FRAME_BYTES
from regrove.node.io.offload import MEND, NOT_IMPORTABLE, importable_name
from regrove.node.io.poller import Poller
from regrove.node.io.worker_process import FreshWorker, StartWorker, WorkerProcess
from regrove.records import dataclass

WORKER_DIED: Final = "WorkerDied"
PLAIN: Final = frozenset({type(None), bool, int, float, str, bytes})


@dataclass(frozen=True, slots=True)
class Task:
    """A request that waits for a worker."""

    token: int
    frame: bytes
    what: str


class ProcessOffload:
    """Serves Offload(where="process"): Busy when all workers work and the queue is full."""

    __slots__ = (
        "_board",
        "_ending",
        "_idle",
        "_poller",
        "_processes_max",
        "_queue",
        "_start_worker",
        "_tasks",
        "_waiting",
        "_workers",
    )

    def __init__(
        self, board: Board, poller: Poller, processes: int, queue: int, start: StartWorker = FreshWorker
    ) -> None:
        self._start_worker = start
        self._board = board
        self._poller = poller
        self._processes_max = processes
        self._queue = queue
        self._workers: dict[int, WorkerProcess] = {}  # at work, by token
        self._tasks: dict[int, Task] = {}  # what each of these works on
        self._idle: list[WorkerProcess] = []
        self._ending: list[WorkerProcess] = []  # killed, not reaped yet
        self._waiting: deque[Task] = deque()

    @property
    def busy(self) -> int:
        """Workers with a task."""
        return len(self._workers)

    @property
    def waiting(self) -> int:
        """Tasks without a worker."""
        return len(self._waiting)

    def submit(self, token: int, wait: Offload) -> None:
        """Begin an Offload, or refuse it at once."""
        task = make_task(token, wait)
        if not isinstance(task, Task):
            self._board.answer(token, task)
        elif self.busy < self._processes_max:
            self._board.pending[token] = self
            self._start(task)
        elif len(self._waiting) < self._queue:
            self._board.pending[token] = self
            self._waiting.append(task)
        else:
            self._board.answer(token, Busy())

    def cancel(self, token: int) -> None:
        """Take a task out of the queue, or kill the process that works on it."""
        worker = self._workers.pop(token, None)
        if worker is None:
            self._waiting = deque(task for task in self._waiting if task.token != token)
            return
        del self._tasks[token]
        worker.token = None
        self._ending.append(worker)
        worker.kill()
        self._next()

    def close(self) -> None:
        """Kill every worker and wait for its end."""
        for worker in [*self._workers.values(), *self._idle, *self._ending]:
            worker.reap()
        self._workers.clear()
        self._idle.clear()
        self._ending.clear()

    def _start(self, task: Task) -> None:
        try:
            worker = self._idle.pop() if self._idle else self._new_worker()
        except OSError as error:
            self._board.end(task.token, os_error(error, "start a worker process"))
            return
        worker.token = task.token
        self._workers[task.token] = worker
        self._tasks[task.token] = task
        worker.send(task.frame)

    def _new_worker(self) -> WorkerProcess:
        return WorkerProcess(self._poller, self._answered, self._gone, self._start_worker)

    def _next(self) -> None:
        while self._waiting and self.busy < self._processes_max:
            self._start(self._waiting.popleft())

    def _answered(self, worker: WorkerProcess, frame: bytes) -> None:
        token = worker.token
        if token is None:
            return
        worker.token = None
        del self._workers[token], self._tasks[token]
        self._idle.append(worker)
        self._board.end(token, result_of(frame))
        self._next()

    def _gone(self, worker: WorkerProcess, how: str) -> None:
        if worker in self._ending:
            self._ending.remove(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        token = worker.token
        if token is not None:
            del self._workers[token]
            what = self._tasks.pop(token).what
            self._board.end(token, Raised(WORKER_DIED, f"the worker process running {what} {how}"))
        self._next()


def make_task(token: int, wait: Offload) -> Task | Raised | TooLarge:
    """What a worker process is sent for an Offload, or why it is refused."""
    found = importable_name(wait.function)
    if isinstance(found, Raised):
        return found
    module, name = found
    if module == "__main__":
        return Raised(NOT_IMPORTABLE, f"{name} is defined in __main__, which a worker process cannot import: {MEND}")
    try:
        frame = encode((module, name, modules_of(wait.args), encode(wait.args)))
    except UnsendableValue as error:
        return Raised(type(error).__name__, str(error))
    if len(frame) > FRAME_BYTES:
        return TooLarge()
    return Task(token, frame, f"{module}:{name}")


def result_of(frame: bytes) -> object:
    """What a worker process answered, as an outcome."""
    try:
        match decode(frame):
            case (True, value):
                return value
            case (False, str(kind), str(text)):
                return Raised(kind, text)
            case _:
                return Raised(WORKER_DIED, "the worker process sent an answer that is none of ours")
    except DecodeError as error:
        return Raised(type(error).__name__, f"the result of the worker process: {error}")


def modules_of(value: object) -> tuple[str, ...]:
    """The modules whose classes occur in `value`, each once, in order: what a worker imports before it decodes."""
    found: dict[str, None] = {}
    _gather(value, found)
    return tuple(found)


def _gather(value: Any, found: dict[str, None]) -> None:
    kind = type(value)
    if kind in PLAIN:
        return
    if kind is dict:
        for key, item in value.items():
            _gather(key, found)
            _gather(item, found)
    elif kind is list or kind is tuple:
        for item in value:
            _gather(item, found)
    else:
        found[kind.__module__] = None
        if isinstance(value, tuple):
            for item in value:
                _gather(item, found)
        elif not isinstance(value, enum.Enum):
            for name in getattr(kind, "__match_args__", ()):
                _gather(getattr(value, name, None), found)
