"""Mail, calls, pushes, monitors, links and names between two cores, over the simulated transport."""

from __future__ import annotations

from typing import Any

import pytest

from regrove import (
    RECEIVE,
    Bounds,
    Call,
    Child,
    CoreDown,
    Crashed,
    Done,
    Down,
    Exit,
    Failed,
    Isolate,
    Kill,
    Killed,
    MailboxFull,
    Name,
    NoConnection,
    NoProcess,
    NoReply,
    Push,
    Pushed,
    Replied,
    Reply,
    Sent,
    Shutdown,
    Sleep,
    Timeout,
    TooLarge,
    Undelivered,
    Unreachable,
    message,
)
from tests.core.bench import Script, script
from tests.core.pair import Pair

BOOM = Crashed("Test", "boom")


@message(name="tests.pair.Hand")
class Hand:
    caller: object


def fail(self: Any, ctx: Any, _: Any) -> Any:
    raise ValueError("gone")


def calling(log: list[Any], request: Any = "ask", **options: Any) -> Child:
    return Child("a", script(log, go=lambda s, c, _: Call(Name("b", core=1), request, **options)), name="a")


def failures(log: list[Any]) -> list[Any]:
    return [entry.reason for entry in log if isinstance(entry, Failed)]


def test_a_message_to_a_name_of_another_core_arrives() -> None:
    log: list[Any] = []
    pair = Pair(
        [Child("a", script(go=lambda s, ctx, _: ctx.send("b", ["x", 1]) and None))], [Child("b", script(log), name="b")]
    )
    pair.tell(pair.a, "root/a", "go")
    assert log == [["x", 1]]
    assert (pair.total("sent"), pair.total("handled")) == (2, 2)


def test_a_call_across_cores_is_answered() -> None:
    log: list[Any] = []
    pair = Pair([calling(log)], [Child("b", script(ask=lambda s, c, _: Reply((1, "x"))), name="b")])
    pair.tell(pair.a, "root/a", "go")
    assert log == [Replied((1, "x"))]
    assert not pair.a.core.calls.debts


def test_messages_between_two_isolates_keep_their_order() -> None:
    log: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        for number in range(200):
            assert ctx.send("b", number)

    pair = Pair([Child("a", script(go=go))], [Child("b", script(log), name="b")])
    pair.tell(pair.a, "root/a", "go")
    assert log == list(range(200))


class Full(Isolate):
    mailbox_capacity = 3

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def handle(self, ctx: Any, message: Any) -> Any:
        if message == "hold":
            return Sleep(1, then=self.rested)
        self.log.append(message)
        return RECEIVE

    def rested(self, ctx: Any, outcome: Any) -> Any:
        return RECEIVE


def test_a_full_mailbox_across_cores_is_told_as_undelivered_and_counted() -> None:
    log: list[Any] = []
    handled: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        for number in range(5):
            assert ctx.send("b", number, notify=("my", number)) is Sent.OK

    pair = Pair([Child("a", script(log, go=go))], [Child("b", lambda: Full(handled), name="b")])
    pair.tell(pair.b, "root/b", "hold")
    pair.tell(pair.a, "root/a", "go")
    assert log == [Undelivered("b", MailboxFull(), ("my", 3)), Undelivered("b", MailboxFull(), ("my", 4))]
    assert pair.total("refused") == 2
    pair.run(1)
    assert handled == [0, 1, 2]


def test_a_push_across_cores_waits_for_room_and_resumes_in_order() -> None:
    handled: list[Any] = []
    log: list[Any] = []

    def push(number: int) -> Any:
        return script(log, go=lambda s, c, _: Push(Name("b", core=1), number))

    pair = Pair([Child(f"p{n}", push(n)) for n in range(5)], [Child("b", lambda: Full(handled), name="b")])
    pair.tell(pair.b, "root/b", "hold")
    for n in range(5):
        pair.tell(pair.a, f"root/p{n}", "go")
    assert log == [Pushed()] * 3
    pair.run(1)
    assert handled == [0, 1, 2, 3, 4]
    assert log == [Pushed()] * 5
    assert pair.b.core.pool_messages == 0


