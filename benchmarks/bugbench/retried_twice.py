"""A deposit whose answer did not come is asked for again: a bank that does not know it from a new one adds it twice."""

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

PAUSE_S = 0.02


@message
class Deposit:
    number: int


class Bank(Isolate):
    """Notes deposits, by number."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.entries: list[int] = []

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Deposit(number):
                if self.broken or number not in self.entries:
                    self.entries.append(number)
                return Reply("noted")
        return RECEIVE


class Teller(Isolate):
    """Makes one deposit after the other, each until it is answered."""

    def __init__(self) -> None:
        self.number = 0

    def start(self, ctx: Context) -> Effect:
        return Sleep(PAUSE_S)

    def handle(self, ctx: Context, message: Any) -> Effect:
        return Call(Name("bank", "n1@sim"), Deposit(self.number), timeout=0.15, then=self.told)

    def told(self, ctx: Context, outcome: Outcome) -> Effect:
        if isinstance(outcome, Replied):
            self.number += 1
        return Sleep(PAUSE_S)


def tree(broken: bool, place: Place) -> Supervisor:
    if place.node.startswith("n0"):
        return Supervisor("root", [Child("teller", Teller)])
    return Supervisor("root", [Child("bank", Bank, broken, name="bank")])


def app(broken: bool) -> Application:
    return Application("retried-twice", tree=partial(tree, broken))


def check(sim: Simulation) -> None:
    sim.run("2s")
    sim.calm(keep="all")
    sim.run("500ms")
    (bank,), (teller,) = sim.isolates(Bank), sim.isolates(Teller)
    assert len(bank.entries) == len(dict.fromkeys(bank.entries)), "a deposit was noted twice"
    assert bank.entries[: teller.number] == list(range(teller.number))


BUG = Bug(
    name="retried-twice",
    what="a request that timed out is sent again, and its receiver does it again",
    app=app,
    check=check,
    nodes=2,
    faults=(f.cut(), f.delay(), f.pause(), f.reset(often=(1, 2))),
)
