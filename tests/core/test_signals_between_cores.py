"""Monitors, links and tables when links between cores break one way, peers come and go, and reasons are big."""

from __future__ import annotations

from typing import Any

from regrove import (
    RECEIVE,
    Call,
    Child,
    Crash,
    Crashed,
    Done,
    Down,
    Exit,
    Failed,
    Isolate,
    Kill,
    Killed,
    Misuse,
    Name,
    NoProcess,
    Normal,
    Replied,
    Reply,
    Sent,
    Shutdown,
    Supervisor,
    message,
)
from regrove.node.core import messages
from regrove.node.core.address import Address, Home
from tests.core.bench import Bench, Log, script
from tests.core.pair import Pair

BOOM = Crashed("Test", "boom")


class Trap(Isolate):
    trap_exits = True

    def __init__(self, record: Any) -> None:
        self.record = record

    def start(self, ctx: Any) -> Any:
        self.record(ctx, "start")
        return RECEIVE

    def handle(self, ctx: Any, message: Any) -> Any:
        self.record(ctx, message)
        return RECEIVE


def trap(log: list[Any]) -> Any:
    """A trapping isolate that is told whom to link, as ("link", address), and logs the reasons of its Exits."""

    def record(ctx: Any, message: Any) -> None:
        match message:
            case ("link", other):
                ctx.link(other)
            case ("unlink", other):
                ctx.unlink(other)
            case Exit(_, reason):
                log.append(reason)

    return lambda: Trap(record)


def fail(self: Any, ctx: Any, _: Any) -> Any:
    raise ValueError("gone")


def test_links_that_ended_leave_nothing_on_either_core() -> None:
    log: list[Any] = []
    pair = Pair([Child("a", trap(log))], [Child("b", script(fail=fail))])
    for count in range(1, 6):
        pair.tell(pair.a, "root/a", ("link", pair.b.address("root/b")))
        pair.tell(pair.b, "root/b", "fail")
        assert len(log) == count
    assert not any(pair.a.core.signals._linked.values())
    assert not any(pair.b.core.signals._linked.values())
    assert not pair.a.cell("root/a").links


def test_an_exit_signal_of_a_linked_isolate_leaves_the_link() -> None:
    """OTP exit/2: only an end, or unlink, unties."""
    log: list[Any] = []
    bench = Bench(
        Child("a", trap(log)),
        Child("b", script(tuple=lambda s, c, m: c.exit(m[1], BOOM), fail=fail)),
    )
    bench.tell("root/a", ("link", bench.address("root/b")))
    bench.tell("root/b", ("tell", bench.address("root/a")))
    assert log == [BOOM]
    bench.tell("root/b", "fail")
    assert [type(reason) for reason in log] == [Crashed, Crashed]
    assert log[1].text == "gone"


def test_an_exit_signal_from_another_core_leaves_the_link() -> None:
    log: list[Any] = []
    pair = Pair(
        [Child("a", trap(log))],
        [Child("b", script(tuple=lambda s, c, m: c.exit(m[1], BOOM), fail=fail))],
    )
    pair.tell(pair.a, "root/a", ("link", pair.b.address("root/b")))
    pair.tell(pair.b, "root/b", ("tell", pair.a.address("root/a")))
    pair.tell(pair.b, "root/b", "fail")
    assert [reason.text for reason in log] == ["boom", "gone"]


def test_no_exit_of_a_link_comes_after_unlink_even_if_it_was_under_way() -> None:
    log: list[Any] = []
    pair = Pair(
        [Child("a", trap(log))],
        [Child("b", script(fail=fail), restart="temporary")],
    )
    address = pair.b.address("root/b")
    pair.tell(pair.a, "root/a", ("link", address))
    assert pair.b.core.inject(address, "fail")
    assert pair.a.core.inject(pair.a.address("root/a"), ("unlink", address))
    pair.run(0.1)
    assert not any(cell is not None and cell.path == "root/b" for cell in pair.b.core.cells)
    assert log == []


def test_a_link_to_a_supervisor_tells_of_its_end_and_never_ends_it() -> None:
    log: list[Any] = []
    bench = Bench(
        Supervisor("sub", [Child("w", script())], name="sub", restart="temporary"),
        Child("a", trap(log)),
        Child("b", script(go=lambda s, c, m: c.link("sub"), fail=fail)),
        Child("k", script(go=lambda s, c, m: c.exit("sub", Kill()))),
    )
    bench.tell("root/a", ("link", bench.address("root/sub")))
    bench.tell("root/b", "go")
    bench.tell("root/b", "fail")
    assert bench.alive("root/sub/w")
    bench.tell("root/k", "go")
    assert log == [Killed()]


