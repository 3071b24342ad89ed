"""Offload to threads: an importable function on the core's bounded worker threads."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from regrove.node.core.effects import Offload
from regrove.node.core.reasons import Busy, Raised
from regrove.node.io.board import Board
from regrove.node.io.crew import Crew, Job

NOT_IMPORTABLE = "NotImportable"
MEND = "move it to the top level of a module, and give what it needs as arguments of Offload"


def importable_name(function: Callable[..., Any]) -> tuple[str, str] | Raised:
    """The module and qualified name under which `function` itself can be imported, else a refusal with the mend."""
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        kind = f"{type(function).__module__}.{type(function).__qualname__}"
        return Raised(NOT_IMPORTABLE, f"Offload takes an importable function, got a {kind}: {MEND}")
    if "<" in name:
        what = "a lambda" if name.endswith("<lambda>") else "defined inside another function"
        return Raised(NOT_IMPORTABLE, f"Offload takes an importable function, {module}:{name} is {what}: {MEND}")
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found != function:
        return Raised(NOT_IMPORTABLE, f"{module}:{name} names something else than what Offload was given: {MEND}")
    return module, name


def raised(error: BaseException) -> Raised:
    """What an exception of the user's function becomes: its type and text, never the traceback's objects."""
    try:
        text = str(error)
    except Exception as second:
        text = f"its text could not be made: {type(second).__name__}"
    return Raised(type(error).__name__, text)


class ThreadOffload:
    """Serves Offload(where="thread"): refused with Busy when all threads work and the queue is full."""

    __slots__ = ("_board", "_crew", "_jobs", "_queue")

    def __init__(self, board: Board, crew: Crew, queue: int) -> None:
        self._board = board
        self._crew = crew
        self._queue = queue
        self._jobs: dict[int, Job] = {}

    def submit(self, token: int, wait: Offload) -> None:
        """Begin an Offload, or refuse it at once."""
        name = importable_name(wait.function)
        if isinstance(name, Raised):
            self._board.answer(token, name)
            return
        function, arguments = wait.function, wait.args

        def run() -> object:
            try:
                return function(*arguments)
            except BaseException as error:
                return raised(error)

        self.submit_job(token, run, lambda result: self._ended(token, result))

    def submit_job(self, token: int, run: Callable[[], object], done: Callable[[object], None]) -> None:
        """Begin something of the edge's own that may block (a name look-up), under the same bound."""
        if self._crew.would_wait() and len(self._crew.waiting) >= self._queue:
            self._board.answer(token, Busy())
            return
        self._board.pending[token] = self
        self._jobs[token] = self._crew.submit(run, lambda result: self._finish(token, result, done))

    def cancel(self, token: int) -> None:
        """Drop the result; the thread is busy until the function ends."""
        self._crew.cancel(self._jobs.pop(token))

    def _finish(self, token: int, result: object, done: Callable[[object], None]) -> None:
        del self._jobs[token]
        done(result)

    def _ended(self, token: int, result: object) -> None:
        self._board.end(token, result)
