"""What one run shows of its orders: which inputs of cores touched the same thing, and which could have come otherwise.

An input is a frame as it arrives at a core. What it touches is read from the trace: every callback goes back to the
input that led to it on its core; a timer or an outcome stands for itself. Two inputs of one core can be exchanged when
they touched a common isolate, or wrote to the same link, and the earlier one is not among the causes of the later.
Inputs of different cores commute, and so do those of one core that touched nothing in common: exchanging them shows
nothing new.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from regrove.node.core.errors import Misuse
from regrove.node.simulation.clock import written
from regrove.node.simulation.ends import Way
from regrove.node.simulation.packets import Packet
from regrove.node.simulation.plan import SPIKE
from regrove.node.simulation.trace import Event
from regrove.transport.wire import BATCH, RUN

if TYPE_CHECKING:
    from regrove.node.simulation.network import Network
    from regrove.node.simulation.simulation import Simulation

Thing: TypeAlias = tuple[str, ...]  # an isolate by core, path and life, or a link by its ends


WAITED_FOR: Final = "outcome"  # of what the callback before it on its isolate began
INPUTS: Final = 8_000  # of one run: what led to each event is kept as so many bits


class TooLong(Misuse):
    """A run has too many inputs for all its orders to be gone through."""

    def __init__(self, sim: Simulation) -> None:
        super().__init__(
            f"this run has {sim.trace.sequence} events up to {written(sim.now)}: it is too long to go through all its "
            "orders; take a smaller scope, or search='pct'"
        )


class Input(NamedTuple):
    """A frame as it arrived: its key in a plan, what it came on, when it was sent, where and when it arrived.

    `held` is by how much it was later because it may not overtake those before it: to take longer it must first take
    that long.
    """

    key: str
    channel: str
    sent: int
    core: str
    arrived: int
    held: int = 0


class Race(NamedTuple):
    """An input that could have come after something else: by how much later, at which instant it was sent."""

    key: str
    sent: int
    later: int


class Stall(NamedTuple):
    """A timer or an outcome that could have come after a frame, had its core stalled: where, from when, how long."""

    core: str
    at: int
    lasts: int


class _Sent(int):
    """The cause of a frame, as the network carries it, and which frame that is."""

    key: str
    channel: str
    sent: int
    held: int


@dataclass(slots=True)
class _Touch:
    """One callback, or one write to a link: when, under which input (its event; 0: none), after which inputs.

    `causes` are those without which it would not have come; `past` has those too that only came before it.
    """

    time: int
    root: int
    past: int = 0
    causes: int = 0


class _Written(NamedTuple):
    """A frame that was given to a link: after which event, from which core to which, and its key."""

    after: int
    source: str
    target: str
    key: str


@dataclass(slots=True)
class Run:
    """The inputs of one run by the event of their arrival, and what was written to links."""

    first: int
    inputs: dict[int, Input] = field(default_factory=dict)
    written: list[_Written] = field(default_factory=list)


def listen(sim: Simulation) -> Run:
    """Note the inputs of a world from now on."""
    world = sim.world
    network, emit, carry = world.network, world.network.emit, world.network.carry
    run = Run(world.trace.sequence)

    def carried(way: Way, frame: Any, parent: int) -> None:
        sent = _Sent(parent)
        sent.key, sent.channel, sent.sent = f"{way.name}#{way.draws.ordinal + 1}", way.name, network.clock.now
        if (frame.type if type(frame) is Packet else frame[3]) in (BATCH, RUN):
            run.written.append(_Written(world.trace.sequence, way.source.owner.core, way.target.owner.core, sent.key))
        alone = _alone(network, way, sent.key)
        carry(way, frame, sent)
        sent.held = 0 if way.stuck else max(way.latest - alone, 0)

    def arrived(way: Way, frame: Any, parent: int) -> int:
        event = emit(way, frame, int(parent))
        if isinstance(parent, _Sent):
            core = way.target.owner.core
            run.inputs[event] = Input(parent.key, parent.channel, parent.sent, core, network.clock.now, parent.held)
        return event

    network.carry = carried  # of this world alone: no other pays for it
    network.emit = arrived
    return run


def _alone(network: Network, way: Way, key: str) -> int:
    """When the next frame on a way would arrive if none were before it."""
    entry = network.plan.frames.get(key)
    extra = entry.strength if entry is not None and entry.what == SPIKE else 0
    return network.clock.now + way.latency.pick(way.draws.at(way.draws.ordinal + 1)) + extra + network.delay(way)


class _Pass:
    """The last pass of a core that ran a callback: when, after which inputs, and under which."""

    __slots__ = ("past", "roots", "time")

    def __init__(self, time: int) -> None:
        self.time = time
        self.past = 0
        self.roots: dict[int, None] = {}


class Orders:
    """The order of one run: `key` is the same for all runs in which every isolate saw the same in the same order."""

    def __init__(self, sim: Simulation, run: Run) -> None:
        if sim.trace.dropped > run.first or len(run.inputs) > INPUTS:
            raise TooLong(sim)
        self._run = run
        self._touches: dict[Thing, list[_Touch]] = {}
        self._past: dict[int, int] = {}  # by event: which inputs led to it, as bits
        self._root: dict[int, int] = {}  # by event: the input of its core that it goes back to
        self._bits = {event: 1 << number for number, event in enumerate(run.inputs)}
        self._before: dict[str, int] = {}  # by frame: which inputs led to its sending
        self._passes: dict[str, _Pass] = {}
        views: dict[Thing, list[tuple[str, int]]] = {}
        written = iter((*run.written, _Written(sim.trace.sequence + 1, "", "", "")))
        write = next(written)
        for event in sim.trace:
            if event.sequence <= run.first:
                continue
            while write.after < event.sequence:
                self._wrote(write)
                write = next(written)
            arrival = run.inputs.get(event.sequence)
            if arrival is not None:
                before = self._before.get(arrival.key, 0)
                self._past[event.sequence] = before | self._bits[event.sequence]
                self._root[event.sequence] = event.sequence
            elif event.incarnation:
                self._called(event, views)
            if len(self._bits) > INPUTS:
                raise TooLong(sim)
        self.key = blake2b(repr(sorted(views.items())).encode(), digest_size=16).hexdigest()

    def _wrote(self, write: _Written) -> None:
        last = self._passes.get(write.source)
        if last is None:
            return
        self._before[write.key] = last.past
        touches = self._touches.setdefault((write.source, write.target), [])
        touches += [_Touch(last.time, root) for root in last.roots]

    def _called(self, event: Event, views: dict[Thing, list[tuple[str, int]]]) -> None:
        thing = (event.node, event.path, str(event.incarnation))
        view = views.setdefault(thing, [])
        view.append((event.kind, event.digest))
        touches = self._touches.setdefault(thing, [])
        root = self._root.get(event.parent, 0)
        past = self._past.get(event.parent, 0)
        if not root:  # a timer or an outcome: by itself
            root = event.sequence
            past |= self._bits.setdefault(root, 1 << len(self._bits))
        self._root[event.sequence] = root
        causes = past
        if touches:
            past |= touches[-1].past
            if event.kind == WAITED_FOR:
                causes = past
        self._past[event.sequence] = past
        touches.append(_Touch(event.time, root, past, causes))
        last = self._passes.get(event.node)
        if last is None or last.time != event.time:
            last = self._passes[event.node] = _Pass(event.time)
        last.past |= past
        last.roots[root] = None

    def races(self, window: int) -> list[Race | Stall]:
        """Inputs that could have come after what followed them within `window` ns, frames and the first ones first."""
        found: dict[Race | Stall, None] = {}
        for thing, touches in self._touches.items():
            for place in range(1, len(touches)):
                found.update(dict.fromkeys(self._exchanges(thing[0], touches, place, window)))
        frames = sorted((race for race in found if isinstance(race, Race)), key=lambda race: (race.sent, race))
        return [*frames, *sorted((race for race in found if isinstance(race, Stall)), key=lambda race: (race.at, race))]

    def _exchanges(self, core: str, touches: list[_Touch], place: int, window: int) -> Iterator[Race | Stall]:
        inputs, later = self._run.inputs, touches[place]
        own = inputs.get(later.root)
        causes = later.causes if own is None else self._before.get(own.key, 0)
        channels: dict[str, None] = {}
        alone = own is None  # the nearest timer only; and two timers are not exchanged
        for number in range(place - 1, -1, -1):
            touch = touches[number]
            if later.time - touch.time > window:
                return
            if touch.root == later.root:
                continue
            first = inputs.get(touch.root)
            if first is None:
                if not alone and not causes & self._bits[touch.root]:
                    yield Stall(core, touch.time - 1, later.time - touch.time + 2)
                alone = True
                continue
            if first.channel in channels or (own and first.channel == own.channel and first.arrived < own.arrived):
                continue  # nothing overtakes on a link; but what came behind may come behind what its own led to, too
            channels[first.channel] = None
            if not causes & self._bits[touch.root]:
                yield Race(first.key, first.sent, later.time - first.arrived + first.held + 1)
