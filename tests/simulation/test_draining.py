"""A node that drains or stops, as its cluster and outside programs see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from regrove import (
    DONE,
    RECEIVE,
    Accept,
    Accepted,
    Application,
    Child,
    Effect,
    Isolate,
    Listen,
    Listening,
    Name,
    Place,
    Reply,
    Sleep,
    Supervisor,
    Write,
    message,
)
from regrove.node.client.errors import CallFailed
from regrove.node.core.context import Context
from regrove.node.core.outcomes import Slept
from regrove.node.simulation.simulation import Simulation
from regrove.supervisor.reasons import Shutdown
from tests.simulation.apps import Add, Counter, Total

ROUND = 50  # more than one message of a link's batch


@message
class Work:
    pass


class Slow(Isolate):
    """Takes 2 s for each request, and as long to stop."""

    def __init__(self) -> None:
        self.stopping = False

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Work():
                return Sleep(2.0)
            case Slept():
                return DONE if self.stopping else Reply("done")
        return RECEIVE

    def stop(self, ctx: Context, reason: Any) -> Effect:
        self.stopping = True
        return Sleep(2.0)


class Door(Isolate):
    """Listens, and greets who comes."""

    def start(self, ctx: Context) -> Effect:
        return Listen("0.0.0.0", 7)

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Listening(listener):
                self.listener = listener
            case Accepted(stream):
                return Write(stream, b"?")
        return Accept(self.listener)


def tree(place: Place) -> Supervisor:
    children = [Child("counter", Counter, name="counter"), Child("door", Door), Child("slow", Slow, name="slow")]
    return Supervisor("root", children)


APP = Application("two", tree=tree)


def drain(sim: Simulation) -> None:
    sim.nodes[1].drain("asked")
    sim.run("50ms")


def stop(sim: Simulation) -> None:
    """Its tree takes 2 s to stop."""
    sim.stop("n1")
    sim.run("50ms")


both = pytest.mark.parametrize("close", [drain, stop])


def total(sim: Simulation) -> int:
    counter = sim.find("root/counter", node=1).isolate
    assert isinstance(counter, Counter)
    return counter.total


def refused(sim: Simulation) -> int:
    life = sim.nodes[1].cores[0].life
    assert life is not None
    draining = life.core.draining
    return 0 if draining is None else draining.refused


@both
def test_a_call_of_a_program_is_refused_with_a_reason(close: Callable[[Simulation], None]) -> None:
    with Simulation(APP, nodes=2) as sim:
        target = sim.find("root/counter", node=1).address
        assert sim.call(target, Total()) == 0
        close(sim)
        with pytest.raises(CallFailed, match="drains: it takes no new work") as failed:
            sim.call(target, Total())
        assert isinstance(failed.value.reason, Shutdown)


@both
def test_a_batch_of_a_program_to_one_isolate_is_refused_whole(close: Callable[[Simulation], None]) -> None:
    with Simulation(APP, nodes=2) as sim:
        target = sim.find("root/counter", node=1).address
        for _ in range(ROUND):
            sim.client.send(target, Add(1))
        sim.run("50ms")
        assert (total(sim), refused(sim)) == (ROUND, 0)
        close(sim)
        for _ in range(ROUND):
            sim.client.send(target, Add(1))
        sim.run("50ms")
        assert (total(sim), refused(sim)) == (ROUND, ROUND)


@both
def test_names_are_found_no_more_from_other_nodes_and_mail_by_address_goes_on(
    close: Callable[[Simulation], None],
) -> None:
    with Simulation(APP, nodes=2) as sim:
        target, name = sim.find("root/counter", node=1).address, Name("counter", "n1@sim")
        assert sim.send(name, Add(1), source="n0")
        sim.run("50ms")
        close(sim)
        assert not sim.send(name, Add(1), source="n0")
        for _ in range(ROUND):
            assert sim.send(target, Add(1), source="n0")
        sim.run("50ms")
        assert total(sim) == 1 + ROUND


@both
def test_mail_to_a_name_that_was_under_way_is_refused(close: Callable[[Simulation], None]) -> None:
    with Simulation(APP, nodes=2) as sim:
        name = Name("counter", "n1@sim")
        assert sim.send(name, Add(1), source="n0")
        sim.run("50ms")
        with sim.hold("n0", "n1"):
            for _ in range(ROUND):
                assert sim.send(name, Add(1), source="n0")
            close(sim)
        sim.run("50ms")
        assert (total(sim), refused(sim)) == (1, ROUND)


def test_a_request_in_hand_is_waited_for_and_answered() -> None:
    with Simulation(APP, nodes=2) as sim:
        asked = sim.client.begin(sim.find("root/slow", node=1).address, Work())
        sim.run("50ms")
        sim.nodes[1].drain("asked")
        sim.run("1s")
        state = sim.nodes[1].state
        assert state is not None
        assert (state.state, state.cores[0].left) == ("draining", (1, 0, 0))
        sim.until(lambda: state.state == "drained")
        assert asked.value == "done"
        assert sim.nodes[1].alive


def test_a_node_that_leaves_answers_what_it_has_and_ends() -> None:
    with Simulation(APP, nodes=2) as sim:
        asked = sim.client.begin(sim.find("root/slow", node=1).address, Work())
        sim.run("50ms")
        sim.nodes[1].drain("leave", leave=True)
        sim.until(lambda: not sim.nodes[1].alive)
        assert asked.value == "done"
        assert sim.nodes[1].exit is not None
        assert sim.nodes[1].exit.code == 0


@both
def test_connections_are_refused_while_the_trees_still_run(close: Callable[[Simulation], None]) -> None:
    with Simulation(APP, nodes=2) as sim:
        early = sim.connect(7, node=1)
        assert early.read(1) == b"?"
        early.close()
        close(sim)
        late = sim.connect(7, node=1)
        sim.run("50ms")
        assert late.state == "failed"
        assert sim.find("root/door", node=1)


def test_a_manager_that_stands_still_past_its_deadline_goes_on_with_it_and_burns_no_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks: list[str] = []
    with Simulation(APP, nodes=2) as sim:
        later = sim.world.later

        def counted(delay: int, kind: str, *rest: Any) -> None:
            ticks.extend([kind] if kind == "tick" else [])
            assert len(ticks) < 1_000, "it ticks again and again at one instant"
            later(delay, kind, *rest)

        monkeypatch.setattr(sim.world, "later", counted)
        node = sim.nodes[1]
        sim.client.begin(sim.find("root/slow", node=1).address, Work())
        sim.run("10ms")
        node.drain("leave", leave=True)
        assert node.state is not None
        deadline = node.state.deadline()
        assert deadline is not None
        sim.pause(node)
        sim.run((deadline - sim.now) / 1e9 + 5)
        assert node.alive
        sim.resume(node)
        sim.until(lambda: not node.alive, within="30s")