def test_cores_that_come_and_go_leave_nothing_behind() -> None:
    log: list[Any] = []

    def go(self: Any, ctx: Any, message: Any) -> Any:
        ctx.monitor(Name("b", core=1))
        ctx.link(message[0])
        ctx.send(Name("b", core=1), "x", notify=1)
        return Call(Name("b", core=1), "ask")

    pair = Pair(
        [Child("a", lambda: Trap(lambda c, m: None)), Child("s", script(log, tuple=go))],
        [Child("b", script(ask=lambda s, c, m: Reply(1)), name="b")],
    )
    for _ in range(4):
        pair.tell(pair.a, "root/s", (pair.b.address("root/b"),))
        pair.crash(1)
        pair.run(0.1)
        pair.start(1)
        pair.run(0.3)
    core = pair.a.core
    assert len(core.links._down) <= 1
    assert len(core.calls.peers) <= 1
    for table in (core.signals._outward, core.signals._foreign, core.signals._linked):
        assert len(table) <= 1
    assert core.waiters.lines == {}


def test_a_reason_too_big_for_a_signal_still_tells_of_the_end() -> None:
    log: list[Any] = []
    pair = Pair(
        [Child("a", script(log, go=lambda s, c, m: c.monitor(Name("b", core=1)) and None))],
        [
            Child(
                "b",
                script(
                    crash=lambda s, c, m: Crash(b"." * 6_000_000), done=lambda s, c, m: Done(Shutdown("." * 6_000_000))
                ),
                name="b",
            )
        ],
    )
    for step, kind in (("crash", Crashed), ("done", Shutdown)):
        pair.tell(pair.a, "root/a", "go")
        pair.tell(pair.b, "root/b", step)
        assert isinstance(log[-1], Down)
        assert isinstance(log[-1].reason, kind)


def test_the_down_of_an_address_that_is_dead_on_another_core_names_it() -> None:
    log: list[Any] = []
    pair = Pair(
        [Child("a", script(log, tuple=lambda s, c, m: c.monitor(m[0]) and None))],
        [Child("b", script(go=lambda s, c, m: Done(Normal())), restart="temporary")],
    )
    address = pair.b.address("root/b")
    pair.tell(pair.b, "root/b", "go")
    pair.tell(pair.a, "root/a", (address,))
    assert [(down.address, down.reason) for down in log] == [(address, NoProcess())]


def cut_one_way(pair: Pair, host: Any) -> None:
    """Lose the session that `host` dialled: what it sends is lost, what it hears goes on."""
    (link,) = [link for link in host.table._links.values() if link.session is not None]
    host.table._drop(link.session, "cut by a test", pair.now)


def test_a_down_that_was_lost_with_the_link_of_the_watched_is_told_again() -> None:
    log: list[Any] = []
    pair = Pair(
        [Child("a", script(log, go=lambda s, c, m: c.monitor(Name("b", core=1)) and None))],
        [
            Child("b", script(fail=fail), name="b", restart="temporary"),
            Child("c", script(go=lambda s, c, m: Call(Name("a", core=0), 1)), name="c"),
        ],
    )
    pair.tell(pair.a, "root/a", "go", seconds=0.2)
    pair.tell(pair.b, "root/c", "go", seconds=0.2)
    cut_one_way(pair, pair.b)
    assert pair.b.core.inject(pair.b.address("root/b"), "fail")
    pair.run(5)
    downs = [entry for entry in log if isinstance(entry, Down)]
    assert len(downs) == 1


def traps(log: list[Any], other: list[Any]) -> Pair:
    """Two isolates that trap exits, on two cores whose links are up."""
    pair = Pair([Child("a", trap(log))], [Child("b", trap(other))])
    for at, to in ((pair.a, pair.b), (pair.b, pair.a)):
        path, target = ("root/a", "root/b") if at is pair.a else ("root/b", "root/a")
        pair.tell(at, path, ("link", to.address(target)))
        pair.tell(at, path, ("unlink", to.address(target)))
    return pair


