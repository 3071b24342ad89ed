"""What link tables must do over every transport: the second half of the contract (`contract.py` is the first)."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Final, TypeVar

from regrove.transport.base import Peer, Transport
from regrove.transport.contract import LIMIT_NS, World
from regrove.transport.events import (
    Items,
    LinkEvent,
    LinkLost,
    LinkUp,
    PeerSilent,
    Refused,
    Resolved,
    Room,
    Verdict,
)
from regrove.transport.handshake import Identity
from regrove.transport.link import LinkSettings
from regrove.transport.links import LinkTable
from regrove.transport.wire import Item

SETTINGS: Final = LinkSettings(silent_limit=400_000_000, redial_max=100_000_000, remember=100_000_000)
WAIT_STEP_NS: Final = 20_000_000

_E = TypeVar("_E")


class Node:
    """One end with its link table and everything it heard, in order."""

    def __init__(self, world: World, name: str, identity: Identity, settings: LinkSettings, listens: bool) -> None:
        self.world = world
        self.name = name
        self.peer = identity.peer
        self.transport: Transport = world.end(name)
        self.endpoint = world.listen(name) if listens else ""
        scheme = self.endpoint.partition("://")[0]
        self.table = LinkTable(
            self.transport,
            identity,
            draw_of(name),
            settings,
            advertise={scheme: self.endpoint} if listens else {},
            key=world.key(name),
            info={"cores": [self.endpoint]},
        )
        self.events: list[LinkEvent] = []

    def turn(self) -> None:
        """One pass: drain, hear, flush; the books must balance at any instant."""
        while self.transport.poll():
            pass
        self.events += self.table.receive(self.world.now())
        self.balance()
        self.table.flush(self.world.now())
        self.balance()

    def balance(self) -> None:
        """For every link: sent = acknowledged + lost + unknown + in flight + waiting."""
        for row in self.table.statistics():
            parts = row.acknowledged + row.lost + row.unknown + row.in_flight + row.waiting
            assert row.sent == parts, f"{self.name}: the books of {row.peer} do not balance: {row}"
            assert min(row.acknowledged, row.lost, row.unknown, row.in_flight, row.waiting) >= 0, row

    def heard(self, kind: type[_E]) -> list[_E]:
        """The events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def items(self) -> list[Item]:
        """All items that arrived, in order."""
        return [item for event in self.heard(Items) for item in event.items]


class Stage:
    """Nodes of one world, turned until something holds."""

    def __init__(self, world: World, settings: LinkSettings = SETTINGS) -> None:
        self.world = world
        self.settings = settings
        self.nodes: dict[str, Node] = {}

    def node(self, name: str, identity: Identity | None = None, listens: bool = True) -> Node:
        """A core called `name`, or what `identity` says."""
        identity = identity or Identity("test", (name, 1, 0, 1))
        self.nodes[name] = Node(self.world, name, identity, self.settings, listens)
        return self.nodes[name]

    def client(self, name: str) -> Node:
        """A client: nobody dials it."""
        return self.node(name, Identity("test", (f"client:{name}", 1, 0, 0), role="client"), listens=False)

    def pair(self) -> tuple[Node, Node]:
        """Two cores that know each other."""
        a, b = self.node("a"), self.node("b")
        self.introduce(a, b)
        self.introduce(b, a)
        return a, b

    def introduce(self, to: Node, peer: Node) -> None:
        """Let `to` learn where `peer` is."""
        assert to.table.learn(peer.peer, peer.endpoint, self.world.key(peer.name))

    def turn(self) -> None:
        """One pass of every node, after a sleep if none has anything to do."""
        nodes = list(self.nodes.values())
        asked = [node.transport.pending() for node in nodes]
        if not any(asked):
            now = self.world.now()
            deadlines = [node.table.deadline() for node in nodes]
            until = min([now + WAIT_STEP_NS, *(deadline for deadline in deadlines if deadline is not None)])
            self.world.wait([node.transport for node in nodes], max(now, until))
        for node in nodes:
            node.turn()

    def until(self, holds: Callable[[], object], what: str, limit: int = LIMIT_NS) -> None:
        """Turn until `holds`; fails naming `what` after the limit."""
        end = self.world.now() + limit
        while not holds():
            assert self.world.now() < end, f"{self.world.kind}: not within {limit / 1e9:.1f} s: {what}"
            self.turn()

    def kill(self, node: Node) -> None:
        """End a node as kill -9 does."""
        del self.nodes[node.name]
        self.world.kill(node.name)


