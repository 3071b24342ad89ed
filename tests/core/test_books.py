"""Every OK is accounted for on one core, whatever mixture of sends, calls, pushes, publishes, timers and ends it is."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from regrove import (
    DONE,
    RECEIVE,
    Bounds,
    Call,
    CallAll,
    Child,
    Continue,
    Isolate,
    Push,
    Reply,
    Sleep,
)
from regrove.node.core.isolate import ENDED
from regrove.supervisor.requests import TerminateChild, WhichChildren
from tests.core.bench import Bench

OTHERS = ("w0", "w1", "w2", "top", "nobody")
MAIL = ("send", "call", "push", "all", "publish", "timer", "every", "request")
DEEDS = (*MAIL, "slow", "again", "crash", "done", "stop")


class Worker(Isolate):
    mailbox_capacity = 2

    def start(self, ctx: Any) -> Any:
        ctx.join("workers")
        return RECEIVE

    def handle(self, ctx: Any, message: Any) -> Any:
        if not isinstance(message, tuple):
            return RECEIVE if message is None else Reply(1) if message == "ask" and ctx.caller else RECEIVE
        deed, to = message
        match deed:
            case "send":
                ctx.send(to, "mail")
            case "publish":
                ctx.publish("workers", "mail")
            case "timer":
                ctx.send_after(0.5, "tick", to=to)
            case "every":
                ctx.send_every(0.7, "tick", to=to)
            case "request":
                ctx.request(to, "ask", timeout=0.4)
        return self.become(deed, to)

    def become(self, deed: str, to: str) -> Any:
        match deed:
            case "call":
                return Call(to, WhichChildren() if to == "top" else "ask", timeout=0.3)
            case "all":
                return CallAll([Call(to, "ask"), Call("w1", "ask"), Call("nobody", "ask")], timeout=0.3)
            case "push":
                return Push(to, "mail", timeout=0.3)
            case "slow":
                return Sleep(0.6)
            case "again":
                return Continue("more")
            case "crash":
                raise ValueError(to)
            case "done":
                return DONE
            case "stop":
                return Call("top", TerminateChild(to), timeout=0.3)
        return RECEIVE


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(st.sampled_from(OTHERS[:3]), st.sampled_from(DEEDS), st.sampled_from(OTHERS), st.integers(0, 3)),
        max_size=40,
    ),
    st.sampled_from([3, 1_000]),
)
def test_sent_is_handled_abandoned_refused_or_still_queued(script: list[Any], pool: int) -> None:
    bench = Bench(
        *[Child(name, Worker, name=name, shutdown=1) for name in OTHERS[:3]],
        name="top",
        intensity=1_000,
        bounds=Bounds(pool_messages=pool),
    )
    core = bench.core
    for name, deed, to, pause in script:
        holder = core.registry.holder(name)
        if holder is not None:
            core.inject(holder, (deed, to))
        if pause:
            bench.advance(pause / 4)
        counters = core.counters
        ends = counters.handled + counters.abandoned + counters.refused + counters.lost + counters.unknown
        assert counters.sent == ends + core.pool_messages
        queued = sum(cell.queued for cell in core.cells if cell is not None)
        assert queued == core.pool_messages
    bench.advance(5)
    assert core.pool_messages == sum(cell.queued for cell in core.cells if cell is not None)
    owed = [debt for debt in core.calls.debts.values() if debt.cell.state == ENDED]
    assert owed == []
    if core.pool_messages == 0:
        assert core.pool_bytes == 0
    assert core.waiters.lines == {}
