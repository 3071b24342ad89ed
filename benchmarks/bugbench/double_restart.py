"""A hand-written keeper starts its worker again after a pause; a second look at the same death starts a second one."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.bugbench.catalogue import Bug
from regrove import (
    RECEIVE,
    Address,
    Application,
    Child,
    Context,
    Crash,
    DynamicSupervisor,
    Effect,
    Exit,
    Isolate,
    Place,
    Supervisor,
    message,
)
from regrove.testing import Simulation
from regrove.testing import faults as f

BACKOFF_S = 0.1
LOOK_S = 0.04


@message
class Look:
    pass


@message
class Restart:
    pass


class Worker(Isolate):
    """Does nothing here; there may be one of it only."""

    def handle(self, ctx: Context, message: Any) -> Effect:
        return RECEIVE


class Keeper(Isolate):
    """Keeps one worker alive: hears of its end, and looks now and then in case it did not."""

    trap_exits = True

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.worker: Address | None = None

    def start(self, ctx: Context) -> Effect:
        ctx.send_every(LOOK_S, Look())
        return self.begin(ctx)

    def begin(self, ctx: Context) -> Effect:
        started = ctx.spawn(Child("worker", Worker, restart="temporary"), under="workers")
        if not isinstance(started, Address):
            return Crash("no worker")
        self.worker = started
        ctx.link(started)  # it does not outlive its keeper
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Exit(address) if address == self.worker:
                self.worker = None
                ctx.send_after(BACKOFF_S, Restart())
            case Look() if self.worker is None:
                ctx.send_after(BACKOFF_S, Restart())
            case Restart() if self.broken or self.worker is None:
                return self.begin(ctx)
        return RECEIVE


def tree(broken: bool, place: Place) -> Supervisor:
    workers = DynamicSupervisor("workers", name="workers", intensity=1_000)
    return Supervisor("root", [workers, Child("keeper", Keeper, broken)], intensity=1_000)


def app(broken: bool) -> Application:
    return Application("double-restart", tree=partial(tree, broken))


def check(sim: Simulation) -> None:
    sim.always("one worker at most", lambda world: len(world.isolates(Worker)) <= 1)
    sim.run("2s")
    sim.calm(keep="all")
    sim.eventually("a worker", lambda world: len(world.isolates(Worker)) == 1, within="1s")


BUG = Bug(
    name="double-restart",
    what="during its backoff a worker that ended is seen as missing once more, and started twice",
    app=app,
    check=check,
    faults=(f.crash(on="isolate", often=(1, 1)), f.crash(often=(1, 4))),
)
