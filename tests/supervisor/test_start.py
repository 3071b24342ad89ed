"""supervision.md 2: how a supervisor starts its children, and what a first start that fails comes to."""

from __future__ import annotations

from regrove.supervisor.actions import KillChild, StartChild
from regrove.supervisor.events import Begin, ChildStarted, LimitReached, StopAsked
from regrove.supervisor.machine import Machine
from regrove.supervisor.reasons import Normal, Shutdown, StartFailed, StartTimedOut
from regrove.supervisor.requests import WhichChildren
from regrove.supervisor.spec import Child, DynamicSupervisor, Supervisor
from tests.supervisor.playbook import BAD_START, Playbook, Worker


def three(**options: object) -> Supervisor:
    return Supervisor("s", [Child(id, Worker) for id in "abc"], **options)  # type: ignore[arg-type]


def test_children_start_in_list_order_and_then_the_supervisor_is_up() -> None:
    assert Playbook(three()).trace == ["start a", "start b", "start c", "up"]


def test_each_child_starts_only_after_the_one_before_finished_its_start() -> None:
    book = Playbook(three(), starts={"b": ["hang"]})
    assert book.trace == ["start a", "start b"]
    assert book.give(book.started("b")) == ["start c", "up"]


def test_a_supervisor_without_children_is_up_at_once() -> None:
    assert Playbook(Supervisor("s")).trace == ["up"]
    assert Playbook(DynamicSupervisor("d")).trace == ["up"]


def test_a_static_child_that_ignores_stays_listed_as_not_running() -> None:
    book = Playbook(three(), starts={"b": ["ignore"]})
    assert book.trace[-1] == "up"
    rows = [(row.id, row.address) for row in book.call(WhichChildren())]
    assert rows == [("a", ("a", 1)), ("b", None), ("c", ("c", 1))]


def test_a_temporary_child_that_ignores_is_dropped() -> None:
    spec = Supervisor("s", [Child("a", Worker), Child("b", Worker, restart="temporary")])
    book = Playbook(spec, starts={"b": ["ignore"]})
    assert [row.id for row in book.call(WhichChildren())] == ["a"]


def test_a_failing_first_start_is_not_retried_and_stops_the_earlier_ones_in_reverse() -> None:
    book = Playbook(three(intensity=5), starts={"c": ["fail"]})
    assert book.trace == ["start a", "start b", "start c", "ask b", "ask a", "finish"]
    assert book.finished == Shutdown(StartFailed("c", BAD_START))
    assert book.contexts() == [("start_error", "c")]


def test_after_a_failing_first_start_later_children_never_start() -> None:
    book = Playbook(three(), starts={"a": ["fail"]})
    assert book.trace == ["start a", "finish"]


def test_a_failed_start_nests_outward() -> None:
    inner = Playbook(Supervisor("inner", [Child("x", Worker)]), starts={"x": ["fail"]})
    assert inner.finished is not None
    outer = Playbook(Supervisor("outer", [Supervisor("inner")]), starts={"inner": [inner.finished]})
    assert outer.finished == Shutdown(StartFailed("inner", Shutdown(StartFailed("x", BAD_START))))


def test_a_failed_start_a_thousand_levels_down_still_has_its_cause_and_its_path() -> None:
    reason: object = BAD_START
    for level in range(1_000):
        book = Playbook(Supervisor("s", [Child(f"c{level}", Worker)]), starts={f"c{level}": [reason]})  # type: ignore[list-item]
        assert book.finished is not None
        reason = book.finished
    assert repr(reason).count("BadStart") == 1
    assert "c999/c998/" in repr(reason)
    assert "'c0'" in repr(reason)


def test_a_child_that_dies_while_a_later_sibling_starts_is_handled_after_the_whole_start() -> None:
    book = Playbook(three(), starts={"b": ["hang"]})
    book.give(book.ends("a"))
    assert book.trace == ["start a", "start b"]
    assert book.give(book.started("b")) == ["start c", "up", "start a"]


