"""What must hold of big messages over every transport: order within a pair, nobody else waits, losses are told."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

from regrove.transport.base import Peer
from regrove.transport.contract import World
from regrove.transport.contract_links import Node, Stage, in_doubt
from regrove.transport.events import LinkLost, LinkUp, Resolved, Room, Verdict
from regrove.transport.parts import BLOB_BYTES, Parts
from regrove.transport.pieces import Held
from regrove.transport.wire import INLINE_BYTES_MAX, Item

MIB: Final = 1024 * 1024
BIG: Final = 16 * MIB


class ByPair:
    """An item is (kind, source, target, number, payload)."""

    def source(self, item: Item) -> int:
        """The second element."""
        return int(item[1])

    def target(self, peer: Peer, item: Item, held: Held) -> Hashable:
        """The third element."""
        del peer, held
        return int(item[2])


def paired(world: World) -> tuple[Stage, Node, Node]:
    """Two cores with a link that is up, whose items name their pair."""
    stage = Stage(world)
    a, b = stage.pair()
    a.table.order = b.table.order = ByPair()
    assert a.table.post(b.peer, (1, 9, 9, 0, b"")) is Verdict.OK
    stage.until(b.items, "the link")
    return stage, a, b


def check_small_messages_of_other_pairs_pass_a_big_one(world: World) -> None:
    """Two of 16 MiB: what one of the senders sends to the same target waits for its own, all the rest goes by."""
    stage, a, b = paired(world)
    payloads = [bytes([number]) * BIG for number in (1, 2)]
    for number, payload in enumerate(payloads, 1):
        assert a.table.post(b.peer, (1, number, 1, 0, payload), number) is Verdict.OK
    small = [(1, source, target, 1, b"x") for source in (1, 2, 3) for target in (1, 2)]
    for item in small:
        assert a.table.post(b.peer, item) is Verdict.OK
    assert a.table.signal(b.peer, (17, 1, 1, 2, b""))
    a.table.flush(world.now())
    stage.until(lambda: len(b.items()) >= 5, "what need not wait")
    assert b.items()[1:5] == [small[1], small[3], small[4], small[5]]
    stage.until(lambda: len(b.items()) == 10, "all")
    for source in (1, 2):
        numbers = [item[3] for item in b.items() if item[1:3] == (source, 1)]
        assert numbers == sorted(numbers), "a pair's items overtook one another"
        assert (1, source, 1, 0, payloads[source - 1]) in b.items()
    stage.until(lambda: not in_doubt(a) and not a.table.statistics()[0].bulk_bytes, "all to be known")


def check_the_budget_of_big_messages_is_exact_and_room_follows(world: World) -> None:
    """Two of 16 MiB are 32 MiB; the least that travels in pieces is LINK_FULL then, while small ones go on."""
    stage, a, b = paired(world)
    for number in range(2):
        assert a.table.post(b.peer, (1, 1, number, 0, bytes(BIG))) is Verdict.OK
    assert a.table.post(b.peer, (1, 1, 2, 0, bytes(BIG + 1))) is Verdict.TOO_LARGE
    assert a.table.post(b.peer, (1, 1, 2, 0, bytes(INLINE_BYTES_MAX + 1))) is Verdict.LINK_FULL
    assert a.table.post(b.peer, (1, 1, 2, 0, bytes(INLINE_BYTES_MAX))) is Verdict.OK
    assert a.table.statistics()[0].bulk_bytes == 2 * BIG
    stage.until(lambda: a.heard(Room), "room")
    assert a.table.post(b.peer, (1, 1, 2, 1, bytes(INLINE_BYTES_MAX + 1))) is Verdict.OK
    stage.until(lambda: len(b.items()) == 5, "all")


def check_big_answers_have_a_budget_of_their_own(world: World) -> None:
    """Four more of 16 MiB would be too many: two wait beside the mail, each in its place."""
    stage, a, b = paired(world)
    for number in range(2):
        assert a.table.post(b.peer, (1, 1, 1, number, bytes(BIG))) is Verdict.OK
    for number in range(2):
        assert a.table.answer(b.peer, (17, 1, 1, 2 + number, bytes(BIG))) is Verdict.OK
    assert a.table.answer(b.peer, (17, 1, 1, 4, bytes(BIG))) is Verdict.LINK_FULL
    assert a.table.answer(b.peer, (17, 1, 1, 4, bytes(BIG + 1))) is Verdict.TOO_LARGE
    assert a.table.answer(b.peer, (17, 1, 1, 4, b"")) is Verdict.OK
    stage.until(lambda: len(b.items()) == 6, "all")
    assert [item[3] for item in b.items()[1:]] == [0, 1, 2, 3, 4]


def check_a_client_sends_and_is_sent_big_messages(world: World) -> None:
    """Nobody dials a client: it opens the bulk session, and pieces travel both ways on it."""
    stage = Stage(world)
    a, client = stage.node("a"), stage.client("x")
    stand_in = client.table.dial(a.endpoint, world.key("a"))
    stage.until(lambda: client.heard(LinkUp), "the link")
    assert client.heard(LinkUp)[0].dialled == stand_in
    assert a.table.signal(client.peer, (17, 1, b"a" * 5 * MIB))
    assert client.table.post(a.peer, (1, 2, b"q" * 5 * MIB)) is Verdict.OK
    stage.until(lambda: a.items() and client.items(), "both")
    assert a.table.signal(client.peer, (17, 3, b"a" * BIG))
    stage.until(lambda: len(client.items()) == 2, "the second answer")
    assert [(item[1], len(item[2])) for item in client.items()] == [(1, 5 * MIB), (3, BIG)]
    assert [(item[1], len(item[2])) for item in a.items()] == [(2, 5 * MIB)]


def check_large_parts_arrive_in_parts_and_small_ones_in_one_piece(world: World) -> None:
    """Mail and answers, both ways of a client's session; what fits a frame is put together for it."""
    stage, a, b = paired(world)
    client = stage.client("x")
    client.table.order = ByPair()
    client.table.dial(a.endpoint, world.key("a"))
    stage.until(lambda: client.heard(LinkUp), "the client's link")
    big = Parts((b"head", b"1" * 5 * MIB, b"between", b"2" * BLOB_BYTES, b"end"))
    small = Parts((b"head", b"3" * BLOB_BYTES))
    for at, payload in enumerate((big, small)):
        assert a.table.post(b.peer, (1, 1, 1, at, payload)) is Verdict.OK
        assert a.table.signal(b.peer, (17, 2, 2, at, payload))
        assert a.table.signal(client.peer, (17, 1, 1, at, payload))
        assert client.table.post(a.peer, (1, 1, 1, at, payload)) is Verdict.OK
    stage.until(lambda: len(b.items()) == 5 and len(client.items()) == len(a.items()) == 2, "all")
    for came in (b.items()[1:], client.items(), a.items()):
        for *_, at, payload in came:
            if at:
                assert payload == bytes(small)
            else:
                assert type(payload) is Parts
                assert payload.parts == big.parts


