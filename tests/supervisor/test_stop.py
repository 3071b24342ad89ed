"""supervision.md 7: how children are stopped, which ends are expected, and the time for a whole tree."""

from __future__ import annotations

from typing import Any

import pytest

from regrove.supervisor.actions import ArmLimit, DisarmLimit, Finish, KillChild
from regrove.supervisor.events import Begin, ChildEnded, ChildStarted, ChildStartFailed, LimitReached, StopAsked
from regrove.supervisor.machine import Machine
from regrove.supervisor.reasons import Crashed, Killed, Normal, Reason, Shutdown, StartFailed
from regrove.supervisor.requests import StartChild, Stopping, TerminateChild
from regrove.supervisor.shutdown import is_expected, root_cause, start_failed, stop_order
from regrove.supervisor.spec import Child, DynamicSupervisor, Supervisor
from tests.supervisor.playbook import BAD_START, BOOM, Playbook, Worker


def book_of(shutdowns: dict[str, Any], stops: dict[str, str | Reason] | None = None, **options: Any) -> Playbook:
    children = [Child(id, Worker, shutdown=shutdown) for id, shutdown in shutdowns.items()]
    book = Playbook(Supervisor("s", children, **options), stops=stops)
    book.trace.clear()
    return book


def test_children_stop_one_at_a_time_in_reverse_start_order() -> None:
    book = book_of({"a": 5.0, "b": 5.0, "c": 5.0}, stops={"c": "hang"})
    assert book.stop() == ["ask c"]
    assert book.give(book.ends("c", Shutdown())) == ["ask b", "ask a", "finish"]


@pytest.mark.parametrize("reason", [Shutdown(), Shutdown("why"), Normal(), BOOM], ids=repr)
def test_the_supervisor_ends_with_the_reason_it_was_asked_with_and_asks_its_children_for_shutdown(
    reason: Reason,
) -> None:
    book = book_of({"a": 5.0})
    book.stop(reason)
    assert book.finished == reason
    assert [ask.reason for ask in book.asked] == [Shutdown()]


def test_brutal_kill_kills_without_asking() -> None:
    book = book_of({"a": "brutal_kill"})
    assert book.stop() == ["kill a", "finish"]
    assert book.reports == []


def test_seconds_ask_wait_so_long_and_then_kill() -> None:
    book = book_of({"a": 2.0}, stops={"a": "hang"})
    assert book.stop() == ["ask a"]
    assert book.wait(1.99) == []
    assert book.wait(0.01) == ["kill a", "finish"]
    assert [(r.context, r.reason) for r in book.reports] == [("shutdown_error", Killed())]
    assert book.finished == Shutdown()


def test_each_static_child_has_its_own_limit() -> None:
    book = book_of({"a": 1.0, "b": 3.0}, stops={"a": "hang", "b": "hang"})
    assert book.stop() == ["ask b"]
    assert book.wait(3.0) == ["kill b", "ask a"]
    assert book.wait(0.99) == []
    assert book.wait(0.01) == ["kill a", "finish"]


def test_infinity_asks_and_waits_for_ever() -> None:
    book = book_of({"a": "infinity"}, stops={"a": "hang"})
    book.stop()
    assert book.limits == {}
    assert book.wait(1e6) == []


def test_zero_asks_and_kills_as_soon_as_stop_had_its_turn() -> None:
    book = book_of({"a": 0}, stops={"a": "hang"})
    assert book.stop() == ["ask a"]
    assert book.wait(0.0) == ["kill a", "finish"]


def test_a_child_that_ends_in_time_disarms_its_limit() -> None:
    book = book_of({"a": 2.0})
    book.stop()
    assert book.limits == {}


def test_a_limit_that_passed_when_the_child_had_just_ended_kills_nobody() -> None:
    book = book_of({"a": 2.0, "b": 2.0}, stops={"a": "hang", "b": "hang"})
    book.stop()
    (token,) = book.limits
    book.give(book.ends("b", Shutdown()))
    assert book.give(LimitReached(token)) == []
    assert book.alive == ["a"]