def test_a_child_that_is_done_in_its_start_has_started_and_then_ended() -> None:
    book = Playbook(Supervisor("s", [Child("a", Worker, restart="transient"), Child("b", Worker)]), begin=True)
    book.crash("a", Normal())
    assert book.alive == ["b"]


def test_a_child_that_died_before_a_later_first_start_failed_is_absorbed_by_the_stop() -> None:
    book = Playbook(three(), starts={"b": ["hang"]})
    book.give(book.ends("a"))
    assert book.give(book.fails("b")) == ["ask a", "finish"]
    assert book.finished == Shutdown(StartFailed("b", BAD_START))


def test_a_start_that_takes_longer_than_its_timeout_is_killed_and_has_failed() -> None:
    spec = Supervisor("s", [Child("a", Worker), Child("b", Worker, start_timeout=2.0)])
    book = Playbook(spec, starts={"b": ["hang"]})
    assert book.wait(1.9) == []
    assert book.wait(0.1) == ["kill b", "ask a", "finish"]
    assert book.finished == Shutdown(StartFailed("b", StartTimedOut(2.0)))


def test_a_start_within_its_timeout_disarms_it() -> None:
    book = Playbook(Supervisor("s", [Child("a", Worker, start_timeout=2.0)]))
    assert book.limits == {}


def test_a_child_that_started_at_the_very_moment_its_timeout_killed_it_has_failed_all_the_same() -> None:
    spec = Supervisor("s", [Child("a", Worker, start_timeout=2.0)])
    book = Playbook(spec, starts={"a": ["hang"]})
    (token,) = book.limits
    book.limits.clear()
    book.inbox.extend([book.started("a"), book.ends("a")])
    assert book.machine.decide(LimitReached(token), book.now) == [KillChild(book.key("a"))]
    assert book.run() == ["finish"]
    assert book.finished == Shutdown(StartFailed("a", StartTimedOut(2.0)))


def test_extra_arguments_of_a_dynamic_supervisor_come_before_the_childs_own() -> None:
    book = Playbook(DynamicSupervisor("d", extra_arguments=(1, 2)))
    assert book.machine.arguments(Child("a", Worker, 3)) == (1, 2, 3)
    assert book.machine.arguments(Supervisor("s")) == ()
    assert Playbook(three()).machine.arguments(Child("a", Worker, 3)) == (3,)


def machines(spec: Supervisor) -> tuple[Machine, Machine]:
    """Two of the same spec, whose first child starts."""
    pair = Machine(spec), Machine(spec)
    for machine in pair:
        machine.decide(Begin(), 0)
    return pair


def test_the_short_way_to_the_next_start_is_what_the_event_would_have_led_to() -> None:
    short, whole = machines(three())
    for key, id in ((1, "b"), (2, "c")):
        (action,) = whole.decide(ChildStarted(key, id), key)
        assert isinstance(action, StartChild)
        begun = short.start_next(id, key)
        assert begun is not None
        assert (begun.key, begun.spec) == (action.key, action.spec)
        assert short.children() == whole.children()
        assert short.statistics(key) == whole.statistics(key)
    assert short.decide(ChildStarted(3, "c"), 3) == whole.decide(ChildStarted(3, "c"), 3)


def test_there_is_no_short_way_past_the_last_start_nor_around_a_limit() -> None:
    last, _ = machines(Supervisor("s", [Child("a", Worker)]))
    assert last.start_next("a", 1) is None
    for limited in ("a", "b"):
        spec = [Child(id, Worker, start_timeout=1.0 if id == limited else None) for id in "ab"]
        machine, untouched = machines(Supervisor("s", spec))
        assert machine.start_next("a", 1) is None
        assert machine.children() == untouched.children()


def test_there_is_no_short_way_around_a_stop_that_aborts_the_start() -> None:
    machine, _ = machines(three())
    machine.start_next("a", 1)
    machine.decide(StopAsked(Shutdown(), 1.0), 2)
    assert machine.start_next("b", 3) is None
