"""A window of restarts is cut by one clock and stamped by another: under drift it lets one more through."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.bugbench.catalogue import Bug
from regrove import RECEIVE, Application, Child, Context, Effect, Isolate, Name, Place, Supervisor, message
from regrove.testing import Simulation
from regrove.testing import faults as f

INTENSITY = 4
PERIOD = 1_000_000_000
EACH_S = 0.24  # the fifth within a period comes 40 ms before its end


@message
class Tick:
    pass


@message
class Ended:
    at: int


class Fragile(Isolate):
    """Ends again and again, on the other node, and asks to be started again."""

    def start(self, ctx: Context) -> Effect:
        ctx.send_every(EACH_S, Tick())
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        ctx.send(Name("limiter", "n0@sim"), Ended(ctx.now()))
        return RECEIVE


class Limiter(Isolate):
    """Grants INTENSITY restarts in any PERIOD; `granted` are their times by its own clock."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.window: list[int] = []
        self.granted: list[int] = []

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Ended(at):
                now = ctx.now()
                self.window = [time for time in self.window if now - time < PERIOD]
                if len(self.window) < INTENSITY:
                    self.window.append(at if self.broken else now)
                    self.granted.append(now)
        return RECEIVE


def tree(broken: bool, place: Place) -> Supervisor:
    if place.node.startswith("n0"):
        return Supervisor("root", [Child("limiter", Limiter, broken, name="limiter")])
    return Supervisor("root", [Child("fragile", Fragile)])


def app(broken: bool) -> Application:
    return Application("intensity-drift", tree=partial(tree, broken))


def check(sim: Simulation) -> None:
    sim.run("6s")
    (limiter,) = sim.isolates(Limiter)
    assert len(limiter.granted) > INTENSITY
    for first, last in zip(limiter.granted, limiter.granted[INTENSITY:], strict=False):
        assert last - first >= PERIOD, f"{INTENSITY + 1} restarts in {last - first} ns"


BUG = Bug(
    name="intensity-drift",
    what="a restart window compares stamps of one node with the clock of another, and grants one too many under drift",
    app=app,
    check=check,
    nodes=2,
    faults=(f.drift(often=(1, 2)),),
    span="6s",
)
