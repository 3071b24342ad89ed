"""A majority register whose reads do not write back: a later read may find what is older than an earlier one found."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.bugbench.catalogue import Bug
from regrove import (
    RECEIVE,
    Application,
    Caller,
    CallFailed,
    Child,
    Context,
    Effect,
    Isolate,
    Name,
    Outcome,
    Place,
    Replied,
    Reply,
    Supervisor,
    message,
)
from regrove.testing import History, Register, Simulation, linearizable
from regrove.testing import faults as f

NODES = 3
MAJORITY = 2
WRITES = 60
REPLICAS = tuple(Name("replica", f"n{node}@sim") for node in range(NODES))


@message
class Get:
    pass


@message
class Put:
    value: int


@message
class Store:
    value: int


class Replica(Isolate):
    """Keeps the highest value it has seen."""

    def __init__(self) -> None:
        self.value = 0

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Store(value):
                self.value = max(self.value, value)
        return Reply(self.value)


class Front(Isolate):
    """Reads and writes for one client, one at a time: asks all replicas, stores at one after the other.

    Either is done when a majority has answered; `None` is answered when none can be had.
    """

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.caller: Caller | None = None
        self.asked: dict[object, None] = {}
        self.answers: list[int] = []
        self.storing: int | None = None
        self.untold: list[Name] = []

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Get():
                self.begin(ctx, None)
                self.asked = dict.fromkeys(ctx.request(replica, message, timeout=0.5) for replica in REPLICAS)
            case Put(value):
                self.begin(ctx, value)
                self.store_next(ctx)
            case Outcome(ticket=ticket) if ticket in self.asked:
                del self.asked[ticket]
                if isinstance(message, Replied) and isinstance(message.value, int):
                    self.answers.append(message.value)
                self.answered(ctx)
        return RECEIVE

    def begin(self, ctx: Context, storing: int | None) -> None:
        self.caller = ctx.caller or self.caller
        self.answers = []
        self.asked = {}
        self.storing = storing
        self.untold = list(REPLICAS)

    def store_next(self, ctx: Context) -> None:
        self.asked[ctx.request(self.untold.pop(0), Store(self.storing or 0), timeout=0.5)] = None

    def answered(self, ctx: Context) -> None:
        if len(self.answers) < MAJORITY:
            if self.storing is not None and self.untold:
                self.store_next(ctx)
            elif not self.asked:
                self.tell(ctx, None)
        elif self.storing is not None:
            self.tell(ctx, self.storing)
        elif self.broken:
            self.tell(ctx, max(self.answers))
        else:
            self.begin(ctx, max(self.answers))
            self.store_next(ctx)

    def tell(self, ctx: Context, value: int | None) -> None:
        self.asked = {}
        if self.caller is not None:
            ctx.reply(self.caller, value)


def tree(broken: bool, place: Place) -> Supervisor:
    """Three nodes keep the value; the client that writes is served on the first, the one that reads on the fourth."""
    number = int(place.node[1])
    children = [Child("replica", Replica, name="replica")] if number < NODES else []
    fronts = [Child("front", Front, broken, name="front")] if number in (0, NODES) else []
    return Supervisor("root", [*children, *fronts])


def app(broken: bool) -> Application:
    return Application("read-without-write-back", tree=partial(tree, broken))


def write(sim: Simulation, history: History, value: int) -> None:
    """Write as a program beside the one that reads; what is answered late is written down late."""
    operation = history.invoke("writer", "write", value)
    asked = sim.client.begin(Name("front", "n0@sim"), Put(value), timeout=3.0)

    def look() -> None:
        if not asked.done:
            sim.after("1ms", look)
        elif asked.reason is None and not asked.expired and asked.value == value:
            history.ok(operation)
            if value < WRITES:
                sim.after("5ms", lambda: write(sim, history, value + 1))

    look()


def read(sim: Simulation, history: History) -> int | None:
    """Read; without a majority there is no answer."""
    operation = history.invoke("reader", "read")
    try:
        value: int | None = sim.call(Name("front", f"n{NODES}@sim"), Get(), timeout=2.0)
    except CallFailed:
        value = None
    if value is None:
        history.info(operation)
    else:
        history.ok(operation, value)
    return value


def check(sim: Simulation) -> None:
    history = sim.history()
    write(sim, history, 1)
    for _ in range(60):
        if read(sim, history) is None:
            break
        sim.run("2ms")
    linearizable(history, Register(0))


BUG = Bug(
    name="read-without-write-back",
    what="a majority read answers what only a minority may have, and the next read does not find it",
    app=app,
    check=check,
    nodes=NODES + 1,
    faults=(f.delay(often=(1, 1)), f.pause(), f.slow(), f.cut()),
)
