"""What is wrong with a wait is said where it is made, and a wait that could not begin leaves nothing behind."""

from __future__ import annotations

from typing import Any

import pytest

from regrove import (
    RECEIVE,
    Await,
    Call,
    CallAll,
    Child,
    Crashed,
    Failed,
    Gathered,
    Kill,
    Misuse,
    Name,
    Offload,
    Push,
    Replied,
    Reply,
    Sleep,
    Supervisor,
    UnsendableValue,
)
from regrove.node.core.ports import IoRequest
from tests.core.bench import Bench, script
from tests.core.pair import Pair

NEVER = [float("nan"), float("inf"), -1, 1e10, 10**30, "soon"]


@pytest.mark.parametrize("seconds", NEVER, ids=str)
def test_seconds_that_are_no_time_to_wait_are_refused_where_they_are_written(seconds: Any) -> None:
    for make in (lambda: Call("b", 1, timeout=seconds), lambda: Push("b", 1, timeout=seconds), lambda: Sleep(seconds)):
        with pytest.raises(Misuse, match="seconds"):
            make()


@pytest.mark.parametrize("seconds", NEVER, ids=str)
def test_a_timer_of_no_time_is_refused_at_the_call(seconds: Any) -> None:
    seen: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        for ask in (ctx.send_after, ctx.send_every):
            with pytest.raises(Misuse, match="seconds"):
                ask(seconds, "x")
            seen.append(ask)

    bench = Bench(Child("a", script(go=go)))
    bench.tell("root/a", "go")
    assert len(seen) == 2
    assert len(bench.core.timers) == 0


@pytest.mark.parametrize("to", [5, None, ("a",), Name(["a"]), Name("a", core="0")], ids=str)  # type: ignore[arg-type]
def test_a_timer_to_what_is_no_target_is_refused_at_the_call_and_never_harms_the_core(to: Any) -> None:
    seen: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        if to is not None:
            with pytest.raises(Misuse, match="Address"):
                ctx.send_after(1, "x", to=to)
        seen.append(to)

    bench = Bench(Child("a", script(go=go)))
    bench.tell("root/a", "go")
    bench.advance(2)
    assert seen == [to]


def test_then_is_a_callable_and_an_await_takes_tickets() -> None:
    with pytest.raises(Misuse, match="then"):
        Call("b", 1, then="handle")  # type: ignore[arg-type]
    with pytest.raises(Misuse, match="Await"):
        Await("ticket")  # type: ignore[arg-type]


def test_then_may_be_any_function_of_ctx_and_outcome() -> None:
    log: list[Any] = []

    def after(ctx: Any, outcome: Any) -> Any:
        log.append(outcome)
        return RECEIVE

    bench = Bench(
        Child("a", script(go=lambda s, c, m: Call("b", "ask", then=after))),
        Child("b", script(ask=lambda s, c, m: Reply(7)), name="b"),
    )
    bench.tell("root/a", "go")
    assert log == [Replied(7)]


@pytest.mark.parametrize(
    "wait",
    [
        lambda: Call("b", {1}),
        lambda: Push("b", {1}),
        lambda: CallAll([Call("b", "x"), Call("b", {1})]),
        lambda: Call(5, "x"),  # type: ignore[arg-type]
    ],
    ids=["call", "push", "half of a call of several", "no target"],
)
def test_a_wait_that_could_not_begin_owes_nothing(wait: Any) -> None:
    seen: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        with pytest.raises(Misuse):
            ctx.begin(wait())
        seen.append("refused")

    bench = Bench(Child("a", script(seen, go=go)), Child("b", script(), name="b"))
    bench.tell("root/a", "go")
    assert bench.core.calls.debts == {}
    assert bench.cell("root/a").debts in (None, {})
    bench.advance(10)
    assert seen == ["refused"]


def test_await_cannot_be_begun_because_it_is_the_waiting_itself() -> None:
    seen: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        with pytest.raises(Misuse, match="Await"):
            ctx.begin(Await())
        seen.append("refused")

    bench = Bench(Child("a", script(go=go)))
    bench.tell("root/a", "go")
    assert seen == ["refused"]


def test_the_caller_of_an_answer_that_does_not_travel_gets_the_reason() -> None:
    log: list[Any] = []
    bench = Bench(
        Child("a", script(log, go=lambda s, c, m: Call("b", m, timeout=None))),
        Child("b", script(go=lambda s, c, m: Reply({1})), name="b"),
        intensity=5,
    )
    bench.tell("root/a", "go")
    (failed,) = log
    assert isinstance(failed, Failed)
    assert isinstance(failed.reason, Crashed)
    assert failed.reason.type == UnsendableValue.__name__


