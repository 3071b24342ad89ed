"""`Simulation`: a cluster in one thread, and what a tester does with it (simulation.md, "What testers get").

    with Simulation(app, nodes=3, cores=2, seed=7, faults=f.swarm(f.cut(), f.crash())) as sim:
        sim.run("60s")

Places are nodes and cores of `sim.nodes`, or their names `n0` and `n0/1`. Times are texts such as `"10ms"`, or seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, TypeVar

from regrove.node.client.errors import CallFailed
from regrove.node.client.supervising import SupervisorClient
from regrove.node.core.address import Address, Name
from regrove.node.core.application import Application
from regrove.node.core.errors import Misuse
from regrove.node.core.sent import UNREACHABLE, Sent
from regrove.node.process.budget import RestartBudget
from regrove.node.simulation import faults as f
from regrove.node.simulation import given, outside
from regrove.node.simulation.by_hand import ByHand, Place
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
from regrove.node.simulation.clock import MILLISECOND, SECOND, Span, passing, written
from regrove.node.simulation.cores import SimulatedCore
from regrove.node.simulation.effects_once import Conserved
from regrove.node.simulation.faults import Faults
from regrove.node.simulation.finding import Found, NotThere, cells, found_of, is_so
from regrove.node.simulation.hiding import ours
from regrove.node.simulation.history import History
from regrove.node.simulation.node import SimulatedNode
from regrove.node.simulation.outside import OutsideStream
from regrove.node.simulation.searching import Search, faults_under
from regrove.node.simulation.shared import SharedState
from regrove.node.simulation.story import story
from regrove.node.simulation.trace import Trace
from regrove.node.simulation.waiting import Deadlock, deadlocks
from regrove.node.simulation.world import World

__tracebackhide__ = ours  # of pytest

T = TypeVar("T")
BOOT_LIMIT: Final = 120 * SECOND
NAMES_TIME: Final = 50 * MILLISECOND  # what the first names take to reach every manager


class Simulation(ByHand):
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
        if not isinstance(app, Application):
            raise Misuse(f"Simulation takes an Application, such as shop.app, got {app!r:.100}")
        if not isinstance(core_restarts, str):
            raise Misuse(f"Simulation(core_restarts={core_restarts!r}): write COUNT/PERIOD, such as '3/30s'")
        budget = RestartBudget.parse(core_restarts)
        self.world = World(app, nodes, cores, seed, faults, profile, settings, budget)
        self.client = SimulatedClient(self.world, self._drive)
        self._always: list[Always] = []
        self._conserved: list[Conserved] = []
        self._streams = 0
        self._driving = False
        self._stepping = False
        self._entered = False

    # --- the beginning and the end ---

    def __enter__(self) -> Simulation:
        if self._entered:
            raise Misuse("a Simulation is entered once: make another one for another run")
        self._entered = True
        try:
            if not self._drive(lambda: all(node.ready for node in self.nodes), BOOT_LIMIT):
                waiting = ", ".join(node.short for node in self.nodes if not node.ready)
                said = self.world.log.trouble or "nothing was said of it"
                raise AssertionError(f"the trees of {waiting} did not start within 120 virtual seconds: {said}")
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
        for check in self.world.at_end:
            check()
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
        if not isinstance(path, str):
            raise Misuse(f"find takes a path such as 'root/workers/1', got {path!r:.100}")
        for place in self._cores(node, core):
            for cell in cells(place):
                if cell.path == path:
                    return found_of(place, cell)
        raise NotThere(path, self._cores(node, core))

    def isolates(self, kind: type[T]) -> list[T]:
        """Return all running isolates of that class, by node, core and age of slot."""
        if not isinstance(kind, type):
            raise Misuse(f"isolates takes the class of the isolates, got {kind!r:.100}")
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
        if not isinstance(to, Address | Name | str):
            raise Misuse(f"a message goes to an Address (sim.find(path).address), a Name or a text, got {to!r:.100}")
        place = self._sender(to, source)
        doing = self.trace.doing(self.now, "send", to, message)
        life = None if place is None else place.life
        sent = UNREACHABLE if life is None or life.dead else life.send(to, message)
        doing.end(self.now, sent)
        return sent

    def _sender(self, to: Address | Name | str, source: Place | None) -> SimulatedCore | None:
        if source is not None:
            place = self._place(source)
            if isinstance(place, SimulatedNode):
                return next((core for core in place.cores if core.alive), None)
            return place
        if isinstance(to, Address):
            return self._core_of(to.node, to.core)
        pinned = self.client.whereis(to)
        if pinned is None or pinned.core is None:
            return None
        return self._core_of(pinned.node or "", pinned.core)

    def call(self, to: Address | Name | str, message: object, timeout: float = 5.0) -> Any:
        """Ask from outside and let time pass until the answer. Raises CallFailed, CallTimeout."""
        return self.client.call(to, message, timeout)

    def connect(
        self, port: int, node: Place | int | None = None, core: SimulatedCore | int | None = None
    ) -> OutsideStream:
        """Open a tcp connection from outside to a port; what listens there is drawn, or is on `core`."""
        self._check()
        if type(port) is not int:
            raise Misuse(f"connect takes a port, a number such as 6380, got {port!r:.100}")
        self._streams += 1
        place = self._cores(node, core)[0]
        target = place if core is not None else None
        return outside.connect(self.world, self._drive, self._streams, port, place.node, target)

    # --- time ---

    def run(self, span: Span) -> None:
        """Let virtual time pass."""
        end = self.now + passing(span)
        self._check()
        with self._step():
            self._drive(None, end)

    def after(self, span: Span, action: Callable[[], Any]) -> None:
        """Do `action()` when so much virtual time has passed: how programs outside act on their own."""
        self._check()
        given.function("after", "action", action)
        self.world.later(passing(span), "after", "", lambda _: action())

    def step(self) -> bool:
        """Let the next thing happen; False when nothing is left."""
        self._check()
        return self.world.step()

    def until(self, condition: Callable[[], Any], within: Span = "60s") -> None:
        """Let time pass until the condition holds; what `find` misses counts as not yet. Fails after `within`."""
        given.function("until", "condition", condition)
        end = self.now + passing(within)
        with self._step():
            held = self._drive(lambda: is_so(condition), end)
        if not held:
            raise PropertyViolated("until", getattr(condition, "__name__", "condition"), self.now, f"within {within}")

    def settle(self) -> None:
        """Let time pass until no message, outcome or ready isolate is left. Raises NotSettled after 60 s."""
        end = self.now + SETTLE_LIMIT
        with self._step():
            while why := unrest(self):
                if self.now >= end:
                    raise NotSettled(f"not settled after 60 virtual seconds: {why}")
                self._drive(None, self.now + QUIET_POLL)
        self.world.progress = self.world.callbacks
        for quantity in self._conserved:
            quantity.check()

    @contextmanager
    def _step(self) -> Iterator[None]:
        """A step of the test itself: what ran before it is no livelock. One within another is a part of that."""
        before, self._stepping = self._stepping, True
        if not before:
            self.world.progress = self.world.callbacks
        try:
            yield
        finally:
            self._stepping = before

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
        _check_name("always", name)
        given.function("always", "predicate", predicate, self)
        step = passing(every)
        if not step:
            raise Misuse(f"always(every={every!r}): time has to pass between two looks, as with every='10ms'")
        property_ = Always(self, name, predicate, step)
        property_.begin()
        self._always.append(property_)

    def eventually(self, name: str, predicate: Predicate, within: Span = "60s") -> None:
        """Look each 100 ms until `predicate(sim)` holds; it may drive the world. Fails with PropertyViolated.

        A predicate that asserts does not hold yet; what it said last is told.
        """
        self._check()
        _check_name("eventually", name)
        given.function("eventually", "predicate", predicate, self)
        end = self.now + passing(within)
        with self._step():
            self._await(name, predicate, end, within)

    def _await(self, name: str, predicate: Predicate, end: int, within: Span) -> None:
        problem = ""
        while True:
            try:
                if predicate(self):
                    self.world.progress = self.world.callbacks
                    return
                problem = ""
            except (NotThere, CallFailed) as error:
                problem = str(error)
            except AssertionError as error:
                if type(error) is not AssertionError:  # of a check of its own: what it drove, violated something
                    raise
                problem = f"not within {within}: {error}"
            if self.now >= end:
                raise PropertyViolated("eventually", name, self.now, problem or f"not within {within}")
            self.run(min(POLL, end - self.now) / SECOND)

    def sometimes(self, name: str, condition: object) -> None:
        """Note whether a state that the seeds of a campaign must reach at least once is there now."""
        _check_name("sometimes", name)
        if callable(condition):
            raise Misuse(
                f"sometimes takes whether it holds now, as `sim.sometimes({name!r}, len(found) > 1)`, got a function: "
                "call it"
            )
        self.world.sometimes(name, bool(condition))

    def conserved(self, name: str, measure: Callable[[Simulation], object]) -> None:
        """Hold `measure(sim)` to its present value after every `settle()`, and at the end. Fails with NotConserved."""
        self._check()
        _check_name("conserved", name)
        given.function("conserved", "measure", measure, self)
        self._conserved.append(Conserved(self, name, measure))

    def history(self) -> History:
        """An empty record of what clients ask and are told, on this world's clock (`linearizable`, `at_most_once`)."""
        return History(lambda: self.now, self.trace)

    def deadlocks(self) -> list[Deadlock]:
        """The circles of isolates that wait for one another now, by their paths and the lines they wait at."""
        return deadlocks(self.world)

    def __repr__(self) -> str:
        return f"<Simulation of {self.world.application.name} seed={self.seed} at {written(self.now)}>"


def _check_name(verb: str, name: object) -> None:
    if not isinstance(name, str):
        raise Misuse(f"{verb}: its name comes first, a text that a person understands, got {name!r:.100}")
