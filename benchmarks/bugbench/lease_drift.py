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

LEASE = 1_000_000_000
MARGIN = LEASE // 10  # more than any clock here drifts in a lease
PAUSE_S = 0.015
USE_S = 0.004


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
    """Asks for the lease until it has it, counts it from before it asked, and uses what it protects until its end."""

    def __init__(self, broken: bool) -> None:
        self.margin = 0 if broken else MARGIN
        self.until = 0
        self.uses = 0

    def start(self, ctx: Context) -> Effect:
        return Sleep(PAUSE_S)

    def handle(self, ctx: Context, message: Any) -> Effect:
        then = partial(self.answered, ctx.now() + LEASE - self.margin)
        return Call(Name("locker", "n0@sim"), Acquire(), timeout=0.2, then=then)

    def answered(self, until: int, ctx: Context, outcome: Outcome) -> Effect:
        if isinstance(outcome, Replied) and outcome.value == Granted():
            self.until = until
            return self.use(ctx, outcome)
        return Sleep(PAUSE_S)

    def use(self, ctx: Context, _: Outcome) -> Effect:
        if ctx.now() >= self.until:
            return Sleep(PAUSE_S)
        self.uses += 1
        return Sleep(USE_S, then=self.use)


def tree(broken: bool, place: Place) -> Supervisor:
    if place.node.startswith("n0"):
        return Supervisor("root", [Child("locker", Locker, name="locker")])
    return Supervisor("root", [Child("holder", Holder, broken)])


def app(broken: bool) -> Application:
    return Application("lease-drift", tree=partial(tree, broken))


class Users:
    """Sees which holders use what they hold between one look and the next."""

    def __init__(self) -> None:
        self.before: list[int] = []

    def are_few(self, sim: Simulation) -> bool:
        now = [holder.uses for holder in sim.isolates(Holder)]
        used = sum(uses > before for uses, before in zip(now, self.before, strict=False))
        self.before = now
        return used <= 1


def check(sim: Simulation) -> None:
    sim.always("one holder at most uses it", Users().are_few, every="5ms")
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
