"""Two-phase commit whose coordinator keeps its decisions in memory: after a restart it knows of none when asked."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.bugbench.catalogue import Bug
from benchmarks.bugbench.clients import Loading, record, records
from regrove import (
    RECEIVE,
    Application,
    Call,
    CallAll,
    Child,
    Context,
    Crash,
    Effect,
    Gathered,
    Isolate,
    Name,
    Open,
    Opened,
    Outcome,
    Place,
    Replied,
    Reply,
    Sleep,
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

COORDINATOR = Name("coordinator", "n0@sim")
PARTIES = (Name("party", "n1@sim"), Name("party", "n2@sim"))
EACH_S = 0.05
WORK_S = 0.04
DOUBT_S = 0.15


@message
class Next:
    pass


@message
class Prepare:
    number: int


@message
class Commit:
    number: int


@message
class Decided:
    """Was this number committed? Asked by a party that prepared it and heard nothing more."""

    number: int


@message
class Doubt:
    number: int


class Coordinator(Loading):
    """Has both parties agree to one number after the other; a number that it does not know was never committed."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.number = 0
        self.committed: list[int] = []
        self.file: Stream | None = None

    def start(self, ctx: Context) -> Effect:
        self.number = ctx.wall_time() // 1_000_000  # no life uses a number of an earlier one
        return self.load("decisions", self.loaded)

    def loaded(self, ctx: Context, data: bytes) -> Effect:
        self.committed = records(data)
        return Open("decisions", "a", then=self.opened)

    def opened(self, ctx: Context, outcome: Outcome) -> Effect:
        if not isinstance(outcome, Opened):
            return Crash("no file")
        self.file = outcome.stream
        return Sync(self.file, then=self.safe)  # what was read may not be on the disk yet

    def safe(self, ctx: Context, outcome: Outcome) -> Effect:
        if not isinstance(outcome, Synced):
            return Crash("the decisions are not known to be on the disk")
        ctx.send_after(EACH_S, Next())
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Decided(number):
                return Reply(number in self.committed)
            case Next():
                self.number += 1
                calls = [Call(party, Prepare(self.number)) for party in PARTIES]
                return CallAll(calls, timeout=0.1, then=self.voted)
        return Crash(message)

    def voted(self, ctx: Context, outcome: Outcome) -> Effect:
        if not isinstance(outcome, Gathered) or not all(isinstance(vote, Replied) for vote in outcome.outcomes):
            return self.over(ctx, outcome)
        if self.broken:
            return self.tell(ctx)
        assert self.file is not None
        return Write(self.file, record(self.number), then=self.written)

    def written(self, ctx: Context, outcome: Outcome) -> Effect:
        assert self.file is not None
        return Sync(self.file, then=self.synced) if isinstance(outcome, Written) else Crash("not written")

    def synced(self, ctx: Context, outcome: Outcome) -> Effect:
        return self.tell(ctx) if isinstance(outcome, Synced) else Crash("not known to be on the disk")

    def tell(self, ctx: Context) -> Effect:
        self.committed.append(self.number)
        return Call(PARTIES[0], Commit(self.number), timeout=0.1, then=self.told_one)

    def told_one(self, ctx: Context, _: Outcome) -> Effect:
        return Call(PARTIES[1], Commit(self.number), timeout=0.1, then=self.over)

    def over(self, ctx: Context, _: Outcome) -> Effect:
        ctx.send_after(EACH_S, Next())
        return RECEIVE


class Party(Isolate):
    """Prepares, and waits to be told; when it hears nothing it asks. `ends` says which numbers it committed."""

    def __init__(self) -> None:
        self.ends: dict[int, bool] = {}

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Prepare(number):
                ctx.send_after(DOUBT_S, Doubt(number))
                return Reply("yes")
            case Commit(number):
                return Sleep(WORK_S, then=partial(self.committed, number))
            case Doubt(number) if number not in self.ends:
                return Call(COORDINATOR, Decided(number), timeout=0.1, then=partial(self.heard, number))
        return RECEIVE

    def committed(self, number: int, ctx: Context, _: Outcome) -> Effect:
        self.ends[number] = True
        return Reply("done")

    def heard(self, number: int, ctx: Context, outcome: Outcome) -> Effect:
        if isinstance(outcome, Replied):
            self.ends[number] = outcome.value is True
        else:
            ctx.send_after(DOUBT_S, Doubt(number))
        return RECEIVE


def tree(broken: bool, place: Place) -> Supervisor:
    if place.node.startswith("n0"):
        child = Child("coordinator", Coordinator, broken, name="coordinator")
    else:
        child = Child("party", Party, name="party")
    return Supervisor("root", [child], intensity=1_000)


def app(broken: bool) -> Application:
    return Application("coordinator-forgets", tree=partial(tree, broken))


def check(sim: Simulation) -> None:
    sim.run("2s")
    sim.calm(keep="all")
    sim.run("1s")
    first, second = (party.ends for party in sim.isolates(Party))
    for number in first:
        if number in second:
            assert first[number] == second[number], f"one party committed {number}, the other did not"


BUG = Bug(
    name="coordinator-forgets",
    what="the coordinator of a two-phase commit keeps its decision in memory only, and has forgotten it when asked",
    app=app,
    check=check,
    nodes=3,
    faults=(f.crash(on="isolate", often=(1, 2)), f.crash(often=(1, 2)), f.crash(on="node", lasts=("50ms", "500ms"))),
    span="3s",
)
