"""The control plane between managers: links to the managers of other nodes, and to clients that ask where to dial.

Each manager dials every other; on a link that comes up it tells its whole state. Join addresses are dialled for ever;
that nobody answers there, that one is refused, or that it is oneself, is said once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Literal

from regrove.node.cluster.views import NodeView, Shared
from regrove.node.cluster.wire import TELL_ALL, PlaneError, decode_shared, encode_call_info, encode_shared
from regrove.node.process.manager_events import Event, Note, PeerLost, PeerTold
from regrove.transport.base import Peer, Transport
from regrove.transport.events import ABSENT, DialRefused, Items, LinkEvent, LinkLost, LinkUp, PeerSilent, Room, Verdict
from regrove.transport.links import LinkTable

REDIAL_NS: Final = 1_000_000_000  # between two tries of a join address that does not answer


class Peering:
    """Feeds `on_event` with what other managers say; `greeting` gives the whole state for a new link."""

    def __init__(
        self,
        transport: Transport,
        table: LinkTable,
        joins: tuple[str, ...],
        key: str,
        on_event: Callable[[Event], None],
        on_note: Callable[[Note], None],
        greeting: Callable[[], Iterator[Shared]],
        call_info: Callable[[], dict[str, Any]],
    ) -> None:
        self._transport = transport
        self._table = table
        self._key = key
        self._on_event = on_event
        self._on_note = on_note
        self._greeting = greeting
        self._call_info = call_info
        self._managers: dict[str, Peer] = {}  # by node: the life last heard of
        self._clients: dict[Peer, None] = {}
        self._behind: dict[Peer, None] = {}  # links that were full: told the whole state again once there is room
        self._joins: dict[str, Peer | None] = dict.fromkeys(joins)  # address -> who answered there
        self._stand_ins: dict[Peer, str] = {}
        self._reached: dict[str, Peer] = {}  # address -> who says to be reached there
        self._answered: dict[str, Peer] = {}  # address that was heard of -> who answered, and has not said who it is
        self._said: dict[str, None] = {}
        self._redial_at: int | None = time.monotonic_ns() if joins else None
        self._told_clients: dict[str, Any] = {}
        self._changed = True

    # -- the loop's side --------------------------------------------------------------------------------------------

    def receive(self, now: int) -> bool:
        """Take what has arrived; True when there is more."""
        more = self._transport.poll()
        for event in self._table.receive(now):
            self._event(event)
        if self._redial_at is not None and now >= self._redial_at:
            self._redial(now)
        return more

    def flush(self, now: int) -> None:
        """Send what was said since the last pass, and changes of call-info to clients."""
        if self._changed and self._clients:
            self._changed = False
            info = self._call_info()
            if info != self._told_clients:
                self._told_clients = info
                for peer in self._clients:
                    self._table.signal(peer, encode_call_info(info))
        self._table.flush(now)

    def changed(self) -> None:
        """Something was decided: call-info may be another one now."""
        self._changed = True

    def deadline(self) -> int | None:
        """When `receive` is due without input."""
        times = (self._table.deadline(), self._redial_at)
        return min((at for at in times if at is not None), default=None)

    def pending(self) -> bool:
        """Ask last before a sleep."""
        return self._transport.pending()

    def close(self, now: int) -> None:
        """Say goodbye to every manager and client."""
        self._table.goodbye("the node ends", now)
        self._transport.destroy(linger=0.2)

    # -- what the decisions ask -------------------------------------------------------------------------------------

    def share(self, node: str | None, item: Shared) -> None:
        """Tell the manager of `node`, or all."""
        encoded = encode_shared(item)
        for name in sorted(self._managers) if node is None else [node]:
            peer = self._managers.get(name)
            if peer is not None:
                self._post(peer, encoded)

    def dial(self, address: str) -> None:
        """Open a link to a manager that was heard of; once per address, until it answers, or has dialled itself."""
        if address not in self._joins and address not in self._answered and address not in self._reached:
            self._begin(address)

    # -- events -----------------------------------------------------------------------------------------------------

    def _event(self, event: LinkEvent) -> None:
        match event:
            case Items(peer=peer, session=session, first=first, items=items):
                self._items(peer, session, first, items)
            case LinkUp():
                self._link_up(event)
            case LinkLost(peer=peer, reason=reason):
                self._link_lost(peer, reason)
            case Room(peer=peer):
                if self._behind.pop(peer, 0) is None:
                    self._greet(peer)
            case PeerSilent(peer=peer):
                self._silent(peer)
            case DialRefused(who=who, reason=reason):
                self._once(f"refused {who}: {reason}", Note("warning", "link refused", {"who": who, "reason": reason}))
            case _:
                pass  # Resolved, Refused: a control item is repeated whole, so a lost one is mended by the next

    def _items(self, peer: Peer, session: int, first: int, items: Iterable[tuple[Any, ...]]) -> None:
        for sequence, item in enumerate(items, first):
            if item[0] == TELL_ALL and peer not in self._clients:
                self._greet(peer)
                continue
            try:
                shared = decode_shared(item)
                self._check_speaker(peer, shared)
            except PlaneError as problem:
                self._table.refuse(peer, session, sequence, str(problem).encode())
                fields: dict[str, object] = {"peer": peer[0], "problem": str(problem)}
                self._once(f"{peer[0]}: {problem}", Note("warning", "control item refused", fields))
                continue
            known = self._managers.get(peer[0])
            if known is None or known[1] <= peer[1]:
                self._managers[peer[0]] = peer
            if isinstance(shared, NodeView):
                self._is_there(shared.address, peer)
            self._on_event(PeerTold(shared))

    def _check_speaker(self, peer: Peer, shared: Shared) -> None:
        incarnation = getattr(shared, "incarnation", None) or getattr(shared, "node_incarnation", None)
        if (shared.node, incarnation) != peer[:2] or peer in self._clients:
            raise PlaneError(f"{peer[0]} spoke for {shared.node}, incarnation {incarnation}")

    def _link_up(self, event: LinkUp) -> None:
        peer = event.peer
        if event.role == "client":
            self._clients[peer] = None
            self._table.signal(peer, encode_call_info(self._call_info()))
            return
        if event.dialled is not None:
            address = self._stand_ins.pop(event.dialled, None)
            if address in self._joins:
                self._joins[address] = peer
        if event.role != "manager":
            fields: dict[str, object] = {"peer": peer[0], "role": event.role}
            self._once(f"{peer} is no manager", Note("warning", "joined address is no manager", fields))
            return
        self._managers[peer[0]] = peer
        if event.dialled is not None and address is not None and address not in self._joins:
            self._answered[address] = peer
        self._greet(peer)
        # It may have been down for us while its own link to us never was: it would not tell again by itself.
        self._post(peer, (TELL_ALL, b""))

    def _is_there(self, address: str, peer: Peer) -> None:
        """Who is dialled by an address is linked: one more session by that address would replace the one it has."""
        other = self._reached.setdefault(address, peer)
        if other[0] != peer[0]:
            fields: dict[str, object] = {"address": address, "nodes": sorted((other[0], peer[0]))}
            mend = "give each node its own `advertise` (or `listen`): at most one of these two is found there"
            self._once(f"two at {address}", Note("warning", "two nodes, one address", fields | {"mend": mend}))
        self._answered = {at: who for at, who in self._answered.items() if who != peer}
        if self._joins.get(address, peer) is None:
            self._joins[address] = peer
        for stand_in, dialled in list(self._stand_ins.items()):
            if dialled == address:
                del self._stand_ins[stand_in]
                self._table.forget(stand_in, "it has dialled itself")

    def _link_lost(self, peer: Peer, reason: str) -> None:
        if peer in self._clients:
            del self._clients[peer]
            return
        address = self._stand_ins.get(peer)
        if address is not None:
            self._join_failed(peer, address, reason)
        elif self._managers.get(peer[0]) == peer:
            self._drop(peer)
            self._on_event(PeerLost(peer[0], peer[1], reason))

    def _silent(self, peer: Peer) -> None:
        """Nothing came back: what was joined by address is dialled by address again, whoever lives there now."""
        address = self._stand_ins.pop(peer, None)
        if address is not None:
            self._table.forget(peer, "silent")
        self._drop(peer)

    def _drop(self, peer: Peer) -> None:
        self._behind.pop(peer, None)
        self._answered = {address: who for address, who in self._answered.items() if who != peer}
        self._reached = {address: who for address, who in self._reached.items() if who[0] != peer[0]}
        for address, who in self._joins.items():
            if who == peer:
                self._joins[address] = None
                self._redial_at = self._redial_at or time.monotonic_ns() + REDIAL_NS

    # -- dialling ---------------------------------------------------------------------------------------------------

    def _redial(self, now: int) -> None:
        waiting = [address for address, who in self._joins.items() if who is None]
        for address in waiting:
            self._begin(address)
        self._redial_at = now + REDIAL_NS if waiting else None

    def _begin(self, address: str) -> None:
        if address not in self._stand_ins.values():
            self._stand_ins[self._table.dial(f"tcp://{address}", self._key)] = address

    def _join_failed(self, stand_in: Peer, address: str, reason: str) -> None:
        if "myself" in reason:
            # One list of --join addresses serves every node of a cluster: one's own address in it is expected.
            self._stand_ins.pop(stand_in, None)
            self._joins.pop(address, None)
            self._table.forget(stand_in, reason)
            return
        fields: dict[str, object] = {"address": address, "reason": reason}
        level: Literal["info", "warning"] = (
            "info" if reason.endswith(ABSENT) else "warning"
        )  # what was refused does not pass by itself
        self._once(f"join {address}: {level}", Note(level, "join waits", fields))

    def _once(self, key: str, note: Note) -> None:
        if key not in self._said and len(self._said) < 1000:
            self._said[key] = None
            self._on_note(note)

    # -- posting ----------------------------------------------------------------------------------------------------

    def _greet(self, peer: Peer) -> None:
        for item in self._greeting():
            self._post(peer, encode_shared(item))

    def _post(self, peer: Peer, encoded: tuple[int, bytes]) -> None:
        verdict = self._table.post(peer, encoded)
        if verdict == Verdict.LINK_FULL:
            self._behind[peer] = None
        elif verdict == Verdict.TOO_LARGE:
            fields: dict[str, object] = {"peer": peer[0], "bytes": len(encoded[1])}
            self._once(f"too large for {peer}", Note("error", "names too many to tell", fields))
