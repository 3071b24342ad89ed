"""Supervisors on a real core: starts, restarts, stops, escalation, spawn, depth."""

from __future__ import annotations

from typing import Any

import pytest

from regrove import (
    DONE,
    IGNORE,
    RECEIVE,
    AlreadyStarted,
    Call,
    Child,
    CountChildren,
    Counts,
    Crashed,
    DynamicSupervisor,
    Failed,
    Isolate,
    Killed,
    MaxChildren,
    Misuse,
    NotFound,
    Push,
    Replied,
    Shutdown,
    Sleep,
    SpawnRefused,
    StartChild,
    StartFailed,
    Supervisor,
    TerminateChild,
    UnknownRequest,
    WhichChildren,
)
from regrove.node.core.bounds import Bounds
from regrove.node.core.ports import Started, Stopped
from tests.core.bench import Bench, Events, script


def fail(self: Any, ctx: Any, _: Any) -> Any:
    raise ValueError("gone")


def noting(log: list[Any], name: str, **steps: Any) -> Any:
    def stop(self: Any, ctx: Any, _: Any) -> Any:
        log.append(f"stop {name}")
        return DONE

    return script(
        log,
        start=lambda s, ctx, _: log.append(f"start {name}"),
        stop=stop,
        fail=fail,
        **steps,
    )


def test_children_start_in_order_and_stop_in_reverse() -> None:
    log: list[Any] = []
    bench = Bench(*[Child(n, noting(log, n)) for n in "abc"])
    assert log == ["start a", "start b", "start c"]
    assert bench.control[0] == Started()
    log.clear()
    bench.core.supervising.stop(Shutdown(), None)
    bench.settle()
    assert log == ["stop c", "stop b", "stop a"]
    assert bench.control[-1] == Stopped(Shutdown(), asked=True)


def test_what_a_start_sends_is_handled_before_the_next_sibling_starts() -> None:
    log: list[Any] = []

    def tell(self: Any, ctx: Any, _: Any) -> None:
        log.append("start b")
        ctx.send("a", "mail")
        ctx.send(ctx.self, "mine")

    first = script(log, start=lambda s, c, _: log.append("start a"), mail=lambda s, c, _: log.append("mail at a"))
    second = script(log, start=tell, mine=lambda s, c, _: log.append("mail at b"))
    Bench(Child("a", first, name="a"), Child("b", second), Child("c", noting(log, "c")))
    assert log.index("mail at b") < log.index("start c")
    assert set(log) == {"start a", "start b", "mail at b", "mail at a", "start c"}


@pytest.mark.parametrize("wait", [Call("t", "mail"), Push("t", "mail")])
def test_what_a_start_waits_for_is_begun_before_the_next_sibling_starts(wait: Any) -> None:
    log: list[Any] = []
    target = script(log, mail=lambda s, c, _: log.append("mail"))
    Bench(
        Child("t", target, name="t"), Child("a", script([], start=lambda s, c, _: wait)), Child("b", noting(log, "b"))
    )
    assert log.index("mail") < log.index("start b")


def test_a_tree_that_starts_keeps_to_the_budget_of_a_pass() -> None:
    bench = Bench(*[Child(f"c{n}", script([])) for n in range(40)], bounds=Bounds(pass_budget=10))
    assert bench.core.counters.passes >= 8
    assert bench.core.counters.callbacks == 40


def test_a_later_sibling_waits_until_a_slow_start_has_ended() -> None:
    log: list[Any] = []
    bench = Bench(
        Child("slow", script(log, start=lambda s, c, _: Sleep(3, then=s.then), then=lambda s, c, _: log.append("up"))),
        Child("next", noting(log, "next")),
    )
    bench.tell("root/slow", "mail")
    assert log == []
    bench.advance(3)
    assert log == ["up", "mail", "start next"]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("one_for_one", ["start b"]),
        ("one_for_all", ["stop c", "stop a", "start a", "start b", "start c"]),
        ("rest_for_one", ["stop c", "start b", "start c"]),
    ],
)
def test_each_strategy_restarts_what_it_says(strategy: Any, expected: list[str]) -> None:
    log: list[Any] = []
    bench = Bench(*[Child(n, noting(log, n)) for n in "abc"], strategy=strategy)
    log.clear()
    bench.tell("root/b", "fail")
    assert log == expected


def test_a_root_that_gives_up_is_an_escalation_with_the_last_crash() -> None:
    bench = Bench(Child("a", script(fail=fail)))
    bench.tell("root/a", "fail")
    bench.tell("root/a", "fail")
    stopped = bench.control[-1]
    assert isinstance(stopped, Stopped)
    assert not stopped.asked
    assert isinstance(stopped.reason, Shutdown)
    assert isinstance(stopped.reason.detail, Crashed)
    assert stopped.reason.detail.text == "gone"


