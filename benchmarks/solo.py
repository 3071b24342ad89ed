"""Ours in one core: workloads on a real `Core` without links, driven as `node/process` drives it.

    python -m benchmarks.solo WORKLOAD SIZE      prints `name value` lines

Set-up (spawning, handing addresses out) is outside the timed part, unless it is what is timed.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, ClassVar

from regrove import RECEIVE, Address, Child, Context, DynamicSupervisor, Effect, Isolate, Supervisor
from regrove.node.core.address import Home
from regrove.node.core.bounds import Bounds
from regrove.node.core.core import Core, CoreSettings
from regrove.node.core.ports import Inputs
from regrove.node.process.collecting import Collector
from regrove.transport.handshake import Identity
from regrove.transport.links import LinkTable
from regrove.transport.simulated import SimulatedNetwork, SimulatedTransport

RING = 1_000
SENDERS = 100
BURST = 100  # messages of one sender before it waits for the next round
PLENTY = Bounds(isolates=1_000_000, timers=1_000_000, pool_bytes=1 << 32)


def no_links(home: Home) -> LinkTable:
    """The link table of a core that has no peers."""
    return LinkTable(SimulatedTransport(SimulatedNetwork(), "alone"), Identity("bench", home), lambda kind, ordinal: 0)


def nobody(_level: str) -> bool:
    """Whether a log line is kept: none is."""
    return False


class NoLog:
    """A log nobody reads: both sides of the crash row are measured without theirs."""

    def bind(self, **fields: Any) -> NoLog:
        return self

    def _line(self, event: str, **fields: Any) -> None:
        pass

    debug = info = warning = error = _line


class Solo:
    """One core under a tree of ours, and its passes."""

    def __init__(self, *children: Any) -> None:
        home = Home("n@h", 1, 0, 1)
        tree = Supervisor("root", children, intensity=10_000_000, period=1.0)
        self.core = Core(CoreSettings(home, bounds=PLENTY, heard=nobody), tree, no_links(home), NoLog())
        self.collector = Collector()
        self.core.boot()
        self.rest()

    def one_pass(self, now: int | None = None) -> bool:
        at = time.monotonic_ns() if now is None else now
        self.core.step(at, Inputs([], [], wall=at))
        busy = self.core.finish(at).busy
        self.collector.between_passes(idle=not busy)
        return busy

    def rest(self) -> None:
        """Pass until the core would sleep."""
        for _ in range(10_000_000):
            if not self.one_pass():
                return

    def isolate(self, path: str) -> Any:
        return next(cell for cell in self.core.cells if cell is not None and cell.path == path).isolate

    def tell(self, to: Address, message: Any) -> None:
        if not self.core.inject(to, message):
            raise SystemExit(f"the core did not take {message!r}")

    def timed(self) -> float:
        """Seconds until the core is at rest again."""
        self.collector.start()
        begin = time.perf_counter()
        self.rest()
        return time.perf_counter() - begin


class Peer(Isolate):
    """Hands a number on, one less, until it is 0."""

    next: Address

    def start(self, ctx: Context) -> Effect:
        self.me = ctx.self
        return RECEIVE

    def handle(self, ctx: Context, message: int) -> Effect:
        if message:
            ctx.send(self.next, message - 1)
        return RECEIVE


class Sink(Isolate):
    """Counts; when a whole round is in, it starts the next one, until no message is left."""

    mailbox_capacity: ClassVar[int] = 2 * SENDERS * BURST
    senders: tuple[Address, ...] = ()
    rounds = 0
    count = 0

    def start(self, ctx: Context) -> Effect:
        self.me = ctx.self
        return RECEIVE

    def handle(self, ctx: Context, message: int) -> Effect:
        self.count += 1
        if self.count == SENDERS * BURST:
            self.count = 0
            self.rounds -= 1
            if self.rounds:
                for sender in self.senders:
                    ctx.send(sender, 0)
        return RECEIVE


class Sender(Isolate):
    sink: Address

    def start(self, ctx: Context) -> Effect:
        self.me = ctx.self
        return RECEIVE

    def handle(self, ctx: Context, message: int) -> Effect:
        sink = self.sink
        for number in range(BURST):
            ctx.send(sink, number)
        return RECEIVE


class Spawner(Isolate):
    """Spawns as many `Peer`s as it is told, and keeps their addresses."""

    def start(self, ctx: Context) -> Effect:
        self.me = ctx.self
        self.made: list[Address] = []
        return RECEIVE

    def handle(self, ctx: Context, message: int) -> Effect:
        child = Child("peer", Peer, restart="temporary")
        for _ in range(message):
            made = ctx.spawn(child, under="many")
            if not isinstance(made, Address):
                raise SystemExit(f"no isolate was spawned: {made}")
            self.made.append(made)
        return RECEIVE


class Fragile(Isolate):
    """Raises at its first message; its next life says that it is there by sending itself the next crash."""

    left = 0
    ended = 0.0

    def start(self, ctx: Context) -> Effect:
        self.me = ctx.self
        if Fragile.left:
            Fragile.left -= 1
            ctx.send(ctx.self, 0)
        else:
            Fragile.ended = time.perf_counter()
        return RECEIVE

    def handle(self, ctx: Context, message: int) -> Effect:
        raise RuntimeError("crash")


class Clock(Isolate):
    armed = 0.0

    def start(self, ctx: Context) -> Effect:
        self.me = ctx.self
        return RECEIVE

    def handle(self, ctx: Context, message: int) -> Effect:
        if message:
            begin = time.perf_counter()
            for _ in range(message):
                ctx.send_after(1.0, 0)
            self.armed = time.perf_counter() - begin
        return RECEIVE


def crowd(size: int) -> tuple[Solo, list[Address], float]:
    """A core with `size` spawned isolates at rest, and the seconds it took."""
    solo = Solo(DynamicSupervisor("many", max_children=10_000_000, name="many"), Child("spawner", Spawner))
    spawner = solo.isolate("root/spawner")
    solo.tell(spawner.me, size)
    return solo, spawner.made, solo.timed()


def wire(solo: Solo, made: list[Address]) -> None:
    """Tie isolates into a ring."""
    for address, following in zip(made, [*made[1:], made[0]], strict=True):
        assert address.cell is not None
        address.cell.isolate.next = following


def ping_pong(size: int) -> dict[str, float]:
    solo, made, _ = crowd(2)
    wire(solo, made)
    solo.tell(made[0], size)
    return {"rate": size / solo.timed()}


def ring(size: int, isolates: int = RING) -> dict[str, float]:
    solo, made, _ = crowd(isolates)
    wire(solo, made)
    laps = max(1, size // isolates)
    for address in made:
        solo.tell(address, laps)
    return {"rate": laps * isolates / solo.timed()}


def fan_in(size: int) -> dict[str, float]:
    solo = Solo(Child("sink", Sink), *[Child(f"s{number}", Sender) for number in range(SENDERS)])
    sink = solo.isolate("root/sink")
    senders = [solo.isolate(f"root/s{number}") for number in range(SENDERS)]
    sink.senders = tuple(sender.me for sender in senders)
    sink.rounds = rounds = max(1, size // (SENDERS * BURST))
    for sender in senders:
        sender.sink = sink.me
        solo.tell(sender.me, 0)
    return {"rate": rounds * SENDERS * BURST / solo.timed()}


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def idle(size: int) -> dict[str, float]:
    """Spawn rate, bytes of an idle isolate by what the process grew, and a pass with one ready isolate."""
    crowd(100)  # what is imported or grown once is not the isolates'
    before = resident()
    solo, made, spent = crowd(size)
    grown = resident() - before
    passes = 2_000
    begin = time.perf_counter()
    for _ in range(passes):
        solo.core.inject(made[0], 0)
        solo.one_pass()
    cost = (time.perf_counter() - begin) / passes
    return {"spawn": size / spent, "bytes": grown / size, "pass_us": cost * 1e6}


def crash(size: int) -> dict[str, float]:
    """A crash, the supervisor's decision, and the next life's start: microseconds each."""
    solo = Solo(Child("fragile", Fragile))
    Fragile.left = size
    solo.tell(solo.isolate("root/fragile").me, 0)
    solo.collector.start()
    begin = time.perf_counter()
    solo.rest()
    if Fragile.left:
        raise SystemExit(f"{Fragile.left} of {size} lives were never born")
    return {"us": (Fragile.ended - begin) / (size + 1) * 1e6}


def timers(size: int) -> dict[str, float]:
    """Arm (ask, and the end of the pass that arms them), then fire them all at once."""
    solo = Solo(Child("clock", Clock))
    clock = solo.isolate("root/clock")
    solo.tell(clock.me, size)
    solo.collector.start()
    now = time.monotonic_ns()
    begin = time.perf_counter()
    solo.one_pass(now)
    armed = time.perf_counter() - begin
    handled = solo.core.counters.callbacks
    begin = time.perf_counter()
    while solo.one_pass(now + 2_000_000_000):
        pass
    fired = time.perf_counter() - begin
    if solo.core.counters.callbacks - handled != size:
        raise SystemExit("not every timer fired")
    return {"arm": size / armed, "fire": size / fired}


WORKLOADS: dict[str, Callable[[int], dict[str, float]]] = {
    "ping_pong": ping_pong,
    "ring": ring,
    "fan_in": fan_in,
    "idle": idle,
    "crash": crash,
    "timers": timers,
}


def main() -> None:
    if sys.argv[1] == "ring_of":
        results = ring(int(sys.argv[2]), int(sys.argv[3]))
    else:
        results = WORKLOADS[sys.argv[1]](int(sys.argv[2]))
    for name, value in results.items():
        print(name, value)
    sys.stdout.flush()
    os._exit(0)  # the end of an interpreter with 100 000 isolates is nobody's figure


if __name__ == "__main__":
    main()