def are_tied(pair: Pair) -> tuple[bool, bool]:
    a, b = pair.a.cell("root/a"), pair.b.cell("root/b")
    return b.address in (a.links or ()), a.address in (b.links or ())


def test_a_link_that_crosses_an_unlink_is_on_both_sides_or_on_none() -> None:
    """OTP since 23: UNLINK_ID and its acknowledgement."""
    pair = traps([], [])
    a, b = pair.a.address("root/a"), pair.b.address("root/b")
    assert are_tied(pair) == (False, False)
    assert pair.b.core.inject(b, ("link", a))
    assert pair.a.core.inject(a, ("link", b))
    assert pair.a.core.inject(a, ("unlink", b))
    pair.run(0.2)
    assert are_tied(pair) == (False, False)
    pair.tell(pair.b, "root/b", ("link", a))
    assert are_tied(pair) == (True, True)


def test_a_link_asked_for_again_behind_an_unlink_stands_on_both_sides() -> None:
    pair = traps([], [])
    a, b = pair.a.address("root/a"), pair.b.address("root/b")
    for word in ("link", "unlink", "link"):
        assert pair.a.core.inject(a, (word, b))
        assert pair.b.core.inject(b, (word, a))
    pair.run(0.2)
    assert are_tied(pair) == (True, True)
    assert not pair.a.core.signals._parting
    assert not pair.b.core.signals._parting


def test_what_crosses_a_second_unlink_is_not_let_in_by_the_answer_to_the_first() -> None:
    pair = traps([], [])
    a, b = pair.a.address("root/a"), pair.b.address("root/b")
    pair.tell(pair.a, "root/a", ("link", b))
    assert pair.a.core.inject(a, ("unlink", b))
    pair.run(0.001)  # what is said takes a millisecond
    assert pair.a.core.inject(a, ("link", b))
    assert pair.a.core.inject(a, ("unlink", b))
    assert pair.b.core.inject(b, ("link", a))
    pair.run(0.2)
    assert are_tied(pair) == (False, False)


def test_an_unlink_that_was_lost_is_said_again_and_no_exit_comes_after_it() -> None:
    log: list[Any] = []
    pair = traps(log, [])
    a, b = pair.a.address("root/a"), pair.b.address("root/b")
    pair.tell(pair.a, "root/a", ("link", b))
    assert are_tied(pair) == (True, True)
    cut_one_way(pair, pair.a)
    assert pair.a.core.inject(a, ("unlink", b))
    pair.run(5)
    assert are_tied(pair) == (False, False)
    pair.b.core.signals.kill(pair.b.cell("root/b"), BOOM)
    pair.run(1)
    assert log == []


def test_an_unlink_that_was_lost_is_said_again_also_after_the_other_core_was_silent() -> None:
    log: list[Any] = []
    pair = traps(log, [])
    a, b = pair.a.address("root/a"), pair.b.address("root/b")
    pair.tell(pair.a, "root/a", ("link", b))
    pair.network.cut(pair.a.name, pair.b.name)  # what b says still arrives, so that b notices nothing
    assert pair.a.core.inject(a, ("unlink", b))
    cut_one_way(pair, pair.a)
    pair.run(5)
    assert are_tied(pair) == (False, True)
    pair.network.heal(pair.a.name, pair.b.name)
    pair.a.table.warm(tuple(b.home))  # type: ignore[arg-type]  # as the next message to it does
    pair.run(1)
    assert are_tied(pair) == (False, False)
    pair.b.core.signals.kill(pair.b.cell("root/b"), BOOM)
    pair.run(1)
    assert log == []


def test_an_unlink_that_a_core_never_heard_of_goes_with_it() -> None:
    pair = traps([], [])
    b = pair.b.address("root/b")
    pair.tell(pair.a, "root/a", ("link", b))
    pair.network.cut(pair.a.name, pair.b.name)
    pair.tell(pair.a, "root/a", ("unlink", b))
    assert pair.a.core.signals._parting[b.home]
    pair.crash(1)
    assert not pair.a.core.signals._parting


@message(name="tests.signals.Annotated")
class Annotated:
    number: int