def test_a_push_that_gives_up_is_taken_back_from_the_other_core() -> None:
    handled: list[Any] = []
    log: list[Any] = []
    pair = Pair(
        [Child("a", script(log, go=lambda s, c, _: Push(Name("b", core=1), "late", timeout=0.2)))],
        [Child("b", lambda: Full(handled), name="b")],
    )
    pair.tell(pair.b, "root/b", "hold")
    for n in range(3):
        pair.tell(pair.b, "root/b", n)
    pair.tell(pair.a, "root/a", "go")
    pair.run(2)
    assert failures(log) == [Timeout()]
    assert handled == [0, 1, 2]
    assert pair.b.core.pool_messages == 0


def test_the_window_of_a_link_takes_exactly_its_size_then_says_link_full() -> None:
    answers: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        answers.extend(ctx.send("b", n) for n in range(5_000))

    class Wide(Script):
        mailbox_capacity = 10_000

    pair = Pair(
        [Child("a", script(warm=lambda s, c, _: c.send("b", "w") and None, go=go))],
        [Child("b", lambda: Wide([], {}), name="b")],
    )
    pair.tell(pair.a, "root/a", "warm")
    pair.tell(pair.a, "root/a", "go", seconds=0)
    pair._pass(pair.a)
    assert answers.count(Sent.OK) == 4_096
    assert answers.count(Sent.LINK_FULL) == 5_000 - 4_096
    pair.run(0.5)
    assert pair.total("sent") == pair.total("handled")


def test_a_link_being_opened_takes_its_opening_window() -> None:
    answers: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        answers.extend(ctx.send("b", n) for n in range(300))

    pair = Pair([Child("a", script(go=go))], [Child("b", script(), name="b")])
    pair.tell(pair.a, "root/a", "go")
    assert answers.count(Sent.OK) == 256
    assert answers[256:] == [Sent.LINK_FULL] * 44


def test_a_push_waits_for_credit_on_a_full_link() -> None:
    log: list[Any] = []
    handled: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        while ctx.send("b", "filler"):
            pass
        return Push(Name("b", core=1), "pushed")

    class Wide(Script):
        mailbox_capacity = 10_000

    pair = Pair([Child("a", script(log, go=go))], [Child("b", lambda: Wide(handled, {}), name="b")])
    pair.tell(pair.a, "root/a", "go")
    assert log == [Pushed()]
    assert handled[-1] == "pushed"


def test_a_message_over_the_limit_is_refused_at_once() -> None:
    answers: list[Any] = []
    log: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        answers.append(ctx.send("b", b"x" * (17 * 1024 * 1024)))
        return Call(Name("b", core=1), b"x" * (17 * 1024 * 1024))

    pair = Pair([Child("a", script(log, go=go))], [Child("b", script(), name="b")])
    pair.tell(pair.a, "root/a", "go")
    assert answers == [Sent.TOO_LARGE]
    assert failures(log) == [TooLarge()]


def test_an_answer_over_the_limit_fails_the_call() -> None:
    log: list[Any] = []
    pair = Pair([calling(log)], [Child("b", script(ask=lambda s, c, _: Reply(b"x" * 17_000_000)), name="b")])
    pair.tell(pair.a, "root/a", "go")
    assert failures(log) == [TooLarge()]


def test_a_call_fails_long_before_its_timeout_when_the_other_core_dies() -> None:
    log: list[Any] = []
    pair = Pair([calling(log, timeout=60)], [Child("b", script(ask=lambda s, c, _: Sleep(30)), name="b")])
    pair.tell(pair.a, "root/a", "go")
    assert log == []
    pair.crash(1)
    pair.run(0.01)
    assert failures(log) in ([NoConnection()], [CoreDown("killed by SIGKILL")])


def test_a_monitor_on_a_dead_core_says_down_once_with_the_reason() -> None:
    log: list[Any] = []
    pair = Pair(
        [Child("a", script(log, go=lambda s, c, _: c.monitor(Name("b", core=1)) and None))],
        [Child("b", script(), name="b")],
    )
    pair.tell(pair.a, "root/a", "go")
    pair.crash(1)
    pair.run(5)
    assert [entry.reason for entry in log] == [CoreDown("killed by SIGKILL")]


