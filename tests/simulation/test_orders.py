"""Exhaustive search: every order that matters is run, no order twice more than it must, and the report says how far."""

from __future__ import annotations

from math import comb
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from regrove import RECEIVE, Application, Child, Effect, Isolate, Misuse, Name, Place, Supervisor, message
from regrove.node.core.context import Context
from regrove.node.simulation.cases import Case, cases_in
from regrove.node.simulation.failing import Failing, Test, run_once
from regrove.node.simulation.orders import Explored, Explorer, judge_under
from regrove.node.simulation.searching import SHARES, orders_of
from regrove.testing import Simulation, exhaustive, simulate
from regrove.testing import faults as f


@message
class Note:
    sender: int
    number: int


@message
class Tick:
    number: int


class Sender(Isolate):
    """Sends so many notes, each in a frame of its own, to the targets by turns."""

    def __init__(self, number: int, count: int, targets: tuple[str, ...]) -> None:
        self.number = number
        self.count = count
        self.targets = targets

    def start(self, ctx: Context) -> Effect:
        for number in range(self.count):
            ctx.send_after(0.3 + number / 1000, Tick(number))
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        ctx.send(Name(self.targets[message.number % len(self.targets)]), Note(self.number, message.number))
        return RECEIVE


Heard: TypeAlias = tuple[tuple[tuple[int, int], ...], ...]  # what each listener heard, by sender and number


class Listener(Isolate):
    """Knows in which order it heard."""

    def __init__(self) -> None:
        self.heard: tuple[tuple[int, int], ...] = ()

    def handle(self, ctx: Context, message: Any) -> Effect:
        self.heard = (*self.heard, (message.sender, message.number))
        return RECEIVE


class Relay(Isolate):
    """Passes on what it hears, and says which relay it was."""

    def __init__(self, number: int, target: str) -> None:
        self.number = number
        self.target = target

    def handle(self, ctx: Context, message: Any) -> Effect:
        ctx.send(Name(self.target), Note(self.number, message.number))
        return RECEIVE


def application(*cores: list[Child]) -> Application:
    def tree(place: Place) -> Supervisor:
        return Supervisor("root", cores[place.core])

    return Application("orders", tree=tree)


def sender(number: int, count: int, *targets: str) -> Child:
    return Child(f"sender{number}", Sender, number, count, targets)


def listener(name: str) -> Child:
    return Child(name, Listener, name=name)


def explored(app: Application, test: Test, faults: f.Faults = None, **bounds: Any) -> Explored:
    cores = 3

    def world(given: f.Faults) -> Simulation:
        return Simulation(app, cores=cores, seed=1, faults=given)

    explorer = Explorer(world, test, exhaustive(**{"window": "50ms", "schedules": 2_000, **bounds}))
    explorer.explore(faults)
    return explorer.explored


def heard_of(app: Application, **bounds: Any) -> tuple[Explored, dict[Heard, int]]:
    orders: dict[Heard, int] = {}

    def test(sim: Simulation) -> None:
        sim.run("600ms")
        heard = tuple(listener.heard for listener in sim.isolates(Listener))
        orders[heard] = orders.get(heard, 0) + 1

    return explored(app, test, **bounds), orders


@pytest.mark.parametrize("count", [1, 2, 3])
def test_two_senders_are_heard_in_every_order_that_keeps_each_link_in_order(count: int) -> None:
    app = application([listener("ear")], [sender(1, count, "ear")], [sender(2, count, "ear")])
    report, orders = heard_of(app)
    assert report.complete
    assert report.distinct == len(orders) == comb(2 * count, count)
    for (heard,) in list(orders):
        for number in (1, 2):
            assert [each for each in heard if each[0] == number] == [(number, index) for index in range(count)]


def test_what_goes_to_two_isolates_of_one_core_commutes() -> None:
    app = application([listener("left"), listener("right")], [sender(1, 3, "left")], [sender(2, 3, "right")])
    report, orders = heard_of(app)
    assert (report.complete, report.schedules, len(orders)) == (True, 1, 1)


def test_what_goes_to_two_cores_commutes() -> None:
    app = application([listener("left")], [listener("right")], [sender(1, 4, "left", "right")])
    report, orders = heard_of(app)
    assert (report.complete, report.schedules, len(orders)) == (True, 1, 1)


def test_isolates_that_write_to_one_link_are_exchanged_for_those_who_hear_of_it() -> None:
    relays = [Child(f"relay{n}", Relay, n, "ear", name=f"relay{n}") for n in (1, 2)]
    app = application(
        relays, [listener("ear"), sender(1, 2, "relay1")], [sender(2, 2, "relay2")],
    )  # fmt: skip
    report, orders = heard_of(app)
    assert report.complete
    assert len(orders) == comb(4, 2)


