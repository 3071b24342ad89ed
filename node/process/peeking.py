"""Whose callback a core runs, read from outside: also while C holds the GIL and nothing of the core can answer.

The core keeps the cell whose turn it is in `Core.current` anyway. At its start it finds out where in its memory that is
and where cells keep what their path is made of (a chart of a few numbers), tries it on itself, and writes it into its
page; nothing is written while it runs. Its manager, which may read the memory of its own children as a debugger does,
follows the pointers from there. Where that is not so (another Python than CPython, a machine that lets nobody trace)
there is no chart or no answer, and the watchdog names the line alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from regrove.node.core.address import Address
from regrove.node.core.core import Core
from regrove.node.core.isolate import Cell, Isolate, Rare
from regrove.node.core.supervisor_node import SupervisorNode
from regrove.supervisor.slots import Slot
from regrove.supervisor.spec import Child

Read = Callable[[int, int], bytes]  # (address, count) -> so many bytes; raises OSError

WORD: Final = 8
LENGTH_AT: Final = 16  # of a str: behind reference count and type
TEXT_AT: Final = "".__sizeof__() - 1  # of a str that is all ASCII, as paths are: another one is not read
PATH_MAX: Final = 1024
PROBE: Final = "a path of nobody"


class Chart(NamedTuple):
    """Where things are: the address of `Core.current`, that of None, then offsets in Cell and in what it leads to."""

    current: int = 0
    none: int = 0
    slot: int = 0
    spec: int = 0
    id: int = 0
    parent: int = 0
    supervising: int = 0
    rare: int = 0
    supervisor_path: int = 0
    rare_path: int = 0


def chart_of(core: Core) -> Chart | None:
    """The chart of this process, before `core` has run anything; None when it cannot be made."""
    try:
        with open("/proc/self/mem", "rb", buffering=0) as memory:
            return _charted(core, reader(memory.fileno()))
    except (OSError, LookupError, TypeError):
        return None


def reader(fd: int) -> Read:
    """Read from an open /proc/PID/mem."""

    def read(address: int, count: int) -> bytes:
        try:
            found = os.pread(fd, count, address)
        except (OverflowError, ValueError):
            raise OSError(f"{address} is no address") from None
        if len(found) != count:
            raise OSError(f"nothing is mapped at {address}")
        return found

    return read


def path_in(pid: int, chart: Chart) -> str:
    """The path of the isolate or supervisor whose turn it is in process `pid`; empty: nobody's, or not to be seen."""
    if not chart.current:
        return ""
    try:
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            return running_path(reader(memory.fileno()), chart)
    except OSError:
        return ""


def running_path(read: Read, chart: Chart) -> str:
    """`Core.current.path` by way of `read`, or an empty text; raises OSError."""

    def pointer(address: int) -> int:
        found = int.from_bytes(read(address, WORD), sys.byteorder)
        return 0 if found == chart.none else found

    cell = pointer(chart.current)
    if not cell:
        return ""
    supervisor = pointer(cell + chart.supervising)
    if supervisor:
        return _text(read, pointer(supervisor + chart.supervisor_path))
    slot = pointer(cell + chart.slot)
    spec = pointer(slot + chart.spec) if slot else 0
    own = _text(read, pointer(spec + chart.id)) if spec else ""
    parent = pointer(cell + chart.parent)
    if parent:
        above = _text(read, pointer(parent + chart.supervisor_path))
        return f"{above}/{own}" if above and own else ""
    rare = pointer(cell + chart.rare)
    return (_text(read, pointer(rare + chart.rare_path)) if rare else "") or own


def _text(read: Read, address: int) -> str:
    if not address:
        return ""
    length = int.from_bytes(read(address + LENGTH_AT, WORD), sys.byteorder)
    if length > PATH_MAX:
        return ""
    found = read(address + TEXT_AT, length).decode("latin-1")
    return found if found.isascii() and found.isprintable() else ""


def _charted(core: Core, read: Read) -> Chart:
    """Raises OSError, LookupError for a Python that keeps objects elsewhere than CPython does, TypeError for another
    that cannot make a supervisor's record without a supervisor.
    """
    supervisor: Any = SupervisorNode.__new__(SupervisorNode)
    supervisor.path = PROBE
    rare = Rare()
    rare.path = PROBE
    spec = Child(PROBE, Isolate)
    cell = Cell(core, Address(core.home, 0, 0), supervisor, 0, 0)
    cell.slot = slot = Slot(1, spec)
    cell.rare = rare
    before, core.current = core.current, cell
    try:
        current = id(core) + _offset(read, core, cell)
        own = _offset(read, cell, slot), _offset(read, slot, spec), _offset(read, spec, PROBE)
        parent = _offset(read, cell, supervisor)
        rare_at, rare_path = _offset(read, cell, rare), _offset(read, rare, PROBE)
        path = _offset(read, supervisor, PROBE)
        cell.supervising, cell.parent = supervisor, None
        chart = Chart(current, id(None), *own, parent, _offset(read, cell, supervisor), rare_at, path, rare_path)
        _try(read, chart, cell, supervisor)
    finally:
        core.current = before
    return chart


def _try(read: Read, chart: Chart, cell: Cell, supervisor: Any) -> None:
    """A chart that does not find every kind of path is none."""
    found = [running_path(read, chart)]
    cell.supervising = None
    found.append(running_path(read, chart))
    cell.parent = supervisor
    cell.slot = Slot(2, Child("child", Isolate))
    found.append(running_path(read, chart))
    if found != [PROBE, PROBE, f"{PROBE}/child"]:
        raise LookupError(found)


def _offset(read: Read, owner: object, value: object) -> int:
    """Where in `owner` the pointer to `value` is."""
    size = type(owner).__basicsize__
    memory = read(id(owner), size)
    wanted = id(value).to_bytes(WORD, sys.byteorder)
    found = [at for at in range(0, size - size % WORD, WORD) if memory[at : at + WORD] == wanted]
    if len(found) != 1:
        raise LookupError(f"{len(found)} pointers to it")
    return found[0]
