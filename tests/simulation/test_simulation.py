"""What a tester does with a simulated cluster."""

from __future__ import annotations

from typing import Any

import pytest

from regrove import Application, Child, Effect, Isolate, Misuse, Name, Sent, Supervisor
from regrove.node.client.errors import CallFailed, CallTimeout, SupervisorRefused
from regrove.node.core.context import Context
from regrove.node.core.effects import RECEIVE, Call, Continue, Crash, Reply, Sleep
from regrove.node.simulation.clock import MILLISECOND, SECOND
from regrove.testing import Livelock, NotSettled, NotThere, PropertyViolated, Simulation
from tests.simulation.apps import Add, Beat, Counter, Total, counting, echoing


def counter_of(sim: Simulation, node: int = 0, core: int = 0) -> Counter:
    found = sim.find("root/counter", node=node, core=core).isolate
    assert isinstance(found, Counter)
    return found


# --- looking and sending ---


def test_a_tree_runs_on_every_core_and_time_is_virtual() -> None:
    with Simulation(counting, nodes=2, cores=3) as sim:
        assert [len(node.cores) for node in sim.nodes] == [3, 3]
        assert len(sim.isolates(Counter)) == 6
        before = sim.now
        sim.run("1h")
        assert sim.now == before + 3600 * SECOND


def test_an_isolate_is_found_by_path_and_place() -> None:
    with Simulation(counting, nodes=2, cores=2) as sim:
        found = sim.find("root/counter", node=1, core=1)
        assert (found.address.node, found.address.core) == ("n1@sim", 1)
        assert (found.incarnation, found.mailbox_length, found.state) == (1, 0, "running")
        assert sim.find("root/counter").address.node == "n0@sim"
        assert sim.find("root").isolate is None
        with pytest.raises(NotThere, match="root/counter"):
            sim.find("root/countre")
        with pytest.raises(Misuse, match="no core 7"):
            sim.find("root/counter", core=7)


def test_a_message_is_sent_at_once_or_over_the_link() -> None:
    with Simulation(counting, nodes=2) as sim:
        target = sim.find("root/counter", node=1)
        assert sim.send(target.address, Add(1)) is Sent.OK
        assert sim.find("root/counter", node=1).mailbox_length == 1
        sim.settle()
        assert counter_of(sim, 1).total == 11
        assert sim.send(target.address, Add(5), source=sim.nodes[0]) is Sent.OK
        assert sim.find("root/counter", node=1).mailbox_length == 0
        sim.settle()
        assert counter_of(sim, 1).total == 16
        assert sim.send("counter", Add(1)) is Sent.OK
        assert sim.send("nobody", Add(1)) is not Sent.OK
        sim.settle()
        assert counter_of(sim, 0).total == 11


def test_the_client_calls_by_name_address_and_pinned_name() -> None:
    with Simulation(counting, nodes=2, cores=2) as sim:
        assert sim.call("counter", Total()) == 10
        sim.send(sim.find("root/counter", node=1, core=1).address, Add(7))
        assert sim.client.call(Name("counter", "n1@sim", 1), Total()) == 17
        assert sim.call(sim.find("root/counter", core=1).address, Total()) == 10
        with pytest.raises(CallFailed):
            sim.call("nobody", Total())
        with pytest.raises(CallFailed, match="gave no answer"):
            sim.call("counter", Add(1))


class Generous(Isolate):
    def handle(self, ctx: Context, message: object) -> Effect:
        return Reply(b"x" * 1_000_000)


def test_an_answer_that_travels_in_pieces_reaches_the_client() -> None:
    app = Application("generous", tree=lambda place: Supervisor("root", [Child("giver", Generous, name="giver")]))
    with Simulation(app) as sim:
        assert sim.call("giver", "please") == b"x" * 1_000_000


def test_a_call_without_an_answer_ends_at_its_deadline() -> None:
    with Simulation(counting) as sim:
        sim.call("counter", Total())
        sim.pause("n0/0")
        before = sim.now
        with pytest.raises(CallTimeout):
            sim.call("counter", Total(), timeout=2)
        assert sim.now == before + 2 * SECOND
        sim.resume("n0/0")
        assert sim.call("counter", Total()) == 10


def test_requests_may_be_kept_under_way() -> None:
    with Simulation(counting, cores=2) as sim:
        asked = [sim.client.begin(Name("counter", core=core), Total()) for core in (0, 1, 0)]
        assert not any(one.done for one in asked)
        sim.settle()
        assert [one.value for one in asked] == [10, 10, 10]


def test_a_supervisor_answers_its_api() -> None:
    with Simulation(counting, cores=2) as sim:
        root = sim.supervisor("root", core=1)
        assert [child.id for child in root.which_children()] == ["counter"]
        address = root.start_child(Child("second", Counter, 3, name="second"))
        assert sim.call(address, Total()) == 3  # type: ignore[arg-type]
        with pytest.raises(SupervisorRefused):
            root.start_child(Child("second", Counter, 3))
        root.terminate_child("second")
        with pytest.raises(NotThere):
            sim.find("root/second")