def test_a_down_crosses_cores_behind_what_was_sent_before() -> None:
    log: list[Any] = []

    def words(self: Any, ctx: Any, _: Any) -> Any:
        for word in ("one", "two"):
            ctx.send(Name("a", core=0), word)
        raise ValueError("gone")

    pair = Pair(
        [Child("a", script(log, go=lambda s, c, _: c.monitor(Name("b", core=1)) and None), name="a")],
        [Child("b", script(go=words), name="b")],
    )
    pair.tell(pair.a, "root/a", "go")
    address = pair.b.address("root/b")
    pair.tell(pair.b, "root/b", "go")
    assert log[:2] == ["one", "two"]
    assert isinstance(log[2], Down)
    assert log[2].address == address
    assert len(log) == 3


def test_a_monitor_set_after_the_death_says_no_process() -> None:
    log: list[Any] = []
    stale: list[Any] = []
    pair = Pair(
        [Child("a", script(log, go=lambda s, c, _: c.monitor(stale[0]) and None))],
        [Child("b", script(fail=fail), name="b")],
    )
    stale.append(pair.b.address("root/b"))
    pair.tell(pair.b, "root/b", "fail")
    pair.tell(pair.a, "root/a", "go")
    assert [entry.reason for entry in log] == [NoProcess()]


@pytest.mark.parametrize("trapping", [False, True])
def test_an_exit_crosses_a_link_between_cores(trapping: bool) -> None:
    log: list[Any] = []

    class Trapper(Script):
        trap_exits = trapping

    steps = {"go": lambda s, c, m: c.link(m.caller), "Hand": lambda s, c, m: c.link(m.caller)}
    pair = Pair([Child("a", lambda: Trapper(log, steps))], [Child("b", script(fail=fail), name="b")])
    address = pair.b.address("root/b")
    pair.tell(pair.a, "root/a", Hand(address))
    pair.tell(pair.b, "root/b", "fail")
    assert pair.a.cell("root/a").incarnation == (1 if trapping else 2)
    assert [type(entry) for entry in log] == ([Exit] if trapping else [])


def test_a_kill_crosses_cores() -> None:
    log: list[Any] = []
    pair = Pair(
        [
            Child(
                "a",
                script(
                    log,
                    Hand=lambda s, c, m: (c.monitor(m.caller), c.exit(m.caller, Kill()))[1],
                ),
            )
        ],
        [Child("b", script(), name="b")],
    )
    pair.tell(pair.a, "root/a", Hand(pair.b.address("root/b")))
    assert [entry.reason for entry in log] == [Killed()]


def test_an_old_address_of_a_replaced_core_is_stale() -> None:
    answers: list[Any] = []
    pair = Pair(
        [Child("a", script(Hand=lambda s, c, m: answers.append(c.send(m.caller, "x"))))],
        [Child("b", script(), name="b")],
    )
    old = pair.b.address("root/b")
    pair.crash(1)
    pair.tell(pair.a, "root/a", Hand(old))
    pair.start(1)
    pair.run(0.1)
    pair.tell(pair.a, "root/a", Hand(old))
    pair.tell(pair.a, "root/a", Hand(pair.b.address("root/b")))
    assert answers == [Sent.UNREACHABLE, Sent.STALE, Sent.OK]


def test_a_request_with_no_answer_across_cores_fails_with_no_reply_and_with_the_crash() -> None:
    log: list[Any] = []
    pair = Pair([calling(log)], [Child("b", script(), name="b")])
    pair.tell(pair.a, "root/a", "go")
    pair.b.isolate("root/b").steps["ask"] = fail
    pair.tell(pair.a, "root/a", "go")
    assert failures(log)[0] == NoReply()
    assert failures(log)[1].text == "gone"


def test_a_caller_handed_to_a_third_isolate_is_answered_across_cores() -> None:
    log: list[Any] = []

    def ask(self: Any, ctx: Any, _: Any) -> Any:
        ctx.send("helper", Hand(ctx.caller))
        return Done(Shutdown())

    pair = Pair(
        [calling(log)],
        [
            Child("b", script(ask=ask), name="b", restart="temporary"),
            Child("h", script(Hand=lambda s, c, m: c.reply(m.caller, "helped")), name="helper"),
        ],
    )
    pair.tell(pair.a, "root/a", "go")
    assert log == [Replied("helped")]


