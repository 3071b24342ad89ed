"""`@simulate`: one test over many seeds, as one pytest item a range of seeds (the plugin makes the items)."""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from regrove.node.core.application import Application
from regrove.node.core.errors import Misuse
from regrove.node.simulation.cases import Case
from regrove.node.simulation.failing import Failing, NotDeterministic, run_once
from regrove.node.simulation.faults import Faults
from regrove.node.simulation.orders import add_up, judge_under
from regrove.node.simulation.searching import Search, checked, faults_under
from regrove.node.simulation.simulation import Simulation

ITEMS: Final = 20  # pytest items of one campaign at most, so that workers share it
PARAMETER: Final = "regrove_seeds"
ATTRIBUTE: Final = "__regrove_campaign__"
RESULTS: Final = "__regrove_results__"
HOW: Final = "__regrove_how__"  # set by the plugin: how failing seeds are treated


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
    search: Search = ""

    def ranges(self, only: int | None = None) -> list[range]:
        """Divide the seeds into ranges; `only` is the one seed of `--sim-seed`."""
        if only is not None:
            return [range(only, only + 1)]
        size = max(1, -(-self.seeds // ITEMS))
        return [range(first, min(first + size, self.seeds)) for first in range(0, self.seeds, size)]

    def case(self, test: str, seed: int) -> Case:
        """The case of a seed, with nothing in it yet."""
        told = repr((self.app.name, self.faults, sorted(self.settings.items()), self.core_restarts, self.search))
        campaign = hashlib.blake2b(told.encode(), digest_size=6).hexdigest()
        return Case(test, seed, (), self.profile, self.nodes, self.cores, campaign=campaign)

    def simulation(self, seed: int, faults: Faults) -> Simulation:
        """Make the world of one seed, with the faults it is to meet."""
        return Simulation(
            self.app, self.nodes, self.cores, seed, faults, self.profile, self.settings, self.core_restarts
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
    search: Search = "",
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test function `test(sim, ...)` for each of `seeds` seeds from 0; other arguments are pytest fixtures.

    `search` says how the faults of each seed are chosen: `random` (all kinds), `swarm` (a random subset), `pct` (as
    given, and receivers in a drawn order of priority), `exhaustive` (every order of the inputs of cores, one after the
    other) or `portfolio` (each seed one of them in turn); or what `pct()` and `exhaustive()` of `faults` give.

    A failing seed ends its item with the story of that seed. A campaign of 25 seeds or more in which an enabled kind of
    fault never fired, or a `sometimes` never held, fails the whole pytest run, saying which.
    """
    if type(seeds) is not int or seeds < 1:
        raise Misuse(f"simulate(seeds={seeds!r}): seeds is an int of at least 1")
    campaign = Campaign(app, nodes, cores, seeds, faults, profile, dict(settings or {}), core_restarts, checked(search))

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        parameters = list(inspect.signature(test).parameters.values())
        if not parameters or parameters[0].name != "sim":
            raise Misuse(f"{test.__qualname__} takes `sim` first, then its fixtures")

        results: dict[int, dict[str, Any]] = {}

        @functools.wraps(test)
        def run(**arguments: Any) -> None:
            part: range | Case = arguments.pop(PARAMETER)
            how = getattr(run, HOW, Failing())
            run_as = campaign if how.search is None else replace(campaign, search=how.search)
            results[len(results)] = run_part(run_as, part, test, arguments, how)

        first = parameters[0].replace(name=PARAMETER, kind=inspect.Parameter.KEYWORD_ONLY)
        rest = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters[1:]]
        run.__signature__ = inspect.Signature([first, *rest])  # type: ignore[attr-defined]
        del run.__wrapped__  # pytest would look through to the arguments of the test
        setattr(run, ATTRIBUTE, campaign)
        setattr(run, RESULTS, results)
        return run

    return decorate


def run_part(
    campaign: Campaign, part: range | Case, test: Callable[..., None], arguments: Mapping[str, Any], how: Failing
) -> dict[str, Any]:
    """Run a test for each seed of a range, or for one stored case; return what the plugin adds up, as plain data."""
    name = _name_of(test)

    def play(_subject: str, seed: int) -> tuple[Simulation, BaseException | None]:
        given = faults_under(campaign.search, seed, campaign.faults)
        return run_once(lambda given: campaign.simulation(seed, given), lambda sim: test(sim, **arguments), given)

    fired: dict[str, int] = {}
    held: dict[str, bool] = {}
    orders: dict[str, int] = {}
    seeds = [part.seed] if isinstance(part, Case) else part
    faults = part.plan if isinstance(part, Case) else campaign.faults
    if how.orders is not None:
        serve_orders(Path(how.orders), play)
        seeds = []
    for seed in seeds:
        case = campaign.case(name, seed) if isinstance(part, range) else replace(part, test=name)
        try:
            sim, explored = judge_under(
                "" if isinstance(part, Case) else campaign.search,
                lambda given, seed=seed: campaign.simulation(seed, given),  # type: ignore[misc]  # mypy knows no defaults
                lambda sim: test(sim, **arguments),
                faults,
                case,
                how,
                lambda path: f"pytest '{name}' --sim-replay {path}",
            )
        except NotDeterministic:
            if how.audit_every and not isinstance(part, Case):
                _audit(_item(name, part), [seed], how)
            raise
        add_up(orders, {} if explored is None else explored.counts)
        for what, count in sim.plan.counts.items():
            fired[what] = fired.get(what, 0) + count.fired
        for claim, condition in sim.world.held.items():
            held[claim] = held.get(claim, False) or condition
    if how.audit_every and not isinstance(part, Case):
        _audit(_item(name, part), [seed for seed in seeds if seed % how.audit_every == 0], how)
    passed = [f"case {part.seed} ({part.path})"] if isinstance(part, Case) else []
    ran = 0 if isinstance(part, Case) else len(seeds)
    return {"seeds": ran, "fired": fired, "held": held, "orders": orders, "passed": passed}


def serve_orders(orders: Path, play: Callable[[str, int], tuple[Simulation, BaseException | None]]) -> None:
    """Do what an audit asks for, in a process that it started."""
    from regrove.node.simulation.auditing.variants import serve

    serve(orders, play)


def _audit(item: tuple[str, str], seeds: list[int], how: Failing) -> None:
    """Audit seeds of an item in other processes. Raises NotDeterministic with the lines to blame."""
    from regrove.node.simulation.auditing.auditor import audit
    from regrove.node.simulation.auditing.launching import launcher

    if not seeds:
        return
    before, behind = item
    name = f"{before}{name_of(range(seeds[0], seeds[0] + 1))}{behind}" if behind else before
    test = [sys.executable, "-m", "pytest", name, "--sim-seed", str(seeds[0]), *how.launched_by]
    launch = launcher(lambda orders: [*test, "--sim-orders", str(orders)], how.root)
    bad = [verdict for verdict in audit([("", seed) for seed in seeds], launch) if not verdict.clean]
    if bad:
        raise NotDeterministic("\n".join(map(str, bad)))


def name_of(part: range | Case) -> str:
    """How the item of some seeds, or of a case, is called in brackets."""
    if isinstance(part, Case):
        return f"case {part.seed}"
    return f"seed {part[0]}" if len(part) == 1 else f"seeds {part[0]}-{part[-1]}"


def _item(name: str, part: range) -> tuple[str, str]:
    """The item that runs now, as what stands before its seeds and behind them: its other parameters are kept."""
    current = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    before, found, behind = current.rpartition(name_of(part))
    return (before, behind) if found else (name, "")


def _name_of(test: Callable[..., None]) -> str:
    """Return what pytest calls the test, without its range of seeds."""
    current = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    return current.partition("[")[0] or f"{test.__module__}::{test.__qualname__}"