def test_a_failed_first_start_nests_outward_and_later_children_never_start() -> None:
    log: list[Any] = []
    bench = Bench(
        Supervisor(
            "inner", [Child("ok", noting(log, "ok")), Child("bad", script(start=fail)), Child("z", noting(log, "z"))]
        )
    )
    stopped = bench.control[-1]
    assert isinstance(stopped, Stopped)
    assert log == ["start ok", "stop ok"]
    inner = stopped.reason.detail  # type: ignore[attr-defined]
    assert isinstance(inner, StartFailed)
    assert inner.id == "inner"
    assert inner.reason.detail.id == "bad"  # type: ignore[attr-defined]


def test_a_child_that_ignores_is_listed_and_not_running() -> None:
    bench = Bench(Child("a", script(start=lambda s, c, _: IGNORE)), Child("b", script()))
    assert not bench.alive("root/a")
    assert bench.alive("root/b")
    assert bench.core.supervising.root is not None
    assert bench.core.supervising.root.machine.children()[0].state == "stopped"


def test_a_brutal_kill_runs_no_stop_and_a_limit_kills_what_does_not_end() -> None:
    log: list[Any] = []

    def never(self: Any, ctx: Any, _: Any) -> Any:
        log.append("asked")
        return RECEIVE

    bench = Bench(
        Child("brutal", script(log, stop=never), shutdown="brutal_kill"),
        Child("slow", script(log, stop=never), shutdown=2),
    )
    bench.core.supervising.stop(Shutdown(), None)
    bench.settle()
    assert log == ["asked"]
    bench.advance(1.9)
    assert bench.alive("root/slow")
    bench.advance(0.2)
    assert bench.core.lifecycle.isolates == 0
    assert log == ["asked"]


def test_a_total_budget_overrides_the_individual_limits() -> None:
    bench = Bench(*[Child(n, script(stop=lambda s, c, _: RECEIVE), shutdown="infinity") for n in "abc"])
    bench.core.supervising.stop(Shutdown(), 3)
    bench.settle()
    bench.advance(2.9)
    assert not isinstance(bench.control[-1], Stopped)
    bench.advance(0.2)
    assert isinstance(bench.control[-1], Stopped)
    assert bench.core.lifecycle.isolates == 0


def ask(log: list[Any]) -> Child:
    return Child(
        "asker",
        script(log, tuple=lambda s, c, m: Call(m[0], m[1]), spawn=lambda s, c, m: None),
        name="asker",
    )


def answer(bench: Bench, log: list[Any], to: str, request: Any) -> Any:
    """Have the asker call, with the spec kept out of the mailbox: factories of tests do not travel."""
    bench.isolate("root/asker").steps["go"] = lambda s, c, _: Call(to, request)
    bench.tell("root/asker", "go")
    return log[-1].value if isinstance(log[-1], Replied) else log[-1]


class Worker(Isolate):
    def __init__(self, *args: Any) -> None:
        self.args = args

    def handle(self, ctx: Any, message: Any) -> Any:
        if message == "fail":
            raise ValueError("gone")
        return DONE if message == "done" else RECEIVE


def test_the_api_of_a_running_supervisor_is_requests_to_its_address() -> None:
    log: list[Any] = []
    bench = Bench(ask(log), Supervisor("sup", [Child("a", Worker)], name="sup"))
    address = answer(bench, log, "sup", StartChild(Child("b", Worker)))
    assert address == bench.address("root/sup/b")
    assert answer(bench, log, "sup", StartChild(Child("b", Worker))) == AlreadyStarted(address)
    assert [row.id for row in answer(bench, log, "sup", WhichChildren())] == ["a", "b"]
    assert answer(bench, log, "sup", CountChildren()) == Counts(2, 2, 0, 2)
    assert answer(bench, log, "sup", TerminateChild("b")) is True
    assert answer(bench, log, "sup", TerminateChild("nobody")) == NotFound()
    assert answer(bench, log, "sup", CountChildren()) == Counts(2, 1, 0, 2)
    assert isinstance(answer(bench, log, "sup", "what?"), UnknownRequest)


def test_a_child_that_calls_its_own_supervisor_inside_start_gets_an_error_not_a_hang() -> None:
    log: list[Any] = []
    bench = Bench(
        Supervisor(
            "sup",
            [Child("a", script(log, start=lambda s, c, _: Call("sup", WhichChildren(), then=s.then)))],
            name="sup",
        )
    )
    assert [type(entry.value).__name__ for entry in log] == ["CalledInStart"]
    assert bench.alive("root/sup/a")


