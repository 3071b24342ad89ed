"""Who asks to be told of an end after the end is never told: the registry tells those who had asked before it."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.bugbench.catalogue import Bug
from regrove import (
    DONE,
    RECEIVE,
    Address,
    Application,
    Call,
    Child,
    Context,
    Crash,
    Down,
    DynamicSupervisor,
    Effect,
    Isolate,
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

WORK_S = 0.05
PREPARE_S = 0.02


@message
class Hire:
    pass


@message
class Watch:
    worker: Address
    owner: Address


@message
class Gone:
    worker: Address


class Worker(Isolate):
    """Works for a while, and is done."""

    def start(self, ctx: Context) -> Effect:
        return Sleep(WORK_S)

    def handle(self, ctx: Context, message: Any) -> Effect:
        return DONE


class Registry(Isolate):
    """Starts workers, and tells of their ends whoever watches them."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.watchers: dict[Address, list[Address]] = {}  # of each worker that lives

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Hire():
                worker = ctx.spawn(Child("worker", Worker, restart="temporary"), under="workers")
                if not isinstance(worker, Address):
                    return Crash("no worker")
                ctx.monitor(worker)
                self.watchers[worker] = []
                return Reply(worker)
            case Watch(worker, owner):
                if self.broken or worker in self.watchers:
                    self.watchers.setdefault(worker, []).append(owner)
                else:
                    ctx.send(owner, Gone(worker))
            case Down(_, worker) if worker is not None:
                for owner in self.watchers.pop(worker, []):
                    ctx.send(owner, Gone(worker))
        return RECEIVE


class Owner(Isolate):
    """Has one worker after the other: hires it, prepares what it needs, watches it until it is gone."""

    def __init__(self) -> None:
        self.worker: Address | None = None
        self.hired_so_far = 0

    def start(self, ctx: Context) -> Effect:
        ctx.monitor("registry")
        return Sleep(PREPARE_S)

    def handle(self, ctx: Context, message: Any) -> Effect:
        if isinstance(message, Down):
            return Crash("the registry is gone, and with it who watches")
        return Call("registry", Hire(), then=self.hired)

    def hired(self, ctx: Context, outcome: Outcome) -> Effect:
        if not isinstance(outcome, Replied) or not isinstance(outcome.value, Address):
            return Crash("not hired")
        self.worker = outcome.value
        self.hired_so_far += 1
        return Sleep(PREPARE_S, then=self.prepared)

    def prepared(self, ctx: Context, _: Outcome) -> Effect:
        assert self.worker is not None
        ctx.send("registry", Watch(self.worker, ctx.self))
        return RECEIVE


def tree(broken: bool, place: Place) -> Supervisor:
    office = Supervisor(
        "office",
        [Child("registry", Registry, broken, name="registry"), DynamicSupervisor("workers", name="workers")],
        strategy="one_for_all",
        intensity=1_000,
    )
    owners = (Child(f"owner-{number}", Owner) for number in range(3))
    return Supervisor("root", [office, *owners], intensity=1_000)


def app(broken: bool) -> Application:
    return Application("late-watch", tree=partial(tree, broken))


def check(sim: Simulation) -> None:
    sim.run("1500ms")
    sim.calm(keep="all")
    sim.run("800ms")
    owners = sim.isolates(Owner)
    before = [owner.hired_so_far for owner in owners]
    sim.run("300ms")
    for owner, hired in zip(owners, before, strict=True):
        assert owner.hired_so_far > hired, "an owner waits for the end of a worker that is gone"


BUG = Bug(
    name="late-watch",
    what="who begins to watch after the end is never told of it",
    app=app,
    check=check,
    faults=(f.crash(on="isolate", often=(2, 1)), f.crash(often=(1, 4)), f.slow(often=(1, 4))),
)
