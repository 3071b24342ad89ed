"""What was measured, as text: medians with their spread, ratios beside the targets, and cost against size."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

BAR = 40
OURS = "ours"
BESIDE = "beside"  # ours too, from another checkout


@dataclass(frozen=True, slots=True)
class Target:
    """`ours / other` for rates (at least), or for costs (at most); `first` of performance.md's first-step column."""

    other: str
    first: float


@dataclass(slots=True)
class Row:
    """One quantity and who was measured for it. `more` is better (a rate), or less (a cost)."""

    name: str
    unit: str
    more: bool
    targets: tuple[Target, ...] = ()
    figures: dict[str, list[float]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def add(self, who: str, value: float) -> None:
        self.figures.setdefault(who, []).append(value)

    def median(self, who: str) -> float | None:
        values = self.figures.get(who)
        return statistics.median(values) if values else None

    def lines(self) -> list[str]:
        head = f"{self.name} ({self.unit})"
        lines = [head]
        mine = self.median(OURS)
        for who, values in self.figures.items():
            middle = statistics.median(values)
            spread = f"{short(min(values))} to {short(max(values))}"
            lines.append(f"    {who:<10} {short(middle):>9}   {spread:<22}{self._ratio(who, mine, middle)}")
        lines += self._of_beside()
        lines += [f"    {who:<10} {'-':>9}   {why}" for who, why in self.problems.items() if who not in self.figures]
        return lines

    def _of_beside(self) -> list[str]:
        second = self.median(BESIDE)
        others = [(who, self.median(who)) for who in self.figures if who not in (OURS, BESIDE)]
        ratios = [self._ratio(who, second, middle, BESIDE) for who, middle in others if second is not None and middle]
        return [f"    {'':<44}{ratio}" for ratio in ratios]

    def _ratio(self, who: str, mine: float | None, middle: float, name: str = OURS) -> str:
        if who == OURS or mine is None or not middle:
            return ""
        ratio = mine / middle
        name = name if name == OURS else f"{name}, of {who},"
        for target in self.targets:
            if target.other == who:
                reached = ratio >= target.first if self.more else ratio <= target.first
                sign = ">=" if self.more else "<="
                return (
                    f"{name} is {ratio:.3g} x   target {sign} {target.first:g} x   {'reached' if reached else 'MISSED'}"
                )
        return f"{name} is {ratio:.3g} x"


def short(value: float) -> str:
    """Three digits and a unit of thousands."""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:.3g}"


def plot(title: str, unit: str, points: Sequence[tuple[int, float]]) -> list[str]:
    """Cost against size as bars from 0: linear growth of the whole is a flat row of bars."""
    top = max((cost for _, cost in points), default=0.0)
    lines = [f"{title} ({unit})"]
    for size, cost in points:
        bar = "#" * max(1, math.ceil(BAR * cost / top)) if top else ""
        lines.append(f"    {size:>7} {short(cost):>8} {bar}")
    return lines
