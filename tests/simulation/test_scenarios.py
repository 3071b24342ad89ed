"""Deaths, restarts and faults by hand in a simulated cluster."""

from __future__ import annotations

from typing import Any

import pytest

from examples import kv
from regrove import Application, Child, Effect, Isolate, Misuse, Name, Reply, Sent, Supervisor
from regrove.node.client.errors import CallFailed
from regrove.node.core.context import Context
from regrove.node.simulation.clock import MILLISECOND, SECOND
from regrove.supervisor.reasons import NoConnection, NoProcess
from regrove.testing import Simulation
from regrove.testing import faults as f
from tests.simulation.apps import Add, Counter, Explode, Total, counting, everything


def counter_of(sim: Simulation, node: int = 0, core: int = 0) -> Counter:
    found = sim.find("root/counter", node=node, core=core).isolate
    assert isinstance(found, Counter)
    return found


# --- levels of recovery ---


def test_a_killed_isolate_is_restarted_and_its_old_address_is_stale() -> None:
    with Simulation(counting, nodes=2) as sim:
        a, b = sim.nodes
        worker = sim.find("root/counter", node=b)
        with sim.hold(a, b) as held:
            assert sim.send(worker.address, Add(1), source=a) is Sent.OK
            sim.kill(worker)
            sim.until(lambda: sim.find("root/counter", node=b).incarnation > worker.incarnation)
        del held
        sim.settle()
        assert len(sim.trace.undelivered(reason="STALE")) == 1
        assert counter_of(sim, 1).total == 10
        with pytest.raises(CallFailed, match="nobody answers"):
            sim.call(worker.address, Total())


def test_what_is_held_can_be_looked_at() -> None:
    with Simulation(counting, nodes=2) as sim:
        target = sim.find("root/counter", node=1).address
        sim.send(target, Add(1), source="n0")
        sim.settle()
        with sim.hold("n0", "n1") as held:
            for amount in (2, 3):
                sim.send(target, Add(amount), source="n0")
            sim.run("10ms")
            assert held.messages == [Add(2), Add(3)]
            assert counter_of(sim, 1).total == 11
        sim.settle()
        assert counter_of(sim, 1).total == 16


def test_a_root_that_gives_up_ends_its_core_and_the_manager_replaces_it() -> None:
    with Simulation(Application("weak", tree=weak_tree), cores=2) as sim:
        place = sim.nodes[0].cores[1]
        for _ in range(2):
            sim.send(sim.find("root/counter", core=1).address, Explode())
            sim.run("10ms")
        sim.until(lambda: place.incarnation == 2 and place.life is not None and place.life.started)
        assert sim.find("root/counter", core=1).incarnation == 1
        assert "gave up" in next(line["reason"] for line in sim.logs if line["event"] == "core replaced")
        assert sim.nodes[0].cores[0].incarnation == 1


def weak_tree(place: Any) -> Supervisor:
    return Supervisor("root", [Child("counter", Counter, name="counter")], intensity=1)


def test_a_core_that_dies_too_often_is_quarantined_and_retried() -> None:
    with Simulation(counting, cores=2, core_restarts="1/30s") as sim:
        core = sim.nodes[0].cores[1]
        for _ in range(2):
            sim.crash(core)
            sim.run("1s")
        state = sim.nodes[0].state
        assert state is not None
        assert state.cores[1].state == "quarantined"
        assert not core.alive
        sim.run("10s")
        assert core.alive
        assert core.incarnation == 3


def test_a_node_with_every_core_quarantined_is_started_again_by_level_three() -> None:
    with Simulation(counting, cores=1, core_restarts="0/30s") as sim:
        sim.crash("n0/0")
        sim.run("500ms")
        assert not sim.nodes[0].alive
        sim.until(lambda: sim.nodes[0].incarnation == 2 and sim.nodes[0].ready)
        sim.eventually("answers", lambda world: world.client.call("counter", Total()) == 10)


def test_names_follow_their_holders_over_a_crash() -> None:
    with Simulation(counting, cores=2) as sim:
        sim.crash("n0/0")
        sim.until(lambda: sim.client.whereis("counter") == Name("counter", "n0@sim", 1), within="10ms")
        sim.until(lambda: sim.find("root/counter", core=0))
        sim.run("10ms")
        assert sim.client.whereis("counter") == Name("counter", "n0@sim", 0)


