"""One simulated node: the manager's decisions (`process.manager_state`) carried out on simulated processes.

Spawning takes the time a fresh Python takes, an end is noticed after milliseconds, the managers of all nodes are linked
to each other; what they tell waits while a cut stands between them, and their link ends when one of them does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, assert_never

from regrove.node.cluster.views import Shared
from regrove.node.core.address import Home
from regrove.node.core.ports import ControlOutput, DrainLeft, NamesChanged, Started, Stopped, TreeReport
from regrove.node.process import manager_events as me
from regrove.node.process.core_slot import ManagerSettings
from regrove.node.process.manager_state import EXIT_QUARANTINED, ManagerState
from regrove.node.simulation.clock import MICROSECOND, MILLISECOND, SECOND
from regrove.node.simulation.cores import SimulatedCore
from regrove.node.simulation.disk import Disk
from regrove.node.simulation.driver import Life
from regrove.node.simulation.seeds import Distribution, key_of

if TYPE_CHECKING:
    from regrove.node.simulation.world import World

SPAWN_TIME: Final = Distribution((15, 120 * MILLISECOND, 250 * MILLISECOND), (1, 250 * MILLISECOND, SECOND))
FORK_TIME: Final = Distribution((15, 3 * MILLISECOND, 9 * MILLISECOND), (1, 9 * MILLISECOND, 60 * MILLISECOND))
NOTICE_TIME: Final = Distribution((15, MILLISECOND, 4 * MILLISECOND), (1, 4 * MILLISECOND, 20 * MILLISECOND))
PIPE_TIME: Final = Distribution((15, 20 * MICROSECOND, 150 * MICROSECOND), (1, 150 * MICROSECOND, 2 * MILLISECOND))
LEVEL_3: Final = SECOND  # what systemd or Kubernetes takes to start a node again that ended with EXIT_QUARANTINED


class SimulatedNode:
    """A machine: a manager, its cores, one disk."""

    def __init__(self, world: World, index: int, cores: int) -> None:
        self.world = world
        self.index = index
        self.short = f"n{index}"
        self.name = f"n{index}@sim"
        self.incarnation = 0
        self._pauses = 0
        self.stopped_at = 0  # when it was, if it is stopped now
        self.ready = False  # every core has started in this life of the node
        self.state: ManagerState | None = None
        self.decided = 0  # how often its managers have decided something: what they say of the node stands until then
        self.disk = Disk(self.name, world.draws)
        self.cores = [SimulatedCore(self, core) for core in range(cores)]
        self.exit: me.Finish | None = None
        self._zygote = 0  # the life of the zygote, counted over all lives of the node
        self._tick_at: int | None = None
        self._pipes: dict[int, int] = {}  # when the last message in each core's pipe arrives
        self.boot_when_gone = False  # it is leaving, and to be started again
        self._held: deque[me.Event] = deque()  # what the manager has not read while it was stopped

    @property
    def pauses(self) -> int:
        """How many stand that stop it as a whole."""
        return self._pauses

    @pauses.setter
    def pauses(self, count: int) -> None:
        self._pauses = count
        for core in self.cores:
            core.halted = count

    @property
    def alive(self) -> bool:
        """Whether its manager runs."""
        return self.state is not None

    @property
    def leaving(self) -> bool:
        """Whether it was asked to stop and has not ended yet."""
        return self.state is not None and self.state.state == "stopping"

    @property
    def waiting(self) -> int:
        """Inputs that its cores have not taken yet."""
        return sum(core.waiting for core in self.cores)

    def pause(self) -> Callable[[], None]:
        """Stop all of it; return how to let it go on, which does nothing once this life of the machine is over."""
        if not self.pauses:
            self.stopped_at = self.world.clock.now
        self.pauses += 1
        incarnation = self.incarnation

        def go_on() -> None:
            if self.incarnation == incarnation and self.pauses:
                self.pauses -= 1
                self.resumed()

        return go_on

    # --- lives ---

    def boot(self) -> None:
        """Start the manager, and with it the cores."""
        assert self.state is None
        world = self.world
        world.tcp.power_back(self.name)
        world.network.silence.machine_back(self.name)
        world.control.back(self)
        self.incarnation += 1
        self.ready = False
        self.exit = None
        self.boot_when_gone = False
        seed = key_of(world.seed, "manager", self.name)
        settings = ManagerSettings(
            self.name,
            self.incarnation,
            len(self.cores),
            world.budget,
            address=f"sim://{self.name}",
            draw=lambda core, strikes: key_of(seed, core, strikes),
            zygote=True,
        )
        self.state = ManagerState(settings)
        world.note(self.name, "node-boot", str(self.incarnation))
        self.decide(me.Begin())
        world.control.meet(self)

    def lose_power(self, silently: bool = False) -> None:
        """All processes are gone; of what was not synced the disk keeps a keyed part.

        Other nodes hear of it at once, as if its kernel had lived to tell, or not before they have waited in vain.
        """
        if self.state is None:
            return
        self.world.note(self.name, "machine-crash" if silently else "node-crash")
        self.world.tcp.lose_power(self.name)
        self._end(silently)
        self.disk.lose_power()
        for taken in self.disk.taken:
            self.world.trace.aside(self.world.clock.now, f"{self.name} {taken}")

    def lose_manager(self) -> None:
        """The manager is killed, and the kernel kills its cores; the disk keeps all that was written."""
        if self.state is not None:
            self.world.note(self.name, "manager-crash")
            self._end()

    def _end(self, silently: bool = False) -> None:
        if silently:
            self.world.network.silence.machine_gone(self.name)
        self.state = None
        self.ready = False
        self._tick_at = None
        self.pauses = 0  # what is gone is stopped no more
        self._held.clear()
        for core in self.cores:
            if core.life is not None:
                core.life.kill(silently)
        if silently:
            self.world.control.vanished(self)
        else:
            self.world.control.gone(self, self.incarnation)

    def stop(self, why: str) -> None:
        """Ask the node to leave in order, as SIGTERM does."""
        self.event(me.StopAsked(why))

    def drain(self, why: str, leave: bool = False) -> None:
        """Ask the node to take no new work, and to `leave` when nothing is left."""
        self.event(me.DrainAsked(why, leave))

    # --- the manager ---

    def event(self, event: me.Event) -> None:
        """Something the manager hears of; a stopped one hears of it when it goes on."""
        if self.state is None:
            return
        if self.pauses:
            self._held.append(event)
        else:
            self.decide(event)

    def resumed(self) -> None:
        """Go on after a pause of the whole node."""
        if self.pauses:
            return
        while self._held and self.state is not None:
            self.decide(self._held.popleft())
        for core in self.cores:
            core.resumed()

    def decide(self, event: me.Event) -> None:
        """Let the manager decide, and do what it says."""
        state = self.state
        if state is None:
            return
        self.decided += 1
        for action in state.decide(self.world.clock.now, event):
            self._carry_out(action)
        self._arm(state)

    def _arm(self, state: ManagerState) -> None:
        deadline = state.deadline()
        if deadline is None or self.state is not state or (self._tick_at is not None and self._tick_at <= deadline):
            return
        self._tick_at = deadline
        self.world.later(deadline - self.world.clock.now, "tick", self.name, self._tick, (state, deadline))

    def _tick(self, due: tuple[ManagerState, int]) -> None:
        state, deadline = due
        if self.state is state and self._tick_at == deadline:
            self._tick_at = None
            self.event(me.Tick())  # which asks for the next; a stopped manager does when it goes on

    def _carry_out(self, action: me.Action) -> None:
        match action:
            case me.Spawn(core, incarnation, kind):
                self._spawn(core, incarnation, kind)
            case me.SpawnZygote():
                self._spawn_zygote()
            case me.KillZygote():
                self.kill_zygote("killed by its manager")
            case me.Tell(core, item):
                home = self._home(core)
                self._pipe(core, lambda: self.cores[core].deliver(item, home))
            case me.Go(core, peers):
                self._pipe(core, lambda: self._go(core, peers))
            case me.Kill(core):
                self.kill_core(self.cores[core], "killed by its manager")
            case me.Share(node, item):
                self._share(node, item)
            case me.CloseListeners() | me.DivertListeners():
                pass  # a simulated core's listeners end with it
            case me.Dial():
                pass  # every two managers of a world that live are linked
            case me.Note(level, event, fields):
                self.world.log.bind(node=self.name)._keep(level, event, (), dict(fields))
                core_text = f" {fields['core']}" if "core" in fields else ""
                what = event.replace(" ", "-") + core_text.replace(" ", "-")
                self.world.note(self.name, what, told=str(fields.get("peer", "")))
            case me.Ready():
                self.ready = True
            case me.Finish():
                self._finish(action)
            case _:
                assert_never(action)

    def _home(self, core: int) -> Home:
        assert self.state is not None
        return Home._make(self.state.home(self.state.cores[core]))

    def _finish(self, finish: me.Finish) -> None:
        self.exit = finish
        self._end()
        if self.boot_when_gone:
            self.boot()
        elif finish.code == EXIT_QUARANTINED:
            self.world.later(LEVEL_3, "level-3", self.name, self._level_3, self.incarnation)

    def _level_3(self, incarnation: int) -> None:
        if self.state is None and self.incarnation == incarnation:
            self.boot()

    # --- its cores ---

    def _spawn_zygote(self) -> None:
        delay = SPAWN_TIME.pick(self.world.draws.draw("zygote", self.name))
        self._zygote += 1
        self.world.later(delay, "zygote", self.name, self._zygote_up, (self.state, self._zygote))

    def _zygote_up(self, call: tuple[ManagerState | None, int]) -> None:
        if call == (self.state, self._zygote):
            self.event(me.ZygoteUp())

    def kill_zygote(self, how: str) -> None:
        """End its process; the manager notices a little later, starts cores as fresh ones, and starts it again."""
        self._zygote += 1
        delay = NOTICE_TIME.pick(self.world.draws.draw("notice", self.name, "zygote"))
        told = (self.state, me.ZygoteEnded(how))
        self.world.later(delay, "zygote-ended", self.name, self._tell_manager, told)

    def _spawn(self, core: int, incarnation: int, kind: me.SpawnKind) -> None:
        time = FORK_TIME if kind == "fork" else SPAWN_TIME
        delay = time.pick(self.world.draws.draw("spawn", self.name, str(core)))
        self.world.later(delay, "spawn", self.cores[core].name, self._spawned, (self.state, core, incarnation))

    def _spawned(self, call: tuple[ManagerState, int, int]) -> None:
        state, core, incarnation = call
        if self.state is not state or state.cores[core].incarnation != incarnation or not state.cores[core].alive:
            return
        place = self.cores[core]
        life = place.life = Life(place, Home(self.name, self.incarnation, core, incarnation))
        place.tracer.note("core-boot", str(incarnation))
        self.event(me.CoreBound(core, incarnation, life.endpoint, life.endpoint))

    def _pipe(self, core: int, action: object) -> None:
        """Put something into a core's pipe: it arrives in order, a little later."""
        delay = PIPE_TIME.pick(self.world.draws.draw("pipe", self.name, str(core)))
        time = max(self.world.clock.now + delay, self._pipes.get(core, 0) + 1)
        self._pipes[core] = time
        self.world.later(time - self.world.clock.now, "piped", self.cores[core].name, _do, action)

    def _go(self, core: int, peers: tuple[int, ...]) -> None:
        life = self.cores[core].life
        if life is None or life.dead or self.state is None:
            return
        life.go(tuple(self._home(peer) for peer in peers if self.cores[peer].alive))

    def kill_core(self, core: SimulatedCore, how: str) -> bool:
        """End a core's process; the manager notices a little later. False when there is none."""
        life = core.life
        if life is None or life.dead:
            return self._kill_unborn(core, how)
        life.kill()
        core.tracer.note("core-killed", how)
        self._ended(life, how)
        return True

    def _kill_unborn(self, core: SimulatedCore, how: str) -> bool:
        state = self.state
        if state is None or state.cores[core.index].state not in ("spawning", "stopping"):
            return False
        self._notice(core.index, state.cores[core.index].incarnation, how)
        return True

    def _ended(self, life: Life, how: str) -> None:
        self._notice(life.home.core, life.home.core_incarnation, how)

    def _notice(self, core: int, incarnation: int, how: str) -> None:
        delay = NOTICE_TIME.pick(self.world.draws.draw("notice", self.name, str(core)))
        event = me.CoreEnded(core, incarnation, how)
        self.world.later(delay, "ended", self.cores[core].name, self._tell_manager, (self.state, event))

    def reported(self, life: Life, item: ControlOutput) -> None:
        """A core's control output, through its pipe to the manager."""
        core, incarnation = life.home.core, life.home.core_incarnation
        match item:
            case Started():
                self._report(me.CoreStarted(core, incarnation))
            case NamesChanged():
                self._report(me.CoreNamed(core, incarnation, item.names, item.groups))
            case Stopped():
                text = (
                    f"its tree stopped: {item.reason}" if item.asked else f"its root supervisor gave up: {item.reason}"
                )
                self._report(me.CoreReported(core, incarnation, "stopped" if item.asked else "escalated", text))
                life.stopped = True
                life.leave()
                life.place.tracer.note("core-stopped", type(item.reason).__name__)
                self._ended(life, "exited")
            case DrainLeft(requests, streams, queued):
                self._report(me.CoreLeft(core, incarnation, requests, streams, queued))
            case TreeReport():
                pass  # only a command line asks
            case _:
                assert_never(item)

    def _report(self, event: me.Event) -> None:
        delay = PIPE_TIME.pick(self.world.draws.draw("report", self.name, type(event).__name__))
        key = -1 - getattr(event, "core", 0)
        time = max(self.world.clock.now + delay, self._pipes.get(key, 0) + 1)
        self._pipes[key] = time
        self.world.later(time - self.world.clock.now, "reported", self.name, self._tell_manager, (self.state, event))

    def _tell_manager(self, told: tuple[ManagerState | None, me.Event]) -> None:
        state, event = told
        if state is not None and self.state is state:
            self.event(event)

    # --- other nodes ---

    def _share(self, node: str | None, item: Shared) -> None:
        for other in self.world.nodes:
            if other is not self and (node is None or other.name == node):
                self.world.control.tell(self, other, me.PeerTold(item))

    def __repr__(self) -> str:
        state = "down" if self.state is None else self.state.state
        return f"<node {self.short} incarnation={self.incarnation} {state}>"


def _do(action: object) -> None:
    assert callable(action)
    action()
