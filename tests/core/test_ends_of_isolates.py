"""How isolates end when everything about it is awkward: broken reprs, odd reasons, stops and kills at odd moments."""

from __future__ import annotations

from typing import Any

import pytest

from regrove import (
    DONE,
    RECEIVE,
    Call,
    Child,
    Continue,
    Crash,
    Crashed,
    Done,
    Down,
    DynamicSupervisor,
    Kill,
    Replied,
    Reply,
    Shutdown,
    Sleep,
    Supervisor,
    UnsendableValue,
    message,
)
from regrove.node.core.effects import Effect
from regrove.node.core.ports import AskTree, StopCore, TreeReport
from regrove.supervisor.requests import TerminateChild
from tests.core.bench import Bench, script

SET = {1}


class Awkward:
    def __repr__(self) -> str:
        return repr(self)  # RecursionError


class Wicked:
    def __repr__(self) -> str:
        raise SystemExit("no")


class WickedError(Exception):
    def __str__(self) -> str:
        raise SystemExit("no")


@pytest.mark.parametrize("value", [Awkward(), Wicked()], ids=["recursion", "exit"])
def test_an_answer_without_a_repr_ends_its_isolate_only(value: Any) -> None:
    log: list[Any] = []
    bench = Bench(
        Child("a", script(go=lambda s, c, m: value, reply=lambda s, c, m: Reply(value)), name="a"),
        Child("w", script(log, watch=lambda s, c, m: c.monitor("a") and None)),
        intensity=10,
    )
    for word in ("go", "reply"):
        bench.tell("root/w", "watch")
        bench.tell("root/a", word)
    assert [type(down.reason) for down in log] == [Crashed, Crashed]


def test_an_error_without_a_text_ends_its_isolate_only() -> None:
    def go(self: Any, ctx: Any, _: Any) -> Any:
        raise WickedError

    bench = Bench(Child("a", script(go=go)), intensity=10)
    bench.tell("root/a", "go")
    assert bench.alive("root/a")


def test_an_effect_of_a_foreign_class_ends_its_isolate_only() -> None:
    class Foreign(Effect):
        pass

    bench = Bench(Child("a", script(go=lambda s, c, m: Foreign())), intensity=10)
    bench.tell("root/a", "go")
    assert bench.cell("root/a").incarnation == 2


@pytest.mark.parametrize(
    "step",
    [
        lambda s, c, m: Done(Shutdown(SET)),
        lambda s, c, m: Crash(SET),
        lambda s, c, m: Reply(1, Done(Shutdown(SET))),
    ],
    ids=["done", "crash", "reply and done"],
)
def test_a_reason_that_does_not_travel_is_a_crash_that_everybody_hears_of(step: Any) -> None:
    log: list[Any] = []
    bench = Bench(
        Child("a", script(go=step), name="a"),
        Child("w", script(log, watch=lambda s, c, m: c.monitor("a") and None, ask=lambda s, c, m: Call("a", "go"))),
        intensity=10,
    )
    bench.tell("root/w", "watch")
    bench.tell("root/w", "ask")
    down = next(entry for entry in log if isinstance(entry, Down))
    assert isinstance(down.reason, Crashed)
    assert down.reason.type == UnsendableValue.__name__
    assert bench.core.counters.crashes == 1
    assert bench.alive("root/a")


def test_an_exit_signal_with_a_reason_that_does_not_travel_is_refused_at_the_call() -> None:
    seen: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        with pytest.raises(UnsendableValue):
            ctx.exit("b", Shutdown(SET))
        seen.append("refused")

    bench = Bench(Child("a", script(go=go)), Child("b", script(), name="b"))
    bench.tell("root/a", "go")
    assert seen == ["refused"]


def test_a_failure_on_purpose_counts_as_one_crash() -> None:
    bench = Bench(
        Child("a", script(go=lambda s, c, m: Crash("on purpose"), reply=lambda s, c, m: Reply(1), none=lambda *_: 5)),
        intensity=10,
    )
    for number, word in enumerate(("go", "reply", "none"), 1):
        bench.tell("root/a", word)
        assert bench.core.counters.crashes == number


