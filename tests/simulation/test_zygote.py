"""The manager's decisions about its zygote, on simulated processes: with it cores come back in milliseconds."""

from __future__ import annotations

from typing import Any

from regrove import RECEIVE, Application, Child, Isolate, Supervisor
from regrove.testing import Simulation

MS = 1_000_000


class Quiet(Isolate):
    def handle(self, ctx: Any, message: Any) -> Any:
        return RECEIVE


APP = Application("zygote", tree=lambda place: Supervisor("root", [Child("x", Quiet)]))


def recovery(sim: Simulation) -> int:
    """Virtual ns from the crash of core 1 until its next life has started."""
    address = sim.find("root/x", core=1).address
    before = sim.now
    sim.crash(sim.nodes[0].cores[1])
    sim.until(lambda: _alive(sim) and sim.find("root/x", core=1).address != address)
    took = sim.now - before
    sim.run("31s")  # out of the window of the restart budget
    return took


def zygote(sim: Simulation) -> str:
    state = sim.nodes[0].state
    assert state is not None
    return state.zygote.state


def _alive(sim: Simulation) -> bool:
    state = sim.nodes[0].state
    return state is not None and state.cores[1].state == "up"


def test_a_core_is_replaced_fast_by_the_zygote_slowly_without_it_and_fast_again_when_it_is_back() -> None:
    with Simulation(APP, nodes=1, cores=2) as sim:
        node = sim.nodes[0]
        sim.run("1s")
        assert recovery(sim) < 110 * MS
        node.kill_zygote("killed by SIGKILL")
        node.kill_zygote("killed by SIGKILL")  # again before it can be back: the second life had no time to live long
        sim.run("25ms")
        assert zygote(sim) in ("lost", "starting")
        assert recovery(sim) >= 120 * MS
        assert zygote(sim) == "up"
        assert recovery(sim) < 110 * MS