# --- properties ---


def violate_always() -> None:
    with Simulation(counting) as sim:
        sim.always("small", lambda world: counter_of(world).total < 12, every="10ms")
        sim.send("counter", Add(1))
        sim.run("1s")
        sim.send("counter", Add(1))
        sim.run("1s")


def test_always_is_looked_at_again_and_again() -> None:
    with pytest.raises(PropertyViolated, match="small") as caught:
        violate_always()
    assert caught.value.property == "small"
    assert 1.2 * SECOND < caught.value.time < 1.4 * SECOND
    story = caught.value.__notes__[0]
    assert "seed 0" in story
    assert "handle Add" in story


def violate_at_the_end() -> None:
    with Simulation(counting) as sim:
        sim.always("small", lambda world: counter_of(world).total < 12, every="1h")
        for _ in range(2):
            sim.send("counter", Add(1))
        sim.settle()


def test_always_is_looked_at_once_more_at_the_end() -> None:
    with pytest.raises(PropertyViolated, match="small"):
        violate_at_the_end()


def test_eventually_fails_when_its_time_is_over() -> None:
    with Simulation(counting) as sim:
        sim.eventually("answers", lambda world: world.client.call("counter", Total()) == 10)
        before = sim.now
        with pytest.raises(PropertyViolated, match="never"):
            sim.eventually("never", lambda world: False, within="2s")
        assert sim.now == before + 2 * SECOND


def test_until_fails_when_its_time_is_over_and_takes_absence_for_not_yet() -> None:
    with Simulation(counting) as sim, pytest.raises(PropertyViolated, match="within 1s"):
        sim.until(lambda: sim.find("root/nothing"), within="1s")


def test_an_always_property_may_not_drive_the_world() -> None:
    with Simulation(counting) as sim, pytest.raises(Misuse, match="do not drive"):
        sim.always("drives", lambda world: world.client.call("counter", Total()) == 10)


class Restless(Isolate):
    def start(self, ctx: Context) -> Effect:
        return Continue(Beat())

    def handle(self, ctx: Context, message: Any) -> Effect:
        return Continue(Beat())


def restless_tree(place: Any) -> Supervisor:
    return Supervisor("root", [Child("restless", Restless)])


