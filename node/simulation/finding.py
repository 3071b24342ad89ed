"""Isolates of a world by their path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from regrove.node.core.address import Address
from regrove.node.core.isolate import BLOCKED, ENDED, STATE_NAMES, Cell
from regrove.node.simulation.cores import SimulatedCore
from regrove.node.simulation.hiding import ours

__tracebackhide__ = ours  # of pytest


@dataclass(frozen=True, slots=True)
class Found:
    """One life of an isolate as it was when looked up; `isolate` is the user's object (None for a supervisor)."""

    path: str
    address: Address
    incarnation: int
    isolate: Any
    mailbox_length: int
    state: str
    core: SimulatedCore


class NotThere(LookupError):
    """Nothing runs at that path now."""

    def __init__(self, path: str, places: list[SimulatedCore]) -> None:
        paths = [cell.path for place in places for cell in cells(place)]
        near = [other for other in dict.fromkeys(paths) if other.rpartition("/")[2] == path.rpartition("/")[2]]
        listed = ", ".join(near or list(dict.fromkeys(paths))[:12])
        super().__init__(f"nothing runs at {path!r} now; there are {listed or 'no isolates'}")


def cells(place: SimulatedCore) -> Iterator[Cell]:
    """Give the living cells of a core, by slot."""
    if place.life is not None and not place.life.dead:
        for cell in place.life.core.cells:
            if cell is not None and cell.state != ENDED:
                yield cell


def found_of(place: SimulatedCore, cell: Cell) -> Found:
    """Describe a cell."""
    blocked = cell.parked is BLOCKED and cell.wait is not None
    state = "blocked" if blocked else STATE_NAMES[cell.state]
    return Found(cell.path, cell.address, cell.incarnation, cell.isolate, cell.queued, state, place)


def is_so(condition: Callable[[], Any]) -> bool:
    """Tell whether a condition holds now; what is not there makes it not yet so."""
    try:
        return bool(condition())
    except NotThere:
        return False
