"""Deadlocks named, quantities conserved, effects at most once."""

from __future__ import annotations

from typing import Any

import pytest

from regrove import (
    RECEIVE,
    Application,
    Await,
    Call,
    CallAll,
    Child,
    Context,
    Effect,
    Isolate,
    Place,
    Push,
    Reply,
    Sleep,
    Supervisor,
    message,
)
from regrove.testing import History, NotConserved, NotOnce, Simulation, at_most_once


@message
class Go:
    wait: str
    to: str


@message
class Ask:
    pass


class Worker(Isolate):
    """Waits as it is told, and answers nothing while it does."""

    mailbox_capacity = 2

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Go("answer then call", to):
                return Reply("done", Call(to, Ask(), timeout=30))
            case Go():
                self.order = message
                return Sleep(0.1, then=self.act)  # so that all have their orders before one asks another
            case Ask():
                return RECEIVE if ctx.caller is None else Reply(1)
            case _:
                return RECEIVE

    def act(self, ctx: Context, _: Any) -> Effect:
        to = self.order.to
        match self.order.wait:
            case "call":
                return Call(to, Ask(), timeout=30)
            case "all":
                return CallAll([Call(name, Ask()) for name in to.split()], timeout=30)
            case "any":
                return Await(*(ctx.begin(Call(name, Ask(), timeout=30)) for name in to.split()), timeout=30)
            case "anything":
                for name in to.split():
                    ctx.begin(Call(name, Ask(), timeout=30))
                return Await(timeout=30)
            case "timer":
                ctx.begin(Call(to, Ask(), timeout=30))
                ctx.send_after(20, Ask())
                return Await(timeout=30)
            case "push":
                return Push(to, Ask(), timeout=30)
            case _:
                return Sleep(10)


def tree(place: Place) -> Supervisor:
    names = ("a", "b") if place.core == 0 else ("c", "d")
    return Supervisor("root", [Child(name, Worker, name=name) for name in names])


APP = Application("waiting", tree=tree)


def circle(sim: Simulation) -> list[str]:
    found = sim.deadlocks()
    return [step.path for step in found[0].circle] if found else []


def start(sim: Simulation, **waits: str) -> None:
    for name, order in waits.items():
        kind, _, to = order.partition(":")
        sim.client.send(name, Go(kind, to))
    sim.run("1s")


def test_a_circle_of_calls_over_two_cores_is_named_with_its_lines() -> None:
    with Simulation(APP, cores=2) as sim:
        start(sim, a="call:c", c="call:b", b="call:a")
        assert circle(sim) == ["root/a", "root/c", "root/b"]
        text = str(sim.deadlocks()[0])
        assert text.startswith("deadlock: n0/0 root/a (call at ")
        assert f"{__file__}:" in text
        assert text.endswith("-> n0/0 root/a")


def test_a_chain_that_ends_in_a_sleep_is_no_deadlock() -> None:
    with Simulation(APP, cores=2) as sim:
        start(sim, b="sleep:", c="call:b", a="call:c")
        assert circle(sim) == []
        assert sim.find("root/a").state == "blocked"


def test_a_deadlock_is_over_when_a_timeout_breaks_it() -> None:
    with Simulation(APP, cores=2) as sim:
        start(sim, a="call:c", c="call:a")
        assert len(circle(sim)) == 2
        sim.run("31s")
        assert circle(sim) == []


def test_who_waits_for_all_is_stuck_by_one_and_who_waits_for_any_is_not() -> None:
    for kind, length in (("all", 2), ("any", 0)):
        with Simulation(APP, cores=2) as sim:
            start(sim, d="sleep:", a=f"{kind}:c d", c="call:a")
            assert len(circle(sim)) == length, kind


def test_who_waits_for_anything_is_stuck_when_all_that_is_owed_is_and_goes_on_by_a_timer() -> None:
    for order, length in (("anything:c", 2), ("anything:c d", 0), ("timer:c", 0)):
        with Simulation(APP, cores=2) as sim:
            start(sim, d="sleep:", a=order, c="call:a")
            assert len(circle(sim)) == length, order


