"""The write with the latest stamp wins, stamped by the wall clock of its writer: one that was set back loses."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.bugbench.catalogue import Bug
from benchmarks.bugbench.clients import ask
from regrove import (
    RECEIVE,
    Application,
    Call,
    Child,
    Context,
    Crash,
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
from regrove.testing import Register, Simulation, linearizable
from regrove.testing import faults as f

STORE = Name("store", "n0@sim")


@message
class Get:
    pass


@message
class Put:
    value: int
    stamp: int


@message
class Stamped:
    value: int
    stamp: int


@message
class Set:
    value: int


class Store(Isolate):
    """Keeps the value with the latest stamp."""

    def __init__(self) -> None:
        self.kept = Stamped(0, 0)

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Get():
                return Reply(self.kept)
            case Put(value, stamp):
                if stamp > self.kept.stamp:
                    self.kept = Stamped(value, stamp)
                return Reply("taken")
        return RECEIVE


class Writer(Isolate):
    """Stamps what it writes; mended, after the stamp that is there."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Set(value):
                return Call(STORE, Get(), timeout=0.1, then=partial(self.read, value))
        return Crash(message)

    def read(self, value: int, ctx: Context, outcome: Outcome) -> Effect:
        match outcome:
            case Replied(Stamped(stamp=seen)):
                stamp = ctx.wall_time() if self.broken else max(ctx.wall_time(), seen + 1)
                return Call(STORE, Put(value, stamp), timeout=0.1, then=self.written)
        return Crash("the store did not answer")

    def written(self, ctx: Context, outcome: Outcome) -> Effect:
        return Reply("written") if isinstance(outcome, Replied) else Crash("the store did not answer")


def tree(broken: bool, place: Place) -> Supervisor:
    if place.node.startswith("n0"):
        return Supervisor("root", [Child("store", Store, name="store")])
    return Supervisor("root", [Child("writer", Writer, broken, name="writer")], intensity=1_000)


def app(broken: bool) -> Application:
    return Application("wall-clock-wins", tree=partial(tree, broken))


def check(sim: Simulation) -> None:
    history = sim.history()
    for number in range(1, 31):
        ask(sim, history, Name("writer", f"n{1 + number % 2}@sim"), Set(number), "write", number)
        sim.run("20ms")
        reading = history.invoke("reader", "read")
        history.ok(reading, sim.call(STORE, Get()).value)
        sim.run("20ms")
    linearizable(history, Register(0))


BUG = Bug(
    name="wall-clock-wins",
    what="of two writes the one with the later wall-clock stamp wins, and a clock was set back",
    app=app,
    check=check,
    nodes=3,
    faults=(f.clock_step(most="1s", often=(1, 4)), f.drift(), f.delay()),
)
