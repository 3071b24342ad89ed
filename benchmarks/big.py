"""Big messages beside small ones: two cores in two processes over ipc, four streams of 16 MiB, one small call.

    python -m benchmarks.big [SECONDS]       prints p50 and p99 of small round trips, alone and beside, with the probe

The rounds are interleaved (alone, beside, alone, beside ...), so that both see the same machine. The order within each
pair of isolates is checked while it runs. How much CPU a pass takes says on a busy machine too how long a small call
may have to wait for a core: what is above the passes of both ends is the machine's.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from benchmarks.links import FAR, NEAR, End
from benchmarks.noise import NOISY_MS
from regrove import RECEIVE, Address, Call, Child, Context, Effect, Isolate, Push, Pushed, Replied, Reply
from regrove.node.core.address import Home

BIG = 16 * 1024 * 1024 - 64
STREAMS = 4
ROUNDS = 6


class Passes:
    """How much CPU each pass took, in ms."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    def slowest(self) -> list[float]:
        """Of the passes with pieces (the others take less): p50, p99 and the longest."""
        busy = sorted(taken for taken in self.taken if taken > 0.2) or [0.0]
        return [busy[len(busy) // 2], busy[len(busy) * 99 // 100], busy[-1]]


class Timed(End):
    """An end whose passes are measured."""

    def __init__(self, home: Home, children: list[Child], endpoint: str, passes: Passes) -> None:
        super().__init__(home, children, endpoint)
        self.passes = passes

    def one_pass(self, longest: float, done: Callable[[], bool] = lambda: False) -> None:
        begin = time.thread_time()
        super().one_pass(longest, done)
        self.passes.taken.append((time.thread_time() - begin) * 1e3)


class Sink(Isolate):
    """Takes big messages; whoever asks hears how many, whether they came in order, and how long passes are here."""

    def __init__(self, passes: Passes) -> None:
        self.passes = passes
        self.taken = 0
        self.wrong = 0

    def handle(self, ctx: Context, request: Any) -> Effect:
        match request:
            case "count":
                return Reply([self.taken, self.wrong, self.passes.slowest()])
            case [int(number), bytes()]:
                self.wrong += number != self.taken
                self.taken += 1
        return RECEIVE


class Echo(Isolate):
    """Answers."""

    def handle(self, ctx: Context, request: Any) -> Effect:
        return Reply(request)


class Stream(Isolate):
    """Pushes one big message after the other while it may."""

    def __init__(self, bed: Bed, sink: Any) -> None:
        self.bed = bed
        self.sink = sink
        self.sent = 0

    def handle(self, ctx: Context, message: Any) -> Effect:
        return self._next()

    def pushed(self, ctx: Context, outcome: Any) -> Effect:
        assert isinstance(outcome, Pushed), outcome
        return self._next()

    def _next(self) -> Effect:
        if not self.bed.beside:
            return RECEIVE
        self.sent += 1
        return Push(self.sink, [self.sent - 1, self.bed.payload], timeout=None, then=self.pushed)


class Pinger(Isolate):
    """One small call at a time."""

    def __init__(self, bed: Bed, echo: Any) -> None:
        self.bed = bed
        self.echo = echo
        self.began = 0.0

    def handle(self, ctx: Context, message: Any) -> Effect:
        return self._next()

    def answered(self, ctx: Context, outcome: Any) -> Effect:
        assert isinstance(outcome, Replied), outcome
        self.bed.trips.append(time.perf_counter() - self.began)
        return self._next()

    def _next(self) -> Effect:
        self.began = time.perf_counter()
        return Call(self.echo, "x", timeout=None, then=self.answered)


class Asker(Isolate):
    """Asks the sinks at the end."""

    def __init__(self, bed: Bed, sinks: list[Any]) -> None:
        self.bed = bed
        self.sinks = sinks

    def handle(self, ctx: Context, message: Any) -> Effect:
        self.bed.counts.clear()
        return Call(self.sinks[0], "count", timeout=None, then=self.counted)

    def counted(self, ctx: Context, outcome: Any) -> Effect:
        assert isinstance(outcome, Replied), outcome
        self.bed.counts.append(outcome.value)
        at = len(self.bed.counts)
        return Call(self.sinks[at], "count", timeout=None, then=self.counted) if at < STREAMS else RECEIVE


class Bed:
    """What the isolates of the near end share with the measurement."""

    def __init__(self) -> None:
        self.beside = False
        self.payload = bytes(BIG)
        self.trips: list[float] = []
        self.counts: list[Any] = []


def far(here: str, there: str) -> None:
    passes = Passes()
    sinks = [Child(f"sink{number}", Sink, passes) for number in range(STREAMS)]
    end = Timed(FAR, [Child("echo", Echo), *sinks], here, passes)
    end.core.learn_peer(NEAR, there, "")
    end.boot()
    passes.taken.clear()
    print(
        " ".join(
            f"{path}={_slot(end, path)}" for path in ["root/echo", *(f"root/sink{number}" for number in range(STREAMS))]
        ),
        flush=True,
    )
    while True:
        end.one_pass(0.1)


def _slot(end: End, path: str) -> str:
    cell = next(cell for cell in end.core.cells if cell is not None and cell.path == path)
    return f"{cell.address.slot}.{cell.address.generation}"


def near(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        mine, theirs = f"ipc://{folder}/near.1", f"ipc://{folder}/far.1"
        child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.big", "far", theirs, mine], stdout=subprocess.PIPE, text=True
        )
        probe = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.noise"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            assert child.stdout is not None
            measure(child.stdout.readline().split(), mine, theirs, seconds)
            late = probe.communicate("\n")[0].split()
            word = " NOISY: do not quote" if float(late[1]) > NOISY_MS else ""
            print(f"probe: a 5 ms sleeper woke {late[0]} ms late (p50), {late[1]} ms (p99){word}")
        finally:
            child.kill()
            probe.kill()
            child.wait()
            probe.wait()
            if child.stdout is not None:
                child.stdout.close()


def measure(slots: list[str], mine: str, theirs: str, seconds: float) -> None:
    places = dict(word.split("=") for word in slots)
    far_ones = [Address(FAR, *map(int, place.split("."))) for place in places.values()]
    bed = Bed()
    streams = [Child(f"stream{n}", Stream, bed, far_ones[1 + n]) for n in range(STREAMS)]
    pinger = Child("pinger", Pinger, bed, far_ones[0])
    passes = Passes()
    end = Timed(NEAR, [pinger, *streams, Child("asker", Asker, bed, far_ones[1:])], mine, passes)
    end.core.learn_peer(FAR, theirs, "")
    end.boot()
    end.table.warm(FAR)
    end.until(lambda: end.table.statistics()[0].state == "up")
    results: dict[bool, list[float]] = {False: [], True: []}
    passes.taken.clear()
    tell(end, "root/pinger")
    took = 0.0
    for number in range(ROUNDS):
        bed.beside = bool(number % 2)
        if bed.beside:
            for stream in range(STREAMS):
                tell(end, f"root/stream{stream}")
        bed.trips.clear()
        until = time.perf_counter() + seconds / ROUNDS
        end.until(lambda until=until: time.perf_counter() > until)  # type: ignore[misc]
        results[bed.beside] += bed.trips
        took += seconds / ROUNDS if bed.beside else 0.0
        bed.beside = False
        end.until(lambda: end.table.statistics()[0].bulk_bytes == 0)
    tell(end, "root/asker")
    end.until(lambda: len(bed.counts) == STREAMS)
    taken = sum(count for count, _, _ in bed.counts)
    assert not any(wrong for _, wrong, _ in bed.counts), "out of order within a pair"
    for beside, trips in results.items():
        trips.sort()
        name = f"beside {STREAMS} x 16 MiB" if beside else "alone"
        p50, p99 = (trips[len(trips) * part // 100] * 1e3 for part in (50, 99))
        print(f"small calls {name}: {len(trips)}, p50 {p50:.2f} ms, p99 {p99:.2f} ms, longest {trips[-1] * 1e3:.1f} ms")
    for who, (p50, p99, longest) in (("sends", passes.slowest()), ("receives", bed.counts[0][2])):
        print(f"a pass with pieces where it {who}: p50 {p50:.2f} ms of CPU, p99 {p99:.2f}, longest {longest:.2f}")
    print(f"big: {taken} of 16 MiB in order, {taken * BIG / took / 1e6:.0f} MB/s")


def tell(end: End, path: str) -> None:
    cell = next(cell for cell in end.core.cells if cell is not None and cell.path == path)
    end.core.inject(cell.address, "go")


if __name__ == "__main__":
    if sys.argv[1:2] == ["far"]:
        far(sys.argv[2], sys.argv[3])
    else:
        near(float(sys.argv[1]) if len(sys.argv) > 1 else 12.0)
