"""Calls of one client under way [pure]: requests out by link, exactly one answer each back.

    call(...) ------> link item CALL -----------> core          every token is answered once: by REPLY or FAILED, by a
    answers   <------ REPLY(payload), FAILED(reason)            refusal of the link, or by the loss of the link
    `LinkLost`, a newer life of the core -> NoConnection at once (it may have run)

The driver (`bridge.py` on a thread, or a simulated world) owns the link table: it gives `take` what `links.receive`
reports, picks up `answers`, and flushes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, assert_never

from regrove.node.client.directory import Directory, Door
from regrove.node.core import remote
from regrove.node.core.address import Home
from regrove.node.core.errors import DecodeError
from regrove.node.core.messages import decode
from regrove.node.core.ordering import AnswersOnly
from regrove.node.core.reasons import Undecodable, Unreachable
from regrove.node.core.sent import LINK_FULL, OK, STALE, TOO_LARGE, UNREACHABLE, Sent
from regrove.records import dataclass
from regrove.supervisor.reasons import NoConnection, NoProcess, Reason
from regrove.transport.events import (
    DialRefused,
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
from regrove.transport.links import LinkTable
from regrove.transport.parts import Parts, Payload

NO_LIMIT: Final = -1
_VERDICTS: Final[Mapping[Verdict, Sent]] = {
    Verdict.OK: OK,
    Verdict.LINK_FULL: LINK_FULL,
    Verdict.UNREACHABLE: UNREACHABLE,
    Verdict.TOO_LARGE: TOO_LARGE,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of the call `token`: `payload` (decoded by who asked, on its own thread) or why there is none.

    `elsewhere`: nothing ran, and the directory was wrong about the place: a fresh one may know better.
    """

    token: int
    payload: Payload | None = None
    reason: Reason | None = None
    elsewhere: bool = False


class Desk:
    """See the module's text. Tokens count from 1 and are never reused in one life of a client."""

    def __init__(self, links: LinkTable, directory: Directory) -> None:
        self.directory = directory
        self.answers: list[Answer] = []
        self.dropped = 0  # answers nobody waited for any more
        self.room = False  # since it was last set False, something happened that may have made room on a link
        self.troubles: list[str] = []  # why links ended, for the error of who finds no connection
        self._links = links
        links.order = AnswersOnly()
        self._open: dict[int, Home] = {}
        self._last = 0

    # -- what the program asks ----------------------------------------------------------------------------------------

    def call(self, target: object, payload: Payload, left: int) -> int:
        """Send a request and return its token; a refusal is an answer too. `left` in ns, `NO_LIMIT` for none."""
        self._last += 1
        token = self._last
        where = self.directory.resolve(target)
        if isinstance(where, Sent):
            self._refused(token, where)
            return token
        home, slot, generation = where
        verdict = self._links.post(home, (remote.CALL, slot, generation, token, left, payload), token)
        sent = _VERDICTS[verdict]
        if sent is OK:
            self._open[token] = home
        else:
            self._refused(token, sent)
        return token

    def send(self, target: object, payload: Payload) -> Sent:
        """Send a message; what becomes of it after OK is counted by the core that takes it."""
        where = self.directory.resolve(target)
        if isinstance(where, Sent):
            return where
        home, slot, generation = where
        return _VERDICTS[self._links.post(home, (remote.SEND, slot, generation, payload), None)]

    def give_up(self, token: int) -> None:
        """Nobody waits for `token` any more."""
        self._open.pop(token, None)

    # -- what the cluster tells ---------------------------------------------------------------------------------------

    def update(self, info: Mapping[str, Any]) -> None:
        """Take a `call-info`: dial new lives, end the links to those that are over."""
        learned, gone = self.directory.update(info)
        for home in gone:
            self._end(home, NoConnection())
        for door in learned:
            self._learn(door)

    def take(self, events: Iterable[LinkEvent]) -> bool:
        """Take what the links report; True when a fresh directory is needed: a core did not answer any more."""
        stale = False
        for event in events:
            self.room = self.room or isinstance(event, Room | LinkUp | LinkLost | PeerSilent)
            stale = self._event(event) or stale
        return stale

    @property
    def under_way(self) -> int:
        """Calls that have no answer yet."""
        return len(self._open)

    def _event(self, event: LinkEvent) -> bool:
        match event:
            case Items(peer=peer, items=items):
                for item in items:
                    self._item(Home._make(peer), item)
            case Refused(notify=int(token), reason=reason):
                self._refusal(token, _reason(reason))
            case LinkLost():
                self._lost(event)
                return True
            case PeerSilent(peer=peer):
                self.directory.drop(Home._make(peer))
                self._fail(Home._make(peer), NoConnection())
                return True
            case LinkUp() | Resolved() | Refused() | Room() | DialRefused():
                pass
            case _:
                assert_never(event)
        return False

    def _item(self, home: Home, item: Any) -> None:
        match item:
            case (remote.REPLY, int(token), (bytes() | Parts()) as payload) if self._open.get(token) == home:
                self._close(Answer(token, payload=payload))
            case (remote.FAILED, int(token), bytes(payload)) if self._open.get(token) == home:
                self._close(Answer(token, reason=_reason(payload)))
            case _:
                self.dropped += 1

    def _refusal(self, token: int, reason: Reason) -> None:
        if token in self._open:
            self._close(Answer(token, reason=reason, elsewhere=isinstance(reason, NoProcess)))
        else:
            self.dropped += 1

    def _refused(self, token: int, sent: Sent) -> None:
        self.answers.append(Answer(token, reason=sent.reason, elsewhere=sent in (STALE, UNREACHABLE)))

    def _lost(self, event: LinkLost) -> None:
        self.troubles = [*self.troubles[-3:], event.reason]
        home = Home._make(event.peer)
        for token in event.never_left:
            if isinstance(token, int) and token in self._open:
                self._close(Answer(token, reason=Unreachable(), elsewhere=True))
        self._fail(home, NoConnection())

    def _learn(self, door: Door) -> None:
        self._links.learn(door.home, door.endpoint, door.key)

    def _end(self, home: Home, reason: Reason) -> None:
        self._links.forget(home, type(reason).__name__)
        self._fail(home, reason)

    def _fail(self, home: Home, reason: Reason) -> None:
        for token in [token for token, at in self._open.items() if at == home]:
            self._close(Answer(token, reason=reason))

    def _close(self, answer: Answer) -> None:
        del self._open[answer.token]
        self.answers.append(answer)


def _reason(payload: bytes) -> Reason:
    try:
        reason = decode(payload)
    except DecodeError as problem:
        return Undecodable(str(problem))
    return reason if isinstance(reason, Reason) else Undecodable(f"a {type(reason).__name__} is no reason")
