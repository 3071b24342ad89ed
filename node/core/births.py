"""How a child's life begins on this core: whether there is a place for it, its cell, and its first turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regrove.node.core.context import Context
from regrove.node.core.isolate import ACTIVE, ENDED, Cell
from regrove.node.core.isolate import START as START_FLAG
from regrove.node.core.reasons import Busy
from regrove.node.core.supervisor_node import Lives, SupervisorNode
from regrove.node.core.timers import START, TimerRecord
from regrove.supervisor.reasons import NoProcess, Reason
from regrove.supervisor.requests import AlreadyStarted, InvalidSpec
from regrove.supervisor.slots import Slot
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

    def adopt(self, node: SupervisorNode, spec: Child) -> Cell | Reason:
        """Run a child the machine learns of now (`ctx.spawn`): whatever its start does, its end is a ChildEnded."""
        if node.killed or node.cell.state == ENDED:
            return NoProcess()
        made = self.begin(node, spec, None)
        if spec.start_timeout is not None and isinstance(made, Cell):
            limit = TimerRecord(START, int(spec.start_timeout * NANO), start_limit(made), made, node)
            node.limits[limit.token] = self.core.timers.ask(limit)
        return made

    def launch_guest(self, spec: Child, path: str) -> Cell | Reason:
        """Make the cell of a child whose supervisor lives on another core."""
        refused = self.refusal(spec)
        if refused is not None:
            return refused
        cell = self._cell(spec, None, self._guests.born(path, self.core.counters.spawned))
        own = cell.own()
        own.path, own.spec = path, spec
        return cell

    def begin(self, node: SupervisorNode, spec: Child, slot: Slot | None) -> Cell | Reason:
        """Begin a life of a child, of a new one without `slot`; its `start` is its first turn. Or say why it cannot."""
        core = self.core
        if (spec.core is not None or spec.node is not None) and core.remote_children.place_of(spec) is not None:
            where = f"core={spec.core!r} node={spec.node!r}"
            return InvalidSpec(f"child {spec.id!r} names {where}, and spawn starts on {core.home}: call StartChild")
        if spec.name is not None or core.lifecycle.isolates >= core.bounds.isolates:
            refused = self.refusal(spec)
            if refused is not None:
                return refused
        cell = self._cell(spec, node, node.lives.born(spec.id, core.counters.spawned))
        cell.slot = place = node.machine.admit(spec, cell.address) if slot is None else slot
        place.life = cell
        node.alive += 1
        return cell

    def _cell(self, spec: Child, parent: SupervisorNode | None, incarnation: int) -> Cell:
        capacity = getattr(spec.factory, "mailbox_capacity", 0)
        if type(capacity) is not int or capacity < 1:
            capacity = 256  # until the constructor ran: a function makes it, or its class is wrong and will be told so
        core = self.core
        cell = core.lifecycle.new_cell(parent, incarnation, capacity)
        if spec.name is not None:
            core.registry.register(cell, spec.name)
        cell.context = Context(cell)
        cell.flags = START_FLAG  # the constructor and `start` are its first turn
        cell.cause = core.event
        cell.parked = ACTIVE
        core.ready.append(cell)
        return cell


def start_limit(cell: Cell) -> int:
    """The place of an adopted child's start limit beside the machine's own, whose tokens are above 0."""
    return -1 - cell.key
