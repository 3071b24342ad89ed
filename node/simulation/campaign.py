"""`@simulate`: one test over many seeds, as one pytest item a range of seeds (the plugin makes the items)."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from regrove.node.core.application import Application
from regrove.node.core.errors import Misuse
from regrove.node.simulation.faults import Counts, Faults
from regrove.node.simulation.simulation import Simulation

ITEMS: Final = 20  # pytest items of one campaign at most, so that workers share it
JUDGED: Final = 25  # a range of fewer seeds is too short to say that a fault kind never fires
PARAMETER: Final = "regrove_seeds"
ATTRIBUTE: Final = "__regrove_campaign__"


@dataclass(frozen=True, slots=True)
class Campaign:
    """What `@simulate` was given."""

    app: Application
    nodes: int
    cores: int
    seeds: int
    faults: Faults
    profile: str
    settings: Mapping[str, str] = field(default_factory=dict)
    core_restarts: str = "3/30s"

    def ranges(self, only: int | None = None) -> list[range]:
        """Divide the seeds into ranges; `only` is the one seed of `--sim-seed`."""
        if only is not None:
            return [range(only, only + 1)]
        size = max(1, -(-self.seeds // ITEMS))
        return [range(first, min(first + size, self.seeds)) for first in range(0, self.seeds, size)]

    def simulation(self, seed: int) -> Simulation:
        """Make the world of one seed."""
        return Simulation(
            self.app, self.nodes, self.cores, seed, self.faults, self.profile, self.settings, self.core_restarts
        )


def simulate(
    app: Application,
    nodes: int = 1,
    cores: int = 1,
    seeds: int = 1,
    faults: Faults = None,
    profile: str = "faithful",
    settings: Mapping[str, str] | None = None,
    core_restarts: str = "3/30s",
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test function `test(sim, ...)` for each of `seeds` seeds from 0; other arguments are pytest fixtures.

    A failing seed ends its item with the story of that seed. Over 25 seeds or more an enabled kind of fault that never
    fired, or a `sometimes` that never held, fails the item too.
    """
    if type(seeds) is not int or seeds < 1:
        raise Misuse(f"simulate(seeds={seeds!r}): seeds is an int of at least 1")
    campaign = Campaign(app, nodes, cores, seeds, faults, profile, dict(settings or {}), core_restarts)

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        parameters = list(inspect.signature(test).parameters.values())
        if not parameters or parameters[0].name != "sim":
            raise Misuse(f"{test.__qualname__} takes `sim` first, then its fixtures")

        @functools.wraps(test)
        def run(**arguments: Any) -> None:
            seeds_range: range = arguments.pop(PARAMETER)
            run_range(campaign, seeds_range, test, arguments)

        first = parameters[0].replace(name=PARAMETER, kind=inspect.Parameter.KEYWORD_ONLY)
        rest = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters[1:]]
        run.__signature__ = inspect.Signature([first, *rest])  # type: ignore[attr-defined]
        del run.__wrapped__  # pytest would look through to the arguments of the test
        setattr(run, ATTRIBUTE, campaign)
        return run

    return decorate


def run_range(campaign: Campaign, seeds: range, test: Callable[..., None], arguments: Mapping[str, Any]) -> None:
    """Run a test for each seed of a range, then judge the faults and the `sometimes` of all of them."""
    fired: dict[str, int] = {}
    held: dict[str, bool] = {}
    for seed in seeds:
        sim = campaign.simulation(seed)
        sim.command = f'pytest "{test.__module__.replace(".", "/")}.py::{test.__qualname__}" --sim-seed {seed}'
        with sim:
            test(sim, **arguments)
        _add(fired, sim.plan.counts)
        for name, condition in sim.world.held.items():
            held[name] = held.get(name, False) or condition
    if len(seeds) >= JUDGED:
        _judge(fired, held, len(seeds))


def _add(fired: dict[str, int], counts: Mapping[str, Counts]) -> None:
    for what, count in counts.items():
        fired[what] = fired.get(what, 0) + count.fired


def _judge(fired: Mapping[str, int], held: Mapping[str, bool], seeds: int) -> None:
    idle = [what for what, count in fired.items() if not count]
    assert not idle, f"enabled, and never fired in {seeds} seeds: {', '.join(idle)}; run longer, or take the kind out"
    unseen = [name for name, seen in held.items() if not seen]
    assert not unseen, f"never held in {seeds} seeds: {', '.join(unseen)}"