def draw_of(owner: str) -> Callable[[str, int], int]:
    """Keyed randomness, one for each owner."""

    def draw(kind: str, ordinal: int) -> int:
        return int.from_bytes(blake2b(f"{owner}/{kind}/{ordinal}".encode(), digest_size=8).digest(), "big")

    return draw


def fill(node: Node, peer: Peer, payload: bytes = b"x") -> int:
    """Post until told LINK_FULL; how many were taken."""
    count = 0
    while True:
        verdict = node.table.post(peer, (1, count, payload), count)
        if verdict is not Verdict.OK:
            assert verdict is Verdict.LINK_FULL, verdict
            return count
        count += 1


def check_a_link_is_full_after_exactly_the_window(world: World) -> None:
    """256 before WELCOME, 4096 in all before a grant, and a whole window again after everything was acknowledged."""
    stage = Stage(world)
    a, b = stage.pair()
    assert fill(a, b.peer) == SETTINGS.opening.messages
    stage.until(lambda: a.heard(Room), "room after WELCOME")
    stage.until(lambda: a.table.statistics()[0].acknowledged == SETTINGS.opening.messages, "the quiet grant")
    assert fill(a, b.peer) == SETTINGS.window.messages
    stage.until(lambda: len(b.items()) == SETTINGS.opening.messages + SETTINGS.window.messages, "all items")
    stage.until(lambda: len(a.heard(Room)) == 2, "room again")


def check_the_window_counts_bytes_too(world: World) -> None:
    """8 MiB with 64 bytes of overhead a message; a whole opening window of 1 MiB before."""
    stage = Stage(world)
    a, b = stage.pair()
    payload = b"y" * (64 * 1024)
    cost = len(payload) + 64
    assert fill(a, b.peer, payload) == SETTINGS.opening.size // cost
    stage.until(lambda: a.heard(Room), "room after WELCOME")
    stage.until(lambda: not a.table.statistics()[0].in_flight + a.table.statistics()[0].waiting, "acknowledgement")
    assert fill(a, b.peer, payload) == SETTINGS.window.size // cost


def check_a_message_over_the_limit_is_told_and_one_at_the_limit_arrives(world: World) -> None:
    """TOO_LARGE is a verdict; the link goes on."""
    stage = Stage(world)
    a, b = stage.pair()
    assert a.table.post(b.peer, (1, b"hello")) is Verdict.OK
    stage.until(lambda: a.heard(LinkUp), "the link")
    largest = b"z" * SETTINGS.message_max
    assert a.table.post(b.peer, (1, largest + b"z")) is Verdict.TOO_LARGE
    assert not a.table.signal(b.peer, (17, largest + b"z"))
    assert a.table.post(b.peer, (1, largest)) is Verdict.OK
    assert a.table.signal(b.peer, (17, largest))
    stage.until(lambda: len(b.items()) == 3, "the large item and signal")
    assert [item[-1] for item in b.items()] == [b"hello", largest, largest]


