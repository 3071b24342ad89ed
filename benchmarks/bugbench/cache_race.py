"""A cache asks for a value, is told that it changed, and then keeps the older answer to what it had asked before."""

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

LOOK_S = 0.03
WRITE_S = 0.1
NOTHING = -1


@message
class Read:
    pass


@message
class Write:
    value: int


@message
class Look:
    pass


@message
class Changed:
    """The value is at least this new by now."""

    value: int


class Origin(Isolate):
    """Holds the value, which only grows."""

    def __init__(self) -> None:
        self.value = 0

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Read():
                return Reply(self.value)
            case Write(value):
                self.value = value
                return Reply("written")
        return RECEIVE


class Cache(Isolate):
    """Keeps the value it has read until it is told of a change; `known` is the newest change it was told of."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.value = NOTHING
        self.known = NOTHING
        self.changes = 0
        self.asked: tuple[object, int] | None = None  # under which ticket, and after how many changes

    def start(self, ctx: Context) -> Effect:
        ctx.send_every(LOOK_S, Look())
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Look() if self.value == NOTHING and self.asked is None:
                self.asked = (ctx.request(Name("origin", "n0@sim"), Read(), timeout=1.0), self.changes)
            case Changed(value):
                self.value = NOTHING
                self.known = value
                self.changes += 1
            case Outcome(ticket=ticket) if self.asked is not None and ticket == self.asked[0]:
                changes, self.asked = self.asked[1], None
                if isinstance(message, Replied) and (self.broken or changes == self.changes):
                    assert isinstance(message.value, int)
                    self.value = message.value
        return RECEIVE


class Writer(Isolate):
    """Writes a higher value now and then, and tells the cache."""

    def __init__(self) -> None:
        self.value = 0

    def start(self, ctx: Context) -> Effect:
        return Sleep(WRITE_S)

    def handle(self, ctx: Context, message: Any) -> Effect:
        self.value += 1
        return Call(Name("origin", "n0@sim"), Write(self.value), timeout=1.0, then=self.written)

    def written(self, ctx: Context, outcome: Outcome) -> Effect:
        if isinstance(outcome, Replied):
            ctx.send(Name("cache", "n1@sim"), Changed(self.value))
        return Sleep(WRITE_S)


def tree(broken: bool, place: Place) -> Supervisor:
    children = {
        "n0": Child("origin", Origin, name="origin"),
        "n1": Child("cache", Cache, broken, name="cache"),
        "n2": Child("writer", Writer),
    }
    return Supervisor("root", [children[place.node[:2]]])


def app(broken: bool) -> Application:
    return Application("cache-race", tree=partial(tree, broken))


def is_fresh(sim: Simulation) -> bool:
    return all(cache.value in (NOTHING, *range(cache.known, cache.value + 1)) for cache in sim.isolates(Cache))


def check(sim: Simulation) -> None:
    sim.always("what is cached is not older than a change the cache was told of", is_fresh, every="20ms")
    sim.run("2s")


BUG = Bug(
    name="cache-race",
    what="an answer that was under way when a value was invalidated is put into the cache all the same",
    app=app,
    check=check,
    nodes=3,
    faults=(f.delay(), f.pause(), f.slow(), f.cut()),
)
