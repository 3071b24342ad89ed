"""supervision.md 4: the exact sliding window, and giving up before anything starts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrove.supervisor.intensity import Intensity
from regrove.supervisor.reasons import Normal, Shutdown
from regrove.supervisor.requests import RestartChild, StartChild, TerminateChild
from regrove.supervisor.spec import Child, DynamicSupervisor, Supervisor
from regrove.supervisor.strategy import verdict
from tests.supervisor.playbook import BAD_START, BOOM, SECOND, Playbook, Worker


class NaiveWindow:
    """All restarts for ever, counted afresh each time."""

    def __init__(self, limit: int, period_ns: int) -> None:
        self.limit, self.period_ns = limit, period_ns
        self.entries: list[int] = []

    def add(self, now: int) -> bool:
        self.entries.append(now)
        return self.used(now) <= self.limit

    def used(self, now: int) -> int:
        return sum(1 for entry in self.entries if now - entry <= self.period_ns)


@given(st.integers(0, 5), st.integers(1, 50), st.lists(st.integers(0, 30), max_size=60))
def test_the_window_counts_as_its_naive_twin_does(limit: int, period: int, gaps: list[int]) -> None:
    window, twin, now = Intensity(limit, period / SECOND), NaiveWindow(limit, period), 0
    for gap in gaps:
        now += gap
        assert window.used(now) == twin.used(now)
        assert window.left(now) == max(0, limit - twin.used(now))
        assert window.add(now) == twin.add(now)
    assert window.total == len(gaps)


def one(**options: object) -> Supervisor:
    return Supervisor("s", [Child("a", Worker), Child("b", Worker)], **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("intensity", [0, 1, 2, 5])
def test_as_many_restarts_as_the_intensity_are_allowed_and_the_next_is_fatal(intensity: int) -> None:
    book = Playbook(one(intensity=intensity))
    for _ in range(intensity):
        assert book.crash("a") == ["start a"]
    assert book.crash("a") == ["ask b", "finish"]


def test_an_entry_counts_until_it_is_older_than_the_period_to_the_nanosecond() -> None:
    for wait, fatal in ((5 * SECOND, True), (5 * SECOND + 1, False)):
        book = Playbook(one(intensity=1, period=5.0))
        book.crash("a")
        book.now += wait
        book.crash("a")
        assert (book.finished is not None) is fatal


def test_a_group_restart_is_one_event() -> None:
    book = Playbook(one(intensity=1, strategy="one_for_all"))
    book.crash("a")
    assert book.machine.statistics(book.now).budget_used == 1


def test_giving_up_stops_the_survivors_in_reverse_and_carries_the_last_crash() -> None:
    book = Playbook(Supervisor("s", [Child(id, Worker) for id in "abcd"], intensity=0))
    assert book.crash("b") == ["ask d", "ask c", "ask a", "finish"]
    assert book.finished == Shutdown(BOOM)
    assert book.contexts() == [("child_terminated", "b"), ("shutdown", "b")]
    assert book.reports[-1].reason == BOOM


def test_the_cause_does_not_nest_when_one_level_after_another_gives_up() -> None:
    book = Playbook(Supervisor("outer", [Supervisor("inner")], intensity=0))
    book.crash("inner", Shutdown(BOOM))
    assert book.finished == Shutdown(BOOM)


@pytest.mark.parametrize(("restart", "decision"), [("permanent", "restart"), ("transient", "keep")])
def test_a_sub_supervisor_that_gives_up_is_restarted_if_permanent_and_left_if_transient(
    restart: str, decision: str
) -> None:
    assert verdict(restart, Shutdown(BOOM)) == decision  # type: ignore[arg-type]
    book = Playbook(Supervisor("outer", [Supervisor("inner", restart=restart), Child("a", Worker)]))  # type: ignore[arg-type]
    book.crash("inner", Shutdown(BOOM))
    assert book.machine.statistics(book.now).budget_used == (1 if restart == "permanent" else 0)
    assert book.alive == (["inner", "a"] if restart == "permanent" else ["a"])


def test_nothing_but_restarts_and_retries_counts() -> None:
    children = [Child("t", Worker, restart="transient"), Child("x", Worker, restart="temporary"), Child("p", Worker)]
    book = Playbook(Supervisor("s", children, intensity=0), starts={"n": ["fail"], "p": ["up", "fail", "ignore"]})
    book.crash("t", Normal())
    book.crash("x")
    book.call(StartChild(Child("n", Worker)))
    book.call(TerminateChild("p"))
    book.call(RestartChild("p"))
    book.call(RestartChild("p"))
    statistics = book.machine.statistics(book.now)
    assert (statistics.budget_used, statistics.restarts, book.finished) == (0, 0, None)


@pytest.mark.parametrize("intensity", [1, 2, 4])
def test_with_intensity_i_exactly_i_attempts_follow_the_crash(intensity: int) -> None:
    book = Playbook(one(intensity=intensity), starts={"a": ["up", *["fail"] * 9]})
    assert book.crash("a") == ["start a"] * intensity + ["ask b", "finish"]
    assert book.finished == Shutdown(BAD_START)
    assert [context for context, _ in book.contexts()] == [
        "child_terminated",
        *["start_error"] * intensity,
        "shutdown",
    ]


def test_a_dynamic_supervisor_has_one_counter_for_all_its_children() -> None:
    book = Playbook(DynamicSupervisor("d", intensity=1))
    for id in "ab":
        book.call(StartChild(Child(id, Worker)))
    book.crash("a")
    assert book.crash("b") == ["ask a", "finish"]


def test_a_window_never_holds_more_than_one_entry_over_its_limit() -> None:
    window = Intensity(2, 1_000.0)
    for now in range(3):
        window.add(now)
    assert window.used(3) == 3
    assert repr(window) == "<intensity 3/2 in 1000000000000 ns>"
