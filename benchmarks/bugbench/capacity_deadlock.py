"""Two isolates push to one another and wait for room: when both mailboxes are full, both wait for ever."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.bugbench.catalogue import Bug
from regrove import (
    RECEIVE,
    Application,
    Child,
    Context,
    Effect,
    Isolate,
    Name,
    Outcome,
    Place,
    Push,
    Sleep,
    Supervisor,
    message,
)
from regrove.testing import Simulation
from regrove.testing import faults as f

QUIET_S = 0.2
EACH_S = 0.01
BURST = 1
WORK_S = 0.001


@message
class Tick:
    pass


@message
class Work:
    pass


@message
class Copy:
    pass


class Worker(Isolate):
    """Does work, and has the other worker keep a copy of each."""

    mailbox_capacity = 3

    def __init__(self, broken: bool, other: Name) -> None:
        self.broken = broken
        self.other = other
        self.shed = 0

    def start(self, ctx: Context) -> Effect:
        ctx.send(self.other, Copy())  # the link is open before there is work
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Work():
                return Sleep(WORK_S, then=self.worked)
        return RECEIVE

    def worked(self, ctx: Context, _: Outcome) -> Effect:
        if self.broken:
            return Push(self.other, Copy(), timeout=None, then=self.pushed)
        if not ctx.send(self.other, Copy()):
            self.shed += 1
        return RECEIVE

    def pushed(self, ctx: Context, _: Outcome) -> Effect:
        return RECEIVE


class Source(Isolate):
    """Gives a worker something to do, now and then."""

    def start(self, ctx: Context) -> Effect:
        return Sleep(QUIET_S, then=self.begin)

    def begin(self, ctx: Context, _: Outcome) -> Effect:
        ctx.send_every(EACH_S, Tick())
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        for _ in range(BURST):
            ctx.send("worker", Work())
        return RECEIVE


def tree(broken: bool, place: Place) -> Supervisor:
    other = Name("worker", "n1@sim" if place.node.startswith("n0") else "n0@sim")
    return Supervisor("root", [Child("worker", Worker, broken, other, name="worker"), Child("source", Source)])


def app(broken: bool) -> Application:
    return Application("capacity-deadlock", tree=partial(tree, broken))


def check(sim: Simulation) -> None:
    sim.run("1s")
    sim.calm(keep="all")
    sim.run("200ms")
    assert sim.deadlocks() == [], "nobody makes room for anybody"


BUG = Bug(
    name="capacity-deadlock",
    what="two isolates push to each other without a timeout; with both mailboxes full neither ever takes a message",
    app=app,
    check=check,
    nodes=2,
    faults=(f.pause(often=(1, 2), lasts=("50ms", "500ms")), f.delay(), f.slow(), f.cut()),
)
