"""Which callback comes next, and what each effect does to an isolate."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from regrove import (
    DONE,
    IGNORE,
    RECEIVE,
    Bounds,
    Call,
    Child,
    Continue,
    Crash,
    Crashed,
    Done,
    Down,
    Failed,
    Isolate,
    Kill,
    Killed,
    Misuse,
    Name,
    Normal,
    NotInHandler,
    Replied,
    Reply,
    Sent,
    Shutdown,
    Sleep,
    Slept,
)
from tests.core.bench import Bench, script


def watched(log: list[Any], name: str = "victim") -> Child:
    """A child that monitors `name` and records its Down."""
    return Child("watcher", script(log, start=lambda self, ctx, _: ctx.monitor(name) and None))


def reasons(log: list[Any]) -> list[Any]:
    return [entry.reason for entry in log if isinstance(entry, Down)]


def test_returning_none_is_a_crash_that_names_isolate_message_and_mend() -> None:
    class Forgetful(Isolate):
        def handle(self, ctx: Any, message: Any) -> Any:
            return None

    log: list[Any] = []
    bench = Bench(Child("victim", Forgetful, name="victim"), watched(log))
    bench.tell("root/victim", "hello")
    (reason,) = reasons(log)
    assert isinstance(reason, Crashed)
    assert "root/victim" in reason.text
    assert "'hello'" in reason.text
    assert "RECEIVE" in reason.text
    assert __file__ in reason.site


def test_an_unknown_request_fails_at_its_caller_too() -> None:
    class Narrow(Isolate):
        def handle(self, ctx: Any, message: Any) -> Any:
            match message:
                case "known":
                    return Reply(1)

    log: list[Any] = []
    bench = Bench(
        Child("narrow", Narrow, name="narrow"),
        Child("asker", script(log, go=lambda self, ctx, _: Call("narrow", "unknown"))),
    )
    bench.tell("root/asker", "go")
    assert isinstance(log[0], Failed)
    assert isinstance(log[0].reason, Crashed)


@pytest.mark.parametrize("error", [ValueError, RecursionError, MemoryError, SystemExit, GeneratorExit])
def test_an_exception_ends_that_isolate_only(error: type[BaseException]) -> None:
    def fail(self: Any, ctx: Any, message: Any) -> Any:
        raise error("because")

    log: list[Any] = []
    bench = Bench(Child("victim", script(go=fail), name="victim"), watched(log))
    bench.tell("root/victim", "go")
    assert [(reason.type, reason.text) for reason in reasons(log)] == [(error.__name__, "because")]
    assert bench.cell("root/victim").incarnation == 2


def test_a_keyboard_interrupt_is_not_an_isolates_business() -> None:
    def interrupt(self: Any, ctx: Any, message: Any) -> Any:
        raise KeyboardInterrupt

    bench = Bench(Child("a", script(go=interrupt)))
    with pytest.raises(KeyboardInterrupt):
        bench.tell("root/a", "go")


def test_an_exception_whose_text_raises_is_still_a_crash() -> None:
    class Nasty(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def fail(self: Any, ctx: Any, message: Any) -> Any:
        raise Nasty

    log: list[Any] = []
    bench = Bench(Child("victim", script(go=fail), name="victim"), watched(log))
    bench.tell("root/victim", "go")
    assert reasons(log)[0].type == "Nasty"


def test_the_whole_traceback_is_logged_once_then_counted() -> None:
    def fail(self: Any, ctx: Any, message: Any) -> Any:
        raise ValueError(message)

    bench = Bench(Child("a", script(go=fail)), intensity=10)
    for _ in range(3):
        bench.tell("root/a", "go")
    crashes = [fields for event, fields in bench.log.lines if event == "crashed"]
    assert [("exc_info" in fields, fields["times"]) for fields in crashes] == [(True, 1), (False, 2), (False, 3)]
    assert all(fields["site"].startswith(__file__) for fields in crashes)


@pytest.mark.parametrize(
    ("effect", "reason"),
    [
        (DONE, Normal()),
        (Done(Shutdown("enough")), Shutdown("enough")),
    ],
)
def test_done_ends_with_its_reason(effect: Any, reason: Any) -> None:
    log: list[Any] = []
    bench = Bench(
        Child("victim", script(go=lambda self, ctx, _: effect), name="victim", restart="temporary"), watched(log)
    )
    bench.tell("root/victim", "go")
    assert reasons(log) == [reason]
    assert not bench.alive("root/victim")


def test_crash_carries_its_text_or_message() -> None:
    log: list[Any] = []
    bench = Bench(
        Child("victim", script(go=lambda self, ctx, _: Crash("the disk is gone")), name="victim"), watched(log)
    )
    bench.tell("root/victim", "go")
    assert reasons(log)[0].text == "the disk is gone"


def test_ignore_outside_of_start_is_a_crash() -> None:
    log: list[Any] = []
    bench = Bench(Child("victim", script(go=lambda self, ctx, _: IGNORE), name="victim"), watched(log))
    bench.tell("root/victim", "go")
    assert "outside of start" in reasons(log)[0].text


def test_a_continue_comes_before_the_mailbox_and_after_every_other_ready_isolate() -> None:
    order: list[Any] = []

    def go(self: Any, ctx: Any, message: Any) -> Any:
        order.append("a-go")
        return Continue("slice")

    bench = Bench(
        Child("a", script(order, go=go)),
        Child("b", script(order)),
    )
    a, b = bench.address("root/a"), bench.address("root/b")
    for to, message in ((a, "go"), (a, "mail"), (b, "b-mail")):
        assert bench.core.inject(to, message)
    bench.settle()
    assert order == ["a-go", "b-mail", "slice", "mail"]


def test_no_isolate_holds_the_core_longer_than_its_turn_budget() -> None:
    order: list[Any] = []
    bench = Bench(Child("a", script(order)), Child("b", script(order)), bounds=Bounds(turn_budget=4))
    for number in range(6):
        bench.core.inject(bench.address("root/a"), number)
    bench.core.inject(bench.address("root/b"), "b")
    bench.settle()
    assert order == [0, 1, 2, 3, "b", 4, 5]


def test_a_pass_ends_at_its_budget_and_goes_on_in_the_next() -> None:
    bench = Bench(Child("a", script(go=lambda self, ctx, _: Continue("go"))), bounds=Bounds(pass_budget=50))
    bench.core.inject(bench.address("root/a"), "go")
    before = bench.core.counters.callbacks
    assert bench.step().busy
    assert 50 <= bench.core.counters.callbacks - before <= 50 + bench.core.bounds.turn_budget


def test_an_outcome_comes_before_the_mailbox() -> None:
    log: list[Any] = []
    bench = Bench(Child("a", script(log, go=lambda self, ctx, _: Sleep(1))))
    bench.tell("root/a", "go")
    bench.tell("root/a", "mail")
    assert log == []
    bench.advance(1)
    assert log == [Slept(), "mail"]


def test_then_gets_the_outcome_instead_of_handle() -> None:
    log: list[Any] = []
    seen: list[Any] = []
    bench = Bench(
        Child(
            "a",
            script(log, go=lambda self, ctx, _: Sleep(1, then=self.then), then=lambda self, ctx, o: seen.append(o)),
        )
    )
    bench.tell("root/a", "go")
    bench.advance(1)
    assert (log, seen) == ([], [Slept()])


def test_a_stop_interrupts_a_wait_once_and_its_outcome_never_comes() -> None:
    log: list[Any] = []
    root = Bench(
        Child("a", script(log, go=lambda self, ctx, _: Sleep(60), stop=lambda self, ctx, r: log.append(r)), shutdown=5)
    )
    root.tell("root/a", "go")
    root.core.supervising.stop(Shutdown(), None)
    root.settle()
    assert log == [Shutdown()]
    assert root.alive("root/a")  # its stop returned RECEIVE: it drains until its limit
    root.advance(5)
    assert not root.alive("root/a")
    assert log == [Shutdown()]


def test_done_from_stop_ends_with_the_reason_it_was_asked_with() -> None:
    log: list[Any] = []
    bench = Bench(watched(log), Child("victim", script(), name="victim"))
    bench.tell("root/watcher", "x")
    bench.core.supervising.stop(Shutdown("maintenance"), None)
    bench.settle()
    assert [entry for entry in bench.control if type(entry).__name__ == "Stopped"]


def test_a_kill_runs_no_callback() -> None:
    log: list[Any] = []
    bench = Bench(
        Child("victim", script(log, stop=lambda self, ctx, r: log.append("stop")), name="victim"),
        Child("killer", script(go=lambda self, ctx, _: ctx.exit("victim", Kill()))),
        watched(log),
    )
    bench.tell("root/killer", "go")
    assert reasons(log) == [Killed()]
    assert "stop" not in log


def test_a_ctx_used_later_names_the_mend() -> None:
    kept: list[Any] = []
    bench = Bench(
        Child("a", script(go=lambda self, ctx, _: kept.append(ctx))),
        Child("b", script(go=lambda self, ctx, _: kept[0].send("a", 1))),
    )
    bench.tell("root/a", "go")
    with pytest.raises(NotInHandler, match=r"ctx\.self"):
        kept[0].send("a", 1)
    bench.tell("root/b", "go")
    assert bench.cell("root/b").incarnation == 2


def test_reply_with_no_request_in_hand_crashes_the_replier() -> None:
    log: list[Any] = []
    bench = Bench(Child("victim", script(go=lambda self, ctx, _: Reply(1)), name="victim"), watched(log))
    bench.tell("root/victim", "go")
    assert "no request in hand" in reasons(log)[0].text


def test_a_mailbox_of_capacity_n_takes_exactly_n_and_says_so_at_once() -> None:
    class Small(Isolate):
        mailbox_capacity = 3

        def handle(self, ctx: Any, message: Any) -> Any:
            return RECEIVE

    answers: list[Any] = []
    bench = Bench(
        Child("small", Small, name="small"),
        Child("sender", script(go=lambda self, ctx, _: answers.extend(ctx.send("small", n) for n in range(5)))),
    )
    bench.tell("root/sender", "go")
    assert answers == [Sent.OK] * 3 + [Sent.MAILBOX_FULL] * 2
    assert [bool(answer) for answer in answers] == [True] * 3 + [False] * 2


def test_the_pool_bounds_messages_of_all_mailboxes_together() -> None:
    answers: list[Any] = []
    bench = Bench(
        Child("a", script(), name="a"),
        Child("b", script(), name="b"),
        Child("sender", script(go=lambda s, ctx, _: answers.extend(ctx.send(t, 1) for t in "ababa"))),
        bounds=Bounds(pool_messages=3),
    )
    bench.tell("root/sender", "go")
    assert answers == [Sent.OK] * 3 + [Sent.POOL_EXHAUSTED] * 2
    assert (bench.core.pool_messages, bench.core.pool_bytes) == (0, 0)


def test_the_pool_bounds_bytes_too() -> None:
    answers: list[Any] = []
    bench = Bench(
        Child("a", script(), name="a"),
        Child("sender", script(go=lambda s, ctx, _: answers.extend(ctx.send("a", b"x" * 1000) for _ in range(3)))),
        bounds=Bounds(pool_bytes=2_500),
    )
    bench.tell("root/sender", "go")
    assert answers == [Sent.OK, Sent.OK, Sent.POOL_EXHAUSTED]


def test_mail_for_what_is_no_target_crashes_the_sender_with_the_mend() -> None:
    log: list[Any] = []
    bench = Bench(Child("victim", script(go=lambda self, ctx, _: ctx.send(42, 1)), name="victim"), watched(log))  # type: ignore[arg-type,unused-ignore]
    bench.tell("root/victim", "go")
    assert reasons(log)[0].type == Misuse.__name__


def test_a_sender_and_its_receiver_share_nothing_mutable() -> None:
    log: list[Any] = []
    letter = [1, [2]]

    def go(self: Any, ctx: Any, message: Any) -> Any:
        ctx.send("a", letter)
        letter.append(3)

    bench = Bench(Child("a", script(log), name="a"), Child("sender", script(go=go)))
    bench.tell("root/sender", "go")
    assert log == [[1, [2]]]


def test_replies_are_copied_as_messages_are() -> None:
    log: list[Any] = []
    state = {"a": [1]}
    bench = Bench(
        Child("a", script(ask=lambda self, ctx, _: Reply(state)), name="a"),
        Child("asker", script(log, go=lambda self, ctx, _: Call(Name("a"), "ask"))),
    )
    bench.tell("root/asker", "go")
    state["a"].append(2)
    assert log == [Replied({"a": [1]})]


def test_a_handle_that_is_no_method_of_its_class_is_called_all_the_same() -> None:
    log: list[Any] = []

    class Elsewhere(Isolate):
        def __init__(self) -> None:
            self.handle = self.told  # type: ignore[method-assign]

        def told(self, ctx: Any, message: Any) -> Any:
            log.append((self is ctx._cell.isolate, message))
            return RECEIVE if message != "no effect" else None

    class Static(Isolate):
        @staticmethod
        def handle(ctx: Any, message: Any) -> Any:
            log.append(message)
            return Continue(2) if message == 1 else RECEIVE

    class Borrowed(Isolate):
        def __init__(self, other: list[Any]) -> None:
            self.handle = partial(self.note, other)  # type: ignore[method-assign]

        def note(self, other: list[Any], ctx: Any, message: Any) -> Any:
            log.append((len(other), message))
            return Sleep(0.0) if message == 3 else RECEIVE

    bench = Bench(Child("a", Elsewhere), Child("b", Static), Child("c", Borrowed, [1, 2]))
    for name, message in (("a", 0), ("b", 1), ("c", 3)):
        bench.tell(f"root/{name}", message)
    bench.advance(1)
    assert log == [(True, 0), 1, 2, (2, 3), (2, Slept())]
    bench.tell("root/a", "no effect")
    (line,) = [fields for event, fields in bench.log.lines if event == "crashed"]
    assert line["site"].startswith(__file__)
