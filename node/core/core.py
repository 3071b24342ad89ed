"""One core: a deterministic machine a driver steps (isolates.md, One core; docs/architecture.md, One pass).

Same settings, tree and inputs at the same times: same execution. It reads no clock, socket, thread or random number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import repeat
from operator import length_hint
from typing import Any, assert_never

from regrove.node.core import hosting_door, messages, remote
from regrove.node.core.address import Address, Caller, Home, Name
from regrove.node.core.calls import Calls
from regrove.node.core.compiling import Unjudged
from regrove.node.core.draining import Draining
from regrove.node.core.effects import SECONDS_MAX, is_delay
from regrove.node.core.errors import BoundReached, Misuse
from regrove.node.core.guests import Guests
from regrove.node.core.handles import Timer
from regrove.node.core.interpreter import AnyEffect
from regrove.node.core.iowaits import Io
from regrove.node.core.isolate import Cell, Entry
from regrove.node.core.lifecycle import Lifecycle, text_of
from regrove.node.core.mailbox import Counters, deliver_system, offer, settle
from regrove.node.core.outcomes import Slept
from regrove.node.core.ports import (
    AskTree,
    ControlInput,
    ControlOutput,
    DrainCore,
    Inputs,
    NamesChanged,
    Outputs,
    PeerCore,
    PeerGone,
    StopCore,
    TreeReport,
)
from regrove.node.core.randomness import Random, key_of
from regrove.node.core.registry import Registry
from regrove.node.core.remote_children import RemoteChildren
from regrove.node.core.requests import Requests
from regrove.node.core.scheduler import run_ready
from regrove.node.core.sent import OK, Sent
from regrove.node.core.settings import CoreSettings
from regrove.node.core.signals import Signals
from regrove.node.core.strict import Strict
from regrove.node.core.supervising import Supervising
from regrove.node.core.tables import MESSAGE_CHARGE, SCALARS
from regrove.node.core.timers import DEADLINE, HOSTING, LIMIT, MESSAGE, RETRY, SLEPT, START, Timed, TimerRecord, Timers
from regrove.node.core.trace import Tracer
from regrove.node.core.tree import rows
from regrove.node.core.waiters import Waiters
from regrove.supervisor.reasons import CoreDown, Reason
from regrove.supervisor.report import REPORT_EVENT, SupervisorReport, describe
from regrove.supervisor.spec import Supervisor
from regrove.transport.links import LinkTable
from regrove.transport.parts import Payload

NANO = 1_000_000_000


class Core:
    """One life of one core. Drivers call `boot` once, then `step` and `finish` for each pass."""

    # Slots, because each of these is read or written several times a message.
    # fmt: off
    __slots__ = (
        "_token", "_tracer", "batch", "batch_done", "batch_rest", "bounds", "buggify", "calls", "cells", "charges",
        "control_out", "counters", "crossing", "current", "draining", "entered", "event", "grain", "guests", "heard",
        "home", "io", "left", "letters", "lifecycle", "links", "logger", "now", "place", "pool_bytes",
        "pool_bytes_limit", "pool_limit", "pool_sure", "puts", "ready", "registry", "remote_children", "requests",
        "settings", "signals", "sometimes", "stalled", "strict", "supervising", "timers", "tracing", "tree",
        "turn_budget", "turns", "user_timers", "waiters", "wall", "words",
    )
    # fmt: on

    def __init__(
        self, settings: CoreSettings, tree: Supervisor, links: LinkTable, logger: Any, tracer: Tracer | None = None
    ) -> None:
        self.settings = settings
        self.home = settings.home
        self.place = settings.place
        self.bounds = settings.bounds
        self.turn_budget = settings.bounds.turn_budget
        self.words = settings.words
        self.tree = tree
        self.logger = logger
        self.heard = settings.heard
        self.pool_limit = settings.bounds.pool_messages
        self.pool_bytes_limit = settings.bounds.pool_bytes
        # Up to here no count is needed: a message is charged MESSAGE_CHARGE at least.
        self.pool_sure = min(self.pool_bytes_limit, self.pool_limit * MESSAGE_CHARGE)
        self.tracing = tracer is not None
        self.letters = tracer is None  # a letter has no cause
        self._tracer = tracer
        self.buggify = settings.buggify
        self.sometimes = settings.sometimes
        self.now = 0
        self.wall = 0
        self.event = 0  # the number of the traced event under way: the cause of what it leads to
        self.cells: list[Cell | None] = []
        self.ready: deque[Cell] = deque()
        self.current: Cell | None = None
        # The pool's books. During a grain of turns `left` is behind by the letters read of it: `pool_messages` knows.
        # During a batch (`scheduler.drain_batch`) it and `pool_bytes` are behind by what was read of that: the pool
        # looks fuller than it is. Who needs it exact calls `settle` first.
        self.entered = 0  # queued messages, ever; `puts` of them by `mailbox.put`, the others by `Context.send`
        self.puts = 0
        self.left = 0
        self.pool_bytes = 0
        self.turns: Iterator[None] = repeat(None, 0)
        self.grain = 0  # what `turns` had to give, without the turns that were more than a letter
        self.batch: list[Entry] = []
        self.batch_rest: Iterator[Entry] = iter(())
        self.batch_done = 0
        self.stalled: dict[Cell, None] = {}  # mailboxes whose waiting pushes found no room in the pool
        self.user_timers = 0
        self.counters = Counters()
        # Immutable classes of constant charge skip `prepare` on the hot path; in strict mode nothing does.
        self.strict = settings.strict
        self.crossing = Strict(settings.known) if settings.strict else None
        self.charges = messages.UNCHARGED if settings.strict else messages.CHARGES
        self.control_out: list[ControlOutput] = []
        self._token = 0
        self.timers = Timers()
        self.registry = Registry(self)
        self.calls = Calls(self)
        self.waiters = Waiters(self)
        self.requests = Requests(self)
        self.signals = Signals(self)
        self.io = Io(self)
        self.lifecycle = Lifecycle(self)
        self.supervising = Supervising(self)
        self.remote_children = RemoteChildren(self)
        self.guests = Guests(self)
        self.links = remote.Links(self, links)
        self.draining: Draining | None = None
        self.links.add_kinds(hosting_door.kinds(self))

    @property
    def tracer(self) -> Tracer:
        """The tracer; only where `tracing`."""
        assert self._tracer is not None
        return self._tracer

    # --- the driver's side -----------------------------------------------------------------------------------------

    def boot(self) -> None:
        """Begin the tree; it starts in the passes that follow."""
        self.supervising.boot(self.tree)

    def step(self, now: int, inputs: Inputs) -> None:
        """Run a pass at `now` ns: control, inbound links, I/O outcomes, due timers, ready isolates."""
        self.now = now
        self.wall = inputs.wall
        self.event = 0
        self.counters.passes += 1
        for control in inputs.control:
            self._control(control)
        self.links.drain(now)
        for done in inputs.io:
            self.io.done(done)
        for record in self.timers.due(now):
            self._fire(record)
        self.supervising.next_pass()
        run_ready(self, self.bounds.pass_budget)
        if self.stalled:
            self.admit_stalled()

    def finish(self, now: int) -> Outputs:
        """End the pass: delays count from `now`; each link's batch leaves."""
        deadline = self.end(now)
        control, self.control_out = self.control_out, []
        return Outputs(self.io.flush(), control, deadline, self.busy)

    @property
    def busy(self) -> bool:
        """Whether there is something to do at once."""
        return bool(self.ready) or self.supervising.owes

    def end(self, now: int) -> int | None:
        """Do what `finish` does beside handing its outputs over; answers the deadline."""
        self.event = 0
        if self.draining is not None:
            self.draining.look(now)
        changes = self.registry.changes() if self.registry.changed else None
        if changes is not None:
            self.control_out.append(changes)
        table = self.links.table
        table.flush(now)
        timers = self.timers  # behind the flush: the peers wait for that
        if timers.asked:
            timers.arm(now)
        heap = timers.heap
        due = heap[0][0] if heap and heap[0][2].alive else timers.next()
        deadline = table.deadline()
        if deadline is None or (due is not None and due < deadline):
            deadline = due
        if self.draining is not None:
            deadline = min((at for at in (deadline, self.draining.deadline()) if at is not None), default=None)
        return deadline

    def admit_stalled(self) -> None:
        """Let pushes in that waited for room in the pool."""
        cells, self.stalled = self.stalled, {}
        for cell in cells:
            if cell.waiters:
                self.waiters.admit(cell)

    def _control(self, control: ControlInput) -> None:
        match control:
            case PeerCore(home, endpoint, key):
                self.learn_peer(Home._make(home), endpoint, key)
            case PeerGone(home, reason):
                self.peer_gone(Home._make(home), reason)
            case NamesChanged():
                self.registry.learn_names(control)
            case StopCore(limit, reason):
                self.supervising.stop(reason, limit)
            case DrainCore():
                if self.draining is None:
                    self.draining = Draining(self)
            case AskTree(request):
                self.control_out.append(TreeReport(request, rows(self)))
            case _:
                assert_never(control)

    def learn_peer(self, home: Home, endpoint: str, key: str) -> None:
        """A core lives there; an older life of it is over."""
        if (home.node, home.core) == (self.home.node, self.home.core):
            return
        older = self.registry.learn_core(home)
        if older is not None:
            self.peer_gone(older, CoreDown("replaced"))
            self.registry.learn_core(home)
        self.links.learn(home, endpoint, key)
        self.remote_children.learned(home)

    def peer_gone(self, home: Home, reason: Reason) -> None:
        """That life of a core is over: calls fail, monitors fire, links are exits, each once."""
        self.registry.forget_core(home)
        self.links.forget(home, reason)
        self.calls.peer_gone(home, reason)
        self.signals.peer_gone(home, reason)
        self.remote_children.peer_gone(home, reason)
        self.guests.peer_gone(home, reason)

    def _fire(self, record: Timed) -> None:
        if record.kind == DEADLINE:
            self.calls.expire(record.token)
        elif record.kind == SLEPT:
            self.calls.settle(record.token, Slept())
        elif not isinstance(record, TimerRecord):
            raise AssertionError(f"no such deadline: {record.kind}")
        elif record.kind == MESSAGE:
            self._fire_message(record)
        elif record.kind in (LIMIT, RETRY, START):
            self.supervising.limit_reached(record)
        elif record.kind == HOSTING:
            record.data(record)
        else:
            raise AssertionError(f"no such timer: {record.kind}")

    # --- what the parts share --------------------------------------------------------------------------------------

    def next_token(self) -> int:
        """A number never used before in this life of the core."""
        self._token += 1
        return self._token

    def trace(self, kind: str, cell: Cell, detail: str | None) -> None:
        """Tell the tracer, where there is one."""
        if self.tracing:
            self.tracer.event(self.now, cell, kind, detail, self.event)

    @property
    def pool_messages(self) -> int:
        """How many messages are queued, or wait here for room having been charged already."""
        return self.entered - self.left - self.grain + length_hint(self.turns)

    def settle_turns(self) -> int:
        """Write down how many letters were read of the grain of turns under way (`scheduler.run_ready`), and end it."""
        letters = self.grain - length_hint(self.turns)
        self.left += letters
        self.grain = 0
        self.turns = repeat(None, 0)
        return letters

    def pool_has_room(self, charge: int) -> bool:
        """Tell whether one more queued message fits the pool."""
        if self.batch:
            settle(self)
        return self.pool_messages < self.pool_limit and self.pool_bytes + charge <= self.pool_bytes_limit

    def prepare(self, cell: Cell | None, value: Any) -> tuple[Any, int]:
        """Make a value ready for another isolate of this core, with its charge. Raises UnsendableValue."""
        prepared = messages.prepare(value) if self.crossing is None else self.crossing.prepare(value)
        if cell is not None:
            self.forwarding(cell, value)
        return prepared

    def forwarding(self, cell: Cell, value: Any) -> None:
        """A caller that travels in a message is the receiver's to answer: its end here no longer fails the request."""
        request = cell.request
        if type(value) in SCALARS or (request is None and not cell.kept):
            return
        for caller in messages.callers_in(value):
            if cell.kept is not None:
                cell.kept.pop(caller[:2], None)
            if request is not None and request.caller[:2] == caller[:2]:
                request.forwarded = True

    def arrived(self, payload: Payload) -> Any:
        """Decode what a link brought. Raises DecodeError."""
        return messages.decode(payload) if self.crossing is None else self.crossing.arrived(payload)

    def copy(self, value: Any) -> Any:
        """A structural copy of what is mutable."""
        return messages.prepare(value)[0]

    def answer(self, cell: Cell, caller: Caller, value: Any) -> None:
        """Answer a request from a handler."""
        if caller.home == self.home:
            value = self.prepare(cell, value)[0]
        else:
            if type(value) not in SCALARS:
                self.forwarding(cell, value)
            if self.strict:
                messages.check(value)
        self.requests.answer(caller, value)

    def send(self, cell: Cell, to: Unjudged, message: Any, notify: object) -> Sent:
        """The whole of `ctx.send`, behind its fast path."""
        where = self.registry.resolve(to)
        if isinstance(where, Cell):
            prepared, charge = self.prepare(cell, message)
            sent = offer(self, where, prepared, charge, None, self.event)
        elif isinstance(where, tuple):
            payload = self.encoded(cell, message)
            notice = None if notify is None else remote.Notice(cell, to, notify)
            sent = self.links.post(where[0], (remote.SEND, where[1], where[2], payload), notice)
            if sent is OK:
                if type(to) is Address:
                    self.links.remember(to)
                elif isinstance(to, Name | str):
                    self.links.remember_name(to, where)
        else:
            sent = where
        if sent is OK:
            self.counters.sent += 1
        else:
            self.counters.rejected += 1
        return sent

    def publish(self, cell: Cell, group: Unjudged, message: Any) -> int:
        """`ctx.publish`: one encoding for all other cores, one copy for each member here."""
        payload: Payload | None = None
        taken = 0
        for member in self.registry.members(group):
            where = self.registry.resolve(member)
            if not isinstance(where, tuple):
                taken += bool(self.send(cell, member, message, None))
                continue
            if payload is None:
                payload = self.encoded(cell, message)
            sent = self.links.post(where[0], (remote.SEND, where[1], where[2], payload))
            if sent is OK:
                self.counters.sent += 1
                taken += 1
            else:
                self.counters.rejected += 1
        return taken

    def encoded(self, cell: Cell, message: Any) -> Payload:
        """The payload of a message that `cell` sends to another core. Raises UnsendableValue."""
        payload = messages.payload_of(message) if self.crossing is None else self.crossing.encoded(message)
        self.forwarding(cell, message)
        return payload

    def inject(self, to: Address, message: Any) -> Sent:
        """A message from outside the tree, as from a sibling (the simulator's `sim.send`)."""
        where = self.registry.resolve(to)
        if not isinstance(where, Cell):
            return where if isinstance(where, Sent) else Sent.STALE
        prepared, charge = self.prepare(None, message)
        sent = offer(self, where, prepared, charge, None, self.event)
        if sent is OK:
            self.counters.sent += 1
        return sent

    # --- timers of isolates ----------------------------------------------------------------------------------------

    def set_timer(self, cell: Cell, delay: Unjudged, message: Any, to: Unjudged, repeat: bool) -> Timer:
        """`ctx.send_after` and `ctx.send_every`."""
        if not is_delay(delay) or (repeat and delay * NANO < 1):
            kind = "period is seconds above 0" if repeat else "delay is seconds from 0"
            raise Misuse(f"a timer's {kind} to {SECONDS_MAX}, got {delay!r}")
        if to is not None:
            self.registry.check_target(to)
        if self.user_timers >= self.bounds.timers:
            self.counters.bounds_reached += 1
            raise BoundReached("timers", self.bounds.timers, "cancel timers that are no longer of interest")
        prepared = self.prepare(cell, message)[0]
        timer = Timer(self.next_token())
        target = None if to is None or to == cell.address else to
        record = TimerRecord(MESSAGE, int(delay * NANO), timer.token, cell, (target, prepared))
        if repeat:
            record.period = record.delay
        if cell.timers is None:
            cell.timers = {}
        cell.timers[timer.token] = record
        self.user_timers += 1
        self.timers.ask(record)
        return timer

    def cancel_timer(self, cell: Cell, timer: Timer) -> bool:
        """`ctx.cancel(timer)`."""
        record = None if cell.timers is None else cell.timers.pop(timer.token, None)
        if record is None:
            return False
        self.user_timers -= 1
        self.timers.cancel(record)
        return True

    def _fire_message(self, record: TimerRecord) -> None:
        cell = record.cell
        assert cell is not None
        target, message = record.data
        if record.period:
            self.timers.again(record, self.now)
        elif cell.timers is not None:
            del cell.timers[record.token]
            self.user_timers -= 1
        if target is not None:
            self.send(cell, target, message, None)
        elif not record.queued:
            # One firing of a repeating timer waits at most: a slow isolate is not buried under its own clock.
            record.queued = bool(record.period)
            deliver_system(self, cell, self.copy(message), record.token)

    # --- reports and randomness ------------------------------------------------------------------------------------

    def random_of(self, cell: Cell) -> Random:
        """The random numbers of one life of one path."""
        if cell.random is None:
            cell.random = Random(
                key_of(self.settings.seed, self.home.node, self.home.core, cell.path, cell.incarnation)
            )
        random: Random = cell.random
        return random

    def reported(self, cell: Cell, report: SupervisorReport) -> None:
        """A supervisor's decision: one log record that says which child, what, where, how often, and what is left."""
        self.trace(report.context, cell, type(report.reason).__name__)
        if not self.heard("warning"):
            return
        exception, site = report.fingerprint
        self.logger.warning(
            REPORT_EVENT,
            path=cell.path,
            context=report.context,
            child=report.offender,
            reason=text_of(report.reason, describe),
            exception=exception,
            site=site,
            child_restarts=report.child_restarts,
            restarts=report.restarts,
            budget_used=report.budget_used,
            budget_left=report.budget_left,
        )


__all__ = ["AnyEffect", "Core", "CoreSettings"]
