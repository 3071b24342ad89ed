"""Supervisors at work: one inbox each, served between turns, and the actions of `supervisor.machine` carried out.

The inbox keeps exits, ends of starts, the retry, API requests and stops in order of arrival. While the machine runs a
start or stop of its own, only what it awaits is given to it (OTP: deaf). Nothing here recurses over the tree.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, assert_never

from regrove.node.core.address import Address
from regrove.node.core.births import NANO, Births, start_limit
from regrove.node.core.errors import UnsendableValue
from regrove.node.core.inbox import Inbox
from regrove.node.core.isolate import ENDED, RUNNING, STARTING, STOP, Cell, Request
from regrove.node.core.mailbox import wake
from regrove.node.core.ports import Started, Stopped
from regrove.node.core.reasons import Busy, Undecodable
from regrove.node.core.remote_children import RemoteChild
from regrove.node.core.sent import OK, Sent
from regrove.node.core.supervisor_node import Lives, SupervisorNode
from regrove.node.core.timers import LIMIT, RETRY, START, TimerRecord
from regrove.supervisor import actions as a
from regrove.supervisor import events as ev
from regrove.supervisor.reasons import Ignored, Killed, Normal, Reason, StartTimedOut
from regrove.supervisor.requests import AlreadyStarted, CalledInStart
from regrove.supervisor.slots import Slot
from regrove.supervisor.spec import Child, DynamicSupervisor, Supervisor

if TYPE_CHECKING:
    from regrove.node.core.core import Core


class Supervising:
    """The supervisors of one core."""

    __slots__ = ("ahead", "births", "core", "ready", "retries", "root")

    def __init__(self, core: Core) -> None:
        self.core = core
        self.root: SupervisorNode | None = None
        self.ready: deque[SupervisorNode] = deque()
        self.ahead = 0  # events served in the turn of the child they came from, which the pass has not counted yet
        self.retries: list[SupervisorNode] = []
        self.births = Births(core)

    def boot(self, spec: Supervisor) -> None:
        """Begin the core's tree."""
        self.root = self._create(spec, None, None, Lives())

    def stop(self, reason: Reason, budget: float | None) -> None:
        """Stop the whole tree in order, within `budget` seconds (None: each child's own limit)."""
        root = self.root
        self.core.guests.leave(budget)
        if root is None or root.cell.state == ENDED:
            self.core.guests.close(Stopped(reason, asked=True))
            return
        root.asked_to_stop = True
        self.post(root, ev.StopAsked(reason, budget))

    def _create(
        self, spec: Supervisor | DynamicSupervisor, parent: SupervisorNode | None, slot: Slot | None, lives: Lives
    ) -> SupervisorNode:
        core = self.core
        path = spec.id if parent is None else f"{parent.path}/{spec.id}"
        incarnation = 1 if parent is None else parent.lives.born(spec.id, core.counters.spawned)
        cell = core.lifecycle.new_cell(parent, incarnation, 0)
        node = SupervisorNode(spec, cell, path, lives, partial(_draw, core, cell))
        cell.supervising = node
        cell.slot = slot
        if parent is not None and slot is not None:
            parent.born(slot, cell)
        core.trace("start", cell, None)
        if spec.name is not None and not core.registry.register(cell, spec.name):
            self._end(node, AlreadyStarted(core.registry.holder(spec.name)))
        else:
            self.post(node, ev.Begin())
        return node

    # --- the inbox -------------------------------------------------------------------------------------------------

    def post(self, node: SupervisorNode, event: ev.Event) -> None:
        """Put an event into a supervisor's inbox."""
        if node.killed or node.cell.state == ENDED:
            return
        node.inbox.put(event)
        self._ring(node)

    def _ring(self, node: SupervisorNode) -> None:
        if not node.queued:
            node.queued = True
            self.ready.append(node)

    def next_pass(self) -> None:
        """Retries of the pass before may be taken now, each at the place it has had since."""
        retries, self.retries = self.retries, []
        for node in retries:
            node.inbox.release()
            self._ring(node)

    @property
    def owes(self) -> bool:
        """Tell whether the next pass has something to do here."""
        return bool(self.ready or self.retries)

    def serve(self) -> None:
        """Serve one event of every ready supervisor, in order of becoming ready."""
        ready = self.ready
        for _ in range(len(ready)):
            node = ready.popleft()
            node.queued = False
            inbox = node.inbox
            if inbox.begun is not None or inbox.ended is not None:
                self._serve_apart(node, inbox)
                continue
            event = inbox.take()
            if event is None:
                continue
            self.core.trace("supervise", node.cell, type(event).__name__)
            if isinstance(event, ev.Request) and self._expired(node, event.token):
                pass  # nobody waits for it any more: it is not started
            else:
                self._decide(node, event)
            if node.inbox and node.cell.state != ENDED:
                self._ring(node)

    def _serve_apart(self, node: SupervisorNode, inbox: Inbox) -> None:
        """Serve what was kept apart: usually one child that ended is started again, and its start succeeds.

        Nothing else waited, and what comes of it rings for itself.
        """
        core = self.core
        begun, ended = inbox.begun, inbox.ended
        if begun is not None:
            inbox.begun = None
            if core.tracing:
                core.trace("supervise", node.cell, ev.ChildStarted.__name__)
            if not node.machine.restarted(begun.address):
                self._decide(node, ev.ChildStarted(begun.key, begun.address))
            if ended is not None and inbox and node.cell.state != ENDED:
                self._ring(node)
        elif ended is not None:
            inbox.ended = None
            if core.tracing:
                core.trace("supervise", node.cell, ev.ChildEnded.__name__)
            key, reason = ended
            slot = node.machine.restart_at_once(key, reason, core.now)
            if slot is None:
                self._decide(node, ev.ChildEnded(key, reason))
                return
            if core.tracing or core.heard("warning"):
                core.reported(node.cell, node.machine.restart_report(slot))
            self._start_child(node, slot)

    def _expired(self, node: SupervisorNode, request: object) -> bool:
        assert isinstance(request, Request)
        if self.core.requests.waits_still(request):
            return False
        node.requests.pop(request, None)
        return True

    def _decide(self, node: SupervisorNode, event: ev.Event) -> None:
        for action in node.machine.decide(event, self.core.now):
            self._carry_out(node, action)

    # --- actions ---------------------------------------------------------------------------------------------------

    def _carry_out(self, node: SupervisorNode, action: a.Action) -> None:
        match action:
            case a.StartChild(key):
                slot = node.machine.slot(key)
                assert slot is not None
                self._start_child(node, slot)
            case a.AskStop(key, reason, budget):
                self._ask_stop(node, key, reason, budget)
            case a.KillChild(key):
                self._kill_child(node, key)
            case a.ArmLimit(token, seconds):
                record = TimerRecord(LIMIT, int(seconds * NANO), token, None, node)
                node.limits[token] = self.core.timers.ask(record)
            case a.DisarmLimit(token):
                armed = node.limits.pop(token, None)
                if armed is not None:
                    self.core.timers.cancel(armed)
                self.core.remote_children.retry_dropped(node, token)
            case a.QueueRetry(token, delay, place_of):
                if place_of is not None:
                    self.core.remote_children.await_place(node, token, place_of)
                elif delay > 0:
                    record = TimerRecord(RETRY, int(delay * NANO), token, None, node)
                    node.limits[token] = self.core.timers.ask(record)
                else:
                    node.inbox.hold(ev.Retry(token))
                    self.retries.append(node)
            case a.Answer(token, value):
                assert isinstance(token, Request)
                node.requests.pop(token, None)
                self._answer(token, value)
            case a.Emit(report):
                self.core.reported(node.cell, report)
            case a.Up():
                self._up(node)
            case a.Finish(reason):
                self._end(node, reason)
            case _:
                assert_never(action)

    def _answer(self, request: Request, value: object) -> None:
        try:
            self.core.requests.answer(request.caller, value)
        except UnsendableValue as error:  # a spec whose factory is no class does not leave its core
            self.core.requests.refuse(request.caller, Undecodable(str(error)[:1_000]))

    def _start_child(self, node: SupervisorNode, slot: Slot) -> None:
        spec = slot.spec
        if isinstance(spec, Child):
            elsewhere = spec.core is not None or spec.node is not None
            if elsewhere and (place := self.core.remote_children.place_of(spec)) is not None:
                self.core.remote_children.start(node, slot, spec, node.machine.arguments(spec), place)
                return
            made = self.births.begin(node, spec, slot)
        else:
            made = self.births.refusal(spec) or self._create(spec, node, slot, node.lives.of(spec.id)).cell
        if isinstance(made, Reason):
            self.post(node, ev.ChildStartFailed(slot.key, made))

    def _ask_stop(self, node: SupervisorNode, key: int, reason: Reason, budget: float | None) -> None:
        cell = node.life(key)
        if cell is None:
            node.inbox.bring_forward(key)
        elif isinstance(cell, RemoteChild):
            self.core.remote_children.ask_stop(cell, reason)
        elif cell.supervising is not None:
            self.post(cell.supervising, ev.StopAsked(reason, budget))
        else:
            cell.stop_reason = reason
            cell.flags |= STOP
            wake(self.core, cell)

    def _kill_child(self, node: SupervisorNode, key: int) -> None:
        cell = node.life(key)
        if cell is None:
            node.inbox.bring_forward(key)
        elif isinstance(cell, RemoteChild):
            self.core.remote_children.kill(cell)
        elif cell.supervising is not None:
            self.kill(cell.supervising)
        else:
            self.core.signals.kill(cell, Killed())

    def _up(self, node: SupervisorNode) -> None:
        node.up = True
        node.cell.state = RUNNING
        parent = node.cell.parent
        if parent is not None:
            self.post(parent, ev.ChildStarted(node.cell.key, node.cell.address))
        else:
            self.core.control_out.append(Started())

    # --- ends ------------------------------------------------------------------------------------------------------

    def kill(self, top: SupervisorNode) -> None:
        """End a supervisor without asking: all its children are killed with it, and it ends when they have."""
        waiting = [top]
        bare: list[SupervisorNode] = []
        while waiting:
            node = waiting.pop()
            if node.killed or node.cell.state == ENDED:
                continue
            node.killed = True
            node.inbox.clear()
            for cell in node.living():
                if isinstance(cell, RemoteChild):
                    self.core.remote_children.kill(cell)
                elif cell.supervising is not None:
                    waiting.append(cell.supervising)
                else:
                    self.core.signals.kill(cell, Killed())
            if not node.alive:
                bare.append(node)
        for node in bare:
            self._end(node, Killed())

    def child_started(self, node: SupervisorNode, cell: Cell, at_rest: bool) -> None:
        """A child's start succeeded; of an adopted one the machine assumed it. `at_rest`: it does nothing more now."""
        slot = cell.slot
        if slot is not None and slot.address is cell.address:  # adopted
            if node.limits:
                self._disarm_start(node, cell)
        elif not (at_rest and self._started_next(node, cell)) and not node.killed and node.cell.state != ENDED:
            node.inbox.put_begun(cell)
            self._ring(node)

    def _started_next(self, node: SupervisorNode, cell: Cell) -> bool:
        """Begin the next sibling at once where nobody could tell: nothing else on this core comes before it.

        A large tree starts in half the time; order, trace and budget are those of the way through inbox and queue.
        """
        core = self.core
        if self.ready or core.ready or cell.flags or cell.mailbox or node.killed or node.inbox:
            return False
        slot = node.machine.start_next(cell.address, core.now)
        if slot is None:
            return False
        self.ahead += 1
        if core.tracing:
            core.trace("supervise", node.cell, ev.ChildStarted.__name__)
        self._start_child(node, slot)
        return True

    def child_ended(self, cell: Cell, reason: Reason, started: bool) -> None:
        """A child is gone for good: the event for its supervisor."""
        node = cell.parent
        if node is None:
            self.core.guests.ended(cell, reason, started)
            return
        node.over(cell.slot, cell)
        if cell.adopted and not started:
            self._disarm_start(node, cell)
        if node.killed:
            if not node.alive:
                self._end(node, Killed())
            return
        if started or cell.adopted:
            if node.cell.state != ENDED:
                node.inbox.put_ended(cell.key, Normal() if isinstance(reason, Ignored) else reason)
                self._ring(node)
        elif isinstance(reason, Ignored):
            self.post(node, ev.ChildIgnored(cell.key))
        else:
            self.post(node, ev.ChildStartFailed(cell.key, reason))

    def remote_ended(self, child: RemoteChild, event: ev.Event) -> None:
        """A life of a child on another core is over: killed there, or as `event` says."""
        node = child.node
        node.over(child.slot, child)
        if not node.killed:
            self.post(node, event)
        elif not node.alive:
            self._end(node, Killed())

    def _disarm_start(self, node: SupervisorNode, cell: Cell) -> None:
        limit = node.limits.pop(start_limit(cell), None) if node.limits else None
        if limit is not None:
            self.core.timers.cancel(limit)

    def _end(self, node: SupervisorNode, reason: Reason) -> None:
        # A loop, not a recursion: the last child of a killed supervisor ends it, and so on upward.
        current: SupervisorNode | None = node
        while current is not None:
            current = self._end_one(current, reason)
            reason = Killed()

    def _end_one(self, node: SupervisorNode, reason: Reason) -> SupervisorNode | None:
        core = self.core
        cell = node.cell
        if cell.state == ENDED:
            return None
        for request in node.requests:
            core.requests.refuse(request.caller, reason)
        node.requests.clear()
        for record in node.limits.values():
            core.timers.cancel(record)
        node.limits.clear()
        for token in list(node.places):
            core.remote_children.retry_dropped(node, token)
        core.lifecycle.bury(cell, reason)
        parent = cell.parent
        if parent is None:
            core.guests.close(Stopped(reason, asked=node.asked_to_stop))
            return None
        parent.over(cell.slot, cell)
        if parent.killed:
            return None if parent.alive else parent
        if node.up:
            self.post(parent, ev.ChildEnded(cell.key, reason))
        else:
            self.post(parent, ev.ChildStartFailed(cell.key, reason))
        return None

    # --- from isolates ---------------------------------------------------------------------------------------------

    def ask(self, node: SupervisorNode, message: Any, tag: Request | None) -> Sent:
        """A message to a supervisor's address: requests of its API; anything else is counted and dropped."""
        core = self.core
        core.counters.handled += 1
        if tag is None:
            core.counters.unhandled += 1
            core.logger.warning("unhandled", path=node.cell.path, message=type(message).__name__)
        elif self._waits_for_caller(node):
            core.requests.answer(tag.caller, CalledInStart())
        elif len(node.requests) >= core.bounds.supervisor_requests:
            core.counters.bounds_reached += 1
            core.requests.refuse(tag.caller, Busy())
        elif node.killed:
            core.requests.refuse(tag.caller, Killed())
        else:
            node.requests[tag] = None
            self.post(node, ev.Request(tag, message))
        return OK

    def _waits_for_caller(self, node: SupervisorNode) -> bool:
        cell = self.core.current
        if cell is None or cell.state != STARTING or node.machine.accepting:
            return False
        above = cell.parent
        while above is not None:
            if above is node:
                return True
            above = above.cell.parent
        return False

    def limit_reached(self, record: TimerRecord) -> None:
        """A limit's or a delayed retry's timer fired."""
        node: SupervisorNode = record.data
        if record.kind == RETRY:
            del node.limits[record.token]
            self.core.remote_children.retry_dropped(node, record.token)
            self.post(node, ev.Retry(record.token))
        elif record.kind == START:
            cell = record.cell
            if node.limits.pop(record.token, None) is not None and cell is not None and cell.state == STARTING:
                self.core.signals.kill(cell, StartTimedOut(record.delay / NANO))
        elif node.limits.pop(record.token, None) is None:
            return
        elif record.delay == 0 and any(cell.flags & STOP for cell in node.living()):
            # A limit of 0 leaves `stop` its one turn, and a full pass has not come to it yet.
            node.limits[record.token] = self.core.timers.ask(TimerRecord(LIMIT, 0, record.token, None, node))
        else:
            self.post(node, ev.LimitReached(record.token))

    def find(self, address: Address) -> SupervisorNode | None:
        """The supervisor at an address of this core."""
        cell = self.core.registry.local(address.slot, address.generation)
        return None if cell is None else cell.supervising


def _draw(core: Core, supervisor: Cell) -> float:
    """The jitter of a backoff, from the random numbers of the supervisor's own life."""
    return core.random_of(supervisor).random()
