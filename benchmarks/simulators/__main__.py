"""The simulator beside its peers, in one interleaved run on one core, by CPU time.

python -m benchmarks.simulators [--python PATH ...] [--compiled] [--rounds N] [--seconds S] [--seeds N]

The peers are those that can be imported by an interpreter given (simloom needs Python 3.12); ours runs in each of them
that can import it, else in this one, and with `--compiled` a compiled copy of it in this one too. Each measurement is a
process of its own; ratios are of medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.compiling import NotCompiled, compiled

OURS: Final = "regrove"
BARE: Final = "bare"  # the programs on a heap of what is due: about the most for one in Python
PEERS: Final = ("simloom", "simloop", "seedloop")
ROOT: Final = Path(__file__).resolve().parents[2]
GOALS: Final = {"beats": 4.0, "raft": 10.0}
TITLES: Final = {
    "beats": "deliveries a second: 5 nodes, all-to-all beat and acknowledgement every 50 ms",
    "raft": "Raft seeds a second: 5 nodes, one client, 5 virtual seconds, a crash and a partition",
}


@dataclass(slots=True)
class Row:
    """What one contender did in one workload."""

    contender: str
    python: str
    root: Path = ROOT
    rates: list[float] = field(default_factory=list)
    done: list[float] = field(default_factory=list)
    version: str = ""

    @property
    def rate(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rates)

    @property
    def answers(self) -> float:
        """What was done a second: seeds of one contender have more in them than those of another."""
        return self.rate * statistics.median(self.done)


def run(python: str, *words: str, root: Path) -> str | None:
    """Run a Python in the root of a checkout; give what it printed, None when it failed."""
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": "0"}
    done = subprocess.run([python, *words], capture_output=True, text=True, env=environment, cwd=root, check=False)
    if done.returncode:
        print(f"{words[-4:]} failed: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return done.stdout


def can_import(python: str, name: str) -> bool:
    """Whether that interpreter has it."""
    probe = f"import importlib.util as u, sys; sys.exit(u.find_spec({name!r}) is None)"
    return subprocess.run([python, "-c", probe], cwd=os.sep, check=False).returncode == 0


def contenders(pythons: list[str], compiled_in: Path | None) -> list[Row]:
    """Which contender runs in which interpreter, and from which checkout."""
    found = [(peer, next((python for python in pythons if can_import(python, peer)), "")) for peer in PEERS]
    able = [python for python in pythons if can_import(python, "zmq") and can_import(python, "msgpack")]
    ours = [Row(OURS, python) for python in able or [sys.executable]]
    if compiled_in is not None:
        ours.append(Row(OURS, sys.executable, compiled_in))
    return [*(Row(name, python) for name, python in found if python), *ours, Row(BARE, pythons[0])]


def measure(rows: list[Row], workload: str, size: int, rounds: int) -> list[Row]:
    """Run all contenders in turn, `rounds` times; give those that ran."""
    for number in range(rounds):
        for row in rows:
            words = ("-m", "benchmarks.simulators.worker", row.contender, workload, str(size), str(1000 * number + 1))
            text = run(row.python, *words, root=row.root)
            if text is not None:
                told: dict[str, Any] = json.loads(text.splitlines()[-1])
                row.rates.append(told["units"] / told["cpu_s"])
                row.done.append(told["done"] / size)
                row.version = told["python"] + " compiled" * (row.root != ROOT)
    return [row for row in rows if row.rates]


def show(workload: str, rows: list[Row]) -> None:
    """Print a workload's table, and ours over the best peer."""
    what = "deliveries" if workload == "beats" else "answers"
    print(f"\n{TITLES[workload]}")
    print(f"  {'':<10}{'Python':>16}{'median':>12}{'least':>12}{'most':>12}   {what} in a virtual second or seed")
    for row in rows:
        numbers = "".join(f"{number:>12,.1f}" for number in (row.rate, min(row.rates), max(row.rates)))
        print(f"  {row.contender:<10}{row.version:>16}{numbers}   {statistics.median(row.done):,.0f}")
    peers = [row for row in rows if row.contender in PEERS]
    if not peers:
        print("  no peer is installed: give --python PATH of an interpreter that has one")
        return
    best = max(peers, key=lambda row: row.rate)
    busiest = max(peers, key=lambda row: row.answers)
    for row in rows:
        ratio = row.rate / best.rate
        by_answers = f"; by answers / {busiest.contender}: {row.answers / busiest.answers:.2f}"
        if row.contender == OURS:
            end = by_answers if workload == "raft" else ""
            print(f"  ours ({row.version}) / {best.contender}: {ratio:.2f} (goal {GOALS[workload]:g}){end}")
        elif row.contender == BARE:
            print(f"  the programs alone ({row.version}) / {best.contender}: {ratio:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulators", description="The simulator and its peers.")
    parser.add_argument("--python", action="append", default=[], help="an interpreter with peers; may be repeated")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=20, help="virtual seconds of the reference workload")
    parser.add_argument("--seeds", type=int, default=5, help="Raft seeds in one measurement")
    parser.add_argument("--compiled", action="store_true", help="ours compiled, too: a C compiler, mypy, two minutes")
    given = parser.parse_args()
    try:
        with compiled() if given.compiled else nullcontext() as folder:
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
            for workload, size in (("beats", given.seconds), ("raft", given.seeds)):
                rows = contenders([*given.python, sys.executable], folder)
                show(workload, measure(rows, workload, size, given.rounds))
    except NotCompiled as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
