"""A parent links to its job when it has been told where it runs: if it ends before that, nobody ends the job."""

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
    DynamicSupervisor,
    Effect,
    Isolate,
    Outcome,
    Place,
    Replied,
    Sleep,
    StartChild,
    Supervisor,
    message,
)
from regrove.testing import Simulation
from regrove.testing import faults as f

STARTING_S = 0.02
LASTING_S = 0.05


@message
class Finish:
    pass


class Job(Isolate):
    """Takes a while to start, and then works until its parent says that it is enough."""

    def __init__(self, broken: bool, parent: Address) -> None:
        self.broken = broken
        self.parent = parent

    def start(self, ctx: Context) -> Effect:
        if not self.broken:
            ctx.link(self.parent)  # at once, and from here: of the two this one begins while the other is waiting
        return Sleep(STARTING_S, then=self.started)

    def started(self, ctx: Context, _: Outcome) -> Effect:
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        return DONE


class Parent(Isolate):
    """Has one job after the other done."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken

    def start(self, ctx: Context) -> Effect:
        return Sleep(STARTING_S)

    def handle(self, ctx: Context, message: Any) -> Effect:
        job = Child("job", Job, self.broken, ctx.self, restart="temporary")
        return Call("jobs", StartChild(job), then=self.begun)

    def begun(self, ctx: Context, outcome: Outcome) -> Effect:
        if not isinstance(outcome, Replied) or not isinstance(outcome.value, Address):
            return Crash("no job")
        ctx.link(outcome.value)
        return Sleep(LASTING_S, then=partial(self.enough, outcome.value))

    def enough(self, job: Address, ctx: Context, _: Outcome) -> Effect:
        ctx.unlink(job)
        ctx.send(job, Finish())
        return Sleep(STARTING_S)


def tree(broken: bool, place: Place) -> Supervisor:
    jobs = DynamicSupervisor("jobs", name="jobs")
    return Supervisor("root", [jobs, Child("parent", Parent, broken)], intensity=1_000)


def app(broken: bool) -> Application:
    return Application("orphan", tree=partial(tree, broken))


def check(sim: Simulation) -> None:
    sim.run("2s")
    sim.calm(keep="all")
    sim.run("200ms")
    parent = sim.find("root/parent").address
    for job in sim.isolates(Job):
        assert job.parent == parent, "a job outlived its parent"


BUG = Bug(
    name="orphan",
    what="a parent that ends between asking for a job and being told of it leaves the job behind",
    app=app,
    check=check,
    faults=(f.crash(on="isolate", often=(1, 1)), f.crash(often=(1, 4))),
)
