"""What `recovery.py` kills: a thousand isolates and a port on core 1; on core 0 a thousand askers and a watcher."""

from __future__ import annotations

import os
import time
from typing import Any

from regrove import (
    RECEIVE,
    Accept,
    Accepted,
    Application,
    Call,
    CallAll,
    Child,
    Close,
    Closed,
    Context,
    Effect,
    Failed,
    Gathered,
    Isolate,
    Listen,
    Listening,
    Name,
    Place,
    Replied,
    Reply,
    Sleep,
    Supervisor,
    Write,
    Written,
    message,
)

ISOLATES = 1_000
THINK_S = 0.25  # between two calls of one asker: 4 000 calls a second in all
WATCH_S = 0.001


@message
class Ask:
    pass


@message
class Look:
    """It is time to look whether a new life answers."""


@message
class Progress:
    """How many isolates of the life `pid` of core 1 have answered, and the time of the last, in ns."""

    pid: int


class Answerer(Isolate):
    def handle(self, ctx: Context, message: object) -> Effect:
        return Reply(os.getpid(), RECEIVE)


class Asker(Isolate):
    """The load: asks, thinks, asks again, whatever came of it."""

    def __init__(self, number: int) -> None:
        self.to = Name(f"answerer-{number}", core=1)

    def start(self, ctx: Context) -> Effect:
        return Sleep(THINK_S)

    def handle(self, ctx: Context, message: object) -> Effect:
        match message:
            case Replied() | Failed():
                return Sleep(THINK_S)
        return Call(self.to, Ask(), timeout=5)


class Watcher(Isolate):
    """Asks the answerer that starts last every millisecond, and all of them when a new life answers."""

    def __init__(self) -> None:
        self.names = [Name(f"answerer-{number}", core=1) for number in range(ISOLATES)]
        self.pending: list[Name] = []
        self.pid = 0
        self.last = 0

    def start(self, ctx: Context) -> Effect:
        return self.later(ctx)

    def later(self, ctx: Context) -> Effect:
        ctx.send_after(WATCH_S, Look())
        return RECEIVE

    def handle(self, ctx: Context, message: object) -> Effect:
        match message:
            case Look():
                return Call(self.names[-1], Ask(), timeout=5)
            case Progress(pid):
                return Reply([ISOLATES - len(self.pending) if pid == self.pid else 0, self.last], RECEIVE)
            case Replied(int(pid)) if pid != self.pid:
                self.pid, self.pending = pid, self.names
            case Gathered(outcomes):
                answered = [type(outcome) is Replied and outcome.value == self.pid for outcome in outcomes]
                self.pending = [name for name, done in zip(self.pending, answered, strict=True) if not done]
                self.last = time.monotonic_ns()
        return CallAll([Call(name, Ask()) for name in self.pending]) if self.pending else self.later(ctx)


class Greeter(Isolate):
    listener: Any
    stream: Any

    def start(self, ctx: Context) -> Effect:
        return Listen("127.0.0.1", int(ctx.place.settings["port"]), shared=False)

    def handle(self, ctx: Context, message: object) -> Effect:
        match message:
            case Listening(listener):
                self.listener = listener
            case Accepted(stream):
                self.stream = stream
                return Write(stream, b"hello")
            case Written():
                return Close(self.stream)
            case Failed() | Closed():
                pass
        return Accept(self.listener)


def tree(place: Place) -> Supervisor:
    if place.core == 0:
        askers = [Child(f"asker-{n}", Asker, n) for n in range(ISOLATES)]
        return Supervisor("root", [*askers, Child("watcher", Watcher, name="watcher")])
    answerers = [Child(f"answerer-{n}", Answerer, name=f"answerer-{n}") for n in range(ISOLATES)]
    return Supervisor("root", [*answerers, Child("greeter", Greeter)])


app = Application("recovery", tree=tree)