def test_spawn_returns_at_once_and_the_child_starts_in_its_own_turn() -> None:
    log: list[Any] = []

    def spawn(self: Any, ctx: Any, _: Any) -> Any:
        made = ctx.spawn(Child("w", Worker, 1), under="pool")
        log.append((made, ctx.send(made, "hello")))

    bench = Bench(DynamicSupervisor("pool", name="pool", extra_arguments=(0,)), Child("a", script(go=spawn)))
    bench.tell("root/a", "go")
    assert log[0] == (bench.address("root/pool/w"), log[0][1])
    assert log[0][1]
    assert bench.isolate("root/pool/w").args == (0, 1)


def test_spawn_past_max_children_is_refused_with_the_reason() -> None:
    log: list[Any] = []
    bench = Bench(
        DynamicSupervisor("pool", name="pool", max_children=1),
        Child("a", script(go=lambda s, ctx, _: log.append(ctx.spawn(Child("w", Worker), under="pool")))),
    )
    bench.tell("root/a", "go")
    bench.tell("root/a", "go")
    assert not log[1]
    assert log[1] == SpawnRefused(MaxChildren(1))


def test_spawn_under_what_is_no_supervisor_names_the_mend() -> None:
    bench = Bench(
        Child("a", script(go=lambda s, ctx, _: ctx.spawn(Child("w", Worker), under="a")), name="a"),
    )
    bench.tell("root/a", "go")
    crashes = [fields["reason"] for event, fields in bench.log.lines if event == "crashed"]
    assert Misuse.__name__ in crashes[0]
    assert "DynamicSupervisor" in crashes[0]


@pytest.mark.parametrize(("restart", "alive"), [("permanent", True), ("transient", True), ("temporary", False)])
def test_a_spawned_child_is_restarted_by_its_type(restart: Any, alive: bool) -> None:
    bench = Bench(
        DynamicSupervisor("pool", name="pool"),
        Child("a", script(go=lambda s, ctx, _: ctx.spawn(Child("w", Worker, restart=restart), under="pool") and None)),
    )
    bench.tell("root/a", "go")
    bench.tell("root/pool/w", "fail")
    assert bench.alive("root/pool/w") is alive


def test_a_failed_start_of_a_spawned_child_is_a_reported_exit() -> None:
    def bad() -> Any:
        raise ValueError("no")

    bench = Bench(
        DynamicSupervisor("pool", name="pool"),
        Child("a", script(go=lambda s, c, _: c.spawn(Child("w", bad, restart="temporary"), under="pool") and None)),
    )
    bench.tell("root/a", "go")
    reports = [fields for event, fields in bench.log.lines if event == "supervisor"]
    assert [(fields["path"], fields["child"]) for fields in reports] == [("root/pool", "w")]
    assert not bench.alive("root/pool/w")


def test_an_end_that_comes_after_a_failed_restart_waits_behind_its_retry() -> None:
    """OTP's supervisor sends itself the retry at once, and what comes later stands behind it in its mailbox."""
    log: list[str] = []

    def fails_once(self: Any, ctx: Any, _: Any) -> Any:
        log.append("a")
        if log.count("a") == 2:
            fail(self, ctx, _)

    def dies_once(self: Any, ctx: Any, _: Any) -> Any:
        log.append("b")
        if log.count("b") == 2:
            ctx.send(ctx.self, "fail")

    bench = Bench(
        Child("a", script(start=fails_once, fail=fail)), Child("b", script(start=dies_once, fail=fail)), intensity=9
    )
    for path in ("root/a", "root/b"):
        assert bench.core.inject(bench.address(path), "fail")
    bench.settle()
    assert log == ["a", "b", "a", "b", "a", "b"]


def test_a_killed_supervisor_takes_its_children_with_it_however_deep() -> None:
    tree: Any = Child("leaf", script())
    for depth in range(50):
        tree = Supervisor(f"s{depth}", [tree, Child("side", script())], name=f"s{depth}")
    from regrove import Kill

    bench = Bench(tree, Child("k", script(go=lambda s, ctx, _: ctx.exit("s49", Kill()))))
    old = [cell for cell in bench.core.cells if cell is not None and "s49" in cell.path]
    bench.tell("root/k", "go")
    assert all(cell.state == 3 for cell in old)
    assert bench.alive("root/s49")


