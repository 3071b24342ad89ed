"""Sources of faults: a kind draws its own from the seed, a swarm switches a random subset of kinds on.

A kind draws by keyed draws of (kind, virtual second), so taking one kind away moves no fault of another.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from regrove.node.simulation.clock import MILLISECOND, SECOND
from regrove.node.simulation.given import OFTEN_MAX
from regrove.node.simulation.plan import SWIZZLE, Fault, Layout
from regrove.node.simulation.seeds import NEVER, Draws, Ratio, between, holds, slice_of

OFTEN: Final = Ratio(1, 5)


@dataclass(frozen=True, slots=True)
class Kind:
    """A source of faults of one kind: `often` in each virtual second (at most 64), of a length drawn within `lasts`."""

    what: str
    often: Ratio = OFTEN
    lasts: tuple[int, int] = (100 * MILLISECOND, 2 * SECOND)
    strength: tuple[int, int] = (0, 0)
    arrows: tuple[str, ...] = ()
    on: str = "core"
    noise: Ratio = NEVER
    number: int = field(default=0, repr=False)  # which of those of this kind among the faults of a run

    @property
    def key(self) -> str:
        """What its draws are keyed by: two sources of one kind do not strike at the same instants."""
        return f"{self.what}~{self.number}" if self.number else self.what

    def draw(self, second: int, layout: Layout, draws: Draws) -> list[Fault]:
        """Draw what this kind does in that virtual second."""
        whole, rest = divmod(self.often.numerator, self.often.denominator)
        first = second * OFTEN_MAX
        if holds(draws.at(first, "plan.more", self.key), 0, Ratio(rest, self.often.denominator)):
            whole += 1
        drawn: list[Fault] = []
        for number in range(min(whole, OFTEN_MAX)):
            if self.what == SWIZZLE:
                drawn += self._swizzle(first + number, second, layout, draws)
            elif (fault := self._one(first + number, second, layout, draws)) is not None:
                drawn.append(fault)
        return drawn

    def opening(self, second: int, layout: Layout, draws: Draws) -> list[Fault]:
        """Draw the first second of a run: no other than the rest."""
        return self.draw(second, layout, draws)

    def _swizzle(self, ordinal: int, second: int, layout: Layout, draws: Draws) -> list[Fault]:
        """Cut a random subset of nodes off one after the other, and heal them in another order."""
        first = second * SECOND + (slice_of(draws.at(ordinal, "plan.when", self.key), 0) * SECOND >> 20)
        length = between(draws.at(ordinal, "plan.size", self.key), *self.lasts)
        found = []
        for index in range(layout.nodes if layout.nodes > 1 else 0):
            draw = draws.at(ordinal, "plan.swizzle", f"n{index}{self.key[len(SWIZZLE) :]}")
            if holds(draw, 0, Ratio(1, 2)):
                begin = slice_of(draw, 1) * (length // 2) >> 20
                end = length // 2 + (slice_of(draw, 2) * (length // 2) >> 20)
                found.append(Fault(SWIZZLE, f"n{index}<>*", first + begin, max(end - begin, 1)))
        return found

    def _one(self, ordinal: int, second: int, layout: Layout, draws: Draws) -> Fault | None:
        when = draws.at(ordinal, "plan.when", self.key)
        spot, size = draws.at(ordinal, "plan.where", self.key), draws.at(ordinal, "plan.size", self.key)
        if self.arrows:
            where = layout.pair(spot, self.arrows[slice_of(spot, 2) * len(self.arrows) >> 20])
        else:
            where = layout.core(spot) if self.on == "core" else layout.node(spot)
        if where is None:
            return None
        at = second * SECOND + (slice_of(when, 0) * SECOND >> 20)
        strength = draws.at(ordinal, "plan.strength", self.key)
        return Fault(self.what, where, at, between(size, *self.lasts), between(strength, *self.strength))


@dataclass(frozen=True, slots=True)
class Swarm:
    """Kinds of which each seed switches a random subset on, with random strengths."""

    kinds: tuple[Kind, ...]

    def choose(self, draws: Draws) -> tuple[Kind, ...]:
        """Return the kinds of this seed, at least one; how often each strikes is drawn from a third to twice."""
        chosen = []
        for kind in self.kinds:
            draw = draws.draw("swarm", kind.key)
            if holds(draw, 0, Ratio(1, 2)):
                chosen.append(_scaled(kind, draw))
        if not chosen and self.kinds:
            draw = draws.draw("swarm.one")
            chosen.append(_scaled(self.kinds[slice_of(draw, 0) * len(self.kinds) >> 20], draw))
        return tuple(chosen)


def _scaled(kind: Kind, draw: int) -> Kind:
    numerator, denominator = ((1, 3), (2, 3), (1, 1), (2, 1))[(draw >> 40) & 3]
    often = Ratio(kind.often.numerator * numerator, kind.often.denominator * denominator)
    whole = kind.noise.denominator * denominator
    noise = Ratio(min(kind.noise.numerator * numerator, whole), whole)  # more than all there is not
    return replace(kind, often=often, noise=noise)
