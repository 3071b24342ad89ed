"""Shrinking: the smallest plan that still fails in the same way, within bounded time. Pure but for the runs themselves.

First whole entries go: all of one kind, all at one place, then parts of the plan from halves down to single entries
(ddmin; Zeller, Hildebrandt 2002). Then noise gives way to the very frames it struck. What is still long is stuck: each
entry moves what comes after it, so without any one of them the others come at the wrong time. There a few entries that
were moved or made longer may do what many did, or some drawn afresh for the beginning of a run (`simpler.py`), and
what is found that way is taken apart again. Last, times and strengths are halved. What is left is tried once more
without each entry: those are marked as needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

from regrove.node.simulation.clock import MILLISECOND
from regrove.node.simulation.plan import FRAME_KINDS, Fault, Noise
from regrove.node.simulation.simpler import afresh, by_chance, grouped, joined

Entry: TypeAlias = Fault | Noise
Entries: TypeAlias = tuple[Entry, ...]
Struck: TypeAlias = tuple[Fault, ...]
RUNS_MAX: Final = 2_000
HALVINGS: Final = 5
STRUCK_MAX: Final = 400  # single frames that may stand for the noise
FEW: Final = 3  # entries that a person reads at a glance: no more is risked for fewer
CHANCES: Final = 300  # plans in a row that are tried by chance and do not fail, before it is given up
CHANCES_EACH: Final = 25  # the same for each entry: a short plan has less to win
AFRESH: Final = 12  # plans for the beginning of a run to one of those: such a run is short
PATIENCE: Final = 2  # times what the last plan took to fail: a run that has not failed by then is given up
LEAST: Final = 16  # a run costs as much as this part of the first, however short it is


class Failed(NamedTuple):
    """A run that failed as wanted: the frames that the noise struck, and when it failed (ns; 0: not known)."""

    struck: Struck = ()
    at: int = 0


Fails: TypeAlias = Callable[[Entries, int], Failed | None]  # by that instant, 0: at any; None: passes, or otherwise


@dataclass(slots=True)
class Shrunk:
    """What is left of a plan; `needed` are the entries without which the run passes; `runs` were tried."""

    plan: Entries
    needed: list[Entry] = field(default_factory=list)
    runs: int = 0
    finished: bool = True  # False: the time was up, it may not be minimal
    reproduced: bool = True  # False: the plan by hand did not fail as the seed did
    how: str = ""  # whether its runs began at snapshots, or why not; "": they were too short for it to matter


class Shrinker:
    """One shrink. `fails(plan, within)` runs the seed with that plan; `left()` are the seconds that remain.

    It is over after as many runs as `runs_max` whole ones; one that ends early costs less. `wholly(plan)` gives no run
    up early and decides what is needed.
    """

    def __init__(
        self,
        fails: Fails,
        left: Callable[[], float],
        runs_max: int = RUNS_MAX,
        wholly: Callable[[Entries], bool] | None = None,
    ) -> None:
        self._fails = fails
        self._left = left
        self._runs_max = runs_max
        self._wholly = wholly
        self._failed: dict[Entries, Failed] = {}
        self._passed: dict[Entries, int] = {}  # plans that have not failed within so long
        self._whole = 0  # what the first run took (ns)
        self._within = 0  # how long a run may take (ns; 0: any time)
        self._spent = 0  # in `LEAST`s of a whole run
        self._spared = (0.0, 0)  # seconds and runs that are left for what follows
        self.runs = 0

    def shrink(self, plan: Entries) -> Shrunk:
        """Shrink a plan that is known to fail."""
        failed = self._try(plan)
        if failed is None:
            return Shrunk(plan, runs=self.runs, reproduced=False)
        self._whole = failed.at
        whole = plan
        plan = self._fewer(plan)
        plan = self._singled(plan)
        plan = self._otherwise(plan, whole)
        plan = self._weaker(plan)
        plan, needed = self._marked(plan)
        return Shrunk(plan, needed, self.runs, finished=not self._over)

    @property
    def smallest(self) -> Entries | None:
        """The plan with the fewest entries that has failed so far, the last of them; None: none has."""
        return min(reversed(self._failed), key=len, default=None)

    @property
    def _over(self) -> bool:
        seconds, runs = self._spared
        return self._left() <= seconds or self._spent >= (self._runs_max - runs) * LEAST

    def _try(self, plan: Entries, within: int = 0) -> Failed | None:
        """Run a plan, for as long as it may take or `within` ns, unless that is known."""
        if (known := self._failed.get(plan)) is not None:
            return known
        within = within or self._within
        longest = self._passed.get(plan)
        if longest is not None and (not longest or 0 < within <= longest):
            return None
        failed = self._fails(plan, within)
        self._pay(within if failed is None else failed.at)
        if failed is None:
            self._passed[plan] = within
            return None
        self._failed[plan] = failed
        if failed.at and (not self._within or failed.at * PATIENCE < self._within):
            self._within = failed.at * PATIENCE
        return failed

    def _pay(self, took: int) -> None:
        self.runs += 1
        whole = self._whole
        self._spent += min(max(took * LEAST // whole, 1), LEAST) if whole and took else LEAST

    def _marked(self, plan: Entries) -> tuple[Entries, list[Entry]]:
        """Which entries are needed; without those that no longer are, or were only for it to fail soon."""
        needed: list[Entry] = []
        for entry in plan:
            rest = tuple(other for other in plan if other is not entry)
            known = rest in self._failed or rest in self._passed
            if self._over and not known:
                continue
            if self._try(rest) is not None:
                return self._marked(rest)
            if self._wholly is not None:
                if self._over:
                    continue
                self._pay(0)
                if self._wholly(rest):
                    return self._marked(rest)
            needed.append(entry)
        return plan, needed

    def _first(self, candidates: Iterable[Entries]) -> Entries | None:
        """The first of some plans that fails."""
        for candidate in candidates:
            if self._over:
                return None
            if self._try(candidate) is not None:
                return candidate
        return None

    def _fewer(self, plan: Entries) -> Entries:
        """Take entries away: those of a kind or a place, then large parts, then smaller ones until none can go."""
        while (rest := self._first(grouped(plan))) is not None:
            plan = rest
        size = len(plan)
        while plan and not self._over:
            before = plan
            last = len(plan)
            while last > 0 and not self._over:  # from the end: what was early there decides what comes later
                first = max(last - size, 0)
                rest = plan[:first] + plan[last:]
                if self._try(rest) is not None:
                    plan = rest
                last = first
            if size > 1:
                size = min(-(-size // 2), max(len(plan), 1))
            elif plan == before:
                break
        return plan

    def _singled(self, plan: Entries) -> Entries:
        """Let the frames that the noise struck stand for it."""
        failed = self._try(plan)
        struck = failed.struck if failed else ()
        quiet = tuple(entry for entry in plan if not (isinstance(entry, Noise) and entry.what in FRAME_KINDS))
        if len(quiet) == len(plan) or not 0 < len(struck) <= STRUCK_MAX or self._over:
            return plan
        instead = quiet + struck
        return self._fewer(instead) if self._try(instead) is not None else plan

    def _otherwise(self, plan: Entries, whole: Entries) -> Entries:
        """Let a few entries, others than they were, stand for many; a quarter of the time is for what follows."""
        self._spared = (self._left() / 4, (self._runs_max - self._spent // LEAST) // 4)
        while len(plan) > FEW and not self._over:
            found = self._first(joined(plan))
            fewer = self._fewer(found) if found is not None else self._drawn(plan, whole)
            if fewer is None:
                break
            plan = fewer
        self._spared = (0.0, 0)
        return plan

    def _drawn(self, plan: Entries, whole: Entries) -> Entries | None:
        """The first of some drawn plans that fails, taken apart, if it takes fewer entries then."""
        failed = self._try(plan)
        for candidate, within in self._chances(plan, whole, failed.at if failed else 0):
            if self._over:
                break
            usual = self._within
            if self._try(candidate, within) is not None:
                fewer = self._fewer(candidate)
                if len(fewer) < len(plan):
                    return fewer
                self._within = usual
        return None

    def _chances(self, plan: Entries, whole: Entries, at: int) -> Iterator[tuple[Entries, int]]:
        short = afresh(plan, whole, at) if at else iter(())
        for other in by_chance(plan, whole, min(CHANCES, CHANCES_EACH * len(plan))):
            yield from islice(short, AFRESH)
            yield other, 0

    def _weaker(self, plan: Entries) -> Entries:
        for number, entry in enumerate(plan):
            if isinstance(entry, Fault):
                plan = self._halved(plan, number, _half_as_long)
                plan = self._halved(plan, number, _half_as_strong)
        return plan

    def _halved(self, plan: Entries, number: int, half: Callable[[Fault], Fault | None]) -> Entries:
        for _ in range(HALVINGS):
            entry = plan[number]
            weaker = half(entry) if isinstance(entry, Fault) else None
            if weaker is None or self._over:
                return plan
            changed = (*plan[:number], weaker, *plan[number + 1 :])
            if self._try(changed) is None:
                return plan
            plan = changed
        return plan


def _half_as_long(fault: Fault) -> Fault | None:
    half = fault.lasts // 2 // MILLISECOND * MILLISECOND
    return replace(fault, lasts=half) if half else None


def _half_as_strong(fault: Fault) -> Fault | None:
    half = abs(fault.strength) // 2
    return replace(fault, strength=half if fault.strength > 0 else -half) if half else None
