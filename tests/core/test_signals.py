"""Monitors, links and exit signals on one core (OTP monitor/2, link/1, exit/2)."""

from __future__ import annotations

from typing import Any

import pytest

from regrove import (
    BoundReached,
    Bounds,
    Child,
    Crashed,
    Down,
    Exit,
    Isolate,
    Kill,
    Killed,
    NoProcess,
    Normal,
    Shutdown,
)
from tests.core.bench import Bench, Script, script

BOOM = Crashed("Test", "boom")


def go(step: Any) -> Any:
    return lambda self, ctx, _: step(ctx) and None


def fail(self: Any, ctx: Any, _: Any) -> Any:
    raise ValueError("gone")


def test_a_down_comes_once_after_all_that_its_isolate_sent() -> None:
    log: list[Any] = []

    def last_words(self: Any, ctx: Any, _: Any) -> Any:
        for word in ("one", "two"):
            ctx.send("watcher", word)
        raise ValueError("gone")

    bench = Bench(
        Child("a", script(go=last_words), name="a"),
        Child("watcher", script(log, start=go(lambda ctx: ctx.monitor("a"))), name="watcher"),
    )
    bench.tell("root/a", "go")
    bench.tell("root/a", "go")
    assert log[:2] == ["one", "two"]
    assert isinstance(log[2], Down)
    assert [type(entry).__name__ for entry in log].count("Down") == 1


def test_a_monitor_on_the_dead_says_no_process_at_once() -> None:
    log: list[Any] = []
    bench = Bench(Child("w", script(log, go=go(lambda ctx: ctx.monitor("nobody")))))
    bench.tell("root/w", "go")
    assert [entry.reason for entry in log] == [NoProcess()]


def test_after_demonitor_no_down_comes() -> None:
    log: list[Any] = []

    def step(self: Any, ctx: Any, _: Any) -> Any:
        ticket = ctx.monitor("a")
        log.append((ctx.demonitor(ticket), ctx.demonitor(ticket)))

    bench = Bench(Child("a", script(fail=fail), name="a"), Child("w", script(log, go=step)))
    bench.tell("root/w", "go")
    bench.tell("root/a", "fail")
    assert log == [(True, False)]


def test_two_monitors_on_one_isolate_are_two_downs() -> None:
    log: list[Any] = []
    bench = Bench(
        Child("a", script(fail=fail), name="a"),
        Child("w", script(log, go=go(lambda ctx: [ctx.monitor("a"), ctx.monitor("a")]))),
    )
    bench.tell("root/w", "go")
    bench.tell("root/a", "fail")
    assert len({entry.ticket for entry in log}) == 2


def test_monitors_are_bounded_and_those_told_do_not_count() -> None:
    caught: list[Any] = []

    def start(self: Any, ctx: Any, _: Any) -> Any:
        for _ in range(5):
            ctx.monitor("nobody")
        ctx.monitor("self")
        ctx.monitor("self")
        with pytest.raises(BoundReached):
            ctx.monitor("self")
        caught.append(True)

    Bench(Child("a", script(start=start), name="self"), bounds=Bounds(monitors=2))
    assert caught == [True]


class Trapper(Script):
    trap_exits = True


def linked(log: list[Any], trapping: bool) -> Child:
    steps = {"go": go(lambda ctx: ctx.link("a"))}
    kind = Trapper if trapping else Script
    return Child("b", lambda: kind(log, steps), name="b")


def test_an_abnormal_end_ends_the_linked_isolate_with_its_reason() -> None:
    log: list[Any] = []
    bench = Bench(
        Child("a", script(fail=fail), name="a", restart="temporary"),
        linked([], trapping=False),
        Child("w", script(log, go=go(lambda ctx: ctx.monitor("b")))),
        intensity=5,
    )
    bench.tell("root/b", "go")
    bench.tell("root/w", "go")
    bench.tell("root/a", "fail")
    assert [entry.reason.text for entry in log] == ["gone"]


