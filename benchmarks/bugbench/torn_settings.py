"""Settings are saved over the old ones: a crash between the cut of the file and its sync leaves neither."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.bugbench.catalogue import Bug
from benchmarks.bugbench.clients import Loading, ask, record, records
from regrove import (
    RECEIVE,
    Application,
    Child,
    Close,
    Context,
    Crash,
    Effect,
    Open,
    Opened,
    Outcome,
    Place,
    Rename,
    Renamed,
    Reply,
    Stream,
    Supervisor,
    Sync,
    Synced,
    Write,
    Written,
    message,
)
from regrove.testing import Register, Simulation, linearizable
from regrove.testing import faults as f


@message
class Save:
    value: int


@message
class Load:
    pass


class Settings(Loading):
    """One number in a file; mended, a new one is written beside it and takes its name when it is on the disk."""

    def __init__(self, broken: bool) -> None:
        self.path = "settings" if broken else "settings.new"
        self.value = 0

    def start(self, ctx: Context) -> Effect:
        return self.load("settings", self.loaded)

    def loaded(self, ctx: Context, data: bytes) -> Effect:
        self.value = next(iter(records(data)), 0)
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Save(value):
                return Open(self.path, "w", then=partial(self.opened, value))
            case Load():
                return Reply(self.value)
        return Crash(message)

    def opened(self, value: int, ctx: Context, outcome: Outcome) -> Effect:
        if not isinstance(outcome, Opened):
            return Crash("no file")
        return Write(outcome.stream, record(value), then=partial(self.written, value, outcome.stream))

    def written(self, value: int, stream: Stream, ctx: Context, outcome: Outcome) -> Effect:
        if not isinstance(outcome, Written):
            return Crash("not written")
        return Sync(stream, then=partial(self.synced, value, stream))

    def synced(self, value: int, stream: Stream, ctx: Context, outcome: Outcome) -> Effect:
        if not isinstance(outcome, Synced):
            return Crash("not known to be on the disk")
        return Close(stream, then=partial(self.closed, value))

    def closed(self, value: int, ctx: Context, _: Outcome) -> Effect:
        if self.path == "settings":
            return self.saved(value, ctx, Renamed("settings"))
        return Rename(self.path, "settings", then=partial(self.saved, value))

    def saved(self, value: int, ctx: Context, outcome: Outcome) -> Effect:
        if not isinstance(outcome, Renamed):
            return Crash("not renamed")
        self.value = value
        return Reply("saved")


def tree(broken: bool, place: Place) -> Supervisor:
    return Supervisor("root", [Child("settings", Settings, broken, name="settings")], intensity=1_000)


def app(broken: bool) -> Application:
    return Application("torn-settings", tree=partial(tree, broken))


def check(sim: Simulation) -> None:
    history = sim.history()
    for number in range(1, 41):
        ask(sim, history, "settings", Save(number), "write", number, timeout=0.3)
        sim.run("5ms")
        ask(sim, history, "settings", Load(), "read", timeout=0.3)
        sim.run("5ms")
    linearizable(history, Register(0))


BUG = Bug(
    name="torn-settings",
    what="a file is cut and written anew in place, and a crash in between leaves neither the old nor the new",
    app=app,
    check=check,
    faults=(f.crash(on="isolate"), f.crash(), f.crash(on="node", lasts=("50ms", "500ms")), f.disk()),
)
