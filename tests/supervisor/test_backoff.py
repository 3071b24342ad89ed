"""Backoff, a window of one's own, a budget for the whole stop, stopping together, and places that are not there."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regrove.supervisor.backoff import Backoff
from regrove.supervisor.machine import Machine
from regrove.supervisor.reasons import NoConnection, Shutdown, StartFailed
from regrove.supervisor.requests import (
    DeleteChild,
    RestartChild,
    Restarting,
    StartChild,
    TerminateChild,
    WhichChildren,
)
from regrove.supervisor.rules import SpecError
from regrove.supervisor.spec import Child, DynamicSupervisor, Supervisor
from tests.supervisor.playbook import BAD_START, BOOM, SECOND, Playbook, Worker
from tests.supervisor.test_histories import IDS, SHUTDOWNS, Checked, ids, make_move, moves, wind_up

SLOW = Backoff(first=1.0, factor=2.0, limit=4.0, jitter=0.0)


def supervisor(*children: Any, **options: Any) -> Supervisor:
    return Supervisor("s", list(children), **{"intensity": 9, "period": 60.0, **options})


def child(id: str, **options: Any) -> Child:
    return Child(id, Worker, **options)


# --- backoff ---


def test_delays_grow_to_their_limit_and_jitter_only_shortens_them() -> None:
    delays = Backoff(first=0.5, factor=3.0, limit=10.0, jitter=0.5)
    assert [delays.delay(n, 0.0) for n in range(1, 5)] == [0.5, 1.5, 4.5, 10.0]
    assert delays.delay(2, 0.5) == 1.5 * 0.75
    assert delays.delay(100_000, 0.0) == 10.0


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"first": 0}, "first"),
        ({"factor": 0.5}, "factor"),
        ({"limit": 0.01}, "limit"),
        ({"jitter": 1.5}, "jitter"),
        ({"reset": -1.0}, "reset"),
        ({"first": "1"}, "first"),
    ],
)
def test_a_backoff_that_makes_no_sense_names_the_field_the_value_and_the_rule(options: Any, field: str) -> None:
    with pytest.raises(SpecError) as caught:
        Backoff(**options)
    assert (caught.value.field, caught.value.value) == (field, options[field])
    assert field in caught.value.rule


def test_a_crashed_child_waits_and_is_shown_as_restarting() -> None:
    book = Playbook(supervisor(child("a", backoff=SLOW)))
    assert book.crash("a") == []
    assert book.call(WhichChildren())[0].address == "restarting"
    assert book.wait(0.9) == []
    assert book.wait(0.2) == ["start a"]
    assert book.machine.statistics(book.now).restarts == 1


def test_each_crash_in_a_row_waits_longer_and_a_healthy_life_begins_anew() -> None:
    book = Playbook(supervisor(child("a", backoff=SLOW)))
    for delay in (1.0, 2.0, 4.0, 4.0):
        book.crash("a")
        assert book.wait(delay - 0.1) == []
        assert book.wait(0.2) == ["start a"]
    book.wait(4.0)
    book.crash("a")
    assert book.wait(1.1) == ["start a"]


def test_a_failing_restart_waits_too_and_each_attempt_counts_once() -> None:
    book = Playbook(supervisor(child("a", backoff=SLOW), intensity=3), starts={"a": ["up", "fail", "fail", "up"]})
    book.crash("a")
    assert book.wait(1.1) == ["start a"]
    assert book.wait(1.8) == []
    assert book.wait(0.3) == ["start a"]
    assert book.wait(4.1) == ["start a"]
    assert book.machine.statistics(book.now).budget_used == 3


def test_intensity_is_judged_when_the_child_ends_not_when_its_delay_is_over() -> None:
    book = Playbook(supervisor(child("a", backoff=SLOW), child("b"), intensity=0))
    assert book.crash("a") == ["ask b", "finish"]


def test_jitter_comes_from_the_draw_that_is_given() -> None:
    from regrove.supervisor.actions import QueueRetry
    from regrove.supervisor.events import Begin, ChildEnded, ChildStarted

    machine = Machine(supervisor(child("a", backoff=Backoff(first=1.0, jitter=0.5))), lambda: 0.5)
    machine.decide(Begin(), 0)
    machine.decide(ChildStarted(1, "here"), 0)
    delays = [act.delay_seconds for act in machine.decide(ChildEnded(1, BOOM), 0) if isinstance(act, QueueRetry)]
    assert delays == [0.75]


def test_terminate_during_backoff_cancels_the_restart() -> None:
    book = Playbook(supervisor(child("a", backoff=SLOW)))
    book.crash("a")
    assert book.call(DeleteChild("a")) == Restarting()
    assert book.call(RestartChild("a")) == Restarting()
    assert book.call(TerminateChild("a")) is True
    assert book.wait(9.0) == []
    assert book.call(DeleteChild("a")) is True


def test_a_child_restarted_by_hand_after_that_does_not_inherit_the_old_delay() -> None:
    book = Playbook(supervisor(child("a", backoff=SLOW)))
    for _ in range(3):
        book.crash("a")
        book.wait(4.1)
    book.crash("a")
    assert book.call(TerminateChild("a")) is True
    assert isinstance(book.call(RestartChild("a")), tuple)
    book.wait(5.0)
    book.crash("a")
    assert book.wait(1.1) == ["start a"]


def test_shutdown_during_backoff_ends_at_once() -> None:
    book = Playbook(supervisor(child("a", backoff=SLOW), child("b")))
    book.crash("a")
    assert book.stop() == ["ask b", "finish"]


@pytest.mark.parametrize(
    ("strategy", "stopped", "started"),
    [
        ("one_for_one", [], ["start b"]),
        ("rest_for_one", ["ask c"], ["start b", "start c"]),
        ("one_for_all", ["ask c", "ask a"], ["start a", "start b", "start c"]),
    ],
)
def test_a_group_is_stopped_at_the_crash_and_started_after_the_delay(strategy: Any, stopped: Any, started: Any) -> None:
    book = Playbook(supervisor(child("a"), child("b", backoff=SLOW), child("c"), strategy=strategy))
    assert book.crash("b") == stopped
    assert book.wait(1.1) == started
    assert book.machine.statistics(book.now).restarts == 1


def test_a_group_restart_of_a_sibling_takes_a_waiting_child_along() -> None:
    book = Playbook(supervisor(child("a"), child("b", backoff=SLOW), strategy="rest_for_one"))
    book.crash("b")
    assert book.crash("a") == ["start a", "start b"]
    assert book.wait(9.0) == []


def test_children_of_a_dynamic_supervisor_back_off_one_by_one() -> None:
    book = Playbook(DynamicSupervisor("d", intensity=9, period=60.0))
    book.call(StartChild(child("a", backoff=SLOW)))
    book.call(StartChild(child("b")))
    book.crash("a")
    assert book.crash("b") == ["start b"]
    assert book.wait(1.1) == ["start a"]


# --- a window of one's own ---


def test_a_child_with_a_window_of_its_own_uses_none_of_its_supervisors() -> None:
    book = Playbook(supervisor(child("a", own_intensity=2, own_period=10.0), child("b"), intensity=0))
    for _ in range(2):
        assert book.crash("a") == ["start a"]
    assert book.machine.statistics(book.now).budget_used == 0
    report = book.reports[-1]
    assert (report.budget_used, report.budget_left, report.restarts, report.child_restarts) == (2, 0, 2, 2)
    assert book.crash("a") == ["ask b", "finish"]


def test_its_window_slides() -> None:
    book = Playbook(supervisor(child("a", own_intensity=1, own_period=2.0), intensity=0))
    for _ in range(5):
        assert book.crash("a") == ["start a"]
        book.wait(2.1)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"own_intensity": -1}, "own_intensity"),
        ({"own_intensity": True}, "own_intensity"),
        ({"own_period": 5.0}, "own_period"),
        ({"own_intensity": 1, "own_period": 0}, "own_period"),
        ({"own_intensity": 1, "restart": "temporary"}, "own_intensity"),
        ({"backoff": 1.0}, "backoff"),
        ({"backoff": SLOW, "restart": "temporary"}, "backoff"),
    ],
)
def test_what_a_child_says_of_its_restarts_is_validated(options: Any, field: str) -> None:
    for make in (partial(Child, "a", Worker), partial(Supervisor, "a"), partial(DynamicSupervisor, "a")):
        with pytest.raises(SpecError) as caught:
            make(**options)
        assert caught.value.field == field
        assert field in str(caught.value)


# --- the whole stop ---


def test_a_budget_for_the_whole_stop_overrides_the_limits_of_children() -> None:
    spec = supervisor(child("a", shutdown="infinity"), child("b", shutdown=30.0), shutdown_budget=2.0)
    book = Playbook(spec, stops={"a": "hang", "b": "hang"})
    assert book.stop() == ["ask b"]
    assert book.wait(1.9) == []
    assert book.wait(0.2) == ["kill b", "kill a", "finish"]


def test_the_shorter_of_two_budgets_holds() -> None:
    book = Playbook(supervisor(child("a", shutdown="infinity"), shutdown_budget=2.0), stops={"a": "hang"})
    book.stop(budget=0.5)
    assert book.wait(0.6) == ["kill a", "finish"]


def test_independent_children_stop_together_each_within_its_own_limit() -> None:
    spec = supervisor(child("a", shutdown=1.0), child("b", shutdown=3.0), child("c"), stop_together=True)
    book = Playbook(spec, stops={"a": "hang", "b": "hang"})
    assert book.stop() == ["ask c", "ask b", "ask a"]
    assert book.wait(1.1) == ["kill a"]
    assert book.wait(2.0) == ["kill b", "finish"]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"stop_together": True, "strategy": "one_for_all"}, "stop_together"),
        ({"stop_together": True, "strategy": "rest_for_one"}, "stop_together"),
        ({"stop_together": 1}, "stop_together"),
        ({"shutdown_budget": 0}, "shutdown_budget"),
    ],
)
def test_how_a_supervisor_stops_is_validated(options: Any, field: str) -> None:
    with pytest.raises(SpecError) as caught:
        Supervisor("s", **options)
    assert caught.value.field == field


# --- a child whose core is not there ---


def test_a_first_start_without_its_core_fails_the_supervisor() -> None:
    book = Playbook(supervisor(child("a", core=1)), starts={"a": ["unplaced"]})
    assert book.finished == Shutdown(StartFailed("a", NoConnection()))


def test_start_child_without_its_core_stores_nothing() -> None:
    book = Playbook(supervisor(), starts={"a": ["unplaced"]})
    assert book.call(StartChild(child("a", core=1))) == StartFailed("a", NoConnection())
    assert book.call(WhichChildren()) == ()


def test_a_restart_waits_for_its_core_and_counts_once() -> None:
    book = Playbook(supervisor(child("a", core=1), intensity=1), starts={"a": ["up", "unplaced", "unplaced", "up"]})
    assert book.crash("a") == ["start a"]
    assert book.wait(1_000.0) == []
    assert book.place_is_there() == ["start a"]
    assert book.place_is_there() == ["start a"]
    assert book.finished is None
    assert book.machine.statistics(book.now).restarts == 1
    assert book.contexts() == [("child_terminated", "a")]


def test_a_start_that_fails_once_its_core_is_there_counts_as_ever() -> None:
    book = Playbook(supervisor(child("a", core=1), intensity=1), starts={"a": ["up", "unplaced", "fail"]})
    book.crash("a")
    book.place_is_there()
    assert book.finished == Shutdown(BAD_START)


def test_waiting_for_a_core_is_cancelled_by_terminate_and_by_the_stop() -> None:
    book = Playbook(supervisor(child("a", core=1)), starts={"a": ["up", "unplaced", "up", "unplaced"]})
    book.crash("a")
    assert book.call(TerminateChild("a")) is True
    assert book.place_is_there() == []
    assert isinstance(book.call(RestartChild("a")), tuple)
    book.crash("a")
    assert book.stop() == ["finish"]


def test_later_siblings_wait_with_a_child_that_waits_for_its_core() -> None:
    spec = supervisor(child("a"), child("b", core=1), child("c"), strategy="one_for_all")
    book = Playbook(spec, starts={"b": ["up", "unplaced"]})
    assert book.crash("a") == ["ask c", "ask b", "start a", "start b"]
    assert book.place_is_there() == ["ask a", "start a", "start b", "start c"]
    assert book.now == 1_000 * SECOND


# --- whatever happens ---


@st.composite
def supervisors_of_ours(draw: Any) -> Supervisor:
    strategy = draw(st.sampled_from(["one_for_one", "rest_for_one", "one_for_all"]))
    children = [
        child(
            id,
            restart=draw(st.sampled_from(["permanent", "transient"])),
            shutdown=draw(st.sampled_from([0, 1.0, "infinity", "brutal_kill"])),
            backoff=draw(st.sampled_from([None, SLOW])),
            own_intensity=draw(st.sampled_from([None, None, 0, 2])),
            core=1,
        )
        for id in IDS
    ]
    together = strategy == "one_for_one" and draw(st.booleans())
    return supervisor(*children, strategy=strategy, intensity=draw(st.integers(0, 6)), stop_together=together)


OUTCOMES = st.lists(st.sampled_from(["hang", "up", "up", "fail", "ignore", "unplaced"]), max_size=8)
MOVES = st.tuples(st.sampled_from(["place", "wait"]), st.integers(0, 1_000), ids)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    supervisors_of_ours(),
    st.dictionaries(ids, OUTCOMES),
    SHUTDOWNS,
    st.lists(st.one_of(moves, MOVES), max_size=40),
    st.sampled_from([None, 0.0, 2.0]),
)
def test_with_every_addition_no_child_lives_twice_and_a_stop_always_ends(
    spec: Supervisor, starts: Any, stops: Any, script: list[tuple[str, int, str]], budget: float | None
) -> None:
    book = Checked(spec, starts, stops)
    for move, choice, id in script:
        if book.finished is not None:
            break
        if move == "place":
            book.place_is_there()
        elif move == "wait":
            book.wait(choice / 200)
        else:
            make_move(book, move, choice, id)
    wind_up(book, budget)
    assert book.finished is not None
    assert (book.lives, book.retries, book.machine.state) == ({}, {}, "finished")
