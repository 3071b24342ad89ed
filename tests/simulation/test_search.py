"""Strategies of search: what a seed runs under, and that what they find is stored, shrunk and replayed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from regrove import RECEIVE, Application, Child, Effect, Isolate, Misuse, Name, Place, Supervisor, message
from regrove.node.core.context import Context
from regrove.node.simulation.cases import Case, cases_in
from regrove.node.simulation.clock import MILLISECOND, SECOND
from regrove.node.simulation.failing import Failing, judge, run_once
from regrove.node.simulation.plan import LATE, Layout, read_plan
from regrove.node.simulation.priorities import Priorities
from regrove.node.simulation.searching import SHARES, STRATEGIES, faults_under, orders_of, strategy_of
from regrove.node.simulation.seeds import Draws
from regrove.testing import Simulation, first_difference
from regrove.testing import faults as f
from tests.simulation.apps import busy, counting


@message
class Paid:
    number: int


@message
class Shipped:
    number: int


class Buyer(Isolate):
    """Pays, tells the shop, and the shop has it shipped."""

    def start(self, ctx: Context) -> Effect:
        self.number = 0
        ctx.send_every(0.1, Paid(0))
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        self.number += 1
        ctx.send(Name("ledger"), Paid(self.number))
        ctx.send(Name("shop"), Paid(self.number))
        return RECEIVE


class Shop(Isolate):
    def handle(self, ctx: Context, message: Any) -> Effect:
        if isinstance(message, Paid):
            ctx.send_after(0.004, Shipped(message.number))
        else:
            ctx.send(Name("ledger"), message)
        return RECEIVE


class Ledger(Isolate):
    """Believes that it hears of a payment before what was paid for is shipped: nobody promises that."""

    def __init__(self) -> None:
        self.paid = 0
        self.surprised = 0

    def handle(self, ctx: Context, message: Any) -> Effect:
        if isinstance(message, Paid):
            self.paid = message.number
        elif message.number > self.paid:
            self.surprised += 1
        return RECEIVE


ROLES = (Child("buyer", Buyer), Child("shop", Shop, name="shop"), Child("ledger", Ledger, name="ledger"))


def trade_tree(place: Place) -> Supervisor:
    return Supervisor("root", [ROLES[place.core]])


trading = Application("trading", tree=trade_tree)


def trade(faults: f.Faults, seed: int = 0, search: str = "") -> Simulation:
    return Simulation(trading, cores=3, seed=seed, faults=faults, search=search)


def nothing_is_shipped_unpaid(sim: Simulation) -> None:
    sim.run("3s")
    assert not any(ledger.surprised for ledger in sim.isolates(Ledger)), "shipped before it was paid"


def failing(search: str, seeds: range) -> list[int]:
    return [seed for seed in seeds if fails(seed, faults_under(search, seed, None))]


def fails(seed: int, faults: f.Faults) -> bool:
    return run_once(lambda given: trade(given, seed), nothing_is_shipped_unpaid, faults)[1] is not None


def test_an_order_that_chance_does_not_reach_is_reached_by_priorities() -> None:
    assert failing("random", range(10)) == []
    assert failing("pct", range(10)) != []


def test_what_priorities_find_is_a_case_that_is_shrunk_and_fails_again(tmp_path: Path) -> None:
    seed = failing("pct", range(10))[0]
    with pytest.raises(AssertionError, match="shipped before it was paid") as caught:
        judge(
            lambda given: trade(given, seed), nothing_is_shipped_unpaid, faults_under("pct", seed, None),
            Case("test_x.py::test_y", seed, ()), Failing(60, tmp_path), lambda path, seed: "",
        )  # fmt: skip
    assert "<- without this it passes" in caught.value.__notes__[-1]
    ((_, case),) = cases_in(tmp_path)
    assert 1 <= len(case.plan) <= 3
    assert {entry.what for entry in case.plan} <= {f.LATE, f.DELAY}
    sim, error = run_once(lambda given: trade(given, seed), nothing_is_shipped_unpaid, case.plan)
    assert error is not None
    assert sim.trace.digest == case.digest


@pytest.mark.parametrize("seed", range(4))
def test_drawn_priorities_run_the_same_by_hand(seed: int) -> None:
    def world(faults: f.Faults) -> Simulation:
        return Simulation(busy, nodes=2, seed=seed, faults=faults)

    drawn, _ = run_once(world, lambda sim: sim.run("1s"), faults_under("pct", seed, f.cut()))
    plan = read_plan(map(str, drawn.plan.explicit(drawn.now)))
    assert any(entry.what == LATE for entry in plan)
    again, _ = run_once(world, lambda sim: sim.run("1s"), plan)
    assert again.trace.digest == drawn.trace.digest


def test_what_a_test_does_first_comes_behind_the_priorities_that_stand_then_drawn_or_by_hand() -> None:
    def cut_at_once(sim: Simulation) -> None:
        sim.cut("n0", "n1")
        sim.run("200ms")

    def world(faults: f.Faults) -> Simulation:
        return Simulation(busy, nodes=2, seed=1, faults=faults)

    drawn, _ = run_once(world, cut_at_once, f.pct())
    begun = [event.kind for event in drawn.trace if event.kind in ("fault-late", "test-cut")]
    assert begun[0] == "fault-late"
    again, _ = run_once(world, cut_at_once, drawn.plan.explicit(drawn.now))
    assert again.trace.digest == drawn.trace.digest


def test_a_world_that_is_stepped_is_the_world_that_runs() -> None:
    def stepped(sim: Simulation) -> None:
        end = sim.now + 300 * MILLISECOND
        while (time := sim.world.clock.next_time()) is not None and time <= end:
            sim.step()

    def world(faults: f.Faults) -> Simulation:
        return Simulation(busy, nodes=2, cores=2, seed=3, faults=faults)

    run, _ = run_once(world, lambda sim: sim.run("300ms"), f.pct())
    by_steps, _ = run_once(world, stepped, f.pct())
    assert first_difference(run.trace, by_steps.trace) is None


def test_the_cores_and_the_world_outside_share_the_ranks_and_none_waits_beyond_the_window() -> None:
    window = 100 * MILLISECOND
    missing: dict[int, None] = {}
    for seed in range(60):
        drawn = Priorities(changes=0, window=window).opening(0, Layout(2, 2), Draws(seed))
        ranks = {0: "first", **{fault.strength * 5 // window: fault.where for fault in drawn}}
        (outside,) = {0, 1, 2, 3, 4} - set(ranks) or {0}
        assert len(drawn) == (4 if outside == 0 else 3)
        missing[outside] = None
    assert sorted(missing) == [0, 1, 2, 3, 4]


def test_a_core_that_falls_is_below_those_that_fell_before_it() -> None:
    compared = 0
    for seed in range(60):
        drawn = Priorities(changes=4, window=80 * MILLISECOND).opening(0, Layout(3, 1), Draws(seed))
        late = [fault for fault in drawn if fault.what == LATE]
        for falls in (fault for fault in late if fault.at):
            others = [
                each.strength
                for each in late
                if each.where != falls.where and each.at <= falls.at < each.at + each.lasts
            ]
            assert all(strength < falls.strength for strength in others), (seed, falls)
            assert falls.strength <= 80 * MILLISECOND
            compared += sum(each.at > 0 for each in late if each.where != falls.where and each.at < falls.at)
    assert compared > 20


def test_a_change_puts_a_core_or_a_link_behind_all_others() -> None:
    window = 100 * MILLISECOND
    kinds: dict[str, None] = {}
    for seed in range(20):
        with_changes = Priorities(changes=2, window=window).opening(0, Layout(2, 2), Draws(seed))
        fallen = [fault for fault in with_changes if fault.strength == window]
        assert 1 <= len(fallen) <= 3
        kinds.update((fault.what, None) for fault in fallen)
    assert sorted(kinds) == [f.DELAY, f.LATE]


def test_an_epoch_is_drawn_once_and_a_run_that_begins_within_it_meets_the_rest() -> None:
    for seed in range(20):
        draws = Draws(seed)
        seconds = [second for second in range(64) if Priorities().draw(second, Layout(2, 1), draws)]
        assert len({after - before for before, after in pairwise(seconds)}) == 1
        plan = f.plan_of(f.pct(), Layout(2, 1), draws)
        met = plan.second(seconds[1] - 1, seconds[1] * SECOND - SECOND // 2, opening=True)
        assert all(fault.at >= seconds[1] * SECOND - SECOND // 2 for fault in met)
        assert any(fault.at + fault.lasts == seconds[1] * SECOND for fault in met)


def test_a_late_core_hears_frames_and_its_own_timers_later_and_no_other_core_does() -> None:
    late = f.once("late", "n0/1", at="1s", lasts="60s", strength=50 * MILLISECOND)
    with trade(()) as plain, trade((late,)) as held_back:
        for sim in (plain, held_back):
            sim.run("3s")
        assert handled(plain, "buyer", "Paid") == handled(held_back, "buyer", "Paid")
        paid, shipped = (
            [later - sooner for sooner, later in zip(handled(plain, *what), handled(held_back, *what), strict=False)]
            for what in (("shop", "Paid"), ("shop", "Shipped"))
        )
    assert min(paid[-10:]) > 45 * MILLISECOND, "a frame comes later by that"
    assert min(shipped[-10:]) > 45 * MILLISECOND
    assert max(shipped[-10:]) > 95 * MILLISECOND, "the timer it begins once more, but where the core was held already"
    assert paid[0] == shipped[0] == 0, "nothing does before"


def test_a_timer_that_is_due_after_a_core_was_late_is_on_time() -> None:
    late = f.once("late", "n0/0", at="1.04s", lasts="60ms", strength=20 * MILLISECOND)
    with trade(()) as plain, trade((late,)) as held_back:
        for sim in (plain, held_back):
            sim.run("2s")
        pairs = zip(handled(plain, "buyer", "Paid"), handled(held_back, "buyer", "Paid"), strict=True)
        assert [later - sooner for sooner, later in pairs if later != sooner] == [20 * MILLISECOND]


def handled(sim: Simulation, name: str, word: str) -> list[int]:
    return [
        event.time for event in sim.trace
        if (event.path, event.kind, event.text) == (f"root/{name}", "handle", word)
    ]  # fmt: skip


@pytest.mark.parametrize("search", STRATEGIES)
def test_every_strategy_repeats_for_a_seed(search: str) -> None:
    def digest(seed: int) -> str:
        with Simulation(counting, nodes=2, seed=seed, faults=f.swarm(f.cut(), f.slow()), search=search) as sim:
            sim.run("2s")
        return sim.trace.digest

    assert [digest(seed) for seed in range(3)] == [digest(seed) for seed in range(3)]


def test_random_takes_every_kind_and_swarm_a_subset() -> None:
    kinds = (f.cut(), f.slow(), f.pause(), f.crash())
    by_hand = f.once("cut", "n0>n1", at="1s")

    def enabled(search: str, seed: int, given: f.Faults) -> list[str]:
        plan = f.plan_of(faults_under(search, seed, given), Layout(2, 1), Draws(seed))
        assert plan.entries == [by_hand]
        return sorted(kind.what for kind in plan.kinds)

    every = sorted(kind.what for kind in kinds)
    for given in (kinds, f.swarm(*kinds)):
        assert all(enabled("random", seed, (by_hand, given)) == every for seed in range(20))
        subsets = [enabled("swarm", seed, (given, by_hand)) for seed in range(20)]
        assert len({tuple(subset) for subset in subsets}) > 5


def test_a_portfolio_gives_each_strategy_its_share_of_any_seeds_that_follow_each_other() -> None:
    for first in range(20):
        given = [strategy_of("portfolio", first + seed) for seed in range(len(SHARES))]
        assert sorted(map(str, given)) == sorted(SHARES)
    assert sorted(set(SHARES)) == sorted(set(STRATEGIES) - {"portfolio"})


def test_no_strategy_of_a_portfolio_takes_half_of_its_runs() -> None:
    runs = dict.fromkeys(SHARES, 0)
    for seed in range(len(SHARES)):
        bounds = orders_of("portfolio", seed)
        runs[SHARES[seed]] += 1 if bounds is None else bounds.schedules
    assert max(runs.values()) * 2 < sum(runs.values())
    assert min(runs.values()) * 16 > sum(runs.values())


def test_what_is_no_strategy_is_refused() -> None:
    with pytest.raises(Misuse, match="the strategies are random, swarm, pct, exhaustive, portfolio"):
        Simulation(counting, search="lucky")
    with pytest.raises(Misuse, match="changes is an int from 0 to 64"):
        f.pct(changes=-1)
