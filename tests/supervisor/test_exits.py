"""supervision.md 3 and 5: what a spontaneous exit does, by restart type, reason and strategy."""

from __future__ import annotations

from typing import Any

import pytest

from regrove.supervisor.reasons import CoreDown, Killed, NoConnection, NoProcess, Normal, Reason, Shutdown
from regrove.supervisor.requests import TerminateChild, WhichChildren
from regrove.supervisor.spec import Child, Supervisor
from tests.supervisor.playbook import BOOM, Playbook, Worker

ABNORMAL = [BOOM, Killed(), NoProcess(), NoConnection(), CoreDown()]
CLEAN = [Normal(), Shutdown(), Shutdown("done")]


def name_of(value: object) -> str:
    return value if isinstance(value, str) else repr(value).replace(" ", "")


def book_of(restart: str, **options: Any) -> Playbook:
    options.setdefault("intensity", 3)
    child = Child("b", Worker, restart=restart)  # type: ignore[arg-type]
    book = Playbook(Supervisor("s", [Child("a", Worker), child, Child("c", Worker)], **options))
    book.trace.clear()
    return book


def listed(book: Playbook) -> list[str]:
    return [row.id for row in book.call(WhichChildren())]


def used(book: Playbook) -> int:
    return book.machine.statistics(book.now).budget_used


@pytest.mark.parametrize("reason", [*CLEAN, *ABNORMAL], ids=name_of)
def test_a_permanent_child_is_restarted_whatever_the_reason_and_counts(reason: Reason) -> None:
    book = book_of("permanent")
    assert book.crash("b", reason) == ["start b"]
    assert used(book) == 1
    assert book.contexts() == [("child_terminated", "b")]


@pytest.mark.parametrize("reason", CLEAN, ids=name_of)
def test_a_transient_child_that_ends_cleanly_stays_listed_and_counts_nothing(reason: Reason) -> None:
    book = book_of("transient", strategy="one_for_all")
    assert book.crash("b", reason) == []
    assert (listed(book), book.alive, used(book)) == (["a", "b", "c"], ["a", "c"], 0)
    assert book.reports == []


@pytest.mark.parametrize("reason", ABNORMAL, ids=name_of)
def test_a_transient_child_that_ends_abnormally_is_restarted_and_counts(reason: Reason) -> None:
    book = book_of("transient")
    assert book.crash("b", reason) == ["start b"]
    assert used(book) == 1


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
@pytest.mark.parametrize("reason", [*CLEAN, *ABNORMAL], ids=name_of)
def test_a_temporary_child_is_removed_disturbs_nobody_and_counts_nothing(reason: Reason, strategy: str) -> None:
    book = book_of("temporary", strategy=strategy)
    assert book.crash("b", reason) == []
    assert (listed(book), used(book)) == (["a", "c"], 0)
    expected = [] if reason in CLEAN else [("child_terminated", "b")]
    assert book.contexts() == expected


def test_one_for_one_restarts_that_child_in_its_place() -> None:
    book = book_of("permanent")
    assert book.crash("b") == ["start b"]
    assert listed(book) == ["a", "b", "c"]


def test_rest_for_one_stops_the_later_ones_in_reverse_and_starts_from_the_crashed_one_on() -> None:
    spec = Supervisor("s", [Child(id, Worker) for id in "abcd"], strategy="rest_for_one")
    book = Playbook(spec)
    assert book.crash("b") == ["ask d", "ask c", "start b", "start c", "start d"]
    assert used(book) == 1


def test_one_for_all_stops_all_others_in_reverse_and_starts_every_child_in_order() -> None:
    spec = Supervisor("s", [Child(id, Worker) for id in "abcd"], strategy="one_for_all")
    book = Playbook(spec)
    expected = ["ask d", "ask c", "ask a", "start a", "start b", "start c", "start d"]
    assert book.crash("b") == expected
    assert used(book) == 1


@pytest.mark.parametrize(
    ("strategy", "expected", "left"),
    [
        ("rest_for_one", ["ask d", "ask c", "start b", "start d"], ["t", "b", "d"]),
        ("one_for_all", ["ask d", "ask c", "ask t", "start b", "start d"], ["b", "d"]),
    ],
)
def test_a_group_restart_drops_the_temporaries_in_its_range(
    strategy: str, expected: list[str], left: list[str]
) -> None:
    kinds = {"t": "temporary", "b": "permanent", "c": "temporary", "d": "permanent"}
    children = [Child(id, Worker, restart=restart) for id, restart in kinds.items()]  # type: ignore[arg-type]
    book = Playbook(Supervisor("s", children, strategy=strategy))  # type: ignore[arg-type]
    assert book.crash("b") == expected
    assert listed(book) == left


@pytest.mark.parametrize(
    ("strategy", "alive"), [("rest_for_one", ["b", "c", "d"]), ("one_for_all", ["a", "b", "c", "d"])]
)
def test_a_group_restart_starts_what_had_been_terminated_or_ended_cleanly(strategy: str, alive: list[str]) -> None:
    children = [Child(id, Worker, restart="transient") for id in "abcd"]
    book = Playbook(Supervisor("s", children, strategy=strategy))  # type: ignore[arg-type]
    book.call(TerminateChild("a"))
    book.call(TerminateChild("c"))
    book.crash("d", Normal())
    book.crash("b")
    assert book.alive == alive


def test_a_child_that_ignores_its_restart_stays_listed_and_is_not_retried() -> None:
    book = Playbook(Supervisor("s", [Child("a", Worker)]), starts={"a": ["up", "ignore"]})
    book.crash("a")
    assert (listed(book), book.alive, len(book.inbox)) == (["a"], [], 0)


@pytest.mark.parametrize(
    ("strategy", "order", "counts"),
    [
        ("one_for_all", "ac", 1),
        ("one_for_all", "ca", 1),
        ("one_for_one", "ac", 2),
        ("one_for_one", "ca", 2),
        ("rest_for_one", "ac", 1),
        ("rest_for_one", "ca", 2),
    ],
)
def test_exits_that_wait_when_a_group_restart_runs_are_absorbed(strategy: str, order: str, counts: int) -> None:
    book = book_of("permanent", strategy=strategy)
    book.give(*[book.ends(id) for id in order])
    assert book.alive == ["a", "b", "c"]
    assert used(book) == counts
    assert book.machine.statistics(book.now).restarts == counts


def test_an_absorbed_crash_is_still_reported_with_its_reason() -> None:
    book = book_of("permanent", strategy="one_for_all")
    book.give(book.ends("a"), book.ends("c", Killed()))
    assert [(r.context, r.offender, r.reason) for r in book.reports] == [
        ("child_terminated", "a", BOOM),
        ("shutdown_error", "c", Killed()),
    ]


def test_a_report_names_the_fingerprint_and_the_budget() -> None:
    book = book_of("permanent", intensity=3)
    book.crash("b")
    (report,) = book.reports
    assert report.fingerprint == ("Boom", "app.py:7")
    assert (report.supervisor, report.budget_used, report.budget_left, report.restarts) == ("s", 1, 2, 1)
    book.crash("b", Killed())
    assert book.reports[-1].fingerprint == ("Killed", "")
