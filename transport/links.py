"""The link table: what cores, managers and clients post to their peers through, real and simulated alike. Pure.

Everything posted is accounted for: acknowledged, refused (a part of that), lost, unknown, in flight or waiting; the
sum is exact at any instant (`statistics`). Between two cores each side dials a session of its own for what it sends;
grants, refusals and BYE return on it. A client's answers come back on the client's own session: nobody dials a client.

One pass of the owner:  transport.poll()  ->  receive(now)  ->  post, signal, refuse ...  ->  flush(now)

An item is a tuple `(kind, ...)`. Kinds below 16 are user items: they take credit, and their last element is the
payload, bytes. Kinds from 16 on are signals: the same sequence, behind what was posted before, no credit (each is
bounded by a debt its sender reserved). What is beside the payload stays below 16 KiB an item and nests at most 6 deep.
A payload over 64 KiB, of a user item or a signal that ends with bytes, travels in pieces (`bulk.py`): only items of
the same source and target, as `order` tells them, wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from regrove.transport.base import Peer, Transport
from regrove.transport.bulk import BulkSessions
from regrove.transport.credit import OVERHEAD_BYTES, CreditError
from regrove.transport.events import DialRefused, Items, LinkEvent, LinkStatistics, Refused, Verdict
from regrove.transport.greeting import Admit, admit_all
from regrove.transport.handshake import STAND_IN_PREFIX, Identity, read_reason, show
from regrove.transport.incoming import Incoming
from regrove.transport.lifecycle import Draw
from regrove.transport.link import Link, LinkSettings, Session, State
from regrove.transport.runs import Heading
from regrove.transport.session import Outgoing
from regrove.transport.wire import (
    BATCH,
    BULK,
    BYE,
    GRANT,
    HELLO,
    ORDERED,
    REFUSED,
    RUN,
    WELCOME,
    Item,
    Read,
    WireError,
    Written,
)

_OK: Final = Verdict.OK
_UP: Final = State.UP
_OPENED: Final = 0  # an inbox entry: a connection with its user id
_FRAMES: Final = 1  # frames that arrived
_CLOSED: Final = 2  # a connection that ended, and why


class LinkTable(BulkSessions):
    """All links of one end.

    `draw(kind, ordinal)` gives 64 random bits, the same for the same arguments in a simulated run. `advertise` maps a
    scheme to the endpoint where this end listens. `info` goes into every WELCOME (plain data, small).
    """

    def __init__(
        self,
        transport: Transport,
        identity: Identity,
        draw: Draw,
        settings: LinkSettings = LinkSettings(),
        *,
        advertise: Mapping[str, str] | None = None,
        key: str = "",
        admit: Admit = admit_all,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(transport, identity, draw, settings, advertise or {}, key, admit, info or {})
        self.dropped = 0  # frames of sessions that are over, or of dead incarnations
        self.garbage = 0  # frames that were none of ours
        self._inbox: list[tuple[int, int, Any]] = []
        transport.attach(self)

    # -- what the owner calls

    def learn(self, peer: Peer, endpoint: str, key: str = "") -> bool:
        """A peer lives at `endpoint`; older lives of it are over. Learnt again it is redialled at once if it was lost.

        False for a life that is over or older than the known one.
        """
        if peer == self.identity.peer or self._is_dead(peer) or not self._retire_older(peer):
            return False
        link = self._links.get(peer)
        if link is None:
            self._add(Link(peer, endpoint, key, "core" if peer[2] >= 0 else "manager"))
            return True
        link.endpoint, link.key = endpoint, key
        if link.state is State.DOWN:
            self._dial_soon(link)
        return True

    def warm(self, peer: Peer) -> None:
        """Dial a known peer before anything is posted to it, so that the link is up when it is first needed."""
        link = self._links.get(peer)
        if link is not None and link.state is State.COLD:
            self._dial_soon(link)

    def dial(self, endpoint: str, key: str = "") -> Peer:
        """Dial an endpoint whose owner is not known yet, and give a stand-in to post to until `LinkUp` names the peer.

        The stand-in counts as a peer: it is redialled, reported silent after 2 s, and must be forgotten if unwanted.
        """
        peer: Peer = (f"{STAND_IN_PREFIX}{endpoint}", 0, -1, 0)
        link = self._links.get(peer)
        if link is None:
            link = Link(peer, endpoint, key, "")
            self._add(link)
        link.key = key
        link.wanted = True
        if link.state is State.COLD or link.state is State.DOWN:
            self._dial_soon(link)
        return peer

    def post(self, peer: Peer, item: Item, notify: object = None) -> Verdict:
        """Put a user item on the link; `notify` comes back in LinkLost, Resolved or Refused. Told at once, exactly."""
        link = self._links.get(peer)
        if link is None:
            return Verdict.UNREACHABLE
        out = link.out
        if out is not None:
            if out.run is not None:
                out.mix()
            left = out.left - len(item[-1]) - OVERHEAD_BYTES
            if left >= 0:  # the fast path: see `Outgoing`
                out.left = left
                waiting = out.waiting
                packed = self._encoder.item(item)
                if notify is not None:
                    out.tokens.append((out.next + len(waiting), notify))
                waiting.append(packed)
                if len(waiting) >= out.cut_at:
                    self.filled(link, out)
                return _OK
        else:
            out = self._begin(link)
            if out is None:
                return Verdict.UNREACHABLE
        self._mark(link)
        verdict = out.post(item, notify)
        if out.fresh:
            self._leave(link, out)
        return verdict

    def link(self, peer: Peer) -> Link | None:
        """The record of a peer, for one who posts to it often: while it has an `out` the peer takes posts."""
        return self._links.get(peer)

    @property
    def pack(self) -> Callable[[Item], bytes]:
        """What writes an item."""
        return self._encoder.item

    def heading(self, fields: Item) -> Heading:
        """What all user items that begin with `fields` and have their payload next share."""
        return self._encoder.heading(fields)

    def begun(self, link: Link, out: Outgoing) -> None:
        """Something was put on the link by `Outgoing.begin`: it leaves with the next `flush`, what was cut now."""
        if not link.dirty:
            link.dirty = True
            self._dirty.append(link)
        if out.fresh:
            self._leave(link, out)

    def filled(self, link: Link, out: Outgoing) -> None:
        """The batch is full or the credit used up: what is full leaves now, so that the peer need not wait for it."""
        out.filled()
        if out.fresh:
            self._leave(link, out)

    def signal(self, peer: Peer, item: Item) -> bool:
        """Put a signal behind what was posted. False: unreachable, or `answer` would say that it is too much."""
        return self.answer(peer, item) is _OK

    def answer(self, peer: Peer, item: Item) -> Verdict:
        """Put a signal behind what was posted, and tell why not: UNREACHABLE; TOO_LARGE and LINK_FULL for a big one.

        Big answers have a budget of their own, as large as that of big mail; no `Room` follows for them.
        """
        link = self._links.get(peer)
        if link is None:
            return Verdict.UNREACHABLE
        out = link.out
        if out is None:
            out = self._begin(link)
            if out is None:
                return Verdict.UNREACHABLE
        if not link.dirty:
            link.dirty = True
            self._dirty.append(link)
        taken = out.signal(item)
        if out.fresh:
            self._leave(link, out)
        return taken

    def refuse(self, peer: Peer, session: int, sequence: int, reason: bytes) -> None:
        """Tell the sender that an item it got acknowledged was not taken; counted. Nothing if the session is over."""
        over = self._sessions.get(session)
        if over is None or over.peer != peer or over.into is None or not over.into.refuse(sequence, reason):
            return
        link = self._links.get(peer)
        if link is not None:
            link.received_refused += 1
        self._owe_grant(over)

    def receive(self, now: int) -> list[LinkEvent]:
        """What happened since the last call: frames that arrived, sessions that ended, times that ran out."""
        inbox, self._inbox = self._inbox, []
        for what, number, content in inbox:
            session = self._sessions.get(number)
            if what == _FRAMES:
                if session is None:
                    self.dropped += len(content)
                else:
                    self._frames(session, content, now)
            elif what == _OPENED:
                self._opened(number, content, now)
            elif session is not None:
                self._ended(session, content, now)
        for session in self._granting:
            self._credit(session)
        self._fire(now)
        events, self._events = self._events, []
        return events

    def flush(self, now: int) -> None:
        """End of the pass: dial what was posted to, send one frame a peer and the grants that are due."""
        dirty, self._dirty = self._dirty, []
        for link in dirty:
            link.dirty = False
            if link.state is _UP:
                self._write(link, now)
                continue
            if link.out is not None:
                link.out.cut()  # disarmed: the next post marks the link again
            if link.state is State.COLD and (link.out is not None or link.wanted):
                self._dial(link, now)
        granting, self._granting = self._granting, []
        for session in granting:
            session.grant_late = False
            self._grant(session)

    def goodbye(self, reason: str, now: int) -> None:
        """Leave in order: what waits is flushed, every session is told BYE and closed, none is opened any more."""
        self.flush(now)
        self.leaving = reason
        for session in list(self._sessions.values()):
            if session.up and session.main is None:
                self._drop(session, reason, now)

    def statistics(self) -> tuple[LinkStatistics, ...]:
        """One frozen record per peer, and one of peer ("", 0, 0, 0) that sums those forgotten."""
        rows = [link.statistics(self._incoming(link)) for link in self._links.values()]
        return (*rows, self._retired.statistics(None))

    # -- what the transport calls (from poll): kept for `receive`, which knows the time

    def on_session(self, session: int, inbound: bool, user_id: str) -> None:
        """A connection is there; nothing follows from one that we dialled before its WELCOME."""
        if inbound:
            self._inbox.append((_OPENED, session, user_id))

    def on_frames(self, session: int, frames: Sequence[Written]) -> None:
        """Frames arrived."""
        self._inbox.append((_FRAMES, session, frames))

    def on_writable(self, session: int) -> None:
        """Frames that were not taken may go."""
        there = self._sessions.get(session)
        if there is not None and there.link is not None:
            self._mark(there.link)
        if there is not None and there.main is not None and there.main.link is not None:
            self._mark(there.main.link)
        if there is not None and there.into is not None and there.into.owed:
            self._owe_grant(there)

    def on_closed(self, session: int, reason: str) -> None:
        """A connection ended."""
        self._inbox.append((_CLOSED, session, reason))

    # -- frames

    def _opened(self, number: int, user_id: str, now: int) -> None:
        session = Session(number, inbound=True, user_id=user_id, link=None, now=now)
        self._sessions[number] = session
        self._arm(now + self.settings.hello_limit, "hello", session)

    def _frames(self, session: Session, frames: Sequence[Written], now: int) -> None:
        session.heard_at = now
        for position, data in enumerate(frames):
            if session.number not in self._sessions:
                self.dropped += len(frames) - position
                return
            try:
                frame = self._decoder.frame(data)
                if frame is not None:
                    self._frame(session, frame, now)
            except (WireError, CreditError) as error:
                self.garbage += 1
                self._events.append(DialRefused(self._who(session), str(error)))
                self._drop(session, str(error), now)

    def _who(self, session: Session) -> str:
        if session.peer is not None:
            return show(session.peer)
        return f"key {session.user_id}" if session.user_id else f"session {session.number}"

    def _frame(self, session: Session, frame: Read, now: int) -> None:
        type_ = frame.type
        if type_ == HELLO:
            self._hello(session, frame, now)
        elif session.main is not None and type_ != BYE:
            self._bulk_frame(session, session.main, frame, now)
        elif session.up and frame.nonce != session.nonce:
            raise WireError(f"a frame of session {frame.nonce} came on session {session.nonce}")
        elif type_ == BATCH:
            self._batch(session, frame, now)
        elif type_ == GRANT:
            self._granted(session, frame)
        elif type_ == RUN:
            self._batch(session, frame, now)
        elif type_ == ORDERED:
            self._ordered(session, frame, now)
        elif type_ == WELCOME:
            self._welcome(session, frame, now)
        elif type_ == BULK:
            self._bulk_opened(session, frame, now)
        elif type_ in (REFUSED, BYE):
            self._told_off(session, frame, now)
        else:
            raise WireError("pieces came where they do not travel: open a bulk session for them")

    def _batch(self, session: Session, frame: Read, now: int) -> None:
        into, peer = session.into, session.peer
        if into is None or peer is None or not session.up:
            raise WireError("items came where nothing may be sent: no WELCOME was given")
        items, first = frame.body, frame.first
        due = False
        if frame.type == RUN:
            into.accept_run(first, items)
            due = into.due
        elif len(items) > 1 or not into.lone(first, items[0]):
            into.accept(first, items)
            due = into.due
        if not into.assembly.idle:
            into.assembly.check(into.expected)
        self._events.append(Items(peer, session.number, first, items))
        if due:
            self._owe_grant(session)
        elif into.grant_at is None:
            into.grant_at = now + self._quiet
            self._arm(into.grant_at, "grant", session)

    def _granted(self, session: Session, frame: Read) -> None:
        link = session.link
        if link is None or link.out is None or not session.up:
            raise WireError("a GRANT came on a session that sends nothing")
        out, body = link.out, frame.body
        taken, messages, size, refusals = body[:4]
        unfinished = body[4] if len(body) > 4 else ()
        bulk = out.bulk
        if bulk is None or not bulk.transfers:
            out.acknowledge(taken, unfinished)
        else:
            before = bulk.size
            out.acknowledge(taken, unfinished)
            if bulk.size < before:
                self._bulk_freed(link, bulk)
        for sequence, reason in refusals:
            notify = out.refused(sequence)
            link.refused += 1
            self._events.append(Refused(link.peer, notify, reason, sequence))
        self._raise(link, out, messages, size)

    def _told_off(self, session: Session, frame: Read, now: int) -> None:
        name = "REFUSED" if frame.type == REFUSED else "BYE"
        reason = read_reason(name, frame.body)
        if frame.type == REFUSED and session.inbound:
            raise WireError("a REFUSED came from the one who dialled")
        where = show(session.peer) if session.peer is not None else self._who(session)
        if frame.type == REFUSED and session.link is not None:
            where = session.link.endpoint or where  # who refused is not known: maybe another than was dialled
        said = f"refused by {where}: {reason}" if frame.type == REFUSED else f"{where} said goodbye: {reason}"
        self._transport.close(session.number)
        self._ended(session, said, now)

    def _incoming(self, link: Link) -> Incoming | None:
        session = self._inbound.get(link.peer, link.session)
        return session.into if session is not None else None

    def _write(self, link: Link, now: int) -> None:
        out, session = link.out, link.session
        assert out is not None
        assert session is not None
        link.used_at = now
        out.leave(session.number, self._try_send)  # disarmed: the next post marks the link again
        if out.bulk is not None and out.bulk.transfers:
            self._write_pieces(link, out, now)

    def _leave(self, link: Link, out: Outgoing) -> None:
        """A frame is full in the middle of a pass."""
        if link.state is State.UP and link.session is not None:
            out.write(link.session.number, self._try_send)

    def _credit(self, session: Session) -> None:
        """Credit that is due leaves before what arrived is handled, so that the sender goes on meanwhile."""
        into = session.into
        if into is not None and into.due and into.plain:
            self._try_send(session.number, self._encoder.frame(GRANT, session.nonce, 0, into.credit_body()))

    def _grant(self, session: Session) -> None:
        if session.main is not None and session.main.into is not None:
            self._tell_taken(session, session.main)
        into = session.into
        while into is not None and into.owed:
            if not self._try_send(session.number, self._encoder.frame(GRANT, session.nonce, 0, into.grant_body())):
                return  # `on_writable` asks for it again
            into.left()
