"""What checks of several bugs share: a client that asks and writes down what it was told, and records in a file."""

from __future__ import annotations

from typing import Any, Final

from regrove import Address, CallFailed, Name
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
    """Read the whole records."""
    return [int(line[:-1]) for line in data.split(BEGIN) if line.endswith(END)]


def records_on_disk(sim: Simulation, path: str, node: int = 0) -> list[int]:
    """Read the whole records of a file of a node; of none when it is not there."""
    file = sim.nodes[node].disk.files.get(path)
    return [] if file is None else records(bytes(file.content))
