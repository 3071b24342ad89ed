"""Random histories: against the naive twin, and with ends that come late, against what must always hold."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regrove.supervisor import requests as api
from regrove.supervisor.events import ChildEnded, ChildIgnored, ChildStartFailed, Event, LimitReached, StopAsked
from regrove.supervisor.reasons import Killed, Normal, Reason, Shutdown
from regrove.supervisor.spec import Child, DynamicSupervisor, Supervisor
from tests.supervisor.naive import Naive
from tests.supervisor.playbook import BOOM, SECOND, Playbook, Worker

IDS = "abcde"
REASONS: list[Reason] = [BOOM, Normal(), Shutdown(), Shutdown(BOOM), Killed()]
ids = st.sampled_from(IDS)
restarts = st.sampled_from(["permanent", "permanent", "transient", "temporary"])
outcomes = st.lists(st.sampled_from(["up", "up", "fail", "ignore"]), max_size=6)


@st.composite
def children(draw: st.DrawFn, id: str, significant: bool) -> Child:
    restart: Any = draw(restarts)
    counts = significant and restart != "permanent" and draw(st.booleans())
    shutdown: Any = draw(st.sampled_from(["brutal_kill", 5.0, "infinity"]))
    return Child(id, Worker, restart=restart, significant=counts, shutdown=shutdown)


@st.composite
def supervisors(draw: st.DrawFn) -> Supervisor:
    auto: Any = draw(st.sampled_from(["never", "never", "any_significant", "all_significant"]))
    strategy: Any = draw(st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]))
    return Supervisor(
        "s",
        [draw(children(id, auto != "never")) for id in IDS[: draw(st.integers(0, 4))]],
        strategy=strategy,
        intensity=draw(st.integers(0, 6)),
        period=5.0,
        auto_shutdown=auto,
    )


@st.composite
def operations(draw: st.DrawFn) -> tuple[Any, ...]:
    id = draw(ids)
    call = draw(st.sampled_from(["terminate", "restart", "delete", "which", "count", "start", "spec"]))
    match draw(st.sampled_from(["exit", "exit", "exit", "call", "call"])):
        case "exit":
            return "exit", id, draw(st.sampled_from(REASONS))
        case _:
            requests: dict[str, Any] = {
                "terminate": api.TerminateChild(id),
                "restart": api.RestartChild(id),
                "delete": api.DeleteChild(id),
                "which": api.WhichChildren(),
                "count": api.CountChildren(),
                "spec": api.GetSpec(id),
                "start": api.StartChild(draw(children(id, False))),
            }
            return "call", requests[call]


batches = st.lists(st.tuples(st.integers(0, 3), st.lists(operations(), min_size=1, max_size=4)), max_size=8)


@settings(max_examples=300, deadline=None)
@given(supervisors(), st.dictionaries(ids, outcomes), batches, st.booleans())
def test_the_machine_does_what_its_naive_twin_does(
    spec: Supervisor, starts: dict[str, list[str]], script: list[tuple[int, list[Any]]], stop: bool
) -> None:
    book, twin = Playbook(spec, starts), Naive(spec, starts)
    for gap, batch in script:
        book.now += gap * SECOND
        twin.now += gap * SECOND
        events: list[Event] = []
        mail: list[tuple[Any, ...]] = []
        for operation in batch:
            if operation[0] == "call":
                request = book.request(operation[1])
                events.append(request)
                mail.append(("request", request.token, operation[1]))
            elif operation[1] in book.alive:
                mail.append(("exit", book.address(operation[1]), operation[2]))
                events.append(book.ends(operation[1], operation[2]))
        if book.finished is None:
            book.give(*events)
        twin.give(mail)
        assert book.trace == twin.trace
        assert book.answers == twin.answers
        assert book.finished == twin.finished
    if stop and book.finished is None:
        book.stop(Shutdown("end"))
        twin.give([("stop", Shutdown("end"))])
        assert (book.trace, book.finished) == (twin.trace, twin.finished)


class Checked(Playbook):
    """A core that looks after each event whether its lives and the machine's slots agree."""

    def check(self) -> None:
        running = [row.key for row in self.machine.children() if row.state in ("running", "starting", "stopping")]
        waiting = [event.key for event in self.inbox if isinstance(event, ChildEnded | ChildStartFailed | ChildIgnored)]
        assert [key for key in self.lives if key not in running] == [], "every life has its slot"
        assert [key for key in running if key not in [*self.lives, *waiting]] == [], "every running slot has a life"
        assert self.machine.accepting or self.machine.state == "finished" or self.lives or waiting, (
            "it waits for somebody"
        )


