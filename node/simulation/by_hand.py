"""Faults by hand: the verbs of a scenario, and the places they are done to."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Literal, TypeAlias

from regrove.node.core.address import Address
from regrove.node.core.errors import Misuse
from regrove.node.core.isolate import Cell
from regrove.node.simulation.clock import SLOWEST, Span, duration, passing
from regrove.node.simulation.cores import SimulatedCore
from regrove.node.simulation.faults import Fault
from regrove.node.simulation.finding import Found, NotThere
from regrove.node.simulation.holding import Held
from regrove.node.simulation.node import SimulatedNode
from regrove.node.simulation.world import World

_PLACE: Final = re.compile(r"n\d+(@sim)?(/.*)?")
Keep: TypeAlias = Literal["majority", "all"] | Sequence[SimulatedNode | str]
Place = SimulatedNode | SimulatedCore | str


class ByHand(ABC):
    """What `Simulation` lets a test do to its world."""

    world: World

    @property
    @abstractmethod
    def nodes(self) -> list[SimulatedNode]:
        """The nodes of the world."""

    @abstractmethod
    def find(self, path: str, node: Place | int | None = None, core: SimulatedCore | int | None = None) -> Found:
        """Return the isolate or supervisor at `path`. Raises NotThere."""

    @abstractmethod
    def _check(self) -> None:
        """Raise Misuse outside the `with` block."""

    # --- faults by hand ---

    def inject(self, fault: Fault) -> bool:
        """Do one fault now, whatever its `at`; False when there was nothing to break."""
        self._check()
        broke = self.world.stage.inject(fault)
        self.world.note(fault.where, f"test-{fault.what}", f"{fault.lasts} {fault.strength}")
        return broke

    def cut(self, source: Place, target: Place, one_way: bool = False) -> None:
        """Stop what goes between two places, or from the first to the second only, until `heal`."""
        self._each_way("cut", source, target, one_way, self.world.network.cut)

    def heal(self, source: Place, target: Place, one_way: bool = False) -> None:
        """Undo `cut`."""
        self._each_way("heal", source, target, one_way, self.world.network.heal)

    def _each_way(
        self, what: str, source: Place, target: Place, one_way: bool, action: Callable[[str, str], None]
    ) -> None:
        self._check()
        if not isinstance(one_way, bool):
            raise Misuse(
                f"{what}: one_way is True or False, got {one_way!r}; a cut stands until `sim.heal`: let time pass in "
                "between with `sim.run`"
            )
        near, far = self._place(source), self._place(target)
        ways = "one way" if one_way else "both ways"
        pairs = self.world.stage.pairs(near, far)
        self.world.note(f"{near.name}>{far.name}", f"test-{what}", "one way" if one_way else "", told=ways)
        for one, other in pairs:
            action(one, other)
            if not one_way:
                action(other, one)

    @contextmanager
    def hold(self, source: Place, target: Place) -> Iterator[Held]:
        """Hold what goes from a place to a place, in order; inspect it; leaving releases it."""
        self._check()
        near, far = self._place(source), self._place(target)
        held = Held(self.world, near.name, far.name, self.world.stage.pairs(near, far))
        held.begin()
        try:
            yield held
        finally:
            held.release()

    def pause(self, place: Place) -> None:
        """Stop a core or a whole node, as SIGSTOP does; that life only."""
        found = self._place(place)
        if not found.alive:
            raise Misuse(f"{found!r} has no process to stop: wait until it is up again, as with sim.until")
        self._note("pause", place).pause()

    def resume(self, place: Place) -> None:
        """Let it go on."""
        stopped = self._note("resume", place)
        if not stopped.pauses:
            raise Misuse(f"{stopped!r} is not paused; what ends while it is paused is paused no more")
        stopped.pauses -= 1
        stopped.resumed()

    def slow(self, core: SimulatedCore | str, factor: int) -> None:
        """Make each pass of a core take `factor` times as long from now on; 1 is normal."""
        if type(factor) is not int or factor < 1:
            raise Misuse(f"slow takes a core and a factor that is an int of at least 1, got {factor!r}")
        self._note_core("slow", core).slow_to(factor)

    def drift(self, core: SimulatedCore | str, span: Span) -> None:
        """Step the wall clock of a core forward."""
        self._note_core("drift", core).wall_offset += duration(span)

    def skew(self, core: SimulatedCore | str, ppm: int) -> None:
        """Let all clocks of a core run `ppm` millionths faster than they do, slower below 0."""
        if type(ppm) is not int or ppm < SLOWEST:
            raise Misuse(f"skew takes a core and whole millionths, at least {SLOWEST}, got {ppm!r}")
        self._note_core("skew", core).drift_by(ppm)

    def busy(self, place: Found | SimulatedCore | str, span: Span) -> None:
        """Have the next pass of a core, or of an isolate's core, take so much longer: a handler that blocks.

        `place` is a core, its name, what `find` gave, or the path of an isolate.
        """
        self._check()
        longer = passing(span)
        if isinstance(place, str) and not _PLACE.fullmatch(place):
            place = self.find(place)
        core = self._note_core("busy", place.core if isinstance(place, Found) else place)
        if core.life is None or core.life.dead:
            raise Misuse(f"{core!r} has no process that could be busy: wait until it is up again, as with sim.until")
        core.life.extra += longer
        core.busy_with = place.path if isinstance(place, Found) else ""

    def kill(self, isolate: Found | Address) -> None:
        """Kill an isolate or supervisor; its supervisor restarts it as its spec says. Raises NotThere."""
        self._check()
        address = isolate.address if isinstance(isolate, Found) else isolate
        if not isinstance(address, Address):
            raise Misuse(f"kill takes what sim.find(path) gives, or an Address, got {isolate!r:.100}")
        place = self._core_of(address.node, address.core)
        where = None if place is None or place.life is None else place.life.core.registry.resolve(address)
        if place is None or place.life is None or not isinstance(where, Cell):
            raise NotThere(repr(address), self._cores(None, None))
        self.world.note(place.name, "test-kill", where.path)
        place.life.end_isolate(where)

    def crash(self, place: Place, silently: bool = False) -> None:
        """Kill a core (its manager replaces it), or cut a node's power until `restart`.

        `silently`: other nodes are not told; they hear after 9 to 12 s without a word, or when it is back.
        """
        down = self._note("crash", place)
        if isinstance(down, SimulatedNode):
            down.lose_power(silently)
        elif silently:
            raise Misuse(f"only a whole node ends silently; the kernel of {down!r} tells its peers: give its node")
        else:
            down.node.kill_core(down, "killed by SIGKILL")

    def restart(self, place: Place) -> None:
        """Start a node (again), or have a core replaced."""
        back = self._note("restart", place)
        if isinstance(back, SimulatedNode):
            back.lose_power()
            back.boot()
        else:
            back.node.kill_core(back, "killed by SIGKILL")

    def stop(self, node: SimulatedNode | str) -> None:
        """Ask a node to leave in order, as SIGTERM does."""
        place = self._note("stop", node)
        if not isinstance(place, SimulatedNode):
            raise Misuse(f"stop takes a node, got {node!r}")
        place.stop("SIGTERM")

    def calm(self, keep: Keep = "majority") -> list[SimulatedNode]:
        """End the faults of a drawn majority of nodes (or of all, or of those given) and draw no more; return them.

        Faults are those of the plan, and of `inject`; a `cut` by hand stands until its `heal`.
        """
        self._check()
        kept = self.world.stage.chosen(keep)
        names = " ".join(node.short for node in kept)
        self.world.note("", "test-calm", names, told=f"keeps {names}")
        self.world.stage.calm(kept)
        return kept

    # --- places ---

    def _note(self, what: str, place: Place) -> SimulatedNode | SimulatedCore:
        self._check()
        found = self._place(place)
        self.world.note(found.name, f"test-{what}")
        return found

    def _note_core(self, what: str, core: SimulatedCore | str) -> SimulatedCore:
        place = self._note(what, core)
        if not isinstance(place, SimulatedCore):
            raise Misuse(f"{what} takes a core, got {core!r}")
        return place

    def _place(self, place: Place) -> SimulatedNode | SimulatedCore:
        return self.world.stage.place_of(place)

    def _cores(self, node: Place | int | None, core: SimulatedCore | int | None) -> list[SimulatedCore]:
        for place in (core, node):
            if isinstance(place, SimulatedCore):
                self._place(place)
                return [place]
        if isinstance(node, int):
            if not 0 <= node < len(self.nodes):
                raise Misuse(f"there is no node {node!r} in this world: it has nodes 0 to {len(self.nodes) - 1}")
            node = self.nodes[node]
        place = None if node is None else self._place(node)
        if isinstance(place, SimulatedCore):
            return [place]
        nodes = self.nodes if place is None else [place] if isinstance(place, SimulatedNode) else []
        found = [each for one in nodes for each in one.cores if core is None or each.index == core]
        if not found:
            raise self.world.stage.no_core(core, nodes)
        return found

    def _core_of(self, node: str, core: int) -> SimulatedCore | None:
        for place in self.nodes:
            if place.name == node and core < len(place.cores):
                return place.cores[core]
        return None
