"""`ctx`: the actions of an isolate on the way to its effect. Valid in the callback at hand only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from regrove.node.core.address import Address, Caller, Name
from regrove.node.core.effects import Await, Call, Offload, Target, Wait
from regrove.node.core.errors import BoundReached, Misuse
from regrove.node.core.handles import Listener, Stream, Ticket, Timer
from regrove.node.core.sending import Sends
from regrove.node.core.sent import Sent
from regrove.node.core.spawning import SpawnRefused, spawn
from regrove.supervisor.reasons import Reason
from regrove.supervisor.spec import Child

if TYPE_CHECKING:
    from regrove.node.core.application import Place
    from regrove.node.core.core import Core
    from regrove.node.core.randomness import Random


class Context(Sends):
    """What a handler may do; each method raises NotInHandler outside the callback it was handed to."""

    __slots__ = ()

    # --- sending ---------------------------------------------------------------------------------------------------

    if TYPE_CHECKING:

        def send(self, to: Target, message: Any, notify: object = None) -> Sent:
            """Send without blocking; what became of it is told at once. Falsy unless OK."""

    def publish(self, group: str, message: Any) -> int:
        """Send to every member of a group; answers how many sends were OK."""
        return self._here().publish(self._cell, group, message)

    def _here(self) -> Core:
        core = self._cell.core
        if core.current is not self._cell:
            self._misplaced()
        return core

    # --- waits without waiting -------------------------------------------------------------------------------------

    def begin(self, wait: Wait) -> Ticket:
        """Begin any wait without waiting; its outcome comes as a message with that `.ticket`. Raises BoundReached."""
        cell = self._cell
        core = cell.core
        if core.current is not cell:
            self._misplaced()
        if not isinstance(wait, Wait):
            raise Misuse(f"begin takes a wait such as Call(...) or Read(...), got {wait!r}")
        if type(wait) is Await:
            raise Misuse("begin(Await(...)): an Await is the waiting itself; return it, its tickets have begun already")
        rare = cell.rare
        if rare is not None and rare.debts is not None and len(rare.debts) >= core.bounds.tickets:
            core.counters.bounds_reached += 1
            raise BoundReached("tickets", core.bounds.tickets, "handle or cancel outstanding tickets first")
        ticket = Ticket(core.next_token())
        if type(wait) is Call:
            core.calls.ask(cell, wait, ticket)
        else:
            core.calls.begin(core.calls.open(cell, wait, ticket))
        return ticket

    def request(self, to: Target, message: Any, timeout: float | None = 5.0) -> Ticket:
        """Ask without waiting: `begin(Call(to, message))`. The answer is `Replied` or `Failed` with that ticket."""
        return self.begin(Call(to, message, timeout=timeout))

    def offload(self, function: Any, *args: Any, timeout: float | None = 60.0) -> Ticket:
        """Run a function on the core's threads without waiting: `begin(Offload(function, *args))`."""
        return self.begin(Offload(function, *args, timeout=timeout))

    @overload
    def cancel(self, ticket: Timer) -> bool: ...
    @overload
    def cancel(self, ticket: Ticket) -> bool: ...
    def cancel(self, ticket: Ticket) -> bool:
        """Cancel a timer, a ticket or a monitor; answers whether it was still to come."""
        core = self._here()
        cell = self._cell
        if not isinstance(ticket, Ticket):
            raise Misuse(f"cancel takes a ticket or a timer, as begin, monitor and send_after give; got {ticket!r}")
        if isinstance(ticket, Timer):
            return core.cancel_timer(cell, ticket)
        if cell.monitors is not None and ticket.token in cell.monitors:
            return core.signals.demonitor(cell, ticket)
        if cell.debts is None or ticket.token not in cell.debts:
            return False
        return core.calls.cancel(ticket.token)

    # --- requests in hand ------------------------------------------------------------------------------------------

    @property
    def caller(self) -> Caller | None:
        """Who waits for the answer to the request in hand; reading it keeps the request open after RECEIVE."""
        core = self._here()
        request = self._cell.request
        return None if request is None else core.requests.keep(self._cell, request)

    def reply(self, caller: Caller, value: Any) -> None:
        """Answer a kept or handed-on caller; a second answer is dropped and counted."""
        core = self._here()
        if type(caller) is not Caller:
            raise Misuse(f"reply takes what ctx.caller gave, got {caller!r}")
        cell = self._cell
        core.answer(cell, caller, value)  # first: when the value does not travel, the answer is still owed
        if cell.kept is not None:
            cell.kept.pop(caller[:2], None)
        request = cell.request
        if request is not None and request.caller[:2] == caller[:2]:
            request.forwarded = True

    # --- time ------------------------------------------------------------------------------------------------------

    def send_after(self, delay: float, message: Any, to: Target | None = None) -> Timer:
        """Have `message` delivered `delay` seconds after this pass, never early. Raises BoundReached."""
        return self._here().set_timer(self._cell, delay, message, to, repeat=False)

    def send_every(self, period: float, message: Any, to: Target | None = None) -> Timer:
        """Have `message` delivered every `period` seconds, until cancelled. Raises BoundReached."""
        return self._here().set_timer(self._cell, period, message, to, repeat=True)

    def now(self) -> int:
        """Monotonic ns; stands still within a pass."""
        return self._here().now

    def wall_time(self) -> int:
        """Ns since the epoch, as the driver read it for this pass."""
        return self._here().wall

    # --- supervision, monitors, links ------------------------------------------------------------------------------

    def spawn(self, child: Child, under: Target | None = None) -> Address | SpawnRefused:
        """Start a child on this core, under this isolate's supervisor or the named one; its `start` is its first turn.

        Streams among its arguments pass to it (temporary children only). SpawnRefused is falsy and has a `reason`.
        """
        return spawn(self._here(), self._cell, child, under)

    def monitor(self, to: Target) -> Ticket:
        """Hear of its end: a Down with this ticket, at once with NoProcess for the dead. Raises BoundReached."""
        return self._here().signals.monitor(self._cell, to)

    def demonitor(self, ticket: Ticket) -> bool:
        """Stop watching; answers whether the Down was still to come."""
        core = self._here()
        if not isinstance(ticket, Ticket):
            raise Misuse(f"demonitor takes the ticket that ctx.monitor gave, got {ticket!r}")
        return core.signals.demonitor(self._cell, ticket)

    def link(self, to: Target) -> None:
        """Tie this isolate and another together (OTP `link`)."""
        self._here().signals.link(self._cell, to)

    def unlink(self, to: Address) -> None:
        """Untie them."""
        core = self._here()
        if not isinstance(to, Address):
            raise Misuse(f"unlink takes the address of an isolate, got {to!r}")
        core.signals.unlink(self._cell, to)

    def exit(self, to: Target, reason: Reason) -> None:
        """Send an exit signal; `Kill()` cannot be trapped."""
        self._here().signals.exit(self._cell, to, reason)

    # --- names and groups ------------------------------------------------------------------------------------------

    def register(self, name: str) -> bool:
        """Take a name on this core; False when another isolate holds it. Raises BoundReached."""
        return self._here().registry.register(self._cell, name)

    def whereis(self, name: Name | str) -> Address | None:
        """The holder of a name on this core; a `Name` itself is what one sends to across cores."""
        return self._here().registry.whereis(Name(name) if isinstance(name, str) else name)

    def join(self, group: str) -> None:
        """Become a member of a group. Raises BoundReached."""
        self._here().registry.join(self._cell, group)

    def leave(self, group: str) -> None:
        """Stop being a member."""
        self._here().registry.leave(self._cell, group)

    def members(self, group: str) -> list[Address]:
        """The members known here: this core's, then the others'."""
        return self._here().registry.members(group)

    def give(self, stream: Stream, to: Target) -> Sent:
        """Pass a stream on to an isolate of this core, which gets `Given(stream)`."""
        core = self._here()
        if not isinstance(stream, Stream | Listener):
            raise Misuse(f"give takes a stream from an outcome such as Accepted or Connected, got {stream!r}")
        return core.io.give(self._cell, stream, to)

    # --- itself ----------------------------------------------------------------------------------------------------

    @property
    def self(self) -> Address:
        """This isolate's address."""
        return self._cell.address

    @property
    def path(self) -> str:
        """This isolate's path in the supervision tree."""
        return self._cell.path

    @property
    def place(self) -> Place:
        """The node, core, number of cores, role and settings."""
        return self._cell.core.place

    @property
    def random(self) -> Random:
        """Random numbers of this life of this path; seeded in simulation."""
        return self._here().random_of(self._cell)

    @property
    def log(self) -> Any:
        """A logger with the methods of structlog's, bound to node, core, path and incarnation."""
        if self._log is None:
            cell = self._cell
            self._log = self._cell.core.logger.bind(path=cell.path, incarnation=cell.incarnation)
        return self._log

    def buggify(self, point: str) -> bool:
        """In simulation, now and then True: take the rare branch. Always False on a real node."""
        core = self._here()
        return core.buggify is not None and core.buggify(self._cell.path, point)

    def sometimes(self, name: str, condition: bool = True) -> None:
        """Tell a campaign that `name` was seen to hold; it fails when a required one never did. Free on a real node."""
        core = self._here()
        if core.sometimes is not None:
            core.sometimes(name, bool(condition))

    def __repr__(self) -> str:
        return f"<ctx of {self._cell!r}>"