@pytest.mark.parametrize("reason", [Normal(), Shutdown(), BOOM])
def test_an_isolate_that_traps_gets_an_exit_message_whatever_the_reason(reason: Any) -> None:
    log: list[Any] = []
    from regrove import Done

    bench = Bench(
        Child("a", script(end=lambda s, c, _: Done(reason)), name="a", restart="temporary"), linked(log, True)
    )
    bench.tell("root/b", "go")
    address = bench.address("root/a")
    bench.tell("root/a", "end")
    assert log == [Exit(address, reason)]


def test_a_normal_end_does_not_end_the_linked_isolate() -> None:
    from regrove import DONE

    bench = Bench(Child("a", script(end=lambda s, c, _: DONE), name="a", restart="temporary"), linked([], False))
    bench.tell("root/b", "go")
    bench.tell("root/a", "end")
    assert bench.cell("root/b").incarnation == 1


def test_a_link_works_both_ways() -> None:
    log: list[Any] = []
    bench = Bench(
        Child("a", script(), name="a"),
        Child("b", script(go=go(lambda ctx: ctx.link("a")), fail=fail), name="b"),
        Child("w", script(log, go=go(lambda ctx: ctx.monitor("a")))),
        intensity=5,
    )
    bench.tell("root/b", "go")
    bench.tell("root/w", "go")
    bench.tell("root/b", "fail")
    assert [entry.reason.text for entry in log] == ["gone"]


def test_after_unlink_the_end_of_one_is_nothing_to_the_other() -> None:
    def step(self: Any, ctx: Any, _: Any) -> Any:
        ctx.link("a")
        ctx.unlink(ctx.whereis("a"))

    bench = Bench(Child("a", script(fail=fail), name="a"), Child("b", script(go=step), name="b"))
    bench.tell("root/b", "go")
    bench.tell("root/a", "fail")
    assert bench.cell("root/b").incarnation == 1


def test_linking_to_the_dead_is_an_exit_with_no_process() -> None:
    log: list[Any] = []
    dead: list[Any] = []
    bench = Bench(
        Child("a", script(fail=fail), name="a"),
        Child("b", lambda: Trapper(log, {"go": go(lambda ctx: ctx.link(dead[0]))})),
    )
    dead.append(bench.address("root/a"))
    bench.tell("root/a", "fail")
    bench.tell("root/b", "go")
    assert log == [Exit(dead[0], NoProcess())]


def test_kill_cannot_be_trapped_and_killed_over_a_link_is_ordinary() -> None:
    log: list[Any] = []
    bench = Bench(
        Child("a", lambda: Trapper([], {}), name="a", restart="temporary"),
        linked(log, trapping=True),
        Child("k", script(go=go(lambda ctx: ctx.exit("a", Kill())))),
    )
    bench.tell("root/b", "go")
    address = bench.address("root/a")
    bench.tell("root/k", "go")
    assert log == [Exit(address, Killed())]
    assert bench.alive("root/b")


def test_a_chain_of_links_longer_than_the_stack_ends_without_recursion() -> None:
    length = 3_000

    class Ring(Isolate):
        def __init__(self, number: int) -> None:
            self.number = number

        def handle(self, ctx: Any, message: Any) -> Any:
            from regrove import RECEIVE

            if message == "fail":
                raise ValueError("gone")
            ctx.link(f"i{self.number + 1}")
            return RECEIVE

    children = [Child(f"i{n}", Ring, n, name=f"i{n}", restart="temporary") for n in range(length)]
    bench = Bench(*children)
    for n in range(length - 1):
        bench.tell(f"root/i{n}", "link")
    bench.tell("root/i0", "fail")
    assert bench.core.lifecycle.isolates == 0


def test_an_exit_signal_to_a_supervisor_from_a_stranger_is_ignored_except_kill() -> None:
    from regrove import Supervisor

    inner = Supervisor("inner", [Child("x", script())], name="inner")
    bench = Bench(
        inner,
        Child("k", script(go=go(lambda ctx: ctx.exit("inner", BOOM)), kill=go(lambda ctx: ctx.exit("inner", Kill())))),
    )
    bench.tell("root/k", "go")
    assert bench.cell("root/inner").incarnation == 1
    old = bench.address("root/inner/x")
    bench.tell("root/k", "kill")
    assert bench.cell("root/inner").incarnation == 2
    assert bench.address("root/inner/x") != old
    assert bench.cell("root/inner/x").incarnation == 2
