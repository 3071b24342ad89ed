"""Calls, deferred replies, pushes, tickets and CallAll on one core."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from regrove import (
    RECEIVE,
    Address,
    Await,
    BoundReached,
    Bounds,
    Call,
    CallAll,
    Cancelled,
    Child,
    Crashed,
    Down,
    Failed,
    Gathered,
    Isolate,
    MailboxFull,
    NoProcess,
    NoReply,
    Push,
    Pushed,
    Replied,
    Reply,
    SelfCall,
    Sent,
    Sleep,
    Ticket,
    Timeout,
    message,
)
from tests.core.bench import Bench, script


@message(name="tests.calls.Hand")
class Hand:
    caller: object


def asker(log: list[Any], request: Any = "ask", to: Any = "a", timeout: float | None = 5.0) -> Child:
    return Child("asker", script(log, go=lambda self, ctx, _: Call(to, request, timeout=timeout)), name="asker")


def failures(log: list[Any]) -> list[Any]:
    return [entry.reason for entry in log if isinstance(entry, Failed)]


def test_a_call_is_answered_and_its_timer_is_taken_back() -> None:
    log: list[Any] = []
    bench = Bench(Child("a", script(ask=lambda self, ctx, _: Reply(7)), name="a"), asker(log))
    bench.tell("root/asker", "go")
    assert log == [Replied(7)]
    assert bench.core.timers.next() is None
    assert not bench.core.calls.debts


def test_a_call_that_is_handled_without_an_answer_fails_with_no_reply() -> None:
    log: list[Any] = []
    bench = Bench(Child("a", script(), name="a"), asker(log))
    bench.tell("root/asker", "go")
    assert failures(log) == [NoReply()]


def test_a_call_times_out_never_early_and_its_late_answer_is_dropped_and_counted() -> None:
    log: list[Any] = []

    def ask(self: Any, ctx: Any, _: Any) -> Any:
        self.kept = ctx.caller

    def answer(self: Any, ctx: Any, _: Any) -> Any:
        ctx.reply(self.kept, "late")

    bench = Bench(Child("a", script(ask=ask, answer=answer), name="a"), asker(log))
    bench.tell("root/asker", "go")
    bench.advance(4.9)
    assert log == []
    bench.advance(0.2)
    assert failures(log) == [Timeout()]
    late = bench.core.counters.late_answers
    bench.tell("root/a", "answer")
    assert bench.core.counters.late_answers == late + 1
    assert len(log) == 1


def test_a_kept_caller_may_be_answered_later() -> None:
    log: list[Any] = []

    def ask(self: Any, ctx: Any, _: Any) -> Any:
        self.kept = ctx.caller

    bench = Bench(
        Child("a", script(ask=ask, answer=lambda self, ctx, _: ctx.reply(self.kept, "at last")), name="a"), asker(log)
    )
    bench.tell("root/asker", "go")
    assert log == []
    bench.tell("root/a", "answer")
    assert log == [Replied("at last")]


def test_a_caller_handed_on_is_answered_by_another_isolate_even_after_the_first_has_ended() -> None:
    log: list[Any] = []

    def ask(self: Any, ctx: Any, _: Any) -> Any:
        ctx.send("b", Hand(ctx.caller))
        raise ValueError("the first one ends")

    bench = Bench(
        Child("a", script(ask=ask), name="a"),
        Child("b", script(Hand=lambda self, ctx, hand: ctx.reply(hand.caller, "from b")), name="b"),
        asker(log),
    )
    bench.tell("root/asker", "go")
    assert log == [Replied("from b")]


def test_a_kept_caller_hears_when_the_one_that_kept_it_ends() -> None:
    log: list[Any] = []

    def ask(self: Any, ctx: Any, _: Any) -> Any:
        self.kept = ctx.caller

    def fail(self: Any, ctx: Any, _: Any) -> Any:
        raise ValueError("gone")

    bench = Bench(Child("a", script(ask=ask, fail=fail), name="a"), asker(log))
    bench.tell("root/asker", "go")
    bench.tell("root/a", "fail")
    assert [reason.text for reason in failures(log)] == ["gone"]


def test_a_request_stays_in_hand_through_waits_and_outcomes() -> None:
    log: list[Any] = []
    bench = Bench(
        Child(
            "a",
            script(
                ask=lambda self, ctx, _: Sleep(1, then=self.then),
                then=lambda self, ctx, _: Reply("rested"),
            ),
            name="a",
        ),
        asker(log),
    )
    bench.tell("root/asker", "go")
    assert log == []
    bench.advance(1)
    assert log == [Replied("rested")]


def test_requests_in_the_mailbox_of_one_that_ends_fail_with_its_reason() -> None:
    log: list[Any] = []

    def fail(self: Any, ctx: Any, _: Any) -> Any:
        raise ValueError("gone")

    bench = Bench(
        Child("a", script(hold=lambda self, ctx, _: Sleep(1, then=self.then), then=fail), name="a"), asker(log)
    )
    bench.tell("root/a", "hold")
    bench.tell("root/asker", "go")
    bench.advance(1)
    assert isinstance(failures(log)[0], Crashed)
    assert bench.core.counters.abandoned == 1


def test_a_second_answer_is_dropped_and_counted() -> None:
    log: list[Any] = []

    def ask(self: Any, ctx: Any, _: Any) -> Any:
        ctx.reply(ctx.caller, "first")
        return Reply("second")

    bench = Bench(Child("a", script(ask=ask), name="a"), asker(log))
    bench.tell("root/asker", "go")
    assert log == [Replied("first")]
    assert bench.core.counters.late_answers == 1


def test_an_expired_request_is_not_started() -> None:
    log: list[Any] = []
    seen: list[Any] = []
    bench = Bench(Child("a", script(seen, hold=lambda self, ctx, _: Sleep(2)), name="a"), asker(log, timeout=1.0))
    bench.tell("root/a", "hold")
    bench.tell("root/asker", "go")
    bench.advance(3)
    assert failures(log) == [Timeout()]
    assert "ask" not in seen
    assert bench.core.counters.abandoned == 1


def test_a_call_to_oneself_is_refused_at_once() -> None:
    log: list[Any] = []
    bench = Bench(asker(log, to="asker"))
    bench.tell("root/asker", "go")
    assert failures(log) == [SelfCall()]


@pytest.mark.parametrize("to", ["nobody", "stale"])
def test_a_call_to_the_dead_fails_at_once(to: str) -> None:
    log: list[Any] = []
    bench = Bench(Child("a", script(fail=lambda s, c, _: 1 / 0), name="a"), Child("b", script(), name="stale"))
    old = bench.address("root/a")
    bench.tell("root/a", "fail")
    target: Any = old if to == "stale" else to
    bench2 = bench  # the same core: the asker is added at run time
    spawned: list[Any] = []

    def spawn(self: Any, ctx: Any, _: Any) -> Any:
        spawned.append(ctx.spawn(asker(log, to=target)))

    bench2.cell("root/b").isolate.steps["spawn"] = spawn
    bench2.tell("root/b", "spawn")
    bench2.tell("root/asker", "go")
    assert failures(log) == [NoProcess()]


def test_a_call_to_a_full_mailbox_fails_at_once() -> None:
    class Full(Isolate):
        mailbox_capacity = 1

        def handle(self, ctx: Any, message: Any) -> Any:
            return Sleep(60)

    log: list[Any] = []
    bench = Bench(Child("a", Full, name="a"), asker(log))
    bench.tell("root/a", "hold")
    bench.tell("root/a", "fills")
    bench.tell("root/asker", "go")
    assert failures(log) == [MailboxFull()]


def test_call_all_gathers_in_order_under_one_deadline() -> None:
    log: list[Any] = []
    calls = [Call("a", "ask"), Call("nobody", "ask"), Call("slow", "ask")]
    bench = Bench(
        Child("a", script(ask=lambda self, ctx, _: Reply(1)), name="a"),
        Child("slow", script(ask=lambda self, ctx, _: Sleep(60)), name="slow"),
        Child("asker", script(log, go=lambda self, ctx, _: CallAll(calls, timeout=2))),
    )
    bench.tell("root/asker", "go")
    bench.advance(1.9)
    assert log == []
    bench.advance(0.2)
    assert log == [Gathered((Replied(1), Failed(NoProcess()), Failed(Timeout())))]
    assert not bench.core.calls.debts.keys() - {bench.cell("root/slow").wait_token}


def test_call_all_of_nothing_is_gathered_at_once() -> None:
    log: list[Any] = []
    bench = Bench(Child("asker", script(log, go=lambda self, ctx, _: CallAll([]))))
    bench.tell("root/asker", "go")
    assert log == [Gathered(())]


# --- Push ---------------------------------------------------------------------------------------------------------


class Narrow(Isolate):
    mailbox_capacity = 2

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def handle(self, ctx: Any, message: Any) -> Any:
        if message == "hold":
            return Sleep(1, then=self.rested)
        self.log.append(message)
        return RECEIVE

    def rested(self, ctx: Any, outcome: Any) -> Any:
        return RECEIVE


def narrow(log: list[Any]) -> Child:
    return Child("narrow", lambda: Narrow(log), name="narrow")


def test_a_push_waits_for_room_and_waiters_are_admitted_in_order_before_later_sends() -> None:
    handled: list[Any] = []
    log: list[Any] = []
    pushers = [Child(f"p{n}", script(log, go=lambda self, ctx, _, n=n: Push("narrow", n))) for n in range(3)]
    answers: list[Any] = []
    bench = Bench(
        narrow(handled),
        *pushers,
        Child("late", script(go=lambda s, ctx, _: answers.append(ctx.send("narrow", "late")))),
    )
    bench.tell("root/narrow", "hold")
    for filler in ("x", "y"):
        assert bench.tell("root/narrow", filler)
    for n in range(3):
        bench.tell(f"root/p{n}", "go")
    assert log == []
    bench.tell("root/late", "go")
    assert answers == [Sent.MAILBOX_FULL]
    bench.advance(1)
    assert handled == ["x", "y", 0, 1, 2]
    assert log == [Pushed()] * 3


def test_a_push_that_gives_up_leaves_nothing_behind() -> None:
    handled: list[Any] = []
    log: list[Any] = []
    bench = Bench(narrow(handled), Child("p", script(log, go=lambda s, ctx, _: Push("narrow", "x", timeout=0.5))))
    bench.tell("root/narrow", "hold")
    for filler in (1, 2):
        bench.tell("root/narrow", filler)
    bench.tell("root/p", "go")
    bench.advance(0.6)
    assert failures(log) == [Timeout()]
    bench.advance(1)
    assert handled == [1, 2]


def test_a_push_waiting_at_one_that_ends_fails_with_its_reason() -> None:
    log: list[Any] = []
    bench = Bench(
        narrow([]),
        Child("p", script(log, go=lambda s, ctx, _: Push("narrow", "x"))),
        Child("k", script(go=lambda s, ctx, _: ctx.exit("narrow", Crashed("Test")))),
    )
    bench.tell("root/narrow", "hold")
    for filler in (1, 2):
        bench.tell("root/narrow", filler)
    bench.tell("root/p", "go")
    bench.tell("root/k", "go")
    assert failures(log) == [Crashed("Test")]


# --- tickets ------------------------------------------------------------------------------------------------------


def test_a_ticketed_outcome_comes_as_a_message_with_its_ticket() -> None:
    log: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        self.kept = ctx.request("a", "ask")

    bench = Bench(Child("a", script(ask=lambda self, ctx, _: Reply(1)), name="a"), Child("asker", script(log, go=go)))
    bench.tell("root/asker", "go")
    assert log == [Replied(1)]
    assert log[0].ticket == bench.isolate("root/asker").kept


def test_tickets_are_bounded() -> None:
    caught: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        for _ in range(3):
            ctx.begin(Sleep(1))
        with pytest.raises(BoundReached) as info:
            ctx.begin(Sleep(1))
        caught.append(info.value)

    Bench(Child("a", script(start=go)), bounds=Bounds(tickets=3))
    assert (caught[0].bound, caught[0].limit) == ("tickets", 3)


def test_a_cancelled_ticket_never_comes() -> None:
    log: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        ticket = ctx.begin(Sleep(1))
        log.append((ctx.cancel(ticket), ctx.cancel(ticket)))

    bench = Bench(Child("a", script(log, go=go)))
    bench.tell("root/a", "go")
    bench.advance(2)
    assert log == [(True, False)]


def test_await_takes_no_mail_until_its_ticket_comes() -> None:
    log: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        self.kept = [ctx.begin(Sleep(1)), ctx.begin(Sleep(2))]
        return Await(self.kept[1])

    bench = Bench(Child("a", script(log, go=go)))
    bench.tell("root/a", "go")
    bench.tell("root/a", "mail")
    bench.advance(1.5)
    assert log == []
    bench.advance(1)
    assert [getattr(entry, "ticket", entry) for entry in log] == [
        bench.isolate("root/a").kept[1],
        "mail",
        bench.isolate("root/a").kept[0],
    ]


def test_await_finds_an_outcome_that_is_already_in_the_mailbox() -> None:
    log: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        self.kept = ctx.request("nobody", 1)  # fails at once: its outcome is in the mailbox now
        return Await(self.kept)

    bench = Bench(Child("a", script(log, go=go)))
    bench.tell("root/a", "go")
    assert failures(log) == [NoProcess()]
    assert len(log) == 1


def test_await_without_tickets_takes_anything_owed() -> None:
    log: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        ctx.send_after(1, "tick")
        return Await(timeout=10)

    bench = Bench(Child("a", script(log, go=go)))
    bench.tell("root/a", "go")
    bench.tell("root/a", "mail")
    bench.advance(1)
    assert log == ["tick", "mail"]


def test_await_of_what_is_no_longer_owed_fails_instead_of_hanging() -> None:
    log: list[Any] = []
    bench = Bench(Child("a", script(log, go=lambda self, ctx, _: Await(Ticket(10_000), timeout=None))))
    bench.tell("root/a", "go")
    assert failures(log) == [Cancelled()]


def test_an_old_address_answers_nobody_again_over_a_thousand_restarts() -> None:
    log: list[Any] = []
    bench = Bench(
        Child("a", script(ask=lambda s, c, _: Reply(1), fail=lambda s, c, _: 1 / 0), name="a"),
        Child("asker", script(log, Hand=lambda s, c, hand: Call(hand.caller, "ask"))),
        intensity=2_000,
    )
    old: list[Address] = []
    for _ in range(1_000):
        old.append(bench.address("root/a"))
        bench.tell("root/a", "fail")
    assert len(set(old)) == 1_000
    for address in [old[0], old[500], old[999]]:
        bench.tell("root/asker", Hand(address))
    assert failures(log) == [NoProcess()] * 3
    assert not [entry for entry in log if isinstance(entry, Down)]


def test_a_call_that_was_answered_is_not_kept_until_its_deadline() -> None:
    def go(self: Any, ctx: Any, _: Any) -> Any:
        self.kept = (self.kept or 0) + 1
        return Call("b", ("marked", self.kept), timeout=3600.0, then=go_on) if self.kept < 20 else None

    def go_on(ctx: Any, outcome: Any) -> Any:
        ctx.send(ctx.self, "go")
        return RECEIVE

    bench = Bench(
        Child("slow", script(start=lambda s, c, _: Sleep(1_000.0))),  # the deadlines of the others stay behind its own
        Child("a", script(go=go)),
        Child("b", script(tuple=lambda s, c, m: Reply(1)), name="b"),
        bounds=Bounds(pass_budget=1),
    )
    bench.tell("root/a", "go")
    assert bench.isolate("root/a").kept == 20
    assert bench.core.calls.debts.keys() == {bench.cell("root/slow").wait_token}
    gc.collect()
    assert [each for each in gc.get_objects() if type(each) is Call and "marked" in repr(each)] == []
