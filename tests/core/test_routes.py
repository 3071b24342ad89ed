"""Sends and calls along the route an address keeps: the same verdicts, order and accounts as the slow way."""

from __future__ import annotations

from typing import Any

from regrove import Child, Push, Reply, Sent
from regrove.node.core.address import Address
from regrove.node.core.messages import decode, encode
from regrove.node.core.tree import rows
from regrove.transport.events import Items
from regrove.transport.runs import Run
from tests.core.bench import Script, script
from tests.core.pair import Host, Pair


class Wide(Script):
    mailbox_capacity = 10_000


class Narrow(Script):
    mailbox_capacity = 10


def pair_of(b: Any, log: list[Any] | None = None, **steps: Any) -> tuple[Pair, Address]:
    """A pair whose `a` does the steps, and the address of `root/b` as `a` would have got it in a message."""
    pair = Pair([Child("a", script(log, **steps))], [Child("b", b)])
    there = pair.b.address("root/b")
    return pair, Address(there.home, there.slot, there.generation)


def test_a_window_along_a_route_is_exact_and_in_order() -> None:
    to: Address
    answers: list[Any] = []
    handled: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> None:
        answers.extend(ctx.send(to, n) for n in range(5_000))

    pair, to = pair_of(lambda: Wide(handled, {}), warm=lambda s, ctx, _: ctx.send(to, "w") and None, go=go)
    pair.tell(pair.a, "root/a", "warm")
    assert to.route is not None
    pair.tell(pair.a, "root/a", "go", seconds=0)
    pair._pass(pair.a)
    assert answers == [Sent.OK] * 4_096 + [Sent.LINK_FULL] * (5_000 - 4_096)
    pair.run(0.5)
    assert handled == ["w", *range(4_096)]
    assert pair.total("sent") == pair.total("handled")


def test_a_route_ends_with_the_life_it_leads_to() -> None:
    to: Address
    answers: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> None:
        answers.append(ctx.send(to, "x"))

    pair, to = pair_of(script(), go=go)
    for _ in range(3):
        pair.tell(pair.a, "root/a", "go")
    pair.crash(1)
    pair.tell(pair.a, "root/a", "go")
    pair.start(1)
    pair.run(0.1)
    pair.tell(pair.a, "root/a", "go")
    assert answers == [Sent.OK] * 3 + [Sent.UNREACHABLE, Sent.STALE]


def test_what_does_not_fit_of_a_batch_is_refused_by_itself_and_counted_at_its_isolate() -> None:
    to: Address
    handled: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> None:
        for n in range(64):
            assert ctx.send(to, n)

    pair, to = pair_of(lambda: Narrow(handled, {}), go=go)
    pair.tell(pair.a, "root/a", "go")
    assert handled == list(range(10))
    assert pair.total("sent") == pair.total("handled") + pair.total("refused")
    row = next(row for row in rows(pair.b.core) if row["path"] == "root/b")
    assert row["refused"] == 54


def test_a_send_along_a_route_does_not_overtake_a_push_that_waits() -> None:
    to: Address
    answers: list[Any] = []
    handled: list[Any] = []

    def fill(self: Any, ctx: Any, _: Any) -> Any:
        while ctx.send(to, "filler"):
            pass
        ctx.begin(Push(to, "pushed", timeout=None))

    pair, to = pair_of(
        lambda: Wide(handled, {}), fill=fill, more=lambda s, ctx, _: answers.append(ctx.send(to, "late"))
    )
    pair.tell(pair.a, "root/a", "fill", seconds=0)
    pair.tell(pair.a, "root/a", "more", seconds=0)
    pair._pass(pair.a)
    assert answers == [Sent.LINK_FULL]
    pair.run(0.5)
    pair.tell(pair.a, "root/a", "more")
    assert answers == [Sent.LINK_FULL, Sent.OK]
    assert handled[-2:] == ["pushed", "late"]


def test_sends_to_one_isolate_travel_as_runs_in_order_whatever_stands_between_them() -> None:
    to: Address
    other: Address
    handled: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> None:
        for n in range(0, 1_000, 10):
            for m in range(n, n + 10 if n % 50 else n + 90):
                assert ctx.send(to, m)
            if n % 20 == 0:
                ctx.request(to, n + 100_000)
            if n % 30 == 0:
                assert ctx.send(other, n + 200_000)
            if n % 70 == 0:
                assert ctx.send(to, n + 300_000, notify=n)

    pair = Pair(
        [Child("a", script(warm=lambda s, ctx, _: ctx.send(to, "w") and None, go=go))],
        [Child("b", lambda: Wide(handled, {})), Child("c", lambda: Wide(handled, {}))],
    )
    there, elsewhere = pair.b.address("root/b"), pair.b.address("root/c")
    to = Address(there.home, there.slot, there.generation)
    other = Address(elsewhere.home, elsewhere.slot, elsewhere.generation)
    pair.tell(pair.a, "root/a", "warm")
    frames = runs_of(pair.b)
    for _ in range(2):
        handled.clear()
        pair.tell(pair.a, "root/a", "go")
        mine = [message for message in handled if message < 200_000 or message >= 300_000]
        assert [message for message in handled if 200_000 <= message < 300_000] == list(range(200_000, 201_000, 30))
        want: list[int] = []
        for n in range(0, 1_000, 10):
            want += range(n, n + 10 if n % 50 else n + 90)
            want += [n + 100_000] * (n % 20 == 0) + [n + 300_000] * (n % 70 == 0)
        assert mine == want
    assert sum(frames) > 10
    assert sum(frames) < len(frames) - 10
    assert pair.total("sent") == pair.total("handled")


