"""The worlds of the determinism matrix; `python -m tests.simulation.matrix FIRST LAST` prints a digest for each seed.

Options: `--before N` runs N other seeds first, `--heap` disturbs the heap before each seed, `--write FILE` keeps the
trace of the last seed. With `--orders FILE` it does what an audit orders instead.
"""

from __future__ import annotations

import argparse
import gc
import sys
from pathlib import Path

from examples.kv import app as kv
from examples.kv.resp import bulks
from regrove.node.simulation.auditing.variants import serve
from regrove.testing import Simulation
from regrove.testing import faults as f
from tests.simulation import apps

OFTEN = (3, 1)
FAULTS = f.swarm(
    f.cut(often=OFTEN, lasts=("10ms", "100ms")),
    f.pause(often=OFTEN, lasts=("5ms", "50ms")),
    f.pause(on="node", often=(1, 1), lasts=("5ms", "50ms")),
    f.crash(often=(2, 1)),
    f.crash(on="node", often=(1, 1), lasts=("20ms", "100ms")),
    f.crash(on="machine", often=(1, 1), lasts=("20ms", "100ms")),
    f.crash(on="isolate", often=(5, 1)),
    f.loss(noise=(1, 300), often=OFTEN),
    f.slow(often=OFTEN, lasts=("10ms", "100ms")),
    f.delay(often=OFTEN, lasts=("10ms", "100ms")),
    f.spike(noise=(1, 100)),
    f.drift(often=(1, 1)),
    f.start_fails(often=(2, 1)),
    f.streams(often=OFTEN, lasts=("10ms", "50ms")),
    f.offload(often=OFTEN, lasts=("10ms", "50ms")),
    f.disk(often=OFTEN, lasts=("10ms", "50ms")),
)
OTHER = 1_000_000  # where the seeds of `--before` begin


def play(seed: int, span: str = "150ms") -> Simulation:
    """Run one seed: one of three kv; of the others one of three under the hostile profile."""
    if seed % 3 == 2:
        return play_kv(seed, span)
    profile = "hostile" if seed % 9 == 0 else "faithful"
    with Simulation(apps.everything, 2, 2, seed, FAULTS, profile, core_restarts="100/30s") as sim:
        sim.run(span)
        stream = sim.connect(7, node=0)
        stream.send(b"from outside")
        stream.read(12, within="50ms")
        stream.close()
    return sim


def play_kv(seed: int, span: str) -> Simulation:
    with Simulation(kv, cores=2, seed=seed, faults=FAULTS, settings={"sync": "true"}, core_restarts="100/30s") as sim:
        for number in range(4):
            stream = sim.connect(6380, core=number % 2)
            stream.send(bulks([b"SET", b"key-%d" % number, b"%d" % seed]) + bulks([b"INCR", b"total"]))
            sim.run(span)
            stream.send(bulks([b"MGET", b"key-0", b"key-1", b"total"]))
            stream.read(40, within="50ms")
    return sim


def disturb(seed: int) -> list[object]:
    """Leave holes of many sizes in the heap; what is returned must live as long as the run."""
    clutter: list[object] = []
    for size in range(1, 64):
        clutter += [bytearray(size * 8 + seed % 7), [None] * size, dict.fromkeys(range(size % 11)), (size,) * size]
        clutter.append(type(f"Clutter{size}", (), {"x": size})())
    del clutter[seed % 3 :: 2]
    gc.collect()
    return clutter


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("first", type=int, nargs="?", default=0)
    parser.add_argument("last", type=int, nargs="?", default=0)
    parser.add_argument("--before", type=int, default=0)
    parser.add_argument("--heap", action="store_true")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--orders", type=Path)
    options = parser.parse_args()
    if options.orders:
        serve(options.orders, lambda _, seed: (play(seed), None))
        return
    for seed in range(OTHER, OTHER + options.before):
        play(seed, "5ms")
    for seed in range(options.first, options.last + 1):
        clutter = disturb(seed) if options.heap else []
        sim = play(seed)
        print(seed, sim.trace.digest, flush=True)
        del clutter
    if options.write:
        with options.write.open("w") as out:
            sim.trace.write(out)
    if "zmq" in sys.modules:
        sys.exit("a simulated run imported ZeroMQ")


if __name__ == "__main__":
    main()
