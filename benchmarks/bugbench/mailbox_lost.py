"""A job is acknowledged when it is taken, not when it is done: what waits in the mailbox is lost with its isolate."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.bugbench.catalogue import Bug
from benchmarks.bugbench.clients import ask, record, records_on_disk
from regrove import (
    RECEIVE,
    Application,
    Child,
    Context,
    Crash,
    Effect,
    Failed,
    Isolate,
    Open,
    Opened,
    Outcome,
    Place,
    Reply,
    Sleep,
    Stream,
    Supervisor,
    Write,
    message,
)
from regrove.testing import Simulation, at_most_once
from regrove.testing import faults as f

JOBS = 20
WORK_S = 0.02


@message
class Do:
    """A job that somebody waits for."""

    number: int


@message
class Later:
    """A job that was acknowledged already."""

    number: int


class Worker(Isolate):
    """Does jobs: each is some work, then a line in the file `done`."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.done: Stream | None = None

    def start(self, ctx: Context) -> Effect:
        return Open("done", "a", then=self.opened)

    def opened(self, ctx: Context, outcome: Outcome) -> Effect:
        if not isinstance(outcome, Opened):
            return Crash("no file")
        self.done = outcome.stream
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Do(number) if self.broken:
                ctx.send(ctx.self, Later(number))
                return Reply("done")
            case Do(number):
                return Sleep(WORK_S, then=partial(self.worked, number, Reply("done")))
            case Later(number):
                return Sleep(WORK_S, then=partial(self.worked, number, RECEIVE))
        return Crash(message)

    def worked(self, number: int, end: Effect, ctx: Context, _: Outcome) -> Effect:
        assert self.done is not None
        return Write(self.done, record(number), then=partial(self.written, end))

    def written(self, end: Effect, ctx: Context, outcome: Outcome) -> Effect:
        return Crash(outcome.reason) if isinstance(outcome, Failed) else end


def tree(broken: bool, place: Place) -> Supervisor:
    return Supervisor("root", [Child("worker", Worker, broken, name="worker")], intensity=1_000)


def app(broken: bool) -> Application:
    return Application("mailbox-lost", tree=partial(tree, broken))


def check(sim: Simulation) -> None:
    history = sim.history()
    for number in range(JOBS):
        ask(sim, history, "worker", Do(number), "do", number)
        sim.run("30ms")
    sim.calm(keep="all")
    sim.run("200ms")
    sim.settle()
    at_most_once(history, records_on_disk(sim, "done"))


BUG = Bug(
    name="mailbox-lost",
    what="a job is acknowledged when it is taken, before it is done; a restart loses what waits in the mailbox",
    app=app,
    check=check,
    faults=(f.crash(on="isolate", often=(1, 1)), f.crash(often=(1, 2))),
    span="1s",
)
