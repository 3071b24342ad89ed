"""Exhaustive search in a small scope: all orders of the inputs of cores, those that cannot matter left out.

Each run is a plan: the faults as given, single frames that take longer (`spike`), so that they come after what they
would have come before, and cores that stand still for a moment (`pause`), so that a timer or an outcome does. From what
a run shows (`causality.py`) follow the exchanges to try next: the search goes from the fewest to the most. A run in
which every isolate saw what it saw in an earlier one, in the same order, is not gone on from. Faults of the plan that
happen at an instant are exchanged with the frames around them in the same way.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from regrove.node.simulation import plan as p
from regrove.node.simulation.cases import Case
from regrove.node.simulation.causality import Orders, Race, Run, Stall, TooLong, listen
from regrove.node.simulation.failing import FIRED, Command, Failing, Make, Test, judge, run_once
from regrove.node.simulation.faults import Fault, Faults, Noise
from regrove.node.simulation.searching import Exhaustive, Search, faults_under, orders_of
from regrove.node.simulation.shrinking import Entries
from regrove.node.simulation.simulation import Simulation

POINTS: Final = (
    p.CUT, p.SWIZZLE, p.LOSS, p.RESET, p.PAUSE, p.CRASH_CORE, p.CRASH_NODE, p.CRASH_MACHINE, p.CRASH_MANAGER,
    p.CRASH_ISOLATE,
    p.RESTART, p.MEMORY, p.START_FAILS,
)  # fmt: skip


@dataclass(slots=True)
class Explored:
    """What a search went through: runs, different orders among them, exchanges left out because they show nothing new.

    `complete`: no order within the window is left. `failing` is the plan of the first run that failed.
    """

    schedules: int = 0
    distinct: int = 0
    pruned: int = 0
    complete: bool = False
    failing: Entries | None = None

    @property
    def counts(self) -> dict[str, int]:
        """The same as numbers that add up over seeds."""
        return {
            "schedules": self.schedules, "different": self.distinct, "pruned": self.pruned,
            "incomplete": int(not self.complete),
        }  # fmt: skip

    def __str__(self) -> str:
        return told(self.counts)


def told(counts: Mapping[str, int]) -> str:
    """Say what the search over the orders of some seeds went through."""
    numbers = ", ".join(f"{count} {what}" for what, count in counts.items() if what != "incomplete")
    return f"{numbers}; {f'incomplete for {seeds} seeds' if (seeds := counts['incomplete']) else 'complete'}"


def add_up(into: dict[str, int], counts: Mapping[str, int]) -> None:
    """Add counts to counts."""
    for what, count in counts.items():
        into[what] = into.get(what, 0) + count


@dataclass(slots=True)
class Explorer:
    """One search over the orders of one seed."""

    make: Make
    test: Test
    how: Exhaustive
    explored: Explored = field(default_factory=Explored)
    _tried: dict[frozenset[Fault | Noise], None] = field(default_factory=dict)
    _seen: dict[str, None] = field(default_factory=dict)
    _gave_up: bool = False
    _stalls: dict[Fault, None] = field(default_factory=dict)  # pauses that are exchanges, no faults that were given

    def explore(self, faults: Faults) -> Simulation:
        """Run the seed as given, then every other order; return the world of the first run."""
        end = time.monotonic() + self.how.seconds
        first, waiting = self._run(faults, None)
        while waiting and self.explored.failing is None:
            if self.explored.schedules >= self.how.schedules or (self.how.seconds and time.monotonic() >= end):
                return first
            plan = waiting.popleft()
            waiting += self._run(plan, plan)[1]
        self.explored.complete = self.explored.failing is None and not self._gave_up
        return first

    def _run(self, faults: Faults, plan: Entries | None) -> tuple[Simulation, deque[Entries]]:
        runs: list[Run] = []

        def listened(sim: Simulation) -> None:
            runs.append(listen(sim))
            self.test(sim)

        self.explored.schedules += 1
        sim, error = run_once(self.make, listened, faults)
        plan = sim.plan.explicit(sim.now) if plan is None else plan
        if error is not None:
            self.explored.failing = plan
            return sim, deque()
        try:
            orders = Orders(sim, runs[0])
        except TooLong:
            if not self.how.lenient:
                raise
            self._gave_up = True
            return sim, deque()
        if orders.key in self._seen:
            self.explored.pruned += 1
            return sim, deque()
        self._seen[orders.key] = None
        self.explored.distinct += 1
        return sim, deque(self._fresh(sim, plan, orders, runs[0]))

    def _stalled(self, plan: Entries, stall: Stall) -> Entries:
        """The same plan, but a core stands still for a moment."""
        fault = Fault(p.PAUSE, stall.core.replace("@sim", ""), stall.at, stall.lasts)
        self._stalls[fault] = None
        return (*plan, fault)

    def _fresh(self, sim: Simulation, plan: Entries, orders: Orders, run: Run) -> Iterator[Entries]:
        around = _around(sim, plan, run, self.how.window, self._stalls)
        races = orders.races(self.how.window)
        found = [self._stalled(plan, race) if isinstance(race, Stall) else _later(plan, race) for race in races]
        for other in (*found, *around):
            entries = frozenset(other)
            if entries in self._tried:
                self.explored.pruned += 1
            else:
                self._tried[entries] = None
                yield other


def _later(plan: Entries, race: Race) -> Entries:
    """The same plan, but one frame takes longer."""
    for number, entry in enumerate(plan):
        if isinstance(entry, Fault) and (entry.what, entry.where) == (p.SPIKE, race.key):
            return (*plan[:number], replace(entry, strength=entry.strength + race.later), *plan[number + 1 :])
    return (*plan, Fault(p.SPIKE, race.key, race.sent, 0, race.later))


def _around(sim: Simulation, plan: Entries, run: Run, window: int, stalls: Mapping[Fault, None]) -> Iterator[Entries]:
    """Exchange each fault that happens at an instant with the frames around it."""
    inputs = list(run.inputs.values())
    for number, fault in enumerate(plan):
        if not isinstance(fault, Fault) or fault.what not in POINTS or "#" in fault.where or fault in stalls:
            continue
        nodes = sim.world.stage.nodes_of(fault)
        near = [
            each for each in inputs if each.core.partition("@")[0] in nodes and abs(each.arrived - fault.at) <= window
        ]
        after = [each.arrived for each in near if each.arrived >= fault.at]
        if after:
            yield (*plan[:number], replace(fault, at=min(after) + 1), *plan[number + 1 :])
        last = {each.channel: each for each in near if each.arrived < fault.at}
        for each in last.values():
            yield _later(plan, Race(each.key, each.sent, fault.at - each.arrived + each.held + 1))


def judge_under(
    search: Search, make: Make, test: Test, faults: Faults, case: Case, how: Failing, command: Command
) -> tuple[Simulation, Explored | None]:
    """Judge the seed of a case under a strategy; what was gone through when that goes through orders."""
    __tracebackhide__ = True  # of pytest: it shows what failed in a test, not how it came to be run
    bounds = orders_of(search, case.seed)
    if bounds is None:
        return judge(make, test, faults_under(search, case.seed, faults), case, how, command), None
    explorer = Explorer(make, test, bounds)
    with how.quiet():  # a failing order is run again, for all to hear
        sim = explorer.explore(faults)
    explored = explorer.explored
    if explored.failing is not None:
        try:
            judge(make, test, explored.failing, case, how, command)
        except BaseException as error:
            if hasattr(error, FIRED):  # what was given: the plan of an order names what it is made of as well
                setattr(error, FIRED, {what: count.fired for what, count in sim.plan.counts.items()})
            raise
        raise AssertionError(f"seed {case.seed} failed in schedule {explored.schedules} and passes under that plan now")
    return sim, explored