def check_items_and_signals_keep_their_order(world: World) -> None:
    """Signals travel behind what was posted before, across frames and without credit."""
    stage = Stage(world)
    a, b = stage.pair()
    sent: list[Item] = []
    for number in range(1_000):
        item: Item = (16 + number % 4, number) if number % 3 else (1, number, b"p" * (number % 900))
        sent.append(item)
        if number % 3:
            assert a.table.signal(b.peer, item)
        else:
            stage.until(lambda item=item: a.table.post(b.peer, item) is Verdict.OK, "room")  # type: ignore[misc]
    stage.until(lambda: len(b.items()) == len(sent), "all items")
    assert b.items() == sent
    sequences = [event.first + at for event in b.heard(Items) for at in range(len(event.items))]
    assert sequences == list(range(1, len(sent) + 1))


def check_both_ways_at_once_nothing_is_mixed_up(world: World) -> None:
    """Each side dials a session of its own."""
    stage = Stage(world)
    a, b = stage.pair()
    for number in range(500):
        for here, there in ((a, b), (b, a)):
            post = here.table.post
            item = (1, here.name, number, b"")
            stage.until(lambda post=post, to=there.peer, item=item: post(to, item) is Verdict.OK, "room")  # type: ignore[misc]
    stage.until(lambda: len(a.items()) == 500 and len(b.items()) == 500, "all items")
    assert [item[2] for item in a.items()] == [item[2] for item in b.items()] == list(range(500))


def check_a_refusal_reaches_the_sender_with_its_token(world: World) -> None:
    """At once, and later when the item has long been acknowledged."""
    stage = Stage(world)
    a, b = stage.pair()
    for number in range(4):
        a.table.post(b.peer, (1, number, b""), f"token {number}")
    stage.until(lambda: len(b.items()) == 4, "the items")
    session, first = b.heard(Items)[0].session, b.heard(Items)[0].first
    b.table.refuse(a.peer, session, first + 1, b"full")
    stage.until(lambda: len(a.heard(Refused)) == 1, "the refusal")
    stage.until(lambda: a.table.statistics()[0].acknowledged == 4, "the acknowledgement")
    b.table.refuse(a.peer, session, first + 3, b"late")
    stage.until(lambda: len(a.heard(Refused)) == 2, "the late refusal")
    told = [(refused.notify, refused.reason, refused.sequence) for refused in a.heard(Refused)]
    assert told == [("token 1", b"full", first + 1), ("token 3", b"late", first + 3)]
    assert a.table.statistics()[0].refused == b.table.statistics()[0].received_refused == 2


def check_a_failed_dial_gives_back_what_never_left(world: World) -> None:
    """As never left, not as unknown; then the peer is silent, once."""
    stage = Stage(world)
    a, b = stage.pair()
    stage.kill(b)
    assert a.table.post(b.peer, (1, b"one"), "one") is Verdict.OK
    assert a.table.post(b.peer, (1, b"two")) is Verdict.OK
    stage.until(lambda: a.heard(LinkLost), "the failed dial")
    lost = a.heard(LinkLost)[0]
    assert (lost.count, lost.never_left_count, lost.never_left) == (0, 2, ("one",))
    assert a.table.post(b.peer, (1, b"three")) in (Verdict.UNREACHABLE, Verdict.OK)
    stage.until(lambda: a.heard(PeerSilent), "the silence")
    for _ in range(20):
        stage.turn()
    assert a.heard(PeerSilent) == [PeerSilent(b.peer)]


def check_a_killed_peer_leaves_unknowns_and_at_most_once(world: World) -> None:
    """What was acknowledged is known; the rest is unknown for good once that life is forgotten."""
    stage = Stage(world)
    a, b = stage.pair()
    for number in range(200):
        assert a.table.post(b.peer, (1, number, b""), number) is Verdict.OK
    stage.until(lambda: a.table.statistics()[0].acknowledged == 200, "acknowledgement")
    for number in range(200, 300):
        assert a.table.post(b.peer, (1, number, b""), number) is Verdict.OK
    a.table.flush(world.now())
    stage.kill(b)
    stage.until(lambda: a.heard(LinkLost), "the loss")
    lost = a.heard(LinkLost)[0]
    assert lost.count == 100
    assert lost.unacknowledged == tuple(range(200, 300))
    assert [item[1] for item in b.items()] == list(range(200))
    stage.until(lambda: a.heard(PeerSilent), "the silence")
    a.table.forget(b.peer, "its core ended")
    a.turn()
    row = a.table.statistics()[-1]
    assert (row.sent, row.acknowledged, row.unknown) == (300, 200, 100)
    assert a.table.post(b.peer, (1, b"late")) is Verdict.UNREACHABLE


