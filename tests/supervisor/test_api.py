"""supervision.md 9: the API of a running supervisor, and children that isolates spawn."""

from __future__ import annotations

from typing import Any

import pytest

from regrove.supervisor.reasons import Normal, StartFailed
from regrove.supervisor.requests import (
    AlreadyPresent,
    AlreadyStarted,
    ChildInfo,
    CountChildren,
    Counts,
    DeleteChild,
    GetSpec,
    InvalidSpec,
    MaxChildren,
    NotFound,
    Refusal,
    RestartChild,
    Running,
    StartChild,
    Stopping,
    TerminateChild,
    UnknownRequest,
    WhichChildren,
)
from regrove.supervisor.spec import Child, DynamicSupervisor, Supervisor
from tests.supervisor.playbook import BAD_START, BOOM, Playbook, Worker


def static(starts: dict[str, list[str]] | None = None, **options: Any) -> Playbook:
    book = Playbook(Supervisor("s", [Child("a", Worker), Child("b", Worker)], **options), starts)
    book.trace.clear()
    return book


def dynamic(starts: dict[str, list[str]] | None = None, **options: Any) -> Playbook:
    return Playbook(DynamicSupervisor("d", **options), starts)


def listed(book: Playbook) -> list[str]:
    return [row.id for row in book.call(WhichChildren())]


# start_child


def test_start_child_answers_the_address_and_appends() -> None:
    book = static()
    assert book.call(StartChild(Child("n", Worker))) == ("n", 1)
    assert listed(book) == ["a", "b", "n"]


def test_start_child_of_an_id_that_runs_answers_where() -> None:
    assert static().call(StartChild(Child("a", Worker))) == AlreadyStarted(("a", 1))


def test_start_child_of_an_id_that_is_listed_answers_already_present() -> None:
    book = static()
    book.call(TerminateChild("a"))
    assert book.call(StartChild(Child("a", Worker))) == AlreadyPresent()


def test_start_child_that_fails_stores_nothing() -> None:
    book = static(starts={"n": ["fail"]})
    assert book.call(StartChild(Child("n", Worker))) == StartFailed("n", BAD_START)
    assert listed(book) == ["a", "b"]
    assert book.call(StartChild(Child("n", Worker))) == ("n", 1)


@pytest.mark.parametrize(("restart", "kept"), [("permanent", True), ("transient", True), ("temporary", False)])
def test_start_child_that_ignores_answers_none_and_is_listed_unless_temporary(restart: Any, kept: bool) -> None:
    book = static(starts={"n": ["ignore"]})
    assert book.call(StartChild(Child("n", Worker, restart=restart))) is None
    assert listed(book) == ["a", "b", *["n"] * kept]


@pytest.mark.parametrize(
    ("spec", "word"),
    [("a text", "str"), (None, "NoneType"), (Child("n", Worker, restart="transient", significant=True), "significant")],
)
def test_start_child_of_what_cannot_stand_there_answers_invalid_spec(spec: Any, word: str) -> None:
    for book in (static(), dynamic()):
        answer = book.call(StartChild(spec))
        assert isinstance(answer, InvalidSpec)
        assert word in answer.text


def test_start_child_of_a_significant_child_is_right_where_somebody_listens() -> None:
    book = static(auto_shutdown="any_significant")
    assert book.call(StartChild(Child("n", Worker, restart="transient", significant=True))) == ("n", 1)


# restart_child


def test_restart_child_keeps_its_position() -> None:
    book = static()
    book.call(TerminateChild("a"))
    assert book.call(RestartChild("a")) == ("a", 2)
    assert listed(book) == ["a", "b"]


def test_restart_child_refuses_what_runs_and_what_is_not_there() -> None:
    book = static()
    assert book.call(RestartChild("a")) == Running()
    assert book.call(RestartChild("x")) == NotFound()


def test_restart_child_that_fails_stays_down_and_that_ignores_too() -> None:
    book = static(starts={"a": ["up", "fail", "ignore"]})
    book.call(TerminateChild("a"))
    assert book.call(RestartChild("a")) == StartFailed("a", BAD_START)
    assert book.call(RestartChild("a")) is None
    assert book.call(WhichChildren())[0] == ChildInfo("a", None, "worker")
    assert book.call(RestartChild("a")) == ("a", 2)


# terminate_child, delete_child


