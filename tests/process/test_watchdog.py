"""The watchdog's verdicts: what counts as standing still, and what never does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrove.node.process.budget import SECOND
from regrove.node.process.page import Reading
from regrove.node.process.watchdog import (
    MILLISECOND,
    STALL_KILL,
    Continued,
    CoreWatch,
    Facts,
    Fed,
    Halted,
    HaltedLong,
    Resumed,
    Slow,
    Stalled,
    Stalling,
    Starved,
    Verdict,
)

STEP = 5 * MILLISECOND


@dataclass
class Story:
    """A core under watch: `go` lets time pass in one way and collects what the watchdog says."""

    stall_kill: int | None = STALL_KILL
    now: int = 1_000 * SECOND
    reading: Reading = Reading(1, 0, 0)
    ran: int = 0
    waited: int = 0
    said: list[Verdict] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.watch = CoreWatch(self.now, self.stall_kill)
        self.sample(0, Facts("R", 0, 0))
        self.said.clear()

    def sample(self, late: int, facts: Facts) -> None:
        verdicts, judge = self.watch.look(self.now, late, self.reading)
        self.said += verdicts
        if judge:
            self.said += self.watch.judge(self.now, facts)

    def go(
        self,
        span: int,
        state: str = "R",
        ran: float = 0.0,
        waited: float = 0.0,
        traced: bool = False,
        step: int = STEP,
        moves: bool = False,
    ) -> Story:
        """Look every `step` for `span` ns; `ran` and `waited` are shares of the time."""
        late = max(step - STEP, 0)
        for _ in range(span // step):
            self.now += step
            self.ran += int(step * ran)
            self.waited += int(step * waited)
            if moves:
                self.reading = Reading(self.reading.pass_at, self.reading.turn + 8, 0)
            self.sample(late, Facts(state, self.ran, self.waited, traced))
        return self

    @property
    def kinds(self) -> list[str]:
        return [type(verdict).__name__ for verdict in self.said]


def loops(story: Story, span: int) -> Story:
    return story.go(span, ran=1.0)


def test_a_handler_that_runs_for_50_ms_is_slow_and_is_told_of_once() -> None:
    story = loops(Story(), 45 * MILLISECOND)
    assert story.said == []
    loops(story, 500 * MILLISECOND)
    assert story.kinds == ["Slow"]


def test_a_handler_that_loops_for_ever_is_slow_then_stalling_then_stalled() -> None:
    story = loops(Story(), 20 * SECOND)
    assert story.kinds == ["Slow", "Stalling", "Stalled"]
    assert [round(verdict.held / SECOND, 2) for verdict in story.said if isinstance(verdict, Slow)] == [0.05]


def test_a_handler_that_sits_in_one_system_call_is_stalled() -> None:
    assert Story().go(6 * SECOND, state="S").kinds == ["Slow", "Stalling", "Stalled"]


def test_a_core_that_rests_is_nothing_however_long() -> None:
    story = Story(reading=Reading())
    assert story.go(100 * SECOND, state="S", step=25 * MILLISECOND).said == []


def test_a_core_whose_words_change_is_nothing_however_busy() -> None:
    assert Story().go(60 * SECOND, ran=1.0, moves=True).said == []


def test_a_core_that_goes_on_is_left_alone() -> None:
    story = loops(Story(), 4 * SECOND).go(STEP, ran=1.0, moves=True)
    assert story.kinds == ["Slow", "Stalling", "Resumed"]
    assert isinstance(story.said[-1], Resumed)
    assert loops(story, 4 * SECOND).kinds[3:] == ["Slow", "Stalling"]


def test_a_core_that_gets_no_cpu_is_starved_and_never_stalled() -> None:
    story = Story().go(60 * SECOND, ran=0.04, waited=0.96)
    assert "Starved" in story.kinds
    assert not any(isinstance(verdict, Stalled) for verdict in story.said)


def test_waiting_that_the_kernel_has_not_booked_yet_counts_as_waiting() -> None:
    """Runnable, and neither running nor waiting grows until it gets a CPU again."""
    assert Story().go(20 * SECOND, state="R").said == []


def test_a_starved_core_that_loops_is_stalled_once_it_has_used_the_whole_limit() -> None:
    story = Story().go(49 * SECOND, ran=0.1, waited=0.9)
    assert not any(isinstance(verdict, Stalled) for verdict in story.said)
    assert any(isinstance(verdict, Stalled) for verdict in story.go(3 * SECOND, ran=0.1, waited=0.9).said)


def test_hunger_is_told_of_once_and_so_is_its_end() -> None:
    story = Story().go(5 * SECOND, ran=0.2, waited=0.8, moves=True).go(5 * SECOND, ran=1.0, moves=True)
    assert story.kinds == ["Starved", "Fed"]
    assert isinstance(story.said[0], Starved)
    assert isinstance(story.said[1], Fed)
    assert 0.7 < story.said[0].share < 0.9


def test_a_look_that_came_late_counts_nothing() -> None:
    """The manager was stopped for 10 s, and then 1 s at a time: it knows nothing of what the core did meanwhile."""
    story = Story().go(10 * SECOND, state="R", ran=1.0, step=10 * SECOND)
    assert story.said == []
    assert story.go(20 * SECOND, state="S", step=SECOND).said == []


def test_a_stall_goes_on_counting_after_a_late_look() -> None:
    story = loops(Story(), 2 * SECOND).go(10 * SECOND, ran=1.0, step=10 * SECOND)
    assert story.kinds == ["Slow", "Stalling"]
    assert loops(story, 2900 * MILLISECOND).kinds == ["Slow", "Stalling"]
    assert loops(story, 200 * MILLISECOND).kinds == ["Slow", "Stalling", "Stalled"]


@pytest.mark.parametrize("state", ["t", "R", "S"])
def test_a_core_under_a_debugger_is_never_slow_stalled_or_killed(state: str) -> None:
    story = Story().go(300 * SECOND, state=state, ran=1.0 if state == "R" else 0.0, traced=True)
    assert set(story.kinds) <= {"Halted"}


def test_in_debug_nothing_is_stalled_but_the_slow_are_named() -> None:
    assert loops(Story(stall_kill=None), 60 * SECOND).kinds == ["Slow", "Stalling"]
    assert Story(stall_kill=None).go(60 * SECOND, state="T").kinds == ["Halted"]


def test_a_stopped_process_is_told_of_and_given_up_after_30_s() -> None:
    story = Story().go(29 * SECOND, state="T")
    assert story.said == [Halted(False)]
    story.go(2 * SECOND, state="T")
    assert [type(verdict) for verdict in story.said] == [Halted, HaltedLong]


def test_a_stopped_process_is_noticed_while_its_core_rests() -> None:
    story = Story(reading=Reading()).go(2 * SECOND, state="T")
    assert story.said == [Halted(False)]


def test_a_process_that_is_continued_counts_from_where_it_stood() -> None:
    story = loops(Story(), 2 * SECOND).go(20 * SECOND, state="T")
    loops(story, 2900 * MILLISECOND)
    assert story.kinds == ["Slow", "Stalling", "Halted", "Continued"]
    assert isinstance(story.said[-1], Continued)
    assert loops(story, 200 * MILLISECOND).kinds[-1] == "Stalled"


def test_a_pass_that_began_between_two_looks_counts_from_its_beginning() -> None:
    """At rest looks are 25 ms apart; a handler of 55 ms that begins right after one is still named."""
    story = Story(reading=Reading())
    story.now += 25 * MILLISECOND
    story.reading = Reading(story.now - 24 * MILLISECOND, 0, 0)
    story.sample(0, Facts("R", 0, 0))
    assert loops(story, 30 * MILLISECOND).kinds == ["Slow"]


@given(st.lists(st.tuples(st.sampled_from("RSDTt"), st.integers(1, 400), st.floats(0, 1), st.booleans()), max_size=40))
def test_a_stall_never_counts_more_than_the_time_that_passed(parts: list[tuple[str, int, float, bool]]) -> None:
    story = Story()
    began = story.now
    for state, steps, share, moves in parts:
        story.go(steps * STEP, state=state, ran=share, waited=1 - share, moves=moves)
    for verdict in _helds(story.said):
        assert verdict.held <= story.now - began
    assert story.watch.held <= story.now - began


def _helds(said: list[Verdict]) -> Iterator[Slow | Stalling | Stalled | Resumed]:
    for verdict in said:
        if isinstance(verdict, Slow | Stalling | Stalled | Resumed):
            yield verdict