def test_a_thousand_nested_supervisors_start_escalate_and_stop() -> None:
    tree: Any = Child("leaf", script(fail=fail))
    for depth in range(1_000):
        tree = Supervisor(f"s{depth}", [tree], intensity=0)
    bench = Bench(tree, intensity=1)
    leaf = next(cell for cell in bench.core.cells if cell is not None and cell.id == "leaf")
    assert bench.core.inject(leaf.address, "fail")
    bench.settle()
    assert sum(1 for cell in bench.core.cells if cell is not None) == 1_002
    bench.core.supervising.stop(Shutdown(), None)
    bench.settle()
    assert not [cell for cell in bench.core.cells if cell is not None]


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 6])
def test_attempts_multiply_per_level_as_in_otp(depth: int) -> None:
    starts: list[Any] = []

    def start(self: Any, ctx: Any, _: Any) -> Any:
        starts.append(1)

    def crash_soon(self: Any, ctx: Any, _: Any) -> Any:
        starts.append(1)
        ctx.send(ctx.self, "fail")

    tree: Any = Child("leaf", script(start=crash_soon, fail=fail))
    for level in range(depth):
        tree = Supervisor(f"s{level}", [tree], intensity=1)
    bench = Bench(tree, intensity=0)
    assert len(starts) == 2**depth
    assert isinstance(bench.control[-1], Stopped)


def test_ten_thousand_dynamic_children_start_crash_and_stop() -> None:
    count = 10_000

    def spawn(self: Any, ctx: Any, _: Any) -> Any:
        for number in range(count):
            assert ctx.spawn(Child(f"w{number}", Worker), under="pool")

    bench = Bench(
        DynamicSupervisor("pool", name="pool", intensity=count, max_children=count), Child("a", script(go=spawn))
    )
    bench.tell("root/a", "go")
    workers = [cell for cell in bench.core.cells if cell is not None and "pool/" in cell.path]
    for cell in workers:
        bench.core.inject(cell.address, "fail")
    bench.settle()
    assert bench.core.lifecycle.isolates == count + 1
    bench.core.supervising.stop(Shutdown(), None)
    bench.settle()
    assert bench.core.lifecycle.isolates == 0


def test_supervision_works_with_every_mailbox_and_the_pool_full() -> None:
    from regrove import Bounds

    class Stuffed(Isolate):
        mailbox_capacity = 1

        def handle(self, ctx: Any, message: Any) -> Any:
            return Sleep(60)

    bench = Bench(Child("a", Stuffed), Child("b", Stuffed), bounds=Bounds(pool_messages=2))
    for path in ("root/a", "root/a", "root/b", "root/b"):
        bench.tell(path, "x")
    assert bench.core.pool_messages == 2
    from regrove.node.core.isolate import KILL

    for path in ("root/a",):
        bench.core.signals.kill(bench.cell(path), Killed())
        assert bench.cell(path).flags & KILL
    bench.settle()
    assert bench.cell("root/a").incarnation == 2
    bench.core.supervising.stop(Shutdown(), None)
    bench.settle()
    assert bench.control[-1] == Stopped(Shutdown(), asked=True)
    assert (bench.core.pool_messages, bench.core.pool_bytes) == (0, 0)


def test_too_many_requests_waiting_at_a_supervisor_fail_busy() -> None:
    from regrove import Bounds, Busy

    log: list[Any] = []

    def flood(self: Any, ctx: Any, _: Any) -> Any:
        for _ in range(4):
            ctx.request("sup", CountChildren())

    bench = Bench(
        Supervisor("sup", [], name="sup"), Child("a", script(log, go=flood)), bounds=Bounds(supervisor_requests=2)
    )
    bench.tell("root/a", "go")
    assert [entry.reason for entry in log if isinstance(entry, Failed)] == [Busy()] * 2
    assert [entry.value for entry in log if isinstance(entry, Replied)] == [Counts(0, 0, 0, 0)] * 2


def test_between_two_events_of_one_inbox_an_isolate_has_its_turn() -> None:
    def go(self: Any, ctx: Any, message: Any) -> None:
        for name in "bcd":
            ctx.send(name, "turn")
            ctx.request("root", TerminateChild(f"no {name}"))

    children = [Child("a", script(go=go)), *[Child(name, script(), name=name) for name in "bcd"]]
    events = Events()
    bench = Bench(tree=Supervisor("root", children, name="root"), tracer=events)
    bench.tell("root/a", "go")
    order = [line for line in events.lines if "supervise" in line or "turn" in line][-6:]
    assert [line[1] for line in order] == ["root", "root/b", "root", "root/c", "root", "root/d"]
