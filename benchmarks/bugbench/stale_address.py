"""A seat is reached by the desk's name and a number counted anew in each life: the old number is another's seat."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.bugbench.catalogue import Bug
from regrove import (
    RECEIVE,
    Address,
    Application,
    CallFailed,
    Child,
    Context,
    Effect,
    Isolate,
    Name,
    Place,
    Reply,
    Supervisor,
    message,
)
from regrove.testing import Simulation
from regrove.testing import faults as f


@message
class Sit:
    guest: str


@message
class Seat:
    at: Address | Name
    number: int


@message
class Order:
    number: int
    guest: str


@message
class NoSeat:
    pass


class Desk(Isolate):
    """Gives seats out and takes orders for them; all of it is gone with its life."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.orders: list[list[str]] = []

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Sit():
                self.orders.append([])
                at = Name("desk") if self.broken else ctx.self
                return Reply(Seat(at, len(self.orders) - 1))
            case Order(number, guest):
                if number >= len(self.orders):
                    return Reply(NoSeat())
                self.orders[number].append(guest)
                return Reply("noted")
        return RECEIVE


def tree(broken: bool, place: Place) -> Supervisor:
    return Supervisor("root", [Child("desk", Desk, broken, name="desk")], intensity=1_000)


def app(broken: bool) -> Application:
    return Application("stale-address", tree=partial(tree, broken))


def one_guest_each(sim: Simulation) -> bool:
    return all(len(dict.fromkeys(orders)) <= 1 for desk in sim.isolates(Desk) for orders in desk.orders)


def check(sim: Simulation) -> None:
    sim.always("a seat has one guest", one_guest_each)
    seats: dict[str, Seat] = {}
    for turn in range(60):
        guest = ("ann", "bob", "cid")[turn * 7 % 3]
        try:
            if guest not in seats:
                seats[guest] = sim.call("desk", Sit(guest), timeout=0.2)
            elif sim.call(seats[guest].at, Order(seats[guest].number, guest), timeout=0.2) == NoSeat():
                del seats[guest]
        except CallFailed:
            seats.pop(guest, None)
        sim.run("20ms")


BUG = Bug(
    name="stale-address",
    what="an address made of a name and a number outlives the life it was given in, and reaches another's seat",
    app=app,
    check=check,
    faults=(f.crash(on="isolate", often=(1, 1)), f.crash(often=(1, 4))),
)
