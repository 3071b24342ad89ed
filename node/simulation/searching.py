"""Strategies of search: which plan a seed runs under, drawn from the seed and the kinds of faults that were given.

A strategy only chooses what goes into the plan. So a case file needs nothing else to replay what a strategy found, and
the shrinker takes it apart like any other plan. `portfolio` gives each seed one of them in turn: the first so many
seeds always split in the same way, and a search that goes on later goes on in step. A seed is the seed of its world
under every strategy: with seeds of its own each would find no more, and a failing seed would have two numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from regrove.node.core.errors import Misuse
from regrove.node.simulation.clock import MILLISECOND, Span, duration
from regrove.node.simulation.faults import Fault, Faults, Kind, Noise, Priorities, Swarm, flat

GIVEN: Final = ""  # the kinds as they were given
RANDOM: Final = "random"  # all kinds in every seed
SWARM: Final = "swarm"  # a random subset in each seed
PCT: Final = "pct"  # as given, and receivers in a drawn order of priority
EXHAUSTIVE: Final = "exhaustive"  # all orders of the inputs of cores (`orders.py`)
PORTFOLIO: Final = "portfolio"
STRATEGIES: Final = (RANDOM, SWARM, PCT, EXHAUSTIVE, PORTFOLIO)
_ONCE: Final = (SWARM, PCT, RANDOM, PCT, SWARM, PCT, SWARM)
# Of each so many seeds of a portfolio. A seed under all orders is up to SHARED_SCHEDULES runs: a third of them all.
SHARES: Final = (*_ONCE, EXHAUSTIVE, *_ONCE, RANDOM, *_ONCE, RANDOM, *_ONCE, RANDOM)
WINDOW: Final = 5 * MILLISECOND
SCHEDULES: Final = 200
SHARED_SCHEDULES: Final = 16  # of a seed of a portfolio


@dataclass(frozen=True, slots=True)
class Exhaustive:
    """How far to go: exchanges within `window` ns, `schedules` runs a seed, `seconds` of real time (0: any).

    `lenient`: a run that is too long is run once and counts as not complete, instead of raising Misuse.
    """

    window: int = WINDOW
    schedules: int = SCHEDULES
    seconds: float = 0.0
    lenient: bool = False


def exhaustive(window: Span = "5ms", schedules: int = SCHEDULES, seconds: float = 0.0) -> Exhaustive:
    """Go through all orders of the inputs of cores, as `search=`: for small worlds and short runs.

    Inputs are exchanged that come within `window` of each other. It ends after `schedules` runs a seed, or `seconds` of
    real time (0: no limit), and then says that it is not complete.
    """
    if type(schedules) is not int or schedules < 1:
        raise Misuse(f"exhaustive(schedules={schedules!r}): schedules is an int of at least 1")
    return Exhaustive(duration(window), schedules, float(seconds))


Search: TypeAlias = "str | Priorities | Exhaustive"


def checked(search: Search) -> Search:
    """Give back a strategy. Raises Misuse with what there is."""
    if search and search not in STRATEGIES and not isinstance(search, Priorities | Exhaustive):
        raise Misuse(f"search={search!r}: the strategies are {', '.join(STRATEGIES)}")
    return search


def strategy_of(search: Search, seed: int) -> Search:
    """Say how one seed is run: a portfolio gives each seed a strategy in turn."""
    return SHARES[seed % len(SHARES)] if search == PORTFOLIO else search


def orders_of(search: Search, seed: int) -> Exhaustive | None:
    """How far to go through the orders of a seed; None for a seed that is run once."""
    if isinstance(search, Exhaustive):
        return search
    if strategy_of(search, seed) != EXHAUSTIVE:
        return None
    return Exhaustive(schedules=SHARED_SCHEDULES, lenient=True) if search == PORTFOLIO else Exhaustive()


def faults_under(search: Search, seed: int, faults: Faults) -> Faults:
    """Give the faults of one seed under a strategy. A plan by hand stays as it is, whatever is drawn beside it."""
    match strategy_of(checked(search), seed):
        case "random":
            return _regrouped(faults, swarming=False)
        case "swarm":
            return _regrouped(faults, swarming=True)
        case "pct":
            present = any(isinstance(part, Priorities) for part in flat(faults))
            return faults if present else (faults, Priorities())
        case Priorities() as given:
            return (faults, given)
        case _:
            return faults


def _regrouped(faults: Faults, swarming: bool) -> Faults:
    kinds: list[Kind] = []
    rest: list[Fault | Noise | Priorities] = []
    for part in flat(faults):
        if isinstance(part, Swarm):
            kinds += part.kinds
        elif isinstance(part, Kind):
            kinds.append(part)
        else:
            rest.append(part)
    return (*rest, Swarm(tuple(kinds))) if swarming and kinds else (*rest, *kinds)