def test_in_simulation_a_wrong_field_is_told_to_the_caller_before_it_leaves() -> None:
    log: list[Any] = []
    pair = Pair(
        [Child("a", script(log, go=lambda s, c, m: Call(Name("b", core=1), Annotated("x"))), name="a")],  # type: ignore[arg-type]
        [Child("b", script(Annotated=lambda s, c, m: Reply(1)), name="b")],
    )
    pair.tell(pair.a, "root/a", "go")
    assert pair.a.cell("root/a").incarnation == 2
    crash = next(fields for event, fields in pair.a.log.lines if event == "crashed")
    assert Misuse.__name__ in crash["reason"]
    assert isinstance(pair.a.log, Log)


def test_a_group_message_is_encoded_once_for_all_the_other_cores(monkeypatch: Any) -> None:
    log: list[Any] = []
    counted: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        counted.append(ctx.publish("g", "hi"))

    pair = Pair(
        [
            Child(
                "a",
                script(log, start=lambda s, c, m: c.join("g"), go=go),
            )
        ],
        [Child(f"b{n}", script(log, start=lambda s, c, m: c.join("g"))) for n in range(5)],
    )
    real = messages.encode
    encoded: list[Any] = []

    def encode(value: Any) -> bytes:
        encoded.append(value)
        return real(value)

    monkeypatch.setattr(messages, "payload_of", encode)
    pair.a.core.crossing = None
    pair.tell(pair.a, "root/a", "go")
    assert counted == [6]
    assert log.count("hi") == 6
    assert encoded == ["hi"]


def test_a_published_value_that_does_not_travel_is_refused_before_anybody_has_it() -> None:
    log: list[Any] = []
    bench = Bench(
        Child("b", script(log, start=lambda s, c, m: c.join("g"))),
        Child("a", script(go=lambda s, c, m: c.publish("g", {1}))),
        intensity=5,
    )
    bench.tell("root/a", "go")
    assert bench.cell("root/a").incarnation == 2
    assert log == []


def test_an_answer_between_cores_comes_after_all_this() -> None:
    log: list[Any] = []
    pair = Pair(
        [Child("a", script(log, go=lambda s, c, m: Call(Name("b", core=1), "ask")))],
        [Child("b", script(ask=lambda s, c, m: Reply(1)), name="b")],
    )
    pair.tell(pair.a, "root/a", "go")
    assert log == [Replied(1)]
    assert not isinstance(log[0], Failed)


def test_a_client_that_is_gone_is_unreachable_and_its_monitor_says_so() -> None:
    log: list[Any] = []
    sent: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        gone = Address(Home("client:somebody", 1, 0, 1), 0, 1)
        sent.append(ctx.send(gone, "hello"))
        ctx.monitor(gone)
        ctx.request(gone, "ask")

    pair = Pair([Child("a", script(log, go=go))], [])
    pair.tell(pair.a, "root/a", "go")
    assert sent == [Sent.UNREACHABLE]
    assert sorted(type(entry.reason).__name__ for entry in log) == ["NoConnection", "Unreachable"]


def test_a_name_of_the_own_node_is_the_same_as_one_without_a_node() -> None:
    log: list[Any] = []
    sent: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        for name in (
            Name("a", node="n@h"),
            Name("b", node="n@h"),
            Name("b", node="n@h", core=0),
            Name("b", core=99),
            Name("b", node="elsewhere@h"),
        ):
            sent.append(ctx.send(name, "hello"))

    pair = Pair([Child("a", script(log, go=go), name="a")], [Child("b", script(log), name="b")])
    pair.tell(pair.a, "root/a", "go")
    assert sent == [Sent.OK, Sent.OK, Sent.STALE, Sent.STALE, Sent.UNREACHABLE]
    assert log == ["hello", "hello"]


def test_a_monitor_by_name_belongs_to_the_life_it_found_though_the_link_broke_meanwhile() -> None:
    """The next holder of the name is another isolate: asked again after the break, the answer is a Down."""
    log: list[Any] = []
    pair = Pair(
        [Child("a", script(log, go=lambda s, c, m: c.monitor(Name("b", core=1)) and None))],
        [Child("b", script(fail=fail), name="b"), Child("c", script(go=lambda s, c, m: Call(Name("a"), 1)), name="c")],
    )
    pair.tell(pair.a, "root/a", "go", seconds=0.2)
    pair.tell(pair.b, "root/c", "go", seconds=0.2)
    cut_one_way(pair, pair.b)
    assert pair.b.core.inject(pair.b.address("root/b"), "fail")
    pair.run(5)
    assert pair.b.cell("root/b").incarnation == 2
    assert [type(entry) for entry in log] == [Down]
