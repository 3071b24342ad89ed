"""Faults at work: what the plan names is done to the world, and undone when it is over or in the calm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from regrove.node.core.errors import Misuse
from regrove.node.simulation import faults as f
from regrove.node.simulation.clock import SECOND
from regrove.node.simulation.driver import SimulatedCore
from regrove.node.simulation.faults import Fault
from regrove.node.simulation.node import SimulatedNode

if TYPE_CHECKING:
    from regrove.node.simulation.world import World

Undo = Callable[[], Any]


@dataclass(eq=False, slots=True)
class Running:
    """A fault that has an end: how to undo it, and which nodes it touches."""

    fault: Fault
    nodes: tuple[str, ...]
    undo: Undo


class Stage:
    """What faults act on."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.running: dict[int, Running] = {}
        self._count = 0
        self._second = 0
        self._kept: tuple[str, ...] = ()  # the nodes that the calm keeps whole
        for fault in world.plan.entries:
            world.clock.at(fault.at, 0, self._strike, fault)

    def begin(self) -> None:
        """Let the kinds of the plan draw from now on, virtual second by virtual second."""
        if self._world.plan.kinds:
            self._second = self._world.clock.now // SECOND
            self._draw(None)

    def _draw(self, _: object) -> None:
        world = self._world
        for fault in world.plan.second(self._second, world.clock.now):
            world.clock.at(fault.at, 0, self._strike, fault)
        self._second += 1
        world.clock.at(self._second * SECOND, 0, self._draw)

    def _strike(self, fault: Fault) -> None:
        world = self._world
        if world.plan.calm and any(node in self._kept for node in self._nodes_of(fault)):
            return
        affected = self.do(fault)
        if affected is None:
            return
        counts = world.plan.count(fault.what)
        counts.fired += 1
        counts.affected += affected
        world.note(fault.where, f"fault-{fault.what}", f"{fault.lasts} {fault.strength}")

    def do(self, fault: Fault) -> int | None:
        """Do it; return how much it touched at once, None when there was nothing to break."""
        match fault.what:
            case f.CUT:
                return self._cut(fault)
            case f.LOSS:
                source, target = self.ends(fault.where)[0]
                return self._world.network.strike(source, target)
            case f.DELAY:
                return self._delay(fault)
            case f.PAUSE:
                return self._pause(fault)
            case f.SLOW:
                return self._slow(fault)
            case f.CRASH_CORE:
                core = self.core(fault.where)
                return 1 if core.node.kill_core(core, "killed by SIGKILL") else None
            case f.CRASH_NODE:
                return self._crash_node(fault)
            case _:
                return self._break_disk(fault)

    def _lasting(self, fault: Fault, undo: Undo) -> int:
        self._count = number = self._count + 1
        self.running[number] = Running(fault, self._nodes_of(fault), undo)
        if fault.lasts:
            self._world.clock.at(self._world.clock.now + fault.lasts, 0, self.undo, number)
        return 1

    def undo(self, number: int) -> None:
        """End a fault that lasts."""
        running = self.running.pop(number, None)
        if running is not None:
            self._world.note(running.fault.where, f"heal-{running.fault.what}")
            running.undo()

    # --- one kind each ---

    def _cut(self, fault: Fault) -> int:
        network, ends = self._world.network, self.ends(fault.where)
        for source, target in ends:
            network.cut(source, target)

        def heal() -> None:
            for source, target in ends:
                network.heal(source, target)

        return self._lasting(fault, heal)

    def _delay(self, fault: Fault) -> int:
        delays = self._world.network.delays
        ends = self.ends(fault.where)
        for pair in ends:
            delays[pair] = delays.get(pair, 0) + fault.strength

        def heal() -> None:
            for pair in ends:
                delays[pair] -= fault.strength
                if not delays[pair]:
                    del delays[pair]

        return self._lasting(fault, heal)

    def _pause(self, fault: Fault) -> int | None:
        place = self.place(fault.where)
        if not place.alive:
            return None
        place.pauses += 1

        def heal() -> None:
            place.pauses -= 1
            place.resumed()

        return self._lasting(fault, heal)

    def _slow(self, fault: Fault) -> int | None:
        core = self.core(fault.where)
        if not core.alive:
            return None
        core.slowness *= fault.strength

        def heal() -> None:
            core.slowness //= fault.strength

        return self._lasting(fault, heal)

    def _crash_node(self, fault: Fault) -> int | None:
        node = self.node(fault.where)
        if not node.alive:
            return None
        node.lose_power()

        def start() -> None:
            if not node.alive:
                node.boot()

        return self._lasting(fault, start)

    def _break_disk(self, fault: Fault) -> int:
        disk = self.node(fault.where).disk
        if fault.what == f.SYNC_FAILS:
            disk.failing_sync = True
        elif fault.what == f.DISK_FULL:
            disk.full = True
        elif fault.what == f.DISK_SLOW:
            disk.slow = max(fault.strength, 1)

        def heal() -> None:
            if fault.what == f.SYNC_FAILS:
                disk.failing_sync = False
            elif fault.what == f.DISK_FULL:
                disk.full = False
            else:
                disk.slow = 1

        return self._lasting(fault, heal)

    # --- the calm ---

    def calm(self, kept: list[SimulatedNode]) -> None:
        """End all faults among the kept nodes, start those that are down, and draw no more."""
        self._world.plan.still()
        self._kept = names = tuple(node.short for node in kept)
        for number, running in list(self.running.items()):
            if all(node in names for node in running.nodes):
                self.undo(number)
        for node in kept:
            node.disk.heal()
            if not node.alive:
                node.boot()

    # --- places ---

    def _nodes_of(self, fault: Fault) -> tuple[str, ...]:
        words = fault.where.replace("<>", ">").split(">")
        return tuple(word.partition("/")[0] for word in words)

    def ends(self, where: str) -> list[tuple[str, str]]:
        """Read `n0>n1` and `n0<>n1/1` as pairs of full names."""
        both = "<>" in where
        words = where.split("<>" if both else ">")
        if len(words) != 2:
            raise Misuse(f"a link is written n0>n1 (one way) or n0<>n1 (both ways), got {where!r}")
        source, target = (self.place(word).name for word in words)
        return [(source, target), (target, source)] if both else [(source, target)]

    def place(self, where: str) -> SimulatedNode | SimulatedCore:
        """Read `n0` or `n0/1`."""
        return self.core(where) if "/" in where else self.node(where)

    def node(self, where: str) -> SimulatedNode:
        """Read `n0`. Raises Misuse naming the nodes there are."""
        for node in self._world.nodes:
            if where in (node.short, node.name):
                return node
        names = ", ".join(node.short for node in self._world.nodes)
        raise Misuse(f"there is no node {where!r} in this world: {names}")

    def core(self, where: str) -> SimulatedCore:
        """Read `n0/1`. Raises Misuse naming the cores there are."""
        name, _, index = where.partition("/")
        node = self.node(name)
        if not index.isdigit() or int(index) >= len(node.cores):
            raise Misuse(f"there is no core {where!r}: {node.short} has cores 0 to {len(node.cores) - 1}")
        return node.cores[int(index)]
