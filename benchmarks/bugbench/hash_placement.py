"""Keys are placed by `hash()`: each process of a cluster has another idea of where a key is."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.bugbench.catalogue import Bug
from regrove import (
    RECEIVE,
    Application,
    Child,
    Context,
    Effect,
    Isolate,
    Name,
    Place,
    Supervisor,
    key_to_core,
    message,
)
from regrove.testing import Simulation

KEYS = ("apple", "pear", "plum", "fig", "quince", "medlar", "cherry", "sloe")


@message
class Put:
    key: str
    placed: bool = False


class Store(Isolate):
    """Keeps the keys of its core, and passes the others on."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.keys: list[str] = []

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Put(key, placed=False):
                cores = ctx.place.cores
                core = hash(key) % cores if self.broken else key_to_core(key, cores)
                ctx.send(Name("store", core=core), Put(key, placed=True))
            case Put(key, placed=True):
                self.keys.append(key)
        return RECEIVE


def tree(broken: bool, place: Place) -> Supervisor:
    return Supervisor("root", [Child("store", Store, broken, name="store")])


def app(broken: bool) -> Application:
    return Application("hash-placement", tree=partial(tree, broken))


def check(sim: Simulation) -> None:
    for key in KEYS:
        sim.send("store", Put(key))
        sim.run("5ms")
    sim.settle()
    assert sorted(key for store in sim.isolates(Store) for key in store.keys) == sorted(KEYS)


BUG = Bug(
    name="hash-placement",
    what="hash() of a text places keys; another process, with another hash seed, looks for them elsewhere",
    app=app,
    check=check,
    cores=2,
    span="100ms",
    found_by=("audit",),
)
