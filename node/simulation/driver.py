"""The driver of one simulated core: the twin of the core process's loop, on virtual time.

A pass costs 5 us and 1 us a callback, times the core's slowness; its `step` runs at its start, its `finish` when that
time is over, so a crash in between loses what the pass would have sent. A paused core runs no pass; its mail waits.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from regrove.node.core.address import Home
from regrove.node.core.core import Core, CoreSettings
from regrove.node.core.effects import Target
from regrove.node.core.errors import DecodeError
from regrove.node.core.isolate import Cell
from regrove.node.core.messages import check, decode, payload_of
from regrove.node.core.ports import ControlInput, ControlOutput, Inputs, Started
from regrove.node.core.remote import SEND
from regrove.node.core.sent import OK, Sent
from regrove.node.core.single import step, target
from regrove.node.simulation.clock import MICROSECOND, SECOND, Clock
from regrove.node.simulation.cores import InjectedFault
from regrove.node.simulation.edge import SimulatedEdge
from regrove.node.simulation.ends import SCHEME, SimulatedTransport, Way
from regrove.node.simulation.packets import Packet
from regrove.node.simulation.seeds import key_of
from regrove.node.simulation.tracing import TracedLinks
from regrove.node.simulation.watching import watch_end, watch_pass
from regrove.supervisor.reasons import Killed
from regrove.transport.credit import OVERHEAD_BYTES
from regrove.transport.handshake import Identity
from regrove.transport.link import State
from regrove.transport.wire import BATCH

if TYPE_CHECKING:
    from regrove.node.simulation.cores import SimulatedCore

PASS_COST: Final = 5 * MICROSECOND
CALLBACK_COST: Final = 1 * MICROSECOND
LINKS_LIMIT: Final = 2 * SECOND  # a tree waits so long for the links to its peers, then starts without
EPOCH: Final = 1_767_225_600 * SECOND  # the wall clock starts at 2026-01-01 00:00 UTC
CLUSTER: Final = "sim"


class Life:
    """One life of one core: the process. `started` when its whole tree has."""

    __slots__ = (
        "armed", "begin_by", "clock", "control", "core", "dead", "edge", "extra", "finish_at", "going", "held", "home",
        "known", "links", "pass_at", "peers", "place", "punctual", "started", "stopped", "transport", "tree_begun",
        "woken", "world",
    )  # fmt: skip

    def __init__(self, place: SimulatedCore, home: Home) -> None:
        self.place = place
        self.world = world = place.node.world
        self.clock: Clock = world.clock
        self.home = home
        self.dead = False
        self.started = False
        self.stopped = False
        self.tree_begun = False
        self.going = False  # told to go while a pass was under way: the next one dials
        self.peers: tuple[Home, ...] | None = None
        self.begin_by = 0
        self.pass_at: int | None = None  # when the next pass is due
        self.armed: int | None = None  # the soonest alarm that is set for a pass
        self.woken = False  # a pass is set for this very instant
        self.punctual = 0  # an alarm up to then is not late, or has been already
        self.finish_at: int | None = None  # set while a pass runs
        self.extra = 0  # ns that the next pass takes longer
        self.held = 0  # ns by which the pass under way was made longer
        self.control: list[ControlInput] = []
        node = place.node
        self.transport = SimulatedTransport(world.network, node.name, place.name, self.wake, place.index)
        self.transport.frame_came = self.frame_came
        self.transport.trace = world.trace
        self.links = self._make_links()
        self.edge = SimulatedEdge(
            node.name, place.index, world.clock, world.draws, world.tcp, node.disk, world.application.bounds,
            world.resolve_host, self._wake_late, world.roots,
        )  # fmt: skip
        self.edge.offloads.ailing = place
        settings = CoreSettings(
            home=home,
            cores=len(node.cores),
            settings=world.settings,
            bounds=world.application.bounds,
            seed=key_of(world.seed, "life", home.node_incarnation, home.core_incarnation),
            strict=True,
            buggify=partial(world.buggify, place.short),
            sometimes=world.sometimes,
            known=world.known,
            start_fault=place.start_fault,
        )
        logger = world.log.bind(node=node.name, core=place.index)
        tree = world.application.build(settings.place)
        world.captured.add(world.application.tree, tree)
        self.known = world.known
        self.core = Core(settings, tree, self.links, logger, place.tracer)
        self.edge.offloads.whose = self._whose
        assert self.core.crossing is not None
        place.tracer.begin(self.core.crossing.taken)

    def _make_links(self) -> TracedLinks:
        world, bounds = self.world, self.world.application.bounds
        endpoint = self.transport.listen(f"{SCHEME}{self.home.node}/{self.home.core}.{self.home.core_incarnation}"
                                         f".{self.home.node_incarnation}")  # fmt: skip
        key = key_of(world.seed, "links", str(self.home))
        application = world.application
        identity = Identity(CLUSTER, self.home, "core", application.name, application.version)
        links = TracedLinks(
            self.transport,
            identity,
            lambda kind, ordinal: key_of(key, kind, ordinal),
            bounds.link_settings(),
            advertise={"sim": endpoint},
        )
        links.note = self.place.tracer.note
        links.arrivals = self.place.tracer.arrivals
        return links

    @property
    def endpoint(self) -> str:
        """Where its peers dial it."""
        return self.links.advertise["sim"]

    def _whose(self, token: int) -> str:
        debt = self.core.calls.debts.get(token)
        return "" if debt is None else debt.cell.path

    # --- passes ---

    def wake(self) -> None:
        """There is an input: a pass as soon as the one under way is over."""
        if self.finish_at is None and not self.woken and not self.dead:
            self.woken = True
            now = self.clock.now
            self.clock.at(now, self.place.rank.at(now), self._woken)

    def _wake_late(self) -> None:
        lateness = self.place.lateness
        if not lateness:
            self.wake()
            return
        clock = self.clock
        time = clock.now + lateness
        clock.at(time, self.place.rank.at(time), lambda _: self.wake())

    def frame_came(self, way: Way, frame: object, cause: int) -> bool:
        """Take a frame at once, when the core would do nothing else at this instant; False leaves it to `wake`."""
        place = self.place
        half = way.target
        if (
            self.finish_at is not None or self.woken or place.pauses or place.halted or self.transport.inbox
            or type(frame) is not Packet or not half.open
        ):  # fmt: skip
            return False
        clock = self.clock
        now = clock.now
        heap = clock.heap
        if now > clock.limit or (heap and heap[0][0] <= now):
            return False
        if place.slowness != 1 or self.extra:
            self.links.take(half.number, frame, place.local(now))
            self._pass(now)
        elif not (frame.type == BATCH and self._message_came(way, frame, now, cause)):
            links = self.links
            if links.take(half.number, frame, place.local(now)) or links.owes:
                self._pass(now)
        return True

    def _message_came(self, way: Way, packet: Packet, now: int, cause: int) -> bool:
        """Have the pass of a frame that holds one message for an isolate at rest; False: nothing was done."""
        items, arrivals, core, place = packet.body, way.arrivals, self.core, self.place
        if len(items) != 1 or arrivals is None or len(arrivals) != 1 or self.control or not self.tree_begun:
            return False
        item = items[0]
        if item[0] != SEND or self.edge.done:
            return False
        _, slot, generation, payload = item
        local = now if place.skew is None else place.local(now)
        size = OVERHEAD_BYTES + len(payload)
        cell = target(core, local, slot, generation, size)
        if cell is None:
            return False
        value = self.known.get(payload)
        if value is None:
            try:
                value = decode(payload)
            except DecodeError:
                return False
        if not self.links.take_one(way.target.number, packet, local, size):
            return False
        arrivals.pop()
        self.pass_at = None
        before = core.counters.callbacks
        event = place.tracer.taken(cell, value, payload, cause)
        step(core, local, EPOCH + local + place.wall_offset, cell, value, event)
        self._passed(now, core.counters.callbacks - before)
        return True

    def _woken(self, _: None) -> None:
        self.woken = False
        if self.finish_at is None and not self.dead and not self.place.paused:
            self._pass(self.clock.now)

    def due(self, time: int) -> None:
        """Have the next pass at `time`, unless something wakes the core before."""
        self.pass_at = time
        if self.armed is None or time < self.armed:
            self.armed = time
            self.clock.at(time, self.place.rank.at(time), self._alarm, time)

    def _alarm(self, time: int) -> None:
        if self.armed != time:
            return  # a sooner one took its place
        self.armed = None
        if self.dead or self.finish_at is not None or self.woken or self.pass_at is None or self.place.paused:
            return  # the pass under way, or the resumption, sets the next one
        if self.pass_at > time:
            self.due(self.pass_at)  # one alarm is enough: what was put off is set again only now
        elif self.place.lateness and time > self.punctual:
            self.punctual = time + self.place.lateness
            self.due(self.punctual)
        else:
            self._pass(time)

    def _pass(self, time: int) -> None:
        self.pass_at = None
        core, place = self.core, self.place
        if self.transport.inbox:
            self.transport.poll()
        local = place.local(time)
        if not self.links.happened(local) and self._rests(local):
            self._grant(local)
            return
        control, self.control = self.control, []
        before = core.counters.callbacks
        core.step(local, Inputs(control, self.edge.collect(), EPOCH + local + place.wall_offset))
        if self.peers is not None and not self.tree_begun:
            self._begin_tree()
        self._passed(time, core.counters.callbacks - before)

    def _passed(self, time: int, callbacks: int) -> None:
        """The pass that began at `time` is over when its time is."""
        place, clock = self.place, self.clock
        clock.callbacks += callbacks
        end = self.finish_at = time + (PASS_COST + callbacks * CALLBACK_COST) * place.slowness + self.extra
        if self.extra:
            self.held, self.extra = self.extra, 0
            watch_pass(self, time, end)
        heap = clock.heap
        if end <= clock.limit and (not heap or heap[0][0] > end):
            clock.now = end
            self._finish(end)
        else:
            clock.at(end, place.rank.at(end), self._finish, end)

    def _rests(self, local: int) -> bool:
        core = self.core
        return (
            not core.ready and not self.control and self.tree_begun and self.place.slowness == 1 and not self.extra
            and not (core.supervising.owes or core.stalled or self.edge.done or core.timers.due_by(local))
        )  # fmt: skip

    def _grant(self, local: int) -> None:
        """Only the links had something to do: credit came, or is to be granted. That costs the core no pass."""
        links, core = self.links, self.core
        links.flush(local)
        timer, deadline = core.timers.next(), links.deadline()
        if deadline is None or (timer is not None and timer < deadline):
            deadline = timer
        if deadline is not None:
            self.due(self.place.real(deadline))

    def _finish(self, end: int) -> None:
        if self.dead:
            return
        core, place = self.core, self.place
        if place.pauses or place.halted:
            place.on_resume.append(self._finish_now)  # no closure: compiled, each call would make its room
            return
        self.finish_at = None
        if self.held:
            held, self.held = self.held, 0
            watch_end(self, held)
        even = place.skew is None
        deadline = core.end(end if even else place.local(end))
        if not core.io.idle:
            self.edge.submit(core.io.flush())
        if core.control_out:
            control, core.control_out = core.control_out, []
            self._report(control)
        if deadline is not None and not even:
            deadline = place.real(deadline)
        if core.ready or core.supervising.owes or self.control or self.transport.inbox or self.edge.done or self.going:
            self.punctual = end
            self.due(end)
            return
        if not self.tree_begun and self.peers is not None:
            if self._may_begin():
                self.due(end)
                return
            deadline = self.begin_by if deadline is None else min(deadline, self.begin_by)
        if deadline is not None:
            if deadline < end:
                deadline = end
            self.pass_at = deadline  # `due`, unless an alarm that is set comes first
            if self.armed is None or deadline < self.armed:
                self.due(deadline)

    def _finish_now(self) -> None:
        self._finish(self.clock.now)

    def _report(self, items: list[ControlOutput]) -> None:
        for item in items:
            if isinstance(item, Started):
                self.started = True
            self.place.node.reported(self, item)

    # --- what a test does to it ---

    def send(self, to: Target, message: object) -> Sent:
        """Send a message from this core, from outside its tree."""
        core = self.core
        where = core.registry.resolve(to)
        if isinstance(where, Cell):
            sent = core.inject(where.address, message)
        elif isinstance(where, tuple):
            check(message)
            sent = core.links.post(where[0], (SEND, where[1], where[2], payload_of(message)))
            core.counters.sent += sent is OK
        else:
            sent = where
        self.wake()
        return sent

    def end_isolate(self, cell: Cell) -> None:
        """Kill an isolate or a supervisor."""
        if cell.supervising is not None:
            self.core.supervising.kill(cell.supervising)
        else:
            self.core.signals.kill(cell, Killed())
        self.wake()

    def crash_isolate(self, cell: Cell) -> None:
        """End an isolate as a handler that raises does."""
        self.core.lifecycle.crash(cell, InjectedFault("a fault of the plan"))
        self.wake()

    # --- the beginning and the end ---

    def tell(self, item: ControlInput) -> None:
        """A control input has come through the manager's pipe."""
        self.control.append(item)
        self._wake_late()

    def go(self, peers: tuple[Home, ...]) -> None:
        """Start the tree once the links to `peers` are up."""
        self.peers = peers
        self.begin_by = self.clock.now + LINKS_LIMIT
        self.going = True
        self.wake()

    def _begin_tree(self) -> None:
        assert self.peers is not None
        self.going = False
        for peer in self.peers:
            self.links.warm(peer)
        if self._may_begin():
            self.tree_begun = True
            self.core.boot()

    def _may_begin(self) -> bool:
        if self.peers is None or self.tree_begun:
            return False
        if self.clock.now >= self.begin_by:
            return True
        rows = {row.peer: row.state for row in self.links.statistics()}
        missing = [peer for peer in self.peers if rows.get(peer) != State.UP.value]
        return not [peer for peer in missing if peer in rows]

    def kill(self, silently: bool = False) -> None:
        """SIGKILL: memory is gone, the kernel closes what was open; `silently`: the machine went, and its kernel."""
        if not self.dead:
            self.dead = True
            self.place.pauses = 0  # SIGKILL ends a stopped process too, and the next one is not stopped
            self.transport.crash(silently)
            self.edge.die()
            self.place.ended.append(self.counts())

    def leave(self) -> None:
        """The process ends in order: links say goodbye, then it is gone."""
        if not self.dead:
            self.links.goodbye("the core has stopped", self.place.local(self.clock.now))
            self.dead = True
            self.transport.destroy()
            self.edge.die()
            self.place.ended.append(self.counts())

    def counts(self) -> dict[str, int]:
        """The core's counters, and how many messages are `queued` in its mailboxes."""
        return {**self.core.counters.snapshot(), "queued": self.core.pool_messages}

    def __repr__(self) -> str:
        return f"<life {self.home}{' dead' if self.dead else ''}>"
