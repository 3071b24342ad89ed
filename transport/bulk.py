"""Bulk sessions: the connection beside a session on which the pieces of big messages travel. Pure.

    dialler                              answerer
      ORDERED: the places            ->                        on the session, in its sequence
      BULK (the session's nonce)     ->                        on a connection of its own, at the first big message
      PIECE PIECE ...                ->   <- TAKEN (bytes)     both ways on that of a client, whom nobody dials
                                     <-   GRANT: which are not whole yet, on the session

A session and its bulk session end together while anything is under way: what was not whole by then is dropped and
counted there, and unknown here until the next WELCOME names the gaps. docs/decisions/big-messages.md has the reasons.
"""

from __future__ import annotations

from typing import Any, Final

from regrove.transport.base import Peer, TransportError
from regrove.transport.credit import OVERHEAD_BYTES
from regrove.transport.events import Items, Room
from regrove.transport.greeting import Greeting
from regrove.transport.link import Link, Session
from regrove.transport.pieces import Sending
from regrove.transport.session import Outgoing
from regrove.transport.wire import BULK, PIECE, TAKEN, Item, Read, WireError

WRITE_BYTES: Final = 256 * 1024  # pieces written to one link in one pass: small messages go between
GAPS_KEPT: Final = 64  # sessions with gaps after which those nobody can ask for any more are let go


