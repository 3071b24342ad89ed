"""The same seed gives the same execution, event for event, in any process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from regrove.testing import Simulation, first_difference
from regrove.testing import faults as f
from tests.simulation import apps

ROOT = Path(__file__).parents[2]
FAULTS = f.swarm(
    f.cut(), f.pause(), f.crash(), f.crash(on="node"), f.loss(), f.slow(), f.delay(), f.disk(), f.pause(on="node")
)
SEEDS = (0, 3, 7)


def run(seed: int, span: str = "700ms", faults: f.Faults = FAULTS, profile: str = "faithful") -> Simulation:
    with Simulation(apps.everything, nodes=2, cores=2, seed=seed, faults=faults, profile=profile) as sim:
        sim.run("1s")
        stream = sim.connect(7, node=0)
        stream.send(b"from outside")
        stream.read(12, within=span)
        stream.close()
    return sim


def digests() -> dict[str, str]:
    """What a fresh process prints."""
    return {str(seed): run(seed).trace.digest for seed in SEEDS}


PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
from tests.simulation.test_determinism import digests
print(json.dumps({"digests": digests(), "zmq": "zmq" in sys.modules}))
"""


def fresh_process(hash_seed: str, *options: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, *options, "-c", PROGRAM, str(ROOT)],
        env={"PYTHONHASHSEED": hash_seed, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


@pytest.fixture(scope="module")
def here() -> dict[str, str]:
    return digests()


def test_twice_in_one_process_is_the_same(here: dict[str, str]) -> None:
    first, second = run(3), run(3)
    assert first_difference(first.trace, second.trace) is None
    assert first.trace.digest == second.trace.digest == here["3"]


def test_after_other_seeds_and_in_a_disturbed_heap_it_is_the_same(here: dict[str, str]) -> None:
    clutter = [[object() for _ in range(1_000)] for _ in range(50)]
    for seed in range(20, 26):
        run(seed, "100ms")
    del clutter[::2]
    assert digests() == here


@pytest.mark.parametrize("hash_seed", ["0", "1", "987654"])
def test_a_fresh_process_under_any_hash_seed_is_the_same_and_never_imports_zeromq(
    hash_seed: str, here: dict[str, str]
) -> None:
    assert fresh_process(hash_seed) == {"digests": here, "zmq": False}


def test_without_assertions_it_is_the_same(here: dict[str, str]) -> None:
    assert fresh_process("5", "-O")["digests"] == here


def test_another_seed_is_another_execution(here: dict[str, str]) -> None:
    assert len(dict.fromkeys(here.values())) == len(SEEDS)


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
