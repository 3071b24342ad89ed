"""Gossip that still names a member who has left brings it back for ever: those who heard of it forgot it too well."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.bugbench.catalogue import Bug
from regrove import (
    DONE,
    RECEIVE,
    Application,
    Call,
    CallAll,
    Child,
    Context,
    Effect,
    Gathered,
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

NODES = 3
EACH_S = 0.06
LEAVER = 2


@message
class Tick:
    pass


@message
class Gossip:
    members: list[int]


@message
class Leave:
    pass


@message
class Left:
    node: int


class Member(Isolate):
    """Knows the members, and tells what it knows to one of them after the other."""

    def __init__(self, broken: bool, own: int) -> None:
        self.broken = broken
        self.own = own
        self.members = list(range(NODES))
        self.left: list[int] = []
        self.untold: list[int] = []
        self.turn = 0

    def start(self, ctx: Context) -> Effect:
        ctx.send_every(EACH_S, Tick())
        return RECEIVE

    def others(self) -> list[int]:
        return [node for node in self.members if node != self.own]

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Tick():
                self.turn += 1
                others = self.others()
                ctx.send(member(others[self.turn % len(others)]), Gossip(self.members))
            case Gossip(members):
                new = [node for node in members if node not in self.members and node not in self.left]
                self.members = sorted([*self.members, *new])
            case Left(node):
                self.members = [other for other in self.members if other != node]
                if not self.broken:
                    self.left.append(node)
                return Reply("known")
            case Leave():
                return self.tell(self.others())
        return RECEIVE

    def tell(self, nodes: list[int]) -> Effect:
        """Say to these that this one leaves, until each has heard it."""
        if not nodes:
            return DONE
        calls = [Call(member(node), Left(self.own)) for node in nodes]
        return CallAll(calls, timeout=0.1, then=partial(self.told, nodes))

    def told(self, nodes: list[int], ctx: Context, outcome: Outcome) -> Effect:
        if not isinstance(outcome, Gathered):
            return self.tell(nodes)
        heard = zip(nodes, outcome.outcomes, strict=True)
        self.untold = [node for node, answer in heard if not isinstance(answer, Replied)]
        return Sleep(EACH_S, then=self.tell_again)

    def tell_again(self, ctx: Context, _: Outcome) -> Effect:
        return self.tell(self.untold)


def member(node: int) -> Name:
    return Name("member", f"n{node}@sim")


def tree(broken: bool, place: Place) -> Supervisor:
    own = int(place.node[1])
    return Supervisor("root", [Child("member", Member, broken, own, name="member", restart="transient")])


def app(broken: bool) -> Application:
    return Application("gossip-resurrects", tree=partial(tree, broken))


def check(sim: Simulation) -> None:
    sim.run("700ms")
    sim.client.send(member(LEAVER), Leave())
    sim.run("800ms")
    sim.calm(keep="all")
    sim.until(lambda: len(sim.isolates(Member)) < NODES, within="10s")
    sim.run("500ms")
    for each in sim.isolates(Member):
        assert LEAVER not in each.members, f"n{each.own} still has a member that has left"


BUG = Bug(
    name="gossip-resurrects",
    what="a member that left is forgotten instead of being remembered as gone, so that older gossip brings it back",
    app=app,
    check=check,
    nodes=NODES,
    faults=(f.delay(often=(1, 1)), f.cut(often=(1, 2)), f.slow()),
)