def test_a_call_to_a_core_that_is_killed_fails_long_before_its_timeout() -> None:
    with Simulation(counting, cores=2) as sim:
        sim.call(Name("counter", core=1), Total())
        with sim.hold("n0/1", "n0/0"):
            asked = sim.client.begin(Name("counter", core=1), Total(), timeout=60)
            sim.run("1us")
            sim.crash("n0/1")
            sim.run("1s")
        assert asked.done
        assert isinstance(asked.reason, NoConnection | NoProcess) or asked.reason is not None


def test_a_node_that_loses_power_is_down_until_it_is_started() -> None:
    with Simulation(counting, nodes=3) as sim:
        sim.crash("n1")
        sim.run("30s")
        assert [node.alive for node in sim.nodes] == [True, False, True]
        sim.restart("n1")
        sim.until(lambda: sim.nodes[1].ready)
        assert sim.nodes[1].incarnation == 2
        sim.eventually("answers", lambda world: world.client.call(Name("counter", "n1@sim"), Total()) == 10)


def test_a_node_that_is_asked_to_stop_leaves_in_order() -> None:
    with Simulation(counting, nodes=2, cores=2) as sim:
        sim.stop("n1")
        sim.until(lambda: not sim.nodes[1].alive)
        assert sim.nodes[1].exit is not None
        assert sim.nodes[1].exit.code == 0
        state = sim.nodes[0].state
        assert state is not None
        sim.until(lambda: [member.state for member in state.members.others()] == ["left"])


# --- faults by hand ---


def test_a_cut_holds_what_is_sent_and_healing_lets_it_go() -> None:
    with Simulation(counting, nodes=2) as sim:
        target = sim.find("root/counter", node=1).address
        sim.send(target, Add(1), source="n0")
        sim.settle()
        sim.cut("n0", "n1", one_way=True)
        sim.send(target, Add(1), source="n0")
        sim.run("500ms")
        assert counter_of(sim, 1).total == 11
        sim.heal("n0", "n1", one_way=True)
        sim.settle()
        assert counter_of(sim, 1).total == 12


def test_a_paused_core_stands_still_and_goes_on() -> None:
    with Simulation(counting) as sim:
        sim.pause("n0/0")
        sim.send(sim.find("root/counter").address, Add(1))
        sim.run("3s")
        assert sim.find("root/counter").mailbox_length == 1
        sim.resume("n0/0")
        sim.settle()
        assert counter_of(sim).total == 11
        with pytest.raises(Misuse, match="is not paused"):
            sim.resume("n0/0")


def test_a_slow_core_takes_as_many_times_as_long() -> None:
    def took(factor: int) -> int:
        with Simulation(counting) as sim:
            sim.slow("n0/0", factor)
            for _ in range(100):
                sim.send(sim.find("root/counter").address, Add(1))
            before = sim.now
            sim.until(lambda: counter_of(sim).total == 110 and not sim.nodes[0].cores[0].life.finish_at)  # type: ignore[union-attr]
            return sim.now - before

    assert took(100) >= 90 * took(1)


def test_a_blocking_handler_holds_its_core() -> None:
    with Simulation(counting) as sim:
        sim.call("counter", Total())
        sim.busy("n0/0", "2s")
        sim.send(sim.find("root/counter").address, Add(1))
        before = sim.now
        sim.call("counter", Total())
        assert sim.now - before >= 2 * SECOND


def test_wall_time_drifts_and_now_does_not() -> None:
    with Simulation(Application("clock", tree=clock_tree)) as sim:
        first = sim.call("clock", Total())
        sim.drift("n0/0", "1h")
        second = sim.call("clock", Total())
        assert 3600 <= second - first < 3601


