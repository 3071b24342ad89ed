"""An allocator writes down how far it is after it has given ids out: its next life gives the last of them out again."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.bugbench.catalogue import Bug
from benchmarks.bugbench.clients import Loading, ask, record, records
from regrove import (
    RECEIVE,
    Application,
    Child,
    Context,
    Crash,
    Effect,
    Open,
    Opened,
    Outcome,
    Place,
    Reply,
    Stream,
    Supervisor,
    Sync,
    Synced,
    Write,
    Written,
    message,
)
from regrove.testing import Simulation
from regrove.testing import faults as f

BLOCK = 8


@message
class Give:
    pass


class Allocator(Loading):
    """Gives out numbers, each once. `limit` is what the file says; mended, no number at or above it is given out."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.next = 0
        self.limit = 0
        self.file: Stream | None = None

    def start(self, ctx: Context) -> Effect:
        return self.load("limits", self.loaded)

    def loaded(self, ctx: Context, data: bytes) -> Effect:
        self.next = self.limit = max(records(data), default=0)
        return Open("limits", "a", then=self.opened)

    def opened(self, ctx: Context, outcome: Outcome) -> Effect:
        if not isinstance(outcome, Opened):
            return Crash("no file")
        self.file = outcome.stream
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        assert self.file is not None
        self.next += 1
        if self.broken and self.next % BLOCK == 0:
            return Write(self.file, record(self.next), then=self.written)
        if not self.broken and self.next > self.limit:
            return Write(self.file, record(self.next + BLOCK), then=self.written)
        return Reply(self.next)

    def written(self, ctx: Context, outcome: Outcome) -> Effect:
        assert self.file is not None
        return Sync(self.file, then=self.synced) if isinstance(outcome, Written) else Crash("not written")

    def synced(self, ctx: Context, outcome: Outcome) -> Effect:
        if not isinstance(outcome, Synced):
            return Crash("the limit is not known to be on the disk")
        self.limit = self.next + BLOCK
        return Reply(self.next)


def tree(broken: bool, place: Place) -> Supervisor:
    return Supervisor("root", [Child("allocator", Allocator, broken, name="allocator")], intensity=1_000)


def app(broken: bool) -> Application:
    return Application("id-reused", tree=partial(tree, broken))


def check(sim: Simulation) -> None:
    history = sim.history()
    for _ in range(40):
        ask(sim, history, "allocator", Give(), "give", timeout=0.3)
        sim.run("20ms")
    given = [operation.taken for operation in history if operation.taken is not None]
    assert len(given) == len(dict.fromkeys(given)), f"an id was given out twice: {given}"


BUG = Bug(
    name="id-reused",
    what="ids are given out before the mark on the disk is beyond them, and once more after a restart",
    app=app,
    check=check,
    faults=(f.crash(on="isolate"), f.crash(), f.crash(on="node", lasts=("50ms", "500ms")), f.disk()),
)
