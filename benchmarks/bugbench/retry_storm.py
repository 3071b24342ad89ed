"""Clients ask again what was not answered in time: after a pause the server is busy with what nobody waits for."""

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
    Effect,
    Isolate,
    Name,
    Outcome,
    Place,
    Sleep,
    Supervisor,
    message,
)
from regrove.testing import Simulation
from regrove.testing import faults as f

MILLISECOND = 1_000_000
WORK_S = 0.02
EACH_S = 0.028
TIMEOUT = 100 * MILLISECOND


@message
class Tick:
    pass


@message
class Request:
    number: int
    until: int
    back: Address


@message
class Answer:
    number: int


class Server(Isolate):
    """Does each request in WORK_S; mended, it does nothing for one whose time is over."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Request(until=until) if not self.broken and until < ctx.now():
                return RECEIVE
            case Request(number, _, back):
                return Sleep(WORK_S, then=partial(self.worked, number, back))
        return RECEIVE

    def worked(self, number: int, back: Address, ctx: Context, _: Outcome) -> Effect:
        ctx.send(back, Answer(number))
        return RECEIVE


class Crowd(Isolate):
    """Asks something new each EACH_S, and again what was not answered in time; mended, one such repeat in four."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.number = 0
        self.open: dict[int, int] = {}  # when each was asked last
        self.answered: dict[int, bool] = {}
        self.repeats = 0

    def start(self, ctx: Context) -> Effect:
        ctx.send_every(EACH_S, Tick())
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Tick():
                for number, asked in list(self.open.items()):
                    if ctx.now() - asked > TIMEOUT:
                        self.repeat(ctx, number)
                self.number += 1
                self.ask(ctx, self.number)
            case Answer(number):
                self.answered[number] = self.open.pop(number, None) is not None
        return RECEIVE

    def repeat(self, ctx: Context, number: int) -> None:
        if not self.broken:
            del self.open[number]
            self.repeats += 1
            if self.repeats * 4 > self.number:
                return
        self.ask(ctx, number)

    def ask(self, ctx: Context, number: int) -> None:
        self.open[number] = ctx.now()
        ctx.send(Name("server", core=0), Request(number, ctx.now() + TIMEOUT, ctx.self))


def tree(broken: bool, place: Place) -> Supervisor:
    if place.core == 0:
        return Supervisor("root", [Child("server", Server, broken, name="server")])
    return Supervisor("root", [Child("crowd", Crowd, broken)])


def app(broken: bool) -> Application:
    return Application("retry-storm", tree=partial(tree, broken))


def check(sim: Simulation) -> None:
    sim.run("1500ms")
    sim.calm(keep="all")
    sim.run("3s")
    (crowd,) = sim.isolates(Crowd)
    first = crowd.number
    sim.run("1s")
    last = crowd.number - 5  # the newest may still be under way
    answered = sum(crowd.answered.get(number, False) for number in range(first, last))
    assert answered * 10 >= (last - first) * 8, f"{answered} of {last - first} answered, long after all is well"


BUG = Bug(
    name="retry-storm",
    what="repeats of what was not answered in time keep a server too busy to answer anything in time, for ever",
    app=app,
    check=check,
    cores=2,
    faults=(f.pause(), f.slow(often=(1, 2)), f.cut()),
    span="6s",
)
