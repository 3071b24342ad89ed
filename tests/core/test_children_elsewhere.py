"""Children on other cores: started, stopped, killed and restarted there; lost cores, cut links, leases."""

from __future__ import annotations

from typing import Any

import pytest

from regrove import (
    AlreadyStarted,
    Child,
    CountChildren,
    Crashed,
    DeleteChild,
    DynamicSupervisor,
    GetSpec,
    NoConnection,
    Replied,
    RestartChild,
    Shutdown,
    StartChild,
    StartFailed,
    Supervisor,
    TerminateChild,
    WhichChildren,
)
from regrove.node.core import hosting
from regrove.node.core.bounds import Bounds
from regrove.node.core.ports import StopCore
from regrove.node.core.reasons import Busy
from regrove.supervisor.requests import CalledInStart, InvalidSpec
from tests.core.bench import script
from tests.core.elsewhere import (
    GUEST,
    AsksItsSupervisor,
    FailsToStart,
    Ignores,
    SlowStart,
    Stubborn,
    Worker,
    ask,
    caller,
    elsewhere,
    lives,
    reports,
    row_of,
    worker,
)
from tests.core.pair import Pair


def test_a_child_runs_on_the_core_its_spec_names() -> None:
    pair = elsewhere(worker(name="far"))
    assert pair.b.isolate(GUEST).first == 7
    (info,) = ask(pair, WhichChildren())
    assert info.address == pair.b.address(GUEST)
    assert pair.b.core.registry.holder("far") == info.address


def test_it_starts_only_after_the_one_before_it_and_before_the_one_after() -> None:
    pair = Pair([Supervisor("s", [Child("w", SlowStart, core=1), Child("after", Worker)])], [])
    pair.run(0.5)
    assert not lives(pair.a, "root/s/after")
    pair.run(1.0)
    assert lives(pair.a, "root/s/after")


def test_its_crash_is_its_supervisors_with_the_line_of_the_users_file() -> None:
    pair = elsewhere(worker())
    old = pair.b.address(GUEST)
    pair.tell(pair.b, GUEST, "crash")
    pair.run(0.1)
    assert pair.b.address(GUEST) != old
    assert row_of(pair).restarts == 1
    line = reports(pair.a)[-1]
    assert (line["context"], line["child"], line["exception"]) == ("child_terminated", "w", "ValueError")
    assert "elsewhere.py:" in line["site"]


def test_intensity_counts_it_like_any_child_and_giving_up_kills_nothing_twice() -> None:
    pair = elsewhere(worker(), intensity=1, period=5.0, restart="temporary")
    pair.tell(pair.b, GUEST, "crash", 0.2)
    pair.tell(pair.b, GUEST, "crash", 0.2)
    assert not lives(pair.b)
    assert not lives(pair.a, "root/s")
    assert pair.a.core.remote_children.count == pair.b.core.guests.count == 0


@pytest.mark.parametrize(("factory", "answer"), [(FailsToStart, "failed"), (Ignores, None)])
def test_a_start_that_fails_or_ignores_is_answered_as_here(factory: Any, answer: object) -> None:
    pair = elsewhere()
    given = ask(pair, StartChild(Child("x", factory, core=1)))
    if answer is None:
        assert given is None
    else:
        assert isinstance(given, StartFailed)
        assert isinstance(given.reason, Crashed)
    assert pair.b.core.guests.count == 0


def test_terminate_restart_and_delete_work_on_it() -> None:
    pair = elsewhere(worker())
    assert ask(pair, TerminateChild("w")) is True
    assert not lives(pair.b)
    assert ask(pair, RestartChild("w")) == pair.b.address(GUEST)
    assert ask(pair, TerminateChild(pair.b.address(GUEST))) is True
    assert ask(pair, DeleteChild("w")) is True
    assert pair.b.core.guests.count == pair.a.core.remote_children.count == 0


def test_one_that_does_not_stop_is_killed_when_its_limit_is_over() -> None:
    pair = elsewhere(Child("w", Stubborn, core=1, shutdown=0.5))
    assert ask(pair, TerminateChild("w"), seconds=1.0) is True
    assert not lives(pair.b)