def test_terminate_child_goes_by_id_or_by_address_on_a_static_supervisor() -> None:
    book = static()
    assert book.call(TerminateChild("a")) is True
    assert book.call(TerminateChild(("b", 1))) is True
    assert book.trace == ["ask a", "ask b"]
    assert listed(book) == ["a", "b"]


def test_terminate_child_is_also_right_when_the_child_does_not_run() -> None:
    book = static()
    book.call(TerminateChild("a"))
    assert book.call(TerminateChild("a")) is True
    assert book.trace == ["ask a"]


def test_terminating_a_temporary_child_forgets_its_spec() -> None:
    book = static()
    book.call(StartChild(Child("t", Worker, restart="temporary")))
    assert book.call(TerminateChild("t")) is True
    assert listed(book) == ["a", "b"]


@pytest.mark.parametrize("child", ["x", ("a", 9), [], {"a": 1}, None, 3])
def test_what_is_nobodys_id_or_address_is_not_found(child: Any) -> None:
    for book in (static(), dynamic()):
        assert book.call(TerminateChild(child)) == NotFound()
        assert book.call(GetSpec(child)) == NotFound()


def test_the_address_of_a_life_that_is_over_finds_nobody() -> None:
    book = static()
    book.crash("a")
    assert book.call(TerminateChild(("a", 1))) == NotFound()
    assert book.call(TerminateChild(("a", 2))) is True
    assert book.call(TerminateChild(("a", 2))) == NotFound()


def test_delete_child_forgets_one_that_does_not_run() -> None:
    book = static()
    assert book.call(DeleteChild("a")) == Running()
    book.call(TerminateChild("a"))
    assert book.call(DeleteChild("a")) is True
    assert book.call(DeleteChild("a")) == NotFound()
    assert listed(book) == ["b"]
    assert book.call(StartChild(Child("a", Worker))) == ("a", 2)
    assert listed(book) == ["b", "a"]


# which_children, count_children, get_spec


def test_which_children_lists_in_start_order_with_address_and_kind() -> None:
    book = Playbook(Supervisor("s", [Child("a", Worker), Supervisor("sub"), DynamicSupervisor("pool")]))
    book.call(TerminateChild("a"))
    rows = (
        ChildInfo("a", None, "worker"),
        ChildInfo("sub", ("sub", 1), "supervisor"),
        ChildInfo("pool", ("pool", 1), "supervisor"),
    )
    assert book.call(WhichChildren()) == rows
    assert book.call(CountChildren()) == Counts(specs=3, active=2, supervisors=2, workers=1)


def test_get_spec_gives_the_spec_with_its_defaults() -> None:
    book = static()
    spec = book.call(GetSpec("a"))
    assert (spec.restart, spec.shutdown, spec.significant) == ("permanent", 5.0, False)
    assert book.call(GetSpec(("b", 1))).id == "b"


@pytest.mark.parametrize("request_", ["what", None, object(), 7, StartChild])
def test_an_unknown_call_is_answered_with_what_there_is(request_: Any) -> None:
    answer = static().call(request_)
    assert isinstance(answer, UnknownRequest)
    assert "WhichChildren" in answer.text
    assert type(request_).__name__ in answer.text


def test_refusals_are_values_that_compare() -> None:
    refusals: list[object] = [NotFound(), Running(), MaxChildren(2), MaxChildren(3)]
    assert [refusals.index(value) for value in (NotFound(), Running(), MaxChildren(2), MaxChildren(3))] == [0, 1, 2, 3]
    assert all(isinstance(value, Refusal) for value in refusals)


# dynamic supervisors


def test_a_dynamic_supervisor_ignores_ids_and_knows_its_children_by_address() -> None:
    book = dynamic()
    assert book.call(StartChild(Child("w", Worker))) == ("w", 1)
    assert book.call(StartChild(Child("w", Worker))) == ("w", 2)
    assert book.call(TerminateChild("w")) == NotFound()
    assert book.call(TerminateChild(("w", 1))) is True
    assert book.call(TerminateChild(("w", 1))) == NotFound()
    assert book.call(GetSpec(("w", 2))).id == "w"
    assert book.call(WhichChildren()) == (ChildInfo("w", ("w", 2), "worker"),)


