"""Children on other cores and nodes in a simulated cluster: cuts, crashes, pauses, and a swarm of all of them."""

from __future__ import annotations

from typing import Any

import pytest

from regrove import RECEIVE, Application, Child, Isolate, Reply, Supervisor, message
from regrove.node.simulation.clock import SECOND
from regrove.testing import Simulation, simulate
from regrove.testing import faults as f


@message
class Add:
    amount: int


@message
class Total:
    pass


class Ledger(Isolate):
    """There is to be one of each, wherever its supervisor put it."""

    def __init__(self) -> None:
        self.total = 0

    def handle(self, ctx: Any, message: Any) -> Any:
        match message:
            case Add(amount):
                self.total += amount
                return RECEIVE
            case Total():
                return Reply(self.total)


def tree(place: Any) -> Supervisor:
    if place.node != "n0@sim" or place.core != 0:
        return Supervisor("root", [])
    children = [
        Child("here", Ledger, core=1, name="here"),
        Child("there", Ledger, node="n1@sim", core=1, name="there"),
    ]
    return Supervisor("root", [Supervisor("ledgers", children, intensity=1_000, restart="permanent")], intensity=1_000)


app = Application("elsewhere", tree=tree)
THERE = "guests/n0@sim/0/root/ledgers/there"
HERE = "guests/n0@sim/0/root/ledgers/here"


def rows(sim: Simulation) -> dict[str, Any]:
    """What the supervisor knows of its children, by id; nothing while it does not run."""
    life = sim.nodes[0].cores[0].life
    if life is None or life.dead:
        return {}
    for cell in life.core.cells:
        if cell is not None and cell.path == "root/ledgers" and cell.supervising is not None:
            return {row.id: row for row in cell.supervising.machine.children()}
    return {}


def running(sim: Simulation) -> list[tuple[Any, Any]]:
    """Every guest that lives, on whatever core: (its core, the guest)."""
    found = []
    for node in sim.nodes:
        for core in node.cores:
            if core.life is not None and not core.life.dead:
                found += [(core, guest) for guest in core.life.core.guests if guest.cell is not None]
    return found


def is_fenced(sim: Simulation) -> bool:
    """Where the supervisor takes a child for gone, no earlier life of it runs on a core that is not stopped."""
    known = rows(sim)
    life = sim.nodes[0].cores[0].life
    home = None if life is None else life.core.home
    for core, guest in running(sim):
        row = known.get(guest.spec.id)
        stopped = core.life.core.now + SECOND < sim.now  # it has not had a pass for long: paused
        if row is None or guest.owner.home != home or stopped or guest.cell.flags & 1:
            continue
        if row.state in ("restarting", "stopped"):
            return False
    return True


def is_whole(sim: Simulation) -> bool:
    """Both children run, once, where their supervisor says."""
    addresses = {guest.cell.address for _, guest in running(sim)}
    known = rows(sim)
    return len(running(sim)) == 2 and {row.address for row in known.values() if row.state == "running"} == addresses


def test_children_run_where_their_specs_say_and_are_reached_by_name() -> None:
    with Simulation(app, nodes=2, cores=2) as sim:
        sim.until(lambda: is_whole(sim))
        assert sim.find(THERE, node=1, core=1).address in {row.address for row in rows(sim).values()}
        sim.send(sim.find(HERE, node=0, core=1).address, Add(3))
        sim.settle()
        assert sim.call(sim.find(HERE, node=0, core=1).address, Total()) == 3


def test_the_api_of_their_supervisor_works_on_them_from_a_program() -> None:
    with Simulation(app, nodes=2, cores=2) as sim:
        sim.until(lambda: is_whole(sim))
        ledgers = sim.supervisor("root/ledgers")
        ledgers.terminate_child("there")
        assert [guest.spec.id for _, guest in running(sim)] == ["here"]
        ledgers.restart_child("there")
        added = ledgers.start_child(Child("more", Ledger, node="n1@sim"))
        assert added is not None
        assert (added.node, added.core) == ("n1@sim", 0)
        assert ledgers.get_spec("more").node == "n1@sim"
        assert [info.id for info in ledgers.which_children()] == ["here", "there", "more"]
        assert ledgers.count_children().active == 3
        ledgers.terminate_child(added)
        ledgers.delete_child("more")
        assert is_whole(sim)


