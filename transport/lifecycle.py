"""How sessions begin and end: dials, redials, losses, what stays unknown, and every timer of a link table. Pure.

    COLD --post--> OPENING --WELCOME--> UP --closed, BYE--> DOWN --redial--> OPENING
                      '--no WELCOME, REFUSED, closed--------^   '--nothing wanted, silent--> COLD

`links.LinkTable` stands on this and adds what a core calls and what frames mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from heapq import heappop, heappush
from typing import Any, Final

from regrove.records import replace
from regrove.transport.base import Peer, Transport, TransportError
from regrove.transport.ended import Ended
from regrove.transport.events import LinkEvent, LinkLost, LinkUp, PeerSilent, Resolved
from regrove.transport.handshake import (
    PARTS,
    PIECES,
    RUNS,
    SESSIONS_MAX,
    STAND_IN_PREFIX,
    Hello,
    Identity,
    Welcome,
    hello_body,
    reason_body,
    show,
)
from regrove.transport.link import Link, LinkSettings, Session, State
from regrove.transport.pieces import OnePair, Order, Sending
from regrove.transport.session import Outgoing
from regrove.transport.wire import BYE, HELLO, Decoder, Encoder, WireError, Written

Draw = Callable[[str, int], int]  # (kind, ordinal) -> 64 random bits, always the same for the same arguments

RETIRED: Final[Peer] = ("", 0, 0, 0)  # the row of `statistics` that sums the peers that were forgotten


class Lifecycle:
    """The sessions of one end. Times are ns of whatever clock the caller passes in."""

    def __init__(
        self,
        transport: Transport,
        identity: Identity,
        draw: Draw,
        settings: LinkSettings,
        advertise: Mapping[str, str],
        key: str,
    ) -> None:
        features = dict.fromkeys((*identity.features, PIECES, PARTS, RUNS))
        self.identity = replace(identity, features=tuple(features))
        self.settings = settings
        self.order: Order = OnePair()  # which items of a link must stay in order beside big ones
        self.advertise = dict(advertise)  # scheme -> the endpoint where we are dialled
        self.key = key  # our public key, for those who dial us
        self.leaving = ""  # why no session is opened any more, "" while they are
        self._transport = transport
        self._try_send = transport.try_send
        self._quiet = settings.quiet
        self._draw = draw
        self._encoder = Encoder()
        self._decoder = Decoder(settings.limits)
        self._links: dict[Peer, Link] = {}
        self._lives: dict[tuple[str, int], Peer] = {}  # the life in `_links` of each (node, core)
        self._dead: dict[tuple[str, int], tuple[int, int]] = {}  # the newest life that is over
        self._sessions: dict[int, Session] = {}
        self._inbound: dict[Peer, Session] = {}
        self._archive: dict[Peer, dict[int, int]] = {}  # peer -> ended session -> last sequence taken from it
        self._gaps: dict[int, tuple[int, ...]] = {}  # of those sessions: the big messages that were not whole
        self._events: list[LinkEvent] = []
        self._dirty: list[Link] = []
        self._granting: list[Session] = []
        self._timers: list[tuple[int, int, str, Any]] = []
        self._armed = 0
        self._dials = 0
        self._retired = Link(RETIRED, "", "", "")

    # -- timers: an entry is valid while its subject still names this very instant

    def _arm(self, when: int, what: str, subject: Link | Session) -> None:
        self._armed += 1
        heappush(self._timers, (when, self._armed, what, subject))

    def _valid(self, when: int, what: str, subject: Any) -> bool:
        if what == "grant":  # by far the most
            session: Session = subject
            into = session.into
            return into is not None and into.grant_at == when
        match what:
            case "welcome":
                return bool(subject.welcome_at == when)
            case "redial":
                return bool(subject.redial_at == when)
            case "silent":
                return bool(subject.silent_at == when)
            case "idle":
                return bool(subject.idle_at == when)
            case "forget":
                return bool(subject.forget_at == when)
            case "hello":
                return subject.number in self._sessions and not subject.up
        raise AssertionError(what)

    def deadline(self) -> int | None:
        """When `receive` must be called again although nothing arrives, in ns, or None."""
        timers = self._timers
        while timers:
            when, _, what, subject = timers[0]
            if what == "grant":  # by far the most
                session: Session = subject
                into = session.into
                if into is not None and into.grant_at == when:
                    return when
            elif self._valid(when, what, subject):
                return when
            heappop(timers)
        return None

    def _fire(self, now: int) -> None:
        timers = self._timers
        while timers and timers[0][0] <= now:
            when, _, what, subject = heappop(timers)
            if self._valid(when, what, subject):
                self._due(what, subject, now)

    def _due(self, what: str, subject: Any, now: int) -> None:
        match what:
            case "welcome":
                limit = self.settings.welcome_limit // 1_000_000
                self._drop(subject.session, f"no WELCOME from {subject.endpoint} within {limit} ms", now)
            case "redial":
                self._redial(subject, now)
            case "silent":
                self._silent(subject, now)
            case "forget":
                self._retire(subject)
            case "idle":
                self._idle(subject, now)
            case "grant":
                self._owe_grant(subject)
            case "hello":
                self._drop(subject, "no HELLO came in time", now)

    def _owe_grant(self, session: Session) -> None:
        if not session.grant_late:
            session.grant_late = True
            self._granting.append(session)

    # -- beginning

    def _begin(self, link: Link) -> Outgoing | None:
        """The sending half for a first post on a cold link, or None when it cannot be dialled now."""
        if link.state is not State.COLD or not link.endpoint or self.leaving:
            link.wanted = True
            return None
        out = link.out = self._outgoing(link)
        self._mark(link)
        return out

    def _outgoing(self, link: Link) -> Outgoing:
        self._dials += 1
        nonce = self._draw("session", self._dials)
        inline = min(self.settings.inline, link.message_max)
        return Outgoing(nonce, self.settings.opening, self._encoder, inline, self._bulk_half(nonce, link, inline))

    def _bulk_half(self, nonce: int, link: Link, inline: int) -> Sending | None:
        """What sends big messages on a session, None when the peer takes none in pieces."""
        message_max, budget = (min(pair) for pair in zip(link.bulk, self.bulk, strict=True))
        if message_max <= inline or budget <= inline:
            return None
        half = Sending(nonce, min(message_max, budget), inline, budget, self.order, self._encoder)
        half.parted = link.parts
        return half

    @property
    def bulk(self) -> tuple[int, int]:
        """What this end takes in pieces: of one message, and at once."""
        return (self.settings.message_max, self.settings.bulk)

    def _mark(self, link: Link) -> None:
        if not link.dirty:
            link.dirty = True
            self._dirty.append(link)

    def _dial(self, link: Link, now: int) -> None:
        out = link.out
        if out is None:
            out = link.out = self._outgoing(link)
        link.state = State.OPENING
        link.wanted = False
        link.redial_at = None
        link.dials += 1
        try:
            number = self._transport.open(link.endpoint, link.key)
        except TransportError as error:
            self._lose(link, str(error), now)
            return
        session = Session(number, inbound=False, user_id="", link=link, now=now)
        session.nonce = out.nonce
        session.dial = self._dials
        session.asked = tuple(ended.nonce for ended in link.unresolved)
        self._sessions[number] = session
        link.session = session
        link.welcome_at = now + self.settings.welcome_limit
        self._arm(link.welcome_at, "welcome", link)
        if not self._transport.try_send(number, self._hello_frame(link, session)):
            self._drop(session, f"{link.endpoint} took no HELLO", now)

    def _hello_frame(self, link: Link, session: Session) -> Written:
        scheme = link.endpoint.partition("://")[0]
        duplex = self.identity.role == "client"
        window = self.settings.window
        taken = self._taken(link, session)
        hello = Hello(
            identity=self.identity,
            dial=session.dial,
            duplex=duplex,
            opening=(self.settings.opening.messages, self.settings.opening.size),
            grant=(window.messages, window.size) if duplex else (0, 0),
            message_max=self.settings.inline,
            asks=session.asked,
            taken=taken,
            gaps=self._gaps_of(taken),
            bulk=self.bulk,
            endpoint=self.advertise.get(scheme, ""),
            key=self.key,
            to=None if link.peer[0].startswith(STAND_IN_PREFIX) else link.peer,
        )
        return self._encoder.frame(HELLO, session.nonce, 0, hello_body(hello), version=self.identity.wire_min)

    def _taken(self, link: Link, session: Session) -> dict[int, int]:
        """What to tell the one dialled of its ended sessions: a stand-in may be any of those we know."""
        if link.peer[0].startswith(STAND_IN_PREFIX):
            rows = [row for archive in self._archive.values() for row in archive.items()]
        else:
            rows = list(self._archive.get(link.peer, {}).items())
        taken = dict(rows[-SESSIONS_MAX:])
        session.told = tuple(taken)
        return taken

    def _gaps_of(self, nonces: Iterable[int]) -> dict[int, tuple[int, ...]]:
        """The big messages that were not whole when those sessions ended."""
        return {nonce: self._gaps[nonce] for nonce in nonces if nonce in self._gaps}

    def _went_up(self, link: Link, session: Session, event: LinkUp, said: Hello | Welcome, now: int) -> None:
        """The session is usable for sending: tell, resolve what was unknown, and let the posts go."""
        link.state = State.UP
        link.session = session
        link.role = event.role
        link.skew = event.skew
        link.attempts = 0
        link.sessions += 1
        link.welcome_at = link.redial_at = link.silent_at = link.forget_at = None
        link.silent_told = False
        link.used_at = now
        session.up = True
        if self.settings.idle is not None and not session.inbound:
            link.idle_at = now + self.settings.idle
            self._arm(link.idle_at, "idle", link)
        self._events.append(event)
        self._resolve(link, said, session.asked)
        self._mark(link)

    def _resolve(self, link: Link, said: Hello | Welcome, asked: tuple[int, ...]) -> None:
        """Settle ended sessions by the last sequences the peer took; what it was asked and forgot stays unknown."""
        keep: list[Ended] = []
        for ended in link.unresolved:
            last = said.taken.get(ended.nonce)
            if last is None:
                if ended.nonce not in asked:
                    keep.append(ended)
                continue
            try:
                arrived, tokens = ended.resolve(last, said.gaps.get(ended.nonce, ()))
            except WireError:
                continue  # an answer that cannot be true settles nothing: unknown for good
            link.unknown -= ended.unknown
            link.acknowledged += arrived
            link.lost += ended.unknown - arrived
            self._events.append(Resolved(link.peer, arrived, ended.unknown - arrived, tokens))
        link.unresolved = keep

    # -- ending

    def _drop(self, session: Session, reason: str, now: int) -> None:
        """End a session from here: say why, close it, keep its books."""
        self._say_bye(session, reason)
        self._transport.close(session.number)
        self._ended(session, reason, now)

    def _say_bye(self, session: Session, reason: str) -> None:
        frame = self._encoder.frame(BYE, session.nonce, 0, reason_body(reason), version=self.identity.wire_min)
        self._transport.try_send(session.number, frame)

    def _ended(self, session: Session, reason: str, now: int) -> None:
        """A session is over: what it took is final, what it sent is unknown or never left."""
        self._sessions.pop(session.number, None)
        peer = session.peer
        if peer is not None and session.into is not None:
            self._close_incoming(peer, session)
        elif peer is not None and not session.inbound and self.identity.role == "client":
            self._archive_nothing(peer, session)
        link = session.link
        if link is not None and link.session is session:
            self._lose(link, reason, now)

    def _close_incoming(self, peer: Peer, session: Session) -> None:
        into = session.into
        assert into is not None
        session.into = None
        self._archive.setdefault(peer, {})[into.nonce] = into.taken
        link = self._links.get(peer, self._retired)
        link.received += into.messages
        link.received_signals += into.signals
        if self._inbound.get(peer) is session:
            del self._inbound[peer]

    def _archive_nothing(self, peer: Peer, session: Session) -> None:
        """No WELCOME came on a client's session, yet the answerer may have given one and sent behind it."""
        archive = self._archive.setdefault(peer, {})
        archive[session.nonce] = 0
        while len(archive) > SESSIONS_MAX:
            del archive[next(iter(archive))]

    def _lose(self, link: Link, reason: str, now: int) -> None:
        """The link cannot send any more: tell what became of what it held, and plan the redial."""
        was_up = link.state is State.UP
        first = link.silent_at is None and not link.silent_told
        event = self._settle_out(link, reason)
        if was_up or first or event.count or event.never_left_count or event.never_left or reason != link.told:
            self._events.append(event)
            link.told = reason
        link.state = State.DOWN
        if first:
            link.silent_at = now + self.settings.silent_limit
            self._arm(link.silent_at, "silent", link)
        if link.endpoint and not self.leaving:
            link.redial_at = now + self._backoff(link)
            self._arm(link.redial_at, "redial", link)

    def _settle_out(self, link: Link, reason: str) -> LinkLost:
        out = link.out
        link.out = link.session = None
        link.welcome_at = link.idle_at = link.bulk_at = None
        if out is None:
            return LinkLost(link.peer, reason)
        ended = out.end()
        link.close_books(ended, out.messages, out.signals)
        if ended.frames or ended.left:
            link.unresolved.append(ended)
        tokens = tuple(token for _, token in ended.tokens)
        return LinkLost(link.peer, reason, tokens, ended.unknown, ended.never_left, ended.never_left_count)

    def _backoff(self, link: Link) -> int:
        """50 ms doubling to 2 s, full jitter, so that the peers of a node that comes back do not arrive at once."""
        settings = self.settings
        ceiling = min(settings.redial_max, settings.redial_min << min(link.attempts, 16))
        link.attempts += 1
        return 1 + self._draw(f"redial/{show(link.peer)}", link.dials) % ceiling

    def _redial(self, link: Link, now: int) -> None:
        link.redial_at = None
        stand_in = link.peer[0].startswith(STAND_IN_PREFIX)
        if link.wanted or link.unresolved or stand_in or not link.silent_told:
            self._dial(link, now)
        else:
            link.state = State.COLD

    def _silent(self, link: Link, now: int) -> None:
        link.silent_at = None
        link.silent_told = True
        self._events.append(PeerSilent(link.peer))
        if not link.endpoint:
            link.forget_at = now + self.settings.remember
            self._arm(link.forget_at, "forget", link)

    def _idle(self, link: Link, now: int) -> None:
        """Close a link on which nothing moved for so long."""
        idle = self.settings.idle
        out, session = link.out, link.session
        assert idle is not None
        assert out is not None
        assert session is not None
        used_at = max(link.used_at, session.heard_at)
        if now - used_at < idle or not out.settled:
            link.idle_at = max(used_at + idle, now + self.settings.quiet)
            self._arm(link.idle_at, "idle", link)
            return
        self._settle_out(link, "idle")
        link.state = State.COLD
        self._drop(session, "idle", now)

    def _retire(self, link: Link) -> None:
        """Take a peer out of the table; its figures stay in the row RETIRED."""
        peer = link.peer
        self._links.pop(peer, None)
        self._archive.pop(peer, None)
        if self._lives.get((peer[0], peer[2])) == peer:
            del self._lives[peer[0], peer[2]]
        link.redial_at = link.silent_at = link.welcome_at = link.idle_at = link.forget_at = None
        self._retired.add_books(link)