def test_a_dynamic_supervisor_has_no_restart_child_and_no_delete_child() -> None:
    for request in (RestartChild("w"), DeleteChild("w")):
        answer = dynamic().call(request)
        assert isinstance(answer, UnknownRequest)
        assert type(request).__name__ in answer.text


@pytest.mark.parametrize("restart", ["transient", "temporary"])
def test_an_ended_child_of_a_dynamic_supervisor_is_removed(restart: Any) -> None:
    book = dynamic()
    book.call(StartChild(Child("w", Worker, restart=restart)))
    book.crash("w", Normal())
    assert listed(book) == []


def test_a_crashed_child_of_a_dynamic_supervisor_comes_back_at_a_new_address() -> None:
    book = dynamic()
    book.call(StartChild(Child("w", Worker)))
    book.crash("w")
    assert book.call(WhichChildren()) == (ChildInfo("w", ("w", 2), "worker"),)
    assert book.call(GetSpec(("w", 1))) == NotFound()


def test_a_dynamic_child_that_ignores_is_dropped_at_start_and_at_restart() -> None:
    book = dynamic(starts={"w": ["ignore", "up", "ignore"]})
    assert book.call(StartChild(Child("w", Worker))) is None
    assert listed(book) == []
    book.call(StartChild(Child("w", Worker)))
    book.crash("w")
    assert listed(book) == []


def test_a_dynamic_child_that_fails_to_start_is_not_stored() -> None:
    book = dynamic(starts={"w": ["fail"]}, max_children=1)
    assert book.call(StartChild(Child("w", Worker))) == StartFailed("w", BAD_START)
    assert book.call(StartChild(Child("w", Worker))) == ("w", 1)


def test_no_more_children_than_max_children_and_restarting_ones_count() -> None:
    book = dynamic(starts={"a": ["up", "fail"]}, max_children=2, intensity=5)
    for id in "ab":
        book.call(StartChild(Child(id, Worker)))
    start = book.request(StartChild(Child("c", Worker)))
    count = book.request(CountChildren())
    book.give(book.ends("a"), start, count)
    assert book.answers[start.token] == MaxChildren(2)
    assert book.answers[count.token] == Counts(specs=2, active=1, supervisors=0, workers=2)
    book.call(TerminateChild(("b", 1)))
    assert book.call(StartChild(Child("c", Worker))) == ("c", 1)


def test_a_restarting_dynamic_child_is_terminated_by_its_last_address() -> None:
    book = dynamic(starts={"w": ["up", "fail"]}, intensity=5)
    book.call(StartChild(Child("w", Worker)))
    terminate = book.request(TerminateChild(("w", 1)))
    book.give(book.ends("w"), terminate)
    assert book.answers[terminate.token] is True
    assert (listed(book), book.finished) == ([], None)


# spawn


def test_an_adopted_child_is_listed_at_once_and_goes_by_its_spec() -> None:
    book = static(intensity=2)
    assert book.adopt(Child("n", Worker)) == ("n", 1)
    assert listed(book) == ["a", "b", "n"]
    assert book.crash("n", StartFailed("n", BOOM)) == ["start n"]
    assert book.call(TerminateChild("n")) is True


def test_adopting_is_refused_with_the_reasons_of_start_child() -> None:
    book = static()
    assert book.adopt(Child("a", Worker)) == AlreadyStarted(("a", 1))
    assert isinstance(book.adopt("no spec"), InvalidSpec)
    assert dynamic(max_children=0).adopt(Child("a", Worker)) == MaxChildren(0)
    assert book.machine.adopt(Child("a", Worker), ("a", 9)) == AlreadyStarted(("a", 1))


def test_adopting_is_refused_before_the_first_start_and_after_the_end() -> None:
    book = Playbook(Supervisor("s"), begin=False)
    assert book.adopt(Child("a", Worker)) == Stopping()
    book = static()
    book.stop()
    assert book.adopt(Child("n", Worker)) == Stopping()


def test_a_child_may_be_adopted_while_a_sibling_starts_and_stops_before_it() -> None:
    book = static(starts={"b": ["up", "hang"]}, strategy="one_for_all")
    book.crash("a")
    assert book.adopt(Child("n", Worker)) == ("n", 1)
    book.give(book.started("b"))
    assert book.alive == ["a", "b", "n"]
    assert book.stop() == ["ask n", "ask b", "ask a", "finish"]
