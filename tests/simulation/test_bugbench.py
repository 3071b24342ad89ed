"""Every bug of bugbench is found, its plan shrinks to a few faults, and its fixed twin raises no alarm."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.bugbench.catalogue import Bug, UnknownBug, bugs
from benchmarks.bugbench.hunting import AUDIT, alarms, hunt, parts
from regrove.node.simulation.failing import run_once
from regrove.node.simulation.searching import PORTFOLIO
from regrove.testing import faults

BUGS = bugs()
HUNTED = [bug for bug in BUGS if bug.found_by != (AUDIT,)]
AUDITED = [bug for bug in BUGS if bug.found_by == (AUDIT,)]
SEEDS = 200  # within which the portfolio finds each; most within ten
SEEDS_HEAVY = 4_000  # a bug that takes four leaders in a row; what bounds it is the time
CPU_S = 600.0
PLAN = 5  # faults at most in a shrunk plan


def cases(chosen: list[Bug]) -> list[Any]:
    """Those whose seeds are heavy are for `--long`."""
    return [pytest.param(bug, id=bug.name, marks=pytest.mark.long if bug.heavy else ()) for bug in chosen]


@pytest.mark.parametrize("bug", cases(HUNTED))
def test_the_portfolio_finds_the_bug_and_its_plan_shrinks(bug: Bug) -> None:
    found = hunt(bug, PORTFOLIO, CPU_S, seeds=SEEDS_HEAVY if bug.heavy else SEEDS)
    assert found.found is not None
    assert found.plan is not None
    assert found.reproduced
    assert len(found.plan) <= PLAN


@pytest.mark.parametrize("bug", cases(AUDITED))
def test_two_processes_find_what_one_cannot(bug: Bug) -> None:
    assert hunt(bug, PORTFOLIO, CPU_S, seeds=SEEDS).found is not None
    assert not parts(bug, broken=False, seed=0)


@pytest.mark.parametrize("bug", cases(BUGS))
def test_its_fixed_twin_raises_no_alarm(bug: Bug, campaign: Callable[..., range]) -> None:
    assert alarms(bug, campaign("bugbench twins", short=10, long=10_000)) == []


@pytest.mark.long
def test_plans_are_short_in_the_median() -> None:
    plans = [hunt(bug, PORTFOLIO, CPU_S, first).plan for bug in HUNTED for first in (1_000_000, 2_000_000, 3_000_000)]
    assert statistics.median(len(plan) for plan in plans if plan is not None) <= 3


def test_a_bug_that_there_is_not_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownBug, match=r"there is no bug .gremlin.; there are .*split-brain"):
        bugs(["gremlin"])


def test_the_twin_of_a_seed_in_which_a_message_came_when_a_timer_of_its_link_was_overdue() -> None:
    """It was counted as taken and then taken again, which ended the link: found by a fixed twin under `pct`."""
    (bug,) = bugs(["hash-placement"])
    late = faults.once("late", "n0/1", at="281.7939ms", lasts="172ms", strength=79_999_998)
    sim, error = run_once(lambda given: bug.world(False, 36, given), bug.check, late)
    assert error is None
    assert not sim.trace.undelivered()
