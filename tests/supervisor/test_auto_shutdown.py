"""supervision.md 8: significant children."""

from __future__ import annotations

from typing import Any

import pytest

from regrove.supervisor.reasons import Normal, Shutdown
from regrove.supervisor.requests import RestartChild, TerminateChild
from regrove.supervisor.spec import Child, Supervisor
from regrove.supervisor.strategy import shuts_down
from tests.supervisor.playbook import BOOM, Playbook, Worker


def book_of(auto_shutdown: str, starts: dict[str, list[str]] | None = None, **options: Any) -> Playbook:
    children = [
        Child("a", Worker, restart="transient", significant=True),
        Child("b", Worker, restart="temporary", significant=True),
        Child("c", Worker, restart="transient"),
        Child("d", Worker),
    ]
    options.setdefault("intensity", 5)
    book = Playbook(Supervisor("s", children, auto_shutdown=auto_shutdown, **options), starts)  # type: ignore[arg-type]
    book.trace.clear()
    return book


@pytest.mark.parametrize(("id", "reason"), [("a", Normal()), ("a", Shutdown("x")), ("b", Normal()), ("b", BOOM)])
def test_any_significant_stops_the_rest_in_reverse_when_one_ends_for_good(id: str, reason: Any) -> None:
    book = book_of("any_significant")
    others = [f"ask {other}" for other in "dcba" if other != id]
    assert book.crash(id, reason) == [*others, "finish"]
    assert book.finished == Shutdown()
    assert book.contexts()[-1] == ("auto_shutdown", id)


def test_a_significant_child_that_is_restarted_ends_nothing() -> None:
    book = book_of("any_significant")
    assert book.crash("a") == ["start a"]


def test_all_significant_waits_for_the_last_of_them() -> None:
    book = book_of("all_significant")
    assert book.crash("b") == []
    assert book.crash("a", Normal()) == ["ask d", "ask c", "finish"]


def test_a_significant_child_stopped_by_call_does_not_hold_all_significant_up() -> None:
    book = book_of("all_significant")
    book.call(TerminateChild("a"))
    assert book.finished is None
    book.crash("b")
    assert book.finished == Shutdown()


def test_a_restarting_significant_child_holds_all_significant_up() -> None:
    book = book_of("all_significant", starts={"a": ["up", "fail"]})
    trace = book.give(book.ends("a"), book.ends("b", Normal()))
    assert (trace, book.finished) == (["start a", "start a"], None)


def test_terminate_child_never_triggers_it() -> None:
    book = book_of("any_significant")
    book.call(TerminateChild("a"))
    book.call(TerminateChild("b"))
    assert book.finished is None


def test_stops_of_a_group_restart_never_trigger_it() -> None:
    book = book_of("any_significant", strategy="one_for_all")
    book.crash("d")
    assert (book.finished, book.alive) == (None, ["a", "c", "d"])


def test_ignoring_a_start_never_triggers_it() -> None:
    book = book_of("any_significant", starts={"a": ["up", "ignore", "ignore"]})
    book.crash("a")
    book.call(RestartChild("a"))
    assert book.finished is None


def test_a_child_that_is_not_significant_never_triggers_it() -> None:
    book = book_of("any_significant")
    book.crash("c", Normal())
    assert book.finished is None


def test_under_one_for_all_the_crash_of_a_significant_temporary_shuts_down() -> None:
    book = book_of("any_significant", strategy="one_for_all")
    assert book.crash("b") == ["ask d", "ask c", "ask a", "finish"]


@pytest.mark.parametrize("auto_shutdown", ["never", "any_significant", "all_significant"])
def test_the_rule_agrees_with_its_table(auto_shutdown: Any) -> None:
    held = [(True, True)]
    let = [(True, False), (False, True)]
    assert not shuts_down(auto_shutdown, False, let)
    assert shuts_down(auto_shutdown, True, let) is (auto_shutdown != "never")
    assert shuts_down(auto_shutdown, True, held) is (auto_shutdown == "any_significant")
