"""What a machine promises its driver: what it takes when, what it shows, and what it costs."""

from __future__ import annotations

import pytest

from regrove.supervisor.actions import StartChild
from regrove.supervisor.events import (
    Begin,
    ChildEnded,
    ChildIgnored,
    ChildStarted,
    ChildStartFailed,
    Event,
    LimitReached,
    Request,
    Retry,
    StopAsked,
)
from regrove.supervisor.machine import Machine, UnexpectedEventError
from regrove.supervisor.reasons import Shutdown
from regrove.supervisor.requests import StartChild as StartRequest
from regrove.supervisor.requests import TerminateChild, WhichChildren
from regrove.supervisor.spec import Child, DynamicSupervisor, Supervisor
from tests.supervisor.playbook import BOOM, Playbook, Worker

EVERY: dict[str, Event] = {
    "begin": Begin(),
    "started": ChildStarted(1, ("a", 1)),
    "ignored": ChildIgnored(1),
    "start failed": ChildStartFailed(1, BOOM),
    "ended": ChildEnded(1, BOOM),
    "ended unknown": ChildEnded(99, BOOM),
    "limit": LimitReached(99),
    "retry": Retry(99),
    "request": Request(1, WhichChildren()),
    "stop": StopAsked(Shutdown()),
    "stop in time": StopAsked(Shutdown(), 1.0),
}
TAKEN = {
    "new": {"begin"},
    "starting": {"started", "ignored", "start failed", "limit", "stop in time"},
    "idle": {"ended", "limit", "retry", "request", "stop", "stop in time"},
    "stopping": {"started", "ignored", "start failed", "ended", "limit", "stop in time"},
    "finished": set[str](),
}


def machine_in(state: str) -> Machine:
    machine = Machine(Supervisor("s", [Child("a", Worker)]))
    steps: dict[str, list[Event]] = {
        "new": [],
        "starting": [EVERY["begin"]],
        "idle": [EVERY["begin"], EVERY["started"]],
        "stopping": [EVERY["begin"], EVERY["started"], EVERY["stop"]],
        "finished": [EVERY["begin"], EVERY["started"], EVERY["stop"], EVERY["ended"]],
    }
    for event in steps[state]:
        machine.decide(event, 0)
    return machine


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("state", TAKEN)
def test_the_table_of_what_is_taken_when_and_the_rest_raises_naming_both(state: str, name: str) -> None:
    machine = machine_in(state)
    assert machine.awaits(EVERY[name]) is (name in TAKEN[state])
    assert machine.accepting is (state == "idle")
    if name in TAKEN[state]:
        machine.decide(EVERY[name], 0)
        return
    before = repr(machine), machine.children()
    with pytest.raises(UnexpectedEventError) as caught:
        machine.decide(EVERY[name], 0)
    assert machine.state in str(caught.value)
    assert repr(EVERY[name]) in str(caught.value)
    assert (repr(machine), machine.children()) == before


def test_an_end_of_a_child_that_does_not_run_is_a_defect_of_the_driver() -> None:
    machine = machine_in("idle")
    machine.decide(Request(1, TerminateChild("a")), 0)
    machine.decide(ChildEnded(1, Shutdown()), 0)
    assert machine.accepting
    with pytest.raises(UnexpectedEventError):
        machine.decide(ChildEnded(1, Shutdown()), 0)


def test_the_child_whose_start_runs_is_named_so_that_its_call_gets_an_error() -> None:
    machine = machine_in("starting")
    assert machine.starting == 1
    machine.decide(ChildStarted(1, "x"), 0)
    assert machine.starting is None


def test_the_rows_show_state_address_restarts_and_last_reason() -> None:
    spec = Supervisor("s", [Child("a", Worker), Child("b", Worker), Child("c", Worker)], intensity=5)
    book = Playbook(spec, starts={"b": ["ignore"], "c": ["up", "hang"]})
    book.crash("a")
    book.crash("c")
    rows = book.machine.children()
    assert [(row.id, row.state, row.address, row.restarts) for row in rows] == [
        ("a", "running", ("a", 2), 1),
        ("b", "stopped", None, 0),
        ("c", "starting", None, 1),
    ]
    assert [type(row.last_reason).__name__ for row in rows] == ["Crashed", "Ignored", "Crashed"]
    assert book.machine.child(rows[0].key) == rows[0]
    assert book.machine.child(99) is None


def test_the_statistics_are_a_frozen_record() -> None:
    book = Playbook(Supervisor("s", [Child("a", Worker), Child("b", Worker)], intensity=3))
    book.crash("a")
    statistics = book.machine.statistics(book.now)
    assert (statistics.state, statistics.children, statistics.running, statistics.restarting) == ("idle", 2, 2, 0)
    assert (statistics.restarts, statistics.budget_used, statistics.budget_left) == (1, 1, 2)
    assert statistics.last_reason == BOOM
    assert book.machine.statistics(book.now + 6_000_000_000).budget_used == 0
    assert repr(book.machine) == "<machine 's' idle, 2 children>"


def test_keys_are_never_given_twice() -> None:
    book = Playbook(DynamicSupervisor("d"))
    keys = []
    for _ in range(3):
        address = book.call(StartRequest(Child("w", Worker)))
        keys.append(book.machine.children()[0].key)
        book.call(TerminateChild(address))
    assert keys == [1, 2, 3]


class CountingSlots:
    """Counts how often anybody walks over all children."""

    def __init__(self) -> None:
        self.walks = 0


def test_an_event_costs_the_same_with_ten_thousand_dynamic_children(monkeypatch: pytest.MonkeyPatch) -> None:
    from regrove.supervisor import slots

    machine = Machine(DynamicSupervisor("d", intensity=1_000_000))
    machine.decide(Begin(), 0)
    for number in range(10_000):
        machine.adopt(Child("w", Worker, restart="temporary" if number % 2 else "permanent"), ("w", number))
    walks = CountingSlots()

    def counted(self: slots.Slots) -> object:
        walks.walks += 1
        return iter(self._by_key.values())

    monkeypatch.setattr(slots.Slots, "__iter__", counted)
    for key in range(1, 10_001):
        actions = machine.decide(ChildEnded(key, BOOM), key)
        if key % 2:
            assert any(isinstance(action, StartChild) for action in actions)
            machine.decide(ChildStarted(key, ("again", key)), key)
        machine.decide(Request(key, TerminateChild(("nobody", key))), key)
    assert walks.walks == 1  # the index of addresses is made when somebody first asks by address


def test_ten_thousand_dynamic_children_stop_together() -> None:
    machine = Machine(DynamicSupervisor("d"))
    machine.decide(Begin(), 0)
    for number in range(10_000):
        machine.adopt(Child("w", Worker), ("w", number))
    machine.decide(StopAsked(Shutdown()), 0)
    for key in range(1, 10_001):
        assert machine.state == "busy"
        machine.decide(ChildEnded(key, Shutdown()), 0)
    assert machine.state == "finished"
