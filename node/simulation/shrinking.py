"""Shrinking: the smallest plan that still fails in the same way, within bounded time. Pure but for the runs themselves.

First whole entries go (ddmin; Zeller, Hildebrandt 2002), then noise gives way to the very frames it struck, then times
and strengths are halved. What is left is tried once more without each entry: those are marked as needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from regrove.node.simulation.clock import MILLISECOND
from regrove.node.simulation.plan import FRAME_KINDS, Fault, Noise

Entry: TypeAlias = Fault | Noise
Entries: TypeAlias = tuple[Entry, ...]
Struck: TypeAlias = tuple[Fault, ...]
Fails: TypeAlias = Callable[[Entries], Struck | None]  # None: passes, or fails otherwise; else the frames noise struck
HALVINGS: Final = 5
STRUCK_MAX: Final = 400  # single frames that may stand for the noise


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
    """One shrink. `fails(plan)` runs the seed with that plan; `left()` are the seconds that remain."""

    def __init__(self, fails: Fails, left: Callable[[], float], runs_max: int = 2_000) -> None:
        self._fails = fails
        self._left = left
        self._runs_max = runs_max
        self._tried: dict[Entries, Struck | None] = {}
        self.runs = 0

    def shrink(self, plan: Entries) -> Shrunk:
        """Shrink a plan that is known to fail."""
        if self._try(plan) is None:
            return Shrunk(plan, runs=self.runs, reproduced=False)
        plan = self._fewer(plan)
        plan = self._singled(plan)
        plan = self._weaker(plan)
        needed = [entry for entry in plan if self._passes_without(plan, entry)]
        return Shrunk(plan, needed, self.runs, finished=not self._over)

    @property
    def _over(self) -> bool:
        return self._left() <= 0 or self.runs >= self._runs_max

    def _try(self, plan: Entries) -> Struck | None:
        if plan not in self._tried:
            self.runs += 1
            self._tried[plan] = self._fails(plan)
        return self._tried[plan]

    def _passes_without(self, plan: Entries, entry: Entry) -> bool:
        rest = tuple(other for other in plan if other is not entry)
        return (rest in self._tried or not self._over) and self._try(rest) is None

    def _fewer(self, plan: Entries) -> Entries:
        """Take entries away, large parts first, until none can go."""
        parts = 1
        while plan and not self._over:
            size = -(-len(plan) // parts)
            for first in range(0, len(plan), size):
                rest = plan[:first] + plan[first + size :]
                if self._over:
                    return plan
                if self._try(rest) is not None:
                    plan = rest
                    parts = max(parts - 1, 1)
                    break
            else:
                if size == 1:
                    return plan
                parts = min(parts * 2, len(plan))
        return plan

    def _singled(self, plan: Entries) -> Entries:
        """Let the frames that the noise struck stand for it."""
        struck = self._try(plan) or ()
        quiet = tuple(entry for entry in plan if not (isinstance(entry, Noise) and entry.what in FRAME_KINDS))
        if len(quiet) == len(plan) or not 0 < len(struck) <= STRUCK_MAX or self._over:
            return plan
        instead = quiet + struck
        return self._fewer(instead) if self._try(instead) is not None else plan

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
