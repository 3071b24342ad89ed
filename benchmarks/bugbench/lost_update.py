"""Two clerks read a number, add one, and write it back: what one writes between the two steps of the other is lost."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.bugbench.catalogue import Bug
from regrove import (
    RECEIVE,
    Application,
    Call,
    Child,
    Context,
    Effect,
    Isolate,
    Name,
    Outcome,
    Place,
    Replied,
    Reply,
    Sleep,
    Supervisor,
    message,
)
from regrove.testing import Simulation
from regrove.testing import faults as f

STARTS_S = (0.0, 0.13, 0.27)  # of the clerk of each node
EACH_S = 0.4


@message
class Get:
    pass


@message
class Value:
    value: int
    version: int


@message
class Put:
    value: int
    version: int


class Stock(Isolate):
    """A number; mended, it takes a new one only from who has read the present one."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.value = 0
        self.version = 0

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Get():
                return Reply(Value(self.value, self.version))
            case Put(value, version):
                if not self.broken and version != self.version:
                    return Reply("changed meanwhile")
                self.value = value
                self.version += 1
                return Reply("written")
        return RECEIVE


class Clerk(Isolate):
    """Adds one, again and again; `added` counts what was acknowledged."""

    def __init__(self, first_s: float) -> None:
        self.first_s = first_s
        self.added = 0

    def start(self, ctx: Context) -> Effect:
        return Sleep(self.first_s)

    def handle(self, ctx: Context, message: Any) -> Effect:
        return Call(Name("stock", "n0@sim"), Get(), timeout=1.0, then=self.read)

    def read(self, ctx: Context, outcome: Outcome) -> Effect:
        match outcome:
            case Replied(Value(value, version)):
                return Call(Name("stock", "n0@sim"), Put(value + 1, version), timeout=1.0, then=self.written)
        return Sleep(EACH_S)

    def written(self, ctx: Context, outcome: Outcome) -> Effect:
        self.added += isinstance(outcome, Replied) and outcome.value == "written"
        return Sleep(EACH_S)


def tree(broken: bool, place: Place) -> Supervisor:
    number = int(place.node[1])
    clerk = Child("clerk", Clerk, STARTS_S[number])
    return Supervisor("root", [clerk] if number else [Child("stock", Stock, broken, name="stock"), clerk])


def app(broken: bool) -> Application:
    return Application("lost-update", tree=partial(tree, broken))


def check(sim: Simulation) -> None:
    sim.run("3s")
    sim.calm(keep="all")
    sim.run("500ms")
    (stock,) = sim.isolates(Stock)
    added = sum(clerk.added for clerk in sim.isolates(Clerk))
    assert stock.value >= added, f"{added} were acknowledged, {stock.value} are there"


BUG = Bug(
    name="lost-update",
    what="a value is read, changed and written back without a look at whether it changed meanwhile",
    app=app,
    check=check,
    nodes=3,
    faults=(f.delay(), f.pause(), f.slow()),
    span="3s",
)
