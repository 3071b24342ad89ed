"""Restart budgets as text and as arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrove.node.core.errors import Misuse
from regrove.node.process.budget import SECOND, RestartBudget


@pytest.mark.parametrize(
    ("text", "limit", "period"),
    [
        ("3/30s", 3, 30 * SECOND),
        ("0/1s", 0, SECOND),
        ("10/5m", 10, 300 * SECOND),
        ("1/2h", 1, 7200 * SECOND),
        ("2/500ms", 2, SECOND // 2),
    ],
)
def test_a_budget_is_a_count_over_a_period(text: str, limit: int, period: int) -> None:
    assert RestartBudget.parse(text) == RestartBudget(limit, period)


@pytest.mark.parametrize("text", ["", "3", "3/30", "3/0s", "-1/5s", "3/30d", "3 / 30s", "x/30s"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Misuse, match="expected COUNT/PERIOD such as 3/30s"):
        RestartBudget.parse(text)


@given(st.lists(st.integers(0, 100)), st.integers(0, 100))
def test_what_is_older_than_the_period_no_longer_counts(times: list[int], now: int) -> None:
    kept = RestartBudget(1, 30).spent(times, now)
    assert kept == [at for at in times if at >= now - 30]
