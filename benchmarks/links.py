"""Between two processes: ours (a `Core` on a `LinkTable` over ZeroMQ in each), and bare pyzmq. Both over ipc.

    python -m benchmarks.links ours|bare WORKLOAD SIZE [BYTES]      prints `name value` lines

This process is the near end; the far end is a child of it, told where to listen.
"""

from __future__ import annotations

import gc
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import msgpack
import zmq

from benchmarks.solo import PLENTY, NoLog
from regrove import RECEIVE, Address, Call, Child, Context, Continue, Effect, Isolate, Push, Replied, Reply, Supervisor
from regrove.node.core.address import Home
from regrove.node.core.core import Core, CoreSettings
from regrove.node.core.ports import Inputs
from regrove.node.core.randomness import key_of, mix
from regrove.node.process.collecting import Collector
from regrove.node.process.core_process import link_settings
from regrove.node.process.heap import keep_heap
from regrove.transport.handshake import Identity
from regrove.transport.links import LinkTable
from regrove.transport.zeromq import ZeromqTransport

NEAR = Home("n@h", 1, 0, 1)
FAR = Home("n@h", 1, 1, 1)
BATCH = 128
CLIENTS = 20
IN_FLIGHT = 50  # of each client, together 1 000
LIMIT_S = 120.0


class End:
    """One core with its links, and the loop around both."""

    def __init__(self, home: Home, children: list[Child], endpoint: str) -> None:
        self.transport = ZeromqTransport()
        self.bound = self.transport.listen(endpoint)
        seed = int.from_bytes(os.urandom(8), "little")
        self.table = LinkTable(
            self.transport,
            Identity("bench", home),
            lambda kind, ordinal: mix(key_of(seed, kind), ordinal),
            link_settings(PLENTY),
            advertise={"ipc": self.bound},
        )
        self.core = Core(CoreSettings(home, 2, bounds=PLENTY), Supervisor("root", children), self.table, NoLog())
        self.collector = Collector()
        self.poller = select.epoll()
        for fd in self.transport.fds():
            self.poller.register(fd, select.EPOLLIN)

    def isolate(self, path: str) -> Any:
        return next(cell for cell in self.core.cells if cell is not None and cell.path == path).isolate

    def boot(self) -> None:
        keep_heap()
        self.core.boot()
        for _ in range(10):
            self.one_pass(0.0)
        self.collector.start()

    def one_pass(self, longest: float, done: Callable[[], bool] = lambda: False) -> None:
        more = self.transport.poll()
        now = time.monotonic_ns()
        self.core.step(now, Inputs([], [], wall=now))
        outputs = self.core.finish(time.monotonic_ns())
        busy = outputs.busy or more or self.transport.pending()
        self.collector.between_passes(idle=not busy)
        if busy or longest == 0.0 or done():  # never sleep inside the measured time once all is there
            return
        due = longest
        if outputs.deadline is not None:
            due = max(0.0, min(longest, (outputs.deadline - time.monotonic_ns()) / 1e9))
        self.poller.poll(due)

    def until(self, done: Callable[[], bool]) -> float:
        begin = time.perf_counter()
        while not done():
            self.one_pass(0.1, done)
            if time.perf_counter() - begin > LIMIT_S:
                raise SystemExit(f"the far end did not answer within {LIMIT_S:.0f} s")
        return time.perf_counter() - begin


class Sink(Isolate):
    """Counts what is sent; answers `count` with what was counted."""

    mailbox_capacity = 8192

    def __init__(self) -> None:
        self.count = 0

    def start(self, ctx: Context) -> Effect:
        self.me = ctx.self
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        if message == "count":
            return Reply(self.count, RECEIVE)
        self.count += 1
        return RECEIVE


class Echo(Isolate):
    """Answers calls with what they ask."""

    mailbox_capacity = 8192

    def start(self, ctx: Context) -> Effect:
        self.me = ctx.self
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        return Reply(message, RECEIVE)


class Streamer(Isolate):
    """Sends as fast as the link gives credit, then asks how many arrived."""

    def __init__(self, to: Address, size: int, payload: Any) -> None:
        self.to, self.left, self.payload = to, size, payload
        self.arrived: int | None = None

    def handle(self, ctx: Context, message: object) -> Effect:
        to, payload = self.to, self.payload
        for _ in range(min(self.left, 256)):
            if not ctx.send(to, payload):
                self.left -= 1
                return Push(to, payload, timeout=None)
            self.left -= 1
        return Continue("go") if self.left else Call(to, "count", timeout=None, then=self.counted)

    def counted(self, ctx: Context, outcome: Any) -> Effect:
        self.arrived = outcome.value
        return RECEIVE


class Caller(Isolate):
    """Keeps requests in flight until its share is answered."""

    done = 0

    def __init__(self, to: Address, size: int) -> None:
        self.to, self.left, self.open = to, size, 0

    def handle(self, ctx: Context, message: Any) -> Effect:
        if message == "go":
            for _ in range(min(self.left, IN_FLIGHT)):
                self.ask(ctx)
        else:
            if not isinstance(message, Replied):
                raise SystemExit(f"a request failed: {message}")
            Caller.done += 1
            if self.left:
                self.ask(ctx)
        return RECEIVE

    def ask(self, ctx: Context) -> None:
        self.left -= 1
        ctx.request(self.to, 1, timeout=60.0)


