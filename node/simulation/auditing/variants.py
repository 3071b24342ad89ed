"""One seed run in other ways, each in a forked child of a process that has just started: the side that is audited.

The auditing side writes orders into a file and starts such a process under some hash seed; it answers in files.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from regrove.node.process.fork import tie_to
from regrove.node.simulation.auditing.launching import STARTER
from regrove.node.simulation.auditing.lines import Lines
from regrove.node.simulation.auditing.owners import Owners
from regrove.node.simulation.auditing.shared_lines import where_written
from regrove.node.simulation.auditing.watching import Watch
from regrove.node.simulation.shared import SharedState
from regrove.node.simulation.simulation import Simulation

HEAP: Final = "heap"
WARM: Final = "warm"
GARBAGE: Final = "garbage"
DEEP: Final = "deep"
WAYS: Final = (HEAP, WARM, GARBAGE, DEEP)
DEPTH: Final = 80  # frames below which a `deep` run begins
SOON: Final = 23  # allocations after which the garbage collector of a `garbage` run comes

Play: TypeAlias = Callable[[str, int], tuple[Simulation, BaseException | None]]  # of a subject and a seed


@dataclass(frozen=True, slots=True)
class Order:
    """A run to do: `watched`, or `recorded` line by line, in some of WAYS."""

    number: int
    subject: str
    seed: int
    ways: tuple[str, ...] = ()
    watched: bool = False
    recorded: bool = False


def write_orders(orders: list[Order], file: Path) -> None:
    """Keep orders for the process that will serve them."""
    file.write_text(json.dumps([asdict(order) for order in orders]))


def read_orders(file: Path) -> list[Order]:
    """Read what `write_orders` wrote."""
    return [Order(**{**row, "ways": tuple(row["ways"])}) for row in json.loads(file.read_text())]


def answer_of(order: Order, folder: Path) -> Path:
    """The file in which the answer to an order stands; its trace stands beside it."""
    return folder / f"{order.number}.json"


def serve(orders: Path, play: Play) -> None:
    """Do all orders of a file, each in a forked child. Raises RuntimeError with what a child said that failed.

    It ends with the process that started it, and its children with it: a search that is killed leaves nothing behind.
    """
    if (starter := os.environ.pop(STARTER, None)) is not None:
        _end_with(int(starter))
    server = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    gc.collect()
    gc.freeze()  # what is there now is no child's to look through
    for order in read_orders(orders):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                _end_with(server)
                _do(order, play, orders.parent)
                status = 0
            except BaseException:
                answer_of(order, orders.parent).write_text(traceback.format_exc())
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        if status:
            file = answer_of(order, orders.parent)
            said = file.read_text() if file.exists() else "it said nothing"
            raise RuntimeError(f"{order} ended with {os.waitstatus_to_exitcode(status)}: {said}")


def _end_with(parent: int) -> None:
    if not tie_to(parent):
        os._exit(1)


def _do(order: Order, play: Play, folder: Path) -> None:
    kept: list[object] = []
    if WARM in order.ways:
        play(order.subject, order.seed + 1)
    if HEAP in order.ways:
        kept = disturb()
    gc.collect()  # the collector's counts begin the same in every process
    if GARBAGE in order.ways:
        gc.set_threshold(SOON, 2, 2)
    watch, lines = Watch(), Lines()
    if order.watched:
        watch.begin()
    if order.recorded:
        lines.begin()
    try:
        sim, error = below(DEPTH if DEEP in order.ways else 0, lambda: play(order.subject, order.seed))
    finally:
        watch.end()
        lines.end()
    del kept
    found = [*watch.findings, *(where_written(error.names, Owners()) if isinstance(error, SharedState) else ())]
    answer: dict[str, Any] = {
        "digest": sim.trace.digest,
        "error": "" if error is None else f"{type(error).__name__}: {error}",
        "findings": [asdict(finding) for finding in found],
    }
    if order.recorded:
        answer["rows"] = lines.rows
        with answer_of(order, folder).with_suffix(".trace").open("w") as out:
            sim.trace.write(out)
    answer_of(order, folder).write_text(json.dumps(answer))


def below(frames: int, run: Callable[[], Any]) -> Any:
    """Call `run` that many frames further down the stack."""
    return below(frames - 1, run) if frames else run()


def disturb() -> list[object]:
    """Leave holes of every small size in the heap, so that what is allocated next lies in another order."""
    kept: list[object] = []
    for size in range(16, 513, 16):
        kept += _scattered([bytes(max(size - 33, 1)) for _ in range(97)])
        kept += _scattered([_Clutter(size) for _ in range(31)])
    return kept + _scattered([_Clutter(16) for _ in range(997)])


def _scattered(blocks: list[object]) -> list[object]:
    """Free two of three blocks, in an order that is none; the counts of blocks are prime."""
    for number in range(len(blocks)):
        if number % 3:
            blocks[number * 37 % len(blocks)] = None
    return blocks


class _Clutter:
    def __init__(self, size: int) -> None:
        self.parts = [None] * (size // 16)
        self.names = {size: size}