EXPECTED = [
    # shutdown, restart, reason, expected
    (5.0, "permanent", Shutdown(), True),
    (5.0, "permanent", Shutdown("why"), False),
    (5.0, "permanent", Normal(), False),
    (5.0, "permanent", Killed(), False),
    (5.0, "transient", Shutdown("why"), True),
    (5.0, "transient", Normal(), True),
    (5.0, "temporary", Normal(), True),
    (5.0, "temporary", BOOM, False),
    ("infinity", "transient", Killed(), False),
    ("brutal_kill", "permanent", Killed(), True),
    ("brutal_kill", "permanent", Shutdown(), False),
    ("brutal_kill", "permanent", Normal(), False),
    ("brutal_kill", "transient", Shutdown(), True),
    ("brutal_kill", "temporary", Shutdown("why"), True),
    ("brutal_kill", "temporary", Normal(), True),
    ("brutal_kill", "temporary", BOOM, False),
]


@pytest.mark.parametrize(("shutdown", "restart", "reason", "expected"), EXPECTED, ids=str)
def test_what_counts_as_a_clean_outcome_of_a_stop(shutdown: Any, restart: Any, reason: Reason, expected: bool) -> None:
    assert is_expected(shutdown, restart, reason) is expected
    child = Child("a", Worker, shutdown=shutdown, restart=restart)
    book = Playbook(Supervisor("s", [child]))
    book.inbox.append(StopAsked(Shutdown()))
    book.give(book.ends("a", reason))  # it had ended so, before the stop came to it
    assert bool(book.reports) is not expected
    assert book.finished == Shutdown()


def test_a_shutdown_error_is_reported_and_the_stop_still_succeeds() -> None:
    book = book_of({"a": 5.0}, stops={"a": BOOM})
    assert book.call(TerminateChild("a")) is True
    assert [(r.context, r.reason) for r in book.reports] == [("shutdown_error", BOOM)]


def test_while_a_child_is_stopped_the_api_waits() -> None:
    book = book_of({"a": 5.0, "b": 5.0}, stops={"a": "hang"})
    first, second = book.request(TerminateChild("a")), book.request(TerminateChild("b"))
    book.give(first, second)
    assert book.answers == {}
    book.give(book.ends("a", Shutdown()))
    assert book.answers == {first.token: True, second.token: True}


def test_a_child_that_died_before_it_was_asked_ends_the_wait_with_its_own_end() -> None:
    book = book_of({"a": "infinity"}, stops={"a": "hang"})
    terminate = book.request(TerminateChild("a"))
    book.inbox.append(terminate)
    book.give(book.ends("a"))
    assert book.answers[terminate.token] is True
    assert book.machine.statistics(book.now).restarts == 0


def test_a_restarting_child_is_no_obstacle_to_a_stop() -> None:
    book = Playbook(Supervisor("s", [Child("a", Worker), Child("b", Worker)]), starts={"b": ["up", "fail"]})
    assert book.give(book.ends("b"), StopAsked(Shutdown())) == ["start b", "ask a", "finish"]


# A dynamic supervisor.


def dynamic(shutdowns: dict[str, Any], stops: dict[str, str | Reason]) -> Playbook:
    book = Playbook(DynamicSupervisor("d"), stops=stops)
    for id, shutdown in shutdowns.items():
        book.call(StartChild(Child(id, Worker, shutdown=shutdown)))
    book.trace.clear()
    return book


def test_a_dynamic_supervisor_stops_all_children_together_under_one_limit() -> None:
    book = dynamic(dict.fromkeys("abc", 2.0), dict.fromkeys("abc", "hang"))
    assert book.stop() == ["ask c", "ask b", "ask a"]
    assert len(book.limits) == 1
    book.give(book.ends("b", Shutdown()))
    assert book.wait(2.0) == ["kill c", "kill a", "finish"]


def test_different_limits_of_a_dynamic_supervisors_children_run_from_the_same_moment() -> None:
    book = dynamic({"a": 1.0, "b": 2.0, "c": "brutal_kill", "d": "infinity"}, dict.fromkeys("abd", "hang"))
    assert book.stop() == ["ask d", "kill c", "ask b", "ask a"]
    assert book.wait(1.0) == ["kill a"]
    assert book.wait(1.0) == ["kill b"]
    assert book.give(book.ends("d", Shutdown())) == ["finish"]


# The budget for a whole tree.


def test_a_budget_overrides_longer_limits() -> None:
    book = book_of({"a": "infinity", "b": 60.0}, stops={"a": "hang", "b": "hang"})
    assert book.stop(budget=3.0) == ["ask b"]
    assert book.wait(2.99) == []
    assert book.wait(0.01) == ["kill b", "kill a", "finish"]