def test_a_kept_caller_is_still_owed_after_an_answer_that_did_not_travel() -> None:
    log: list[Any] = []

    def keep(self: Any, ctx: Any, _: Any) -> Any:
        self.kept = ctx.caller
        ctx.send(ctx.self, "answer")

    def answer(self: Any, ctx: Any, _: Any) -> Any:
        with pytest.raises(UnsendableValue):
            ctx.reply(self.kept, {1})
        raise ValueError("and now?")

    bench = Bench(
        Child("a", script(log, go=lambda s, c, m: Call("b", "keep", timeout=None))),
        Child("b", script(keep=keep, answer=answer), name="b"),
        intensity=5,
    )
    bench.tell("root/a", "go")
    (failed,) = log
    assert failed.reason.text == "and now?"


def test_the_calls_of_a_call_of_several_live_as_long_as_it_does() -> None:
    """One deadline: a request that waits behind a slow one is started although the single call would have expired."""
    log: list[Any] = []
    pair = Pair(
        [Child("a", script(log, go=lambda s, c, m: CallAll([Call(Name("b", core=1), "ask")] * 2, timeout=30)))],
        [Child("b", script(ask=lambda s, c, m: Sleep(6), Slept=lambda s, c, m: Reply("late")), name="b")],
    )
    pair.tell(pair.a, "root/a", "go")
    pair.run(13)
    assert log == [Gathered((Replied("late"), Replied("late")))]


def test_a_name_that_cannot_stand_on_the_wire_reaches_nobody_and_harms_no_core() -> None:
    log: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        for name in ("\ud800", "x" * 100_000):
            log.append(bool(ctx.send(Name(name, core=1), "hello")))
            for ask in (ctx.register, ctx.join):
                with pytest.raises(Misuse, match=r"a (name|group) is"):
                    ask(name)
            ctx.monitor(Name(name, core=1))

    pair = Pair([Child("a", script(log, go=go))], [Child("b", script(), name="b")])
    pair.tell(pair.a, "root/a", "go")
    assert log[:2] == [False, False]
    assert len(log) == 4


def test_a_wait_may_be_returned_again_and_begun_while_it_is_returned() -> None:
    log: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        if self.kept is None:
            self.kept = Call("b", "ask")
            ctx.begin(self.kept)
        return self.kept

    bench = Bench(
        Child("a", script(log, go=go)),
        Child("b", script(ask=lambda s, c, m: Reply("yes")), name="b"),
    )
    bench.tell("root/a", "go")
    bench.tell("root/a", "go")
    assert log == [Replied("yes")] * 3
    assert [outcome.ticket is None for outcome in log].count(False) == 1


def test_a_tree_of_nothing_but_a_supervisor_is_at_rest() -> None:
    assert not Bench(tree=Supervisor("root", [])).step().busy


def test_an_offload_returned_again_takes_its_arguments_as_they_are_then() -> None:
    items = [1]
    wait = Offload(sum, items)
    bench = Bench(Child("a", script(go=lambda s, c, m: c.begin(wait) and None)))
    bench.tell("root/a", "go")
    items.append(2)
    bench.tell("root/a", "go")
    first, second = (command for command in bench.io if isinstance(command, IoRequest))
    assert isinstance(first.wait, Offload)
    assert isinstance(second.wait, Offload)
    assert (first.wait.args, second.wait.args) == (([1],), ([1, 2],))
    assert wait.args[0] is items


@pytest.mark.parametrize(
    "action",
    [
        lambda ctx: ctx.cancel("x"),
        lambda ctx: ctx.demonitor(5),
        lambda ctx: ctx.unlink("b"),
        lambda ctx: ctx.give("x", "b"),
        lambda ctx: ctx.whereis(5),
        lambda ctx: ctx.members(["x"]),
        lambda ctx: ctx.leave(["x"]),
        lambda ctx: ctx.publish(5, "x"),
        lambda ctx: ctx.link(5),
        lambda ctx: ctx.monitor(5),
        lambda ctx: ctx.exit(5, Kill()),
        lambda ctx: ctx.exit("b", "why"),
        lambda ctx: ctx.reply("b", 1),
        lambda ctx: ctx.begin("b"),
        lambda ctx: ctx.spawn("b"),
        lambda ctx: ctx.send(5, "x"),
    ],
    ids=[
        "cancel",
        "demonitor",
        "unlink",
        "give",
        "whereis",
        "members",
        "leave",
        "publish",
        "link",
        "monitor",
        "exit",
        "reason",
        "reply",
        "begin",
        "spawn",
        "send",
    ],
)
def test_every_action_says_what_it_takes(action: Any) -> None:
    seen: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        with pytest.raises(Misuse, match="got"):
            action(ctx)
        seen.append("said")

    bench = Bench(Child("a", script(go=go)), Child("b", script(), name="b"))
    bench.tell("root/a", "go")
    assert seen == ["said"]
