"""Virtual time."""

from __future__ import annotations

import pytest

from regrove.node.core.errors import Misuse
from regrove.node.simulation.clock import Clock, duration, written


def test_things_happen_in_order_of_time_then_rank_then_request() -> None:
    clock = Clock()
    seen: list[str] = []
    clock.at(20, 5, seen.append, "late")
    clock.at(10, 9, seen.append, "second")
    clock.at(10, 1, seen.append, "first")
    clock.at(20, 5, seen.append, "last")
    clock.run_until(15)
    assert seen == ["first", "second"]
    assert clock.now == 15
    clock.run_until(20)
    assert seen == ["first", "second", "late", "last"]
    assert clock.next_time() is None


def test_nothing_is_done_in_the_past() -> None:
    clock = Clock()
    clock.run_until(100)
    times: list[int] = []
    clock.at(5, 0, lambda _: times.append(clock.now))
    clock.step()
    assert times == [100]


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("60s", 60 * 10**9),
        ("10ms", 10**7),
        ("1.5ms", 1_500_000),
        ("200us", 200_000),
        (2, 2 * 10**9),
        (0.25, 25 * 10**7),
    ],
)
def test_durations_are_read(text: str | float, ns: int) -> None:
    assert duration(text) == ns


@pytest.mark.parametrize("text", ["", "5", "ten seconds", "-1s", -1, True])
def test_a_bad_duration_is_refused_with_the_mend(text: str | float) -> None:
    with pytest.raises(Misuse, match="'60s'"):
        duration(text)


def test_times_are_written_for_people() -> None:
    assert written(12_003_450_000) == "12.003450s"
