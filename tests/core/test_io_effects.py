"""I/O as a core sees it: requests out, completions in, ownership of streams; the edge is played by the test."""

from __future__ import annotations

from typing import Any

import pytest

from regrove import (
    RECEIVE,
    Accept,
    Accepted,
    Bounds,
    Busy,
    Child,
    Close,
    Closed,
    Connect,
    Connected,
    DynamicSupervisor,
    Failed,
    Given,
    Isolate,
    Listen,
    Listening,
    NotOwner,
    Offload,
    Open,
    Opened,
    OsError,
    Push,
    Pushed,
    Read,
    Received,
    Returned,
    Sleep,
    Timeout,
    Write,
    Written,
)
from regrove.node.core.ports import IoCancel, IoDone, IoRelease, IoRequest
from tests.core.bench import Bench, script


class Plug:
    """A bench whose isolate `io` runs one wait at a time, given by name."""

    def __init__(self, *more: Any, **steps: Any) -> None:
        self.log: list[Any] = []
        self.bench = Bench(Child("io", script(self.log, **steps), name="io"), *more)

    def ask(self, wait: Any) -> IoRequest:
        """Have the isolate return `wait`, and give what it asked the edge."""
        self.bench.isolate("root/io").steps["go"] = lambda s, c, _: wait
        self.bench.tell("root/io", "go")
        request = self.bench.io[-1]
        assert isinstance(request, IoRequest)
        return request

    def answer(self, request: IoRequest, result: Any) -> Any:
        self.bench.settle(io=[IoDone(request.token, result)])
        return self.log[-1]

    def stream(self, handle: int = 7) -> Any:
        return self.answer(self.ask(Connect("127.0.0.1", 80)), handle).stream


def test_each_wait_becomes_one_request_and_its_own_outcome() -> None:
    plug = Plug()
    listening = plug.answer(plug.ask(Listen("127.0.0.1", 0)), (3, "127.0.0.1", 4242))
    assert isinstance(listening, Listening)
    assert (listening.listener.port, listening.listener.handle) == (4242, 3)
    accepted = plug.answer(plug.ask(Accept(listening.listener)), (4, "127.0.0.1:9"))
    assert accepted == Accepted(accepted.stream, "127.0.0.1:9")
    stream = plug.stream(5)
    assert plug.log[-1] == Connected(stream)
    assert plug.answer(plug.ask(Read(stream, 10)), b"abc") == Received(b"abc", stream)
    assert plug.answer(plug.ask(Write(stream, b"x")), None) == Written(stream)
    assert plug.answer(plug.ask(Close(stream)), None) == Closed(stream)
    assert isinstance(plug.answer(plug.ask(Open("f")), 6), Opened)
    assert plug.answer(plug.ask(Offload(len, "abc")), 3) == Returned(3)


def test_a_reason_from_the_edge_is_a_failure_of_that_wait() -> None:
    plug = Plug()
    failed = plug.answer(plug.ask(Connect("127.0.0.1", 80)), OsError("ECONNREFUSED", "127.0.0.1:80"))
    assert failed == Failed(OsError("ECONNREFUSED", "127.0.0.1:80"))
    assert isinstance(failed.of, Connect)


def test_a_wait_that_times_out_is_cancelled_at_the_edge_and_its_completion_reaches_nobody() -> None:
    plug = Plug()
    request = plug.ask(Connect("127.0.0.1", 80, timeout=1))
    plug.bench.advance(1.1)
    assert plug.log == [Failed(Timeout())]
    assert plug.bench.io[-1] == IoCancel(request.token)
    plug.bench.settle(io=[IoDone(request.token, OsError("ECONNREFUSED"))])
    assert len(plug.log) == 1


def test_a_completion_that_crosses_its_cancellation_is_released() -> None:
    plug = Plug()
    request = plug.ask(Connect("127.0.0.1", 80, timeout=1))
    due = plug.bench.core.timers.next()
    assert due is not None
    plug.bench.now = due
    plug.bench.step()  # the timeout fires: the cancellation leaves with this pass
    plug.bench.step(io=[IoDone(request.token, 9)])
    assert IoRelease(9) in plug.bench.io


def test_streams_close_with_their_isolate() -> None:
    plug = Plug(fail=lambda s, c, _: 1 / 0)
    stream = plug.stream(7)
    request = plug.ask(Read(stream))
    from regrove import Killed

    plug.bench.core.signals.kill(plug.bench.cell("root/io"), Killed())
    plug.bench.settle()
    assert IoRelease(7) in plug.bench.io
    assert IoCancel(request.token) in plug.bench.io
    before = len(plug.log)
    plug.bench.settle(io=[IoDone(request.token, b"late")])
    assert len(plug.log) == before


