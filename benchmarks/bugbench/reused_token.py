"""Four tokens are used in turn for questions to another node: a late answer is taken for that of a newer question."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.bugbench.catalogue import Bug
from regrove import RECEIVE, Address, Application, Child, Context, Effect, Isolate, Name, Place, Supervisor, message
from regrove.testing import Simulation
from regrove.testing import faults as f

TOKENS = 4
EACH_S = 0.03


@message
class Tick:
    pass


@message
class Ask:
    token: int
    number: int
    back: Address


@message
class Answer:
    token: int
    value: int


class Answerer(Isolate):
    """Squares numbers."""

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Ask(token, number, back):
                ctx.send(back, Answer(token, number * number))
        return RECEIVE


class Asker(Isolate):
    """Asks for one square after the other; a question that got no answer is given up when its token is needed."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.number = 0
        self.open: dict[int, int] = {}
        self.taken: list[tuple[int, int]] = []

    def start(self, ctx: Context) -> Effect:
        ctx.send_every(EACH_S, Tick())
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Tick():
                self.number += 1
                token = self.number % TOKENS if self.broken else self.number
                self.open.pop(self.number - TOKENS, None)
                self.open[token] = self.number
                ctx.send(Name("answerer", "n1@sim"), Ask(token, self.number, ctx.self))
            case Answer(token, value) if token in self.open:
                self.taken.append((self.open.pop(token), value))
        return RECEIVE


def tree(broken: bool, place: Place) -> Supervisor:
    if place.node.startswith("n0"):
        return Supervisor("root", [Child("asker", Asker, broken)])
    return Supervisor("root", [Child("answerer", Answerer, name="answerer")])


def app(broken: bool) -> Application:
    return Application("reused-token", tree=partial(tree, broken))


def check(sim: Simulation) -> None:
    sim.run("1500ms")
    sim.calm(keep="all")
    sim.run("500ms")
    taken = [pair for asker in sim.isolates(Asker) for pair in asker.taken]
    for number, value in taken:
        assert value == number * number, f"{value} was taken for the square of {number}"


BUG = Bug(
    name="reused-token",
    what="a token is used again while an answer to its former question may still be under way",
    app=app,
    check=check,
    nodes=2,
    faults=(f.delay(), f.cut(), f.pause(), f.crash()),
)
