"""The same seed gives the same execution, event for event (test_matrix.py: in any process)."""

from __future__ import annotations

from regrove.testing import Simulation, first_difference
from regrove.testing import faults as f
from tests.simulation import apps

FAULTS = f.swarm(
    f.cut(), f.pause(), f.crash(), f.crash(on="node"), f.loss(), f.slow(), f.delay(), f.disk(), f.pause(on="node")
)


def run(seed: int, span: str = "700ms", faults: f.Faults = FAULTS, profile: str = "faithful") -> Simulation:
    with Simulation(apps.everything, nodes=2, cores=2, seed=seed, faults=faults, profile=profile) as sim:
        sim.run("1s")
        stream = sim.connect(7, node=0)
        stream.send(b"from outside")
        stream.read(12, within=span)
        stream.close()
    return sim


def test_twice_in_one_process_is_the_same() -> None:
    first, second = run(3), run(3)
    assert first_difference(first.trace, second.trace) is None
    assert first.trace.digest == second.trace.digest


def test_another_seed_is_another_execution() -> None:
    assert run(0, "100ms").trace.digest != run(7, "100ms").trace.digest


def test_an_unrelated_isolate_moves_no_fault() -> None:
    """Faults, latencies between other cores and everybody else's random numbers stay where they were."""
    plans = []
    for app in (apps.counting, apps.echoing):
        with Simulation(app, nodes=2, cores=2, seed=11, faults=(f.cut(), f.crash(), f.slow())) as sim:
            sim.run("10s")
        plans.append(sim.plan.entries)
    assert plans[0] == plans[1]
    assert plans[0]


def test_under_the_hostile_profile_too() -> None:
    first = run(4, faults=f.loss(noise=(1, 50)), profile="hostile")
    second = run(4, faults=f.loss(noise=(1, 50)), profile="hostile")
    assert first.trace.digest == second.trace.digest
    assert first.world.network.lost > 0


def test_the_random_numbers_of_a_replaced_core_are_new_ones() -> None:
    with Simulation(apps.busy, nodes=1, cores=1, core_restarts="9/30s", seed=2) as sim:
        drawn: list[int] = []
        for _ in range(3):
            life = sim.nodes[0].cores[0].life
            assert life is not None
            cell = life.core.cells[1]
            assert cell is not None
            drawn.append(life.core.random_of(cell).getrandbits(64))
            sim.restart("n0/0")
            sim.run("2s")
    assert len(dict.fromkeys(drawn)) == 3
