"""The simulated network under the transport port."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from regrove.node.simulation import faults as f
from regrove.node.simulation.clock import MILLISECOND, SECOND, Clock
from regrove.node.simulation.ends import SimulatedTransport
from regrove.node.simulation.faults import Layout
from regrove.node.simulation.network import Network
from regrove.node.simulation.seeds import Draws
from regrove.transport.base import TransportError


class Ear:
    """A handler that notes everything, polling at each wake."""

    def __init__(self, world: World, node: str, core: str) -> None:
        self.transport = SimulatedTransport(world.network, node, core, self.wake)
        self.transport.attach(self)
        self.sessions: list[tuple[int, bool]] = []
        self.frames: list[bytes] = []
        self.closed: list[str] = []
        self.asleep = False

    def wake(self) -> None:
        if not self.asleep:
            assert self.transport.pending()
            self.transport.poll()

    def on_session(self, session: int, inbound: bool, user_id: str) -> None:
        self.sessions.append((session, inbound))

    def on_frames(self, session: int, frames: Sequence[bytes]) -> None:
        self.frames.extend(frames)

    def on_writable(self, session: int) -> None:
        raise AssertionError("the simulated network takes every frame")

    def on_closed(self, session: int, reason: str) -> None:
        self.closed.append(reason)


class World:
    """Two nodes, a connection dialled from the first to the second."""

    def __init__(self, seed: int = 0, profile: str = "faithful", faults: f.Faults = None) -> None:
        self.clock = Clock()
        draws = Draws(seed)
        self.plan = f.plan_of(faults, Layout(2, 1), draws)
        self.network = Network(self.clock, draws, self.plan, profile)
        self.a = Ear(self, "n0", "n0/0")
        self.b = Ear(self, "n1", "n1/0")
        self.b.transport.listen("sim://b")
        self.session = self.a.transport.open("sim://b")
        self.run()

    def run(self, ns: int = SECOND) -> None:
        self.clock.run_until(self.clock.now + ns)

    def send(self, *frames: bytes) -> list[bool]:
        return [self.a.transport.try_send(self.session, frame) for frame in frames]


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def test_both_ends_hear_of_a_session_and_frames_arrive_in_order() -> None:
    world = World()
    assert world.a.sessions == [(world.session, False)]
    assert world.b.sessions == [(1, True)]
    assert all(world.send(*numbered(100)))
    assert world.b.transport.try_send(1, b"back")
    world.run()
    assert world.b.frames == numbered(100)
    assert world.a.frames == [b"back"]


def test_frames_take_time_that_depends_on_the_seed_alone() -> None:
    def arrivals(seed: int) -> list[int]:
        world = World(seed)
        times: list[int] = []

        def emit(way: object, frame: bytes, parent: int) -> int:
            times.append(world.clock.now)
            return 0

        world.network.emit = emit
        for _ in range(20):
            world.send(b"x")
            world.run(10 * MILLISECOND)
        return times

    assert arrivals(1) == arrivals(1)
    assert arrivals(1) != arrivals(2)


def test_a_dial_to_nobody_is_refused() -> None:
    world = World()
    world.a.transport.open("sim://nobody")
    world.run()
    assert world.a.closed == ["refused: nobody listens at sim://nobody"]


def test_what_is_sent_before_the_connect_is_through_goes_first() -> None:
    world = World()
    session = world.a.transport.open("sim://b")
    assert world.a.transport.try_send(session, b"hello")
    world.run()
    world.a.transport.try_send(session, b"more")
    world.run()
    assert world.b.frames == [b"hello", b"more"]


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:1", "sim://", "sim://b"])
def test_a_bad_endpoint_is_refused_with_the_reason(endpoint: str) -> None:
    with pytest.raises(TransportError, match="sim://"):
        World().a.transport.listen(endpoint)


def test_a_one_way_cut_holds_one_direction_and_loses_nothing() -> None:
    world = World()
    world.network.cut("n0", "n1")
    world.send(*numbered(10))
    world.b.transport.try_send(1, b"back")
    world.run()
    assert world.b.frames == []
    assert world.a.frames == [b"back"]
    assert world.network.under_way("n0", "n1") == numbered(10)
    world.network.heal("n0", "n1")
    world.send(b"last")
    world.run()
    assert world.b.frames == [*numbered(10), b"last"]
    assert world.network.quiet


def test_cuts_add_up() -> None:
    world = World()
    world.network.cut("n0", "n1")
    world.network.cut("n0", "n1")
    world.send(b"x")
    world.network.heal("n0", "n1")
    world.run()
    assert world.b.frames == []
    world.network.heal("n0", "n1")
    world.run()
    assert world.b.frames == [b"x"]


def test_a_dial_waits_for_the_end_of_a_cut() -> None:
    world = World()
    world.network.cut("n1", "n0")
    session = world.a.transport.open("sim://b")
    world.run()
    assert (session, False) not in world.a.sessions
    world.network.heal("n1", "n0")
    world.run()
    assert (session, False) in world.a.sessions


def test_a_reset_loses_what_is_under_way_and_both_ends_hear() -> None:
    world = World()
    world.send(*numbered(5))
    assert world.network.reset_between("n0", "n1") == 5
    assert world.send(b"too late") == [False]
    world.run()
    assert world.b.frames == []
    assert world.a.closed == ["connection reset"]
    assert world.b.closed == ["connection reset"]
    assert world.network.lost == 5


def test_the_faithful_profile_loses_by_resets_only() -> None:
    """What arrives on a session is a prefix of what was sent: ZeroMQ loses no frame out of the middle."""
    resets = 0
    for seed in range(30):
        world = World(seed, faults=f.loss(noise=(1, 20)))
        world.send(*numbered(30))
        world.run()
        assert world.b.frames == numbered(30)[: len(world.b.frames)]
        resets += world.network.resets
        assert (world.a.closed == []) == (world.network.resets == 0)
    assert resets > 5


def test_the_hostile_profile_loses_single_frames() -> None:
    world = World(3, profile="hostile", faults=f.loss(noise=(1, 10)))
    world.send(*numbered(200))
    world.run()
    assert 150 < len(world.b.frames) < 200
    assert world.b.frames != numbered(200)[: len(world.b.frames)]
    assert world.a.closed == []
    counts = world.plan.counts[f.LOSS]
    assert counts.fired == counts.affected == world.network.lost == 200 - len(world.b.frames)


def test_a_close_is_silent_here_and_heard_there_behind_the_frames() -> None:
    world = World()
    world.send(*numbered(3))
    world.a.transport.close(world.session)
    world.run()
    assert world.b.frames == numbered(3)
    assert world.b.closed == ["closed by the peer"]
    assert world.a.closed == []


def test_frames_for_a_closed_session_are_dropped_and_counted() -> None:
    world = World()
    world.b.asleep = True
    world.send(*numbered(4))
    world.run()
    world.b.transport.close(1)
    world.b.transport.poll()
    assert world.b.frames == []
    assert world.b.transport.dropped == 4


def test_of_what_a_dead_process_had_sent_a_prefix_arrives() -> None:
    arrived = []
    for seed in range(40):
        world = World(seed)
        world.send(*numbered(10))
        world.a.transport.crash()
        world.run()
        assert world.b.frames == numbered(10)[: len(world.b.frames)]
        assert world.b.closed == ["connection reset by the peer"]
        arrived.append(len(world.b.frames))
    assert len(dict.fromkeys(arrived)) > 4


def test_a_dead_process_hears_and_sends_nothing_and_frees_its_endpoint() -> None:
    world = World()
    world.b.transport.crash()
    world.run()
    assert world.a.closed == ["connection reset by the peer"]
    assert world.send(b"x") == [False]
    other = Ear(world, "n1", "n1/0")
    other.transport.listen("sim://b")
    world.a.transport.open("sim://b")
    world.run()
    assert other.sessions == [(1, True)]


def test_a_slow_link_takes_its_extra_time_one_way() -> None:
    world = World()
    world.network.limits[f.DELAY][("n0", "n1")] = [500 * MILLISECOND]
    world.send(b"x")
    world.b.transport.try_send(1, b"back")
    world.run(400 * MILLISECOND)
    assert world.a.frames == [b"back"]
    assert world.b.frames == []
    world.run()
    assert world.b.frames == [b"x"]


def test_another_link_changes_no_delay_of_this_one() -> None:
    def arrivals(crowded: bool) -> list[int]:
        world = World(7)
        third = Ear(world, "n2", "n2/0")
        other = third.transport.open("sim://b") if crowded else 0
        world.run()
        times: list[int] = []

        def emit(way: object, frame: bytes, parent: int) -> int:
            if frame == b"x":
                times.append(world.clock.now)
            return 0

        world.network.emit = emit
        for _ in range(20):
            world.send(b"x")
            if crowded:
                third.transport.try_send(other, b"noise")
            world.run(10 * MILLISECOND)
        return times

    assert arrivals(True) == arrivals(False)
