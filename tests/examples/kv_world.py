"""One seed of the kv campaign; `python -m tests.examples.kv_world SEED...` prints the digests of some."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from examples.kv import app
from examples.kv.resp import bulks
from regrove.testing import Simulation
from regrove.testing import faults as f
from tests.examples.recorder import COUNTERS, PORT, Client, Problem, Verdict, check_final, reply

FAULTS = f.swarm(
    f.cut(),
    f.loss(often=(1, 5)),
    f.crash(often=(1, 5)),
    f.crash(on="node", often=(1, 5)),
    f.pause(often=(1, 5)),
    f.slow(often=(1, 5)),
    f.disk(often=(1, 5)),
)
CLIENTS = 4
THINK = 150_000_000  # ns
STRESS = "6s"


@contextmanager
def world(seed: int) -> Iterator[Simulation]:
    """A node of two or three cores under a swarm of faults, in sync mode."""
    sim = Simulation(app, cores=2 + (seed % 4 == 3), seed=seed, faults=FAULTS, settings={"sync": "true"})
    sim.command = f'pytest "tests/examples/test_kv_campaign.py" --sim-seed {seed}'
    with sim:
        yield sim


def play(seed: int) -> tuple[str, dict[str, int]]:
    """Run one seed and judge it; returns the digest of its trace, and counts of what clients were told."""
    with world(seed) as sim:
        clients = [Client(sim, number, seed, THINK) for number in range(CLIENTS)]
        for client in clients:
            client.begin()
        sim.run(STRESS)
        sim.calm(keep="all")
        for client in clients:
            client.stopped = True
        operations = sorted((each for client in clients for each in client.history), key=lambda each: each.invoked)
        sim.run("10s")  # every connection that waits has its answer, or is given up
        verdict = Verdict(operations)
        verdict.check()
        sim.eventually("every key can be read", lambda _: read_all(sim, verdict), within="120s")
        verdict.counts |= {name: count.fired for name, count in sim.plan.counts.items()}
        return str(sim.trace.digest), verdict.counts


def read_all(sim: Simulation, verdict: Verdict) -> bool:
    """Read every key that was ever written, and judge it; False while some core does not answer."""
    keys = list(verdict.may)
    counters = [b"counter-%d" % number for number in range(COUNTERS)]
    values = ask(sim, [b"MGET", *keys, *counters])
    if not isinstance(values, list):
        return False
    for key, value in zip(keys, values, strict=False):
        verdict.seen(key, value)
    for key, value in zip(counters, values[len(keys) :], strict=True):
        check_final(key, value, verdict.operations)
    return True


def ask(sim: Simulation, words: list[bytes]) -> object:
    """Ask one command over a connection of its own."""
    stream = sim.connect(PORT, node=0)
    stream.send(bulks(words))
    data = b""
    while not stream.over:
        piece = stream.read(1, within="6s") + stream.take()
        data += piece
        found = reply(data, 0)
        if found is not None or not piece:
            stream.close()
            return found[0] if found is not None else Problem("no answer")
    return Problem(f"{stream.state} {stream.error}")


if __name__ == "__main__":
    for each in sys.argv[1:]:
        print(each, play(int(each))[0])
