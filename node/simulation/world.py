"""A whole cluster in one thread: nodes, cores, links, disks and the world outside, on one clock.

Nothing moves but `run_until`. All that happens goes through the clock's heap, so the same seed, application and calls
give the same execution, event for event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final
from zlib import crc32

from regrove.node.core.application import Application
from regrove.node.core.errors import Misuse, RegroveError
from regrove.node.process.budget import RestartBudget
from regrove.node.simulation.clock import MILLISECOND, Clock, written
from regrove.node.simulation.control_links import ControlLinks
from regrove.node.simulation.faults import Faults, plan_of
from regrove.node.simulation.hiding import ours
from regrove.node.simulation.log import Log
from regrove.node.simulation.network import Network
from regrove.node.simulation.node import SimulatedNode
from regrove.node.simulation.plan import BUGGIFY, PROFILES, Layout
from regrove.node.simulation.seeds import MASK, Draws, Ratio, holds
from regrove.node.simulation.shared import Captured
from regrove.node.simulation.stage import Stage
from regrove.node.simulation.streams import Tcp
from regrove.node.simulation.trace import Trace
from regrove.node.simulation.tracing import FrameTracer
from regrove.transport.parts import Payload

__tracebackhide__ = ours  # of pytest

PROGRESS_STEP: Final = 50 * MILLISECOND
LIVELOCK: Final = 20_000_000  # callbacks between two steps of a test: a storm that no check gets through
BUGGIFY_ON: Final = Ratio(1, 4)  # how many of an application's buggify points a seed switches on


class Livelock(RegroveError):
    """Many callbacks ran and no check of the test made progress."""


class World:
    """All that is simulated. `sim` of the tests stands on one of these."""

    def __init__(
        self,
        application: Application,
        nodes: int,
        cores: int,
        seed: int,
        faults: Faults,
        profile: str,
        settings: Mapping[str, str] | None,
        budget: RestartBudget,
    ) -> None:
        if not isinstance(application, Application):
            raise Misuse(f'Simulation takes an Application("name", tree=...), got {application!r}')
        for name, count in (("nodes", nodes), ("cores", cores)):
            if type(count) is not int or count < 1:
                raise Misuse(f"Simulation({name}={count!r}): {name} is an int of at least 1")
        if type(seed) is not int:
            raise Misuse(f"Simulation(seed={seed!r}): a seed is an int")
        if profile not in PROFILES:
            raise Misuse(f"Simulation(profile={profile!r}): the profiles are {', '.join(PROFILES)}")
        self.application = application
        self.seed = seed & MASK
        self.settings = MappingProxyType(_checked_settings(settings))
        self.roots = tuple(value for value in self.settings.values() if value.startswith("/"))
        self.budget = budget
        self.clock = Clock()
        self.draws = Draws(self.seed)
        self.trace = Trace()
        self.log = Log(self.clock)
        self.plan = plan_of(faults, Layout(nodes, cores), self.draws, profile)
        self.network = Network(self.clock, self.draws, self.plan, profile)
        self.tcp = Tcp(self.clock, self.draws, self.network.path_open)
        self.control = ControlLinks(self)
        self.network.silence.gave_up, self.network.silence.again = self.control.gave_up, self.control.again
        self.captured = Captured()
        self.known: dict[Payload, Any] = {}  # messages by their bytes
        self.progress = 0  # the number of callbacks when a check last made progress
        self.at_end: list[Callable[[], None]] = []  # what is checked before it is over
        self.held: dict[str, bool] = {}  # what `sometimes` saw
        self._points: dict[tuple[str, str], bool] = {}
        self.nodes: list[SimulatedNode] = []
        for index in range(nodes):
            self.nodes.append(SimulatedNode(self, index, cores))
        arrivals = {core.name: core.tracer.arrivals for node in self.nodes for core in node.cores}
        self.network.emit = FrameTracer(self.trace, self.clock, arrivals).frame
        self.stage = Stage(self)
        for node in self.nodes:
            node.boot()

    # --- time ---

    @property
    def callbacks(self) -> int:
        """How many ran so far, on all cores."""
        return self.clock.callbacks

    def later(self, delay: int, kind: str, name: str, action: Callable[[Any], None], argument: Any = None) -> None:
        """Do something after `delay` ns; its rank among what shares the instant is keyed by kind and name."""
        self.clock.at(self.clock.now + delay, self.draws.draw(f"rank.{kind}", name), action, argument)

    def run_until(self, time: int) -> None:
        """Let time pass up to `time`. Raises Livelock."""
        clock = self.clock
        while True:
            clock.run_until(min(time, clock.now + PROGRESS_STEP))
            self.check_progress()
            if clock.now >= time:
                return

    def run_while(self, condition: Callable[[], bool], deadline: int) -> bool:
        """Let things happen until the condition holds (True), at most up to `deadline`. Raises Livelock."""
        clock = self.clock
        while True:
            if condition():
                return True
            time = clock.next_time()
            if time is None or time > deadline:
                clock.run_until(max(deadline, clock.now))
                return condition()
            clock.step(deadline)
            self.check_progress()

    def step(self) -> bool:
        """Let the next thing happen; False when nothing is left."""
        time = self.clock.next_time()
        if time is None:
            return False
        self.clock.step(time)  # whole: a frame is taken at once within the run under way only
        self.check_progress()
        return True

    def check_progress(self) -> None:
        """Raise Livelock when too much ran since a check last made progress."""
        if self.callbacks - self.progress > LIVELOCK:
            busy = max(
                (core for node in self.nodes for core in node.cores if core.life is not None),
                key=lambda core: core.counters["callbacks"],
            )
            raise Livelock(
                f"{self.callbacks - self.progress} callbacks ran up to {written(self.clock.now)} without progress of "
                f"any check; the busiest core is {busy!r}: look there for a loop of Continue or of retries"
            )

    def note(self, path: str, kind: str, text: str = "", cause: int = 0, told: str = "") -> int:
        """Trace something that happened to a node, a link or the test; `told` is for stories, and in no digest."""
        return self.trace.emit(self.clock.now, cause, path, "", 0, kind, crc32(text.encode()), told or text)

    # --- what cores ask of their world ---

    def resolve_host(self, host: str) -> str | None:
        """The node behind a host name: `n0`, `n0@sim`."""
        for node in self.nodes:
            if host in (node.name, node.short):
                return node.name
        return None

    def buggify(self, place: str, path: str, point: str) -> bool:
        """Whether a buggify point strikes: a seed switches a quarter of them on; the plan says how often those do."""
        ratio = self.plan.ratio(BUGGIFY)
        if not ratio.numerator:
            return False
        on = self._points.get(("", point))
        if on is None:
            on = self._points[("", point)] = holds(self.draws.draw("buggify.on", point), 0, BUGGIFY_ON)
        if not on or not holds(self.draws.draw("buggify", f"{place}:{path}", point), 0, ratio):
            return False
        if BUGGIFY in self.plan.counts:
            counts = self.plan.count(BUGGIFY)
            counts.fired += 1
            counts.affected += 1
        self.trace.aside(self.clock.now, f"{place} {path} buggify {point!r} holds")
        return True

    @property
    def buggified(self) -> bool:
        """Whether the application has met a buggify point so far."""
        return bool(self._points)

    def sometimes(self, name: str, condition: bool) -> None:
        """Note that a state a campaign must reach was, or was not, seen."""
        self.held[name] = condition or self.held.get(name, False)


def _checked_settings(settings: Mapping[str, str] | None) -> dict[str, str]:
    if settings is not None and not isinstance(settings, Mapping):
        raise Misuse(f"settings are texts by their names, such as {{'workers': '4'}}, got {settings!r:.100}")
    found = dict(settings or {})
    for key, value in found.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise Misuse(f"settings are texts, as `--set KEY=VALUE` gives them: got {key!r}: {value!r}")
    return found
