"""Births and deaths on a core: slots and generations, the start of a life, crashes, and the order of an end.

The order of an end: names and groups released, streams closed, debts settled, Downs and exits sent, then the
supervisor's event (supervision.md 6a).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from functools import wraps
from types import FunctionType, MethodType, TracebackType
from typing import TYPE_CHECKING, Any, Final

from regrove.node.core.address import Address
from regrove.node.core.errors import Misuse, UnsendableValue
from regrove.node.core.isolate import BLOCKED, ENDED, RUNNING, STARTING, Cell, Isolate
from regrove.node.core.messages import is_message
from regrove.supervisor.reasons import Crashed, Ignored, Normal, Reason
from regrove.supervisor.spec import Child

if TYPE_CHECKING:
    from regrove.node.core.core import Core
    from regrove.node.core.supervisor_node import SupervisorNode

_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")
CRASH_FINGERPRINTS: Final = 1_000  # distinct crashes whose whole traceback was logged; past it only one line each


class Lifecycle:
    """The slot table of one core and what happens at both ends of a life."""

    __slots__ = ("_fingerprints", "_free", "_generations", "_newest", "core", "isolates", "supervisors")

    def __init__(self, core: Core) -> None:
        self.core = core
        self.isolates = 0
        self.supervisors = 0
        self._free: deque[int] = deque()
        self._generations: list[int] = []
        self._fingerprints: dict[tuple[str, str], int] = {}
        self._newest: Crashed | None = None  # the same reason again where the same crash comes again

    # --- births ----------------------------------------------------------------------------------------------------

    def has_room(self, isolate: bool) -> bool:
        """Tell whether `Bounds.isolates` allows one more isolate, or one more supervisor: each kind has that many."""
        return (self.isolates if isolate else self.supervisors) < self.core.bounds.isolates

    def new_cell(self, parent: SupervisorNode | None, incarnation: int, capacity: int) -> Cell:
        """Take a slot, where `has_room` said so. `capacity` 0: a supervisor."""
        core = self.core
        if self._free:
            slot = self._free.popleft()
            self._generations[slot] += 1
        else:
            slot = len(core.cells)
            core.cells.append(None)
            self._generations.append(1)
        address = Address(core.home, slot, self._generations[slot])
        cell = Cell(core, address, parent, incarnation, capacity)
        address.cell = cell
        core.cells[slot] = cell
        core.counters.spawned += 1
        if capacity:
            self.isolates += 1
        else:
            self.supervisors += 1
        return cell

    def construct(self, cell: Cell) -> Any:
        """Build the user's isolate, afresh; answers its `start`."""
        fault = self.core.settings.start_fault
        if fault is not None:
            fault(cell.path)
        node, slot = cell.parent, cell.slot
        if node is not None and slot is not None:
            spec = slot.spec
            assert isinstance(spec, Child)
            args = node.machine.arguments(spec)
        else:
            rare = cell.own()
            assert rare.spec is not None
            spec, rare.spec = rare.spec, None
            args = spec.args
        factory, kwargs = spec.factory, spec.kwargs
        if args or kwargs:
            fresh = {key: self._fresh(value) for key, value in kwargs.items()}
            isolate = factory(*[self._fresh(value) for value in args], **fresh)
        else:
            isolate = factory()
        if not isinstance(isolate, Isolate):
            raise Misuse(f"the factory of child {cell.id!r} made {isolate!r}; it has to make an Isolate")
        capacity = isolate.mailbox_capacity
        if type(capacity) is not int or capacity < 1:
            raise Misuse(f"{type(isolate).__qualname__}.mailbox_capacity is an int of at least 1, got {capacity!r}")
        cell.capacity = capacity
        cell.bound = 0  # of mail that came before the constructor said how much may come
        cell.isolate = isolate
        handle: Any = isolate.handle
        of_class = type(handle) is MethodType and handle.__self__ is isolate
        cell.handle = handle.__func__ if of_class else _of_none(handle)
        return isolate.start

    def _fresh(self, value: Any) -> Any:
        """An argument as every life gets it: what a life before changed is not in it."""
        if type(value) in (list, dict):
            return self.core.copy(value)
        if type(value) is tuple or is_message(type(value)):
            try:
                return self.core.copy(value)
            except UnsendableValue:
                return value  # it stays on this core: what it holds beside values, a function say, may not travel
        return value

    def started(self, cell: Cell, at_rest: bool = False) -> None:
        """The start ended with success; `at_rest`: nothing more follows from it."""
        cell.state = RUNNING
        node = cell.parent
        if self.core.tracing:
            self.core.trace("started", cell, None)
        if node is not None:
            self.core.supervising.child_started(node, cell, at_rest)
        else:
            self.core.guests.started(cell)

    # --- deaths ----------------------------------------------------------------------------------------------------

    def crash(self, cell: Cell, error: BaseException) -> None:
        """A callback raised: the isolate ends `Crashed`, with the user's frame named."""
        core = self.core
        core.counters.crashes += 1
        trace = error.__traceback__
        site = "" if trace is None else user_site(trace.tb_next)  # the first frame is the one that caught it: ours
        text = text_of(error, str)
        if core.heard("error"):
            self._log_crash(cell, error, site, text)
        kind = type(error).__name__
        if core.tracing:
            site, text = self._told(site), self._said(text)
        reason = self._newest
        if reason is None or reason.site != site or reason.text != text or reason.type != kind:
            reason = self._newest = Crashed(kind, text, site)
        self.end(cell, reason)

    def crash_text(self, cell: Cell, text: str, site: str, detail: object = None) -> None:
        """The isolate failed without an exception: `Crash(reason)`, or no effect was returned."""
        self.core.counters.crashes += 1
        self.core.logger.error("crashed", path=cell.path, incarnation=cell.incarnation, reason=text, site=site)
        self.end(cell, Crashed("Crash", self._said(text), self._told(site), detail))

    def _told(self, site: str) -> str:
        """The site as others hear of it: a simulated run must not depend on the folder that its checkout lies in."""
        return site.rpartition("/")[2] if self.core.tracing else site

    def _said(self, text: str) -> str:
        """The text as others hear of it: in a simulated run it holds no address, which differs between processes."""
        return without_addresses(text) if self.core.tracing else text

    def _log_crash(self, cell: Cell, error: BaseException, site: str, text: str) -> None:
        fingerprint = (type(error).__name__, site)
        seen = self._fingerprints.get(fingerprint, 0) + 1
        known = seen > 1 or len(self._fingerprints) < CRASH_FINGERPRINTS
        if known:
            self._fingerprints[fingerprint] = seen
        fields: dict[str, Any] = {"path": cell.path, "incarnation": cell.incarnation, "site": site, "times": seen}
        if known and seen == 1:
            fields["exc_info"] = error  # the whole traceback once, then counts
        self.core.logger.error("crashed", reason=f"{type(error).__name__}: {text}", **fields)

    def end(self, cell: Cell, reason: Reason) -> None:
        """End an isolate's life and tell whom it concerns."""
        if cell.state == ENDED:
            return
        started = cell.state != STARTING
        self.bury(cell, reason)
        self.core.supervising.child_ended(cell, reason, started)

    def ignored(self, cell: Cell) -> None:
        """`start` returned IGNORE."""
        self.bury(cell, Normal())
        self.core.supervising.child_ended(cell, Ignored(), started=False)

    def bury(self, cell: Cell, reason: Reason) -> None:
        """What every end has in common, isolate's or supervisor's, up to the supervisor's event."""
        core = self.core
        if core.tracing:
            core.trace("end", cell, type(reason).__name__)
        cell.state = ENDED
        cell.flags = 0
        cell.capacity = -1
        cell.bound = 0
        cell.parked = BLOCKED
        if cell.rare is not None:
            core.registry.release(cell)
            core.io.release(cell)
            for record in (cell.timers or {}).values():
                core.timers.cancel(record)
                core.user_timers -= 1
            cell.timers = None
        if cell.rare or cell.request or cell.wait_token or cell.charge or cell.mailbox or cell.waiters:
            core.links.order.speaker = cell
            core.calls.owner_ended(cell, reason)
            if cell.rare is not None:
                core.signals.ended(cell, reason)
            core.links.order.speaker = None
        address = cell.address
        address.cell = None
        core.cells[address.slot] = None
        self._free.append(address.slot)
        core.counters.ended += 1
        if cell.supervising is None:
            self.isolates -= 1
        else:
            self.supervisors -= 1
        cell.isolate = cell.handle = cell.outcome = cell.wait = None
        cell.context = None  # they hold each other, and nobody is called any more
        if cell.rare is not None:
            cell.continued = None


