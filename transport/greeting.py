"""Who may open a session, and which life of a peer a link belongs to: HELLO, WELCOME, names and lives. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from regrove.records import dataclass
from regrove.transport.base import Peer, Transport
from regrove.transport.credit import Window
from regrove.transport.events import DialRefused, LinkUp, PeerSilent, Room
from regrove.transport.handshake import (
    PARTS,
    RUNS,
    STAND_IN_PREFIX,
    Hello,
    Identity,
    Welcome,
    judge,
    misfit,
    read_hello,
    read_welcome,
    reason_body,
    show,
    welcome_body,
    wire_common,
)
from regrove.transport.incoming import Incoming
from regrove.transport.lifecycle import Draw, Lifecycle
from regrove.transport.link import Link, LinkSettings, Session, State
from regrove.transport.pieces import Assembly
from regrove.transport.session import Outgoing
from regrove.transport.wire import REFUSED, WELCOME, Read, WireError


@dataclass(frozen=True, slots=True)
class Admission:
    """What an allow-list says of a HELLO: a `refusal`, or the `rights` of its key (member, observer, client)."""

    refusal: str = ""
    rights: str = "member"


Admit = Callable[[str, Identity], Admission]  # (proved public key or "", who it says it is)


def admit_all(_user_id: str, _identity: Identity) -> Admission:
    """The admission of ipc (0700 folder) and of `--insecure`."""
    return Admission()


class Greeting(Lifecycle):
    """The handshake over the sessions of one end."""

    def __init__(
        self,
        transport: Transport,
        identity: Identity,
        draw: Draw,
        settings: LinkSettings,
        advertise: Mapping[str, str],
        key: str,
        admit: Admit,
        info: Mapping[str, Any],
    ) -> None:
        super().__init__(transport, identity, draw, settings, advertise, key)
        self.info: dict[str, Any] = dict(info)
        self._admit = admit

    def _hello(self, session: Session, frame: Read, now: int) -> None:
        if not session.inbound or session.up:
            raise WireError("a HELLO came in the middle of a session")
        hello = read_hello(frame.body)
        session.nonce = frame.nonce
        admission = self._admit(session.user_id, hello.identity)
        refusal = judge(self.identity, hello, self._is_dead(hello.identity.peer), admission.refusal)
        refusal = refusal or self._no_place(session, hello)
        if refusal:
            self._refuse_dial(session, hello, refusal, now)
            return
        self._retire_older(hello.identity.peer)
        self._accept(session, hello, admission, now)

    def _no_place(self, session: Session, hello: Hello) -> str:
        peer = hello.identity.peer
        if self.leaving:
            return f"leaving: {self.leaving}"
        if peer not in self._links and not self._make_place():
            return f"links_max = {self.settings.links_max} links are open here"
        current = self._inbound.get(peer)
        if current is not None and current.dial > hello.dial:
            return "a newer session of yours is open"
        if current is not None and current.role == "client" and current.user_id != session.user_id:
            return "key: another one holds this client's name"
        return ""

    def _make_place(self) -> bool:
        """Whether one more peer may be known; a client that went silent is forgotten early for it."""
        if len(self._links) < self.settings.links_max:
            return True
        gone = next((link for link in self._links.values() if link.forget_at is not None), None)
        if gone is not None:
            self._retire(gone)
        return gone is not None

    def _refuse_dial(self, session: Session, hello: Hello, reason: str, now: int) -> None:
        if hello.to is None or hello.to[0] != self.identity.peer[0] or hello.to == self.identity.peer:
            self._events.append(DialRefused(show(hello.identity.peer), reason))  # an earlier life is often dialled
        body = reason_body(reason)
        version = self.identity.wire_min
        self._transport.try_send(session.number, self._encoder.frame(REFUSED, session.nonce, 0, body, version))
        self._transport.close(session.number)
        self._ended(session, reason, now)

    def _accept(self, session: Session, hello: Hello, admission: Admission, now: int) -> None:
        peer = hello.identity.peer
        older = self._inbound.get(peer)
        if older is not None:
            self._drop(older, "a newer session of yours replaced this one", now)
        archive = self._archive.get(peer, {})
        answers = {nonce: archive[nonce] for nonce in hello.asks if nonce in archive}
        self._archive[peer] = dict(answers)
        link = self._links.get(peer)
        if link is None:
            link = Link(peer, hello.endpoint, hello.key, hello.identity.role)
            self._add(link)
        link.parts = PARTS in hello.identity.features
        link.runs = RUNS in hello.identity.features
        session.peer, session.role, session.rights = peer, hello.identity.role, admission.rights
        session.identity = hello.identity
        session.dial, session.up = hello.dial, True
        session.into = self._incoming_half(session.nonce, Window(*hello.opening))
        self._inbound[peer] = session
        self._say_welcome(session, hello, answers)
        if hello.duplex:
            self._accept_duplex(link, session, hello, now)
            return
        link.skew = self.identity.skew(hello.identity)
        self._resolve(link, hello, ())
        if link.state is State.DOWN and link.endpoint:
            self._dial(link, now)

    def _say_welcome(self, session: Session, hello: Hello, answers: Mapping[int, int]) -> None:
        wire = wire_common(self.identity, hello.identity)
        assert wire is not None
        window = self.settings.window
        grant = (window.messages, window.size)
        welcome = Welcome(
            self.identity, wire, grant, self.settings.inline, answers, self.info, self.bulk, self._gaps_of(answers)
        )
        frame = self._encoder.frame(WELCOME, session.nonce, 0, welcome_body(welcome), version=wire)
        self._transport.try_send(session.number, frame)

    def _accept_duplex(self, link: Link, session: Session, hello: Hello, now: int) -> None:
        """What goes to a client leaves on the session it dialled, under the credit its HELLO gives."""
        link.message_max, link.bulk = hello.message_max, hello.takes
        inline = min(self.settings.inline, hello.message_max)
        bulk = self._bulk_half(session.nonce, link, inline)
        link.out = Outgoing(session.nonce, Window(*hello.grant), self._encoder, inline, bulk)
        link.out.runs = link.runs
        session.link = link
        skew = self.identity.skew(hello.identity)
        event = LinkUp(link.peer, session.role, hello.identity, {}, None, session.rights, skew)
        self._went_up(link, session, event, hello, now)

    def _incoming_half(self, nonce: int, opening: Window) -> Incoming:
        return Incoming(nonce, self.settings.window, opening, Assembly(*self.bulk))

    def _welcome(self, session: Session, frame: Read, now: int) -> None:
        link = session.link
        if session.inbound or session.up or link is None or link.out is None:
            raise WireError("a WELCOME came to one who did not dial")
        if frame.nonce != session.nonce:
            raise WireError("a WELCOME for another session")
        welcome = read_welcome(frame.body)
        wrong = self._wrong_answerer(link, welcome)
        if wrong:
            self._drop(session, wrong, now)
            return
        theirs = welcome.identity
        dialled = None
        if link.peer != theirs.peer:
            dialled = link.peer
            self._rename(link, session, theirs.peer, now)
        if self.identity.role == "client":
            session.into = self._incoming_half(session.nonce, self.settings.window)
            archive = self._archive.get(link.peer, {})
            for nonce in session.told:  # settled there: whoever answers a HELLO has read it
                archive.pop(nonce, None)
        session.role = theirs.role
        event = LinkUp(
            link.peer, theirs.role, theirs, welcome.info, dialled, session.rights, self.identity.skew(theirs)
        )
        link.message_max, link.bulk = welcome.message_max, welcome.takes
        link.parts = PARTS in theirs.features
        link.runs = RUNS in theirs.features
        if not link.out.limit_message(min(self.settings.inline, welcome.message_max), welcome.takes, link.parts):
            self._drop(session, f"{show(theirs.peer)} takes no message as large as one that waits for it", now)
            return
        link.out.runs = link.runs
        self._went_up(link, session, event, welcome, now)
        self._raise(link, link.out, *welcome.grant)

    def _wrong_answerer(self, link: Link, welcome: Welcome) -> str:
        theirs = welcome.identity
        if theirs.cluster != self.identity.cluster:
            return f"{link.endpoint} is of cluster {theirs.cluster!r}, not {self.identity.cluster!r}"
        if theirs.peer == self.identity.peer:
            return f"{link.endpoint} is myself"
        if welcome.wire != wire_common(self.identity, theirs):
            return f"{link.endpoint} chose wire version {welcome.wire}, which is not the highest common one"
        if theirs.role == "client" or misfit(theirs, duplex=False):
            return f"{link.endpoint} says it is {show(theirs.peer)} of role {theirs.role}, which cannot be"
        if link.key and (refusal := self._admit(link.key, theirs).refusal):
            return f"{link.endpoint}: {refusal}"
        if self._is_dead(theirs.peer):
            return f"{link.endpoint} is {show(theirs.peer)}, which was declared over"
        if not link.peer[0].startswith(STAND_IN_PREFIX) and theirs.peer != link.peer:
            return f"{link.endpoint} is {show(theirs.peer)}, not {show(link.peer)}"
        return ""

    def _raise(self, link: Link, out: Outgoing, messages: int, size: int) -> None:
        if out.raise_to(messages, size) and out.room_wanted:
            out.room_wanted = False
            self._events.append(Room(link.peer))

    # -- peers and their lives

    def readmit(self, now: int) -> None:
        """The allow-list changed: end the sessions of keys that it does not let in any more."""
        for session in list(self._inbound.values()):
            identity = session.identity
            assert identity is not None
            refusal = self._admit(session.user_id, identity).refusal
            if refusal:
                self._drop(session, refusal, now)

    def _rename(self, link: Link, session: Session, peer: Peer, now: int) -> None:
        """A stand-in turned out to be `peer`: its link takes the place of the one we may have had."""
        del self._links[link.peer]
        del self._lives[link.peer[0], link.peer[2]]
        self._retire_older(peer)
        known = self._links.get(peer)
        if known is not None:
            if known.session is not None:
                self._drop(known.session, "a newer session replaced this one", now)
            elif known.out is not None:
                self._lose(known, "a newer session replaced it", now)
            known.redial_at = known.silent_at = known.welcome_at = known.idle_at = known.forget_at = None
            link.add_books(known)
            link.unresolved = known.unresolved + link.unresolved
            del self._links[peer]
        archive = self._archive.pop(link.peer, None)
        if archive:
            self._archive.setdefault(peer, {}).update(archive)
        link.peer = session.peer = peer
        self._add(link)

    def _add(self, link: Link) -> None:
        self._links[link.peer] = link
        self._lives[link.peer[0], link.peer[2]] = link.peer

    def _dial_soon(self, link: Link) -> None:
        """At the next flush, which knows the time."""
        if self.leaving:
            return
        link.state = State.COLD
        link.redial_at = None
        link.wanted = True
        link.attempts = 0
        self._mark(link)

    def _is_dead(self, peer: Peer) -> bool:
        over = self._dead.get((peer[0], peer[2]))
        if over is not None and (peer[1], peer[3]) <= over:
            return True
        current = self._lives.get((peer[0], peer[2]))
        return current is not None and (current[1], current[3]) > (peer[1], peer[3])

    def _retire_older(self, peer: Peer) -> bool:
        """An older life of `peer` is over, since a newer one is named. False when `peer` is the older one."""
        current = self._lives.get((peer[0], peer[2]))
        if current is None or current == peer:
            return True
        if (current[1], current[3]) > (peer[1], peer[3]):
            return False
        self.forget(current, f"a newer life of it is {show(peer)}")
        self._events.append(PeerSilent(current))
        return True

    def forget(self, peer: Peer, reason: str) -> None:
        """That life is over: its sessions end, later frames and HELLOs of it are dropped, refused and counted.

        What was unknown stays unknown; a last `LinkLost` names it at the next `receive`.
        """
        link = self._links.get(peer)
        if not peer[0].startswith(STAND_IN_PREFIX) and (link is None or link.role != "client"):
            life = (peer[1], peer[3])
            self._dead[peer[0], peer[2]] = max(life, self._dead.get((peer[0], peer[2]), life))
        if link is None:
            return
        session = link.session
        was_up = link.state is State.UP
        lost = self._settle_out(link, reason)
        link.state = State.DOWN
        if was_up or lost.count or lost.never_left_count or lost.never_left:
            self._events.append(lost)
        for over in (session, self._inbound.get(peer)):
            if over is not None and over.number in self._sessions:
                self._drop(over, reason, 0)
        self._retire(link)
