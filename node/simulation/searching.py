"""Strategies of search: which plan a seed runs under, drawn from the seed and the kinds of faults that were given.

A strategy only chooses what goes into the plan. So a case file needs nothing else to replay what a strategy found, and
the shrinker takes it apart like any other plan. `portfolio` gives each seed one of them in turn: the first so many
seeds always split in the same way, and a search that goes on later goes on in step.
"""

from __future__ import annotations

from typing import Final

from regrove.node.core.errors import Misuse
from regrove.node.simulation.faults import Fault, Faults, Kind, Noise, Priorities, Swarm, flat

GIVEN: Final = ""  # the kinds as they were given
RANDOM: Final = "random"  # all kinds in every seed
SWARM: Final = "swarm"  # a random subset in each seed
PCT: Final = "pct"  # as given, and receivers in a drawn order of priority
PORTFOLIO: Final = "portfolio"
STRATEGIES: Final = (RANDOM, SWARM, PCT, PORTFOLIO)
SHARES: Final = (SWARM, PCT, RANDOM, PCT, SWARM, PCT)  # of each so many seeds of a portfolio


def checked(search: str) -> str:
    """Give back the name of a strategy. Raises Misuse with what there is."""
    if search and search not in STRATEGIES:
        raise Misuse(f"search={search!r}: the strategies are {', '.join(STRATEGIES)}")
    return search


def strategy_of(search: str, seed: int) -> str:
    """Say how one seed is run: a portfolio gives each seed a strategy in turn."""
    return SHARES[seed % len(SHARES)] if search == PORTFOLIO else search


def faults_under(search: str, seed: int, faults: Faults) -> Faults:
    """Give the faults of one seed under a strategy. A plan by hand stays as it is, whatever is drawn beside it."""
    match strategy_of(checked(search), seed):
        case "random":
            return _regrouped(faults, swarming=False)
        case "swarm":
            return _regrouped(faults, swarming=True)
        case "pct":
            present = any(isinstance(part, Priorities) for part in flat(faults))
            return faults if present else (faults, Priorities())
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
