"""Big messages between cores: order within a pair of isolates, nobody else waits, answers as large as requests."""

from __future__ import annotations

from typing import Any

import pytest

from regrove import (
    Bounds,
    Call,
    Child,
    Crashed,
    Down,
    Failed,
    InvalidBounds,
    LinkFull,
    Name,
    NoConnection,
    Push,
    Pushed,
    Replied,
    Reply,
    Sent,
    Undelivered,
    Unknown,
    message,
)
from regrove.node.core.core import Core
from regrove.node.core.messages import decode
from regrove.transport.link import LinkSettings
from regrove.transport.parts import Parts
from tests.core.bench import script
from tests.core.pair import Pair

SMALL = LinkSettings(message_max=100_000, inline_max=1_000, bulk=200_000)  # of 100 pieces each, 4 a pass at first


@message(name="tests.big.Big")
class Big:
    number: int
    data: bytes


@message(name="tests.big.Where")
class Where:
    address: object


def seen(log: list[Any]) -> list[Any]:
    return [entry.number if isinstance(entry, Big) else entry for entry in log]


def test_what_an_isolate_sends_stays_behind_its_big_message_by_name_and_by_address() -> None:
    log: list[Any] = []
    other: list[Any] = []
    pair = Pair(
        [
            Child("a", script(go=lambda s, c, m: go(c, b"x" * 90_000), Where=remember)),
            Child("aa", script(go=lambda s, c, m: pass_by(c))),
        ],
        [Child("b", script(log), name="b"), Child("c", script(other), name="c")],
        link=SMALL,
    )

    def go(ctx: Any, data: bytes) -> None:
        ctx.send(Name("b", core=1), Big(1, data))
        ctx.send(pair.b.address("root/b"), 2)
        ctx.send(Name("b", core=1), Big(3, data[:2_000]))
        ctx.send(Name("b", core=1), 4)
        ctx.send(Name("c", core=1), "passes")

    def pass_by(ctx: Any) -> None:
        ctx.send(Name("b", core=1), "passes too")

    pair.tell(pair.a, "root/a", "go", seconds=0.001)
    pair.tell(pair.a, "root/aa", "go", seconds=0.005)
    assert other == ["passes"]
    assert log == ["passes too"]
    pair.run(1)
    assert seen(log) == ["passes too", 1, 2, 3, 4]


def remember(self: Any, ctx: Any, where: Where) -> None:
    self.kept = where.address


def test_an_answer_of_10_mib_comes_back_and_its_server_serves_others_meanwhile() -> None:
    log: list[Any] = []
    answers = {"big": b"a" * (10 * 1024 * 1024), "small": b"s"}
    pair = Pair(
        [
            Child("a", script(log, go=lambda s, c, m: Call(Name("b", core=1), "big"))),
            Child("aa", script(log, go=lambda s, c, m: Call(Name("b", core=1), "small"))),
        ],
        [
            Child(
                "b",
                script(big=lambda s, c, m: Reply(answers["big"]), small=lambda s, c, m: Reply(answers["small"])),
                name="b",
            )
        ],
    )
    pair.tell(pair.a, "root/a", "go", seconds=0)
    pair.tell(pair.a, "root/aa", "go", seconds=2)
    values: list[Any] = [entry.value for entry in log if isinstance(entry, Replied)]
    assert [len(value) for value in values] == [1, 10 * 1024 * 1024]


def test_answers_that_would_be_too_many_bytes_at_once_fail_with_link_full() -> None:
    log: list[Any] = []
    callers = [Child(f"a{n}", script(log, go=lambda s, c, m: Call(Name("b", core=1), "ask"))) for n in range(6)]
    pair = Pair(callers, [Child("b", script(ask=lambda s, c, m: Reply(b"a" * 90_000)), name="b")], link=SMALL)
    for number in range(6):
        assert pair.a.core.inject(pair.a.address(f"root/a{number}"), "go")
    pair.run(2)
    assert sum(isinstance(entry, Replied) for entry in log) == 4, "twice the budget of 200 kB"
    assert [entry.reason for entry in log if isinstance(entry, Failed)] == [LinkFull(), LinkFull()]


def test_a_big_push_waits_for_the_budget_and_small_mail_of_others_does_not() -> None:
    log: list[Any] = []
    told: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        told.extend(ctx.send(Name("b", core=1), Big(number, b"x" * 90_000)) for number in range(3))
        return Push(Name("b", core=1), Big(9, b"y" * 90_000))

    def late(self: Any, ctx: Any, _: Any) -> None:
        told.append(ctx.send(Name("c", core=1), "small"))
        told.append(ctx.send(Name("c", core=1), Big(5, b"z" * 2_000)))

    pair = Pair(
        [Child("a", script(told, go=go)), Child("aa", script(go=late))],
        [Child("b", script(log), name="b"), Child("c", script(log), name="c")],
        link=SMALL,
    )
    pair.tell(pair.a, "root/a", "go", seconds=0)
    pair.tell(pair.a, "root/aa", "go", seconds=0.008)
    assert told == [Sent.OK, Sent.OK, Sent.LINK_FULL, Sent.OK, Sent.LINK_FULL]
    assert log == ["small"]
    pair.run(1)
    assert isinstance(told[-1], Pushed)
    assert seen(log) == ["small", 0, 1, 9]


