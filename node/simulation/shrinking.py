"""Shrinking: the smallest plan that still fails in the same way, within bounded time. Pure but for the runs themselves.

First whole entries go: all of one kind, all at one place, then parts of the plan from halves down to single entries
(ddmin; Zeller, Hildebrandt 2002). Then noise gives way to the very frames it struck. What is still long is stuck: each
entry moves what comes after it, so without any one of them the others come at the wrong time. There a few entries that
were moved or made longer may do what many did (`simpler.py`), and what is found that way is taken apart again. Last,
times and strengths are halved. What is left is tried once more without each entry: those are marked as needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from regrove.node.simulation.clock import MILLISECOND
from regrove.node.simulation.plan import FRAME_KINDS, Fault, Noise
from regrove.node.simulation.simpler import by_chance, grouped, joined

Entry: TypeAlias = Fault | Noise
Entries: TypeAlias = tuple[Entry, ...]
Struck: TypeAlias = tuple[Fault, ...]
Fails: TypeAlias = Callable[[Entries], Struck | None]  # None: passes, or fails otherwise; else the frames noise struck
RUNS_MAX: Final = 2_000
HALVINGS: Final = 5
STRUCK_MAX: Final = 400  # single frames that may stand for the noise
FEW: Final = 3  # entries that a person reads at a glance: no more is risked for fewer
CHANCES: Final = 300  # plans in a row that are tried by chance and do not fail, before it is given up


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
    """One shrink. `fails(plan)` runs the seed with that plan; `left()` are the seconds that remain.

    `fails` may give up early what does not fail soon; `wholly(plan)` does not, and decides what is needed.
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
        self._tried: dict[Entries, Struck | None] = {}
        self._spared = (0.0, 0)  # seconds and runs that are left for what follows
        self.runs = 0

    def shrink(self, plan: Entries) -> Shrunk:
        """Shrink a plan that is known to fail."""
        if self._try(plan) is None:
            return Shrunk(plan, runs=self.runs, reproduced=False)
        whole = plan
        plan = self._fewer(plan)
        plan = self._singled(plan)
        plan = self._otherwise(plan, whole)
        plan = self._weaker(plan)
        plan, needed = self._marked(plan)
        return Shrunk(plan, needed, self.runs, finished=not self._over)

    @property
    def _over(self) -> bool:
        seconds, runs = self._spared
        return self._left() <= seconds or self.runs >= self._runs_max - runs

    def _try(self, plan: Entries) -> Struck | None:
        if plan not in self._tried:
            self.runs += 1
            self._tried[plan] = self._fails(plan)
        return self._tried[plan]

    def _marked(self, plan: Entries) -> tuple[Entries, list[Entry]]:
        """Which entries are needed; without one that was needed only for it to fail soon."""
        needed: list[Entry] = []
        for entry in plan:
            rest = tuple(other for other in plan if other is not entry)
            if (rest not in self._tried and self._over) or self._try(rest) is not None:
                continue
            if self._wholly is not None:
                if self._over:
                    continue
                self.runs += 1
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
        struck = self._try(plan) or ()
        quiet = tuple(entry for entry in plan if not (isinstance(entry, Noise) and entry.what in FRAME_KINDS))
        if len(quiet) == len(plan) or not 0 < len(struck) <= STRUCK_MAX or self._over:
            return plan
        instead = quiet + struck
        return self._fewer(instead) if self._try(instead) is not None else plan

    def _otherwise(self, plan: Entries, whole: Entries) -> Entries:
        """Let a few entries, others than they were, stand for many; half of the time is for what follows."""
        self._spared = (self._left() / 2, (self._runs_max - self.runs) // 2)
        while len(plan) > FEW and not self._over:
            found = self._first(joined(plan))
            if found is None:
                found = self._first(by_chance(plan, whole, CHANCES))
            if found is None:
                break
            plan = self._fewer(found)
        self._spared = (0.0, 0)
        return plan

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
