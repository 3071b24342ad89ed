"""A write is acknowledged when the kernel has it: a power loss before the next sync takes it back."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.bugbench.catalogue import Bug
from benchmarks.bugbench.clients import ask, record, records_on_disk
from regrove import (
    RECEIVE,
    Application,
    Child,
    Context,
    Crash,
    Effect,
    Failed,
    Isolate,
    Open,
    Opened,
    Outcome,
    Place,
    Reply,
    Sleep,
    Stream,
    Supervisor,
    Sync,
    Synced,
    Write,
    message,
)
from regrove.testing import Simulation, at_most_once
from regrove.testing import faults as f

SYNC_EACH_S = 0.05


@message
class Append:
    number: int


@message
class Flush:
    pass


class Journal(Isolate):
    """Appends numbers to the file `journal`."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.file: Stream | None = None

    def start(self, ctx: Context) -> Effect:
        return Open("journal", "a", then=self.opened)

    def opened(self, ctx: Context, outcome: Outcome) -> Effect:
        if not isinstance(outcome, Opened):
            return Sleep(0.05, then=self.again)
        self.file = outcome.stream
        if self.broken:
            ctx.send_every(SYNC_EACH_S, Flush())
        return RECEIVE

    def again(self, ctx: Context, _: Outcome) -> Effect:
        return self.start(ctx)

    def handle(self, ctx: Context, message: Any) -> Effect:
        assert self.file is not None
        match message:
            case Append(number):
                return Write(self.file, record(number), then=self.written)
            case Flush():
                return Sync(self.file, then=self.flushed)
        return Crash(message)

    def written(self, ctx: Context, outcome: Outcome) -> Effect:
        if isinstance(outcome, Failed):
            return Crash(outcome.reason)
        assert self.file is not None
        return Reply("kept") if self.broken else Sync(self.file, then=self.synced)

    def synced(self, ctx: Context, outcome: Outcome) -> Effect:
        return Reply("kept") if isinstance(outcome, Synced) else Crash("it is not known to be on the disk")

    def flushed(self, ctx: Context, outcome: Outcome) -> Effect:
        return RECEIVE if isinstance(outcome, Synced) else Crash("it is not known to be on the disk")


def tree(broken: bool, place: Place) -> Supervisor:
    return Supervisor("root", [Child("journal", Journal, broken, name="journal")], intensity=1_000)


def app(broken: bool) -> Application:
    return Application("early-acknowledgement", tree=partial(tree, broken))


def check(sim: Simulation) -> None:
    history = sim.history()
    for number in range(40):
        ask(sim, history, "journal", Append(number), "append", number, timeout=0.2)
        sim.run("10ms")
    sim.calm(keep="all")
    sim.run("500ms")
    at_most_once(history, records_on_disk(sim, "journal"))


BUG = Bug(
    name="early-acknowledgement",
    what="an append is acknowledged when it is written and synced later; a power loss takes it back",
    app=app,
    check=check,
    faults=(f.crash(on="node", often=(1, 1), lasts=("50ms", "500ms")), f.crash(), f.disk()),
)