def test_a_down_stays_behind_the_last_big_message_of_the_one_who_ended() -> None:
    log: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        ctx.send(Name("b", core=1), Big(1, b"x" * 90_000))
        raise ValueError("gone")

    pair = Pair(
        [Child("a", script(go=go), name="a")],
        [Child("b", script(log, watch=lambda s, c, m: c.monitor(Name("a", core=0)) and None), name="b")],
        link=SMALL,
    )
    pair.tell(pair.b, "root/b", "watch")
    pair.tell(pair.a, "root/a", "go", seconds=1)
    assert seen(log)[0] == 1
    assert isinstance(log[1], Down)
    assert isinstance(log[1].reason, Crashed)


def test_a_link_that_breaks_inside_a_big_message_leaves_it_unknown_and_drops_the_half() -> None:
    log: list[Any] = []
    far: list[Any] = []

    def go(self: Any, ctx: Any, _: Any) -> Any:
        ctx.send(Name("b", core=1), Big(1, b"x" * 90_000), notify="big")
        ctx.send(Name("c", core=1), 2)
        ctx.send(Name("b", core=1), 3)
        return Call(Name("b", core=1), Big(4, b"y" * 2_000))

    pair = Pair(
        [Child("a", script(log, go=go))], [Child("b", script(far), name="b"), Child("c", script(far), name="c")],
        link=SMALL,
    )  # fmt: skip
    pair.tell(pair.a, "root/a", "go", seconds=0.006)
    assert far == [2], "the half is there, and what waits for it"
    for connection in pair.network.connections("n@h/0.1", "n@h/1.1"):
        pair.network.reset(connection)
    pair.run(0.5)
    undelivered = [entry for entry in log if isinstance(entry, Undelivered)]
    assert [(entry.token, entry.reason) for entry in undelivered] == [("big", Unknown())]
    assert [entry.reason for entry in log if isinstance(entry, Failed)] == [NoConnection()]
    assert seen(far)[:2] == [2, 3]
    assert pair.b.table.statistics()[0].received_torn >= 1
    assert pair.total("unknown") == 0, "the next session said what had arrived"
    assert pair.total("sent") == pair.total("handled") + pair.total("lost") + pair.total("abandoned")


def test_bounds_that_no_big_message_fits_are_refused() -> None:
    with pytest.raises(InvalidBounds, match="raise bulk_bytes or lower message_bytes"):
        Bounds(message_bytes=64 * 1024 * 1024)
    assert Bounds().memory(3)["big messages"] == 3 * 3 * 32 * 1024 * 1024


@pytest.mark.parametrize("strict", [True, False])
def test_large_bytes_reach_the_link_and_the_handler_in_parts(strict: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sends, calls, pushes and answers alike: no codec has copied them on the way."""
    log: list[Any] = []
    data = b"d" * 70_000
    came: list[Any] = []
    real = Core.arrived

    def arrived(core: Core, payload: Any) -> Any:
        came.append(payload)
        return real(core, payload)

    def go(self: Any, ctx: Any, _: Any) -> Any:
        ctx.send(pair.b.address("root/b"), Big(1, data))
        ctx.send(pair.b.address("root/b"), Big(2, data))  # along the route
        ctx.request(pair.b.address("root/b"), Big(3, data))
        return Push(Name("b", core=1), Big(4, data))

    def take(self: Any, ctx: Any, big: Big) -> Any:
        return Reply(big) if big.number == 3 else None

    pair = Pair(
        [Child("a", script(log, go=go, hello=lambda s, c, m: c.send(Name("b", core=1), "hello") and None))],
        [Child("b", script(log, Big=take), name="b")],
    )
    if not strict:
        pair.a.core.crossing = pair.b.core.crossing = None
    pair.tell(pair.a, "root/a", "hello")
    monkeypatch.setattr(Core, "arrived", arrived)
    pair.tell(pair.a, "root/a", "go", seconds=1)
    answers = [entry.value for entry in log if isinstance(entry, Replied)]
    assert answers == [Big(3, data)]
    assert [entry.number for entry in seen_big(came)] == [1, 2, 3, 4, 3]


def seen_big(came: list[Any]) -> list[Big]:
    """What came in parts, read."""
    return [decode(payload) for payload in came if type(payload) is Parts]


@pytest.mark.parametrize("strict", [True, False])
def test_large_bytes_between_isolates_of_one_core_are_never_copied(strict: bool) -> None:
    log: list[Any] = []
    data = b"d" * 70_000
    pair = Pair(
        [
            Child("a", script(go=lambda s, c, m: c.send(Name("b"), Big(1, data)) and None)),
            Child("b", script(Big=lambda s, c, big: log.append(big)), name="b"),
        ],
        [],
    )
    if not strict:
        pair.a.core.crossing = None
    pair.tell(pair.a, "root/a", "go")
    assert [big.data is data for big in log] == [True]
