"""Seeds in worker processes, a few at a time, and where a search stopped: so the next one goes on there.

Ranges of seeds are disjoint and their order does not matter, so any number of workers finds the same failing seeds.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import active_children, get_context
from pathlib import Path
from types import FrameType
from typing import Final

from regrove.node.core.errors import Misuse, RegroveError
from regrove.node.process.children import PR_SET_PDEATHSIG, prctl
from regrove.node.simulation.exploring import Found, Search, explore

CHUNK: Final = 4  # seeds that a worker takes at once


class WorkerDied(RegroveError):
    """A worker process is gone, and nobody knows what its seeds showed."""

    def __init__(self, running: list[range]) -> None:
        super().__init__(
            "a worker process died: it was killed, ran out of memory, or what it ran ended the process; under way were "
            f"the seeds {_listed(running)}: run them with --workers 1 to see which it is"
        )


def _listed(parts: Iterable[range]) -> str:
    return ", ".join(f"{part[0]}-{part[-1]}" for part in sorted(parts, key=lambda part: part.start))


def on_all_cores(search: Search, seeds: Iterator[int], workers: int) -> Generator[Found]:
    """Run seeds in worker processes, a few at a time; give what each few showed as it comes. `seeds` may be endless.

    What still runs when the iterator is closed is ended at once. Raises WorkerDied.
    """
    if workers == 1:
        while chunk := _chunk(seeds):
            yield explore(search, chunk)
        return
    others = active_children()
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin, (os.getpid(),))
    running: dict[Future[Found], range] = {}
    try:
        while True:
            while len(running) < 2 * workers and (chunk := _chunk(seeds)):
                running[pool.submit(explore, search, chunk)] = chunk
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                found = future.result()
                del running[future]
                yield found
    except KeyboardInterrupt as interrupt:
        interrupt.args = (*interrupt.args, f"under way were the seeds {_listed(running.values())}")
        raise
    except BrokenProcessPool:
        raise WorkerDied(list(running.values())) from None
    finally:
        if running:
            for child in active_children():
                if child not in others:
                    child.kill()
        pool.shutdown(cancel_futures=True)


def _begin(parent: int) -> None:
    """A worker ends with the process that started it, which alone is told of a Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _chunk(seeds: Iterator[int]) -> range:
    taken = list(islice(seeds, CHUNK))
    return range(taken[0], taken[-1] + 1) if taken else range(0)


@contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """Let SIGTERM be a Ctrl-C meanwhile: what was found by then is told and kept."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt("SIGTERM")

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class NotKept(RegroveError):
    """Where a search goes on cannot be written down."""

    def __init__(self, problem: OSError) -> None:
        super().__init__(f"where to go on cannot be kept: {problem.filename}: {problem.strerror}")


class Progress:
    """Which seed of a kind of search comes next, in a file."""

    def __init__(self, file: Path, app: str) -> None:
        self._file = file
        self._app = app

    def next_seed(self) -> int:
        """The first seed that no earlier search of this kind has run."""
        try:
            return max(0, int(json.loads(self._file.read_text())["next"]))
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return 0

    def keep(self, seed: int) -> None:
        """Remember where to go on, if that is further. Raises NotKept."""
        if seed <= self.next_seed():
            return
        temporary = self._file.with_suffix(f".{os.getpid()}.part")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps({"app": self._app, "next": seed}) + "\n")
            temporary.replace(self._file)
        except OSError as problem:
            raise NotKept(problem) from None

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Have the seeds to come for oneself. Raises Misuse while another process has; NotKept."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as problem:
            raise NotKept(problem) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise Misuse(
                f"another search of this kind goes on here from seed {self.next_seed()}: wait for it, or give "
                "--seeds FIRST-LAST of your own"
            ) from None
        finally:
            os.close(handle)
