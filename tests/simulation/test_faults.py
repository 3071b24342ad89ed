"""The plan of faults."""

from __future__ import annotations

import pytest

from regrove.node.core.errors import Misuse
from regrove.node.simulation import faults as f
from regrove.node.simulation.clock import SECOND
from regrove.node.simulation.faults import Fault, Kind, Layout, Plan
from regrove.node.simulation.seeds import Draws
from regrove.testing import Simulation
from tests.simulation.apps import counting

ALL = (f.cut(), f.pause(), f.crash(), f.crash(on="node"), f.loss(), f.slow(), f.delay(), f.disk())


def plan_of(faults: f.Faults, seed: int = 0, nodes: int = 3, cores: int = 2, seconds: int = 60) -> Plan:
    plan = f.plan_of(faults, Layout(nodes, cores), Draws(seed))
    for second in range(seconds):
        plan.second(second)
    return plan


def test_a_plan_is_drawn_from_the_seed() -> None:
    assert plan_of(ALL, 1).entries == plan_of(ALL, 1).entries
    assert plan_of(ALL, 1).entries != plan_of(ALL, 2).entries


def test_taking_a_kind_away_moves_no_other_fault() -> None:
    everything = plan_of(ALL)
    without_cuts = plan_of(ALL[1:])
    assert [fault for fault in everything.entries if fault.what != f.CUT] == without_cuts.entries


def test_every_kind_strikes_within_its_bounds() -> None:
    plan = plan_of(ALL, seconds=600)
    for what in plan.counts:
        assert plan.counts[what].armed > 20, what
    for fault in plan.entries:
        assert 0 <= fault.at < 600 * SECOND
        assert fault.where[:2] in ("n0", "n1", "n2")
        if fault.what == f.CUT:
            assert fault.lasts >= SECOND // 10
            first, second = fault.where.replace("<>", ">").split(">")
            assert first != second


def test_with_one_node_links_between_its_cores_are_cut() -> None:
    plan = plan_of(f.cut(one_way=True), nodes=1, cores=3)
    assert plan.entries
    assert all(fault.where[:3] == "n0/" and ">n0/" in fault.where for fault in plan.entries)


def test_with_one_core_nothing_can_be_cut() -> None:
    assert plan_of(f.cut(), nodes=1, cores=1).entries == []


def test_a_swarm_switches_a_random_subset_on_for_each_seed() -> None:
    swarm = f.swarm(*ALL)
    subsets: dict[tuple[str, ...], None] = {}
    for seed in range(60):
        plan = plan_of(swarm, seed, seconds=0)
        assert plan.kinds
        subsets[tuple(kind.what for kind in plan.kinds)] = None
    assert len(subsets) > 30


def test_a_swarm_varies_the_strength() -> None:
    ratios: dict[tuple[int, int], None] = {}
    for seed in range(60):
        for kind in plan_of(f.swarm(f.cut()), seed, seconds=0).kinds:
            assert isinstance(kind, f.Kind)
            ratios[kind.often] = None
    assert len(ratios) == 4


def test_after_the_calm_nothing_is_drawn() -> None:
    plan = plan_of(ALL, seconds=0)
    plan.still()
    assert all(plan.second(second) == [] for second in range(100))
    assert plan.ratio(f.LOSS).numerator == 0


def test_a_plan_by_hand_is_taken_as_it_is() -> None:
    entries = [f.once("cut", "n0>n1", at="2s", lasts="500ms"), f.once("crash-core", "n1/0", at=3)]
    plan = plan_of(entries)
    assert plan.entries == entries
    assert plan.counts["cut"].armed == 1
    assert str(entries[0]) == "2.000000s cut n0>n1 for 0.500000s"


@pytest.mark.parametrize("bad", ["cut", 5, [f.cut(), "pause"], object()])
def test_what_is_no_fault_is_refused_with_the_mend(bad: object) -> None:
    with pytest.raises(Misuse, match=r"faults\.cut\(\)"):
        f.plan_of(bad, Layout(1, 1), Draws(0))  # type: ignore[arg-type]


