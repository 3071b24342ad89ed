"""Every kind of fault strikes a world, touches something, and is over in the calm."""

from __future__ import annotations

import pytest

from regrove.testing import Simulation
from regrove.testing import faults as f
from tests.simulation.apps import counting, everything

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
