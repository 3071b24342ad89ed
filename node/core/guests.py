"""The host's side of children on other cores: guests, the isolates here whose supervisor lives on another core.

They are no part of this core's tree. Each runs under its owner's lease: it begins when a first one is given, and is
killed when the last one is over, or when the owner's core is gone; no orphan ever. `hosting.py` has the signals.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from regrove.node.core import hosting
from regrove.node.core.address import Home
from regrove.node.core.errors import DecodeError
from regrove.node.core.hosting import FAILED, IGNORED, MILLI, NANO, OVER, TELL_AGAIN, UNPLACED
from regrove.node.core.isolate import STARTING, STOP, Cell
from regrove.node.core.mailbox import wake
from regrove.node.core.messages import decode
from regrove.node.core.ports import Stopped
from regrove.node.core.reasons import Busy, Undecodable
from regrove.node.core.timers import HOSTING, TimerRecord
from regrove.supervisor.reasons import Ignored, Killed, NoConnection, NoProcess, Normal, Reason, Shutdown
from regrove.supervisor.spec import Child

if TYPE_CHECKING:
    from regrove.node.core.core import Core

ASKED: Final = 0  # no lease yet: nothing of it runs
RUNS: Final = 1
GONE: Final = 2  # kept until its owner has heard of the end
STATES: Final = ("waits for its lease", "runs", "ended")
PATH_MAX: Final = 16_384
LEASE_MAX: Final = 600 * NANO
FIRST_TELL: Final = NANO  # until the length of the lease is known


class Guest:
    """One life of one guest."""

    __slots__ = (
        "above",
        "cell",
        "end",
        "generation",
        "life",
        "name",
        "owner",
        "path",
        "slot",
        "spec",
        "state",
        "told",
    )

    def __init__(self, owner: Owner, life: int, name: str, spec: Child, above: frozenset[object]) -> None:
        self.owner = owner
        self.life = life
        self.name = name  # its path under its owner
        self.path = f"guests/{owner.home.node}/{owner.home.core}/{name}"
        self.spec = spec
        self.above = above
        self.state = ASKED
        self.cell: Cell | None = None
        self.slot = self.generation = 0
        self.told = False
        self.end: tuple[int, Reason] = (FAILED, NoProcess())


class Owner:
    """One life of a core whose supervisors have children here; `deadline` is the end of its lease."""

    __slots__ = ("again", "deadline", "guests", "home", "lapse", "lease")

    def __init__(self, home: Home) -> None:
        self.home = home
        self.guests: dict[int, Guest] = {}
        self.deadline = 0
        self.lease = FIRST_TELL * TELL_AGAIN
        self.lapse: TimerRecord | None = None
        self.again: TimerRecord | None = None


class Guests:
    """All guests of this core, at most `Bounds.guests`."""

    __slots__ = ("_by_cell", "_by_path", "_closed", "_leaving", "_owners", "core", "count")

    def __init__(self, core: Core) -> None:
        self.core = core
        self.count = 0
        self._owners: dict[Home, Owner] = {}
        self._by_cell: dict[Cell, Guest] = {}
        self._by_path: dict[str, dict[Guest, None]] = {}  # those that run, and those that wait for older ones to end
        self._leaving = False
        self._closed: Stopped | None = None  # to be reported when the last one has ended

    def __iter__(self) -> Iterator[Guest]:
        return iter([guest for owner in self._owners.values() for guest in owner.guests.values()])

    def guest(self, cell: Cell) -> Guest | None:
        """What this core knows of an isolate that has no supervisor here."""
        return self._by_cell.get(cell)

    # --- what owners tell ------------------------------------------------------------------------------------------

    def host(self, home: Home, life: int, payload: bytes) -> None:
        """A supervisor of `home` wants a child here."""
        owner = self._owners.get(home)
        known = None if owner is None else owner.guests.get(life)
        if known is not None:
            self._tell(known)
            return
        refused = self._refusal()
        if refused is not None:
            self._signal(home, (hosting.ENDED, life, refused[0], 0, 0, self.core.links.packed(refused[1])))
            return
        try:
            name, spec, above = _read(payload)
        except (DecodeError, ValueError, TypeError) as error:
            reason = Undecodable(f"core {self.core.home} cannot start it: {error}"[:1_000])
            self._signal(home, (hosting.ENDED, life, FAILED, 0, 0, self.core.links.packed(reason)))
            return
        if owner is None:
            owner = self._owners[home] = Owner(home)
            self._again_later(owner)
            self._give_up_later(owner)
        guest = owner.guests[life] = Guest(owner, life, name, spec, above)
        self.count += 1
        self._tell(guest)

    def _refusal(self) -> tuple[int, Reason] | None:
        if self._leaving:
            return UNPLACED, Shutdown()
        if self.count >= self.core.bounds.guests:
            self.core.counters.bounds_reached += 1
            return FAILED, Busy()
        return None

    def lease(self, home: Home, life: int, asked_at: int, length: int) -> None:
        """The owner lives: its guests may run until `length` ns after we asked."""
        owner = self._owners.get(home)
        if owner is None:
            return
        length = max(MILLI, min(length, LEASE_MAX))  # Bounds.lease_ms is at least 1
        if owner.lease != length:
            owner.lease = length
            self._again_later(owner)
        deadline = min(asked_at, self.core.now) + owner.lease
        if deadline > owner.deadline:
            owner.deadline = deadline
            if owner.lapse is not None:
                self.core.timers.cancel(owner.lapse)
            record = TimerRecord(HOSTING, 0, 0, None, partial(self._lapsed, owner))
            owner.lapse = self.core.timers.at(deadline, record)
        guest = owner.guests.get(life)
        if guest is None or guest.state != ASKED:
            return
        if deadline > self.core.now:
            self._admit(guest)
        else:
            self._tell(guest)  # it was long under way: ask again

    def stop(self, home: Home, life: int, reason: Reason) -> None:
        """Its supervisor asks it to stop."""
        guest = self._known(home, life)
        if guest is None or guest.state == GONE:
            return
        if guest.cell is None:
            self._gone(guest, FAILED, reason)
        elif guest.cell.stop_reason is None:
            self._ask_stop(guest.cell, reason)

    def kill(self, home: Home, life: int) -> None:
        """Its supervisor kills it."""
        guest = self._known(home, life)
        if guest is None:
            return
        if guest.cell is not None and guest.spec.shutdown == 0 and guest.cell.flags & STOP:
            self._limit(guest.cell, 0.0)  # a limit of 0 leaves `stop` its one turn
        else:
            self._kill(guest, Killed())

    def forget(self, home: Home, life: int) -> None:
        """Its supervisor has heard of its end."""
        owner = self._owners.get(home)
        guest = None if owner is None else owner.guests.get(life)
        if guest is not None and guest.state == GONE:
            self._remove(guest)

    def _known(self, home: Home, life: int) -> Guest | None:
        owner = self._owners.get(home)
        guest = None if owner is None else owner.guests.get(life)
        if guest is None:
            self._signal(home, (hosting.ENDED, life, FAILED, 0, 0, self.core.links.packed(NoProcess())))
        elif guest.state == GONE:
            self._tell(guest)
        return guest

    # --- lives -----------------------------------------------------------------------------------------------------

    def _admit(self, guest: Guest) -> None:
        """Run it, once lives of the same child that an older life of its owner's core left here have ended."""
        line = self._by_path.setdefault(guest.path, {})
        line[guest] = None
        older = [other for other in line if other.state == RUNS and other.owner is not guest.owner]
        for other in older:
            self._kill(other, NoConnection())
        if not older:
            self._run(guest)

    def _run(self, guest: Guest) -> None:
        made = self.core.supervising.births.launch_guest(guest.spec, guest.path)
        if isinstance(made, Reason):
            self._gone(guest, FAILED, made)
            return
        guest.state = RUNS
        guest.cell = made
        guest.slot, guest.generation = made.address.slot, made.address.generation
        self._by_cell[made] = guest

    def started(self, cell: Cell) -> None:
        """A guest's start succeeded."""
        guest = self._by_cell.get(cell)
        if guest is not None:
            self._tell(guest)

    def ended(self, cell: Cell, reason: Reason, started: bool) -> None:
        """A guest has ended."""
        guest = self._by_cell.pop(cell, None)
        if guest is None:
            return
        if started:
            self._gone(guest, OVER, Normal() if isinstance(reason, Ignored) else reason)
        else:
            self._gone(guest, IGNORED if isinstance(reason, Ignored) else FAILED, reason)

    def _gone(self, guest: Guest, how: int, reason: Reason) -> None:
        guest.state = GONE
        guest.cell = None
        guest.end = (how, reason)
        self._leave_line(guest)
        if self._owners.get(guest.owner.home) is guest.owner:
            self._tell(guest)
        else:
            self._remove(guest)
        self._report_closed()

    def _leave_line(self, guest: Guest) -> None:
        line = self._by_path.get(guest.path, {})
        line.pop(guest, None)
        if not line:
            self._by_path.pop(guest.path, None)
        for other in list(line):
            if other.state != ASKED:
                continue
            if other.owner.deadline > self.core.now:
                self._admit(other)
            else:
                self._tell(other)  # its lease went by while it waited: it asks for another

    def _remove(self, guest: Guest) -> None:
        owner = guest.owner
        if owner.guests.pop(guest.life, None) is not None:
            self.count -= 1
        if not owner.guests and self._owners.get(owner.home) is owner:
            del self._owners[owner.home]
            self._cancel(owner)

    def _cancel(self, owner: Owner) -> None:
        for record in (owner.lapse, owner.again):
            if record is not None:
                self.core.timers.cancel(record)

    def _ask_stop(self, cell: Cell, reason: Reason) -> None:
        cell.stop_reason = reason
        cell.flags |= STOP
        wake(self.core, cell)

    def _kill(self, guest: Guest, reason: Reason) -> None:
        if guest.state == RUNS and guest.cell is not None:
            self.core.signals.kill(guest.cell, reason)
        elif guest.state == ASKED:
            self._gone(guest, FAILED, reason)

    # --- the lease -------------------------------------------------------------------------------------------------

    def _lapsed(self, owner: Owner, _: TimerRecord) -> None:
        """The owner has not been heard for the whole of its lease: it may start its children elsewhere from now on."""
        for guest in list(owner.guests.values()):
            if guest.state == RUNS:
                self._kill(guest, NoConnection())
        self._give_up_later(owner)

    def _give_up_later(self, owner: Owner) -> None:
        record = TimerRecord(HOSTING, 2 * owner.lease, 0, None, partial(self._give_up, owner))
        owner.lapse = self.core.timers.ask(record)

    def _give_up(self, owner: Owner, _: TimerRecord) -> None:
        """Nobody asks for these lives any more: an owner that still stands has taken them for lost long since."""
        for guest in list(owner.guests.values()):
            if guest.state != RUNS:
                self._leave_line(guest)
                self._remove(guest)

    def _again_later(self, owner: Owner) -> None:
        record = TimerRecord(HOSTING, owner.lease // TELL_AGAIN, 0, None, partial(self._again, owner))
        if owner.again is not None:
            self.core.timers.cancel(owner.again)
        owner.again = self.core.timers.ask(record)

    def _again(self, owner: Owner, _: TimerRecord) -> None:
        self._again_later(owner)
        if any(guest.state == RUNS for guest in owner.guests.values()):
            self._signal(owner.home, (hosting.ASK, 0, self.core.now))
        for guest in list(owner.guests.values()):
            if not guest.told:
                self._tell(guest)

    def _tell(self, guest: Guest) -> None:
        """Tell the owner how it stands with a life: once a session, which loses nothing while it lasts."""
        home, life, cell = guest.owner.home, guest.life, guest.cell
        guest.told = False
        if guest.state == ASKED:
            guest.told = self._signal(home, (hosting.ASK, life, self.core.now))
        elif guest.state == GONE:
            how, reason = guest.end
            guest.told = self._signal(
                home, (hosting.ENDED, life, how, guest.slot, guest.generation, self.core.links.packed(reason))
            )
        elif cell is not None and cell.state != STARTING:
            at = cell.address
            guest.told = self._signal(home, (hosting.HOSTED, life, at.slot, at.generation))

    def _signal(self, home: Home, item: tuple[Any, ...]) -> bool:
        return self.core.links.signal(home, item)

    # --- cores come and go -----------------------------------------------------------------------------------------

    def peer_back(self, home: Home) -> None:
        """A new session: what was under way to the owner may be lost."""
        owner = self._owners.get(home)
        if owner is None:
            return
        self._signal(home, (hosting.ASK, 0, self.core.now))
        for guest in list(owner.guests.values()):
            self._tell(guest)

    def peer_gone(self, home: Home, reason: Reason) -> None:
        """The owner is gone: its guests are killed, and nobody is left to be told."""
        owner = self._owners.pop(home, None)
        if owner is None:
            return
        self._cancel(owner)
        for guest in list(owner.guests.values()):
            if guest.state == GONE:
                self._remove(guest)
            else:
                self._kill(guest, reason)

    def leave(self, budget: float | None) -> None:
        """This core is about to stop: it takes no more guests, and kills those left when the budget is over."""
        if budget is not None:
            record = TimerRecord(HOSTING, int(budget * NANO), 0, None, self._kill_all)
            self.core.timers.ask(record)
        self._leaving = True

    def close(self, stopped: Stopped) -> None:
        """The tree of this core has ended: guests go last, each within its own limit, then `stopped` is reported."""
        self._closed = stopped
        if stopped.asked:
            for cell, guest in list(self._by_cell.items()):
                self._ask_to_go(cell, guest.spec)
        self._report_closed()

    def _ask_to_go(self, cell: Cell, spec: Child) -> None:
        if spec.shutdown == "brutal_kill":
            self.core.signals.kill(cell, Killed())
            return
        if cell.stop_reason is None:
            self._ask_stop(cell, Shutdown())
        if spec.shutdown != "infinity":
            self._limit(cell, spec.shutdown)

    def _limit(self, cell: Cell, seconds: float) -> None:
        self.core.timers.ask(TimerRecord(HOSTING, int(seconds * NANO), 0, cell, self._limit_over))

    def _limit_over(self, record: TimerRecord) -> None:
        cell = record.cell
        if cell is None or cell not in self._by_cell:
            return
        if record.delay == 0 and cell.flags & STOP:
            self._limit(cell, 0.0)  # a full pass has not come to it yet
        else:
            self.core.signals.kill(cell, Killed())

    def _kill_all(self, _: TimerRecord) -> None:
        for guest in self:
            self._kill(guest, Killed())

    def _report_closed(self) -> None:
        if self._closed is not None and (not self._by_cell or not self._closed.asked):
            self.core.control_out.append(self._closed)
            self._closed = None

    def waited_for(self, cell: Cell, home: Home, target: int | str) -> bool:
        """Tell whether a guest calls, inside its start, a supervisor that waits for just this start."""
        guest = self._by_cell.get(cell)
        return guest is not None and guest.owner.home == home and target in guest.above


def _read(payload: bytes) -> tuple[str, Child, frozenset[object]]:
    value = decode(payload)
    if not (isinstance(value, tuple) and len(value) == 3):
        raise ValueError("HOST carries a path, a spec and who waits for it")
    name, spec, above = value
    if not (
        isinstance(name, str) and 0 < len(name) <= PATH_MAX and isinstance(spec, Child) and isinstance(above, list)
    ):
        raise ValueError("HOST carries a path, the spec of a child and who waits for it")
    return name, spec, frozenset(item for item in above if type(item) in (int, str))