def test_with_a_limit_of_zero_its_stop_has_its_one_turn() -> None:
    pair = elsewhere(worker(shutdown=0))
    assert ask(pair, TerminateChild("w")) is True
    assert reports(pair.a) == []
    stubborn = elsewhere(Child("w", Stubborn, core=1, shutdown=0))
    assert ask(stubborn, TerminateChild("w")) is True
    assert [line["context"] for line in reports(stubborn.a)] == ["shutdown_error"]


def test_a_start_that_takes_too_long_is_killed_there() -> None:
    pair = elsewhere()
    given = ask(pair, StartChild(Child("x", SlowStart, core=1, start_timeout=0.3)), seconds=1.5)
    assert isinstance(given, StartFailed)
    assert type(given.reason).__name__ == "StartTimedOut"
    assert pair.b.core.guests.count == 0


def test_a_spec_that_is_too_big_for_the_way_is_refused_with_its_size() -> None:
    pair = elsewhere()
    given = ask(pair, StartChild(Child("x", Worker, 1, ("a",), core=1)))
    assert given == pair.b.address("guests/n@h/0/root/s/x")
    big = ask(pair, StartChild(Child("y", Worker, 1, ("a" * 70_000,), core=1)))
    assert isinstance(big, StartFailed)
    assert isinstance(big.reason, InvalidSpec)
    assert "over 65536" in big.reason.text


def test_a_factory_that_is_no_class_cannot_be_a_child_elsewhere() -> None:
    pair = Pair([Supervisor("s", [Child("w", script(), core=1)], restart="temporary")], [])
    pair.run(0.1)
    assert "cannot be sent to the core it belongs on" in str(reports(pair.a)[0]["reason"])


def test_a_name_that_is_taken_there_is_a_failed_start() -> None:
    log: list[Any] = []
    pair = Pair([Supervisor("s", []), caller(log)], [Child("first", Worker, name="far")])
    pair.log = log  # type: ignore[attr-defined]
    given = ask(pair, StartChild(Child("w", Worker, core=1, name="far")))
    assert given == StartFailed("w", AlreadyStarted(pair.b.address("root/first")))


def test_children_of_every_strategy_may_live_elsewhere() -> None:
    for strategy, restarted in (("one_for_all", True), ("rest_for_one", True), ("one_for_one", False)):
        pair = elsewhere(Child("first", Worker), worker(), intensity=9, strategy=strategy)
        old = pair.b.address(GUEST)
        pair.tell(pair.a, "root/s/first", "crash", 0.3)
        assert (pair.b.address(GUEST) != old) is restarted, strategy


def test_a_dynamic_supervisor_has_children_elsewhere_with_its_extra_arguments_first() -> None:
    log: list[Any] = []
    pair = Pair([DynamicSupervisor("d", extra_arguments=(5,), max_children=2), caller(log)], [])
    pair.log = log  # type: ignore[attr-defined]
    child = Child("w", Worker, ("x",), core=1)
    first = ask(pair, StartChild(child), path="root/d")
    second = ask(pair, StartChild(child), path="root/d")
    assert first != second
    cells = [pair.b.core.registry.local(at.slot, at.generation) for at in (first, second)]
    assert [(cell.isolate.first, cell.isolate.words) for cell in cells if cell] == [(5, ("x",))] * 2
    assert ask(pair, TerminateChild(first), path="root/d") is True


def test_a_core_that_dies_ends_its_guests_and_they_are_back_when_it_is() -> None:
    pair = elsewhere(worker(), intensity=1)
    pair.crash(1)
    pair.run(2.0)
    (info,) = ask(pair, WhichChildren())
    assert info.address == "restarting"
    pair.start(1)
    pair.run(0.3)
    (info,) = ask(pair, WhichChildren())
    assert info.address == pair.b.address(GUEST)
    assert len(reports(pair.a)) == 1  # one restart, however long it waited for its core


def test_waiting_for_a_core_is_cancelled_by_terminate_and_by_the_end_of_the_supervisor() -> None:
    pair = elsewhere(worker(), intensity=9)
    pair.crash(1)
    pair.run(0.2)
    assert ask(pair, TerminateChild("w")) is True
    pair.start(1)
    pair.run(0.5)
    assert not lives(pair.b)
    assert ask(pair, RestartChild("w")) == pair.b.address(GUEST)
    pair.crash(1)
    pair.run(0.2)
    assert row_of(pair).state == "restarting"
    pair.a.core.supervising.kill(pair.a.cell("root/s").supervising)  # type: ignore[arg-type]
    pair.run(0.2)
    assert not pair.a.core.remote_children._awaiting


