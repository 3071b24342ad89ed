"""A writer that was stopped while it held the lease writes when it goes on, though another holds it by now."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.bugbench.catalogue import Bug
from regrove import (
    RECEIVE,
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

LEASE = 200_000_000
WORK_S = 0.12
PAUSE_S = 0.03


@message
class Acquire:
    pass


@message
class Granted:
    token: int


@message
class Write:
    token: int


class Locker(Isolate):
    """Leases the right to write; each lease has a higher token."""

    def __init__(self) -> None:
        self.token = 0
        self.until = 0

    def handle(self, ctx: Context, message: Any) -> Effect:
        if ctx.now() < self.until:
            return Reply("held")
        self.token += 1
        self.until = ctx.now() + LEASE
        return Reply(Granted(self.token))


class Store(Isolate):
    """Takes what is written; mended, it refuses whoever comes with a lower token than it has seen."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.tokens: list[int] = []

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Write(token):
                if self.broken or token >= max(self.tokens, default=0):
                    self.tokens.append(token)
        return RECEIVE


class Writer(Isolate):
    """Writes once with each lease it gets, well before its end."""

    def start(self, ctx: Context) -> Effect:
        return Sleep(PAUSE_S)

    def handle(self, ctx: Context, message: Any) -> Effect:
        return Call(Name("locker", "n0@sim"), Acquire(), timeout=0.1, then=self.answered)

    def answered(self, ctx: Context, outcome: Outcome) -> Effect:
        match outcome:
            case Replied(Granted(token)):
                return Sleep(WORK_S, then=partial(self.worked, token))
        return Sleep(PAUSE_S)

    def worked(self, token: int, ctx: Context, _: Outcome) -> Effect:
        ctx.send(Name("store", "n0@sim"), Write(token))
        return Sleep(PAUSE_S)


def tree(broken: bool, place: Place) -> Supervisor:
    if place.node.startswith("n0"):
        return Supervisor("root", [Child("locker", Locker, name="locker"), Child("store", Store, broken, name="store")])
    return Supervisor("root", [Child("writer", Writer)], intensity=1_000)


def app(broken: bool) -> Application:
    return Application("zombie-writer", tree=partial(tree, broken))


def check(sim: Simulation) -> None:
    sim.run("2500ms")
    (store,) = sim.isolates(Store)
    sim.sometimes("two writers wrote", len(store.tokens) > 1)
    assert store.tokens == sorted(store.tokens), "a writer wrote after the next one"


BUG = Bug(
    name="zombie-writer",
    what="a writer paused beyond its lease goes on writing, and nothing refuses it (no fencing token)",
    app=app,
    check=check,
    nodes=3,
    faults=(f.pause(often=(1, 2), lasts=("50ms", "1s")), f.cut(lasts=("50ms", "1s"))),
)
