"""Monitors, links and exit signals (OTP `erlang:monitor/2`, `link/1`, `exit/2`), on a core and across cores.

A monitor tells once: Down with the reason, with NoProcess for the dead, with NoConnection or CoreDown when the other
core is lost. A death reaches linked isolates as a flag served at their next turn, so that no chain of them recurses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from regrove.node.core import remote
from regrove.node.core.address import Address, Home
from regrove.node.core.compiling import Unjudged
from regrove.node.core.errors import BoundReached, Misuse
from regrove.node.core.handles import Ticket
from regrove.node.core.isolate import ENDED, KILL, Cell
from regrove.node.core.mailbox import deliver_system, settle, wake
from regrove.node.core.outcomes import Down, Exit
from regrove.node.core.sent import STALE
from regrove.supervisor.reasons import Kill, Killed, NoConnection, NoProcess, Normal, Reason

if TYPE_CHECKING:
    from regrove.node.core.core import Core


class Watch:
    """One monitor: who watches (a cell here, or `peer`), by which reference, and whom (an address, or a name there)."""

    __slots__ = ("peer", "reference", "target", "watched", "watcher")

    def __init__(self, reference: int, watcher: Cell | None, peer: Home | None) -> None:
        self.reference = reference
        self.watcher = watcher
        self.peer = peer
        self.watched: Cell | None = None
        self.target: tuple[Home, int | str, int] | None = None


class Signals:
    """Monitors and links of one core."""

    __slots__ = ("_foreign", "_linked", "_outward", "_parting", "core")

    def __init__(self, core: Core) -> None:
        self.core = core
        self._outward: dict[Home, dict[int, Watch]] = {}  # monitors of ours on other cores
        self._foreign: dict[Home, dict[int, Watch]] = {}  # monitors of other cores on ours
        self._linked: dict[Home, dict[tuple[Address, Address], None]] = {}  # (ours, theirs)
        self._parting: dict[Home, dict[tuple[Address, Address], int]] = {}  # untied here, and not yet there as we know

    # --- monitors --------------------------------------------------------------------------------------------------

    def monitor(self, cell: Cell, to: Unjudged) -> Ticket:
        """Watch `to`; the answer is a Down. Raises BoundReached past `Bounds.monitors`."""
        core = self.core
        if cell.monitors is None:
            cell.monitors = {}
        if len(cell.monitors) >= core.bounds.monitors:
            core.counters.bounds_reached += 1
            raise BoundReached("monitors", core.bounds.monitors, "demonitor what is no longer of interest")
        ticket = Ticket(core.next_token())
        where = core.registry.resolve(to)
        watch = Watch(ticket.token, cell, None)
        if isinstance(where, Cell):
            self._watch_here(where, watch, ticket.token)
            cell.monitors[ticket.token] = watch
        elif isinstance(where, tuple) and core.links.signal(
            where[0], (remote.MONITOR, ticket.token, where[1], where[2])
        ):
            watch.target = where
            cell.monitors[ticket.token] = watch
            self._outward.setdefault(where[0], {})[ticket.token] = watch
        else:
            address = to if isinstance(to, Address) else None
            reason: Reason = NoProcess() if where is STALE else NoConnection()
            deliver_system(core, cell, Down(ticket, address, reason), ticket.token)
        return ticket

    def _watch_here(self, target: Cell, watch: Watch, key: Any) -> None:
        watch.watched = target
        if target.watchers is None:
            target.watchers = {}
        target.watchers[key] = watch

    def demonitor(self, cell: Cell, ticket: Ticket) -> bool:
        """Stop watching; answers whether the Down was still to come."""
        watch = None if cell.monitors is None else cell.monitors.pop(ticket.token, None)
        if watch is None:
            return False
        self._drop(watch)
        return True

    def _drop(self, watch: Watch) -> None:
        if watch.watched is not None and watch.watched.watchers is not None:
            watch.watched.watchers.pop(watch.reference, None)
        elif watch.target is not None:
            home = watch.target[0]
            if _take(self._outward, home, watch.reference) is not None:
                self.core.links.signal(home, (remote.DEMONITOR, watch.reference))

    def monitored_by(self, peer: Home, reference: int, slot: int | str, generation: int) -> None:
        """Another core asks to watch one of ours; a renewed question replaces the old one."""
        core = self.core
        target = core.registry.local(slot, generation)
        if target is None:
            core.links.signal(peer, (remote.DOWN, reference, 0, 0, self.core.links.packed(NoProcess())))
            return
        watch = Watch(reference, None, peer)
        self._watch_here(target, watch, (peer, reference))
        self._foreign.setdefault(peer, {})[reference] = watch
        if isinstance(slot, str):
            at = target.address
            core.links.signal(peer, (remote.WATCHED, reference, at.slot, at.generation))

    def watched_at(self, peer: Home, reference: int, slot: int, generation: int) -> None:
        """Another core tells who holds the name that we watch there: its next holder is another isolate."""
        watch = self._outward.get(peer, {}).get(reference)
        if watch is not None:
            watch.target = (peer, slot, generation)

    def unmonitored_by(self, peer: Home, reference: int) -> None:
        """Another core stopped watching."""
        watch = _take(self._foreign, peer, reference)
        if watch is not None and watch.watched is not None and watch.watched.watchers is not None:
            watch.watched.watchers.pop((peer, reference), None)

    def down_from(self, peer: Home, reference: int, slot: int, generation: int, reason: Reason) -> None:
        """Another core tells that what we watch there has ended."""
        watch = _take(self._outward, peer, reference)
        if watch is not None:
            self._tell(watch, Address(peer, slot, generation) if generation else _asked(watch), reason)

    def watcher(self, peer: Home, reference: int) -> Cell | None:
        """The isolate of ours that watches something there by this reference."""
        watch = self._outward.get(peer, {}).get(reference)
        return None if watch is None else watch.watcher

    def _tell(self, watch: Watch, address: Address | None, reason: Reason) -> None:
        cell = watch.watcher
        if cell is None or cell.state == ENDED or cell.monitors is None:
            return
        if cell.monitors.pop(watch.reference, None) is not None:
            deliver_system(self.core, cell, Down(Ticket(watch.reference), address, reason), watch.reference)

    # --- links and exit signals ------------------------------------------------------------------------------------

    def link(self, cell: Cell, to: Unjudged) -> None:
        """Tie two isolates together: the abnormal end of one ends the other, or is an Exit if it traps."""
        core = self.core
        where = core.registry.resolve(to)
        if isinstance(where, Cell):
            if where is cell:
                return
            _links(cell)[where.address] = None
            _links(where)[cell.address] = None
            return
        if isinstance(where, tuple) and isinstance(where[1], int):
            other = Address(where[0], where[1], where[2])
            if core.links.signal(where[0], (remote.LINK, cell.address.slot, cell.address.generation, *where[1:])):
                _links(cell)[other] = None
                self._linked.setdefault(where[0], {})[cell.address, other] = None
                _take(self._parting, where[0], (cell.address, other))  # wanted again: what it links is welcome
                return
        if not isinstance(to, Address):
            raise Misuse(f"link takes the address of an isolate, got {to!r}: ctx.whereis(name) gives one")
        self.exit_signal(cell, to, NoProcess() if where is STALE else NoConnection())

    def unlink(self, cell: Cell, to: Address) -> None:
        """Untie them; no Exit of the other comes after this."""
        if cell.links is None or cell.links.pop(to, 0) == 0:
            return
        other = self.core.registry.local(to.slot, to.generation) if to.home == self.core.home else None
        if other is not None and other.links is not None:
            other.links.pop(cell.address, None)
        elif to.home != self.core.home:
            _take(self._linked, to.home, (cell.address, to))
            self._parting.setdefault(to.home, {})[cell.address, to] = number = self.core.next_token()
            self._unlink_there(cell.address, to, number)

    def _unlink_there(self, ours: Address, theirs: Address, number: int) -> None:
        ends = (ours.slot, ours.generation, theirs.slot, theirs.generation)
        self.core.links.signal(theirs.home, (remote.UNLINK, *ends, number))

    def linked_by(self, peer: Home, theirs: tuple[int, int], ours: tuple[int, int]) -> None:
        """Another core asks to link one of its isolates with one of ours."""
        other = Address(peer, *theirs)
        if (Address(self.core.home, *ours), other) in self._parting.get(peer, ()):
            return  # it has not heard of our UNLINK yet, which ends this tie there too (OTP UNLINK_ID)
        cell = self.core.registry.local(*ours)
        if cell is None:
            self.core.links.signal(peer, (remote.PART, *ours, *theirs, self.core.links.packed(NoProcess())))
            return
        _links(cell)[other] = None
        self._linked.setdefault(peer, {})[cell.address, other] = None

    def unlinked_by(self, peer: Home, theirs: tuple[int, int], ours: tuple[int, int], number: int) -> None:
        """Another core has untied one of its isolates from one of ours, and waits to hear that we know."""
        cell = self.core.registry.local(*ours)
        other = Address(peer, *theirs)
        if cell is not None and cell.links is not None and cell.links.pop(other, 0) is None:
            _take(self._linked, peer, (cell.address, other))
        self.core.links.signal(peer, (remote.UNLINKED, *ours, *theirs, number))

    def unlink_taken(self, peer: Home, theirs: tuple[int, int], ours: tuple[int, int], number: int) -> None:
        """Another core knows of an unlink: what it links from now on is linked."""
        key = (Address(self.core.home, *ours), Address(peer, *theirs))
        if self._parting.get(peer, {}).get(key) == number:
            _take(self._parting, peer, key)

    def exit(self, cell: Cell, to: Unjudged, reason: Unjudged) -> None:
        """Send an exit signal to any isolate; `Kill()` cannot be trapped."""
        if not isinstance(reason, Reason):
            raise Misuse(f"exit takes a reason such as Shutdown() or Kill(), got {reason!r}")
        self.exit_from(cell.address, to, self.core.copy(reason))

    def exit_from(self, source: Address, to: Unjudged, reason: Reason) -> None:
        """Carry an exit signal to where its target is."""
        where = self.core.registry.resolve(to)
        if isinstance(where, Cell):
            self.exit_signal(where, source, reason)
        elif isinstance(where, tuple) and isinstance(where[1], int):
            ours = source if source.home == self.core.home else Address(self.core.home, 0, 0)
            self.core.links.signal(
                where[0], (remote.EXIT, ours.slot, ours.generation, where[1], where[2], self.core.links.packed(reason))
            )

    def exit_signal(self, cell: Cell, source: Address, reason: Reason) -> None:
        """An exit signal arrived at an isolate of ours."""
        if cell.state == ENDED:
            return
        if isinstance(reason, Kill):
            self.kill(cell, Killed())
        elif cell.supervising is not None:
            return  # a supervisor ignores strangers
        elif cell.isolate is not None and type(cell.isolate).trap_exits:
            deliver_system(self.core, cell, Exit(source, reason), 0)
        elif not isinstance(reason, Normal):
            self.kill(cell, reason)

    def parted(self, cell: Cell, other: Address, reason: Reason) -> None:
        """The other end of a link ended. Nothing when they are tied no more: no Exit comes after `unlink`."""
        if cell.links is None or cell.links.pop(other, 0) == 0:
            return
        _take(self._linked, other.home, (cell.address, other))
        self.exit_signal(cell, other, reason)

    def kill(self, cell: Cell, reason: Reason) -> None:
        """Have a cell end with `reason` at its next turn, without a callback."""
        if cell.supervising is not None:
            self.core.supervising.kill(cell.supervising)
            return
        if not cell.flags & KILL:
            cell.flags |= KILL
            cell.end_reason = reason
        if cell is self.core.current:
            # Its own handler did this: the loop over its mail finds nothing more, and needs no check a message.
            settle(self.core)
            mail = cell.mailbox
            if mail is not None:  # an empty one too: what it sends to itself after this is not for that loop
                cell.mailbox = mail.copy()
                mail.clear()
        wake(self.core, cell)

    # --- ends ------------------------------------------------------------------------------------------------------

    def ended(self, cell: Cell, reason: Reason) -> None:
        """An isolate ended: Downs to who watches it, exits to who is linked, its own monitors dropped."""
        for watch in list((cell.monitors or {}).values()):
            self._drop(watch)
        cell.monitors = None
        address = cell.address
        for watch in (cell.watchers or {}).values():
            if watch.peer is None:
                self._tell(watch, address, reason)
            else:
                _take(self._foreign, watch.peer, watch.reference)
                down = (remote.DOWN, watch.reference, address.slot, address.generation, self.core.links.packed(reason))
                self.core.links.signal(watch.peer, down)
        cell.watchers = None
        for other in cell.links or ():
            self._part(cell, other, reason)
        cell.links = None

    def _part(self, cell: Cell, other: Address, reason: Reason) -> None:
        ours = cell.address
        if other.home == self.core.home:
            linked = self.core.registry.local(other.slot, other.generation)
            if linked is not None:
                self.parted(linked, ours, reason)
            return
        _take(self._linked, other.home, (ours, other))
        signal = (remote.PART, ours.slot, ours.generation, other.slot, other.generation, self.core.links.packed(reason))
        self.core.links.signal(other.home, signal)

    def peer_gone(self, peer: Home, reason: Reason) -> None:
        """That life of a core is over: what it was not told any more it need not hear."""
        self.peer_silent(peer, reason)
        self._parting.pop(peer, None)

    def peer_silent(self, peer: Home, reason: Reason) -> None:
        """A core is lost: every monitor on it says Down once, every link to it is an exit.

        It may come back with its side of what was untied here: `peer_back` says that again.
        """
        for watch in list(self._outward.pop(peer, {}).values()):
            self._tell(watch, _asked(watch), reason)
        for watch in self._foreign.pop(peer, {}).values():
            if watch.watched is not None and watch.watched.watchers is not None:
                watch.watched.watchers.pop((peer, watch.reference), None)
        for ours, theirs in self._linked.pop(peer, {}):
            cell = self.core.registry.local(ours.slot, ours.generation)
            if cell is not None:
                self.parted(cell, theirs, reason)

    def peer_back(self, peer: Home) -> None:
        """A new session to the same life of a core: what we watch there is asked again, so that no Down is lost."""
        for reference, watch in self._outward.get(peer, {}).items():
            if watch.target is not None:
                self.core.links.signal(peer, (remote.MONITOR, reference, watch.target[1], watch.target[2]))
        for (ours, theirs), number in self._parting.get(peer, {}).items():
            self._unlink_there(ours, theirs, number)
        for ours, theirs in self._linked.get(peer, {}):
            signal = (remote.LINK, ours.slot, ours.generation, theirs.slot, theirs.generation)
            self.core.links.signal(peer, signal)


def _asked(watch: Watch) -> Address | None:
    """The address that is watched on another core, when it was not a name."""
    target = watch.target
    return Address(target[0], target[1], target[2]) if target and isinstance(target[1], int) else None


def _take(tables: dict[Home, dict[Any, Any]], home: Home, key: object) -> Any:
    """Remove and give an entry about another core; a core without entries has no table."""
    table = tables.get(home)
    if table is None:
        return None
    entry = table.pop(key, None)
    if not table:
        del tables[home]
    return entry


def _links(cell: Cell) -> dict[Address, None]:
    if cell.links is None:
        cell.links = {}
    return cell.links