def check_large_parts_that_wait_for_a_link_arrive_in_one_piece(world: World) -> None:
    """Their place is written before it is known whether the peer reads the lengths of parts."""
    stage = Stage(world)
    a, b = stage.pair()
    payload = Parts((b"head", bytes(5 * MIB), b"end"))
    assert a.table.post(b.peer, (1, payload)) is Verdict.OK
    stage.until(b.items, "the item")
    assert b.items() == [(1, bytes(payload))]
    assert a.table.post(b.peer, (1, payload)) is Verdict.OK
    stage.until(lambda: len(b.items()) == 2, "the next one")
    assert b.items()[1][1].parts == payload.parts


def check_a_session_lost_inside_a_big_message_leaves_it_unknown_then_lost(world: World) -> None:
    """What had passed it is known to have arrived; the torn one is dropped and counted where it was put together."""
    stage, a, b = paired(world)
    assert a.table.post(b.peer, (1, 1, 1, 0, bytes(BIG)), "big") is Verdict.OK
    assert a.table.post(b.peer, (1, 2, 2, 0, b"small"), "small") is Verdict.OK
    stage.until(lambda: len(b.items()) == 2, "what passed it")
    (session,) = (there for there in a.table._sessions.values() if not there.inbound and there.bulk is not None)
    a.table._drop(session, "given up by the check", world.now())
    stage.until(lambda: a.heard(Resolved) and a.table.statistics()[0].state == "up", "the resolution")
    assert [event.unacknowledged[:1] for event in a.heard(LinkLost)] == [("big",)]
    assert a.heard(Resolved)[0].lost_notifies == ("big",)
    assert [item[-1] for item in b.items()] == [b"", b"small"]
    assert b.table.statistics()[0].received_torn == 1
    assert a.table.post(b.peer, (1, 1, 1, 1, bytes(100_000))) is Verdict.OK
    stage.until(lambda: len(b.items()) == 3, "a big one on the new session")


def check_a_bulk_session_that_breaks_ends_the_session(world: World) -> None:
    """Either of the two connections: the other one is of no use without it."""
    stage, a, b = paired(world)
    assert a.table.post(b.peer, (1, 1, 1, 0, bytes(BIG)), "big") is Verdict.OK
    a.turn()
    (bulk,) = (there.bulk for there in a.table._sessions.values() if there.bulk is not None)
    a.transport.close(bulk.number)  # as a break is seen from the other end
    stage.until(lambda: a.heard(LinkLost) or not a.table.statistics()[0].bulk_bytes, "the end", limit=30_000_000_000)
    assert a.heard(LinkLost)[0].unacknowledged == ("big",)
    stage.until(lambda: a.heard(Resolved), "the resolution")
    assert len(b.items()) == 1


BIG_CHECKS: Final[tuple[Callable[[World], None], ...]] = (
    check_small_messages_of_other_pairs_pass_a_big_one,
    check_the_budget_of_big_messages_is_exact_and_room_follows,
    check_big_answers_have_a_budget_of_their_own,
    check_a_client_sends_and_is_sent_big_messages,
    check_large_parts_arrive_in_parts_and_small_ones_in_one_piece,
    check_large_parts_that_wait_for_a_link_arrive_in_one_piece,
    check_a_session_lost_inside_a_big_message_leaves_it_unknown_then_lost,
    check_a_bulk_session_that_breaks_ends_the_session,
)
