"""Random histories in the simulated network: every message that was told OK is accounted for, exactly."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from regrove.transport import wire
from regrove.transport.base import Peer
from regrove.transport.credit import OVERHEAD_BYTES, Window
from regrove.transport.events import Items, LinkLost, LinkStatistics, PeerSilent, Refused, Resolved, Verdict
from regrove.transport.handshake import Identity
from regrove.transport.link import LinkSettings
from regrove.transport.links import LinkTable
from regrove.transport.parts import Parts, Payload
from regrove.transport.pieces import Held
from regrove.transport.runs import Heading, Run
from regrove.transport.simulated import DELIVER, RESET, Key, SimulatedNetwork
from regrove.transport.wire import Item
from tests.transport.conftest import draw_of

MS = 1_000_000
SETTINGS = LinkSettings(
    opening=Window(8, 2_000), window=Window(40, 20_000), message_max=5_000, redial_max=300 * MS, idle=700 * MS
)

SIZES = [0, 10, 300, 401, 1_000, 5_000]
BLOB = 350  # the least of a part that stands by itself, so that histories are short
BIG = replace(SETTINGS, inline_max=400, bulk=12_000)  # most of what is posted travels in pieces


class Thirds:
    """Numbers with the same remainder stay in order, others may pass."""

    def source(self, item: Item) -> int:
        return 1 + item[1] % 3 if isinstance(item[1], int) else 0

    def target(self, peer: Peer, item: Item, held: Held) -> Hashable:
        del peer, held
        return int(item[1]) % 3


class Member:
    """One end, and what really happened to it: the truth the books are compared with."""

    def __init__(self, history: History, name: str, role: str, life: int = 1) -> None:
        self.name, self.role = name, role
        self.peer: Peer = (f"client:{name}", 1, 0, 0) if role == "client" else (name, 1, 0, life)
        self.transport = history.network.endpoint(name)
        self.endpoint = "" if role == "client" else self.transport.listen(f"sim://{name}.{life}")
        self.table = LinkTable(
            self.transport,
            Identity("test", self.peer, role),
            draw_of(f"{history.seed}/{name}.{life}"),
            history.settings,
            advertise={"sim": self.endpoint} if self.endpoint else {},
        )
        if history.settings is BIG:
            self.table.order = Thirds()
        self.sent: dict[Peer, int] = {}  # told OK
        self.handled: dict[Peer, list[int]] = {}  # numbers taken from each peer, in order
        self.refusals: dict[Peer, int] = {}  # refused here
        self.tokens: dict[tuple[Peer, int], str] = {}  # what was told of each token
        self.silent = 0
        self.pieces = 0  # user items that came whole out of pieces
        self.parts = 0  # those of them that came in parts
        self.runs = 0  # frames that came as a run
        self.headings: dict[Peer, Heading] = {}

    def hear(self, history: History) -> None:
        for event in self.table.receive(history.now):
            match event:
                case Items(peer, session, first, items):
                    self.take(history, peer, session, first, items)
                case LinkLost(peer, _, unacknowledged, count, never_left, never_left_count):
                    assert len(unacknowledged) == count
                    assert len(never_left) == never_left_count
                    self.tell(peer, unacknowledged, "unknown", ("",))
                    self.tell(peer, never_left, "never left", ("",))
                case Resolved(peer, taken, lost, notifies):
                    assert len(notifies) == lost
                    assert taken >= 0
                    self.tell(peer, notifies, "lost", ("unknown",))
                case Refused(peer, notify, reason, _):
                    assert reason == b"%d" % notify  # type: ignore[str-format]
                    self.tell(peer, (notify,), "refused", ("",))
                case PeerSilent():
                    self.silent += 1
                case _:
                    pass

    def tell(self, peer: Peer, tokens: tuple[object, ...], what: str, before: tuple[str, ...]) -> None:
        for token in tokens:
            assert isinstance(token, int)
            assert self.tokens[peer, token] in before, f"{token}: {what} after {self.tokens[peer, token]!r}"
            self.tokens[peer, token] = what

    def take(self, history: History, peer: Peer, session: int, first: int, items: Iterable[tuple[object, ...]]) -> None:
        self.runs += isinstance(items, Run)
        for at, item in enumerate(items):
            if item[0] == 2:
                assert isinstance(item[-1], bytes)
                number = int(item[-1].rstrip(b"p"))
                self.handled.setdefault(peer, []).append(number)
                if history.random.random() < 0.1:
                    self.table.refuse(peer, session, first + at, b"%d" % number)
                    self.refusals[peer] = self.refusals.get(peer, 0) + 1
            elif item[0] == 1:
                assert isinstance(item[1], int)
                assert isinstance(item[-1], bytes | Parts)
                assert bytes(item[-1]) == b"p" * len(item[-1])
                self.pieces += len(item[-1]) > history.settings.inline
                self.parts += isinstance(item[-1], Parts)
                self.handled.setdefault(peer, []).append(item[1])
                if history.random.random() < 0.1:
                    self.table.refuse(peer, session, first + at, b"%d" % item[1])
                    self.refusals[peer] = self.refusals.get(peer, 0) + 1

    def settled(self) -> bool:
        rows = [row for row in self.table.statistics() if row.peer[0]]  # what the dead owe stays unknown
        return not any(row.unknown + row.in_flight + row.waiting + row.bulk_bytes for row in rows)

    def balance(self) -> None:
        for row in self.table.statistics():
            parts = row.acknowledged + row.lost + row.unknown + row.in_flight + row.waiting
            assert row.sent == parts, f"{self.name} to {row.peer}: {row}"
            assert min(row.acknowledged, row.lost, row.unknown, row.in_flight, row.waiting) >= 0, row
            assert row.refused <= row.acknowledged
            if row.peer[0]:
                assert row.sent == self.sent.get(row.peer, 0)
        assert sum(row.sent for row in self.table.statistics()) == sum(self.sent.values())


class History:
    def __init__(self, seed: int, settings: LinkSettings = SETTINGS) -> None:
        self.seed = seed
        self.settings = settings
        self.random = Random(seed)
        self.resets = self.random.choice([0, 0, 60, 200])
        self.network = SimulatedNetwork(latency=self.latency, fate=self.fate, rank=self.rank)
        self.calm = False
        self.now = 0
        self.members = [Member(self, name, "core") for name in ("a", "b", "c")] + [Member(self, "x", "client")]
        self.graves: list[Member] = []
        for member in self.members:
            self.introduce(member)

    def introduce(self, to: Member) -> None:
        for other in self.members:
            if to is not other and other.role == "core":
                to.table.learn(other.peer, other.endpoint)

    def replace(self, at: int) -> None:
        """Kill a core and start its next life; the others hear of it sooner or later, if not from itself."""
        old = self.members[at]
        if old.role != "core":
            return
        self.network.crash(old.name)
        self.graves.append(old)
        self.members[at] = newer = Member(self, old.name, "core", old.peer[3] + 1)
        self.introduce(newer)
        for member in self.members:
            if self.random.random() < 0.5:
                member.table.forget(old.peer, "its core ended")
            if member is not newer and self.random.random() < 0.7:
                member.table.learn(newer.peer, newer.endpoint)

    def latency(self, key: Key) -> int:
        draw = draw_of(f"{self.seed}/{key.source}>{key.target}")(f"latency/{key.dial}", key.ordinal)
        return 100_000 + draw % (draw >> 32 & 15 or 1) * 1_000 + draw % 3_000_000

    def fate(self, key: Key) -> int:
        draw = draw_of(f"{self.seed}/{key.source}>{key.target}")(f"fate/{key.dial}", key.ordinal)
        return RESET if not self.calm and self.resets and draw % self.resets == 0 else DELIVER

    def rank(self, key: Key) -> int:
        return draw_of(f"{self.seed}/{key.source}>{key.target}")(f"rank/{key.dial}", key.ordinal)

    def turn(self, step: int) -> None:
        self.now += step
        self.network.advance(self.now)
        for member in self.members:
            while member.transport.poll():
                pass
            member.hear(self)
            if not self.calm:
                self.load(member)
            if self.random.random() < 0.5:
                member.balance()
            member.table.flush(self.now)
            if self.random.random() < 0.5:
                member.balance()

    def load(self, member: Member) -> None:
        for _ in range(self.random.choice([0, 0, 1, 3, 20])):
            other = self.random.choice(self.members)
            if other is member:
                continue
            number = member.sent.get(other.peer, 0)
            if self.random.random() < 0.2:
                detail = b"s" * self.random.choice([0, 0, 3_000]) if self.settings is BIG else b""
                member.table.signal(other.peer, (17, number, detail))
                continue
            if self.settings is SETTINGS and self.random.random() < 0.2:
                self.run_of(member, other)
                continue
            payload = self.payload()
            verdict = member.table.post(other.peer, (1, number, payload), number)
            if verdict is Verdict.OK:
                member.sent[other.peer] = number + 1
                member.tokens[other.peer, number] = ""

    def run_of(self, member: Member, other: Member) -> None:
        """Several messages that begin alike, along the way a core's route takes."""
        table, peer = member.table, other.peer
        link = table.link(peer)
        heading = member.headings.setdefault(peer, table.heading((2, 0)))
        for _ in range(self.random.choice([1, 3, 8, 30])):
            number = member.sent.get(peer, 0)
            payload = b"%d" % number + b"p" * self.random.choice([0, 300])
            out = None if link is None else link.out
            if out is not None and out.run is heading and out.left >= len(payload) + OVERHEAD_BYTES:
                out.left -= len(payload) + OVERHEAD_BYTES
                out.tokens.append((out.next + len(out.waiting), number))
                out.waiting.append(payload)
                if len(out.waiting) >= out.cut_at:
                    assert link is not None
                    table.filled(link, out)
            elif out is not None and out.begin(heading, payload):
                assert link is not None
                out.tokens.append((out.next, number))
                table.begun(link, out)
            elif table.post(peer, (2, 0, payload), number) is not Verdict.OK:
                return
            member.sent[peer] = number + 1
            member.tokens[peer, number] = ""

    def payload(self) -> Payload:
        """Of one kind of byte, half of those that travel in pieces in parts."""
        whole = b"p" * self.random.choice([0, 10, 300, 5_000] if self.settings is SETTINGS else SIZES)
        if self.settings is SETTINGS or len(whole) <= BLOB or self.random.random() < 0.5:
            return whole
        blob = self.random.randrange(BLOB, len(whole))
        rest = len(whole) - blob
        before = self.random.randrange(rest) + 1
        return Parts(tuple(part for part in (whole[:before], whole[:blob], whole[: rest - before]) if part))

    def trouble(self) -> None:
        names = [member.name for member in self.members]
        source, target = self.random.sample(names, 2)
        match self.random.randrange(12):
            case 0:
                self.network.cut(source, target)
            case 1:
                self.network.cut(source, target)
                self.network.cut(target, source)
            case 2 | 3:
                self.network.heal_all()
            case 4 | 5:
                for connection in self.network.connections(source, target):
                    self.network.reset(connection)
            case 6 if self.random.random() < 0.3:
                self.replace(self.random.randrange(len(self.members)))

    def run(self) -> None:
        for _ in range(self.random.randrange(10, 50)):
            self.trouble()
            self.turn(self.random.choice([100_000, MS, 5 * MS, 40 * MS, 400 * MS]))
        self.calm = True
        self.network.heal_all()
        for member in self.members:
            for grave in self.graves:
                member.table.forget(grave.peer, "its core ended")
            self.introduce(member)
        for _ in range(400):
            self.knock()
            self.turn(20 * MS)
            if all(member.settled() for member in self.members):
                break

    def knock(self) -> None:
        """Nobody dials a client: what is unknown of it is resolved when it comes back by itself."""
        for member in self.members:
            for row in member.table.statistics():
                if member.role == "client" and row.peer[0] and row.state != "up":
                    member.table.signal(row.peer, (17, 0))

    def judge(self) -> None:
        """After the calm the books of both ends say what really happened, and nothing is unknown between the living."""
        by_peer = {member.peer: member for member in [*self.members, *self.graves]}
        for member in [*self.members, *self.graves]:
            for peer in member.sent:
                self.compare(member, by_peer[peer])
        for member in self.members:
            rows = {row.peer: row for row in member.table.statistics()}
            for other in self.members:
                if other.peer in member.sent:
                    self.audit(member, other, rows[other.peer])

    def compare(self, member: Member, other: Member) -> None:
        """What a sender was told of each message is true, whoever died."""
        numbers = other.handled.get(member.peer, [])
        handled = set(numbers)
        assert len(handled) == len(numbers), "at most once"
        parts = 1 if self.settings is SETTINGS else 3
        for part in range(parts):
            mine = [number for number in numbers if number % parts == part]
            assert mine == sorted(mine), "in order"
        for number in range(member.sent[other.peer]):
            told = member.tokens[other.peer, number]
            if number in handled:
                assert told in ("", "refused", "unknown"), f"{number} was handled and told as {told!r}"
            elif member in self.members and other in self.members:
                assert told in ("lost", "never left"), f"{number} was never handled and told as {told!r}"
            else:
                assert told != "refused"

    def audit(self, member: Member, other: Member, row: LinkStatistics) -> None:
        """The sums of a link between two that live."""
        assert (row.unknown, row.in_flight, row.waiting) == (0, 0, 0), row
        numbers = other.handled.get(member.peer, [])
        assert row.sent == member.sent[other.peer]
        assert row.acknowledged == len(numbers)
        assert row.lost == row.sent - len(numbers)
        refused = other.refusals.get(member.peer, 0)
        assert row.refused <= refused
        # A refusal of what was held until the session ended reaches nobody, as any that comes after its session.
        if self.settings is SETTINGS and all(
            member.tokens[other.peer, number] != "unknown" for number in range(row.sent)
        ):
            assert row.refused == refused