def _of_none(handle: Callable[[Any, Any], Any]) -> Callable[[Any, Any, Any], Any]:
    """Call a `handle` that is no method of its isolate as if it were one."""

    @wraps(handle)
    def call(_isolate: Any, ctx: Any, message: Any) -> Any:
        return handle(ctx, message)

    return call


def user_site(trace: TracebackType | None) -> str:
    """`file:line` of the innermost frame that is not ours."""
    found: TracebackType | None = None
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__")
        if not isinstance(module, str) or (not module.startswith("regrove.") and module != "regrove"):
            found = trace
        trace = trace.tb_next
    return "" if found is None else f"{found.tb_frame.f_code.co_filename}:{found.tb_lineno}"


def site_of(function: Any) -> str:
    """`file:line` where a callback is defined."""
    function = getattr(function, "__func__", function)
    function = getattr(function, "__wrapped__", function)
    if not isinstance(function, FunctionType):
        return ""
    return f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"


def text_of(value: object, show: Callable[[object], str] = repr) -> str:
    """What `value` says of itself, in bounds; a user's `__repr__` or `__str__` may raise anything."""
    try:
        return show(value)[:2_000]
    except KeyboardInterrupt:
        raise
    except BaseException:
        method = "__repr__" if show is repr else "__str__"
        return f"a {type(value).__qualname__} (its text cannot be had: {method} raised)"


def without_addresses(text: str) -> str:
    """The text with ` at 0x..` for what a default `__repr__` tells of where an object lies."""
    return _ADDRESS.sub(" at 0x..", text) if " at 0x" in text else text