class OneByOne(Isolate):
    """One request at a time, each timed by the clock of the wall."""

    def __init__(self, to: Address, size: int) -> None:
        self.to, self.left = to, size
        self.times: list[float] = []
        self.asked = 0.0

    def handle(self, ctx: Context, message: object) -> Effect:
        if message != "go":
            self.times.append(time.perf_counter() - self.asked)
            if len(self.times) == self.left:
                return RECEIVE
        self.asked = time.perf_counter()
        return Call(self.to, 1, timeout=60.0)


def near(children: list[Child], folder: str) -> End:
    """The near end at rest, its link up."""
    end = End(NEAR, children, f"ipc://{folder}/near")
    end.core.learn_peer(FAR, f"ipc://{folder}/far", "")
    end.boot()
    end.table.warm(FAR)
    end.until(lambda: end.table.statistics()[0].state == "up")
    end.until(lambda: end.table.statistics()[0].credit_messages > 1_000)
    return end


def ours(workload: str, size: int, length: int, folder: str, slot: str) -> dict[str, float]:
    number, generation = map(int, slot.split()[workload != "one_way"].split("."))
    to = Address(FAR, number, generation)
    payload: Any = b"x" * length if length else 1
    if workload == "one_way":
        end = near([Child("it", Streamer, to, size, payload)], folder)
        streamer = end.isolate("root/it")
        tell(end, "go")
        spent = end.until(lambda: streamer.arrived is not None)
        if streamer.arrived != size:
            raise SystemExit(f"{size} sent, {streamer.arrived} arrived")
        return {"rate": size / spent}
    if workload == "in_flight":
        children = [Child(f"c{index}", Caller, to, size // CLIENTS) for index in range(CLIENTS)]
        end = near(children, folder)
        tell(end, "go")
        spent = end.until(lambda: Caller.done == size // CLIENTS * CLIENTS)
        return {"rate": Caller.done / spent}
    end = near([Child("it", OneByOne, to, size)], folder)
    single = end.isolate("root/it")
    tell(end, "go")
    end.until(lambda: len(single.times) == size)
    return {"us": sorted(single.times)[size // 2] * 1e6}


def tell(end: End, message: str) -> None:
    """To every isolate below the root."""
    for cell in list(end.core.cells):
        if cell is not None and cell.supervising is None:
            end.core.inject(cell.address, message)


def serve_ours(folder: str) -> None:
    end = End(FAR, [Child("sink", Sink), Child("echo", Echo)], f"ipc://{folder}/far")
    end.boot()
    places = [end.isolate(f"root/{name}").me for name in ("sink", "echo")]
    end.core.learn_peer(NEAR, f"ipc://{folder}/near", "")
    print(*(f"{address.slot}.{address.generation}" for address in places), flush=True)
    parent = os.getppid()
    while os.getppid() == parent:
        end.one_pass(0.5)


def serve_bare(folder: str) -> None:
    """Unpacks and counts batches; answers what is not a batch with itself."""
    socket = zmq.Context().socket(zmq.PAIR)
    socket.set_hwm(64)
    socket.bind(f"ipc://{folder}/far")
    print("0.0", flush=True)
    count = 0
    gc.disable()
    while True:
        if not socket.poll(2_000):
            if os.getppid() == 1:
                return
            continue
        frame = socket.recv()
        if len(frame) > 1:
            for _ in msgpack.unpackb(frame):
                count += 1
        elif frame == b"?":
            socket.send(b"%d" % count)
        else:
            socket.send(frame)


def bare(workload: str, size: int, length: int, folder: str, slot: str) -> dict[str, float]:
    socket = zmq.Context().socket(zmq.PAIR)
    socket.set_hwm(64)
    socket.connect(f"ipc://{folder}/far")
    gc.disable()
    socket.send(b"!")
    socket.recv()
    if workload == "one_way":
        payload: Any = (1, 7, 1, b"x" * length or b"\x01")  # kind, slot, generation, payload: what ours carries
        pack = msgpack.Packer().pack
        begin = time.perf_counter()
        for _ in range(size // BATCH):
            batch = []
            for _ in range(BATCH):
                batch.append(payload)
            socket.send(pack(batch))
        socket.send(b"?")
        if int(socket.recv()) != size // BATCH * BATCH:
            raise SystemExit("not everything arrived")
        return {"rate": size // BATCH * BATCH / (time.perf_counter() - begin)}
    if workload != "round_trip":
        raise SystemExit(f"bare has no {workload}")
    times = []
    for _ in range(size):
        begin = time.perf_counter()
        socket.send(b"!")
        socket.recv()
        times.append(time.perf_counter() - begin)
    return {"us": sorted(times)[size // 2] * 1e6}


def main() -> None:
    if sys.argv[1] == "serve":
        (serve_ours if sys.argv[2] == "ours" else serve_bare)(sys.argv[3])
        return
    who, workload, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
    length = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    with tempfile.TemporaryDirectory(prefix="regrove-bench-") as folder:
        command = [sys.executable, "-m", "benchmarks.links", "serve", who, folder]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert child.stdout is not None
            slot = child.stdout.readline().strip()
            results = (ours if who == "ours" else bare)(workload, size, length, folder, slot)
        finally:
            child.kill()
            child.wait()
    for name, value in results.items():
        print(name, value)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
