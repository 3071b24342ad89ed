"""A lease is held to its very end by the holder's clock: where that is slow, the next one has begun already."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.bugbench.catalogue import Bug
from regrove import (
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

SECOND = 1_000_000_000
LEASE = SECOND
MARGIN = LEASE // 10  # more than any clock here drifts in a lease
PAUSE_S = 0.015


@message
class Acquire:
    pass


@message
class Granted:
    pass


class Locker(Isolate):
    """Gives the lease to one at a time, for LEASE of its own clock."""

    def __init__(self) -> None:
        self.until = 0

    def handle(self, ctx: Context, message: Any) -> Effect:
        if ctx.now() < self.until:
            return Reply("held")
        self.until = ctx.now() + LEASE
        return Reply(Granted())


class Holder(Isolate):
    """Asks for the lease until it has it, and counts it from before it asked."""

    def __init__(self, broken: bool) -> None:
        self.margin = 0 if broken else MARGIN
        self.holds = False

    def start(self, ctx: Context) -> Effect:
        return Sleep(PAUSE_S)

    def handle(self, ctx: Context, message: Any) -> Effect:
        self.holds = False
        then = partial(self.answered, ctx.now() + LEASE - self.margin)
        return Call(Name("locker", "n0@sim"), Acquire(), timeout=0.2, then=then)

    def answered(self, until: int, ctx: Context, outcome: Outcome) -> Effect:
        left = until - ctx.now()
        if isinstance(outcome, Replied) and outcome.value == Granted() and left > 0:
            self.holds = True
            return Sleep(left / SECOND)
        return Sleep(PAUSE_S)


def tree(broken: bool, place: Place) -> Supervisor:
    if place.node.startswith("n0"):
        return Supervisor("root", [Child("locker", Locker, name="locker")])
    return Supervisor("root", [Child("holder", Holder, broken)])


def app(broken: bool) -> Application:
    return Application("lease-drift", tree=partial(tree, broken))


def check(sim: Simulation) -> None:
    sim.always("one holder at most", lambda world: sum(holder.holds for holder in world.isolates(Holder)) <= 1, "5ms")
    sim.run("4s")


BUG = Bug(
    name="lease-drift",
    what="a holder trusts its own clock to the end of its lease, with no margin for drift",
    app=app,
    check=check,
    nodes=3,
    faults=(f.drift(often=(1, 1)), f.delay()),
    span="4s",
)
