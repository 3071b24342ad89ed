"""Shrinking, stories and case files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from regrove.node.core.errors import Misuse
from regrove.node.simulation import faults as f
from regrove.node.simulation.cases import Case, cases_in, read_case
from regrove.node.simulation.clock import SECOND
from regrove.node.simulation.failing import Failing, judge, run_once, shrink, signature
from regrove.node.simulation.faults import Fault, Noise
from regrove.node.simulation.seeds import Ratio
from regrove.node.simulation.shrinking import RUNS_MAX, Entries, Failed, Shrinker, Struck
from regrove.testing import PropertyViolated, Simulation
from tests.simulation.apps import Add, Counter, Total, busy, counting

CUTS = tuple(Fault(f.CUT, "n0<>n1", second * SECOND, SECOND // 2) for second in range(16))


def shrinker(
    fails: Callable[[Entries], Struck | None], runs: int = RUNS_MAX, left: Callable[[], float] = lambda: 60.0
) -> Shrinker:
    def failed(plan: Entries, within: int) -> Failed | None:
        return None if (struck := fails(plan)) is None else Failed(struck)

    return Shrinker(failed, left, runs)


def test_two_entries_of_many_that_are_needed_together_are_found() -> None:
    wanted = {CUTS[3], CUTS[12]}
    shrunk = shrinker(lambda plan: () if {_unshortened(entry) for entry in plan} >= wanted else None).shrink(CUTS)
    assert [entry.at for entry in shrunk.plan if isinstance(entry, Fault)] == [3 * SECOND, 12 * SECOND]
    assert shrunk.needed == list(shrunk.plan)
    assert shrunk.runs < 80


def _unshortened(entry: Fault | Noise) -> Fault | Noise:
    assert isinstance(entry, Fault)
    return next(cut for cut in CUTS if cut.at == entry.at)


def test_a_failure_that_needs_no_fault_ends_with_an_empty_plan() -> None:
    assert shrinker(lambda plan: ()).shrink(CUTS).plan == ()


def test_a_plan_that_does_not_fail_is_given_back_and_said_so() -> None:
    shrunk = shrinker(lambda plan: None).shrink(CUTS)
    assert (shrunk.plan, shrunk.reproduced, shrunk.runs) == (CUTS, False, 1)


def test_noise_gives_way_to_the_one_frame_that_mattered() -> None:
    noise = Noise(f.LOSS, Ratio(1, 100))
    struck = tuple(Fault(f.LOSS, f"n0/0>n1/0#{number}", number) for number in range(50))

    def fails(plan: Entries) -> tuple[Fault, ...] | None:
        if noise in plan:
            return struck
        return () if struck[17] in plan else None

    assert shrinker(fails).shrink((*CUTS, noise)).plan == (struck[17],)


def test_all_of_one_kind_or_at_one_place_go_in_one_run() -> None:
    others = tuple(Fault(f.PAUSE, f"n{2 + number % 3}/0", number * SECOND, SECOND) for number in range(20))
    tried: list[Entries] = []

    def fails(plan: Entries) -> tuple[Fault, ...] | None:
        tried.append(plan)
        return () if CUTS[3] in plan else None

    mixed = tuple(sorted((*CUTS, *others), key=lambda fault: fault.at))
    assert shrinker(fails).shrink(mixed).plan[0].what == f.CUT
    assert tried[1] == CUTS, "first without the pauses, the largest group"


def test_one_long_fault_stands_for_many_short_ones_that_are_needed_together() -> None:
    def fails(plan: Entries) -> tuple[Fault, ...] | None:
        cut = [entry for entry in plan if isinstance(entry, Fault) and entry.where in ("n0<>n1", "n0<>*")]
        return () if sum(entry.lasts for entry in cut) >= 7 * SECOND else None

    (left,) = shrinker(fails).shrink(CUTS).plan
    assert isinstance(left, Fault)
    assert (left.what, left.where) == (f.CUT, "n0<>n1")
    assert 7 * SECOND <= left.lasts < 14 * SECOND


def test_cuts_of_one_node_from_all_others_become_a_partition() -> None:
    cuts = tuple(Fault(f.CUT, f"n0<>n{number}", SECOND + number, SECOND) for number in range(1, 5))

    def fails(plan: Entries) -> tuple[Fault, ...] | None:
        parted = [entry for entry in plan if isinstance(entry, Fault) and entry.where == "n0<>*"]
        return () if parted or set(cuts) <= set(plan) else None

    (left,) = shrinker(fails).shrink(cuts).plan
    assert isinstance(left, Fault)
    assert (left.what, left.where) == (f.CUT, "n0<>*")


def test_where_each_entry_moves_the_others_a_drawn_plan_of_few_is_found() -> None:
    """Each cut is needed for the next to meet what it has to meet; but one that lasts as long as three does it all."""

    def fails(plan: Entries) -> tuple[Fault, ...] | None:
        long = [entry for entry in plan if isinstance(entry, Fault) and entry.lasts >= 2 * SECOND and entry.at < SECOND]
        return () if long or set(cuts) <= set(plan) else None

    cuts = tuple(Fault(f.CUT, f"n{number}>n{number + 1}", number * SECOND, SECOND) for number in range(8))
    shrunk = shrinker(fails).shrink(cuts)
    assert len(shrunk.plan) == 1
    assert shrunk.needed == list(shrunk.plan)
    assert shrunk.plan == shrinker(fails).shrink(cuts).plan, "the same draws every time"


def test_what_is_tried_by_chance_leaves_half_of_the_runs_for_marks_and_halvings() -> None:
    """Only all eight cuts together fail, so nothing that is drawn does."""
    eight = CUTS[:8]

    def fails(plan: Entries) -> tuple[Fault, ...] | None:
        times = [entry.at for entry in plan if isinstance(entry, Fault) and entry.lasts <= SECOND // 2]
        return () if times == [cut.at for cut in eight] else None

    shrunk = shrinker(fails, 220).shrink(eight)
    assert [entry.lasts for entry in shrunk.plan if isinstance(entry, Fault)] == [15_000_000] * 8
    assert len(shrunk.needed) == 8


def test_a_coincidence_of_many_faults_is_met_by_a_few_drawn_for_the_beginning_of_a_run() -> None:
    """All sixteen cuts are needed for the last to meet what it has to; but so do two at once, in the first seconds."""
    limits: list[int] = []

    def fails(plan: Entries, within: int) -> Failed | None:
        limits.append(within)
        cuts = [entry for entry in plan if isinstance(entry, Fault)]
        close = [b.at for a, b in pairwise(cuts) if b.at - a.at < SECOND // 10 and {a.where, b.where} == set(places)]
        at = close[0] if close else 16 * SECOND if plan == mixed else 0
        return Failed((), at) if at and (not within or at <= within) else None

    places = ("n0>n1", "n1>n2")
    mixed = tuple(replace(cut, where=places[number % 2]) for number, cut in enumerate(CUTS))
    shrunk = Shrinker(fails, lambda: 60.0).shrink(mixed)
    assert len(shrunk.plan) == 2
    assert shrunk.needed == list(shrunk.plan)
    assert limits[0] == 0
    assert all(0 < limit <= 32 * SECOND for limit in limits[1:]), "twice what the last plan took to fail"
    assert limits[-1] < 16 * SECOND


def test_runs_that_end_early_cost_less() -> None:
    """Nothing but the whole plan fails. Half of all runs are drawn for the beginning of a run."""
    short = [0]

    def fails(plan: Entries, within: int) -> Failed | None:
        short[0] += 0 < within < 16 * SECOND
        return Failed((), 16 * SECOND) if {entry.what for entry in plan} == set(f.KINDS[:8]) else None

    eight = tuple(Fault(what, "n0>n1", number * SECOND) for number, what in enumerate(f.KINDS[:8]))
    shrunk = Shrinker(fails, lambda: 60.0, 200).shrink(eight)
    assert shrunk.plan == eight
    assert short[0] > 200
    assert shrunk.runs > 300


def test_what_a_person_reads_at_a_glance_is_not_tried_any_further() -> None:
    wanted = {CUTS[3], CUTS[7], CUTS[12]}
    shrunk = shrinker(lambda plan: () if {_unshortened(entry) for entry in plan} >= wanted else None).shrink(CUTS)
    assert len(shrunk.plan) == 3
    assert shrunk.runs < 80


def test_what_is_no_longer_needed_once_another_fault_is_shorter_goes_too() -> None:
    long, other = CUTS[3], CUTS[7]

    def fails(plan: Entries) -> tuple[Fault, ...] | None:
        kept = [entry for entry in plan if isinstance(entry, Fault) and entry.at == long.at]
        return () if kept and (len(plan) > 1 or kept[0].lasts < long.lasts) else None

    shrunk = shrinker(fails).shrink((long, other))
    assert [entry.at for entry in shrunk.plan if isinstance(entry, Fault)] == [long.at]
    assert shrunk.needed == list(shrunk.plan)


def test_times_and_strengths_are_halved_while_it_still_fails() -> None:
    slow = Fault(f.SLOW, "n0/0", 0, 8 * SECOND, 40)

    def fails(plan: Entries) -> tuple[Fault, ...] | None:
        strong = [
            entry for entry in plan if isinstance(entry, Fault) and entry.lasts >= SECOND and entry.strength >= 10
        ]
        return () if strong else None

    assert shrinker(fails).shrink((slow,)).plan == (Fault(f.SLOW, "n0/0", 0, SECOND, 10),)


def test_when_the_time_is_up_what_is_there_is_given() -> None:
    left = iter([1.0] * 6 + [0.0] * 1000)
    shrunk = shrinker(lambda plan: () if CUTS[3] in plan else None, left=lambda: next(left)).shrink(CUTS)
    assert not shrunk.finished
    assert CUTS[3] in shrunk.plan


# --- on a world ---


def world(faults: f.Faults, seed: int = 0) -> Simulation:
    return Simulation(counting, nodes=2, seed=seed, faults=faults)


def asks_across(sim: Simulation) -> None:
    """Fails when the link is cut at 2 s."""
    address = sim.find("root/counter", node=1).address
    sim.run("1s")
    for _ in range(20):
        sim.send(address, Add(1), source="n0/0")
        sim.run("100ms")
    sim.always("all has arrived", lambda world: sum(c.total for c in world.isolates(Counter)) == 40)


def test_a_drawn_plan_runs_the_same_by_hand() -> None:
    swarm = (f.cut(often=(1, 1)), f.loss(noise=(1, 100)), f.slow(), f.drift(), f.buggify(),
             f.crash(on="isolate", often=(1, 1)))  # fmt: skip
    drawn, _ = run_once(world, lambda sim: sim.run("5s"), swarm)
    plan = f.read_plan(map(str, drawn.plan.explicit(drawn.now)))
    assert any("counter" in str(entry) for entry in plan), "the isolate that crashed is named"
    again, _ = run_once(world, lambda sim: sim.run("5s"), plan)
    assert again.trace.digest == drawn.trace.digest


def test_the_frames_that_noise_struck_do_the_same_as_entries() -> None:
    def chatting(faults: f.Faults) -> Simulation:
        return Simulation(busy, nodes=2, seed=5, faults=faults)

    drawn, _ = run_once(chatting, lambda sim: sim.run("300ms"), (f.loss(noise=(1, 200), often=(0, 1)), f.buggify()))
    assert drawn.plan.struck
    plan: list[f.Faults] = [*drawn.plan.struck, drawn.plan.noise[f.BUGGIFY]]
    again, _ = run_once(chatting, lambda sim: sim.run("300ms"), plan)
    assert again.trace.digest == drawn.trace.digest


def test_a_failing_seed_ends_as_a_case_and_a_story(tmp_path: Path) -> None:
    plan = (*(f.once("slow", "n0/0", at=n, lasts="100ms", strength=3) for n in range(1, 6)),
            f.once("cut", "n0>n1", at="2s", lasts="20s"), f.once("crash-isolate", "n0/0", at="1.5s"))  # fmt: skip
    with pytest.raises(PropertyViolated) as caught:
        judge(
            world,
            asks_across,
            plan,
            Case("test_x.py::test_y", 0, ()),
            Failing(60, tmp_path),
            lambda path, seed: f"replay {path}",
        )
    story = caught.value.__notes__[-1]
    assert "cut n0>n1 for " in story
    assert "plan: 1 entry (shrunk in " in story
    assert "<- without this it passes" in story
    assert "slow" not in story
    (kept,) = tmp_path.iterdir()
    assert kept.name.startswith("test_x-test_y-")
    assert f"run it again: replay {kept}" in story
    ((_, case),) = cases_in(tmp_path)
    sim, error = run_once(world, asks_across, case.plan)
    assert error is not None
    assert signature(error) == ("PropertyViolated", "all has arrived")
    assert sim.trace.digest == case.digest


def test_a_plan_that_has_not_failed_after_twice_the_time_is_given_up() -> None:
    ran: list[int] = []

    def goes_on(sim: Simulation) -> None:
        try:
            asks_across(sim)
            sim.run("100s")
        finally:
            ran.append(sim.now // SECOND)

    plan = (*(f.once("slow", "n0/0", at=n, lasts="100ms", strength=3) for n in range(1, 4)),
            f.once("cut", "n0>n1", at="2s", lasts="20s"))  # fmt: skip
    _, error = run_once(world, goes_on, plan)
    assert error is not None
    shrunk = shrink(world, goes_on, plan, signature(error), 60, span=3 * SECOND)
    assert [entry.what for entry in shrunk.plan] == [f.CUT]
    assert shrunk.needed == list(shrunk.plan)
    assert ran.count(103) == 1, "what is said to be needed was tried to the end"
    assert all(seconds <= 6 for seconds in ran if seconds != 103)
    assert 6 in ran


def test_an_entry_without_which_it_fails_later_is_not_needed_and_goes_last() -> None:
    def fails_late(sim: Simulation) -> None:
        sim.run("1s")
        if sim.plan.counts.get(f.CUT) is None:
            sim.run("50s")
        raise ValueError("sooner or later")

    shrunk = shrink(world, fails_late, CUTS[:2], ("ValueError", f"{__name__}:fails_late"), 60, span=SECOND)
    assert (shrunk.plan, shrunk.needed) == ((), [])


def test_another_failure_is_no_success_of_the_shrink() -> None:
    def either(sim: Simulation) -> None:
        sim.run("3s")
        if not sim.plan.counts.get(f.CUT):
            raise ValueError("another one")
        assert sim.call("counter", Total()) < 10

    shrunk = shrink(world, either, (CUTS[1], CUTS[2]), ("AssertionError", f"{__name__}:either"), 60)
    assert len(shrunk.plan) == 1


# --- files ---


def test_a_case_is_written_and_read_back_exactly(tmp_path: Path) -> None:
    plan = (
        Fault(f.CUT, "n0>n1", 1_234_567_891, 5),
        Noise(f.SPIKE, Ratio(1, 7), 9),
        Fault(f.CLOCK_STEP, "n0", 5, 0, -77),
    )
    case = Case("tests/test_bank.py::test_money[a b]", 41, plan, "hostile", 3, 2, "always 'x'", "ff")
    assert read_case(case.write(tmp_path)) == case


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 9}', '{"format": 1, "test": "x", "seed": "1"}'])
def test_what_is_no_case_file_is_refused_by_name(text: str, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(Misuse, match=r"bad\.json"):
        read_case(tmp_path / "bad.json")
    with pytest.raises(Misuse, match=r"missing\.json cannot be read"):
        read_case(tmp_path / "missing.json")


@pytest.mark.parametrize(
    "line", ["cut", "2s cut", "2s cut n0>n1 for", "2s cut n0>n1 20s", "x cut n0>n1", "noise loss 1", "noise cut 1/2"]
)
def test_a_line_that_is_no_fault_is_refused_with_the_line_or_the_mend(line: str) -> None:
    with pytest.raises(Misuse):
        f.read_plan([line])
