"""The same on ours: the members are isolates under supervisors, and every message crosses codec, checks and links."""

from __future__ import annotations

from typing import Any

from benchmarks.bugbench.raft import application
from benchmarks.bugbench.raft_trial import Client, members
from benchmarks.bugbench.raft_watch import Watch
from benchmarks.simulation import FAULTS
from benchmarks.simulation import app as beats
from benchmarks.simulators.programs import NODES, PACE, RAFT_S, mishaps
from regrove.testing import Simulation


def run_beats(seconds: int, seed: int) -> int:
    """Return the deliveries of the reference workload."""
    with Simulation(beats, nodes=NODES, seed=seed, faults=FAULTS) as sim:
        first = sim.counters()["handled"]
        sim.run(seconds)
        return sim.counters()["handled"] - first


def run_raft(seed: int) -> int:
    """Run one seed; return the requests that were answered."""
    watch = Watch()
    down, some, others = mishaps(seed)
    with Simulation(application(NODES), nodes=NODES, seed=seed) as sim:
        sim.always("a Raft is safe", lambda world: watch.look(members(world)), every="50ms")
        client = Client(sim, sim.history(), 0, PACE)
        client.ask()
        sim.run("2s")
        sim.crash(sim.nodes[down])
        sim.run("500ms")
        sim.restart(sim.nodes[down])
        sim.run("500ms")
        _each(sim, sim.cut, some, others)
        sim.run("1s")
        _each(sim, sim.heal, some, others)
        sim.run(RAFT_S - 4.0)
        return client.script.done


def _each(sim: Simulation, verb: Any, some: list[int], others: list[int]) -> None:
    for one in some:
        for other in others:
            verb(sim.nodes[one], sim.nodes[other])
