"""Sends along the route an address keeps: the same verdicts, order and accounts as the slow way."""

from __future__ import annotations

from typing import Any

from regrove import Child, Push, Sent
from regrove.node.core.address import Address
from regrove.node.core.tree import rows
from tests.core.bench import Script, script
from tests.core.pair import Pair


class Wide(Script):
    mailbox_capacity = 10_000


class Narrow(Script):
    mailbox_capacity = 10


def pair_of(b: Any, **steps: Any) -> tuple[Pair, Address]:
    """A pair whose `a` does the steps, and the address of `root/b` as `a` would have got it in a message."""
    pair = Pair([Child("a", script(**steps))], [Child("b", b)])
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