def test_a_world_that_never_comes_to_rest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regrove.node.simulation.checks.SETTLE_LIMIT", SECOND // 50)
    monkeypatch.setattr("regrove.node.simulation.simulation.SETTLE_LIMIT", SECOND // 50)
    with Simulation(Application("restless", tree=restless_tree)) as sim, pytest.raises(NotSettled, match="ready"):
        sim.settle()


def test_a_storm_of_callbacks_is_reported_as_livelock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regrove.node.simulation.world.LIVELOCK", 100_000)
    with Simulation(Application("restless", tree=restless_tree)) as sim, pytest.raises(Livelock, match="n0/0"):
        sim.run("60s")


def test_virtual_time_passes_in_a_loop_of_continue() -> None:
    with Simulation(Application("restless", tree=restless_tree)) as sim:
        before = sim.world.callbacks
        sim.run("10ms")
        assert 1_000 < sim.world.callbacks - before < 10_000


def test_what_waits_for_a_timer_does_not_keep_a_world_from_settling() -> None:
    with Simulation(Application("sleepy", tree=sleepy_tree)) as sim:
        before = sim.now
        sim.settle()
        assert sim.now - before < 100 * MILLISECOND


class Sleepy(Isolate):
    def start(self, ctx: Context) -> Effect:
        return Continue(Beat())

    def handle(self, ctx: Context, message: Any) -> Effect:
        return Sleep(1000, then=lambda ctx, outcome: RECEIVE)


def sleepy_tree(place: Any) -> Supervisor:
    return Supervisor("root", [Child("sleepy", Sleepy)])


# --- the world outside ---


def test_a_connection_from_outside_is_echoed_and_what_was_synced_survives_a_power_cut() -> None:
    with Simulation(echoing, cores=2) as sim:
        stream = sim.connect(7)
        stream.send(b"hello")
        assert stream.read(5) == b"hello"
        stream.close()
        assert sum(file.content.count(b"hello") for file in sim.nodes[0].disk.files.values()) == 1
        sim.crash("n0")
        assert sum(file.content.count(b"hello") for file in sim.nodes[0].disk.files.values()) == 1


def test_a_core_is_chosen_among_those_that_listen_or_named() -> None:
    with Simulation(echoing, cores=2) as sim:
        for core in (0, 1):
            stream = sim.connect(7, core=core)
            stream.send(b"to core %d" % core)
            stream.read(9)
            stream.close()
            assert b"to core %d" % core in bytes(sim.nodes[0].disk.files[f"core-{core}/log"].content)


def test_a_connect_to_nobody_fails_and_a_dead_core_ends_its_connections() -> None:
    with Simulation(echoing) as sim:
        refused = sim.connect(9999)
        sim.run("1s")
        assert (refused.state, refused.error) == ("failed", "ECONNREFUSED")
        with pytest.raises(ConnectionRefusedError, match=r"nobody listens on 9999; listening: 7$"):
            sim.connect(9999).read_until(b"x")
        for use in (lambda: refused.send(b"x"), refused.received, refused.take):
            with pytest.raises(ConnectionRefusedError, match=r"nobody listens on 9999; listening: 7$"):
                use()
        stream = sim.connect(7)
        sim.until(lambda: stream.state == "open")
        sim.crash("n0/0")
        sim.until(lambda: stream.over)


def test_bytes_that_nobody_was_there_to_take_fail_a_test_that_never_looks() -> None:
    def unheard() -> None:
        with Simulation(echoing) as sim:
            sim.connect(9999).send(b"x")
            sim.run("1s")

    with pytest.raises(ConnectionRefusedError, match="nobody listens on 9999; listening: 7\n"):
        unheard()
    with Simulation(echoing) as sim:
        streams = [sim.connect(9999) for _ in range(4)]
        for stream in streams[:3]:
            stream.send(b"x")
        with pytest.raises(ConnectionRefusedError):
            streams[0].read(1)
        sim.until(lambda: streams[1].over)
        streams[2].on_bytes = lambda stream: None
        sim.run("1s")
        assert streams[2].state == "failed"


def test_a_sync_that_fails_reaches_the_isolate() -> None:
    with Simulation(echoing) as sim:
        sim.nodes[0].disk.failing_sync = True
        stream = sim.connect(7)
        stream.send(b"x")
        sim.until(lambda: stream.over)
        assert stream.received() == b""
        assert any(line.get("reason", "").startswith("OSError: the log is not safe") for line in sim.logs)


# --- use and misuse ---


def test_a_simulation_is_used_inside_its_block_only() -> None:
    sim = Simulation(counting)
    with pytest.raises(Misuse, match="with Simulation"):
        sim.run("1s")
    with sim:
        sim.run("1s")
    with pytest.raises(Misuse, match="is over"):
        sim.run("1s")
    with pytest.raises(Misuse, match="entered once"), sim:
        pass


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"nodes": 0}, "nodes is an int of at least 1"),
        ({"cores": "2"}, "cores is an int of at least 1"),
        ({"seed": 1.5}, "a seed is an int"),
        ({"profile": "kind"}, "faithful, hostile"),
        ({"settings": {"a": 1}}, "settings are texts"),
        ({"faults": "cut"}, r"faults\.cut\(\)"),
        ({"core_restarts": "many"}, "COUNT/PERIOD"),
    ],
)
def test_bad_arguments_are_refused_with_the_mend(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(Misuse, match=text):
        Simulation(counting, **arguments)


def test_what_is_no_application_is_refused() -> None:
    with pytest.raises(Misuse, match="takes an Application"):
        Simulation(counter_of)  # type: ignore[arg-type]


def test_a_tree_that_does_not_start_is_told_with_its_reason() -> None:
    told = "the trees of n0 did not start within 120 virtual seconds: n0@sim/0 core quarantined: .*cannot start"
    with pytest.raises(AssertionError, match=told), Simulation(Application("bad", tree=bad_tree)):
        raise AssertionError("entered")


class Bad(Isolate):
    def start(self, ctx: Context) -> Effect:
        return Crash("cannot start")


def bad_tree(place: Any) -> Supervisor:
    return Supervisor("root", [Child("bad", Bad)])


def test_every_message_crosses_the_codec_and_is_checked_against_its_annotations() -> None:
    with Simulation(counting) as sim, pytest.raises(Misuse, match=r"Add\.amount"):
        sim.send(sim.find("root/counter").address, Add("five"))  # type: ignore[arg-type]


def test_a_worker_that_calls_another_core_gets_its_answer() -> None:
    with Simulation(Application("asking", tree=asking_tree), cores=2) as sim:
        sim.until(lambda: [isolate.answer for isolate in sim.isolates(Asking)] == [None, 10])


class Asking(Isolate):
    def __init__(self, asks: bool) -> None:
        self.asks = asks
        self.answer: Any = None

    def start(self, ctx: Context) -> Effect:
        return Continue(Beat())

    def handle(self, ctx: Context, message: Any) -> Effect:
        return Call(Name("counter", core=0), Total(), then=self.answered) if self.asks else RECEIVE

    def answered(self, ctx: Context, outcome: Any) -> Effect:
        self.answer = outcome.value
        return RECEIVE


def asking_tree(place: Any) -> Supervisor:
    children = [Child("counter", Counter, 10, name="counter"), Child("asking", Asking, place.core == 1)]
    return Supervisor("root", children)
