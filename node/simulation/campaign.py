"""`@simulate`: one test over many seeds, as one pytest item a range of seeds (the plugin makes the items)."""

from __future__ import annotations

import functools
import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from regrove.node.core.application import Application
from regrove.node.core.errors import Misuse
from regrove.node.simulation.attempts import is_skip
from regrove.node.simulation.cases import Case, within
from regrove.node.simulation.failing import FIRED, Failing, NotDeterministic, run_once
from regrove.node.simulation.faults import Faults
from regrove.node.simulation.items import Item, Simulated
from regrove.node.simulation.orders import add_up, judge_under
from regrove.node.simulation.searching import Search, checked, faults_under
from regrove.node.simulation.simulation import Simulation
from regrove.node.simulation.story import passes

ITEMS: Final = 20  # pytest items of one campaign at most, so that workers share it
SEEDS_MAX: Final = 10**18 - 1  # more than that no range has
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
    search: Search = ""

    def ranges(self, only: int | None = None) -> list[range]:
        """Divide the seeds into ranges; `only` is the one seed of `--sim-seed`."""
        if only is not None:
            return [range(only, only + 1)]
        size = max(1, -(-self.seeds // ITEMS))
        return [range(first, min(first + size, self.seeds)) for first in range(0, self.seeds, size)]

    def case(self, item: Item, seed: int) -> Case:
        """The case of a seed, with nothing in it yet."""
        told = repr((self.app.name, self.faults, sorted(self.settings.items()), self.core_restarts, self.search))
        campaign = hashlib.blake2b(told.encode(), digest_size=6).hexdigest()
        return Case(
            item.test, seed, (), self.profile, self.nodes, self.cores, campaign=campaign, parameters=item.parameters
        )

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
    if not isinstance(app, Application):
        raise Misuse(f"simulate takes an Application: write @simulate(app=shop.app), got {app!r:.100}")
    if not isinstance(settings or {}, Mapping):
        raise Misuse(f"simulate(settings={settings!r:.100}): settings are names with values, as {{'port': '6380'}}")
    if type(seeds) is not int or not 1 <= seeds <= SEEDS_MAX:
        raise Misuse(f"simulate(seeds={seeds!r:.40}): seeds is an int of at least 1 and of up to 18 digits")
    campaign = Campaign(app, nodes, cores, seeds, faults, profile, dict(settings or {}), core_restarts, checked(search))

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        signature = _signature(test)
        simulated = Simulated(campaign)

        @functools.wraps(test)
        def run(*instance: Any, **arguments: Any) -> None:
            __tracebackhide__ = True  # what failed is in the test, not in us
            if PARAMETER not in arguments:
                raise Misuse(
                    f"{test.__qualname__} is under @simulate: pytest runs it, alone or in a plain class, and not in a "
                    "unittest.TestCase"
                )
            part: range | Case = arguments.pop(PARAMETER).of
            how = simulated.how
            run_as = campaign if how.search is None else replace(campaign, search=how.search)
            item = simulated.item or Item(f"{test.__module__}::{test.__qualname__}")
            result = empty(item)
            simulated.results.append(result)
            run_part(run_as, part, functools.partial(test, *instance, **arguments), how, item, result)

        run.__signature__ = signature  # type: ignore[attr-defined]
        setattr(run, ATTRIBUTE, simulated)
        return run

    return decorate


def _signature(test: Callable[..., None]) -> inspect.Signature:
    """What pytest sees: the parameter of the seeds instead of `sim`, then fixtures. Raises Misuse."""
    if inspect.iscoroutinefunction(test) or inspect.isgeneratorfunction(test) or inspect.isasyncgenfunction(test):
        raise Misuse(f"{test.__qualname__} is a coroutine or generator, which would never run: write a plain function")
    if hasattr(test, "is_hypothesis_test"):
        raise Misuse(
            f"{test.__name__}: @given under @simulate would run all its examples in one world; let it drive a plain "
            "test that makes a world of its own for each: `with Simulation(app, seed=seed) as sim:`"
        )
    parameters = list(inspect.signature(test).parameters.values())
    instance = parameters[:1] if parameters and parameters[0].name in ("self", "cls") else []
    sim, rest = next(iter(parameters[len(instance) :]), None), parameters[len(instance) + 1 :]
    if sim is None or sim.name != "sim":
        raise Misuse(f"{test.__qualname__} takes `sim` first (in a class: `self, sim`), then its fixtures")
    only = inspect.Parameter.KEYWORD_ONLY
    seeds = sim.replace(name=PARAMETER, kind=only)
    return inspect.Signature([*instance, seeds, *(parameter.replace(kind=only) for parameter in rest)])


def empty(item: Item) -> dict[str, Any]:
    """What the plugin adds up of one item, as plain data."""
    counts = {"seeds": 0, "twice": 0, "audited": 0, "parted": 0}
    return {"test": item.test, **counts, "failed": [], "fired": {}, "held": {}, "orders": {}, "passed": []}


def run_part(
    campaign: Campaign,
    part: range | Case,
    test: Callable[[Simulation], object],
    how: Failing,
    item: Item,
    result: dict[str, Any],
) -> None:
    """Run a test for each seed of a range, or for one stored case; put what they did into `result`."""
    __tracebackhide__ = True

    def play(_subject: str, seed: int) -> tuple[Simulation, BaseException | None]:
        given = faults_under(campaign.search, seed, campaign.faults)
        return run_once(lambda given: campaign.simulation(seed, given), test, given)

    stored = isinstance(part, Case)
    seeds = [part.seed] if isinstance(part, Case) else part
    if how.orders is not None:
        serve_orders(Path(how.orders), play)
        seeds = []
    skipped: list[BaseException] = []
    for seed in seeds:
        try:
            sim, explored = judge_under(
                "" if stored else campaign.search,
                lambda given, seed=seed: campaign.simulation(seed, given),  # type: ignore[misc]  # mypy knows no defaults
                test,
                part.plan if isinstance(part, Case) else campaign.faults,
                _again(part, item) if isinstance(part, Case) else campaign.case(item, seed),
                how,
                item.command,
            )
        except NotDeterministic as parted:
            result["parted"] += not stored
            raise (_audit(item, [seed], how) if how.audit_every and not stored else None) or parted from None
        except KeyboardInterrupt as interrupt:
            interrupt.args = interrupt.args or (f"in seed {seed}; to run it again: {item.command(None, seed)}",)
            raise
        except BaseException as error:
            if is_skip(error):
                skipped.append(error)
                continue
            if isinstance(part, Case) and isinstance(error, Misuse):
                error.add_note(f"this is the case of {part.path}: edit or delete it where the test has changed since")
            if hasattr(error, FIRED):
                result["seeds"] += not stored
                result["failed"] += [] if stored else [seed]
                add_up(result["fired"], {} if stored else getattr(error, FIRED))
            raise
        result["seeds"] += not stored
        result["twice"] += how.audit and explored is None and not stored
        if isinstance(part, Case):
            kept = None if part.path is None else str(within(part.path, item.root))
            result["passed"].append({"seed": part.seed, "file": kept, "told": passes(sim, part.plan)})
        add_up(result["orders"], {} if explored is None else explored.counts)
        fired = {what: count.fired for what, count in sim.plan.counts.items()}
        add_up(result["fired"], {} if stored else fired)  # a case has kinds that its test may not enable any more
        for claim, condition in sim.world.held.items():
            result["held"][claim] = result["held"].get(claim, False) or condition
    if skipped and len(skipped) == len(seeds):
        raise skipped[-1]
    if how.audit_every and not stored:
        audited = [seed for seed in seeds if seed % how.audit_every == 0]
        blamed = _audit(item, audited, how)
        if blamed is not None:
            result["parted"] += 1
            raise blamed
        result["audited"] += len(audited)


def _again(kept: Case, item: Item) -> Case:
    """The case as it is kept when it fails again: over its file, unless that stands for other parameters as well."""
    whose = replace(kept, test=item.test, parameters=item.parameters)
    return replace(whose, path=None) if item.parameters and not kept.parameters else whose


def serve_orders(orders: Path, play: Callable[[str, int], tuple[Simulation, BaseException | None]]) -> None:
    """Do what an audit asks for, in a process that it started."""
    from regrove.node.simulation.auditing.variants import serve

    serve(orders, play)


def _audit(item: Item, seeds: list[int], how: Failing) -> NotDeterministic | None:
    """Audit seeds of an item in other processes; the failure with the lines to blame, where there is one."""
    from regrove.node.simulation.auditing.auditor import audit
    from regrove.node.simulation.auditing.launching import launcher

    if not seeds:
        return None
    test = [sys.executable, "-m", "pytest", item.of_seed(seeds[0]), "--sim-seed", str(seeds[0]), *how.launched_by]
    launch = launcher(lambda orders: [*test, "--sim-orders", str(orders)], how.root)
    bad = [verdict for verdict in audit([("", seed) for seed in seeds], launch) if not verdict.clean]
    return NotDeterministic("\n".join(map(str, bad))) if bad else None