def test_one_read_and_one_write_at_a_time() -> None:
    plug = Plug()
    stream = plug.stream()

    def both(self: Any, ctx: Any, _: Any) -> Any:
        for wait in (Read(stream), Write(stream, b"x"), Read(stream), Write(stream, b"y")):
            ctx.begin(wait)

    plug.bench.isolate("root/io").steps["both"] = both
    plug.bench.tell("root/io", "both")
    assert [entry.reason for entry in plug.log if isinstance(entry, Failed)] == [Busy()] * 2


def test_a_stream_of_another_isolate_is_refused() -> None:
    plug = Plug(Child("other", script(), name="other"))
    stream = plug.stream()
    log: list[Any] = []
    other = plug.bench.isolate("root/other")
    other.log = log
    other.steps["steal"] = lambda s, c, _: Read(stream)
    plug.bench.tell("root/other", "steal")
    assert log == [Failed(NotOwner())]


def test_a_closed_stream_is_no_longer_owned() -> None:
    plug = Plug()
    stream = plug.stream()
    plug.answer(plug.ask(Close(stream)), None)
    plug.bench.isolate("root/io").steps["go"] = lambda s, c, _: Read(stream)
    plug.bench.tell("root/io", "go")
    assert plug.log[-1] == Failed(NotOwner())


def test_a_given_stream_belongs_to_the_receiver_alone() -> None:
    got: list[Any] = []
    plug = Plug(Child("other", script(got), name="other"))
    stream = plug.stream(8)
    plug.bench.isolate("root/io").steps["give"] = lambda s, c, _: c.give(stream, "other") and None
    plug.bench.tell("root/io", "give")
    assert got == [Given(stream)]
    plug.bench.isolate("root/io").steps["go"] = lambda s, c, _: Read(stream)
    plug.bench.tell("root/io", "go")
    assert plug.log[-1] == Failed(NotOwner())
    assert 8 in (plug.bench.cell("root/other").handles or {})


class Session(Isolate):
    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def start(self, ctx: Any) -> Any:
        return Read(self.stream)

    def handle(self, ctx: Any, message: Any) -> Any:
        return RECEIVE


@pytest.mark.parametrize("restart", ["temporary", "permanent"])
def test_a_stream_passes_to_a_spawned_temporary_child_only(restart: Any) -> None:
    plug = Plug(DynamicSupervisor("pool", name="pool"))
    stream = plug.stream(8)
    plug.bench.isolate("root/io").steps["spawn"] = lambda s, c, _: (
        c.spawn(Child("session", Session, stream, restart=restart), under="pool") and None
    )
    plug.bench.tell("root/io", "spawn")
    if restart == "temporary":
        request = plug.bench.io[-1]
        assert isinstance(request, IoRequest)
        assert request.handle == 8
        assert plug.bench.cell("root/pool/session").handles == {8: None}
    else:
        assert not plug.bench.alive("root/pool/session")
        assert IoRelease(8) in plug.bench.io  # the spawner crashed, and its stream closed with it


def test_offloaded_arguments_are_not_shared_with_the_thread() -> None:
    plug = Plug()
    items = [1]
    request = plug.ask(Offload(sum, items))
    items.append(2)
    assert request.wait.args == ([1],)  # type: ignore[attr-defined]


def test_a_push_that_waits_for_the_pool_goes_on_when_there_is_room() -> None:
    log: list[Any] = []

    class Slow(Isolate):
        mailbox_capacity = 1

        def handle(self, ctx: Any, message: Any) -> Any:
            return Sleep(1, then=self.rested) if message == "hold" else RECEIVE

        def rested(self, ctx: Any, outcome: Any) -> Any:
            return RECEIVE

    class Hoard(Slow):
        mailbox_capacity = 100

    bench = Bench(
        Child("narrow", Slow, name="narrow"),
        Child("hoard", Hoard, name="hoard"),
        Child("p", script(log, go=lambda s, c, _: Push("narrow", "x", timeout=60))),
        bounds=Bounds(pool_messages=3),
    )
    bench.tell("root/hoard", "hold")
    bench.tell("root/narrow", "hold")
    bench.tell("root/narrow", "fill")
    bench.tell("root/p", "go")
    for _ in range(2):
        assert bench.tell("root/hoard", "pile")
    bench.advance(0.999)
    assert log == []
    bench.advance(2)
    assert log == [Pushed()]
    assert bench.core.pool_messages == 0