def test_whole_tracebacks_are_logged_for_a_bounded_number_of_crashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regrove.node.core.lifecycle.CRASH_FINGERPRINTS", 1)

    def first(self: Any, ctx: Any, _: Any) -> Any:
        raise ValueError("one")

    def second(self: Any, ctx: Any, _: Any) -> Any:
        raise KeyError("two")

    bench = Bench(Child("a", script(first=first, second=second)), intensity=10)
    for word in ("first", "second", "second"):
        bench.tell("root/a", word)
    crashes = [fields for event, fields in bench.log.lines if event == "crashed"]
    assert ["exc_info" in fields for fields in crashes] == [True, False, False]


# --- kill -------------------------------------------------------------------------------------------------------------


def test_an_isolate_that_kills_itself_handles_no_further_mail() -> None:
    log: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        ctx.exit(ctx.self, Kill())
        ctx.send(ctx.self, "after")

    bench = Bench(Child("a", script(log, go=go)))
    bench.core.inject(bench.address("root/a"), "go")
    for _ in range(3):
        bench.core.inject(bench.address("root/a"), "mail")
    bench.settle()
    assert log == []
    assert bench.cell("root/a").incarnation == 2
    counters = bench.core.counters
    assert counters.sent == counters.handled + counters.abandoned
    assert (bench.core.pool_messages, bench.core.pool_bytes) == (0, 0)


def test_a_child_that_kills_its_supervisor_handles_no_further_mail() -> None:
    log: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        ctx.exit("sub", Kill())

    bench = Bench(Supervisor("sub", [Child("a", script(log, go=go))], name="sub"))
    for word in ("go", "mail"):
        bench.core.inject(bench.address("root/sub/a"), word)
    bench.settle()
    assert log == []
    assert bench.cell("root/sub/a").incarnation == 2


def test_a_link_to_the_dead_ends_the_isolate_before_its_next_message() -> None:
    log: list[Any] = []

    def remember(self: Any, ctx: Any, _: Any) -> Any:
        dead.append(ctx.self)
        return DONE

    dead: list[Any] = []
    bench = Bench(
        Child("x", script(go=remember), restart="temporary"),
        Child("a", script(log, go=lambda s, c, m: c.link(dead[0]))),
    )
    bench.tell("root/x", "go")
    for word in ("go", "mail"):
        bench.core.inject(bench.address("root/a"), word)
    bench.settle()
    assert log == []
    assert bench.cell("root/a").incarnation == 2


def test_a_supervisor_killed_while_it_stops_takes_its_children_with_it() -> None:
    log: list[Any] = []
    bench = Bench(
        Child("k", script(go=lambda s, c, m: c.exit("sub", Kill()))),
        Supervisor(
            "sub",
            [Child("a", script(log, stop=lambda s, c, m: RECEIVE), shutdown=100)],
            name="sub",
            restart="temporary",
        ),
        Child("t", script(log, go=lambda s, c, m: Call("top", TerminateChild("sub"), timeout=None))),
        name="top",
    )
    bench.tell("root/t", "go")
    assert bench.alive("root/sub/a")
    bench.tell("root/k", "go")
    assert not bench.alive("root/sub/a")
    assert not bench.alive("root/sub")
    assert log == [Replied(True)]
    assert len(bench.core.timers) == 0


# --- stop -------------------------------------------------------------------------------------------------------------


def stopping(log: list[Any], **steps: Any) -> Bench:
    return Bench(
        Child("a", script(log, **steps), restart="temporary", shutdown=10, name="a"),
        Child("t", script(go=lambda s, c, m: c.request("top", TerminateChild("a"), timeout=None) and None), name="t"),
        Child("c", script(log, go=lambda s, c, m: Call("a", "go", timeout=None))),
        name="top",
    )


def test_a_continue_interrupted_by_stop_waits_until_the_wait_of_stop_is_over() -> None:
    log: list[Any] = []

    def note(name: str, effect: Any) -> Any:
        def step(self: Any, ctx: Any, _: Any) -> Any:
            if name == "go":
                ctx.send("t", "go")
            log.append(name)
            return effect

        return step

    bench = stopping(
        log,
        go=note("go", Continue("slice")),
        slice=note("slice", DONE),
        stop=note("stop", Sleep(1)),
        Slept=note("slept", RECEIVE),
    )
    bench.core.inject(bench.address("root/a"), "go")
    bench.settle()
    assert log == ["go", "stop"]
    bench.advance(2)
    assert log == ["go", "stop", "slept", "slice"]
    assert not bench.alive("root/a")


