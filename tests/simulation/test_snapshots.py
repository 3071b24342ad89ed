"""Snapshots of a world: another plan that is resumed at one ends exactly as it does from the beginning."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

import pytest

from regrove.node.simulation.attempts import run_once, signature
from regrove.node.simulation.clock import MILLISECOND, SECOND
from regrove.node.simulation.failing import shrink
from regrove.node.simulation.faults import Fault, Noise
from regrove.node.simulation.seeds import Ratio
from regrove.node.simulation.shrinking import Entries
from regrove.node.simulation.snapshots import Snapshots, agrees, available
from regrove.testing import Simulation
from regrove.testing import faults as f
from tests.simulation.apps import Add, Counter, busy, counting

pytestmark = pytest.mark.skipif(bool(available()), reason=f"no snapshots here: {available()}")


def world(faults: f.Faults) -> Simulation:
    return Simulation(busy, nodes=2, seed=9, faults=faults)


def a_while(sim: Simulation) -> None:
    sim.run("150ms")
    sim.until(lambda: sim.now >= 500 * MILLISECOND)
    sim.calm(keep="all")
    sim.run("100ms")


def drawn() -> Entries:
    kinds = (f.cut(often=(6, 1), lasts=("5ms", "90ms")), f.loss(noise=(1, 100), often=(4, 1)), f.slow(often=(4, 1)),
             f.pause(often=(4, 1), lasts=("5ms", "50ms")), f.crash(on="isolate", often=(4, 1)), f.pct(),
             f.drift(often=(2, 1)), f.crash(often=(1, 1)))  # fmt: skip
    sim, _ = run_once(world, a_while, kinds)
    return sim.plan.explicit(sim.now)


def variants(plan: Entries, random: Random, count: int) -> Iterator[Entries]:
    """Plans as a shrink tries them: without some entries, and with shorter ones."""
    for _ in range(count):
        first = random.randrange(len(plan))
        yield tuple(entry for number, entry in enumerate(plan) if number <= first or random.random() < 0.5)
        entry = plan[first]
        if isinstance(entry, Fault):
            shorter = replace(entry, lasts=entry.lasts // 2)
            yield (*plan[:first], shorter, *plan[first + 1 :])


@pytest.mark.parametrize("noisy", [True, False])
def test_a_run_from_a_snapshot_ends_as_the_one_from_the_beginning(noisy: bool, campaign: Callable[..., range]) -> None:
    plan = drawn()
    if not noisy:  # single frames instead of the noise that struck them
        sim, _ = run_once(world, a_while, plan)
        plan = tuple(entry for entry in plan if not isinstance(entry, Noise)) + tuple(sim.plan.struck[:40])
    resumed = 0
    with Snapshots(world, a_while, 50 * MILLISECOND) as snapshots:
        assert snapshots.run(plan) is not None
        snapshots.keep(plan)
        for number in campaign("runs from snapshots", short=4, long=200):
            for other in variants(plan, Random(number), 1):
                ended = snapshots.run(other)
                assert ended is not None
                plain, error = run_once(world, a_while, other)
                assert ended.digest == plain.trace.digest
                assert ended.struck == tuple(plain.plan.struck)
                assert ended.failure == (None if error is None else signature(error))
                resumed += ended.resumed > 0
    assert resumed


def late_trouble(sim: Simulation) -> None:
    """Fails when the link is cut at 20 s; what was before does not matter."""
    sim.run("19s")
    address = sim.find("root/counter", node=1).address
    for _ in range(20):
        sim.send(address, Add(1), source="n0/0")
        sim.run("100ms")
    assert sum(counter.total for counter in sim.isolates(Counter)) == 40


def pair(faults: f.Faults) -> Simulation:
    return Simulation(counting, nodes=2, seed=0, faults=faults)


EARLY = tuple(f.once("slow", "n0/0", at=n, lasts="100ms", strength=3) for n in range(1, 9))
CUTS = tuple(f.once("cut", "n0>n1", at=20 + n / 10, lasts="20s") for n in range(4))


def test_a_shrink_by_snapshots_finds_what_one_from_the_beginning_finds_and_says_so() -> None:
    wanted = ("AssertionError", f"{__name__}:late_trouble")
    plain = shrink(pair, late_trouble, EARLY + CUTS, wanted, 600)
    resumed = shrink(pair, late_trouble, EARLY + CUTS, wanted, 600, cost=1.0, span=22 * SECOND)
    assert (resumed.plan, resumed.needed, resumed.runs) == (plain.plan, plain.needed, plain.runs)
    assert plain.how == ""
    count, _, rest = resumed.how.partition(" ")
    assert rest == "of them from a snapshot"
    assert int(count) >= 4


def test_snapshots_that_do_not_agree_with_what_is_kept_are_ended_and_so_are_all_in_the_end() -> None:
    with Snapshots(pair, late_trouble, 2 * SECOND, most=6) as snapshots:
        snapshots.run(CUTS)
        snapshots.keep(CUTS)
        assert len(snapshots.kept) == 6
        assert snapshots.kept == sorted(snapshots.kept)
        snapshots.keep(EARLY)
        assert all(instant < EARLY[0].at for instant in snapshots.kept)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_run_is_given_up_when_its_time_is_over_from_a_snapshot_too() -> None:
    with Snapshots(pair, late_trouble, 2 * SECOND) as snapshots:
        whole = snapshots.run(CUTS)
        assert whole is not None
        assert whole.failure is not None
        snapshots.keep(CUTS)
        again = snapshots.run(CUTS[:1], 21 * SECOND)
        assert again is not None
        assert again.resumed
        assert again.failure is not None
        assert again.failure[0] == "TooLate"
        assert whole.at > again.at > 21 * SECOND


def test_a_process_that_dies_is_told_from_a_run_that_passes() -> None:
    def dies(sim: Simulation) -> None:
        sim.run("1s")
        os._exit(3)

    with Snapshots(pair, dies, SECOND // 10) as snapshots:
        assert snapshots.run(CUTS) is None


def test_plans_agree_up_to_the_first_entry_in_which_they_differ() -> None:
    noise = Noise(f.LOSS, Ratio(1, 9))
    assert agrees(CUTS, CUTS[:2], 20 * SECOND + SECOND // 10)
    assert not agrees(CUTS, CUTS[:2], 20 * SECOND + SECOND // 5)
    assert not agrees((noise, *CUTS), CUTS, 0)
