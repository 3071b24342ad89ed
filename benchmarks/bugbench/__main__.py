"""Hunt the bugs of bugbench: seeds and CPU seconds until each is found, by strategy, and alarms of the fixed twins.

python -m benchmarks.bugbench [NAMES] [--strategy NAME ...] [--minutes M] [--starts N] [--twins SEEDS]
"""

from __future__ import annotations

import argparse
import statistics
import sys

from benchmarks.bugbench.catalogue import Bug, UnknownBug, bugs
from benchmarks.bugbench.hunting import STRATEGIES, Hunt, alarms, hunt
from regrove.node.simulation.searching import PORTFOLIO

APART = 1_000_000  # seeds between one start and the next


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bugbench", description="Hunt the bugs of bugbench.")
    parser.add_argument("names", nargs="*", help="which bugs; all unless said")
    parser.add_argument("--strategy", action="append", choices=STRATEGIES, help="may be repeated; all unless said")
    parser.add_argument("--minutes", type=float, default=10.0, help="CPU minutes for one bug under one strategy")
    parser.add_argument("--starts", type=int, default=1, help="hunts from so many places; the table has the medians")
    parser.add_argument("--twins", type=int, default=0, metavar="SEEDS", help="run the fixed twins only, so many seeds")
    given = parser.parse_args()
    try:
        chosen = bugs(given.names)
    except UnknownBug as problem:
        parser.error(str(problem))
    if given.twins:
        return twins(chosen, given.twins)
    return hunts(chosen, given.strategy or list(STRATEGIES), given.minutes * 60, given.starts)


def twins(chosen: list[Bug], seeds: int) -> int:
    """Print the alarms of fixed twins; 1 when there is one."""
    total = 0
    for bug in chosen:
        found = alarms(bug, range(seeds))
        total += len(found)
        print(f"{bug.name:<24} {seeds:>7} seeds {len(found):>4} alarms", flush=True)
        for seed, text in found[:5]:
            print(f"    seed {seed}: {text}", flush=True)
    return min(total, 1)


def hunts(chosen: list[Bug], strategies: list[str], budget_s: float, starts: int) -> int:
    """Print a row for each bug: seeds and CPU seconds by strategy, and the faults its plans shrank to."""
    print("seeds / CPU s until found ('-': not within the budget); faults: what the plans found shrank to\n")
    print(f"{'bug':<24}" + "".join(f"{name:>18}" for name in strategies) + "  faults")
    sizes: list[int] = []
    missed = 0
    for bug in chosen:
        print(f"{bug.name:<24}", end="", flush=True)
        plans: list[int] = []
        for strategy in strategies:
            rows = [hunt(bug, strategy, budget_s, start * APART) for start in range(starts)]
            missed += strategy == PORTFOLIO and any(row.found is None for row in rows)
            plans += [len(row.plan) for row in rows if row.plan is not None]
            print(f"{cell(rows):>18}", end="", flush=True)
        sizes += [int(statistics.median_high(plans))] if plans else []
        print(f"  {' '.join(map(str, sorted(plans))) or '-'}", flush=True)
    if sizes:
        print(f"\nmedian of faults in a shrunk plan: {statistics.median(sizes):g}")
    return min(missed, 1)


def cell(rows: list[Hunt]) -> str:
    """Medians, and how many of the hunts found nothing."""
    found = [row for row in rows if row.found is not None]
    if not found:
        return f"- ({max(row.seeds for row in rows)})"
    text = f"{statistics.median(row.seeds for row in found):g} / {statistics.median(row.cpu_s for row in found):.1f}"
    return text if len(found) == len(rows) else f"{text} ({len(found)} of {len(rows)})"


if __name__ == "__main__":
    sys.exit(main())
