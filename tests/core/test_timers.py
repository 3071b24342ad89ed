"""Timers of isolates: never early, bounded, and gone with their owner."""

from __future__ import annotations

from typing import Any

import pytest

from regrove import BoundReached, Bounds, Child, Misuse, Sleep, Slept
from regrove.node.core.timers import MESSAGE, TimerRecord, Timers
from tests.core.bench import SECOND, Bench, script


def test_a_message_comes_after_its_delay_and_never_early() -> None:
    log: list[Any] = []
    bench = Bench(Child("a", script(log, go=lambda s, ctx, _: ctx.send_after(1, "tick") and None)))
    bench.tell("root/a", "go")
    bench.advance(0.999)
    assert log == []
    bench.advance(0.002)
    assert log == ["tick"]


def test_delays_count_from_the_end_of_the_pass() -> None:
    bench = Bench(Child("a", script(go=lambda s, ctx, _: ctx.send_after(1, "tick") and None)))
    bench.tell("root/a", "go")
    assert bench.core.timers.next() == bench.now + SECOND


def test_a_cancelled_timer_never_fires_and_the_answer_says_whether_it_was_to_come() -> None:
    log: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        timer = ctx.send_after(1, "tick")
        log.append((ctx.cancel(timer), ctx.cancel(timer)))

    bench = Bench(Child("a", script(log, go=go)))
    bench.tell("root/a", "go")
    bench.advance(2)
    assert log == [(True, False)]


def test_timers_die_with_their_isolate() -> None:
    log: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        ctx.send_after(1, "tick", to="b")
        raise ValueError

    bench = Bench(Child("a", script(go=go)), Child("b", script(log), name="b"))
    bench.tell("root/a", "go")
    bench.advance(2)
    assert log == []
    assert bench.core.user_timers == 0


def test_a_repeating_timer_keeps_its_beat_and_never_buries_a_slow_isolate() -> None:
    log: list[Any] = []
    bench = Bench(
        Child("a", script(log, go=lambda s, ctx, _: ctx.send_every(1, "tick") and None, hold=lambda s, c, _: Sleep(10)))
    )
    bench.tell("root/a", "go")
    bench.advance(3.5)
    assert log == ["tick"] * 3
    bench.tell("root/a", "hold")
    bench.advance(9)
    assert log == ["tick"] * 3
    bench.advance(1.2)
    assert log == ["tick"] * 3 + [Slept(), "tick"]


def test_timers_are_bounded_at_the_call() -> None:
    caught: list[Any] = []

    def start(self: Any, ctx: Any, _: Any) -> Any:
        for _ in range(3):
            ctx.send_after(1, "x")
        with pytest.raises(BoundReached) as info:
            ctx.send_after(1, "x")
        caught.append(info.value.bound)

    Bench(Child("a", script(start=start)), bounds=Bounds(timers=3))
    assert caught == ["timers"]


@pytest.mark.parametrize("delay", [-1, "1", None, float("nan")])
def test_a_bad_delay_is_misuse(delay: Any) -> None:
    caught: list[Any] = []

    def start(self: Any, ctx: Any, _: Any) -> Any:
        with pytest.raises(Misuse) as info:
            ctx.send_after(delay, "x")
        caught.append(str(info.value))

    Bench(Child("a", script(start=start)))
    assert "seconds" in caught[0]


def test_a_timer_to_another_isolate_obeys_its_mailbox() -> None:
    log: list[Any] = []
    bench = Bench(
        Child("a", script(go=lambda s, ctx, _: ctx.send_after(1, "tick", to="b") and None)),
        Child("b", script(log), name="b"),
    )
    bench.tell("root/a", "go")
    bench.advance(1.1)
    assert log == ["tick"]


def test_many_cancelled_timers_leave_no_heap_behind() -> None:
    timers = Timers()
    for round_ in range(50):
        records = [timers.ask(TimerRecord(MESSAGE, SECOND, n, None)) for n in range(1_000)]
        timers.arm(round_)
        for record in records:
            assert timers.cancel(record)
    assert len(timers) == 0
    assert len(timers.heap) < 3_000


def test_due_timers_fire_in_order_of_time_then_of_asking() -> None:
    timers = Timers()
    for token, delay in ((1, 5), (2, 3), (3, 5), (4, 3)):
        timers.ask(TimerRecord(MESSAGE, delay, token, None))
    timers.arm(0)
    assert [record.token for record in timers.due(4)] == [2, 4]
    assert [record.token for record in timers.due(5)] == [1, 3]