@pytest.mark.parametrize("block", range(10))
def test_every_ok_is_accounted_for_in_random_histories(block: int) -> None:
    for seed in range(block * 220, (block + 1) * 220):
        history = History(seed)
        try:
            history.run()
            history.judge()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


@pytest.fixture
def small_blobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "BLOB_BYTES", BLOB)


@pytest.mark.usefixtures("small_blobs")
@pytest.mark.parametrize("block", range(10))
def test_every_ok_is_accounted_for_when_most_messages_travel_in_pieces(block: int) -> None:
    for seed in range(block * 150, (block + 1) * 150):
        history = History(seed, BIG)
        try:
            history.run()
            history.judge()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


@pytest.mark.usefixtures("small_blobs")
def test_the_histories_of_big_messages_reach_what_they_are_about() -> None:
    """Torn messages, overtaking, unknown ones that arrived after all: each often enough to mean something."""
    torn = overtaken = told = pieces = parts = 0
    for seed in range(80):
        history = History(seed, BIG)
        history.run()
        for member in history.members:
            torn += sum(row.received_torn for row in member.table.statistics())
            pieces += member.pieces
            parts += member.parts
            told += sum(word == "lost" for word in member.tokens.values())
            for numbers in member.handled.values():
                overtaken += sum(later < earlier for earlier, later in pairwise(numbers))
    assert torn > 50
    assert overtaken > 500
    assert told > 100
    assert pieces > 2_000
    assert parts > 500


def test_the_histories_reach_what_they_are_about() -> None:
    """Losses, refusals, unknowns that arrived, silent peers: each often enough to mean something."""
    seen = {"refused": 0, "lost": 0, "never left": 0, "unknown": 0}
    silent = sent = lives = runs = 0
    for seed in range(60):
        history = History(seed)
        history.run()
        lives += len(history.graves)
        for member in history.members:
            silent += member.silent
            sent += sum(member.sent.values())
            runs += member.runs
            for told in member.tokens.values():
                if told:
                    seen[told] += 1
    assert all(count > 50 for count in seen.values()), seen
    assert sent > 5_000
    assert runs > 200
    assert silent > 10
    assert lives > 10


def test_the_same_seed_gives_the_same_history_and_another_one_does_not() -> None:
    def digest(seed: int) -> list[object]:
        history = History(seed)
        history.run()
        return [(member.handled, member.tokens, member.table.statistics()) for member in history.members]

    assert digest(7) == digest(7)
    assert digest(7) != digest(8)
