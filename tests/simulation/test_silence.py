"""A cut that stands and a machine that is gone without a word: what the others hear, and when."""

from __future__ import annotations

from typing import Any

import pytest

from regrove import RECEIVE, Application, Child, Context, Down, Effect, Isolate, Name, Place, Sent, Supervisor, message
from regrove.node.core.errors import Misuse
from regrove.supervisor.reasons import CoreDown, NoConnection, Reason
from regrove.testing import Simulation
from regrove.testing import faults as f
from tests.simulation.apps import Add, Counter


@message
class Watch:
    node: str


class Watcher(Isolate):
    """Monitors the counter of another node, and keeps what it hears of its end."""

    def __init__(self) -> None:
        self.heard: list[Reason] = []

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Watch(node):
                ctx.monitor(Name("counter", node))
            case Down():
                self.heard.append(message.reason)
        return RECEIVE


def tree(place: Place) -> Supervisor:
    return Supervisor("root", [Child("counter", Counter, name="counter"), Child("watcher", Watcher)])


app = Application("silence", tree=tree)


def heard(sim: Simulation) -> list[Reason]:
    watcher = sim.find("root/watcher", node=0).isolate
    assert isinstance(watcher, Watcher)
    return watcher.heard


def total(sim: Simulation, node: int = 1) -> int:
    counter = sim.find("root/counter", node=node).isolate
    assert isinstance(counter, Counter)
    return counter.total


def add(sim: Simulation) -> Sent:
    return sim.send(sim.find("root/counter", node=1).address, Add(1), source="n0")


def try_until(sim: Simulation, sent: set[Sent], seconds: int) -> None:
    """Add one each 100 ms until a send says so."""
    for _ in range(seconds * 10):
        if add(sim) in sent:
            return
        sim.run("100ms")
    raise AssertionError(f"no {sent} in {seconds} s")


def watching(**options: Any) -> Simulation:
    return Simulation(app, nodes=2, **options)


def begin(sim: Simulation) -> None:
    sim.send(sim.find("root/watcher", node=0).address, Watch("n1@sim"))
    add(sim)
    sim.run("1s")
    assert total(sim) == 1


def test_what_is_sent_into_a_cut_of_eight_seconds_arrives_after_it_and_nobody_is_missed() -> None:
    with watching() as sim:
        begin(sim)
        sim.cut("n0", "n1")
        sent = add(sim)
        sim.run("8s")
        sim.heal("n0", "n1")
        sim.run("20s")
        assert (sent, total(sim), heard(sim)) == (Sent.OK, 2, [])
        assert sim.counters()["unknown"] == 0


