"""What items on a link mean: mail and signals between isolates of different cores.

Kinds below 16 are user mail under credit, their last element the encoded message; the others are signals, behind what
was sent before them. `slot` is an int with its generation, or a name, which the receiving core resolves.

| kind | item | answered by |
|---|---|---|
| SEND | slot, generation, payload | a refusal |
| CALL | slot, generation, token, ns left or -1, payload | REPLY, FAILED, a refusal |
| PUSH | slot, generation, token, ns left or -1, payload | PUSHED, FAILED, a refusal |
| REPLY, FAILED, PUSHED | token (, payload) | |
| CANCEL_PUSH | token | |
| MONITOR | reference, slot, generation | DOWN |
| DEMONITOR, DOWN | reference (, slot, generation, reason) | |
| WATCHED | reference, slot, generation: who holds the name that is watched | |
| LINK, PART, EXIT | their slot, generation, our slot, generation (, reason); PART: the end of a tie | |
| UNLINK, UNLINKED | their slot, generation, our slot, generation, number | UNLINKED |
| RENEW | what went to you may be lost: calls fail, monitors and links are asked for again | MONITOR, LINK |

Kinds from 29 on are of children on other cores: `hosting.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, assert_never

from regrove.node.core import route as routes
from regrove.node.core import together
from regrove.node.core.address import Address, Caller, Home, Name
from regrove.node.core.errors import DecodeError
from regrove.node.core.isolate import Cell, Request
from regrove.node.core.mailbox import deliver_system, offer
from regrove.node.core.messages import decode, encode
from regrove.node.core.ordering import MailOrder
from regrove.node.core.outcomes import Failed, Pushed, Undelivered
from regrove.node.core.reasons import Undecodable, Unknown, Unreachable
from regrove.node.core.sent import LINK_FULL, OK, TOO_LARGE, UNREACHABLE, Sent
from regrove.supervisor.reasons import Crashed, NoConnection, NoProcess, Reason, Shutdown
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
from regrove.transport.runs import Run

if TYPE_CHECKING:
    from regrove.node.core.core import Core

SEND: Final = 1
CALL: Final = 2
PUSH: Final = 3
REPLY: Final = 16
FAILED: Final = 17
PUSHED: Final = 18
CANCEL_PUSH: Final = 19
MONITOR: Final = 20
DEMONITOR: Final = 21
DOWN: Final = 22
LINK: Final = 23
UNLINK: Final = 24
EXIT: Final = 25
PART: Final = 26
RENEW: Final = 27
WATCHED: Final = 28
UNLINKED: Final = 37

REASON_BYTES_MAX: Final = 65_536  # of a reason on the wire: signals take no credit, so none may be big
CLIENT_PREFIX: Final = "client:"
_make_home: Final = tuple.__new__
_make_caller: Final = tuple.__new__  # a third of the time of Caller(...), once a request
_VERDICTS: Final = {Verdict.LINK_FULL: LINK_FULL, Verdict.UNREACHABLE: UNREACHABLE, Verdict.TOO_LARGE: TOO_LARGE}


class Notice(NamedTuple):
    """Who wants to hear of a message that was posted with `notify`."""

    cell: Cell
    to: Any
    token: Any


class Malformed(Exception):
    """An item of a known kind with fields of other types than its kind has."""


class Links:
    """The links of one core: a `LinkTable` below, the core's calls and signals above."""

    __slots__ = ("_down", "_kinds", "core", "malformed", "order", "table")

    def __init__(self, core: Core, table: LinkTable) -> None:
        self.core = core
        self.table = table
        self.order = table.order = MailOrder(core)
        self.malformed = 0
        self._down: dict[Home, None] = {}
        self._kinds: dict[int, Callable[[Home, Any], Reason | None]] = {
            SEND: self._send,
            CALL: self._call,
            PUSH: self._push,
            REPLY: self._reply,
            FAILED: self._failed,
            PUSHED: self._pushed,
            CANCEL_PUSH: self._cancel_push,
            MONITOR: self._monitor,
            DEMONITOR: self._demonitor,
            DOWN: self._down_signal,
            LINK: self._link,
            UNLINK: self._unlink,
            UNLINKED: self._unlinked,
            EXIT: self._exit,
            PART: self._part,
            RENEW: self._renew,
            WATCHED: self._watched,
        }

    def add_kinds(self, kinds: dict[int, Callable[[Home, Any], Reason | None]]) -> None:
        """Take signals of another part of the core too."""
        self._kinds.update(kinds)

    # --- out -------------------------------------------------------------------------------------------------------

    def post(self, home: Home, item: tuple[Any, ...], notify: object = None) -> Sent:
        """Put user mail on a link, under its credit and behind pushes that wait for it."""
        if self.core.waiters.waits_for(home, item):
            return LINK_FULL
        return self.post_now(home, item, notify)

    def remember(self, to: Address) -> None:
        """A send to `to` was OK: the next ones take the short way."""
        link = self.table.link(to.home)
        route = to.route
        if link is not None and (route is None or route.link is not link or route.core is not self.core):
            to.route = routes.Route(self.core, link, to.home, to.slot, to.generation)

    def remember_name(self, to: Name | str, where: tuple[Home, int | str, int]) -> None:
        """A send to a name that another core holds was OK: the next ones take the short way, until a name changes."""
        link = self.table.link(where[0])
        kept = self.core.registry.routes
        if link is not None:
            if len(kept) >= self.core.bounds.names:
                kept.clear()
            kept[to] = routes.Route(self.core, link, *where)

    def post_now(self, home: Home, item: tuple[Any, ...], notify: object = None) -> Sent:
        """Put user mail on a link whose turn it is."""
        verdict = self.table.post(home, item, notify)
        return OK if verdict == 0 else _VERDICTS[verdict]

    def signal(self, home: Home, item: tuple[Any, ...]) -> bool:
        """Put a signal on a link; False when there is none."""
        return self.table.signal(home, item)

    def packed(self, reason: Reason) -> bytes:
        """A reason as a signal carries it; one that no signal could carry keeps its class and loses its detail."""
        payload = encode(reason)
        if len(payload) <= REASON_BYTES_MAX:
            return payload
        text = f"(its detail has {len(payload)} bytes, over {REASON_BYTES_MAX})"
        return encode(Shutdown(text) if isinstance(reason, Shutdown) else Crashed(type(reason).__name__, text))

    def is_client(self, home: Home) -> bool:
        """Tell whether an address is an outside program's: it has no entry among the cores."""
        return home.node.startswith(CLIENT_PREFIX)

    def learn(self, home: Home, endpoint: str, key: str) -> None:
        """A core lives at `endpoint`."""
        self.table.learn(home, endpoint, key)

    def forget(self, home: Home, reason: Reason) -> None:
        """That life of a core is over."""
        self.table.forget(home, type(reason).__name__)
        self.drain(self.core.now)
        self._down.pop(home, None)  # last: the end of the link was among the events

    # --- in --------------------------------------------------------------------------------------------------------

    def drain(self, now: int) -> None:
        """Take what has arrived on the links."""
        for event in self.table.receive(now):
            if type(event) is Items:  # by far the most
                self._items(_make_home(Home, event.peer), event.session, event.first, event.items)
            else:
                self._event(event)

    def _event(self, event: LinkEvent) -> None:
        core = self.core
        match event:
            case Items(peer, session, first, items):
                self._items(Home._make(peer), session, first, items)
            case LinkUp(peer=peer, skew=skew):
                home = Home._make(peer)
                if skew and not self.is_client(home):  # a program has no application of its own
                    core.logger.warning("version-skew", peer=str(home), skew=skew)
                if self._down.pop(home, 0) is None:
                    if not self.is_client(home):
                        self.signal(home, (RENEW,))  # Downs and exits of ours are lost, though theirs may all have come
                    self._back(home)
                core.remote_children.heard(home)
            case LinkLost():
                self._lost(event)
            case Resolved(taken=taken, lost=lost):
                core.counters.unknown -= taken + lost
                core.counters.lost += lost
            case Refused(notify=notify, reason=reason):
                self._undelivered(notify, read_reason(reason))
            case Room(peer=peer):
                core.waiters.room(Home._make(peer))
            case PeerSilent(peer=peer):
                home = Home._make(peer)
                core.calls.peer_gone(home, NoConnection())
                if self.is_client(home):
                    self._down.pop(home, None)
                    core.signals.peer_gone(home, NoConnection())
                else:
                    core.signals.peer_silent(home, NoConnection())
            case DialRefused(who=who, reason=text):
                core.logger.warning("refused", who=who, reason=text)
            case _:
                assert_never(event)

    def _lost(self, event: LinkLost) -> None:
        core = self.core
        home = Home._make(event.peer)
        core.counters.unknown += event.count
        core.counters.lost += event.never_left_count
        self._down[home] = None
        for notify in event.never_left:
            self._undelivered(notify, Unreachable())
        for notify in event.unacknowledged:
            if not isinstance(notify, int):
                self._undelivered(notify, Unknown())
        core.calls.peer_lost(home, NoConnection())

    def _undelivered(self, notify: object, reason: Reason) -> None:
        if isinstance(notify, int):
            if notify in self.core.calls.debts:
                self.core.calls.fail(notify, reason)
        elif isinstance(notify, Notice):
            deliver_system(self.core, notify.cell, Undelivered(notify.to, reason, notify.token), 0)

    def _items(self, home: Home, session: int, first: int, items: tuple[Any, ...] | Run) -> None:
        core = self.core
        if core.tracing:
            core.event = core.tracer.frame(core.now, home, items)
        if len(items) > 1 and core.draining is None and together.deliver(self, home, session, first, items):
            return
        for sequence, item in enumerate(items, first):
            self.item(home, session, sequence, item)

    def item(self, home: Home, session: int, sequence: int, item: Any) -> None:
        """Take one item by itself."""
        handler = self._kinds.get(item[0])
        if handler is None:
            self.malformed += 1
            return
        draining = self.core.draining
        try:
            refused = draining.refusal(home, item) if draining is not None and item[0] < REPLY else None
            if refused is None:
                refused = handler(home, item)
        except (Malformed, DecodeError, ValueError) as error:
            self.malformed += 1
            refused = Undecodable(str(error)[:1_000])
            self.core.logger.warning("undecodable", peer=str(home), kind=item[0], problem=str(error))
            self._fail_caller(home, item, refused)
        if refused is not None and item[0] < REPLY:
            self.refuse(home, session, sequence, refused)

    def refuse(self, home: Home, session: int, sequence: int, reason: Reason) -> None:
        """Tell the sender that an item was not taken, and count it."""
        self.core.counters.refused += 1
        self.table.refuse(home, session, sequence, self.packed(reason))

    def _fail_caller(self, home: Home, item: Any, reason: Reason) -> None:
        if item[0] == REPLY and len(item) == 3 and type(item[1]) is int and item[1] in self.core.calls.debts:
            self.core.calls.fail(item[1], reason)

    def _target(self, item: Any, length: int) -> Cell | None:
        if len(item) != length or type(item[1]) not in (int, str) or type(item[2]) is not int:
            raise Malformed(f"kind {item[0]} has fields {[type(value).__name__ for value in item[1:]]}")
        return self.core.registry.local(item[1], item[2])

    # --- mail ------------------------------------------------------------------------------------------------------

    def called(self, home: Home, cell: Cell, item: Any, value: Any) -> Reason | None:
        """Put a call into the mailbox of `cell`."""
        core = self.core
        _, _, _, token, left, payload = item
        deadline = None if left < 0 else core.now + left
        request = Request(_make_caller(Caller, (home, token, deadline)), deadline)
        sent = offer(core, cell, value, 64 + len(payload), request, core.event)
        return None if sent is OK else sent.reason

    def _send(self, home: Home, item: Any) -> Reason | None:
        cell = self._target(item, 4)
        if cell is None:
            return NoProcess()
        payload = _bytes(item[3])
        sent = offer(self.core, cell, self.core.arrived(payload), 64 + len(payload), None, self.core.event)
        return None if sent is OK else sent.reason

    def _call(self, home: Home, item: Any) -> Reason | None:
        cell = self._target(item, 6)
        _, _, _, token, left, payload = item
        if type(token) is not int or type(left) is not int:
            _ints(item, token, left)
        if cell is None:
            return NoProcess()
        return self.called(home, cell, item, self.core.arrived(_bytes(payload)))

    def _push(self, home: Home, item: Any) -> Reason | None:
        core = self.core
        cell = self._target(item, 6)
        _, _, _, token, left, payload = item
        _ints(item, token, left)
        if cell is None:
            return NoProcess()
        return core.waiters.pushed_here(cell, home, token, left, core.arrived(_bytes(payload)), 64 + len(payload))

    # --- signals ---------------------------------------------------------------------------------------------------

    def _reply(self, home: Home, item: Any) -> None:
        if len(item) != 3 or type(item[1]) is not int:
            read_shape(item, int, bytes)
        self.core.calls.replied(item[1], self.core.arrived(_bytes(item[2])))

    def _failed(self, home: Home, item: Any) -> None:
        read_shape(item, int, bytes)
        debt = self.core.calls.debts.get(item[1])
        self.core.calls.settle_from(item[1], Failed(read_reason(item[2]), None if debt is None else debt.wait))

    def _pushed(self, home: Home, item: Any) -> None:
        read_shape(item, int)
        self.core.calls.settle_from(item[1], Pushed())

    def _cancel_push(self, home: Home, item: Any) -> None:
        read_shape(item, int)
        self.core.waiters.push_given_up(home, item[1])

    def _monitor(self, home: Home, item: Any) -> None:
        if len(item) != 4:
            raise Malformed("MONITOR has three fields")
        _ints(item, item[1], item[3])
        if type(item[2]) not in (int, str):
            raise Malformed("MONITOR names a slot or a name")
        self.core.signals.monitored_by(home, item[1], item[2], item[3])

    def _demonitor(self, home: Home, item: Any) -> None:
        read_shape(item, int)
        self.core.signals.unmonitored_by(home, item[1])

    def _down_signal(self, home: Home, item: Any) -> None:
        read_shape(item, int, int, int, bytes)
        self.core.signals.down_from(home, item[1], item[2], item[3], read_reason(item[4]))

    def _link(self, home: Home, item: Any) -> None:
        read_shape(item, int, int, int, int)
        self.core.signals.linked_by(home, (item[1], item[2]), (item[3], item[4]))

    def _unlink(self, home: Home, item: Any) -> None:
        read_shape(item, int, int, int, int, int)
        self.core.signals.unlinked_by(home, (item[1], item[2]), (item[3], item[4]), item[5])

    def _unlinked(self, home: Home, item: Any) -> None:
        read_shape(item, int, int, int, int, int)
        self.core.signals.unlink_taken(home, (item[1], item[2]), (item[3], item[4]), item[5])

    def _part(self, home: Home, item: Any) -> None:
        read_shape(item, int, int, int, int, bytes)
        cell = self.core.registry.local(item[3], item[4])
        if cell is not None:
            self.core.signals.parted(cell, Address(home, item[1], item[2]), read_reason(item[5]))

    def _renew(self, home: Home, item: Any) -> None:
        read_shape(item)
        self.core.calls.peer_lost(home, NoConnection())  # answers may be among what was lost: they may have run
        self._back(home)

    def _back(self, home: Home) -> None:
        self.core.signals.peer_back(home)
        self.core.remote_children.peer_back(home)
        self.core.guests.peer_back(home)

    def _watched(self, home: Home, item: Any) -> None:
        read_shape(item, int, int, int)
        self.core.signals.watched_at(home, item[1], item[2], item[3])

    def _exit(self, home: Home, item: Any) -> None:
        read_shape(item, int, int, int, int, bytes)
        cell = self.core.registry.local(item[3], item[4])
        if cell is not None:
            self.core.signals.exit_signal(cell, Address(home, item[1], item[2]), read_reason(item[5]))


def read_shape(item: Any, *types: type) -> None:
    """Raise Malformed for an item with other fields than `types` after its kind."""
    if len(item) != len(types) + 1 or any(type(value) is not kind for value, kind in zip(item[1:], types, strict=True)):
        raise Malformed(f"kind {item[0]} has fields {[type(value).__name__ for value in item[1:]]}")


def _ints(item: Any, *values: object) -> None:
    if any(type(value) is not int for value in values):
        raise Malformed(f"kind {item[0]} has fields {[type(value).__name__ for value in item[1:]]}")


def _bytes(payload: Any) -> Payload:
    if type(payload) is not bytes and type(payload) is not Parts:
        raise Malformed(f"a payload is bytes, got {type(payload).__name__}")
    return payload


def read_reason(payload: bytes) -> Reason:
    """The reason a signal carries; Undecodable for what is none."""
    try:
        reason = decode(payload)
    except DecodeError as error:
        return Undecodable(str(error))
    return reason if isinstance(reason, Reason) else Undecodable(f"{type(reason).__name__} is no reason")