def test_what_a_cut_leaves_unknown_is_named_and_resolved_by_the_next_hello() -> None:
    log: list[Any] = []
    handled: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        for number in range(3):
            assert ctx.send("b", number, notify=number)

    pair = Pair([Child("a", script(log, go=go, warm=go))], [Child("b", script(handled), name="b")])
    pair.tell(pair.a, "root/a", "warm")
    before = pair.a.core.counters.sent
    assert pair.a.core.inject(pair.a.address("root/a"), "go")
    pair._pass(pair.a)  # the batch is on its way
    (connection, *_) = pair.network.connections(pair.a.name, pair.b.name)
    pair.network.reset(connection)
    pair.run(0.02)
    unknown = [entry.token for entry in log if isinstance(entry, Undelivered)]
    assert unknown == [0, 1, 2]
    pair.run(3)
    assert pair.a.core.counters.sent - before == 4
    assert pair.total("unknown") == 0
    assert pair.total("sent") == pair.total("handled") + pair.total("lost")
    assert pair.total("lost") == 3


def test_a_send_to_a_core_that_cannot_be_reached_comes_back() -> None:
    log: list[Any] = []
    answers: list[Any] = []
    pair = Pair(
        [
            Child(
                "a",
                script(
                    log,
                    go=lambda s, c, _: answers.append(c.send(Name("b", core=1), 1, notify="n")),
                    ask=lambda s, c, _: Call(Name("b", core=1), 1),
                ),
            )
        ],
        [Child("b", script(), name="b")],
    )
    pair.network.cut(pair.a.name, pair.b.name)
    pair.network.cut(pair.b.name, pair.a.name)
    pair.tell(pair.a, "root/a", "go", seconds=1.5)
    assert answers == [Sent.OK]
    assert log == [Undelivered(Name("b", core=1), Unreachable(), "n")]
    pair.tell(pair.a, "root/a", "ask", seconds=1.5)
    assert failures(log) == [Unreachable()]


def test_a_message_the_other_core_cannot_decode_is_refused_alone_and_the_link_goes_on() -> None:
    log: list[Any] = []
    handled: list[Any] = []
    pair = Pair(
        [Child("a", script(log, go=lambda s, c, _: c.send("b", "x", notify="n") and None), name="a")],
        [Child("b", script(handled), name="b")],
    )
    pair.tell(pair.a, "root/a", "go")
    core = pair.a.core
    bad = (1, "b", 0, b"\xc1")
    from regrove.node.core.remote import Notice

    assert core.links.post(pair.b.core.home, bad, Notice(pair.a.cell("root/a"), "b", "bad")) is Sent.OK
    core.counters.sent += 1
    pair.tell(pair.a, "root/a", "go")
    assert handled == ["x", "x"]
    assert [(entry.token, type(entry.reason).__name__) for entry in log] == [("bad", "Undecodable")]
    assert pair.b.core.links.malformed == 1


@pytest.mark.parametrize(
    "item",
    [
        (1,),
        (1, None, 0, b""),
        (2, "b", 0, "token", -1, b""),
        (3, 0, "x", 1, 1, b""),
        (16, "x", b""),
        (17, 1),
        (20, 1, 2),
        (21, b""),
        (22, 1, 2, 3, "reason"),
        (23, 1),
        (25, 0, 0, 0, 0, 5),
        (99, "unknown kind"),
    ],
)
def test_an_item_of_the_wrong_shape_hurts_nobody(item: Any) -> None:
    handled: list[Any] = []
    pair = Pair(
        [Child("a", script(go=lambda s, c, _: c.send("b", "x") and None))], [Child("b", script(handled), name="b")]
    )
    pair.tell(pair.a, "root/a", "go")
    links = pair.a.core.links
    if item[0] < 16:
        links.post(pair.b.core.home, item if isinstance(item[-1], bytes) else (*item, b""))
    else:
        links.signal(pair.b.core.home, item)
    pair.tell(pair.a, "root/a", "go")
    assert handled == ["x", "x"]
    assert pair.b.core.links.malformed >= 1


def test_a_pool_exhausted_across_cores_is_a_refusal() -> None:
    log: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        for number in range(4):
            ctx.send("b", number, notify=number)

    class Held(Full):
        mailbox_capacity = 100

    pair = Pair(
        [Child("a", script(log, go=go))],
        [Child("b", lambda: Held([]), name="b")],
        bounds=Bounds(pool_messages=2),
    )
    pair.tell(pair.b, "root/b", "hold")
    pair.tell(pair.a, "root/a", "go")
    assert [(entry.token, type(entry.reason).__name__) for entry in log] == [
        (2, "PoolExhausted"),
        (3, "PoolExhausted"),
    ]
