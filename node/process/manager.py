"""The manager of a node: the parent process. It carries out what `ManagerState` decides, and runs no user code.

One loop, one poller: signals, the control socket, each core's pipe and pidfd, links to other managers. Whatever may
block (writing the log) has a thread and a bounded queue of its own.
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, assert_never

from regrove.node.cluster.views import Shared
from regrove.node.core.randomness import key_of
from regrove.node.io.poller import Poller
from regrove.node.process.budget import SECOND
from regrove.node.process.channel import input_frame, read_groups
from regrove.node.process.children import SPARE, Children
from regrove.node.process.commands import Commands
from regrove.node.process.configuration import Resolved
from regrove.node.process.control_server import ControlServer
from regrove.node.process.core_slot import ManagerSettings
from regrove.node.process.crew import CoreCrew
from regrove.node.process.folders import NodeFolder
from regrove.node.process.lateness import Lateness
from regrove.node.process.log_tail import LogTail
from regrove.node.process.logs import LEVELS, Line, LogWriter, Tracebacks
from regrove.node.process.manager_events import (
    Action,
    Begin,
    CloseListeners,
    CoreBound,
    CoreEnded,
    CoreLeft,
    CoreNamed,
    CoreOutgrew,
    CoreReported,
    CoreStarted,
    Dial,
    DivertListeners,
    Event,
    Finish,
    Go,
    Kill,
    KillZygote,
    Note,
    Ready,
    Share,
    Spawn,
    SpawnZygote,
    StopAsked,
    Tell,
    Tick,
    ZygoteUp,
)
from regrove.node.process.manager_state import ManagerState
from regrove.node.process.page import Pages
from regrove.node.process.peering import Peering
from regrove.node.process.pinning import PinMark, pinning_for
from regrove.node.process.reloading import reload
from regrove.node.process.signals import Insistence, Signals, has_terminal
from regrove.node.process.status import call_info, resident_bytes
from regrove.node.process.watching import Watchdog
from regrove.node.process.zygote_client import Started, ZygoteClient
from regrove.supervisor.report import REPORT_EVENT

LOOK_NS: Final = 100_000_000  # what a stack has to come (2-3 ms) before its process is killed
EVENTS_PER_PASS: Final = 10_000  # a bound on what one wake decides before links and signals are looked at again


class Manager:
    """Runs a node from `Begin` to `Finish`. `on_ready()` is called once, when every tree is up."""

    def __init__(
        self,
        resolved: Resolved,
        folder: NodeFolder,
        incarnation: int,
        address: str,
        poller: Poller,
        log: LogWriter,
        early: Started | None = None,
    ) -> None:
        config = resolved.config
        self.resolved = resolved
        self.config = config
        self.incarnation = incarnation
        self._poller = poller
        self.log = log
        self._tracebacks = Tracebacks()
        self.log_tail = LogTail()
        self.on_ready: Callable[[], None] = _nobody_waits
        self._events: deque[Event] = deque()
        seed = int.from_bytes(os.urandom(8), "little")
        settings = ManagerSettings(
            node=config.name,
            incarnation=incarnation,
            cores=config.cores,
            budget=config.budget,
            drain_limit=int(config.drain_limit * SECOND),
            start_limit=config.start_limit,
            quarantine=config.policy,
            address=address,
            draw=lambda core, strikes: key_of(seed, core, strikes),
            zygote=True,
        )
        self.state = ManagerState(settings)
        self.application = ""
        self.log_level = config.log_level
        self._children = Children(poller, self._child_ended)
        self.zygote = ZygoteClient(poller, self._children, config.app, config.import_path, self._zygote_said, early)
        self.pages = Pages(config.cores)
        self.pin_mark = PinMark()
        self.pinning = pinning_for(config.pin, config.cores, self.pin_mark)
        self.watchdog = Watchdog(self.pages, poller, self.put, config.stall_limit)
        self._crew: CoreCrew | None = None
        self._peering: Peering | None = None
        self._commands = Commands(self)
        hello = {"node": config.name, "incarnation": incarnation, "pid": os.getpid()}
        self._control = ControlServer(poller, folder.control, hello, self._commands.take)
        self._terminal = has_terminal()  # asked now: when SIGHUP says that it is gone, it is gone
        self._insistence = Insistence()
        self._lateness = Lateness()
        self._signals = Signals(poller, self._signal)

    @property
    def crew(self) -> CoreCrew:
        """The core processes; set by `attach`."""
        assert self._crew is not None
        return self._crew

    @property
    def poller(self) -> Poller:
        """Where alarms may be set."""
        return self._poller

    def attach(self, crew: CoreCrew, peering: Peering | None) -> None:
        """Give what needs the node's sockets; once, before `run`."""
        self._crew = crew
        self._peering = peering

    @property
    def children(self) -> Children:
        """The core processes as children."""
        return self._children

    # -- events from the parts --------------------------------------------------------------------------------------

    def put(self, event: Event) -> None:
        """Decide on `event` in this pass."""
        self._events.append(event)

    def _zygote_said(self, event: Event) -> None:
        if isinstance(event, ZygoteUp):
            self.crew.spare.renew()
        self.put(event)

    def note(self, note: Note) -> None:
        """A line for the log, an event for those who follow."""
        line: Line = {"at": time.time_ns(), "level": note.level, "event": note.event, "node": self.config.name}
        line.update(note.fields)
        if LEVELS[note.level] >= LEVELS[self.log_level]:
            self._write(line)
        self._control.publish(line)

    def _write(self, line: Line) -> None:
        self.log.put(line)
        self.log_tail.put(line)

    def core_said(self, core: int, incarnation: int, frame: Any) -> None:
        """A frame from a core's pipe."""
        match frame:
            case ["log", dict(line)]:
                self._write(self._tracebacks.fold(line))
                if line.get("event") == REPORT_EVENT:
                    self._control.publish(line)
            case ["beat", dict(beat)]:
                self.crew.beat(core, beat)
                self._weigh(core, incarnation)
            case ["bound", endpoint, remote, key, application, _version]:
                self.application = application
                self._watch(core)
                self.put(CoreBound(core, incarnation, endpoint, remote, key))
            case ["left", int(requests), int(streams), int(queued)]:
                self.put(CoreLeft(core, incarnation, requests, streams, queued))
            case ["started"]:
                self.crew.started(core)
                self.put(CoreStarted(core, incarnation))
            case ["reported", kind, text]:
                self.put(CoreReported(core, incarnation, kind, text))
            case ["named", names, groups]:
                self.put(CoreNamed(core, incarnation, tuple(names), read_groups(groups)))
            case ["tree" | "links", request, rows]:
                self._commands.rows_arrived(request, core, rows)
            case _:
                self.note(Note("error", "core spoke nonsense", {"core": core, "frame": repr(frame)[:200]}))
                self._children.kill(core)

    def _watch(self, core: int) -> None:
        child = self._children.get(core)
        if child is not None:
            self.watchdog.watch(child)

    def _weigh(self, core: int, incarnation: int) -> None:
        """A core that beats has worked, so it may have grown."""
        limit = self.config.memory
        child = self._children.get(core)
        if limit is None or child is None:
            return
        resident = resident_bytes(child.pid)
        if resident is not None and resident > limit:
            self.put(CoreOutgrew(core, incarnation, resident, limit))

    def core_failed(self, core: int, incarnation: int, why: str) -> None:
        """A core could not even be started."""
        self.put(CoreEnded(core, incarnation, why))

    def greeting(self) -> Iterator[Shared]:
        """The whole state, for a manager that was just linked."""
        yield self.state.view()
        yield from self.state.shared_names()

    def call_info(self) -> dict[str, Any]:
        """What clients dial."""
        return call_info(self.state, self.config.cluster, self.application)

    def lifeline_cut(self, _why: str) -> None:
        """The program that started this node is gone, or let it go."""
        self.put(StopAsked("the program that started it has ended"))

    def _child_ended(self, core: int, incarnation: int, how: str) -> None:
        if core == SPARE:
            self.crew.spare.ended()
            return
        self.crew.drain(core)  # what it said last explains its end
        at = self.watchdog.place(core)
        self.put(CoreEnded(core, incarnation, self.watchdog.forget(core, how), at))

    def _kill(self, core: int, look: bool) -> None:
        child = self._children.get(core) if look else None
        if child is None:
            self.crew.kill(core)
            return
        self.watchdog.look(child)
        life = child.incarnation
        self._poller.alarm(LOOK_NS, lambda: self._kill_looked_at(core, life))

    def _kill_looked_at(self, core: int, incarnation: int) -> None:
        child = self._children.get(core)
        if child is not None and child.incarnation == incarnation:
            self.crew.kill(core)

    def _signal(self, number: int) -> None:
        if number == signal.SIGCHLD:
            self._children.reap_strays()
        elif number == signal.SIGHUP:
            if self._terminal:
                self.put(StopAsked("SIGHUP: its terminal is gone"))  # twice, often: of the kernel and of the shell
            else:
                reload(self)
        else:
            again = self._insistence.again(time.monotonic_ns())
            self.put(StopAsked(signal.Signals(number).name, now=again))

    # -- the loop ---------------------------------------------------------------------------------------------------

    def run(self) -> Finish:
        """Until the decisions say Finish; then nothing of the node runs any more."""
        self.put(Begin())
        try:
            while self.state.finished is None:
                self._pass()
        finally:
            self._close()
        assert self.state.finished is not None
        return self.state.finished

    def _pass(self) -> None:
        now = time.monotonic_ns()
        self._lateness.passes(self.state, now)
        more = self._peering.receive(now) if self._peering is not None else False
        due = self.state.deadline()
        if due is not None and due <= now:
            self.put(Tick())
        for _ in range(EVENTS_PER_PASS):
            if not self._events or self.state.finished is not None:
                break
            for action in self.state.decide(now, self._events.popleft()):
                self._carry_out(action)
            if self._peering is not None:
                self._peering.changed()
        if self.state.finished is not None:
            return
        self._rest(more)

    def _rest(self, more: bool) -> None:
        times = [self.state.deadline(), self._lateness.until(self.state, time.monotonic_ns())]
        if self._peering is not None:
            self._peering.flush(time.monotonic_ns())
            times.append(self._peering.deadline())
            more = more or self._peering.pending()
        if more or self._events:
            self._poller.wait(0)
            return
        due = min((at for at in times if at is not None), default=None)
        self._poller.wait(None if due is None else max(0, due - time.monotonic_ns()))

    def _carry_out(self, action: Action) -> None:
        match action:
            case Spawn(core, incarnation, kind):
                self.crew.spawn(core, incarnation, kind)
            case SpawnZygote():
                self.zygote.start()
            case KillZygote(look):
                self.zygote.kill(look)
            case Tell(core, item):
                self.crew.send(core, input_frame(item))
            case Go(core, peers):
                self.crew.send(core, ["go", peers])
            case CloseListeners(core):
                self.crew.listeners.close(core)
            case DivertListeners(core, away):
                self.crew.listeners.divert(core, away)
            case Kill(core, look):
                self._kill(core, look)
            case Share(node, item):
                if self._peering is not None:
                    self._peering.share(node, item)
            case Dial(address):
                if self._peering is not None:
                    self._peering.dial(address)
            case Note():
                self.note(action)
            case Ready():
                self.on_ready()
            case Finish():
                pass  # the loop sees `state.finished`
            case _:
                assert_never(action)

    def _close(self) -> None:
        self.zygote.close()
        self.watchdog.close()
        self.pin_mark.release()
        self._children.kill_all()
        if self._peering is not None:
            self._peering.close(time.monotonic_ns())
        self._control.close()
        self.crew.close()
        self._signals.close()


def _nobody_waits() -> None:
    """A node in the foreground tells its log that it is up, and nobody else."""
