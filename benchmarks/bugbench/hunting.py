"""How a bug is hunted: seed after seed under one strategy, until one fails or the time is up; then it is shrunk."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Final

from benchmarks.bugbench.catalogue import Bug, bugs
from regrove.node.simulation.failing import Test, run_once, shrink, signature
from regrove.node.simulation.orders import Explorer
from regrove.node.simulation.searching import PORTFOLIO, SHARES, SWARM, orders_of
from regrove.node.simulation.shrinking import Entries
from regrove.node.simulation.simulation import Simulation

AUDIT: Final = "audit"  # the same seed in two processes with two hash seeds
STRATEGIES: Final = ("random", "swarm", "pct", "exhaustive", AUDIT, PORTFOLIO)
AUDITED: Final = (24, 512)  # the first seed that a portfolio audits too, and after how many the next one is
SHRINK_RUNS: Final = 2_000  # not seconds: what a plan shrinks to may not depend on the machine's speed
SHRINK_S: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Hunt:
    """What a hunt came to: `found` is the seed that failed; `plan` what it shrank to, None for an audit."""

    seeds: int
    cpu_s: float
    found: int | None = None
    violated: str = ""
    plan: Entries | None = None
    reproduced: bool = True


def cpu_s() -> float:
    """CPU seconds of this process and of those it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def hunt(bug: Bug, strategy: str, budget_s: float, first: int = 0, seeds: int = 1_000_000) -> Hunt:
    """Hunt a bug from seed `first` on, for at most so many CPU seconds and seeds."""
    begin = cpu_s()
    for number in range(seeds):
        seed = first + number
        failure = _fails(bug, strategy, seed, number)
        spent = cpu_s() - begin
        if failure is not None:
            plan, violated, wanted = failure
            if plan is None:
                return Hunt(number + 1, spent, seed, violated)
            shrunk = shrink(
                lambda given: bug.world(True, seed, given),  # noqa: B023
                bug.check, plan, wanted, SHRINK_S, runs=SHRINK_RUNS,
            )  # fmt: skip
            return Hunt(number + 1, spent, seed, violated, shrunk.plan, shrunk.reproduced)
        if spent > budget_s:
            return Hunt(number + 1, spent)
    return Hunt(seeds, cpu_s() - begin)


Failure = tuple[Entries | None, str, tuple[str, str]]


def _fails(bug: Bug, strategy: str, seed: int, number: int) -> Failure | None:
    """Run one seed of the broken application; return the plan it failed under, what was violated, and its signature."""
    audited = strategy == AUDIT or (strategy == PORTFOLIO and number % AUDITED[1] == AUDITED[0])
    if audited and parts(bug, True, seed):
        return None, "another process ran it otherwise", ("", "")
    if strategy == AUDIT:
        return None
    _, error, plan = run(bug, True, seed, strategy)
    if error is None:
        return None
    return plan, str(error).partition("\n")[0], signature(error)


def run(bug: Bug, broken: bool, seed: int, strategy: str) -> tuple[Simulation, BaseException | None, Entries]:
    """Run one seed, or all its orders; return its world, how it failed, and its plan."""
    seen: list[BaseException] = []
    bounds = orders_of(strategy, seed)
    if bounds is None:
        faults = bug.under(strategy, seed)
        sim, error = run_once(lambda given: bug.world(broken, seed, given), bug.check, faults)
        return sim, error, sim.plan.explicit(sim.now)
    explorer = Explorer(lambda given: bug.world(broken, seed, given), _noting(bug.check, seen), bounds)
    sim = explorer.explore(bug.faults or None)
    return sim, seen[-1] if seen else None, explorer.explored.failing or ()


def _noting(test: Test, seen: list[BaseException]) -> Test:
    def noting(sim: Simulation) -> None:
        try:
            test(sim)
        except Exception as error:
            seen.append(error)
            raise

    return noting


def alarms(bug: Bug, seeds: range) -> list[tuple[int, str]]:
    """Run the fixed twin, each seed once under the strategy that a portfolio gives it; return the seeds that fail."""
    found = []
    for seed in seeds:
        share = SHARES[seed % len(SHARES)]
        _, error, _ = run(bug, False, seed, share if orders_of(share, seed) is None else SWARM)
        if error is not None:
            found.append((seed, str(error).partition("\n")[0]))
    return found


# --- two processes ---


def parts(bug: Bug, broken: bool, seed: int) -> bool:
    """Whether a seed runs otherwise in another process with another hash seed."""
    first, second = (_digest_elsewhere(bug, broken, seed, hash_seed) for hash_seed in ("1", "2"))
    return first != second


def _digest_elsewhere(bug: Bug, broken: bool, seed: int, hash_seed: str) -> str:
    command = [sys.executable, "-m", __name__, bug.name, str(int(broken)), str(seed)]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def main(name: str, broken: str, seed: str) -> None:
    """Print the digest of one seed."""
    (bug,) = bugs([name])
    sim, _, _ = run(bug, broken == "1", int(seed), SWARM)
    print(sim.trace.digest)


if __name__ == "__main__":
    main(*sys.argv[1:])