moves = st.tuples(
    st.sampled_from(["end", "end", "settle", "settle", "settle", "call", "call", "limit", "adopt", "tick"]),
    st.integers(0, 1_000),
    ids,
)
SHUTDOWNS = st.dictionaries(ids, st.sampled_from(["hang", "obey", BOOM]))
BEHAVIOURS = st.dictionaries(ids, st.lists(st.sampled_from(["hang", "hang", "up", "fail", "ignore"]), max_size=8))
CALLS: list[Any] = [api.TerminateChild, api.RestartChild, api.DeleteChild, api.GetSpec]


def settle(book: Playbook, choice: int) -> list[Event]:
    """Let one start that hangs, or one stop that hangs, come to its end."""
    if book.starting:
        key = sorted(book.starting)[choice % len(book.starting)]
        return [book.key_started(key) if choice % 3 else book.key_fails(key)]
    return end_one(book, choice)


def end_one(book: Playbook, choice: int) -> list[Event]:
    keys = [key for key in sorted(book.lives) if key not in book.starting]
    return [book.key_ends(keys[choice % len(keys)], REASONS[choice % len(REASONS)])] if keys else []


def make_move(book: Playbook, move: str, choice: int, id: str) -> None:
    match move:
        case "end":
            book.give(*end_one(book, choice))
        case "settle":
            book.give(*settle(book, choice))
        case "call":
            addresses = sorted(book.lives.values())
            target = addresses[choice % len(addresses)] if addresses and choice % 2 else id
            book.give(book.request(CALLS[choice % len(CALLS)](target)))
            book.give(book.request(api.StartChild(Child(id, Worker, start_timeout=1.0))))
        case "limit" if book.limits:
            token = sorted(book.limits)[choice % len(book.limits)]
            del book.limits[token]
            book.give(LimitReached(token))
        case "adopt":
            book.adopt(Child(id, Worker, restart="temporary"))
        case "tick":
            book.now += choice * SECOND // 100


def wind_up(book: Playbook, budget: float | None) -> None:
    """Stop: with a budget by time alone, without one by letting everything settle that hangs."""
    if book.finished is None:
        book.stop(Shutdown("end"), budget)
    if budget is not None:
        book.wait(budget)
        assert book.finished is not None, "a budget ends by time alone"
    for choice in range(200):
        if book.finished is not None:
            return
        book.give(*settle(book, choice))


TREES = st.one_of(supervisors(), st.just(DynamicSupervisor("d", intensity=4, max_children=6)))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TREES, BEHAVIOURS, SHUTDOWNS, st.lists(moves, max_size=40), st.sampled_from([None, 0.0, 2.0]))
def test_whatever_happens_no_child_lives_twice_and_a_stop_always_ends(
    spec: Supervisor | DynamicSupervisor,
    starts: dict[str, list[str]],
    stops: dict[str, str | Reason],
    script: list[tuple[str, int, str]],
    budget: float | None,
) -> None:
    book = Checked(spec, starts, stops)
    for move, choice, id in script:
        if book.finished is None:
            make_move(book, move, choice, id)
    wind_up(book, budget)
    assert book.finished is not None
    assert (book.lives, book.machine.state) == ({}, "finished")


@settings(max_examples=100, deadline=None)
@given(st.permutations(IDS), st.dictionaries(ids, st.sampled_from(["hang", "obey"])), st.sampled_from([None, 3.0]))
def test_a_static_stop_is_in_reverse_start_order_and_one_at_a_time(
    order: list[str], stops: dict[str, str | Reason], budget: float | None
) -> None:
    book = Playbook(Supervisor("s", [Child(id, Worker, shutdown=1.0) for id in order]), stops=stops)
    book.trace.clear()
    book.inbox.append(StopAsked(Shutdown(), budget))
    book.run()
    while book.finished is None:
        assert sum(row.state == "stopping" for row in book.machine.children()) == 1
        book.wait(1.0)
    asked = [line.removeprefix("ask ") for line in book.trace if line.startswith("ask ")]
    assert asked == list(reversed(order))[: len(asked)]
    assert len(asked) == len(order) or budget is not None