def test_bad_words_and_ranges_are_refused() -> None:
    with pytest.raises(Misuse, match="the kinds are cut"):
        Fault("cutt", "n0", 0)
    with pytest.raises(Misuse, match="'core' or 'node'"):
        f.pause(on="disk")
    with pytest.raises(Misuse, match="shortest to the longest"):
        f.cut(lasts=("2s", "1s"))
    with pytest.raises(Misuse, match="swarm takes kinds"):
        f.swarm(Fault("cut", "n0>n1", 0))  # type: ignore[arg-type]


def test_kinds_are_values() -> None:
    assert f.cut() == f.cut()
    assert isinstance(f.crash(), Kind)


def test_a_plan_is_text_and_is_read_back_exactly() -> None:
    plan = plan_of((*ALL, f.drift(), f.clock_step(), f.swizzle(often=(1, 2)), f.clog(), f.spike()), seconds=200)
    lines = [str(entry) for entry in plan.explicit(200 * SECOND)]
    assert f.read_plan(["# a comment", "", *lines]) == plan.explicit(200 * SECOND)


@pytest.mark.parametrize("kind", [f.duplicate(), f.reorder(), f.swarm(f.cut(), f.duplicate())])
def test_what_zeromq_cannot_do_is_refused_by_name_in_the_faithful_profile(kind: f.Faults) -> None:
    with pytest.raises(Misuse, match=r"duplicate|reorder"):
        f.plan_of(kind, Layout(2, 1), Draws(0))
    f.plan_of(kind, Layout(2, 1), Draws(0), "hostile")


def test_a_swizzled_cut_takes_nodes_off_and_back_one_by_one() -> None:
    plan = plan_of(f.swizzle(often=(1, 1)), nodes=4, seconds=30)
    assert all(fault.where in ("n0<>*", "n1<>*", "n2<>*", "n3<>*") and fault.lasts > 0 for fault in plan.entries)
    assert len(plan.entries) > 30


@pytest.mark.parametrize(
    "entry", [f.once("cut", "n0", at=1), f.once("pause", "n7", at=1), f.once("slow", "n0/9", at=1, strength=2)]
)
def test_an_entry_that_names_what_the_world_has_not_is_refused_before_it_runs(entry: Fault) -> None:
    with pytest.raises(Misuse, match=r"n0|n7"):
        Simulation(counting, nodes=2, faults=entry)


def test_two_sources_of_one_kind_strike_at_instants_of_their_own() -> None:
    both = plan_of((f.pause(), f.pause(on="node")), seconds=600)
    cores, nodes = ({fault.at for fault in both.entries if ("/" in fault.where) is core} for core in (True, False))
    assert cores
    assert nodes
    assert not cores & nodes
    alone = plan_of(f.pause(), seconds=600).entries
    assert [fault for fault in both.entries if "/" in fault.where] == alone


def test_a_swarm_switches_two_sources_of_one_kind_one_by_one() -> None:
    chosen = [plan_of(f.swarm(f.pause(), f.pause(on="node")), seed, seconds=0).kinds for seed in range(40)]
    assert {len(kinds) for kinds in chosen} == {1, 2}


def test_a_swarm_asks_for_no_more_noise_than_all_there_is() -> None:
    ratios = {plan_of(f.swarm(f.loss(noise=(3, 4))), seed, seconds=0).noise["loss"].ratio for seed in range(40)}
    assert {top / bottom for top, bottom in ratios} == {1 / 4, 1 / 2, 3 / 4, 1.0}


def test_of_noise_that_is_given_twice_the_stronger_stands_in_the_run_and_in_its_replay() -> None:
    for faults in ((f.loss((1, 10)), f.loss((1, 2000))), (f.loss((1, 2000)), f.loss((1, 10)))):
        plan = plan_of(faults, seconds=0)
        assert [str(noise) for noise in plan.explicit(0)] == ["noise loss 1/10", "noise buggify 1/4"]
        assert [noise for noise, *_ in plan.rows] == [plan.noise["loss"]]