def test_a_continue_of_stop_comes_before_the_one_it_interrupted_and_neither_is_lost() -> None:
    log: list[Any] = []

    def first(self: Any, ctx: Any, _: Any) -> Any:
        log.append("go")
        ctx.send("t", "go")
        return Continue("old")

    def old(self: Any, ctx: Any, _: Any) -> Any:
        log.append("old")
        return DONE

    def new(self: Any, ctx: Any, _: Any) -> Any:
        log.append("new")

    bench = stopping(log, go=first, old=old, new=new, stop=lambda s, c, m: Continue("new"))
    bench.core.inject(bench.address("root/c"), "go")
    bench.settle()
    assert log[:2] == ["go", "new"]
    assert "old" in log


def test_a_request_in_hand_is_not_judged_while_a_continue_of_it_is_to_come() -> None:
    log: list[Any] = []
    bench = stopping(
        log,
        go=lambda s, c, m: c.send("t", "go") and Continue("slice"),
        slice=lambda s, c, m: Reply("answered", DONE),
        stop=lambda s, c, m: RECEIVE,
    )
    bench.core.inject(bench.address("root/c"), "go")
    bench.settle()
    assert log == [Replied("answered")]


def test_done_after_stop_was_asked_ends_with_the_reason_of_the_stop() -> None:
    """The outcome of a wait comes before `stop`: what it ends with is an answer to the stop already."""
    log: list[Any] = []

    def keep(self: Any, ctx: Any, _: Any) -> Any:
        self.kept = ctx.caller

    bench = Bench(
        Child("a", script(go=lambda s, c, m: Call("b", "ask"), Replied=lambda s, c, m: DONE), name="a"),
        Child("b", script(ask=keep, go=lambda s, c, m: c.reply(s.kept, 1)), name="b"),
        Child("w", script(log, go=lambda s, c, m: c.monitor("a") and None)),
        Child("t", script(go=lambda s, c, m: c.request("top", TerminateChild("a")) and None)),
        name="top",
    )
    bench.tell("root/w", "go")
    bench.tell("root/a", "go")
    for path in ("root/b", "root/t"):
        bench.core.inject(bench.address(path), "go")
    bench.settle()
    assert [down.reason for down in log] == [Shutdown()]


@message(name="tests.ends.Unspeakable")
class Unspeakable:
    value: int = 0

    def __repr__(self) -> str:
        raise RuntimeError("no words")


def test_a_reason_without_words_ends_its_isolate_only_and_the_tree_can_be_shown() -> None:
    bench = Bench(
        Child("a", script(go=lambda s, c, m: Crash(Unspeakable())), restart="temporary"), Child("b", script())
    )
    bench.tell("root/a", "go")
    assert not bench.alive("root/a")
    bench.tell("root/b", "still here")
    bench.settle(control=[AskTree(1)])
    assert isinstance(bench.control[-1], TreeReport)


def test_a_supervisor_that_gives_up_for_a_reason_without_words_says_so() -> None:
    bench = Bench(
        Supervisor("sub", [Child("a", script(go=lambda s, c, m: Crash(Unspeakable())))], intensity=0), intensity=5
    )
    bench.tell("root/sub/a", "go")
    assert bench.cell("root/sub").incarnation == 2
    bench.settle(control=[AskTree(1)])
    assert isinstance(bench.control[-1], TreeReport)


def test_stop_asked_again_runs_once() -> None:
    log: list[Any] = []
    bench = Bench(
        Child("a", script(log, stop=lambda s, c, m: log.append("stop")), shutdown=5),
        name="top",
    )
    for budget in (None, 3.0, 2.0):
        bench.settle(control=[StopCore(budget, Shutdown())])
    assert log == ["stop"]
    bench.advance(6)
    assert bench.core.supervising.root is not None
    assert not bench.alive("root/a")
    assert len(bench.core.timers) == 0


def test_an_isolate_asked_to_stop_before_its_first_turn_never_starts() -> None:
    log: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        made = ctx.spawn(Child("x", script(log, start=lambda s, c, m: log.append("start"))), under="pool")
        ctx.monitor(made)
        ctx.request("pool", TerminateChild(made))

    bench = Bench(DynamicSupervisor("pool", name="pool"), Child("a", script(log, go=go)))
    bench.tell("root/a", "go")
    assert [type(entry).__name__ for entry in log] == ["Down", "Replied"]
    assert log[0].reason == Shutdown()