class WallClock(Isolate):
    def handle(self, ctx: Context, message: Any) -> Effect:
        return Reply(ctx.wall_time() // SECOND)


def clock_tree(place: Any) -> Supervisor:
    return Supervisor("root", [Child("clock", WallClock, name="clock")])


def test_faults_of_a_plan_by_hand_strike_when_it_says() -> None:
    plan = [f.once("crash-core", "n0/1", at="2s"), f.once("pause", "n0/0", at="3s", lasts="1s")]
    with Simulation(counting, cores=2, faults=plan) as sim:
        sim.run("1s")
        assert sim.nodes[0].cores[1].incarnation == 1
        sim.run("1s")
        sim.until(lambda: sim.nodes[0].cores[1].incarnation == 2)
        sim.until(lambda: sim.nodes[0].cores[0].paused)
        sim.until(lambda: not sim.nodes[0].cores[0].paused)
        assert sim.now == 4 * SECOND
        assert [(count.armed, count.fired) for count in sim.plan.counts.values()] == [(1, 1), (1, 1)]


def test_the_calm_keeps_a_majority_whole_and_the_rest_may_stay_broken() -> None:
    with Simulation(counting, nodes=3) as sim:
        for node in sim.nodes:
            sim.inject(f.once("crash-node", node.short, at=0, lasts="10m"))
        sim.run("1s")
        assert not any(node.alive for node in sim.nodes)
        kept = sim.calm(keep="majority")
        assert len(kept) == 2
        sim.until(lambda: all(node.ready for node in kept))
        sim.run("60s")
        assert [node.alive for node in sim.nodes] == [node in kept for node in sim.nodes]


def test_a_swarm_of_faults_and_a_calm_leave_a_world_that_works() -> None:
    faults = f.swarm(f.cut(), f.pause(), f.crash(), f.crash(on="node"), f.loss(), f.slow(), f.delay(), f.disk())
    for seed in range(4):
        with Simulation(counting, nodes=3, cores=2, seed=seed, faults=faults) as sim:
            sim.run("20s")
            sim.calm(keep="all")
            sim.eventually("all answer", all_answer, within="30s")
            sim.settle()


def all_answer(sim: Simulation) -> bool:
    names = [Name("counter", node.name, core.index) for node in sim.nodes for core in node.cores]
    return all(sim.client.call(name, Total(), timeout=1) >= 10 for name in names)


# --- faults that meet each other ---


def test_the_calm_ends_what_cuts_a_kept_node_off_from_another_kept_one() -> None:
    for what, strength in (("swizzle", 0), ("delay", 5_000_000), ("clog", 100)):
        with Simulation(counting, nodes=3, faults=f.once(what, "n0<>*", at="1s", strength=strength)) as sim:
            sim.run("2s")
            sim.calm(keep=sim.nodes[:2])
            network = sim.world.network
            standing = network._cuts if what == "swizzle" else network.limits[what]
            assert sorted(standing) == [("n0@sim", "n2@sim"), ("n2@sim", "n0@sim")]
            sim.calm(keep="all")
            assert not standing


def test_a_cut_between_a_node_and_a_core_of_another_holds_what_goes_there() -> None:
    with Simulation(counting, nodes=2, cores=2) as sim:
        a, b = sim.nodes
        counters = [sim.find("root/counter", node=b, core=core).address for core in (0, 1)]

        def add_one_to_each() -> None:
            for counter in counters:
                assert sim.send(counter, Add(1), source=a.cores[1])

        add_one_to_each()
        sim.settle()
        sim.cut(a, b.cores[0], one_way=True)
        add_one_to_each()
        sim.run("500ms")
        assert [counter_of(sim, 1, core).total for core in (0, 1)] == [11, 12]
        sim.heal(a, b.cores[0], one_way=True)
        sim.settle()
        assert [counter_of(sim, 1, core).total for core in (0, 1)] == [12, 12]


def test_a_link_from_a_place_to_itself_is_refused() -> None:
    with Simulation(counting, nodes=2) as sim, pytest.raises(Misuse, match="got n0 twice"):
        sim.cut("n0", "n0")
    with pytest.raises(Misuse, match="got n0/0 twice"):
        Simulation(counting, nodes=2, faults=f.once("cut", "n0/0>n0/0", at="1s"))


def test_what_a_test_makes_slow_and_what_the_plan_makes_slow_end_each_by_itself() -> None:
    with Simulation(counting, faults=f.once("slow", "n0/0", at="1s", lasts="1s", strength=20)) as sim:
        core = sim.nodes[0].cores[0]
        sim.run("1500ms")
        sim.slow(core, 3)
        assert core.slowness == 60
        sim.run("1s")
        assert core.slowness == 3
        sim.slow(core, 1)
        assert core.slowness == 1


def test_a_clock_is_right_again_after_two_drifts_that_no_clock_could_add_up() -> None:
    slow = [f.once("drift", "n0", at=at, lasts="2s", strength=-800_000) for at in ("1s", "2s")]
    with Simulation(counting, faults=slow) as sim:
        core = sim.nodes[0].cores[0]
        sim.run("2500ms")
        assert core.skew is not None
        assert core.skew.ppm == -900_000
        sim.run("2s")
        assert core.skew.ppm == 0


def test_a_stopped_process_that_is_killed_is_replaced_by_one_that_runs() -> None:
    plan = [f.once("pause", "n0/0", at="1s", lasts="9s"), f.once("crash-core", "n0/0", at="2s")]
    with Simulation(counting, cores=2, faults=plan) as sim:
        core = sim.nodes[0].cores[0]
        sim.run("1500ms")
        assert core.paused
        sim.until(lambda: core.incarnation == 2 and core.life is not None and core.life.started, within="5s")
        sim.pause(core)
        sim.run("10s")  # the fault has ended by now: that was another life's
        assert core.paused
        sim.resume(core)
        assert not core.paused


def test_a_machine_that_stood_still_and_was_reset_goes_on_and_no_process_cannot_be_stopped() -> None:
    plan = [f.once("pause", "n0", at="1s", lasts="60s"), f.once("crash-node", "n0", at="2s", lasts="1s")]
    with Simulation(counting, nodes=2, faults=plan) as sim:
        sim.run("1500ms")
        assert sim.nodes[0].cores[0].paused
        sim.run("1s")
        with pytest.raises(Misuse, match="no process to stop"):
            sim.pause("n0")
        sim.until(lambda: sim.nodes[0].ready, within="5s")
        assert not sim.nodes[0].cores[0].paused


def test_a_node_that_a_test_stops_stays_away_whatever_faults_it_had_before() -> None:
    with Simulation(counting, nodes=2, faults=f.once("crash-node", "n0", at="1s", lasts="1s")) as sim:
        sim.run("1200ms")
        sim.restart("n0")  # the end of the fault finds it up
        sim.run("5s")
        sim.stop("n0")
        sim.run("10s")
        assert not sim.nodes[0].alive


def test_what_queued_in_a_clog_goes_on_when_it_is_cleared() -> None:
    with Simulation(counting, nodes=2, faults=f.once("clog", "n0>n1", at="1s", lasts="1s", strength=100)) as sim:
        counter = sim.find("root/counter", node=1)
        sim.send(counter.address, Add(1), source="n0")
        sim.run("1200ms")
        for _ in range(50):
            sim.send(counter.address, Add(1), source="n0")
            sim.run("1ms")
        sim.until(lambda: sim.now >= 1_990 * MILLISECOND)
        assert counter_of(sim, 1).total < 20
        sim.run("200ms")  # the clog ends meanwhile
        assert counter_of(sim, 1).total == 61


def test_a_clog_that_gives_way_to_a_cut_delivers_everything_once_and_in_order() -> None:
    plan = [
        f.once("clog", "n0>n1", at="1s", lasts="2s", strength=2_000),
        f.once("cut", "n0>n1", at="1300ms", lasts="300ms"),
        f.once("clog", "n0>n1", at="1500ms", lasts="4s", strength=1_000),
    ]
    with Simulation(counting, nodes=2, faults=plan) as sim:
        counter = sim.find("root/counter", node=1)
        sim.run("900ms")
        for _ in range(100):
            sim.send(counter.address, Add(1), source="n0")
            sim.run("10ms")
        sim.settle()
        assert counter_of(sim, 1).total == 110
        assert sim.world.network.lost == 0


def test_a_livelock_is_within_one_step_of_a_test_however_many_steps_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regrove.node.simulation.world.LIVELOCK", 1_000)
    with Simulation(everything, nodes=2) as sim:
        for _ in range(40):
            sim.run("50ms")
        assert sim.world.callbacks > 2_000


def test_a_machine_without_power_closes_no_connection_and_resets_them_when_it_is_back() -> None:
    with Simulation(kv.app, nodes=2) as sim:
        client = sim.connect(6380, node=0)
        client.send(b"SET a 1\r\n")
        assert client.read_until(b"\r\n") == b"+OK\r\n"
        sim.crash("n0")
        client.send(b"GET a\r\n")
        late = sim.connect(6380, node=0)
        sim.run("30s")
        assert (client.state, late.state) == ("open", "connecting")
        sim.restart("n0")
        sim.until(lambda: client.over)
        assert (client.state, client.error) == ("failed", "ECONNRESET")
        sim.until(lambda: late.over or late.state == "open")


def test_a_manager_that_is_killed_leaves_a_kernel_that_closes_its_connections() -> None:
    plan = f.once("crash-manager", "n0", at="2s")
    with Simulation(kv.app, nodes=2, faults=plan) as sim:
        client = sim.connect(6380, node=0)
        sim.run("3s")
        assert client.state == "ended"
