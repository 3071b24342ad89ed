"""Every kind of fault strikes a world, touches something, and is over in the calm."""

from __future__ import annotations

import pytest

from examples import kv
from regrove.testing import Simulation
from regrove.testing import faults as f
from tests.simulation.apps import Add, Total, counting, everything

OFTEN = (3, 1)
SHORT = ("50ms", "200ms")
GROUPS: dict[str, tuple[f.Faults, ...]] = {
    "links": (
        f.cut(often=OFTEN, lasts=SHORT), f.swizzle(OFTEN, SHORT), f.loss(often=OFTEN), f.reset(OFTEN), f.spike((1, 50)),
        f.delay(often=OFTEN, lasts=SHORT), f.clog(often=OFTEN, lasts=SHORT), f.in_flight((1, 2), OFTEN, SHORT),
        f.frame_limit((64, 200), OFTEN, SHORT),
    ),
    "lives": (
        f.crash(often=(1, 1)), f.crash("node", (1, 1), SHORT), f.crash("manager", (1, 1), SHORT),
        f.crash("machine", (1, 1), SHORT),
        f.crash("isolate", OFTEN), f.restart((1, 1), SHORT), f.memory((1, 1)), f.start_fails(OFTEN, SHORT),
    ),
    "time": (
        f.pause(OFTEN, SHORT), f.slow(often=OFTEN, lasts=SHORT), f.drift(often=OFTEN, lasts=SHORT),
        f.clock_step(often=OFTEN),
    ),
    "io": (f.streams(often=OFTEN, lasts=SHORT), f.offload(often=OFTEN, lasts=SHORT), f.disk(often=OFTEN, lasts=SHORT)),
}  # fmt: skip


@pytest.mark.parametrize("group", GROUPS)
def test_every_kind_fires_and_touches_something_and_the_calm_ends_it(group: str) -> None:
    fired: dict[str, int] = {}
    affected: dict[str, int] = {}
    for seed in range(8):
        with Simulation(everything, nodes=2, seed=seed, faults=GROUPS[group], core_restarts="99/30s") as sim:
            sim.run("700ms")
            sim.calm(keep="all")
            assert sim.world.stage.running == {}
            sim.eventually("all is up", lambda world: all(node.ready for node in world.nodes))
        for what, count in sim.plan.counts.items():
            fired[what] = fired.get(what, 0) + count.fired
            affected[what] = affected.get(what, 0) + count.affected
        if all(fired.values()) and all(affected.values()):
            return
    pytest.fail(f"fired {fired}; affected {affected}")


def test_a_drifting_node_fires_its_timers_early_and_a_stepped_wall_clock_moves_no_timer() -> None:
    drifting = f.once("drift", "n0", at="1s", lasts="10s", strength=100_000)
    stepped = f.once("clock-step", "n1", at="1s", strength=5_000_000_000)
    with Simulation(counting, nodes=2, seed=3, faults=[drifting, stepped]) as sim:
        sim.run("11s")
        one, other = (node.cores[0] for node in sim.nodes)
        assert one.local(sim.now) - sim.now == 1_000_000_000
        assert one.real(one.local(sim.now)) == sim.now
        assert (other.local(sim.now), other.wall_offset) == (sim.now, 5_000_000_000)


def affected(sim: Simulation) -> dict[str, int]:
    return {what: counts.affected for what, counts in sim.plan.counts.items()}


def test_a_limit_counts_what_met_it_and_nothing_that_met_another() -> None:
    idle = f.once("delay", "n2>n1", at="1s", lasts="5s", strength=5_000_000)
    busy = f.once("clog", "n0>n1", at="1s", lasts="5s", strength=50_000)
    with Simulation(counting, nodes=3, faults=[idle, busy]) as sim:
        sim.run("1100ms")
        for _ in range(20):
            sim.send(sim.find("root/counter", node=1).address, Add(1), source="n0")
            sim.run("10ms")
    found = affected(sim)
    assert found["clog"] >= 20
    assert found["delay"] == 0


def test_what_nothing_meets_has_fired_and_touched_nothing() -> None:
    kinds = {"refuse": 0, "slow-peer": 1_000, "offload-slow": 5, "offload-fails": 0, "sync-fails": 0, "disk-full": 0}
    plan = [
        f.once(what, "n0/0" if what.startswith("offload") else "n0", at="1s", lasts="1s", strength=strength)
        for what, strength in kinds.items()
    ]
    with Simulation(counting, faults=plan) as sim:
        sim.run("3s")
    assert {what: counts.fired for what, counts in sim.plan.counts.items()} == dict.fromkeys(kinds, 1)
    assert affected(sim) == dict.fromkeys(kinds, 0)


def test_a_slow_peer_delays_each_piece_and_adds_none_to_the_next() -> None:
    with Simulation(kv.app, faults=f.once("slow-peer", "n0", at="1s", lasts="2s", strength=200_000_000)) as sim:
        client = sim.connect(6380)
        sim.run("1s")
        for _ in range(50):
            client.send(b"GET a\r\n")
            sim.run("20ms")
        sim.run("1s")
        assert client.received().count(b"\r\n") == 50
    assert affected(sim)["slow-peer"] >= 100


def test_a_calm_ends_a_connection_whose_last_frame_was_lost_as_nothing_comes_that_would_show_it() -> None:
    lost = f.once("loss", "n0/0>n1/0#2", at=0)
    with Simulation(counting, nodes=2, faults=lost, profile="hostile") as sim:
        counter = sim.find("root/counter", node=1)
        sim.send(counter.address, Add(1), source="n0/0")
        sim.run("1s")
        sim.calm("all")
        sim.settle()
        assert affected(sim)["loss"] == 1
        assert counter.isolate.total == 10, "the message itself is gone"


def test_a_calm_ends_the_connection_of_a_client_whose_last_frame_was_lost() -> None:
    lost = f.once("loss", "client>n0/0#2", at=0)
    with Simulation(counting, faults=lost, profile="hostile") as sim:
        asked = sim.client.begin("counter", Total())
        sim.run("1s")
        assert affected(sim)["loss"] == 1
        sim.calm("all")
        sim.settle()
        assert asked.done


def test_a_calm_ends_a_connection_on_which_a_burst_lost_the_last_frames() -> None:
    with Simulation(counting, nodes=2, profile="hostile") as sim:
        counter = sim.find("root/counter", node=1)
        sim.send(counter.address, Add(1), source="n0/0")
        sim.settle()
        sim.send(counter.address, Add(1), source="n0/0")
        sim.run("60us")  # under way: between machines nothing takes less than 100
        sim.inject(f.once("loss", "n0/0>n1/0", at=sim.now))
        sim.calm("all")
        sim.settle()
        assert counter.isolate.total == 11, "what was under way is gone"


def test_a_frame_that_nothing_is_before_is_not_reordered() -> None:
    with Simulation(counting, nodes=2, faults=f.reorder((1, 1)), profile="hostile") as sim:
        counter = sim.find("root/counter", node=1).address
        for _ in range(20):
            sim.send(counter, Add(1), source="n0")
            sim.run("100ms")
        alone = sim.plan.counts["reorder"].fired
        for _ in range(20):
            sim.send(counter, Add(1), source="n0")
            sim.run("10us")
        sim.settle()
        assert alone == 0
        assert sim.plan.counts["reorder"].fired > 0