def test_the_core_of_a_child_elsewhere_dies_and_it_is_back_with_its_core() -> None:
    with Simulation(app, nodes=2, cores=2) as sim:
        sim.until(lambda: is_whole(sim))
        old = sim.find(HERE, node=0, core=1).address
        sim.crash(sim.nodes[0].cores[1])
        sim.until(lambda: is_whole(sim))
        assert sim.find(HERE, node=0, core=1).address != old
        assert rows(sim)["here"].restarts == 1
        assert rows(sim)["there"].restarts == 0


def test_the_node_of_a_child_elsewhere_dies_and_it_is_back_with_its_node() -> None:
    with Simulation(app, nodes=2, cores=2) as sim:
        sim.until(lambda: is_whole(sim))
        sim.crash(sim.nodes[1])
        sim.run("20s")
        assert rows(sim)["there"].state == "restarting"
        sim.restart(sim.nodes[1])
        sim.until(lambda: is_whole(sim))


def test_the_core_of_their_supervisor_dies_and_takes_them_along() -> None:
    with Simulation(app, nodes=2, cores=2) as sim:
        sim.until(lambda: is_whole(sim))
        old = {guest.cell.address for _, guest in running(sim)}
        sim.crash(sim.nodes[0].cores[0])
        sim.until(lambda: is_whole(sim) and not old & {guest.cell.address for _, guest in running(sim)})


def test_the_node_of_their_supervisor_dies_and_no_orphan_outlives_the_lease() -> None:
    with Simulation(app, nodes=2, cores=2) as sim:
        sim.until(lambda: is_whole(sim))
        sim.crash(sim.nodes[0])
        sim.run("6s")
        assert running(sim) == []


def test_behind_a_cut_the_old_one_ends_before_its_supervisor_takes_it_for_gone() -> None:
    with Simulation(app, nodes=2, cores=2) as sim:
        sim.until(lambda: is_whole(sim))
        sim.always("the old one is fenced", lambda _: is_fenced(sim))
        sim.cut(sim.nodes[0], sim.nodes[1])
        sim.until(lambda: rows(sim)["there"].state == "restarting", within="10s")
        assert [guest.spec.id for _, guest in running(sim)] == ["here"]
        sim.heal(sim.nodes[0], sim.nodes[1])
        sim.until(lambda: is_whole(sim))


def test_a_node_that_stood_still_runs_nothing_of_what_was_lost_meanwhile() -> None:
    with Simulation(app, nodes=2, cores=2) as sim:
        sim.until(lambda: is_whole(sim))
        lost = sim.find(THERE, node=1, core=1)
        sim.pause(sim.nodes[1])
        sim.send(lost.address, Add(5), source=sim.nodes[0])
        sim.run("12s")
        sim.resume(sim.nodes[1])
        sim.until(lambda: is_whole(sim))
        assert lost.isolate.total == 0
        assert sim.find(THERE, node=1, core=1).isolate is not lost.isolate


FAULTS = f.swarm(f.cut(one_way=True), f.pause(), f.crash(), f.loss(), f.slow())


@simulate(app=app, nodes=2, cores=2, seeds=8, faults=FAULTS)
def test_under_every_fault_the_old_one_is_fenced_and_in_the_end_there_is_one_of_each(sim: Simulation) -> None:
    sim.always("the old one is fenced", lambda _: is_fenced(sim))
    sim.run("60s")
    sim.calm(keep="all")
    sim.eventually("one of each", lambda _: is_whole(sim), within="120s")


def kill_again(sim: Simulation) -> None:
    """Kill the supervisor, wherever it stands, every few seconds for a minute."""
    life = sim.nodes[0].cores[0].life
    if life is not None and not life.dead and "root/ledgers" in {cell.path for cell in life.core.cells if cell}:
        sim.kill(sim.find("root/ledgers", node=0, core=0))
    if sim.now < 60 * SECOND:
        sim.after("2700ms", lambda: kill_again(sim))


@simulate(app=app, nodes=2, cores=2, seeds=6, faults=FAULTS)
def test_a_supervisor_killed_again_and_again_leaves_no_orphan(sim: Simulation) -> None:
    kill_again(sim)
    sim.run("62s")
    sim.calm(keep="all")
    sim.eventually("one of each", lambda _: is_whole(sim), within="120s")


@pytest.mark.long
@simulate(app=app, nodes=2, cores=2, seeds=500, faults=FAULTS)
def test_the_same_over_many_seeds(sim: Simulation) -> None:
    sim.always("the old one is fenced", lambda _: is_fenced(sim))
    sim.run("60s")
    sim.calm(keep="all")
    sim.eventually("one of each", lambda _: is_whole(sim), within="120s")