def test_when_the_core_of_the_supervisor_dies_its_children_elsewhere_die_too() -> None:
    pair = elsewhere(worker())
    pair.crash(0)
    pair.run(0.1)
    assert not lives(pair.b)
    assert pair.b.core.guests.count == 0
    pair.start(0)
    pair.run(0.3)
    assert lives(pair.b)


def test_a_killed_supervisor_takes_its_children_elsewhere_with_it() -> None:
    pair = elsewhere(worker(name="far"), restart="temporary")
    pair.a.core.supervising.kill(pair.a.cell("root/s").supervising)  # type: ignore[arg-type]
    pair.run(0.1)
    assert not lives(pair.b)
    assert not lives(pair.a, "root/s")
    assert pair.b.core.guests.count == pair.a.core.remote_children.count == 0


def test_a_supervisor_killed_while_its_child_elsewhere_starts_leaves_no_orphan() -> None:
    pair = Pair([Supervisor("s", [Child("w", SlowStart, core=1)], restart="permanent", intensity=5)], [])
    pair.run(0.2)
    assert lives(pair.b)
    pair.a.core.supervising.kill(pair.a.cell("root/s").supervising)  # type: ignore[arg-type]
    pair.run(0.1)
    assert not lives(pair.a, "root/s")  # killed in its own first start: the start of the tree has failed
    assert pair.b.core.guests.count == pair.a.core.remote_children.count == 0


def test_the_first_start_on_a_core_that_is_not_there_fails_after_a_while() -> None:
    pair = Pair([Supervisor("s", [Child("w", Worker, core=7)], restart="temporary")], [])
    pair.run(1.0)
    assert lives(pair.a, "root/s")
    pair.run(6.0)
    assert not lives(pair.a, "root/s")
    assert reports(pair.a)[0]["reason"] == "NoConnection()"


def test_the_first_start_waits_for_a_core_that_is_a_little_late() -> None:
    pair = Pair([Supervisor("s", [Child("w", Worker, core=1)])], [])
    pair.crash(1)
    pair.crash(0)
    pair.start(0)
    pair.run(2.0)
    pair.start(1)
    pair.run(0.3)
    assert lives(pair.b)


def test_start_child_on_a_core_that_is_not_there_is_answered_at_once() -> None:
    pair = elsewhere()
    assert ask(pair, StartChild(Child("x", Worker, core=9)), 0.05) == StartFailed("x", NoConnection())


def test_a_core_that_is_full_of_guests_refuses_the_next() -> None:
    log: list[Any] = []
    pair = Pair([Supervisor("s", [worker()]), caller(log)], [], bounds=Bounds(guests=1))
    pair.log = log  # type: ignore[attr-defined]
    assert ask(pair, StartChild(Child("x", Worker, core=1))) == StartFailed("x", Busy())
    assert ask(pair, TerminateChild("w")) is True
    assert ask(pair, StartChild(Child("x", Worker, core=1))) == pair.b.address("guests/n@h/0/root/s/x")


def test_supervisors_with_too_many_children_elsewhere_are_refused_here() -> None:
    log: list[Any] = []
    pair = Pair([Supervisor("s", [worker()]), caller(log)], [], bounds=Bounds(remote_children=1))
    pair.log = log  # type: ignore[attr-defined]
    assert ask(pair, StartChild(Child("x", Worker, core=1))) == StartFailed("x", Busy())


def test_a_core_that_stops_takes_its_guests_along_and_no_new_ones() -> None:
    pair = elsewhere(worker(), intensity=9)
    pair._pass(pair.b, StopCore(5.0, Shutdown()))
    pair.run(0.2)
    assert not lives(pair.b)
    assert ask(pair, StartChild(Child("x", Worker, core=1))) == StartFailed("x", Shutdown())
    assert len(reports(pair.a)) == 2  # its end, and the start that was refused: waiting counts nothing
    assert ask(pair, WhichChildren())[0].address == "restarting"