def test_shorter_limits_hold_within_the_budget_and_a_child_supervisor_learns_what_is_left() -> None:
    book = Playbook(
        Supervisor("s", [Supervisor("sub"), Child("b", Worker, shutdown=1.0)]), stops={"b": "hang", "sub": "hang"}
    )
    book.stop(budget=3.0)
    book.wait(1.0)
    assert [(ask.key, ask.budget) for ask in book.asked] == [(2, 3.0), (1, 2.0)]
    assert book.wait(2.0) == ["kill sub", "finish"]


def test_a_stop_with_a_budget_aborts_the_supervisors_own_start() -> None:
    book = Playbook(Supervisor("s", [Child(id, Worker) for id in "abc"]), starts={"b": ["hang"]})
    assert book.stop(Shutdown("node"), budget=3.0) == ["ask b", "ask a", "finish"]
    assert (book.finished, book.up) == (Shutdown("node"), False)


def test_a_stop_without_a_budget_waits_until_the_start_is_over() -> None:
    book = Playbook(Supervisor("s", [Child(id, Worker) for id in "ab"]), starts={"a": ["hang"]})
    assert book.stop() == []
    assert book.give(book.started("a")) == ["start b", "up", "ask b", "ask a", "finish"]


def test_an_aborted_start_that_succeeds_all_the_same_is_stopped() -> None:
    book = Playbook(Supervisor("s", [Child("a", Worker)]), starts={"a": ["hang"]}, stops={"a": "hang"})
    book.stop(budget=3.0)
    assert book.give(book.started("a")) == []
    assert book.give(book.ends("a", Shutdown())) == ["finish"]


def test_a_start_killed_by_its_timeout_is_waited_for_when_the_stop_comes() -> None:
    spec = Supervisor("s", [Child("a", Worker, start_timeout=1.0)])
    book = Playbook(spec, starts={"a": ["hang"]})
    (token,) = book.limits
    book.limits.clear()
    book.machine.decide(LimitReached(token), book.now)
    assert book.stop(budget=3.0) == []
    assert book.give(book.fails("a", Killed())) == ["finish"]


def test_a_stop_with_a_budget_aborts_a_restart_and_nothing_is_started_any_more() -> None:
    spec = Supervisor("s", [Child(id, Worker) for id in "abc"], strategy="one_for_all")
    book = Playbook(spec, starts={"b": ["up", "hang"]})
    book.crash("a")
    assert book.stop(budget=3.0) == ["ask b", "ask a", "finish"]


def test_a_start_waiting_its_turn_in_an_aborted_restart_may_end_first() -> None:
    spec = Supervisor("s", [Child(id, Worker) for id in "ab"])
    for ending in ("started", "fails"):
        book = Playbook(spec, starts={"a": ["up", "hang"]}, stops={"b": "hang"})
        book.crash("a")
        assert book.stop(budget=3.0) == ["ask b"]
        book.give(getattr(book, ending)("a"))
        asked = ["ask a"] if ending == "started" else []
        assert book.give(book.ends("b", Shutdown())) == [*asked, "finish"]
        assert book.finished == Shutdown()


def test_a_stop_with_a_budget_takes_over_a_stop_that_runs() -> None:
    book = book_of({"a": 5.0, "b": 60.0}, stops={"b": "hang"})
    request = book.request(TerminateChild("b"))
    book.give(request)
    book.trace.clear()
    assert book.stop(budget=3.0) == []
    assert book.wait(3.0) == ["kill b", "kill a", "finish"]
    assert book.answers == {}, "it fails with the supervisor's reason"


def test_a_budget_that_comes_during_a_stop_shortens_it_and_is_handed_on_to_a_waiting_child_supervisor() -> None:
    book = Playbook(Supervisor("s", [Supervisor("sub")]), stops={"sub": "hang"})
    book.stop(Shutdown("first"))
    assert book.stop(Shutdown("second"), budget=2.0) == ["ask sub"]
    assert [ask.budget for ask in book.asked] == [None, 2.0]
    assert book.wait(2.0) == ["kill sub", "finish"]
    assert book.finished == Shutdown("first")


def test_of_two_budgets_the_one_that_ends_first_holds() -> None:
    book = book_of({"a": "infinity"}, stops={"a": "hang"})
    book.stop(budget=3.0)
    book.stop(budget=9.0)
    book.stop(budget=1.0)
    assert book.wait(1.0) == ["kill a", "finish"]


