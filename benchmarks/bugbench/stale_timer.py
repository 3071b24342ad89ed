"""A timer that was cancelled had gone off already: its message waits in the mailbox and ends a renewed session."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.bugbench.catalogue import Bug
from regrove import RECEIVE, Application, Child, Context, Effect, Isolate, Name, Place, Supervisor, Timer, message
from regrove.testing import Simulation
from regrove.testing import faults as f

IDLE_S = 0.1
IDLE = 100_000_000
TOUCH_S = 0.06


@message
class Tick:
    pass


@message
class Touch:
    pass


@message
class Expire:
    pass


class Session(Isolate):
    """Ends when nobody touched it for IDLE_S; `idle` are the times it had been idle for when it ended."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.timer: Timer | None = None
        self.touched = 0
        self.idle: list[int] = []

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Touch():
                if self.timer is not None:
                    ctx.cancel(self.timer)
                self.timer = ctx.send_after(IDLE_S, Expire())
                self.touched = ctx.now()
            case Expire() if self.broken or ctx.now() - self.touched >= IDLE:
                self.idle.append(ctx.now() - self.touched)
        return RECEIVE


class User(Isolate):
    """Touches the session, more often than it has to."""

    def start(self, ctx: Context) -> Effect:
        ctx.send_every(TOUCH_S, Tick())
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        ctx.send(Name("session", core=0), Touch())
        return RECEIVE


def tree(broken: bool, place: Place) -> Supervisor:
    if place.core == 0:
        return Supervisor("root", [Child("session", Session, broken, name="session")], intensity=1_000)
    return Supervisor("root", [Child("user", User)], intensity=1_000)


def app(broken: bool) -> Application:
    return Application("stale-timer", tree=partial(tree, broken))


def check(sim: Simulation) -> None:
    sim.run("2s")
    for session in sim.isolates(Session):
        assert all(idle >= IDLE for idle in session.idle), f"ended after {session.idle} ns"


BUG = Bug(
    name="stale-timer",
    what="a cancelled timer had gone off already, and its message is taken for that of the new one",
    app=app,
    check=check,
    cores=2,
    faults=(f.pause(often=(1, 2)), f.slow(), f.cut(), f.delay(), f.crash()),
)
