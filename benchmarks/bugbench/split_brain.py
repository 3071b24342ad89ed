"""Whoever hears of nobody lower leads: behind a one-way cut two nodes do. Mended by leases that a majority grants."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.bugbench.catalogue import Bug
from regrove import RECEIVE, Application, Child, Context, Effect, Isolate, Name, Place, Supervisor, message
from regrove.testing import Simulation
from regrove.testing import faults as f

NODES = 3
MILLISECOND = 1_000_000
LEASE = 400 * MILLISECOND
SILENCE = 250 * MILLISECOND
BEAT_S = 0.08


@message
class Tick:
    pass


@message
class Beat:
    """I am here; `asked` is the sender's time, which a grant gives back."""

    node: int
    asked: int


@message
class Grant:
    node: int
    asked: int


class Elector(Isolate):
    """One of the nodes; `lead_until` is when it stops leading, by its own clock."""

    def __init__(self, broken: bool, own: int) -> None:
        self.broken = broken
        self.own = own
        self.others = {node: Name("elector", f"n{node}@sim") for node in range(NODES) if node != own}
        self.heard = dict.fromkeys(range(NODES), 0)
        self.lead_until = 0
        self.granted = (own, 0)  # to whom, and until when
        self.grants: dict[int, int] = {}  # who granted what was asked last, and when that was

    def start(self, ctx: Context) -> Effect:
        for node in self.heard:
            self.heard[node] = ctx.now()
        ctx.send_every(BEAT_S, Tick())
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        now = ctx.now()
        match message:
            case Tick():
                for name in self.others.values():
                    ctx.send(name, Beat(self.own, now))
                self.stand(now)
            case Beat(node, asked):
                self.heard[node] = now
                if not self.broken and self.lowest(now) == node and self.grant(node, now):
                    ctx.send(self.others[node], Grant(self.own, asked))
            case Grant(node, asked):
                self.grants[node] = max(asked, self.grants.get(node, 0))
                self.count()
        return RECEIVE

    def lowest(self, now: int) -> int:
        """The lowest node that was heard of lately."""
        return min(node for node, at in self.heard.items() if node == self.own or now - at < SILENCE)

    def stand(self, now: int) -> None:
        """Lead, if nobody is lower."""
        if self.lowest(now) != self.own:
            return
        if self.broken:
            self.lead_until = now + SILENCE
        elif self.grant(self.own, now):
            self.grants[self.own] = now
            self.count()

    def grant(self, node: int, now: int) -> bool:
        """Promise a node to follow nobody else for the length of a lease."""
        if self.granted[0] != node and now < self.granted[1]:
            return False
        self.granted = (node, now + LEASE)
        return True

    def count(self) -> None:
        """Lead until the lease of the second best grant is over: it was counted from before it was asked for."""
        asked = sorted(self.grants.values(), reverse=True)
        if len(asked) > NODES // 2:
            self.lead_until = max(self.lead_until, asked[NODES // 2] + LEASE)


def tree(broken: bool, place: Place) -> Supervisor:
    return Supervisor("root", [Child("elector", Elector, broken, int(place.node[1]), name="elector")])


def app(broken: bool) -> Application:
    return Application("split-brain", tree=partial(tree, broken))


def leaders(sim: Simulation) -> int:
    return sum(elector.lead_until > sim.now for elector in sim.isolates(Elector))


def check(sim: Simulation) -> None:
    sim.run("600ms")  # they have heard of one another
    sim.always("one leader at most", lambda world: leaders(world) <= 1)
    sim.run("2s")
    sim.calm(keep="all")
    sim.eventually("a leader", lambda world: leaders(world) == 1, within="2s")


BUG = Bug(
    name="split-brain",
    what="a node that hears nobody lower leads, though a one-way cut alone keeps it from hearing",
    app=app,
    check=check,
    nodes=NODES,
    faults=(f.cut(one_way=True, often=(1, 2)), f.pause(often=(1, 8), lasts=("50ms", "500ms")), f.delay()),
)
