"""Too much for one isolate, through the link between two cores of a real node (benchmarks/overload.py, shortened)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.overload import MIB, Figures, broken, run

GOOD = Figures(
    sent=10, rejected=5, handled=6, refused=4, lost=0, unknown=0, growth=MIB, bound=2 * MIB,
    by_isolate={"root/slow": 4, "root/quick": 0},
)  # fmt: skip


@pytest.mark.processes
def test_overload_is_bounded_counted_and_named() -> None:
    figures = run(1.5)
    assert broken(figures) == []
    assert figures.rejected > 0, "the link was full now and then: the sender heard so at once"


@pytest.mark.parametrize(
    ("figures", "problem"),
    [
        (replace(GOOD, handled=5), "10 sends were OK, 9 are accounted for"),
        (replace(GOOD, growth=3 * MIB), "memory grew by 3.0 MiB"),
        (replace(GOOD, by_isolate={"root/slow": 0, "root/quick": 4}), "do not name the slow isolate"),
        (replace(GOOD, by_isolate={"root/slow": 3, "root/quick": 0}), "4 refusals on the link"),
    ],
)
def test_each_rule_of_an_overload_can_break(figures: Figures, problem: str) -> None:
    assert broken(GOOD) == []
    assert [text for text in broken(figures) if problem in text]