def check_the_newer_of_two_hellos_wins_and_resolves_the_unknown(world: World) -> None:
    """A session that is lost while its items are on the way: the next WELCOME says what arrived."""
    stage = Stage(world)
    a, b = stage.pair()
    assert a.table.post(b.peer, (1, b"hello")) is Verdict.OK
    stage.until(lambda: len(b.items()) == 1, "the link")
    for number in range(300):
        assert a.table.post(b.peer, (1, number, b""), number) is Verdict.OK
    a.table.flush(world.now())
    # the dialler gives its session up with frames under way, as a reset would
    (session,) = (there for there in a.table._sessions.values() if not there.inbound)
    a.table._drop(session, "given up by the check", world.now())
    stage.until(lambda: a.heard(Resolved), "the resolution")
    (resolved,) = a.heard(Resolved)
    arrived = len(b.items()) - 1
    assert resolved.taken + resolved.lost == a.heard(LinkLost)[0].count
    assert a.table.statistics()[0].acknowledged == arrived + 1
    assert a.table.statistics()[0].unknown == 0
    assert [item[1] for item in b.items()[1:]] == list(range(arrived))
    assert resolved.lost_notifies == tuple(range(arrived, 300))


def check_at_most_once_over_many_lost_sessions(world: World) -> None:
    """Twenty sessions given up at some moment under load: in order, at most once, and every one known at the end."""
    stage = Stage(world)
    a, b = stage.pair()
    draw = draw_of("losses")
    sent = 0
    for round_ in range(20):
        for _ in range(draw("turns", round_) % 12):
            for _ in range(draw("burst", sent) % 200):
                if a.table.post(b.peer, (1, sent, b"p" * (sent % 300)), sent) is Verdict.OK:
                    sent += 1
            stage.turn()
        for session in [there for there in a.table._sessions.values() if not there.inbound]:
            a.table._drop(session, "given up by the check", world.now())
    # where redials take long the peer falls silent, and a silent one of whom all is known is not dialled again
    stage.until(lambda: not in_doubt(a), "everything to be known")
    row = a.table.statistics()[0]
    numbers = [item[1] for item in b.items()]
    assert numbers == sorted({*numbers}), "in order and at most once"
    assert (row.sent, row.acknowledged, row.lost) == (sent, len(numbers), sent - len(numbers))
    gone = [token for lost in a.heard(LinkLost) for token in lost.never_left]
    gone += [token for resolved in a.heard(Resolved) for token in resolved.lost_notifies]
    assert sorted([*numbers, *gone]) == list(range(sent)), "each told OK either arrived or was told as lost"


def in_doubt(node: Node) -> int:
    """How many of all that was posted are neither acknowledged nor lost."""
    return sum(row.unknown + row.in_flight + row.waiting for row in node.table.statistics())


LINK_CHECKS: Final[tuple[Callable[[World], None], ...]] = (
    check_a_link_is_full_after_exactly_the_window,
    check_the_window_counts_bytes_too,
    check_a_message_over_the_limit_is_told_and_one_at_the_limit_arrives,
    check_items_and_signals_keep_their_order,
    check_both_ways_at_once_nothing_is_mixed_up,
    check_a_refusal_reaches_the_sender_with_its_token,
    check_a_failed_dial_gives_back_what_never_left,
    check_a_killed_peer_leaves_unknowns_and_at_most_once,
    check_the_newer_of_two_hellos_wins_and_resolves_the_unknown,
    check_at_most_once_over_many_lost_sessions,
)
