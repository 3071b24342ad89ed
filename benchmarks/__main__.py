"""Ours beside the peers this machine has, in interleaved rounds: only the ratios of one run mean anything.

python -m benchmarks [--quick] [--rounds N] [--beside FOLDER]

`--beside` names a second checkout, of another version say, or one whose modules were compiled in place with
`REGROVE_COMPILE=1 python setup.py build_ext --inplace`: it is measured in the same rounds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.contenders import Erlang, Failed, cold, libraries, machine, measure, python
from benchmarks.noise import NOISY_MS
from benchmarks.report import BESIDE, OURS, Row, Target, plot

Run = Callable[[], dict[str, float]]
SIZES = (1, 10, 100, 1_000, 10_000, 100_000)
LINKS = (1, 3, 10, 30, 100)


class Bench:
    """The plan: which process gives which figure to which row."""

    def __init__(self, erlang: Erlang | None, scale: int, beside: Path | None = None) -> None:
        self.erlang = erlang
        self.beside = beside
        self.scale = scale
        self.rows: dict[str, Row] = {}
        self.plan: list[tuple[str, dict[str, Row], Run]] = []

    def row(self, key: str, name: str, unit: str, more: bool, **targets: float) -> Row:
        row = Row(name, unit, more, tuple(Target(other, first) for other, first in targets.items()))
        self.rows[key] = row
        return row

    def add(self, who: str, run: Run, **rows: Row) -> None:
        self.plan.append((who, rows, run))

    def command(self, who: str, command: list[str], **rows: Row) -> None:
        self.add(who, lambda: measure(command), **rows)
        if who == OURS and self.beside is not None:
            self.add(BESIDE, lambda: measure(command, folder=self.beside), **rows)

    def erl(self, *arguments: object, **rows: Row) -> None:
        erlang = self.erlang
        if erlang is not None:
            self.add("erlang", lambda: measure(erlang.command(*arguments), erlang.environment), **rows)

    def between(self, workload: str, size: int, *rest: object, **rows: Row) -> None:
        erlang = self.erlang
        if erlang is not None:
            self.add("erlang", lambda: erlang.between(workload, size, *rest), **rows)

    def round(self) -> None:
        for who, rows, run in self.plan:
            try:
                figures = run()
            except Failed as problem:
                for row in rows.values():
                    row.problems[who] = str(problem)
                continue
            for name, row in rows.items():
                row.add(who, figures[name])
            print(".", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)


def in_one_core(bench: Bench, found: list[str]) -> None:
    size = 200_000 * bench.scale
    against = {"ping_pong": (0.25, 0.4), "ring": (0.35, 0.5)}
    for key in ("ping_pong", "ring", "fan_in"):
        targets = dict(zip(("bare", "erlang"), against.get(key, ()), strict=False))
        if key == "ping_pong":
            targets |= {"thespian": 5.0, "pykka": 50.0, "xoscar": 50.0}
        name = {"ring": "busy ring, 1 000 isolates and tokens", "fan_in": "100 senders to one"}.get(key, "ping-pong")
        row = bench.row(key, name, "messages/s", True, **targets)
        bench.command(OURS, python("solo", key, size), rate=row)
        bench.command("bare", python("bare", key, 3 * size), rate=row)
        bench.erl(key, 3 * size, rate=row)
    for library in found:
        if library != "ray":
            row = bench.rows["ping_pong"]
            bench.command(library, python("python_peers", library, "ping_pong", 10_000), rate=row)


def lives(bench: Bench) -> None:
    spawn = bench.row("spawn", "spawn, of 20 000 isolates", "isolates/s", True, erlang=1.0)
    size = bench.row("bytes", "idle isolate, of 20 000", "bytes", False, erlang=0.3)
    bench.command(OURS, python("solo", "idle", 20_000), spawn=spawn, bytes=size)
    bench.erl("idle", 20_000, spawn=spawn, bytes=size)
    spawn = bench.row("spawn_many", "spawn, of 100 000 isolates", "isolates/s", True, erlang=1.0)
    size = bench.row("bytes_many", "idle isolate, of 100 000", "bytes", False, erlang=0.3)
    beside = bench.row("pass", "a pass with one ready isolate, beside 100 000 idle ones", "us", False, few=2.0)
    bench.command(OURS, python("solo", "idle", 100_000), spawn=spawn, bytes=size, pass_us=beside)
    bench.command("few", python("solo", "idle", 100), pass_us=beside)
    bench.erl("idle", 100_000, spawn=spawn, bytes=size)
    row = bench.row("crash", "crash to replacement, without logs", "us", False, erlang=1.0)
    bench.command(OURS, python("solo", "crash", 1_000 * bench.scale), us=row)
    bench.erl("crash", 1_000 * bench.scale, us=row)
    arm = bench.row("arm", "timers armed, of 50 000", "timers/s", True)
    fire = bench.row("fire", "timers fired, of 50 000", "timers/s", True)
    bench.command(OURS, python("solo", "timers", 50_000), arm=arm, fire=fire)
    bench.erl("timers", 50_000, arm=arm, fire=fire)


def between_two(bench: Bench, found: list[str]) -> None:
    size = 30_000 * bench.scale
    row = bench.row("one_way", "one way between two cores, small", "messages/s", True, bare=0.35, erlang=5.0)
    bench.command(OURS, python("links", "ours", "one_way", size), rate=row)
    bench.command("bare", python("links", "bare", "one_way", 5 * size), rate=row)
    bench.between("one_way", size, 0, rate=row)
    row = bench.row("in_flight", "requests, 1 000 in flight", "requests/s", True, erlang=5.0, ray=300.0)
    bench.command(OURS, python("links", "ours", "in_flight", size), rate=row)
    bench.between("in_flight", size, rate=row)
    if "ray" in found:
        bench.command("ray", python("python_peers", "ray", "in_flight", 3_000), rate=row)
    row = bench.row("round_trip", "round trip, one in flight, p50", "us", False, bare=1.5)
    bench.command(OURS, python("links", "ours", "round_trip", 1_000), us=row)
    bench.command("bare", python("links", "bare", "round_trip", 1_000), us=row)
    bench.between("round_trip", 1_000, us=row)
    for length, name, target in ((1024, "1 KiB", 3.0), (65536, "64 KiB", 0.3)):
        count = size // 2 if length == 1024 else 1_000
        row = bench.row(name, f"one way between two cores, {name}", "messages/s", True, erlang=target)
        bench.command(OURS, python("links", "ours", "one_way", count, length), rate=row)
        bench.command("bare", python("links", "bare", "one_way", 2 * count, length), rate=row)
        bench.between("one_way", count, length, rate=row)


def starts(bench: Bench) -> None:
    row = bench.row("cold", "cold start of 2 cores to the first answered call", "ms", False, erlang=3.0)
    bench.add(OURS, lambda: cold(python("cold")), ms=row)
    if bench.beside is not None:
        bench.add(BESIDE, lambda: cold(python("cold"), folder=bench.beside), ms=row)
    erlang = bench.erlang
    if erlang is not None:
        bench.add("erlang", lambda: cold(erlang.command("answer", 1), erlang.environment), ms=row)


def sizes() -> list[str]:
    """Cost of one message, of one isolate and of one pass, as what is there grows. One measurement each."""
    message, birth, passes, linked = [], [], [], []
    for size in SIZES:
        message.append((size, 1e9 / measure(python("solo", "ring_of", max(100_000, size), size))["rate"]))
        if size >= 1_000:
            figures = measure(python("solo", "idle", size))
            birth.append((size, 1e6 / figures["spawn"]))
            passes.append((size, figures["pass_us"]))
    for count in LINKS:
        linked.append((count, measure(python("fan_out", count, 20_000))["ns"]))
    return [
        *plot("a message, by isolates in the ring", "ns", message),
        *plot("a spawn, by isolates spawned", "us", birth),
        *plot("a pass with one ready isolate, by idle isolates", "us", passes),
        *plot("a message to another core, by links it is spread over", "ns", linked),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 rounds of smaller workloads")
    parser.add_argument("--rounds", type=int, default=None, help="7 by default, 3 with --quick")
    parser.add_argument("--beside", type=Path, metavar="FOLDER", help="a second checkout, measured in the same rounds")
    options = parser.parse_args()
    if options.beside is not None and not (options.beside / "benchmarks" / "solo.py").is_file():
        parser.error(f"--beside names a checkout of regrove; there is no benchmarks/solo.py in {options.beside}")
    rounds = options.rounds if options.rounds is not None else 3 if options.quick else 7
    if rounds < 1:
        parser.error(f"--rounds is at least 1, got {rounds}")
    # Installed packages have their bytecode; without this a checkout would compile itself at each start.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    found = libraries()
    with tempfile.TemporaryDirectory(prefix="regrove-bench-") as folder:
        erlang = Erlang(Path(folder)) if Erlang.found() else None
        print(f"{machine()}; peers: {', '.join([*(['erlang'] if erlang else []), *found]) or 'none found'}")
        with subprocess.Popen(python("noise"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as probe:
            bench = Bench(erlang, 1 if options.quick else 5, options.beside)
            in_one_core(bench, found)
            lives(bench)
            between_two(bench, found)
            starts(bench)
            if erlang is None:
                rounds_of(bench, rounds)
            else:
                with erlang.other_node():
                    rounds_of(bench, rounds)
            plots = sizes()
            late = probe.communicate("\n")[0].split()
    for row in bench.rows.values():
        print("\n".join(row.lines()))
    print("\n".join(plots))
    noisy = " NOISY: this run's figures are not to be quoted" if float(late[1]) > NOISY_MS else ""
    print(
        f"{rounds} rounds; a 5 ms sleeper woke {late[0]} ms late (p50), {late[1]} ms (p99) over {late[2]} naps.{noisy}"
    )
    print(machine())


def rounds_of(bench: Bench, rounds: int) -> None:
    for _ in range(rounds):
        bench.round()


if __name__ == "__main__":
    main()