def test_a_later_budget_does_not_lengthen_an_earlier_one() -> None:
    book = book_of({"a": "infinity"}, stops={"a": "hang"})
    book.stop(budget=3.0)
    book.stop(budget=9.0)
    assert book.wait(3.0) == ["kill a", "finish"]


def test_a_limit_that_ends_no_sooner_than_the_budget_is_not_armed() -> None:
    book = book_of({"a": 3.0}, stops={"a": "hang"})
    book.stop(budget=3.0)
    assert len(book.limits) == 1


def test_the_end_of_the_budget_kills_a_start_that_was_waiting_to_be_stopped() -> None:
    spec = Supervisor("s", [Child(id, Worker, shutdown="infinity") for id in "ab"])
    book = Playbook(spec, starts={"a": ["up", "hang"]}, stops={"b": "hang"})
    book.crash("a")
    book.stop(budget=3.0)
    assert book.wait(3.0) == ["kill b", "kill a", "finish"]


def test_a_child_that_was_killed_is_not_asked_or_killed_again() -> None:
    machine = Machine(Supervisor("s", [Supervisor("sub", shutdown="brutal_kill")]))
    machine.decide(Begin(), 0)
    machine.decide(ChildStarted(1, "x"), 0)
    assert machine.decide(StopAsked(Shutdown()), 0) == [KillChild(1)]
    assert machine.decide(StopAsked(Shutdown(), 1.0), 0) == [ArmLimit(1, 1.0)]
    assert machine.decide(LimitReached(1), 1_000_000_000) == []
    assert machine.decide(ChildEnded(1, Killed()), 1_000_000_000) == [DisarmLimit(1), Finish(Shutdown())]


def test_a_start_killed_by_its_timeout_is_not_killed_again_at_the_end_of_the_budget() -> None:
    children = [Child("a", Worker, start_timeout=1.0), Child("b", Worker, shutdown="infinity")]
    machine = Machine(Supervisor("s", children))
    for event in (Begin(), ChildStarted(1, "x"), ChildStarted(2, "y"), ChildEnded(1, BOOM)):
        actions = machine.decide(event, 0)
    limit = actions[-1]
    assert isinstance(limit, ArmLimit)
    assert machine.decide(LimitReached(limit.token), 0) == [KillChild(1)]
    budget = machine.decide(StopAsked(Shutdown(), 1.0), 0)[0]
    assert isinstance(budget, ArmLimit)
    assert machine.decide(LimitReached(budget.token), 0) == [KillChild(2)]
    machine.decide(ChildEnded(2, Killed()), 0)
    assert machine.decide(ChildStartFailed(1, Killed()), 0)[-1] == Finish(Shutdown())


def test_what_was_to_be_restarted_is_down_while_the_rest_is_stopped() -> None:
    spec = Supervisor("s", [Child("a", Worker), Child("b", Worker)], intensity=5)
    book = Playbook(spec, starts={"a": ["up", "fail"]}, stops={"b": "hang"})
    book.give(book.ends("a"), StopAsked(Shutdown()))
    assert [row.state for row in book.machine.children()] == ["stopped", "stopping"]


def test_a_budget_of_a_dynamic_supervisor_kills_all_that_is_left() -> None:
    book = dynamic(dict.fromkeys("abc", 60.0), dict.fromkeys("ac", "hang"))
    book.stop(budget=1.0)
    assert book.wait(1.0) == ["kill c", "kill a", "finish"]


def test_while_it_stops_nobody_is_adopted() -> None:
    book = book_of({"a": "infinity"}, stops={"a": "hang"})
    book.stop()
    assert book.adopt(Child("n", Worker)) == Stopping()


# The pure rules.


def test_an_order_to_stop_is_ask_limit_or_kill() -> None:
    orders = [stop_order(shutdown) for shutdown in ("brutal_kill", "infinity", 0, 2.5)]
    assert [(order.ask, order.limit) for order in orders] == [(False, None), (True, None), (True, 0), (True, 2.5)]


def test_the_root_cause_is_inside_the_shutdowns_round_it() -> None:
    assert root_cause(Shutdown(Shutdown(BOOM))) == BOOM
    assert root_cause(Shutdown("text")) == Shutdown("text")
    assert root_cause(Crashed("X")) == Crashed("X")
    assert start_failed("a", BAD_START) == StartFailed("a", BAD_START)
