"""The links between the managers of a world: what one tells another, and how it hears that the other is gone."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from regrove.node.process import manager_events as me
from regrove.node.simulation.clock import MILLISECOND
from regrove.node.simulation.latencies import OUTSIDE
from regrove.node.simulation.seeds import between
from regrove.node.simulation.silence import GAVE_UP, KEEPALIVE, LEAST, MEETS_AGAIN

if TYPE_CHECKING:
    from regrove.node.simulation.node import SimulatedNode
    from regrove.node.simulation.world import World

HELD_RETRY: Final = 50 * MILLISECOND


class ControlLinks:
    """The links between the managers: one for each two that live and can. What is told waits out a short cut, in order.

    A manager holds another as long as it may still hear of it: there is a link, or what came last by it is under way.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._up: dict[tuple[str, str], int] = {}  # both ways; the number of the link
        self._count = 0
        self._wires: dict[tuple[str, str], deque[tuple[int, me.Event]]] = {}
        self._latest: dict[tuple[str, str], int] = {}
        self._vanished: dict[str, int] = {}  # the lives of nodes that are gone, and whose managers nobody misses yet

    def meet(self, node: SimulatedNode) -> None:
        """It has started: it is linked to all that live, but for those behind a cut that parts managers."""
        for other in self._world.nodes:
            if other is not node and other.alive and not self._world.network.silence.parts(node.name, other.name):
                self.join(node, other)

    def join(self, one: SimulatedNode, other: SimulatedNode) -> None:
        """Link two managers; each tells the other all it has to say of its own node."""
        self._count += 1
        for near, far in ((one, other), (other, one)):
            self._up[(near.name, far.name)] = self._count
            self._wires[(near.name, far.name)] = deque()
        for near, far in ((one, other), (other, one)):
            assert near.state is not None
            self.tell(near, far, me.PeerTold(near.state.view()))
            for row in near.state.shared_names():
                self.tell(near, far, me.PeerTold(row))

    def tell(self, near: SimulatedNode, far: SimulatedNode, event: me.Event) -> None:
        """Send something to the manager of another node; nothing without a link."""
        link = self._up.get((near.name, far.name))
        if link is not None:
            self._wires[(near.name, far.name)].append((link, event))
            self._set_out(near, far)

    def _set_out(self, near: SimulatedNode, far: SimulatedNode) -> None:
        world = self._world
        pair = (near.name, far.name)
        delay = OUTSIDE.pick(world.draws.draw("control", *pair))
        time = max(world.clock.now + delay, self._latest.get(pair, 0) + 1)
        self._latest[pair] = time
        world.later(time - world.clock.now, "control", far.name, self._arrive, (near, far))

    def _arrive(self, ends: tuple[SimulatedNode, SimulatedNode]) -> None:
        near, far = ends
        wire = self._wires.get((near.name, far.name))
        if not wire:
            return
        if not self._world.network.path_open(near.name, far.name):
            self._world.later(HELD_RETRY, "control", far.name, self._arrive, ends)
            return
        link, event = wire.popleft()
        if link == self._up.get((near.name, far.name)):
            far.event(event)

    # --- ends ---

    def gone(self, node: SimulatedNode, incarnation: int) -> None:
        """A manager is gone: the others hear of it behind what it had told them."""
        for other in self._world.nodes:
            if other is node or self._up.pop((other.name, node.name), None) is None:
                continue
            lost = me.PeerLost(node.name, incarnation, "its manager is gone")
            self.tell(node, other, lost)
            self._wires.pop((other.name, node.name), None)

    def vanished(self, node: SimulatedNode) -> None:
        """A machine is gone without a word: the others give its manager up, or hear of it when it is back."""
        self._vanished[node.name] = node.incarnation
        draw = self._world.draws.draw("silence", node.name)
        call = (node, node.incarnation)
        self._world.later(between(draw, LEAST, LEAST + KEEPALIVE), "silence", node.name, self._give_up_on, call)

    def back(self, node: SimulatedNode) -> None:
        """It is about to start: what others still hold to be its last life is over."""
        incarnation = self._vanished.pop(node.name, None)
        if incarnation is not None:
            self.gone(node, incarnation)

    def _give_up_on(self, call: tuple[SimulatedNode, int]) -> None:
        node, incarnation = call
        if self._vanished.get(node.name) != incarnation:
            return
        del self._vanished[node.name]
        self._world.note(node.name, "gave-up", GAVE_UP)
        for other in self._world.nodes:
            if other is not node:
                self._part(node, other)
                if self._part(other, node):
                    other.event(me.PeerLost(node.name, incarnation, GAVE_UP))

    def _part(self, near: SimulatedNode, far: SimulatedNode) -> bool:
        self._wires.pop((near.name, far.name), None)
        return self._up.pop((near.name, far.name), None) is not None

    def gave_up(self, source: str, target: str) -> None:
        """Nothing passed between two machines for so long that their managers lose each other."""
        ends = self._ends(source, target)
        if ends is None:
            return
        pairs = (ends, ends[::-1])
        held = [(near, far) for near, far in pairs if near.alive and self._holds(near, far)]
        if held:
            self._world.note(f"{source}>{target}", "gave-up", GAVE_UP)
        for near, far in pairs:
            self._part(near, far)
        for near, far in held:
            self._lose(near, far)

    def _holds(self, near: SimulatedNode, far: SimulatedNode) -> bool:
        return (near.name, far.name) in self._up or bool(self._wires.get((far.name, near.name)))

    @staticmethod
    def _lose(near: SimulatedNode, far: SimulatedNode) -> None:
        """What a manager knows may be an earlier life, when the cut held back what the present one said."""
        known = None if near.state is None else near.state.members.get(far.name)
        lives = (far.incarnation,) if known is None else (known.incarnation, far.incarnation)
        for incarnation in dict.fromkeys(lives):
            near.event(me.PeerLost(far.name, incarnation, GAVE_UP))

    def again(self, source: str, target: str) -> None:
        """Something passes between two machines again: managers that lost each other dial once more."""
        ends = self._ends(source, target)
        if ends is not None and self._apart(ends):
            draw = self._world.draws.draw("redial", source, target)
            self._world.later(between(draw, 0, MEETS_AGAIN), "redial", source, self._redial, ends)

    def _redial(self, ends: tuple[SimulatedNode, SimulatedNode]) -> None:
        if self._apart(ends):
            self.join(*ends)

    def _apart(self, ends: tuple[SimulatedNode, SimulatedNode]) -> bool:
        """Whether two managers live, could speak to each other, and have no link."""
        pairs = [(near.name, far.name) for near, far in (ends, ends[::-1])]
        open_both_ways = all(self._world.network.path_open(*pair) for pair in pairs)
        return open_both_ways and all(node.alive for node in ends) and not any(pair in self._up for pair in pairs)

    def _ends(self, source: str, target: str) -> tuple[SimulatedNode, SimulatedNode] | None:
        found = [node for node in self._world.nodes if node.name in (source, target)]
        return (found[0], found[1]) if len(found) == 2 else None