@pytest.mark.parametrize("one_way", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_both_ends_give_up_after_nine_to_twelve_seconds_and_find_each_other_when_it_heals(
    one_way: bool, seed: int
) -> None:
    with watching(seed=seed) as sim:
        begin(sim)
        sim.cut("n0", "n1", one_way=one_way)
        before = sim.now
        assert add(sim) is Sent.OK
        sim.until(lambda: sim.counters()["unknown"] == 1, within="13s")
        assert 9 <= (sim.now - before) / 1e9 <= 12
        sim.until(lambda: heard(sim) != [], within="3s")
        assert heard(sim) == [NoConnection()]
        try_until(sim, {Sent.UNREACHABLE}, 60)  # in between it dials, and a dial that waits takes a few
        sim.heal("n0", "n1", one_way=one_way)
        try_until(sim, {Sent.OK}, 5)
        sim.settle()
        assert sim.counters()["unknown"] == 0  # it is known by now: lost
        assert total(sim) == 2


def test_a_name_of_the_other_side_is_gone_with_the_manager_that_told_it_and_comes_back() -> None:
    with watching() as sim:
        begin(sim)
        state = sim.nodes[0].state
        assert state is not None
        assert len(list(state.names.rows("n1@sim"))) == 1
        sim.cut("n0", "n1")
        sim.until(lambda: not list(state.names.rows("n1@sim")), within="11s")
        assert sim.now > 9_000_000_000
        sim.run("20s")
        sim.heal("n0", "n1")
        sim.until(lambda: bool(list(state.names.rows("n1@sim"))), within="2s")


def test_cores_of_one_machine_never_give_up() -> None:
    with Simulation(app, cores=2) as sim:
        one, other = sim.nodes[0].cores
        counter = sim.find("root/counter", core=1)
        sim.send(counter.address, Add(1), source=one)
        sim.settle()
        sim.cut(one, other)
        sim.send(counter.address, Add(1), source=one)
        sim.run("60s")
        sim.heal(one, other)
        sim.settle()
        assert isinstance(counter.isolate, Counter)
        assert counter.isolate.total == 2


def test_a_cut_between_two_cores_of_two_machines_ends_their_connection_alone() -> None:
    with Simulation(app, nodes=2, cores=2) as sim:
        targets = [sim.find("root/counter", node=1, core=core).address for core in (0, 1)]
        for address in targets:
            sim.send(address, Add(1), source="n0/0")
        sim.settle()
        sim.cut("n0/0", "n1/0")
        for address in targets:
            sim.send(address, Add(1), source="n0/0")
        sim.run("13s")
        assert sim.counters()["unknown"] == 1
        sim.heal("n0/0", "n1/0")
        sim.run("5s")
        found = [sim.find("root/counter", node=1, core=core).isolate for core in (0, 1)]
        assert [counter.total for counter in found if isinstance(counter, Counter)] == [1, 2]


def test_what_is_held_for_a_test_is_held_as_long_as_it_takes() -> None:
    with watching() as sim:
        begin(sim)
        with sim.hold("n0", "n1") as held:
            add(sim)
            sim.run("60s")
            assert held.messages == [Add(1)]
        sim.settle()
        assert (total(sim), heard(sim)) == (2, [])


def test_of_a_machine_that_is_gone_without_a_word_others_hear_after_nine_seconds() -> None:
    with watching() as sim:
        begin(sim)
        counter = sim.find("root/counter", node=1).address
        before = sim.now
        sim.crash("n1", silently=True)
        sim.run("8s")
        assert sim.send(counter, Add(1), source="n0") is Sent.OK  # into the void
        assert heard(sim) == []
        sim.until(lambda: heard(sim) != [], within="7s")
        assert heard(sim) == [NoConnection()]
        assert [str(event).partition("] ")[2] for event in sim.trace][-1] == (
            "n0@sim/0 root/watcher#1 handle Down NoConnection"
        )
        assert 11 <= (sim.now - before) / 1e9 <= 14.1
        assert sim.counters()["unknown"] == 1


def test_of_a_node_that_crashes_they_hear_at_once() -> None:
    with watching() as sim:
        begin(sim)
        before = sim.now
        sim.crash("n1")
        sim.until(lambda: heard(sim) != [], within="3s")
        assert (sim.now - before) / 1e9 < 2.1


def test_a_machine_that_is_back_soon_tells_what_it_has_forgotten() -> None:
    with watching() as sim:
        begin(sim)
        before = sim.now
        sim.crash("n1", silently=True)
        sim.run("2s")
        sim.restart("n1")
        sim.until(lambda: heard(sim) != [], within="2s")
        assert isinstance(heard(sim)[0], CoreDown | NoConnection)
        assert (sim.now - before) / 1e9 < 4
        sim.until(lambda: sim.nodes[1].ready, within="3s")
        try_until(sim, {Sent.OK}, 3)
        sim.settle()
        assert total(sim) == 1


def test_nobody_answers_a_connect_to_a_machine_that_is_gone() -> None:
    with watching() as sim:
        address = sim.find("root/counter", node=1).address
        sim.crash("n1", silently=True)
        assert sim.send(address, Add(1), source="n0") is Sent.OK  # the first dials
        sim.run("500ms")
        assert sim.counters()["lost"] == 0  # not refused: nobody is there to refuse
        sim.run("1s")
        assert sim.counters()["lost"] == 1


def test_the_fault_is_drawn_told_and_over_when_the_machine_is_back() -> None:
    kinds = f.crash(on="machine", often=(1, 1), lasts=("500ms", "2s"))
    with watching(seed=1, faults=kinds) as sim:
        sim.run("10s")
        counts = sim.plan.counts["crash-machine"]
        assert counts.fired == counts.affected >= 3
        sim.calm(keep="all")
        sim.eventually("both are up", lambda world: all(node.ready for node in world.nodes))
        sim.eventually("they speak", lambda world: add(world) is Sent.OK)
        assert [event.kind for event in sim.trace].count("machine-crash") == counts.fired


def test_a_plan_names_it_by_hand() -> None:
    with watching(faults=f.once("crash-machine", "n1", at="2s", lasts="1s")) as sim:
        begin(sim)
        sim.run("1500ms")
        assert not sim.nodes[1].alive
        sim.until(lambda: sim.nodes[1].ready, within="5s")


def test_a_core_does_not_end_silently() -> None:
    with watching() as sim, pytest.raises(Misuse, match="give its node"):
        sim.crash("n1/0", silently=True)


def test_a_machine_that_goes_while_it_is_cut_off_is_missed_once() -> None:
    with watching() as sim:
        begin(sim)
        sim.cut("n0", "n1")
        sim.run("5s")
        sim.crash("n1", silently=True)
        sim.run("20s")
        sim.restart("n1")
        sim.run("20s")
        assert heard(sim) == [NoConnection()]
        sim.heal("n0", "n1")
        try_until(sim, {Sent.OK}, 5)
        sim.settle()
        assert total(sim) == 1


# --- what managers hold each other to be ---


def seen(sim: Simulation, by: int, of: int) -> str:
    state = sim.nodes[by].state
    assert state is not None
    row = state.members.get(f"n{of}@sim")
    return "unknown" if row is None else row.state


def test_managers_that_a_cut_parted_under_a_hold_are_linked_when_the_last_of_both_is_gone() -> None:
    with watching() as sim:
        begin(sim)
        with sim.hold("n0", "n1"):
            sim.cut("n1", "n0", one_way=True)
            sim.run("11s")
            assert (seen(sim, 0, 1), seen(sim, 1, 0)) == ("down", "down")
            sim.heal("n1", "n0", one_way=True)
            sim.run("2s")
        sim.until(lambda: (seen(sim, 0, 1), seen(sim, 1, 0)) == ("up", "up"), within="2s")


def test_a_hold_that_was_once_beside_a_cut_holds_for_ever_when_the_cut_is_healed() -> None:
    with watching() as sim:
        begin(sim)
        sim.cut("n0", "n1")
        sim.run("5s")
        with sim.hold("n0", "n1") as held:
            add(sim)
            sim.heal("n0", "n1")
            sim.run("60s")
            assert held.messages == [Add(1)]
        sim.settle()
        assert (total(sim), heard(sim), seen(sim, 0, 1)) == (2, [], "up")


def test_a_cut_that_begins_under_a_hold_gives_up_after_nine_seconds_of_its_own() -> None:
    with watching() as sim:
        begin(sim)
        with sim.hold("n0", "n1"):
            sim.run("20s")
            sim.cut("n0", "n1")
            sim.run("8s")
            assert seen(sim, 0, 1) == "up"
        sim.until(lambda: seen(sim, 0, 1) == "down", within="3s")


def test_each_of_two_cuts_on_top_of_each_other_has_to_be_healed() -> None:
    with watching() as sim:
        begin(sim)
        sim.cut("n0", "n1")
        sim.cut("n0", "n1")
        sim.run("5s")
        sim.heal("n0", "n1")
        sim.until(lambda: seen(sim, 0, 1) == "down", within="6s")
        sim.heal("n0", "n1")
        sim.until(lambda: seen(sim, 0, 1) == "up", within="2s")


def test_a_node_that_crashes_behind_a_cut_is_missed_after_nine_seconds_not_when_it_heals() -> None:
    with watching() as sim:
        begin(sim)
        sim.cut("n1", "n0", one_way=True)
        add(sim)  # the cut holds what says that it arrived
        sim.run("2s")
        sim.crash("n1")
        sim.run("6s")
        assert (seen(sim, 0, 1), heard(sim)) == ("up", [])
        sim.until(lambda: seen(sim, 0, 1) == "down", within="3s")
        sim.until(lambda: heard(sim) == [NoConnection()], within="5s")


def test_the_life_that_a_node_had_before_a_cut_is_missed_though_a_new_one_has_begun_behind_it() -> None:
    with watching() as sim:
        begin(sim)
        state = sim.nodes[0].state
        assert state is not None
        sim.cut("n0", "n1")
        sim.run("4s")
        sim.restart("n1")
        sim.until(lambda: seen(sim, 0, 1) == "down", within="7s")
        assert not list(state.names.rows("n1@sim"))
        sim.heal("n0", "n1")
        sim.until(lambda: bool(list(state.names.rows("n1@sim"))), within="3s")
        assert sim.nodes[1].state is not None
        assert list(state.names.rows("n1@sim")) == list(sim.nodes[1].state.names.rows("n1@sim"))


@pytest.mark.parametrize("silently", [False, True])
def test_a_node_that_starts_behind_a_cut_that_stands_one_way_is_met_when_it_heals(silently: bool) -> None:
    with watching() as sim:
        begin(sim)
        sim.cut("n0", "n1", one_way=True)
        sim.run("12s")
        sim.crash("n1", silently)
        sim.restart("n1")
        sim.run("5s")
        assert (seen(sim, 0, 1), seen(sim, 1, 0)) == ("down", "unknown")  # no handshake comes through
        sim.heal("n0", "n1", one_way=True)
        sim.until(lambda: (seen(sim, 0, 1), seen(sim, 1, 0)) == ("up", "up"), within="2s")


def test_a_machine_that_is_back_behind_a_cut_tells_what_it_has_forgotten_when_the_cut_heals() -> None:
    with watching() as sim:
        begin(sim)
        sim.cut("n0", "n1")
        add(sim)
        sim.crash("n1", silently=True)
        sim.run("1s")
        sim.restart("n1")
        sim.run("6s")
        assert (sim.counters()["unknown"], heard(sim)) == (0, [])
        sim.heal("n0", "n1")
        sim.until(lambda: heard(sim) != [], within="3s")
        try_until(sim, {Sent.OK}, 3)


def test_what_a_machine_told_before_it_was_gone_does_not_bring_it_back_when_it_is_given_up() -> None:
    with watching() as sim:
        begin(sim)
        sim.cut("n1", "n0", one_way=True)
        sim.crash("n1/0")  # which its manager tells the other, into the cut
        sim.run("1s")
        sim.crash("n1", silently=True)
        sim.run("7s")
        sim.heal("n1", "n0", one_way=True)
        sim.cut("n1", "n0", one_way=True)
        sim.run("5s")
        assert seen(sim, 0, 1) == "down"
        sim.heal("n1", "n0", one_way=True)
        sim.run("10s")
        assert seen(sim, 0, 1) == "down"


def test_what_is_under_way_to_a_node_that_has_left_in_order_is_carried_there_as_ever() -> None:
    with watching() as sim:
        begin(sim)
        sim.cut("n0", "n1", one_way=True)
        add(sim)
        sim.stop("n1")  # which n0 hears, and closes its own end
        sim.until(lambda: not sim.nodes[1].alive, within="2s")
        sim.run("1s")
        assert sim.world.network.lost == 0
        assert sim.world.network.holding() == [("n0@sim/0", "n1@sim/0", 1)]
        sim.heal("n0", "n1", one_way=True)
        sim.settle()
