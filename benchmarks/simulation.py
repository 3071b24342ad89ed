"""The reference workload of the simulator: how many messages a second it delivers, on one core of this machine.

python -m benchmarks.simulation [SECONDS] [--compiled | --profile]      SECONDS of virtual time, 60 unless said

`--compiled` measures a copy whose modules it compiles first (`REGROVE_COMPILE=1`; a C compiler, mypy, two minutes).

Five nodes of one core each; each beats to the four others every 50 ms and acknowledges their beats. Latency tables,
resets that lose what is under way, and cuts are on, as is the trace hash over every event; every message crosses the
codec and is checked against its annotations. A delivery is a message of an isolate that another node's isolate
handled. CPU time of this process, so that what else the machine does counts little.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

from benchmarks.compiling import NotCompiled, compiled
from regrove import RECEIVE, Application, Child, Context, Effect, Isolate, Name, Place, Supervisor, message
from regrove.testing import Simulation
from regrove.testing import faults as f

NODES = 5
PERIOD_S = 0.05
CALL_NS = 28  # a bare call on the machine of docs and design: to compare runs of machines that are busy or slow


@message(name="benchmark:Tick")
class Tick:
    pass


@message(name="benchmark:Beat")
class Beat:
    node: int
    number: int


@message(name="benchmark:Ack")
class Ack:
    node: int
    number: int


class Member(Isolate):
    """Beats to all others and counts what they acknowledge."""

    def __init__(self, own: int) -> None:
        self.own = own
        self.number = 0
        self.acknowledged = [0] * NODES
        self.peers = {other: Name("member", f"n{other}@sim") for other in range(NODES) if other != own}

    def start(self, ctx: Context) -> Effect:
        ctx.send_every(PERIOD_S, Tick())
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Beat(node, number):
                ctx.send(self.peers[node], Ack(self.own, number))
            case Ack(node, number):
                self.acknowledged[node] = number
            case Tick():
                self.number = number = self.number + 1
                beat = Beat(self.own, number)
                for peer in self.peers.values():
                    ctx.send(peer, beat)
        return RECEIVE


def tree(place: Place) -> Supervisor:
    return Supervisor("root", [Child("member", Member, int(place.node[1]), name="member")])


app = Application("reference", tree=tree)
FAULTS = (f.loss(noise=(1, 2000)), f.cut(often=(1, 10)))


def call(value: int) -> int:
    return value


def bare(count: int = 100_000) -> float:
    """Return the CPU seconds of one bare Python call, to tell a slow machine from a slow simulator."""
    begin = time.process_time()
    for number in range(count):
        call(number)
    return (time.process_time() - begin) / count


def measure(seconds: int, seed: int = 1) -> tuple[int, float, float, str]:
    """Return deliveries, CPU seconds, what one delivery costs in bare calls (median of slices) and the digest."""
    with Simulation(app, nodes=NODES, seed=seed, faults=FAULTS) as sim:
        first = handled = sim.counters()["handled"]
        spent, costs = 0.0, []
        for _ in range(seconds):
            unit = bare()
            begin = time.process_time()
            sim.run(1)
            took = time.process_time() - begin
            before, handled = handled, sim.counters()["handled"]
            spent += took
            costs.append(took / max(handled - before, 1) / unit)
        return handled - first, spent, sorted(costs)[len(costs) // 2], sim.trace.digest


def main(arguments: list[str]) -> None:
    seconds = int(next((word for word in arguments if word.isdigit()), "60"))
    if "--profile" in arguments:
        import cProfile
        import pstats

        profile = cProfile.Profile()
        profile.runcall(measure, seconds)
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)
        return
    if "--compiled" in arguments:
        try:
            with compiled() as folder:
                command = [sys.executable, "-m", "benchmarks.simulation", str(seconds)]
                sys.exit(subprocess.run(command, cwd=folder, check=False).returncode)
        except NotCompiled as problem:
            sys.exit(str(problem))
    measure(1)
    for seed in (1, 2, 3):
        deliveries, spent, cost, digest = measure(seconds, seed)
        print(
            f"seed {seed}: {deliveries} deliveries in {spent:.2f} s CPU, {deliveries / spent:.0f} a second; one costs "
            f"{cost:.0f} bare calls: {1e9 / cost / CALL_NS:.0f} a second where a call takes {CALL_NS} ns; {digest}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
