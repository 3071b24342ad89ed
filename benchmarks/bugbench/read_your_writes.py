"""After a failover a client reads from a replica that has not heard of the client's own write yet."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.bugbench.catalogue import Bug
from regrove import (
    RECEIVE,
    Application,
    CallFailed,
    Child,
    Context,
    Effect,
    Isolate,
    Name,
    Place,
    Reply,
    Supervisor,
    message,
)
from regrove.testing import Simulation
from regrove.testing import faults as f

SHIP_S = 0.04


@message
class Put:
    value: int


@message
class Get:
    at_least: int  # what this client has written


@message
class Ship:
    pass


@message
class Shipped:
    value: int


class Primary(Isolate):
    """Takes writes, answers at once, and ships what it has to the replica now and then."""

    def __init__(self) -> None:
        self.value = 0

    def start(self, ctx: Context) -> Effect:
        ctx.send_every(SHIP_S, Ship())
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Put(value):
                self.value = value
                return Reply("written")
            case Get():
                return Reply(self.value)
            case Ship():
                ctx.send(Name("replica", "n1@sim"), Shipped(self.value))
        return RECEIVE


class Replica(Isolate):
    """Answers reads when the primary does not; mended, it says so when it is behind."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.value = 0

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Shipped(value):
                self.value = value
            case Get(at_least):
                return Reply(self.value if self.broken or self.value >= at_least else "behind")
        return RECEIVE


def tree(broken: bool, place: Place) -> Supervisor:
    if place.node.startswith("n0"):
        return Supervisor("root", [Child("primary", Primary, name="primary")])
    return Supervisor("root", [Child("replica", Replica, broken, name="replica")])


def app(broken: bool) -> Application:
    return Application("read-your-writes", tree=partial(tree, broken))


def read(sim: Simulation, written: int) -> Any:
    """Read from the primary, and from the replica when that does not answer."""
    for name in (Name("primary", "n0@sim"), Name("replica", "n1@sim")):
        try:
            return sim.call(name, Get(written), timeout=0.05)
        except CallFailed:
            continue
    return None


def check(sim: Simulation) -> None:
    written = 0
    for number in range(1, 41):
        try:
            sim.call(Name("primary", "n0@sim"), Put(number), timeout=0.05)
            written = number
        except CallFailed:
            pass
        sim.run("10ms")
        seen = read(sim, written)
        assert seen in (None, "behind") or seen >= written, f"{written} was written and {seen} read"
        sim.run("10ms")


BUG = Bug(
    name="read-your-writes",
    what="a read that fails over to a replica does not say what its client has written, and may not see it",
    app=app,
    check=check,
    nodes=2,
    faults=(f.pause(often=(1, 2)), f.slow(), f.cut(), f.delay()),
)
