"""Pushes that wait for room, and Awaits beside timers: nothing is leaked, nothing overtakes, nothing dries up."""

from __future__ import annotations

from typing import Any

from regrove import (
    RECEIVE,
    Await,
    Bounds,
    Call,
    Child,
    Failed,
    Isolate,
    Name,
    NoReply,
    Push,
    Replied,
    Reply,
    SelfCall,
    Sent,
    Sleep,
    Timeout,
)
from regrove.transport.credit import Window
from regrove.transport.link import LinkSettings
from tests.core.bench import Bench, script
from tests.core.pair import Pair


class Deaf(Isolate):
    """Handles nothing: it waits for ever."""

    mailbox_capacity = 1

    def start(self, ctx: Any) -> Any:
        return Await(timeout=None)


class Small(Isolate):
    mailbox_capacity = 1

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def handle(self, ctx: Any, message: Any) -> Any:
        if message == "push":
            ctx.send(ctx.self, "fill")
            return Push(ctx.self, "more", timeout=None)
        if message == "begin":
            ctx.send(ctx.self, "fill")
            ctx.begin(Push(ctx.self, "more"))
            return RECEIVE
        self.log.append(message)
        return RECEIVE


def pushing(log: list[Any], to: Any, timeout: float = 1.0) -> Any:
    def again(self: Any, ctx: Any, failed: Any) -> Any:
        log.append(failed.reason)
        return Push(to, "x", timeout=timeout)

    return script(log, go=lambda s, c, m: Push(to, "x", timeout=timeout), Failed=again)


def test_pushes_that_gave_up_leave_nothing_at_a_mailbox_that_never_has_room() -> None:
    log: list[Any] = []
    bench = Bench(Child("deaf", Deaf, name="deaf"), Child("a", pushing(log, "deaf")))
    bench.core.inject(bench.address("root/deaf"), "fill")
    bench.tell("root/a", "go")
    bench.advance(50.5)
    assert log == [Timeout()] * 50
    assert len(bench.cell("root/deaf").waiters or ()) == 1


def test_pushes_from_another_core_that_gave_up_leave_nothing_either() -> None:
    log: list[Any] = []
    pair = Pair([Child("a", pushing(log, Name("deaf", core=1)))], [Child("deaf", Deaf, name="deaf")])
    assert pair.b.core.inject(pair.b.address("root/deaf"), "fill")
    pair.tell(pair.a, "root/a", "go")
    pair.run(10)
    assert len(log) in (9, 10)
    core = pair.b.core
    assert len(core.waiters._remote) <= 1
    assert len(pair.b.cell("root/deaf").waiters or ()) <= 1
    assert core.pool_messages <= 2


def test_a_push_to_oneself_that_could_only_wait_for_itself_fails_at_once() -> None:
    log: list[Any] = []
    bench = Bench(Child("a", lambda: Small(log)))
    bench.tell("root/a", "push")
    assert log == [Failed(SelfCall()), "fill"]


def test_a_push_to_oneself_that_is_not_waited_for_gets_its_turn() -> None:
    log: list[Any] = []
    bench = Bench(Child("a", lambda: Small(log)))
    bench.tell("root/a", "begin")
    assert log[0] == "fill"
    assert "more" in log


def test_a_small_send_never_overtakes_a_push_that_waits_for_the_link() -> None:
    log: list[Any] = []
    sends: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        while ctx.send(Name("b", core=1), b"." * 3_000):
            pass
        ctx.begin(Push(Name("b", core=1), b"!" * 7_000, timeout=None))
        sends.append(ctx.send(Name("b", core=1), "late"))
        sends.append(ctx.send(Name("c", core=1), "other"))
        sends.append(ctx.request(Name("b", core=1), "call"))

    window = Window(100, 16_384)
    pair = Pair(
        [Child("a", script(go=go, Failed=lambda s, c, m: sends.append(m.reason)))],
        [Child("b", script(log), name="b"), Child("c", script(log), name="c")],
        link=LinkSettings(window=window, opening=window, message_max=8_000),
    )
    pair.tell(pair.a, "root/a", "go", seconds=1)
    assert sends[:2] == [Sent.LINK_FULL, Sent.LINK_FULL]
    assert log[-1] == b"!" * 7_000


def test_a_repeating_timer_goes_on_after_its_message_was_awaited() -> None:
    log: list[Any] = []

    def start(self: Any, ctx: Any, _: Any) -> Any:
        self.kept = ctx.send_every(1, "tick")
        return Await(self.kept, timeout=None)

    def tick(self: Any, ctx: Any, _: Any) -> Any:
        log.append(ctx.now())
        return Await(self.kept, timeout=None)

    bench = Bench(Child("a", script(log, start=start, tick=tick)))
    bench.advance(5.5)
    assert len(log) == 5


def test_a_repeating_timer_goes_on_after_an_await_took_its_message_from_the_mailbox() -> None:
    log: list[Any] = []

    def start(self: Any, ctx: Any, _: Any) -> Any:
        self.kept = ctx.send_every(1, "tick")
        return Sleep(1.5)

    bench = Bench(
        Child(
            "a",
            script(log, start=start, Slept=lambda s, c, m: Await(timeout=None), tick=lambda s, c, m: log.append(m)),
        )
    )
    bench.advance(5.2)
    assert log == ["tick"] * 5


def test_waiting_pushes_that_gave_up_do_not_make_a_mailbox_with_room_look_full() -> None:
    log: list[Any] = []
    answers: list[Any] = []
    bench = Bench(
        Child("deaf", script(log, start=lambda s, c, m: Sleep(10)), name="b"),
        Child("a", pushing([], "b", timeout=1)),
        Child("s", script(go=lambda s, c, m: answers.append(c.send("b", "y")))),
        bounds=Bounds(pool_messages=300),
    )
    for _ in range(256):
        assert bench.core.inject(bench.address("root/deaf"), "fill")
    bench.tell("root/a", "go")
    bench.tell("root/s", "go")
    assert answers == [Sent.MAILBOX_FULL]
    bench.advance(10.1)
    bench.tell("root/s", "go")
    assert answers[-1] is Sent.OK
    assert log[-1] == "y"


class Keeper(Isolate):
    """Keeps what it is asked first, and answers nobody."""

    def handle(self, ctx: Any, message: Any) -> Any:
        if message == "keep":
            assert ctx.caller is not None
        return RECEIVE


def test_callers_of_two_cores_with_the_same_token_are_not_mixed_up() -> None:
    """Each core counts its own tokens: one kept caller says nothing about another core's of the same number."""
    near: list[Any] = []
    far: list[Any] = []

    def ask(log: list[Any], message: str) -> Any:
        def go(self: Any, ctx: Any, token: Any) -> Any:
            ctx._cell.core._token = 1_000
            return Call(Name("k", core=1), message, timeout=3)

        return script(log, go=go)

    pair = Pair([Child("a", ask(far, "keep"))], [Child("k", Keeper, name="k"), Child("a", ask(near, "other"))])
    pair.tell(pair.a, "root/a", "go")
    pair.tell(pair.b, "root/a", "go")
    assert [outcome.reason for outcome in near] == [NoReply()]
    assert far == []


def test_an_answer_goes_on_after_all_this() -> None:
    log: list[Any] = []
    bench = Bench(
        Child("a", script(log, go=lambda s, c, m: Call("b", "ask"))),
        Child("b", script(ask=lambda s, c, m: Reply("fine")), name="b"),
    )
    bench.tell("root/a", "go")
    assert log == [Replied("fine")]
