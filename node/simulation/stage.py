"""Faults at work: what the plan names is done to the world, and undone when it is over or in the calm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from regrove.node.core.errors import Misuse
from regrove.node.simulation.clock import SECOND
from regrove.node.simulation.cores import SimulatedCore
from regrove.node.simulation.hiding import ours
from regrove.node.simulation.node import SimulatedNode
from regrove.node.simulation.plan import FRAME_KINDS, SHAPES, Fault, Noise
from regrove.node.simulation.strikes import STRIKES

if TYPE_CHECKING:
    from regrove.node.simulation.world import World

__tracebackhide__ = ours  # of pytest

Undo = Callable[[], Any]
Entries = tuple[Fault | Noise, ...]


FORMS: Final = {
    "node": "a node, such as n0",
    "core": "a core, such as n0/1",
    "place": "a node or a core, such as n0 or n0/1",
    "isolate": "an isolate, such as n0/1:root/worker",
}


def _single(entries: Entries) -> list[Fault]:
    return [entry for entry in entries if isinstance(entry, Fault)]


@dataclass(eq=False, slots=True)
class Running:
    """A fault that has an end: how to undo it, and which nodes it touches."""

    fault: Fault
    nodes: tuple[str, ...]
    undo: Undo
    met: Callable[[], int] | None
    within: Callable[[tuple[str, ...]], None] | None


class Stage:
    """What faults act on."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.running: dict[int, Running] = {}
        self._count = 0
        self._second = 0
        self._kept: tuple[str, ...] = ()  # the nodes that the calm keeps whole
        for fault in world.plan.entries:
            self._check(fault)
            if "#" not in fault.where:
                world.clock.at(fault.at, 0, self._strike, fault)

    def _check(self, fault: Fault) -> None:
        """Refuse an entry by hand that names what this world does not have, before anything runs. Raises Misuse."""
        shape = SHAPES[fault.what].place
        if shape in FORMS and (">" in fault.where or (":" in fault.where and shape != "isolate")):
            raise Misuse(f"{fault.what} strikes {FORMS[shape]}, got {fault.where!r} ({fault})")
        if "#" in fault.where or fault.what not in STRIKES:
            self._check_frame(fault)
        elif shape == "link":
            self.ends(fault.where)
        elif shape == "node":
            self.node(fault.where)
        elif shape in ("core", "isolate"):
            self.core(fault.where.partition(":")[0])
        elif shape == "place":
            self.place(fault.where)

    def _check_frame(self, fault: Fault) -> None:
        if fault.what not in FRAME_KINDS:
            strikes = "is only drawn, as noise" if fault.what not in STRIKES else "strikes no single frame"
            raise Misuse(f"{fault.what} {strikes}; what strikes one frame is {', '.join(FRAME_KINDS)} ({fault})")
        source, arrow, rest = fault.where.partition(">")
        target, _, number = rest.partition("#")
        if not arrow or not number.isdigit():
            raise Misuse(f"one frame of one link is written n0/0>n1/0#17, got {fault.where!r}")
        for end in (source, target.removesuffix("~")):
            if end != "client":
                self.core(end)

    def begin(self) -> None:
        """Let the kinds of the plan draw from now on, virtual second by virtual second."""
        if self.world.plan.kinds:
            self._second = self.world.clock.now // SECOND
            self._draw(True)

    def _draw(self, opening: bool) -> None:
        world = self.world
        now = world.clock.now
        drawn = world.plan.second(self._second, now, opening)
        for fault in drawn:
            if fault.at > now:
                world.clock.at(fault.at, 0, self._strike, fault)
        for fault in drawn:
            if fault.at == now:  # before the test acts at this instant, as where the plan is by hand
                self._strike(fault)
        self._second += 1
        world.clock.at(self._second * SECOND, 0, self._draw, False)

    def _strike(self, fault: Fault) -> None:
        world = self.world
        if world.plan.calm and any(node in self._kept for node in self.nodes_of(fault)):
            return
        if self.fire(fault):
            world.note(fault.where.partition(":")[0], f"fault-{fault.what}", f"{fault.lasts} {fault.strength}")

    def inject(self, fault: Fault) -> bool:
        """Do a fault that no plan has, now; False when there was nothing to break. Raises Misuse."""
        if not isinstance(fault, Fault):
            raise Misuse(f'inject takes a fault: faults.once("cut", "n0>n1", at=0), got {fault!r:.100}')
        self._check(fault)
        if "#" in fault.where:
            raise Misuse(f"a single frame is struck by the plan only: faults=faults.once({fault.what!r}, ...)")
        self.world.plan.count(fault.what).armed += 1
        return self.fire(fault)

    def fire(self, fault: Fault) -> bool:
        """Do it and count it; False when there was nothing to break."""
        affected = self.do(fault)
        if affected is None:
            return False
        counts = self.world.plan.count(fault.what)
        counts.fired += 1
        counts.affected += affected
        return True

    def do(self, fault: Fault) -> int | None:
        """Do it; return how much it touched at once, None when there was nothing to break."""
        done = STRIKES[fault.what](self, fault)
        if done.nothing:
            return None
        if done.undo is not None:
            self._count = number = self._count + 1
            self.running[number] = Running(fault, self.nodes_of(fault), done.undo, done.met, done.within)
            if fault.lasts:
                self.world.clock.at(self.world.clock.now + fault.lasts, 0, self.undo, number)
        return done.affected

    def undo(self, number: int) -> None:
        """End a fault that lasts."""
        running = self.running.pop(number, None)
        if running is not None:
            self.world.note(running.fault.where, f"heal-{running.fault.what}")
            self._count_met(running)
            running.undo()

    def end(self) -> None:
        """The run is over: count what met the faults that still stand."""
        for running in self.running.values():
            self._count_met(running)

    def _count_met(self, running: Running) -> None:
        if running.met is not None:
            self.world.plan.count(running.fault.what).affected += running.met()
            running.met = None

    # --- another plan from now on ---

    def may_go_on(self, before: Entries, plan: Entries) -> bool:
        """Whether a run under `before` is, up to now, the very run that `plan` would have given."""
        old, new = (dict.fromkeys(_single(entries)) for entries in (before, plan))
        differing = [fault for fault in (*old, *new) if (fault in old) != (fault in new)]
        if any(self._has_passed(fault) for fault in differing if "#" in fault.where):
            return False
        lives = (core.life for node in self.world.nodes for core in node.cores)
        busy = [life.finish_at or 0 for life in lives if life is not None]
        begin = max([self.world.clock.now, *busy])  # a pass ends at once, or as an event when something comes before
        return all(fault.at > begin for fault in differing if "#" not in fault.where)

    def _has_passed(self, fault: Fault) -> bool:
        """Whether the frame that an entry names was sent already."""
        name, _, number = fault.where.partition("#")
        source, _, target = name.rstrip("~").partition(">")
        places = [place.replace("/", "@sim/") for place in (source, target)]
        lane = self.world.draws.lane("frame.back" if name.endswith("~") else "frame.out", *places)
        return lane.ordinal >= int(number)

    def go_on(self, plan: Entries) -> None:
        """Meet what a plan has still to come, instead of what was to come; `may_go_on` was asked."""
        world = self.world
        single = _single(plan)
        coming = [fault for fault in single if fault.at > world.clock.now and "#" not in fault.where]
        for fault in coming:
            self._check(fault)
        world.plan.go_on(single, world.clock.now)
        world.clock.instead(self._strike, [(fault.at, fault) for fault in coming])

    # --- the calm ---

    def chosen(self, keep: str | Sequence[SimulatedNode | str]) -> list[SimulatedNode]:
        """The nodes that a calm keeps: a drawn majority, all, or those given. Raises Misuse for anything else."""
        if isinstance(keep, list | tuple):
            return [self._node_of(node) for node in dict.fromkeys(keep)]
        if keep not in ("majority", "all"):
            raise Misuse(f"calm(keep=...) takes 'majority', 'all' or a list of nodes, got {keep!r}")
        nodes = self.world.nodes
        count = len(nodes) if keep == "all" else len(nodes) // 2 + 1
        drawn = sorted(nodes, key=lambda node: self.world.draws.at(1, "calm", node.name))
        return sorted(drawn[:count], key=lambda node: node.index)

    def _node_of(self, node: object) -> SimulatedNode:
        found = self.place_of(node)
        if not isinstance(found, SimulatedNode):
            raise Misuse(f"calm(keep=[...]) takes nodes, got the core {found.short}")
        return found

    def calm(self, kept: list[SimulatedNode]) -> None:
        """End all faults among the kept nodes, start those that are down, and draw no more."""
        self.world.plan.still()
        self._kept = names = tuple(node.short for node in kept)
        kept_names = tuple(node.name for node in kept)
        for number, running in list(self.running.items()):
            if all(node in names for node in running.nodes):
                self.undo(number)
            elif running.within is not None:  # `n0<>*`: what cuts n0 off from others that are kept
                running.within(kept_names)
        self.world.network.mend(kept_names)
        for node in kept:
            node.disk.heal()
            if not node.alive:
                node.boot()

    # --- places ---

    def nodes_of(self, fault: Fault) -> tuple[str, ...]:
        """The short names of the nodes that a fault touches."""
        words = fault.where.partition(":")[0].replace("<>", ">").split(">")
        named = [word.partition("/")[0] for word in words]
        return tuple(node.short for node in self.world.nodes) if "*" in named else tuple(named)

    def ends(self, where: str) -> list[tuple[str, str]]:
        """Read `n0>n1` and `n0<>n1/1` as pairs of full names."""
        both = "<>" in where
        words = where.split("<>" if both else ">")
        if len(words) != 2:
            raise Misuse(f"a link is written n0>n1 (one way) or n0<>n1 (both ways), got {where!r}")
        if words[1] == "*":
            own = self.node(words[0])
            others = [node.name for node in self.world.nodes if node is not own]
            pairs = [(own.name, other) for other in others]
            return pairs + [(other, own.name) for other in others] if both else pairs
        pairs = self.pairs(*(self.place(word) for word in words))
        return [*pairs, *((target, source) for source, target in pairs)] if both else pairs

    def pairs(
        self, source: SimulatedNode | SimulatedCore, target: SimulatedNode | SimulatedCore
    ) -> list[tuple[str, str]]:
        """What a fault between places is put on: two nodes or two cores; beside a core, a node is its cores."""
        if source is target:
            raise Misuse(f"a link goes from one place to another, got {source.short} twice")
        if isinstance(source, SimulatedNode) and isinstance(target, SimulatedNode):
            return [(source.name, target.name)]
        near, far = ([place] if isinstance(place, SimulatedCore) else place.cores for place in (source, target))
        return [(one.name, other.name) for one in near for other in far if one is not other]

    def place_of(self, place: object) -> SimulatedNode | SimulatedCore:
        """A node or core of this world, given as it is or by its name. Raises Misuse for anything else."""
        if isinstance(place, str):
            return self.place(place)
        if isinstance(place, SimulatedNode | SimulatedCore) and self.world is (
            place.world if isinstance(place, SimulatedNode) else place.node.world
        ):
            return place
        raise Misuse(
            f"a place is a node or a core of sim.nodes, or its name such as 'n0' or 'n0/1'; got {place!r:.100}, which "
            "is none of this world"
        )

    def place(self, where: str) -> SimulatedNode | SimulatedCore:
        """Read `n0` or `n0/1`."""
        return self.core(where) if "/" in where else self.node(where)

    def node(self, where: str) -> SimulatedNode:
        """Read `n0`. Raises Misuse naming the nodes there are."""
        for node in self.world.nodes:
            if where in (node.short, node.name):
                return node
        names = ", ".join(node.short for node in self.world.nodes)
        raise Misuse(f"there is no node {where!r} in this world: {names}")

    def core(self, where: str) -> SimulatedCore:
        """Read `n0/1`. Raises Misuse naming the cores there are."""
        name, _, index = where.partition("/")
        node = self.node(name)
        if not index.isdigit() or int(index) >= len(node.cores):
            raise Misuse(f"there is no core {where!r}: {node.short} has cores 0 to {len(node.cores) - 1}")
        return node.cores[int(index)]

    def no_core(self, core: object, nodes: list[SimulatedNode]) -> Misuse:
        """The error for a core that none of these nodes has."""
        on = ", ".join(node.short for node in nodes) or "what is no node of this world"
        return Misuse(
            f"there is no core {core!r} on {on}: each node has cores 0 to {len(self.world.nodes[0].cores) - 1}"
        )
