"""A manager that stood still itself counts that time against nobody."""

from __future__ import annotations

from regrove.node.process.budget import SECOND
from regrove.node.process.core_slot import START_LIMIT, ManagerSettings
from regrove.node.process.lateness import PULSE, Lateness
from regrove.node.process.manager_events import Begin, Kill, StopAsked, Tick
from regrove.node.process.manager_state import STOP_GRACE, ManagerState
from tests.process.stories import NODE, booted, of


def starting() -> ManagerState:
    state = ManagerState(ManagerSettings(NODE, 7, 2))
    state.decide(0, Begin())
    return state


def test_what_a_pass_comes_too_late_is_given_to_a_start_under_way() -> None:
    state, lateness = starting(), Lateness()
    assert lateness.until(state, 10 * SECOND) == 10 * SECOND + PULSE
    lateness.passes(state, 100 * SECOND)  # it was stopped for nearly 90 s
    assert of(state.decide(100 * SECOND, Tick()), Kill) == []
    due = START_LIMIT + 90 * SECOND - PULSE
    assert [slot.deadline for slot in state.cores] == [due, due]
    assert len(of(state.decide(due, Tick()), Kill)) == 2


def test_a_pass_that_comes_in_time_or_after_an_idle_sleep_gives_nothing() -> None:
    state, lateness = starting(), Lateness()
    lateness.until(state, SECOND)
    lateness.passes(state, SECOND + 2 * PULSE)
    assert [slot.deadline for slot in state.cores] == [START_LIMIT, START_LIMIT]
    idle = booted()
    assert lateness.until(idle, SECOND) is None  # no limit runs: it may sleep for ever
    idle.decide(1_000 * SECOND, StopAsked("SIGTERM"))
    lateness.passes(idle, 1_000 * SECOND)
    assert idle.stop_deadline == 1_000 * SECOND + idle.settings.drain_limit + STOP_GRACE


def test_a_stop_that_was_frozen_has_its_whole_limit_still() -> None:
    state, lateness = booted(), Lateness()
    state.decide(SECOND, StopAsked("SIGTERM"))
    due = SECOND + state.settings.drain_limit + STOP_GRACE
    assert state.stop_deadline == due
    lateness.until(state, SECOND)
    lateness.passes(state, 61 * SECOND)
    assert state.stop_deadline == due + 60 * SECOND - PULSE
    assert of(state.decide(61 * SECOND, Tick()), Kill) == []