def test_a_circle_of_full_mailboxes_is_a_deadlock_of_capacity() -> None:
    with Simulation(APP, cores=2) as sim:
        start(sim, a="push:c", c="push:a")
        assert circle(sim) == []  # there was room
        for count in (1, 2):  # one in hand, two that fill the mailbox meanwhile
            for name, to in (("a", "c"), ("c", "a")):
                for _ in range(count):
                    sim.client.send(name, Go("push", to))
            sim.run("50ms")
        sim.run("1s")
        assert circle(sim) == ["root/a", "root/c"]
        assert "(capacity at " in str(sim.deadlocks()[0])


def test_who_has_been_answered_is_not_stuck_while_the_answer_travels() -> None:
    with Simulation(APP, cores=2) as sim:
        asked = sim.client.begin("c", Go("answer then call", "a"))
        sim.run("1s")
        assert asked.value == "done"
        assert circle(sim) == []


def test_a_failing_run_names_its_deadlock_in_its_story() -> None:
    def run() -> None:
        with Simulation(APP, cores=2) as sim:
            start(sim, a="call:c", c="call:a")
            raise AssertionError("something else is noticed first")

    with pytest.raises(AssertionError) as caught:
        run()
    assert any("deadlock: n0/0 root/a" in note for note in caught.value.__notes__)


# --- conservation --------------------------------------------------------------------------------------------------


class Purse(Isolate):
    def __init__(self) -> None:
        self.coins = 10

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Go("pay", to):
                self.coins -= 1
                ctx.send(to, Ask())
            case Go("mint"):
                self.coins += 1
            case Ask():
                self.coins += 1
        return RECEIVE


PURSES = Application(
    "purses", tree=lambda place: Supervisor("root", [Child("purse", Purse, name=f"purse-{place.core}")])
)


def total(sim: Simulation) -> int:
    return sum(purse.coins for purse in sim.isolates(Purse))


def test_what_only_moves_is_conserved() -> None:
    with Simulation(PURSES, cores=2) as sim:
        sim.conserved("coins", total)
        sim.client.send("purse-0", Go("pay", "purse-1"))
        sim.settle()
        assert [purse.coins for purse in sim.isolates(Purse)] == [9, 11]


def test_what_comes_out_of_nothing_is_found_when_the_world_is_quiet() -> None:
    with Simulation(PURSES, cores=2) as sim:
        sim.conserved("coins", total)
        sim.client.send("purse-0", Go("mint", ""))
        with pytest.raises(NotConserved, match="it was 20 at first and is 21"):
            sim.settle()
        sim.client.send("purse-0", Go("pay", "nobody"))
        sim.settle()


def test_a_quantity_is_looked_at_again_when_the_run_ends() -> None:
    def run() -> None:
        with Simulation(PURSES) as sim:
            sim.conserved("coins", total)
            sim.client.send("purse-0", Go("mint", ""))
            sim.run("1s")

    with pytest.raises(NotConserved):
        run()


# --- at most once --------------------------------------------------------------------------------------------------


def told(**states: str) -> History:
    history = History(lambda: 0)
    for given, state in states.items():
        operation = history.invoke("p", "transfer", given)
        if state != "open":
            getattr(history, state)(operation)
    return history


def test_effects_that_agree_with_what_was_told_pass() -> None:
    at_most_once(told(a="ok", b="fail", c="info", d="info", e="open"), ["a", "c"])
    at_most_once(told(a="ok"), [], may_be_lost=True)


@pytest.mark.parametrize(
    ("done", "problem"),
    [
        (["a", "a"], "done 2 times: p: transfer 'a'"),
        (["a", "c", "c"], "done 2 times: p: transfer 'c'"),
        (["a", "b"], "done although its client was told that it failed"),
        ([], "acknowledged and not done"),
        (["a", "x"], "never asked for: 'x'"),
    ],
)
def test_effects_that_contradict_it_are_named(done: list[str], problem: str) -> None:
    with pytest.raises(NotOnce, match=problem):
        at_most_once(told(a="ok", b="fail", c="info"), done)