def runs_of(host: Host) -> list[bool]:
    """Whether each frame of items that arrives from now on is a run."""
    seen: list[bool] = []
    receive = host.table.receive

    def heard(now: int) -> Any:
        events = receive(now)
        seen.extend(isinstance(event.items, Run) for event in events if isinstance(event, Items))
        return events

    host.table.receive = heard  # type: ignore[method-assign]
    return seen


def test_a_message_of_a_run_that_does_not_decode_is_refused_alone() -> None:
    to: Address
    handled: list[Any] = []

    def warm(self: Any, ctx: Any, _: Any) -> None:
        for n in range(3):
            assert ctx.send(to, n)

    pair, to = pair_of(lambda: Wide(handled, {}), warm=warm)
    pair.tell(pair.a, "root/a", "warm")
    frames = runs_of(pair.b)
    assert to.route is not None
    link = to.route.link
    out = link.out
    assert out is not None
    assert out.begin(to.route.heading, b"\x05")
    pair.a.table.begun(link, out)
    out.waiting += [b"\x06", b"\xc1", b"\x07"]
    out.left -= 3 * 65
    pair.a.core.counters.sent += 4
    pair.run(0.1)
    assert handled == [0, 1, 2, 5, 6, 7]
    assert frames == [True]
    assert pair.b.core.links.malformed == 1
    assert pair.total("refused") == 1
    assert pair.total("sent") == pair.total("handled") + pair.total("refused")


def test_calls_in_one_batch_are_answered_each_by_its_own_ticket() -> None:
    to: Address
    log: list[Any] = []
    tickets: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> None:
        tickets.extend(ctx.request(to, n) for n in range(60))

    class Echo(Wide):
        def handle(self, ctx: Any, message: Any) -> Any:
            return Reply(message)

    pair, to = pair_of(lambda: Echo([], {}), log=log, go=go)
    for _ in range(2):  # the second time along the route
        log.clear()
        tickets.clear()
        pair.tell(pair.a, "root/a", "go")
        assert [(answer.ticket, answer.value) for answer in log] == list(zip(tickets, range(60), strict=True))
    assert to.route is not None
    assert not pair.a.core.calls.debts
    assert pair.a.core.timers.next() is None
    assert pair.total("sent") == pair.total("handled") == 122


def test_in_a_batch_of_calls_each_that_has_no_room_fails_by_itself() -> None:
    to: Address
    log: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> None:
        for n in range(12):
            ctx.request(to, n)

    pair, to = pair_of(lambda: Narrow([], {}), log=log, go=go)
    pair.tell(pair.a, "root/a", "go")
    reasons = [type(answer.reason).__name__ for answer in log]
    assert sorted(reasons) == ["MailboxFull"] * 2 + ["NoReply"] * 10
    assert pair.total("refused") == 2


def test_a_call_that_does_not_decode_is_refused_alone_among_the_others_of_its_batch() -> None:
    to: Address
    handled: list[Any] = []
    pair, to = pair_of(lambda: Wide(handled, {}))
    links = pair.a.core.links
    for token, payload in ((1, b"\x01"), (2, b"\xc1"), (3, b"\x03")):
        assert links.post(to.home, (2, to.slot, to.generation, 1_000 + token, -1, payload)) is Sent.OK
        pair.a.core.counters.sent += 1
    pair.run(0.1)
    assert handled == [1, 3]
    assert pair.b.core.links.malformed == 1
    assert pair.total("sent") == pair.total("handled") + pair.total("refused")


def test_what_a_send_answers_is_true_for_ok_alone_and_equal_to_nothing_but_itself() -> None:
    every: list[object] = [*Sent, 0, 1]
    assert [sent for sent in Sent if sent] == [Sent.OK]
    assert [(one == other, one != other) for one in every[:-2] for other in every] == [
        (one is other, one is not other) for one in every[:-2] for other in every
    ]
    assert repr(Sent.OK) == "<Sent.OK: 'OK'>"
    assert [Sent(sent.value) for sent in Sent] == list(Sent)
    assert decode(encode([*Sent])) == [*Sent]