class BulkSessions(Greeting):
    """The bulk sessions over the sessions of one end."""

    dropped: int

    # -- timers

    def _valid(self, when: int, what: str, subject: Any) -> bool:
        match what:
            case "stall":
                return bool(subject.stall_at == when) and subject.number in self._sessions
            case "bulk":
                return bool(subject.bulk_at == when)
        return super()._valid(when, what, subject)

    def _due(self, what: str, subject: Any, now: int) -> None:
        match what:
            case "stall":
                self._stalled(subject, now)
            case "bulk":
                subject.bulk_at = None
                self._mark(subject)
            case _:
                super()._due(what, subject, now)

    def _watch(self, session: Session, now: int) -> None:
        """While a big message is not whole, pieces must come."""
        if session.stall_at is None and session.into is not None and not session.into.assembly.idle:
            session.piece_at = max(session.piece_at, now)
            session.stall_at = now + self.settings.stall_limit
            self._arm(session.stall_at, "stall", session)

    def _stalled(self, session: Session, now: int) -> None:
        session.stall_at = None
        if session.into is None or session.into.assembly.idle:
            return
        due = session.piece_at + self.settings.stall_limit
        if due <= now:
            limit = self.settings.stall_limit // 1_000_000
            self._drop(session, f"a big message was announced, and for {limit} ms no piece of one came", now)
            return
        session.stall_at = due
        self._arm(due, "stall", session)

    # -- beginning and ending

    def _dial_bulk(self, main: Session, now: int) -> bool:
        """Open the bulk session of one we dialled; False when that ended the session."""
        link = main.link
        assert link is not None
        assert not main.inbound
        try:
            number = self._transport.open(link.endpoint, link.key)
        except TransportError as error:
            self._drop(main, f"no bulk session: {error}", now)
            return False
        bulk = Session(number, inbound=False, user_id="", link=None, now=now)
        self._sessions[number] = bulk
        self._tie(bulk, main)
        hello = self._encoder.frame(BULK, main.nonce, 0, {"peer": list(self.identity.peer)})
        if not self._transport.try_send(number, hello):
            self._drop(main, f"{link.endpoint} took no bulk session", now)
            return False
        return True

    def _tie(self, bulk: Session, main: Session) -> None:
        bulk.main, main.bulk = main, bulk
        bulk.peer, bulk.nonce, bulk.up = main.peer, main.nonce, True
        link = main.link  # both ends count the bytes of one bulk session: what was told last may have been lost
        if main.into is not None:
            main.into.assembly.size = 0
        if link is not None and link.session is main and link.out is not None and link.out.bulk is not None:
            link.out.bulk.begin()

    def _bulk_opened(self, session: Session, frame: Read, now: int) -> None:
        """Somebody opened the bulk session of a session to us: only who holds that one's key and nonce may."""
        if not session.inbound or session.up:
            raise WireError("a BULK came in the middle of a session")
        peer = frame.body.get("peer")
        if type(peer) is not tuple or [type(part) for part in peer] != [str, int, int, int]:
            raise WireError("BULK: 'peer' is a node's name and three ints")
        main = self._inbound.get(peer)
        if main is None or main.nonce != frame.nonce or main.user_id != session.user_id:
            self.dropped += 1
            self._drop(session, "a bulk session came for a session that is not open here", now)
            return
        if main.bulk is not None:
            if self._under_way(main):
                problem = "a second BULK came while big messages were under way"
                self._drop(main, problem, now)
                raise WireError(problem)
            self._cut_bulk(main)
        self._tie(session, main)
        if main.link is not None:
            self._mark(main.link)  # answers may wait for it

    def _under_way(self, main: Session) -> bool:
        if main.into is not None and not main.into.assembly.idle:
            return True
        link = main.link
        if link is None or link.session is not main or link.out is None or link.out.bulk is None:
            return False
        return bool(link.out.bulk.transfers)

    def _cut_bulk(self, main: Session) -> None:
        bulk, main.bulk = main.bulk, None
        if bulk is not None:
            bulk.main = None
            bulk.up = False
            self._sessions.pop(bulk.number, None)
            self._transport.close(bulk.number)

    def _drop(self, session: Session, reason: str, now: int) -> None:
        """End a session from here; a bulk session ends with the one it belongs to."""
        super()._drop(session.main or session, reason, now)

    def _ended(self, session: Session, reason: str, now: int) -> None:
        """A session is over, and its bulk session; or only that one, if nothing was under way on it."""
        main = session.main
        if main is None:
            self._cut_bulk(session)
            super()._ended(session, reason, now)
        elif self._under_way(main):
            self._drop(main, f"its bulk session ended: {reason}", now)
        else:
            self._cut_bulk(main)

    def _close_incoming(self, peer: Peer, session: Session) -> None:
        """The books of what came in: what was held goes on, what was not whole is dropped and counted."""
        into = session.into
        assert into is not None
        if not into.assembly.idle:
            ready, torn, users = into.assembly.end()
            self._hand_over(peer, session.number, ready)
            into.messages -= users
            into.signals -= len(torn) - users
            self._links.get(peer, self._retired).received_torn += len(torn)
            if torn:
                self._keep_gaps(into.nonce, torn)
        super()._close_incoming(peer, session)

    def _keep_gaps(self, nonce: int, torn: tuple[int, ...]) -> None:
        if len(self._gaps) >= GAPS_KEPT:
            asked = {known for archive in self._archive.values() for known in archive}
            self._gaps = {known: gaps for known, gaps in self._gaps.items() if known in asked}
        self._gaps[nonce] = torn

    # -- what comes in

    def _ordered(self, session: Session, frame: Read, now: int) -> None:
        into, peer = session.into, session.peer
        if into is None or peer is None or not session.up:
            raise WireError("an ORDERED came where nothing may be sent: no WELCOME was given")
        ready = into.accept_ordered(peer, frame.first, frame.body, self.order)
        self._hand_over(peer, session.number, ready)
        self._owe_grant(session)
        if into.assembly.idle:
            return
        self._watch(session, now)
        if not session.inbound and session.bulk is None:
            self._dial_bulk(session, now)

    def _bulk_frame(self, session: Session, main: Session, frame: Read, now: int) -> None:
        """A frame on a bulk session that is neither HELLO nor BYE."""
        if frame.nonce != session.nonce:
            raise WireError(f"a frame of session {frame.nonce} came on the bulk session of {session.nonce}")
        if frame.type == PIECE and main.into is not None:
            ready = main.into.accept_piece(frame.first, *frame.body)
            main.piece_at = now
            self._owe_grant(session)
            if ready and main.peer is not None:
                self._hand_over(main.peer, main.number, ready)
                self._owe_grant(main)
            self._watch(main, now)
        elif frame.type == TAKEN:
            link = main.link
            if link is None or link.session is not main or link.out is None or link.out.bulk is None:
                raise WireError("a TAKEN came on a session that sends no pieces")
            link.out.bulk.hear(frame.body[0], now)
            self._mark(link)
        else:
            raise WireError("only pieces and what was taken of them travel on a bulk session")

    def _hand_over(self, peer: Peer, session: int, ready: list[tuple[int, Item]]) -> None:
        """Give items to the owner, those of neighbouring sequences together."""
        at = 0
        while at < len(ready):
            first = ready[at][0]
            run = [ready[at][1]]
            while at + len(run) < len(ready) and ready[at + len(run)][0] == first + len(run):
                run.append(ready[at + len(run)][1])
            self._events.append(Items(peer, session, first, tuple(run), framed=False))
            at += len(run)

    def _tell_taken(self, bulk: Session, main: Session) -> None:
        assert main.into is not None
        frame = self._encoder.frame(TAKEN, bulk.nonce, 0, [main.into.assembly.size])
        if not self._transport.try_send(bulk.number, frame):
            self._owe_grant(bulk)

    # -- what goes out

    def _bulk_freed(self, link: Link, bulk: Sending) -> None:
        """Big messages were handed over at the other end: others may begin, and be posted."""
        self._mark(link)
        if bulk.room_wanted:
            bulk.room_wanted = False
            self._events.append(Room(link.peer))

    def _write_pieces(self, link: Link, out: Outgoing, now: int) -> None:
        """Write what the window lets through, at most 256 KiB a pass."""
        sending, main = out.bulk, link.session
        assert sending is not None
        assert main is not None
        if main.bulk is None and (main.inbound or not out.written_last or not self._dial_bulk(main, now)):
            return  # a client dials when it reads the place
        bulk = main.bulk
        assert bulk is not None
        size = 0
        while size < WRITE_BYTES:
            found = sending.piece(out.written_last)
            if found is None:
                break
            if not self._transport.try_send(bulk.number, found[1]):
                break
            size += sending.wrote(found[0]) + OVERHEAD_BYTES  # a peer may ask for the smallest of pieces
        else:
            link.bulk_at = now
            self._arm(now, "bulk", link)
        if size:
            sending.pace.wrote(sending.written, sending.taken, now)
