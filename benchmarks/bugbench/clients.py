"""What several bugs share: a client that asks and writes down what it was told, and records in a file."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from regrove import (
    Address,
    CallFailed,
    Close,
    Context,
    Crash,
    Effect,
    Isolate,
    Name,
    Open,
    Opened,
    Outcome,
    Read,
    Received,
    Stream,
)
from regrove.testing import History, Simulation

BEGIN: Final = b"\n"
END: Final = b";"


def ask(
    sim: Simulation,
    history: History,
    to: Address | Name | str,
    message: object,
    name: str,
    given: Any = None,
    *,
    process: str = "client",
    key: str | None = None,
    timeout: float = 1.0,
) -> Any:
    """Ask, let time pass, and write down the answer; a failure counts as "nobody knows" and gives None."""
    operation = history.invoke(process, name, given, key=key)
    try:
        answer = sim.call(to, message, timeout)
    except CallFailed:
        history.info(operation)
        return None
    history.ok(operation, answer)
    return answer


def record(number: int) -> bytes:
    """Write a number so that a torn write is told from a whole one."""
    return BEGIN + str(number).encode() + END


def records(data: bytes) -> list[int]:
    """Read the whole records, whatever a torn write or a hole of zeros (of a failed sync) left between them."""
    return [int(digits) for digits in re.findall(BEGIN + rb"(\d+)" + END, data)]


def records_on_disk(sim: Simulation, path: str, node: int = 0) -> list[int]:
    """Read the whole records of a file of a node; of none when it is not there."""
    file = sim.nodes[node].disk.files.get(path)
    return [] if file is None else records(bytes(file.content))


class Loading(Isolate):
    """An isolate that reads a file of its own whole."""

    def load(self, path: str, then: Callable[[Context, bytes], Effect]) -> Effect:
        """Read the file, close it and go on with its bytes; a file that is not there has none."""
        return Open(path, "r", then=partial(self._found, then))

    def _found(self, then: Callable[[Context, bytes], Effect], ctx: Context, outcome: Outcome) -> Effect:
        if not isinstance(outcome, Opened):
            return then(ctx, b"")
        return Read(outcome.stream, then=partial(self._read, outcome.stream, then))

    def _read(self, stream: Stream, then: Callable[[Context, bytes], Effect], ctx: Context, outcome: Outcome) -> Effect:
        if not isinstance(outcome, Received):
            return Crash("the file cannot be read")
        return Close(stream, then=partial(self._closed, outcome.data, then))

    def _closed(self, data: bytes, then: Callable[[Context, bytes], Effect], ctx: Context, _: Outcome) -> Effect:
        return then(ctx, data)
