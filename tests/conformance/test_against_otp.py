"""Our supervisors on a core against OTP's `supervisor`, by stored answers and by a real `erl`: equal traces."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from difflib import unified_diff
from pathlib import Path

import pytest

from tests.conformance.corpus import RUNS, SCRIPTS, answers
from tests.conformance.directed import script
from tests.conformance.judge import comparable, judged
from tests.conformance.on_a_core import on_a_core
from tests.conformance.rules import RULES, table
from tests.conformance.scripts import Script

Campaign = Callable[..., range]


def explained(different: Sequence[tuple[Script, str, Iterable[str]]], of: int) -> str:
    """The first difference, line by line."""
    plan, ours, theirs = different[0]
    diff = unified_diff(min(theirs).split("|"), ours.split("|"), "OTP", "ours", lineterm="", n=99)
    numbers = [plan.number for plan, *_ in different]
    return "\n".join([f"{len(different)} of {of} scripts differ: {numbers[:20]}; the first is", repr(plan), *diff])


def test_our_supervisors_leave_the_traces_that_otp_left(
    campaign: Campaign, record_property: Callable[[str, object], None]
) -> None:
    numbers = campaign("supervisor scripts against the answers of OTP", short=SCRIPTS // 50, long=SCRIPTS)
    counts: Counter[str] = Counter()
    different = []
    judged_so_far = 0
    for number, theirs in zip(numbers, answers(numbers), strict=True):
        plan = script(number)
        ours = comparable(on_a_core(plan, counts))
        judged_so_far += 1
        if ours not in theirs:
            different.append((plan, ours, theirs))
    assert judged_so_far == len(numbers)
    assert not different, explained(different, len(numbers))
    record_property("table", ("rules of supervision exercised by the scripts", table(counts)))
    never = [rule for rule in RULES if not counts[rule]]
    assert never == [], f"no script exercises these rules; all counts:\n{table(counts)}"


@pytest.mark.skipif(shutil.which("erlc") is None, reason="needs Erlang/OTP (Debian: erlang-base) as the judge")
def test_otp_that_is_installed_leaves_the_same_traces(campaign: Campaign, tmp_path: Path) -> None:
    """Also on an OTP other than the one whose answers are stored."""
    numbers = campaign("supervisor scripts through a real erl", short=SCRIPTS // 50, long=SCRIPTS)
    plans = [script(number) for number in numbers]
    ours = {plan.number: comparable(on_a_core(plan, Counter())) for plan in plans}
    traces = judged(plans, tmp_path)
    assert len(traces) == len(plans)
    doubtful = [plan for plan in plans if ours[plan.number] not in traces[plan.number]]
    assert len(doubtful) <= max(4, len(plans) // 20), explained(
        [(plan, ours[plan.number], traces[plan.number]) for plan in doubtful], len(plans)
    )
    again = judged(doubtful * (RUNS - 1), tmp_path) if doubtful else {}
    different = [
        (plan, ours[plan.number], [*traces[plan.number], *again[plan.number]])
        for plan in doubtful
        if ours[plan.number] not in again[plan.number]
    ]
    assert not different, explained(different, len(plans))
