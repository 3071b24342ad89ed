"""`Simulation`: a cluster in one thread, and what a tester does with it (simulation.md, "What testers get").

    with Simulation(app, nodes=3, cores=2, seed=7, faults=f.swarm(f.cut(), f.crash())) as sim:
        sim.run("60s")

Places are nodes and cores of `sim.nodes`, or their names `n0` and `n0/1`. Times are texts such as `"10ms"`, or seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Literal, TypeVar

from regrove.node.client.errors import CallFailed
from regrove.node.client.supervising import SupervisorClient
from regrove.node.core.address import Address, Name
from regrove.node.core.application import Application
from regrove.node.core.errors import Misuse
from regrove.node.core.isolate import Cell
from regrove.node.core.sent import UNREACHABLE, Sent
from regrove.node.process.budget import RestartBudget
from regrove.node.simulation import faults as f
from regrove.node.simulation import outside
from regrove.node.simulation.checks import (
    POLL,
    QUIET_POLL,
    SETTLE_LIMIT,
    Always,
    NotSettled,
    Predicate,
    PropertyViolated,
    unrest,
)
from regrove.node.simulation.client import SimulatedClient
from regrove.node.simulation.clock import MILLISECOND, SECOND, Span, duration, written
from regrove.node.simulation.driver import SimulatedCore
from regrove.node.simulation.effects_once import Conserved
from regrove.node.simulation.faults import Fault, Faults
from regrove.node.simulation.finding import Found, NotThere, cells, found_of, is_so
from regrove.node.simulation.history import History
from regrove.node.simulation.holding import Held
from regrove.node.simulation.node import SimulatedNode
from regrove.node.simulation.outside import OutsideStream
from regrove.node.simulation.searching import Search, faults_under
from regrove.node.simulation.shared import SharedState
from regrove.node.simulation.story import story
from regrove.node.simulation.trace import Trace
from regrove.node.simulation.waiting import Deadlock, deadlocks
from regrove.node.simulation.world import World

T = TypeVar("T")
Place = SimulatedNode | SimulatedCore | str
BOOT_LIMIT: Final = 120 * SECOND
NAMES_TIME: Final = 50 * MILLISECOND  # what the first names take to reach every manager


class Simulation:
    """See the module's text. Entering waits until every tree has started; leaving checks `always` once more.

    `faults` are drawn from `seed`, or given by hand; `profile` is `faithful` (what ZeroMQ can do) or `hostile` (single
    messages are lost too); `settings` is what `--set` gives; `core_restarts` is the budget of level 2; `search`
    says how the faults of the seed are chosen (`searching.py`); one world runs one order, the first of `exhaustive`.
    """

    def __init__(
        self,
        app: Application,
        nodes: int = 1,
        cores: int = 1,
        seed: int = 0,
        faults: Faults = None,
        profile: str = "faithful",
        settings: Mapping[str, str] | None = None,
        core_restarts: str = "3/30s",
        search: Search = "",
    ) -> None:
        self.seed = seed
        faults = faults_under(search, seed, faults)
        self.profile = profile
        self.closed = False
        self.command = ""  # how to run this seed again, for the story
        self.telling = True  # a failure gets its story at once
        budget = RestartBudget.parse(core_restarts)
        self.world = World(app, nodes, cores, seed, faults, profile, settings, budget)
        self.client = SimulatedClient(self.world, self._drive)
        self._always: list[Always] = []
        self._conserved: list[Conserved] = []
        self._streams = 0
        self._driving = False
        self._entered = False

    # --- the beginning and the end ---

    def __enter__(self) -> Simulation:
        if self._entered:
            raise Misuse("a Simulation is entered once: make another one for another run")
        self._entered = True
        try:
            if not self._drive(lambda: all(node.ready for node in self.nodes), BOOT_LIMIT):
                lines = [line for line in self.world.log.lines if line["level"] in ("warning", "error")]
                raise AssertionError(f"the trees did not start: {self.nodes!r}; the last word: {lines[-1:]}")
            self._drive(None, self.now + NAMES_TIME)
        except BaseException as error:
            self._failed(error)
            raise
        self.world.stage.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shared = self.world.captured.undo()
        self.world.stage.end()
        try:
            if error is None:
                self._check_all()
                if shared:
                    raise SharedState(shared)
        except BaseException as violation:
            self._failed(violation)
            raise
        finally:
            self.closed = True
        if error is not None and not isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
            self._failed(error)

    def _check_all(self) -> None:
        for property_ in self._always:
            property_.check()
        if self._conserved and not unrest(self):
            for quantity in self._conserved:
                quantity.check()

    def _failed(self, error: BaseException) -> None:
        self.closed = True
        if self.telling and not isinstance(error, Misuse):
            error.add_note(story(self, error))

    # --- looking ---

    @property
    def nodes(self) -> list[SimulatedNode]:
        """The nodes; each has `.cores`, `.disk`, `.alive`, `.incarnation`."""
        return self.world.nodes

    @property
    def now(self) -> int:
        """Virtual ns since the beginning."""
        return self.world.clock.now

    @property
    def trace(self) -> Trace:
        """What happened: iterable, with `.digest`, `.undelivered(...)`, `.write(file)`."""
        return self.world.trace

    @property
    def plan(self) -> f.Plan:
        """The faults of this run and what they did."""
        return self.world.plan

    @property
    def logs(self) -> list[dict[str, Any]]:
        """The last lines that were logged, by the runtime and by isolates."""
        return list(self.world.log.lines)

    def counters(self) -> dict[str, int]:
        """The sums of all cores' counters over all their lives; `queued` is what waits, or waited at a death."""
        total: dict[str, int] = {}
        for place in self._cores(None, None):
            present = [place.counters] if place.alive else []
            for counts in (*place.ended, *present):
                for name, count in counts.items():
                    total[name] = total.get(name, 0) + count
        return total

    def find(self, path: str, node: Place | int | None = None, core: SimulatedCore | int | None = None) -> Found:
        """Return the isolate or supervisor at `path`, on the lowest place that has it. Raises NotThere."""
        for place in self._cores(node, core):
            for cell in cells(place):
                if cell.path == path:
                    return found_of(place, cell)
        raise NotThere(path, self._cores(node, core))

    def isolates(self, kind: type[T]) -> list[T]:
        """Return all running isolates of that class, by node, core and age of slot."""
        found = [cell.isolate for place in self._cores(None, None) for cell in cells(place)]
        return [isolate for isolate in found if isinstance(isolate, kind)]

    def supervisor(
        self, path: str, node: Place | int | None = None, core: SimulatedCore | int | None = None
    ) -> SupervisorClient:
        """The API of the supervisor at `path` as methods."""
        return self.client.supervisor(self.find(path, node, core).address)

    # --- messages ---

    def send(self, to: Address | Name | str, message: object, source: Place | None = None) -> Sent:
        """Send as from a sibling on the target's core, at this instant; with `source` from there, over the link."""
        self._check()
        place = self._sender(to, source)
        doing = self.trace.doing(self.now, "send", to, message)
        life = None if place is None else place.life
        sent = UNREACHABLE if life is None or life.dead else life.send(to, message)
        doing.end(self.now, sent)
        return sent

    def _sender(self, to: Address | Name | str, source: Place | None) -> SimulatedCore | None:
        if isinstance(source, SimulatedNode):
            return next((core for core in source.cores if core.alive), None)
        if source is not None:
            place = self._place(source)
            return self._sender(to, place) if isinstance(place, SimulatedNode) else place
        if isinstance(to, Address):
            return self._core_of(to.node, to.core)
        pinned = self.client.whereis(to)
        if pinned is None or pinned.core is None:
            return None
        return self._core_of(pinned.node or "", pinned.core)

    def _core_of(self, node: str, core: int) -> SimulatedCore | None:
        for place in self.nodes:
            if place.name == node and core < len(place.cores):
                return place.cores[core]
        return None

    def call(self, to: Address | Name | str, message: object, timeout: float = 5.0) -> Any:
        """Ask from outside and let time pass until the answer. Raises CallFailed, CallTimeout."""
        return self.client.call(to, message, timeout)

    def connect(
        self, port: int, node: Place | int | None = None, core: SimulatedCore | int | None = None
    ) -> OutsideStream:
        """Open a tcp connection from outside to a port; what listens there is drawn, or is on `core`."""
        self._check()
        self._streams += 1
        place = self._cores(node, core)[0]
        target = place if core is not None else None
        return outside.connect(self.world, self._drive, self._streams, port, place.node, target)

    # --- time ---

    def run(self, span: Span) -> None:
        """Let virtual time pass."""
        self._drive(None, self.now + duration(span))

    def after(self, span: Span, action: Callable[[], Any]) -> None:
        """Do `action()` when so much virtual time has passed: how programs outside act on their own."""
        self._check()
        self.world.later(duration(span), "after", "", lambda _: action())

    def step(self) -> bool:
        """Let the next thing happen; False when nothing is left."""
        self._check()
        return self.world.step()

    def until(self, condition: Callable[[], Any], within: Span = "60s") -> None:
        """Let time pass until the condition holds; what `find` misses counts as not yet. Fails after `within`."""
        if not self._drive(lambda: is_so(condition), self.now + duration(within)):
            raise PropertyViolated("until", getattr(condition, "__name__", "condition"), self.now, f"within {within}")

    def settle(self) -> None:
        """Let time pass until no message, outcome or ready isolate is left. Raises NotSettled after 60 s."""
        end = self.now + SETTLE_LIMIT
        while why := unrest(self):
            if self.now >= end:
                raise NotSettled(f"not settled after 60 virtual seconds: {why}")
            self._drive(None, self.now + QUIET_POLL)
        self.world.progress = self.world.callbacks
        for quantity in self._conserved:
            quantity.check()

    def _drive(self, condition: Callable[[], bool] | None, deadline: int) -> bool:
        """Let time pass until the condition holds (True; None never does), at most up to `deadline`."""
        self._check()
        if self._driving:
            raise Misuse(
                "time cannot pass inside a handler or an `always` property: look at the world, do not drive it"
            )
        self._driving = True
        world = self.world
        try:
            if condition is None:
                world.run_until(deadline)
                return False
            if not world.run_while(condition, deadline):
                return False
            world.progress = world.callbacks
            return True
        finally:
            self._driving = False

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Refuse whatever lets time pass while a property looks."""
        before, self._driving = self._driving, True
        try:
            yield
        finally:
            self._driving = before

    def _check(self) -> None:
        if self.closed:
            raise Misuse("this simulation is over: use it inside its `with` block")
        if not self._entered:
            raise Misuse("write `with Simulation(...) as sim:`, which starts the trees")

    # --- properties ---

    def always(self, name: str, predicate: Predicate, every: Span = "10ms") -> None:
        """Look at `predicate(sim)` now, every so often, and at the end. Fails with PropertyViolated."""
        self._check()
        property_ = Always(self, name, predicate, duration(every))
        property_.begin()
        self._always.append(property_)

    def eventually(self, name: str, predicate: Predicate, within: Span = "60s") -> None:
        """Look each 100 ms until `predicate(sim)` holds; it may drive the world. Fails with PropertyViolated."""
        self._check()
        end = self.now + duration(within)
        problem = ""
        while True:
            try:
                if predicate(self):
                    self.world.progress = self.world.callbacks
                    return
                problem = ""
            except (NotThere, CallFailed) as error:
                problem = str(error)
            if self.now >= end:
                raise PropertyViolated("eventually", name, self.now, problem or f"not within {within}")
            self.run(min(POLL, end - self.now) / SECOND)

    def sometimes(self, name: str, condition: object) -> None:
        """Note a state that the seeds of a campaign must reach at least once."""
        self.world.sometimes(name, bool(condition))

    def conserved(self, name: str, measure: Callable[[Simulation], object]) -> None:
        """Hold `measure(sim)` to its present value after every `settle()`, and at the end. Fails with NotConserved."""
        self._check()
        self._conserved.append(Conserved(self, name, measure))

    def history(self) -> History:
        """An empty record of what clients ask and are told, on this world's clock (`linearizable`, `at_most_once`)."""
        return History(lambda: self.now, self.trace)

    def deadlocks(self) -> list[Deadlock]:
        """The circles of isolates that wait for one another now, by their paths and the lines they wait at."""
        return deadlocks(self.world)

    # --- faults by hand ---

    def inject(self, fault: Fault) -> None:
        """Do one fault now, whatever its `at`."""
        self._check()
        self.world.stage.do(fault)
        self.world.note(fault.where, f"test-{fault.what}", f"{fault.lasts} {fault.strength}")

    def cut(self, source: Place, target: Place, one_way: bool = False) -> None:
        """Stop what goes between two places, or from the first to the second only, until `heal`."""
        self._each_way("cut", source, target, one_way, self.world.network.cut)

    def heal(self, source: Place, target: Place, one_way: bool = False) -> None:
        """Undo `cut`."""
        self._each_way("heal", source, target, one_way, self.world.network.heal)

    def _each_way(
        self, what: str, source: Place, target: Place, one_way: bool, action: Callable[[str, str], None]
    ) -> None:
        self._check()
        near, far = self._place(source).name, self._place(target).name
        self.world.note(f"{near}>{far}", f"test-{what}", "one way" if one_way else "")
        action(near, far)
        if not one_way:
            action(far, near)

    @contextmanager
    def hold(self, source: Place, target: Place) -> Iterator[Held]:
        """Hold what goes from a place to a place, in order; inspect it; leaving releases it."""
        self._check()
        held = Held(self.world, self._place(source).name, self._place(target).name)
        held.begin()
        try:
            yield held
        finally:
            held.release()

    def pause(self, place: Place) -> None:
        """Stop a core or a whole node, as SIGSTOP does."""
        self._note("pause", place).pauses += 1

    def resume(self, place: Place) -> None:
        """Let it go on."""
        stopped = self._note("resume", place)
        if not stopped.pauses:
            raise Misuse(f"{stopped!r} is not paused")
        stopped.pauses -= 1
        stopped.resumed()

    def slow(self, core: SimulatedCore | str, factor: int) -> None:
        """Make each pass of a core take `factor` times as long from now on; 1 is normal."""
        if type(factor) is not int or factor < 1:
            raise Misuse(f"slow takes a core and a factor that is an int of at least 1, got {factor!r}")
        self._note_core("slow", core).slowness = factor

    def drift(self, core: SimulatedCore | str, span: Span) -> None:
        """Step the wall clock of a core forward."""
        self._note_core("drift", core).wall_offset += duration(span)

    def skew(self, core: SimulatedCore | str, ppm: int) -> None:
        """Let all clocks of a core run `ppm` millionths faster than they do, slower below 0."""
        if type(ppm) is not int:
            raise Misuse(f"skew takes a core and whole millionths, got {ppm!r}")
        self._note_core("skew", core).drift_by(ppm)

    def busy(self, place: Found | SimulatedCore | str, span: Span) -> None:
        """Have the next pass of a core, or of an isolate's core, take so much longer: a handler that blocks."""
        core = self._note("busy", place.core if isinstance(place, Found) else place)
        if isinstance(core, SimulatedCore) and core.life is not None:
            core.life.extra += duration(span)

    def kill(self, isolate: Found | Address) -> None:
        """Kill an isolate or supervisor; its supervisor restarts it as its spec says."""
        self._check()
        address = isolate.address if isinstance(isolate, Found) else isolate
        place = self._core_of(address.node, address.core)
        where = None if place is None or place.life is None else place.life.core.registry.resolve(address)
        if place is None or place.life is None or not isinstance(where, Cell):
            raise NotThere(repr(address), self._cores(None, None))
        self.world.note(place.name, "test-kill", where.path)
        place.life.end_isolate(where)

    def crash(self, place: Place) -> None:
        """Kill a core (its manager replaces it), or cut a node's power until `restart`."""
        down = self._note("crash", place)
        if isinstance(down, SimulatedNode):
            down.lose_power()
        else:
            down.node.kill_core(down, "killed by SIGKILL")

    def restart(self, place: Place) -> None:
        """Start a node (again), or have a core replaced."""
        back = self._note("restart", place)
        if isinstance(back, SimulatedNode):
            back.lose_power()
            back.boot()
        else:
            back.node.kill_core(back, "killed by SIGKILL")

    def stop(self, node: SimulatedNode | str) -> None:
        """Ask a node to leave in order, as SIGTERM does."""
        place = self._note("stop", node)
        if not isinstance(place, SimulatedNode):
            raise Misuse(f"stop takes a node, got {node!r}")
        place.stop("SIGTERM")

    def calm(self, keep: Literal["majority", "all"] | list[SimulatedNode] = "majority") -> list[SimulatedNode]:
        """End the faults of a drawn majority of nodes (or of all, or of those given) and draw no more; return them."""
        self._check()
        kept = self.world.stage.chosen(keep)
        self.world.note("", "test-calm", " ".join(node.short for node in kept))
        self.world.stage.calm(kept)
        return kept

    # --- places ---

    def _note(self, what: str, place: Place) -> SimulatedNode | SimulatedCore:
        self._check()
        found = self._place(place)
        self.world.note(found.name, f"test-{what}")
        return found

    def _note_core(self, what: str, core: SimulatedCore | str) -> SimulatedCore:
        place = self._note(what, core)
        if not isinstance(place, SimulatedCore):
            raise Misuse(f"{what} takes a core, got {core!r}")
        return place

    def _place(self, place: Place) -> SimulatedNode | SimulatedCore:
        return self.world.stage.place(place) if isinstance(place, str) else place

    def _cores(self, node: Place | int | None, core: SimulatedCore | int | None) -> list[SimulatedCore]:
        if isinstance(core, SimulatedCore):
            return [core]
        if isinstance(node, SimulatedCore):
            return [node]
        if isinstance(node, int):
            node = self.nodes[node]
        place = None if node is None else self._place(node)
        nodes = self.nodes if place is None else [place] if isinstance(place, SimulatedNode) else []
        found = [each for one in nodes for each in one.cores if core is None or each.index == core]
        if not found:
            raise self.world.stage.no_core(core, nodes)
        return found

    def __repr__(self) -> str:
        return f"<Simulation of {self.world.application.name} seed={self.seed} at {written(self.now)}>"
