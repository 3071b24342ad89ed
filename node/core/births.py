"""How a child's life begins on this core: whether there is a place for it, its cell, and its first turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from regrove.node.core.isolate import ENDED, Cell
from regrove.node.core.reasons import Busy
from regrove.node.core.supervisor_node import Lives, SupervisorNode
from regrove.node.core.timers import START, TimerRecord
from regrove.supervisor.reasons import NoProcess, Reason
from regrove.supervisor.requests import AlreadyStarted, InvalidSpec
from regrove.supervisor.spec import AnySpec, Child

if TYPE_CHECKING:
    from regrove.node.core.core import Core

NANO = 1_000_000_000


class Births:
    """The children that begin on one core, whoever supervises them."""

    __slots__ = ("_guests", "core")

    def __init__(self, core: Core) -> None:
        self.core = core
        self._guests = Lives()

    def refusal(self, spec: AnySpec) -> Reason | None:
        """Why there is no place or no name on this core for one more, or None."""
        core = self.core
        if spec.name is not None and (holder := core.registry.holder(spec.name)) is not None:
            return AlreadyStarted(holder)
        if core.lifecycle.has_room(isinstance(spec, Child)) and (spec.name is None or core.registry.has_room):
            return None
        core.counters.bounds_reached += 1
        return Busy()

    def adopt(self, node: SupervisorNode, spec: Child, arguments: tuple[Any, ...]) -> Cell | Reason:
        """Run a child the machine learns of now (`ctx.spawn`): whatever its start does, its end is a ChildEnded."""
        if node.killed or node.cell.state == ENDED:
            return NoProcess()
        cell = self._child_cell(node, spec, arguments)
        if isinstance(cell, Reason):
            return cell
        cell.key = key = node.machine.admit(spec, cell.address)
        cell.adopted = True
        node.children[key] = cell
        self.core.lifecycle.launch(cell)
        if spec.start_timeout is not None:
            limit = TimerRecord(START, int(spec.start_timeout * NANO), start_limit(cell), cell, node)
            node.limits[limit.token] = self.core.timers.ask(limit)
        return cell

    def launch(self, node: SupervisorNode, key: int, spec: Child, arguments: tuple[Any, ...]) -> Cell | Reason:
        """Make the cell of a child; its `start` is its first turn."""
        cell = self._child_cell(node, spec, arguments)
        if isinstance(cell, Cell):
            cell.key = key
            node.children[key] = cell
            self.core.lifecycle.launch(cell)
        return cell

    def _child_cell(self, node: SupervisorNode, spec: Child, arguments: tuple[Any, ...]) -> Cell | Reason:
        core = self.core
        if (spec.core is not None or spec.node is not None) and core.remote_children.place_of(spec) is not None:
            where = f"core={spec.core!r} node={spec.node!r}"
            return InvalidSpec(f"child {spec.id!r} names {where}, and spawn starts on {core.home}: call StartChild")
        refused = self.refusal(spec)
        if refused is not None:
            return refused
        incarnation = node.lives.born(spec.id, core.counters.spawned)
        return self._make(spec, node, incarnation, arguments)

    def launch_guest(self, spec: Child, path: str) -> Cell | Reason:
        """Make the cell of a child whose supervisor lives on another core."""
        refused = self.refusal(spec)
        if refused is not None:
            return refused
        cell = self._make(spec, None, self._guests.born(path, self.core.counters.spawned), spec.args)
        cell.own().path = path
        self.core.lifecycle.launch(cell)
        return cell

    def _make(self, spec: Child, parent: SupervisorNode | None, incarnation: int, arguments: tuple[Any, ...]) -> Cell:
        capacity = getattr(spec.factory, "mailbox_capacity", 0)
        if type(capacity) is not int or capacity < 1:
            capacity = 256  # until the constructor ran: a function makes it, or its class is wrong and will be told so
        cell = self.core.lifecycle.new_cell(spec.id, parent, incarnation, capacity)
        cell.factory = (spec.factory, arguments, spec.kwargs)
        if spec.name is not None:
            self.core.registry.register(cell, spec.name)
        return cell


def start_limit(cell: Cell) -> int:
    """The place of an adopted child's start limit beside the machine's own, whose tokens are above 0."""
    return -1 - cell.key