def test_the_core_of_the_supervisor_stops_its_children_elsewhere() -> None:
    pair = elsewhere(worker())
    pair._pass(pair.a, StopCore(5.0, Shutdown()))
    pair.run(0.3)
    assert pair.b.core.guests.count == 0
    assert not reports(pair.a)


def test_a_guest_that_calls_its_own_supervisor_in_its_start_gets_an_error() -> None:
    pair = elsewhere()
    supervisor = pair.a.address("root/s")
    ask(pair, StartChild(Child("w", AsksItsSupervisor, supervisor, core=1)))
    assert pair.b.isolate(GUEST).seen == [Replied(CalledInStart())]


def test_a_guest_cannot_spawn_under_its_own_supervisor() -> None:
    pair = elsewhere(worker())
    pair.tell(pair.b, GUEST, ("spawn", Child("x", Worker)))
    (_, refused) = pair.b.isolate(GUEST).seen
    assert not refused
    assert "lives on another core" in refused.reason.text


def test_a_child_elsewhere_starts_and_stops_while_the_link_is_full_of_mail() -> None:
    pair = elsewhere(worker(), intensity=9)
    link = pair.a.core.links
    home = pair.b.core.home
    while link.post(home, (1, 99_999, 1, b"x" * 100)):
        pass
    assert ask(pair, TerminateChild("w"), 0.05) is True
    assert ask(pair, RestartChild("w"), 0.05) == pair.b.address(GUEST)


def test_a_child_elsewhere_is_worked_while_its_mailbox_and_both_pools_are_full() -> None:
    pair = Pair([Supervisor("s", [Child("w", SlowStart, core=1)], intensity=9)], [])
    for host in (pair.a, pair.b):
        host.core.pool_limit = 0  # as if the mailboxes of others held so much
    assert not pair.b.core.inject(pair.b.address(GUEST), "no room")
    pair.run(1.5)
    assert lives(pair.b)
    assert row_of(pair).state == "running"
    pair.b.core.signals.kill(pair.b.cell(GUEST), Crashed("Test", "boom"))
    pair.run(1.5)
    assert (row_of(pair).state, row_of(pair).restarts) == ("running", 1)
    assert not pair.b.core.inject(pair.b.address(GUEST), "no room")


def test_an_isolate_of_the_other_core_works_the_api_of_a_supervisor_here() -> None:
    log: list[Any] = []
    pair = Pair([Supervisor("s", [Child("w", Worker)])], [caller(log)])
    supervisor = pair.a.address("root/s")
    for request in (
        StartChild(Child("x", Worker, core=1)),
        WhichChildren(),
        CountChildren(),
        GetSpec("x"),
        TerminateChild("x"),
        RestartChild("x"),
        TerminateChild("x"),
        DeleteChild("x"),
    ):
        pair.tell(pair.b, "root/caller", ("call", supervisor, request), 0.1)
    values: list[Any] = [item.value for item in log if isinstance(item, Replied)]
    assert [info.id for info in values[1]] == ["w", "x"]
    assert (values[2].active, values[3].core) == (2, 1)
    assert values[0] != values[5]
    assert values[4] is values[6] is values[7] is True


def test_signals_of_children_elsewhere_from_a_program_are_malformed() -> None:
    pair = elsewhere()
    client = pair.b.core.home._replace(node="client:1", core=-2)
    before = pair.b.core.links.malformed
    pair.b.core.links._items(client, 1, 1, ((hosting.HOST, 1, b""), (hosting.ASK, "x", 1)))
    assert pair.b.core.links.malformed == before + 2


def test_garbage_in_the_signals_of_children_elsewhere_starts_and_ends_nothing() -> None:
    pair = elsewhere(worker())
    old, home = pair.b.address(GUEST), pair.a.core.home
    for item in (
        (hosting.HOST, 77, b"\xc1"),
        (hosting.HOST, 78, b"\x90"),
        (hosting.LEASE, 1, 10**15, 10**15),
        (hosting.ENDED, 1, 99, 0, 0, b""),
        (hosting.STOP, 99, b""),
        (hosting.KILL, 99),
        (hosting.FORGET, 1),
        (hosting.HOSTED, 5, 1, 1),
    ):
        pair.b.core.links._items(home, 1, 1, (item,))
    pair.run(0.5)
    assert pair.b.address(GUEST) == old
    assert pair.b.core.guests.count == 1
