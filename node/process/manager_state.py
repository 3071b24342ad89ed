"""What the manager of a node decides [pure]: `decide(now, event) -> actions`, for real processes and simulated ones.

One core's way:

    spawning --CoreBound--> waiting --Go--> starting --CoreStarted--> up
       any --CoreEnded--> spawning            within the budget `core_restarts`, at once
       any --CoreEnded--> quarantined         beyond it; `quarantine`: retry after a while that doubles, stay, or
                                              exit: the node stops in order and ends with 70
    spawning, starting, for longer than `start_limit` in all: killed, then as above
        up --CoreStalled--> killed            stood still for `stall_kill` (troubles.py), then as above
        up --CoreOutgrew--> stopping          drained like a stop, then replaced as above
       any --StopAsked--> stopping --CoreEnded--> ended

At boot no tree starts before every core is bound: all of them know all of them first, so that the links among the cores
of a node are up when the first isolate runs. A replacement is told of its peers, and they of it, before it may start.
Every core quarantined ends the node with 70 (EX_SOFTWARE of sysexits.h), so that systemd or Kubernetes act.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, assert_never

from regrove.node.cluster.membership import Membership
from regrove.node.cluster.names import NameTable
from regrove.node.cluster.views import CoreNames, CoreView, NodeView
from regrove.node.core.ports import NamesChanged, PeerCore, PeerGone, StopCore
from regrove.node.process.budget import SECOND, quarantine_delay
from regrove.node.process.core_slot import CoreSlot, ManagerSettings, NodeState, Troubles, exit_text
from regrove.node.process.draining import Drain
from regrove.node.process.manager_events import (
    Action,
    Begin,
    CloseListeners,
    CoreBound,
    CoreEnded,
    CoreHalted,
    CoreLeft,
    CoreNamed,
    CoreOutgrew,
    CoreReported,
    CoreResumed,
    CoreSlow,
    CoreStalled,
    CoreStarted,
    CoreStarved,
    DrainAsked,
    Event,
    Finish,
    ForkFailed,
    Go,
    Kill,
    Note,
    PeerLost,
    PeerTold,
    Ready,
    ReviveAsked,
    Share,
    Spawn,
    StopAsked,
    Tell,
    Tick,
    ZygoteAnswered,
    ZygoteEnded,
    ZygoteRefused,
    ZygoteSilent,
    ZygoteUp,
)
from regrove.node.process.peers import Peers, names_changed, peer_core
from regrove.node.process.troubles import Reporter
from regrove.node.process.zygote_slot import ZygoteEvent, ZygoteSlot
from regrove.supervisor.reasons import CoreDown, Shutdown

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 64  # EX_USAGE: the command line or the application cannot be used as given
EXIT_QUARANTINED: Final = 70
MIB: Final = 1024 * 1024
STOP_GRACE: Final = 2 * SECOND  # what a core gets beyond the drain limit it was told, before it is killed


class ManagerState:
    """The decisions of one manager; see the module's text. `deadline()` says when `Tick` is due."""

    def __init__(self, settings: ManagerSettings) -> None:
        self.settings = settings
        self.cores = [CoreSlot(core) for core in range(settings.cores)]
        self.members = Membership(settings.node, settings.incarnation, settings.address)
        self.names = NameTable()
        self.zygote = ZygoteSlot(settings.zygote, settings.start_limit)
        self.opened = False  # the first Go was given
        self.ready = False
        self.stopping = False
        self.finished: Finish | None = None
        self._reporter = Reporter()
        self._peers = Peers(self)
        self.drain = Drain(self)
        self.stop_deadline: int | None = None
        self._stop_why = ""
        self._stop_code = EXIT_OK

    @property
    def state(self) -> NodeState:
        """The node as a whole: `regrove status`."""
        if self.finished is not None:
            return "stopped"
        if self.stopping:
            return "stopping"
        if not self.ready:
            return "starting"
        if self.drain.on:
            return "drained" if self.drain.quiet else "draining"
        return "up" if all(slot.state == "up" for slot in self.cores) else "degraded"

    def decide(self, now: int, event: Event) -> list[Action]:
        """Take an event at `now` (ns, monotonic); nothing is decided any more after `Finish`."""
        out: list[Action] = []
        if self.finished is not None:
            return out
        match event:
            case Begin():
                if self.settings.zygote:
                    self.zygote.begin(now, out)
                for slot in self.cores:
                    self._spawn(slot, now, out)
            case CoreBound() | CoreStarted() | CoreReported() | CoreEnded() | CoreNamed() | CoreOutgrew():
                slot = self.cores[event.core]
                if slot.incarnation == event.incarnation and slot.alive:
                    self._core_event(slot, now, event, out)
            case ZygoteUp() | ZygoteRefused() | ZygoteEnded() | ZygoteAnswered() | ZygoteSilent() | ForkFailed():
                self._zygote_event(now, event, out)
            case CoreSlow() | CoreStalled() | CoreResumed() | CoreStarved() | CoreHalted():
                slot = self.cores[event.core]
                if slot.incarnation == event.incarnation and slot.alive:
                    self._reporter.take(slot, now, event, out)
            case PeerTold():
                self._peers.told(event, now, out)
            case PeerLost():
                self._peers.lost(event, out)
            case StopAsked():
                self.stop(event, now, out)
            case DrainAsked():
                self.drain.asked(event, now, out)
            case CoreLeft():
                slot = self.cores[event.core]
                if slot.incarnation == event.incarnation and slot.alive:
                    self.drain.left(slot, event, now, out)
            case ReviveAsked():
                self._revive(event, now, out)
            case Tick():
                self._tick(now, out)
            case _:
                assert_never(event)
        return out

    def deadline(self) -> int | None:
        """Ns of the next `Tick`, or None."""
        times = [self.stop_deadline, self.zygote.deadline, self.drain.deadline, self._peers.deadline]
        times += [slot.deadline for slot in self.cores]
        return min((at for at in times if at is not None), default=None)

    def view(self) -> NodeView:
        """What a newly linked manager is told first, followed by `names.rows(own node)`."""
        cores = tuple(
            CoreView(slot.core, slot.incarnation, slot.remote, slot.key)
            for slot in self.cores
            if slot.bound and slot.remote
        )
        row = self.members.get(self.settings.node)
        address = row.address if row is not None else ""
        return NodeView(
            self.settings.node, self.settings.incarnation, address, cores, self.members.linked(), self.stopping
        )

    def shared_names(self) -> Iterator[CoreNames]:
        """What other nodes are told of this one's names; nothing while it drains or stops."""
        return iter(()) if self.drain.closed else iter(self.names.rows(self.settings.node))

    def home(self, slot: CoreSlot) -> tuple[str, int, int, int]:
        """The life of a core as the links know it."""
        return (self.settings.node, self.settings.incarnation, slot.core, slot.incarnation)

    # -- one core ---------------------------------------------------------------------------------------------------

    def _core_event(
        self,
        slot: CoreSlot,
        now: int,
        event: CoreBound | CoreStarted | CoreReported | CoreEnded | CoreNamed | CoreOutgrew,
        out: list[Action],
    ) -> None:
        match event:
            case CoreBound():
                self._core_bound(slot, event, now, out)
            case CoreStarted():
                self._core_started(slot, out)
            case CoreReported():
                self._core_reported(slot, event, out)
            case CoreEnded():
                self._core_ended(slot, event, now, out)
            case CoreNamed():
                self._core_named(slot, event, out)
            case CoreOutgrew():
                self._core_outgrew(slot, event, now, out)
            case _:
                assert_never(event)

    def _spawn(self, slot: CoreSlot, now: int, out: list[Action]) -> None:
        slot.incarnation += 1
        slot.state = "spawning"
        slot.endpoint = slot.remote = slot.key = ""
        slot.report = slot.kill_reason = None
        slot.troubles = Troubles()
        slot.left = None
        slot.owed = self.zygote.awaited
        if not slot.owed:
            self._start_process(slot, now, out)

    def _start_process(self, slot: CoreSlot, now: int, out: list[Action]) -> None:
        slot.owed = False
        slot.started_at = now
        limit = self.settings.start_limit
        slot.deadline = None if limit is None else now + limit
        out.append(Spawn(slot.core, slot.incarnation, self.zygote.kind))

    def _zygote_event(self, now: int, event: ZygoteEvent, out: list[Action]) -> None:
        self.zygote.take(now, event, self.stopping, out)
        if isinstance(event, ZygoteRefused) and not self.opened and not self.stopping:
            self._finish(Finish(EXIT_USAGE, event.text), out)  # every core would say the same
            return
        if not self.zygote.awaited:
            for slot in self.cores:
                if slot.owed:
                    self._start_process(slot, now, out)
        if isinstance(event, ForkFailed):
            self._fork_failed(self.cores[event.core], event, now, out)

    def _fork_failed(self, slot: CoreSlot, event: ForkFailed, now: int, out: list[Action]) -> None:
        if slot.incarnation != event.incarnation or slot.state not in ("spawning", "stopping"):
            return
        if (
            slot.kill_reason is not None
        ):  # it was to be killed meanwhile: there was nothing to kill, and will be nothing
            self._core_ended(slot, CoreEnded(slot.core, slot.incarnation, f"was not forked: {event.why}"), now, out)
            return
        fields: dict[str, object] = {"core": slot.core, "reason": event.why}
        out.append(Note("warning", "fork failed, core is started as a fresh process", fields))
        out.append(Spawn(slot.core, slot.incarnation, "fresh"))

    def _core_bound(self, slot: CoreSlot, event: CoreBound, now: int, out: list[Action]) -> None:
        if slot.state != "spawning":
            return
        slot.state = "waiting"
        slot.start_left = None if slot.deadline is None else max(slot.deadline - now, 0)
        slot.deadline = None
        slot.endpoint, slot.remote, slot.key = event.endpoint, event.remote, event.key
        for other in self._bound_but(slot):
            out.append(Tell(other.core, PeerCore(self.home(slot), slot.endpoint)))
            out.append(Tell(slot.core, PeerCore(self.home(other), other.endpoint)))
        self._tell_of_the_cluster(slot, out)
        if slot.remote:
            out.append(Share(None, self.view()))
        self._open(now, out)

    def _tell_of_the_cluster(self, slot: CoreSlot, out: list[Action]) -> None:
        for member in self.members.others():
            for core in member.cores:
                out.append(Tell(slot.core, peer_core(member.name, member.incarnation, core)))
        for row in self.names.rows():
            out.append(Tell(slot.core, names_changed(row)))

    def _open(self, now: int, out: list[Action]) -> None:
        """Let trees start: all waiting cores, once none is still on its way for the first time."""
        if not self.opened and any(slot.state == "spawning" for slot in self.cores):
            return
        self.opened = True
        for slot in self.cores:
            if slot.state == "waiting":
                slot.state = "starting"
                slot.deadline = None if slot.start_left is None else now + slot.start_left
                out.append(Go(slot.core, tuple(other.core for other in self._bound_but(slot))))
        self._check_ready(out)

    def _core_started(self, slot: CoreSlot, out: list[Action]) -> None:
        if slot.state != "starting":
            return
        slot.state = "up"
        slot.deadline = None
        fields: dict[str, object] = {"core": slot.core, "incarnation": slot.incarnation}
        if slot.last_exit is not None:
            fields["after"] = slot.last_exit
        out.append(Note("info", "core up", fields))
        self.drain.began(slot, out)
        self._check_ready(out)

    def _check_ready(self, out: list[Action]) -> None:
        if self.ready or not all(slot.state in ("up", "quarantined") for slot in self.cores):
            return
        self.ready = True
        out.append(Note("info", "node up", {"cores": len(self.cores), "state": self.state}))
        out.append(Ready())

    def _core_reported(self, slot: CoreSlot, event: CoreReported, out: list[Action]) -> None:
        slot.report = event.text
        if self.opened:
            return
        # At boot nothing is lost by ending at once: every core loads the same files and binds on the same machine.
        if event.kind == "refused":
            self._finish(Finish(EXIT_USAGE, event.text), out)
        elif event.kind == "failed" and slot.state == "spawning":
            self._finish(Finish(EXIT_FAILED, event.text), out)

    def _core_named(self, slot: CoreSlot, event: CoreNamed, out: list[Action]) -> None:
        node = self.settings.node
        entry = CoreNames(node, self.settings.incarnation, slot.core, slot.incarnation, event.names, event.groups)
        if not self.names.put(entry):
            return
        change = names_changed(entry)
        out.extend(Tell(other.core, change) for other in self._bound_but(slot))
        if not self.drain.closed:
            out.append(Share(None, entry))
        out.append(Note("debug", "names changed", {"core": slot.core}))

    def _core_outgrew(self, slot: CoreSlot, event: CoreOutgrew, now: int, out: list[Action]) -> None:
        if slot.state not in ("starting", "up"):
            return
        sizes = f"{event.resident // MIB} MiB resident, the limit is {event.limit // MIB} MiB"
        slot.kill_reason = f"outgrew its memory limit: {sizes}"
        slot.state = "stopping"
        slot.deadline = now + self.settings.drain_limit + STOP_GRACE
        out.append(Note("error", "core outgrew its memory limit", {"core": slot.core, "reason": slot.kill_reason}))
        out.append(Tell(slot.core, StopCore(self.settings.drain_limit / SECOND, Shutdown(slot.kill_reason))))

    def _core_ended(self, slot: CoreSlot, event: CoreEnded, now: int, out: list[Action]) -> None:
        was_bound, orderly = slot.bound, slot.state == "stopping"
        slot.last_exit = exit_text(slot, event)
        slot.deadline = None
        slot.state = "ended"
        home = self.home(slot)
        if was_bound:
            self._announce_end(slot, home, out)
        if self.stopping:
            level: Literal["info", "warning"] = "info" if orderly and slot.kill_reason is None else "warning"
            out.append(CloseListeners(slot.core))
            out.append(Note(level, "core ended", {"core": slot.core, "reason": slot.last_exit}))
            self._check_stopped(out)
        else:
            self._replace(slot, now, out)

    def _announce_end(self, slot: CoreSlot, home: tuple[str, int, int, int], out: list[Action]) -> None:
        reason = CoreDown(f"core {slot.core} of {self.settings.node} {slot.last_exit}")
        for other in self._bound_but(slot):
            out.append(Tell(other.core, PeerGone(home, reason)))
        if self.names.drop_core(self.settings.node, slot.core):
            out.extend(Tell(o.core, NamesChanged(home[0], slot.core, ())) for o in self._bound_but(slot))
        if slot.remote:
            out.append(Share(None, self.view()))

    def _replace(self, slot: CoreSlot, now: int, out: list[Action]) -> None:
        budget = self.settings.budget
        if now - slot.started_at > budget.period:
            slot.strikes = 0
        slot.restarts = budget.spent(slot.restarts, now)
        fields: dict[str, object] = {"core": slot.core, "incarnation": slot.incarnation, "reason": slot.last_exit}
        if slot.strikes == 0 and len(slot.restarts) < budget.limit:
            slot.restarts.append(now)
            out.append(Note("warning", "core replaced", fields))
            self._spawn(slot, now, out)
            return
        slot.strikes += 1
        self._quarantine(slot, now, fields, out)

    def _quarantine(self, slot: CoreSlot, now: int, fields: dict[str, object], out: list[Action]) -> None:
        slot.state = "quarantined"
        out.append(CloseListeners(slot.core))
        policy = self.settings.quarantine
        if policy == "retry":
            delay = quarantine_delay(slot.strikes, self.settings.draw(slot.core, slot.strikes))
            slot.deadline = now + delay
            fields["retry_s"] = round(delay / SECOND, 3)
        else:
            fields["policy"] = policy
        out.append(Note("error", "core quarantined", fields))
        if all(other.state == "quarantined" for other in self.cores):
            self._finish(
                Finish(EXIT_QUARANTINED, f"every core is quarantined; core {slot.core}: {slot.last_exit}"), out
            )
        elif policy == "exit":
            self._stop_code = EXIT_QUARANTINED
            self.stop(StopAsked(f"core {slot.core} is quarantined: {slot.last_exit}"), now, out)
            self._check_stopped(out)
        else:
            self._open(now, out)

    def _revive(self, event: ReviveAsked, now: int, out: list[Action]) -> None:
        for slot in self.cores:
            if slot.state != "quarantined" or event.core not in (None, slot.core):
                continue
            slot.strikes = 0
            slot.restarts = []
            out.append(Note("info", "core revived", {"core": slot.core}))
            self._spawn(slot, now, out)

    # -- the end ----------------------------------------------------------------------------------------------------

    def stop(self, event: StopAsked, now: int, out: list[Action], limit: int | None = None) -> None:
        """Leave in order, within `limit` ns (None: the drain limit), or at once.

        Asked again for an orderly stop it goes on with the one under way.
        """
        if self.stopping:
            if event.now:
                self._stop_now(event.why, out)
            return
        self.stopping = True
        self._stop_why = event.why
        self.members.leave()
        limit = self.settings.drain_limit if limit is None else limit
        out.append(Note("info", "node stopping", {"why": event.why, "limit_s": limit / SECOND}))
        out.append(Share(None, self.view()))
        if event.now:
            self._stop_now(event.why, out)
            return
        self.stop_deadline = now + limit + STOP_GRACE
        self.drain.stopping(out)
        for slot in self.cores:
            self._stop_core(slot, event.why, limit, out)
        self._check_stopped(out)

    def _stop_core(self, slot: CoreSlot, why: str, limit: int, out: list[Action]) -> None:
        slot.deadline = None
        if slot.owed:
            slot.owed = False
            slot.state = "ended"
        elif slot.state in ("starting", "up"):
            slot.state = "stopping"
            out.append(Tell(slot.core, StopCore(limit / SECOND, Shutdown(why))))
        elif slot.state in ("spawning", "waiting"):
            slot.kill_reason = "was killed before its tree started: the node is stopping"
            slot.state = "stopping"
            out.append(Kill(slot.core))
        elif slot.state == "quarantined":
            slot.state = "ended"

    def _stop_now(self, why: str, out: list[Action]) -> None:
        self.stop_deadline = None
        for slot in self.cores:
            slot.deadline = None
            if slot.alive and not slot.owed:
                slot.kill_reason = f"was killed: the node was told to stop at once ({why})"
                out.append(Kill(slot.core))
            else:
                slot.owed = False
                slot.state = "ended"
        self._check_stopped(out)

    def _check_stopped(self, out: list[Action]) -> None:
        if all(slot.state == "ended" for slot in self.cores):
            self._finish(Finish(self._stop_code, f"stopped: {self._stop_why}"), out)

    def _tick(self, now: int, out: list[Action]) -> None:
        for part in (self.drain, self.zygote, self._peers):
            part.tick(now, out)
        for slot in self.cores:
            if slot.deadline is None or slot.deadline > now:
                continue
            slot.deadline = None
            if slot.state == "quarantined":
                out.append(Note("info", "core retried", {"core": slot.core, "strikes": slot.strikes}))
                self._spawn(slot, now, out)
            elif slot.state in ("spawning", "starting"):
                slot.kill_reason = self._too_slow(slot)
                out.append(Kill(slot.core, look=True))
            elif slot.state == "stopping":
                out.append(Kill(slot.core))
        if self.stop_deadline is not None and self.stop_deadline <= now:
            self.stop_deadline = None
            for slot in self.cores:
                if slot.alive:
                    slot.kill_reason = "was killed: it had not stopped within the drain limit"
                    out.append(Kill(slot.core))

    def _too_slow(self, slot: CoreSlot) -> str:
        limit = (self.settings.start_limit or 0) / SECOND
        doing = "it was still loading the application" if slot.state == "spawning" else "its tree was still starting"
        return f"was killed: it was not up within start_kill = {limit:g} s, {doing}"

    def _finish(self, finish: Finish, out: list[Action]) -> None:
        self.finished = finish
        out.append(finish)

    # -- helpers ----------------------------------------------------------------------------------------------------

    def _bound_but(self, slot: CoreSlot) -> list[CoreSlot]:
        return [other for other in self.cores if other is not slot and other.bound]

    def tell_all(self, item: PeerCore | PeerGone | NamesChanged, out: list[Action]) -> None:
        """Hand a control input to every core that is bound."""
        out.extend(Tell(slot.core, item) for slot in self.cores if slot.bound)
