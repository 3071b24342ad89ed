"""A stream of numbers over a link is taken to be whole because it is in order: a reset leaves a gap in it."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.bugbench.catalogue import Bug
from regrove import RECEIVE, Application, Child, Context, Effect, Isolate, Name, Place, Supervisor, message
from regrove.testing import Simulation
from regrove.testing import faults as f

EACH_S = 0.01
AGAIN = 100_000_000  # ns without progress until the sender begins again where the receiver stands


@message
class Tick:
    pass


@message
class Part:
    number: int


@message
class Have:
    parts: int


class Sender(Isolate):
    """Sends one part after the other; what the link refuses is sent again."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.next = 0
        self.have = 0
        self.moved_at = 0

    def start(self, ctx: Context) -> Effect:
        ctx.send_every(EACH_S, Tick())
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Tick():
                if not self.broken and self.next > self.have and ctx.now() - self.moved_at > AGAIN:
                    self.next, self.moved_at = self.have, ctx.now()
                if ctx.send(Name("receiver", "n1@sim"), Part(self.next)):
                    self.next += 1
            case Have(parts) if parts > self.have:
                self.have, self.moved_at = parts, ctx.now()
        return RECEIVE


class Receiver(Isolate):
    """Puts the parts together; mended, it takes the next one only, and says how many it has."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.parts: list[int] = []

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Part(number):
                if self.broken or number == len(self.parts):
                    self.parts.append(number)
                if not self.broken:
                    ctx.send(Name("sender", "n0@sim"), Have(len(self.parts)))
        return RECEIVE


def tree(broken: bool, place: Place) -> Supervisor:
    if place.node.startswith("n0"):
        return Supervisor("root", [Child("sender", Sender, broken, name="sender")])
    return Supervisor("root", [Child("receiver", Receiver, broken, name="receiver")])


def app(broken: bool) -> Application:
    return Application("reconnect-gap", tree=partial(tree, broken))


def check(sim: Simulation) -> None:
    sim.run("1500ms")
    (receiver,) = sim.isolates(Receiver)
    assert receiver.parts == list(range(len(receiver.parts))), "there is a gap in what was put together"
    sim.calm(keep="all")
    sim.eventually("it goes on", lambda world: len(receiver.parts) > 50, within="10s")


BUG = Bug(
    name="reconnect-gap",
    what="what was sent before a reconnect is assumed to have arrived, as what comes after it is in order",
    app=app,
    check=check,
    nodes=2,
    faults=(f.reset(often=(1, 2)), f.loss(noise=(1, 500)), f.cut(), f.delay()),
)
