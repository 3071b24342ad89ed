"""The watchdog of the simulated manager: what stands still is named, and killed and replaced in the end."""

from __future__ import annotations

from regrove.testing import Simulation
from regrove.testing import faults as f
from tests.simulation.apps import Add, Total, counting


def hold(sim: Simulation, span: str) -> None:
    """Have a message hold core 0 for so long."""
    counter = sim.find("root/counter", core=0)
    sim.busy(counter, span)
    sim.send(counter.address, Add(0))


def lines(sim: Simulation, *events: str) -> list[tuple[str, str]]:
    return [(line["event"], line.get("path", "")) for line in sim.logs if line["event"] in events]


def reasons(sim: Simulation) -> list[str]:
    return [line["reason"] for line in sim.logs if line["event"] == "core replaced"]


def test_a_handler_that_holds_its_core_for_a_while_is_named_and_left_alone() -> None:
    with Simulation(counting, cores=2) as sim:
        hold(sim, "2s")
        sim.run("4s")
        told = lines(sim, "slow handler", "core stalls", "core goes on", "core stalled")
        assert told == [("slow handler", "root/counter"), ("core stalls", "root/counter"), ("core goes on", "")]
        assert sim.nodes[0].cores[0].incarnation == 1


def test_a_handler_that_holds_its_core_for_five_seconds_is_killed_with_it_and_the_core_replaced() -> None:
    with Simulation(counting, cores=2) as sim:
        core = sim.nodes[0].cores[0]
        hold(sim, "60s")
        began = sim.now
        sim.until(lambda: core.incarnation == 2 and core.life is not None and core.life.started)
        assert 5.0 <= (sim.now - began) / 1e9 < 6.0
        assert reasons(sim) == ["stalled: no progress for 5.0 s at sim.busy of root/counter"]
        assert sim.call("counter", Total()) == 10


def test_a_core_that_is_held_again_and_again_is_quarantined() -> None:
    with Simulation(counting, cores=2, core_restarts="1/60s") as sim:
        core = sim.nodes[0].cores[0]
        for incarnation in (1, 2):
            sim.until(lambda: core.alive and core.life is not None and core.life.started)
            assert core.incarnation == incarnation
            hold(sim, "60s")
            sim.until(lambda: not core.alive, within="6s")
        sim.run("1s")
        assert not core.alive
        assert lines(sim, "core quarantined") == [("core quarantined", "")]


def test_a_process_that_stays_stopped_for_half_a_minute_is_replaced_and_a_node_that_stood_still_is_not_blamed() -> None:
    plan = [f.once("pause", "n0/0", at="1s", lasts="90s"), f.once("pause", "n1", at="1s", lasts="90s")]
    with Simulation(counting, nodes=2, cores=2, faults=plan) as sim:
        sim.run("29s")
        assert [core.incarnation for node in sim.nodes for core in node.cores] == [1, 1, 1, 1]
        sim.run("70s")
        assert [core.incarnation for node in sim.nodes for core in node.cores] == [2, 1, 1, 1]
        assert reasons(sim) == ["its process was stopped (SIGSTOP) for 30 s"]


def test_stops_of_less_than_half_a_minute_do_not_add_up() -> None:
    with Simulation(counting, cores=2) as sim:
        for _ in range(4):
            sim.pause("n0/0")
            sim.run("20s")
            sim.resume("n0/0")
            sim.run("1s")
        assert reasons(sim) == []


def test_time_in_which_a_busy_core_is_stopped_is_no_stall() -> None:
    with Simulation(counting, cores=2) as sim:
        hold(sim, "4s")
        sim.run("1s")
        sim.pause("n0/0")
        sim.run("10s")
        sim.resume("n0/0")
        sim.run("10s")
        assert sim.nodes[0].cores[0].incarnation == 1
