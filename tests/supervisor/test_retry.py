"""supervision.md 6: a restart attempt that fails."""

from __future__ import annotations

import pytest

from regrove.supervisor.actions import QueueRetry
from regrove.supervisor.events import ChildStartFailed, Retry, StopAsked
from regrove.supervisor.reasons import Shutdown
from regrove.supervisor.requests import (
    AlreadyPresent,
    CountChildren,
    Counts,
    DeleteChild,
    RestartChild,
    Restarting,
    StartChild,
    TerminateChild,
    WhichChildren,
)
from regrove.supervisor.spec import Child, Supervisor
from tests.supervisor.playbook import BAD_START, Playbook, Worker


def book_of(strategy: str, starts: dict[str, list[str]], ids: str = "abc", intensity: int = 5) -> Playbook:
    children = [Child(id, Worker) for id in ids]
    return Playbook(Supervisor("s", children, strategy=strategy, intensity=intensity), starts)  # type: ignore[arg-type]


def test_a_retry_queues_behind_what_already_waits() -> None:
    book = book_of("one_for_one", {"a": ["up", "fail"]})
    which = book.request(WhichChildren())
    trace = book.give(book.ends("a"), which, book.ends("b"))
    assert trace == ["start a", "start b", "start a"]
    rows = book.answers[which.token]
    assert [row.address for row in rows] == ["restarting", ("b", 1), ("c", 1)]  # type: ignore[attr-defined]


def test_a_stop_is_served_before_the_retry() -> None:
    book = book_of("one_for_one", {"a": ["up", "fail"]})
    trace = book.give(book.ends("a"), StopAsked(Shutdown()))
    assert trace == ["start a", "ask c", "ask b", "finish"]


def test_when_a_later_member_of_a_group_fails_the_earlier_stay_up_and_the_later_stay_down() -> None:
    book = book_of("one_for_all", {"b": ["up", "fail"]})
    which = book.request(WhichChildren())
    book.inbox.append(which)
    book.inbox.appendleft(book.ends("a"))
    book.run()
    rows = book.answers[which.token]
    assert [row.address for row in rows] == [("a", 2), "restarting", None]  # type: ignore[attr-defined]


def test_rest_for_one_retries_from_the_failing_child_on() -> None:
    book = book_of("rest_for_one", {"c": ["up", "fail"]}, ids="abcd")
    trace = book.crash("b")
    assert trace == ["ask d", "ask c", "start b", "start c", "start c", "start d"]


def test_one_for_all_retries_by_stopping_those_just_restarted_and_starting_all() -> None:
    book = book_of("one_for_all", {"c": ["up", "fail"]}, ids="abcd")
    trace = book.crash("b")
    first = ["ask d", "ask c", "ask a", "start a", "start b", "start c"]
    assert trace == [*first, "ask b", "ask a", "start a", "start b", "start c", "start d"]


def test_terminating_a_restarting_child_cancels_its_retry_and_later_siblings_stay_down() -> None:
    book = book_of("rest_for_one", {"b": ["up", "fail"]})
    terminate = book.request(TerminateChild("b"))
    trace = book.give(book.ends("b"), terminate)
    assert trace == ["ask c", "start b"]
    assert book.answers[terminate.token] is True
    assert book.alive == ["a"]
    assert book.call(RestartChild("c")) == ("c", 2)
    assert book.crash("a") == ["ask c", "start a", "start b", "start c"]


def test_a_stale_retry_is_ignored() -> None:
    book = book_of("rest_for_one", {"b": ["up", "fail"]})
    trace = book.give(book.ends("b"), book.ends("a"))
    assert trace == ["ask c", "start b", "start a", "start b", "start c"]
    assert book.alive == ["a", "b", "c"]
    assert book.give(Retry(999)) == []


def test_a_retry_that_is_on_its_way_serves_the_next_attempt_too() -> None:
    book = book_of("rest_for_one", {"b": ["up", "fail", "fail"]})
    trace = book.give(book.ends("b"), book.ends("a"))
    assert trace == ["ask c", "start b", "start a", "start b", "start b", "start c"]


def test_there_is_never_more_than_one_retry_of_a_child_on_its_way() -> None:
    book = book_of("rest_for_one", {"c": ["up", *["fail"] * 6]}, intensity=9)
    waiting: list[int] = []
    book.check = lambda: waiting.append(sum(isinstance(event, Retry) for event in book.inbox))  # type: ignore[method-assign]
    book.give(*[book.ends(id) for id in "cba"])
    assert book.alive == ["a", "b", "c"]
    assert max(waiting) == 1


def test_a_restarting_child_is_present_and_neither_restarted_nor_deleted_by_call() -> None:
    book = book_of("one_for_one", {"a": ["up", "fail"]})
    calls = [book.request(r) for r in (StartChild(Child("a", Worker)), RestartChild("a"), DeleteChild("a"))]
    count = book.request(CountChildren())
    book.give(book.ends("a"), *calls, count)
    assert [book.answers[call.token] for call in calls] == [AlreadyPresent(), Restarting(), Restarting()]
    assert book.answers[count.token] == Counts(specs=3, active=2, supervisors=0, workers=3)


@pytest.mark.parametrize("strategy", ["one_for_one", "rest_for_one", "one_for_all"])
def test_a_group_that_never_comes_up_is_given_up_after_exactly_the_intensity(strategy: str) -> None:
    book = book_of(strategy, {"b": ["up", *["fail"] * 9]}, intensity=3)
    trace = book.crash("b")
    assert trace.count("start b") == 3
    assert trace[-1] == "finish"
    assert book.finished == Shutdown(BAD_START)


def test_a_retry_is_asked_for_without_delay() -> None:
    book = book_of("one_for_one", {"a": ["up", "hang"]})
    book.crash("a")
    actions = book.machine.decide(ChildStartFailed(book.key("a"), BAD_START), book.now)
    assert [action.delay_seconds for action in actions if isinstance(action, QueueRetry)] == [0.0]