def test_an_answer_is_never_put_before_what_it_answers() -> None:
    app = application([listener("ear")], [sender(1, 1, "ear", "relay"), Child("x", Listener)],
                      [Child("relay", Relay, 3, "ear", name="relay")])  # fmt: skip
    report, orders = heard_of(app)
    assert report.complete
    assert len(orders) == 1


class Waiter(Listener):
    """Hears a timer of its own too: as number -1 of sender 0."""

    def start(self, ctx: Context) -> Effect:
        ctx.send_after(0.3, Note(0, -1))
        return RECEIVE


def test_a_timer_comes_before_and_after_a_frame() -> None:
    app = application([Child("ear", Waiter, name="ear")], [sender(1, 3, "ear")], [listener("other")])
    report, orders = heard_of(app)
    assert report.complete
    ears = [heard for heard, _ in orders]
    assert sorted(ear.index((0, -1)) for ear in ears) == [0, 1, 2, 3]
    assert all([each for each in ear if each[0]] == [(1, 0), (1, 1), (1, 2)] for ear in ears)


def test_what_is_further_apart_than_the_window_stays_in_its_order() -> None:
    app = application([listener("ear")], [sender(1, 2, "ear")], [sender(2, 2, "ear")])
    report, orders = heard_of(app, window="1us")
    assert report.complete
    assert len(orders) < comb(4, 2)


def test_a_search_that_ends_before_its_end_says_so() -> None:
    app = application([listener("ear")], [sender(1, 3, "ear")], [sender(2, 3, "ear")])
    report, _ = heard_of(app, schedules=5)
    assert (report.complete, report.schedules) == (False, 5)
    assert str(report).endswith("; incomplete for 1 seeds")


def test_the_same_search_goes_the_same_way() -> None:
    app = application([listener("ear")], [sender(1, 2, "ear")], [sender(2, 2, "ear")])
    assert heard_of(app) == heard_of(app)


def test_a_fault_is_exchanged_with_the_frames_around_it() -> None:
    crash = f.once("crash-isolate", "n0/0:root/ear", at="479ms")
    left: dict[int, None] = {}
    app = application([listener("ear")], [sender(1, 6, "ear")], [listener("other")])

    def test(sim: Simulation) -> None:
        sim.run("700ms")
        left[len(sim.isolates(Listener)[0].heard)] = None

    report = explored(app, test, crash, window="10ms")
    assert report.complete
    assert len(left) >= 4, "how many notes came after the crash"


ORDERLY = application([listener("ear")], [sender(1, 2, "ear")], [sender(2, 2, "ear")])


def never_all_of_the_second_first(sim: Simulation) -> None:
    sim.run("600ms")
    (heard,) = [listener.heard for listener in sim.isolates(Listener)]
    assert heard[:2] != ((2, 0), (2, 1))


def test_the_order_that_fails_is_a_case_that_is_shrunk_and_fails_again(tmp_path: Path) -> None:
    def world(faults: f.Faults) -> Simulation:
        return Simulation(ORDERLY, cores=3, seed=1, faults=faults)

    with pytest.raises(AssertionError) as caught:
        judge_under(
            exhaustive("50ms"), world, never_all_of_the_second_first, None, Case("t.py::test_x", 1, (), cores=3),
            Failing(30, tmp_path), lambda path, seed: "",
        )  # fmt: skip
    assert "spike n0/" in caught.value.__notes__[-1]
    ((_, case),) = cases_in(tmp_path)
    assert 1 <= len(case.plan) <= 2
    sim, error = run_once(world, never_all_of_the_second_first, case.plan)
    assert error is not None
    assert sim.trace.digest == case.digest


@simulate(app=ORDERLY, cores=3, seeds=2, search=exhaustive("50ms"))
def test_under_pytest_each_seed_goes_through_its_orders(sim: Simulation) -> None:
    sim.run("600ms")
    assert len(sim.isolates(Listener)[0].heard) == 4


def test_bounds_that_make_no_sense_are_refused() -> None:
    with pytest.raises(Misuse, match="schedules is an int of at least 1"):
        exhaustive(schedules=0)


def test_a_run_that_is_too_long_to_be_gone_through_is_refused_in_a_sentence() -> None:
    def test(sim: Simulation) -> None:
        sim.run("1s")
        sim.world.trace.__init__(kept=8)  # type: ignore[misc]  # as if all but the last few were forgotten
        sim.world.trace.sequence = 10_000

    with pytest.raises(Misuse, match="too long to go through all its orders"):
        explored(ORDERLY, test)
    bounds = orders_of("portfolio", SHARES.index("exhaustive"))
    assert bounds is not None
    explorer = Explorer(lambda faults: Simulation(ORDERLY, cores=3, seed=1, faults=faults), test, bounds)
    explorer.explore(None)
    assert (explorer.explored.schedules, explorer.explored.complete) == (1, False), "a portfolio runs it once"
