"""What `recovery.py` kills: a thousand isolates on core 1, a thousand askers on core 0, a port to connect to."""

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
    Child,
    Close,
    Closed,
    Context,
    Effect,
    Failed,
    Isolate,
    Listen,
    Listening,
    Name,
    Place,
    Replied,
    Reply,
    Sent,
    Sleep,
    Supervisor,
    Write,
    Written,
    message,
)

ISOLATES = 1_000
THINK_S = 0.25  # between two calls of one asker: 4 000 calls a second in all
RETRY_S = 0.002
WATCH_S = 0.001


@message
class Ask:
    pass


@message
class Next:
    """It is the asker's turn, if it has not had another since."""

    turn: int


@message
class Again:
    """A new life of core 1 answers."""

    pid: int


@message
class Answered:
    """An asker had the first answer of the life `pid` of core 1."""

    pid: int


@message
class Progress:
    """How many askers have had an answer of that life; answered with the count and the time of the last, in ns."""

    pid: int


class Answerer(Isolate):
    def handle(self, ctx: Context, message: object) -> Effect:
        return Reply(os.getpid(), RECEIVE)


class Asker(Isolate):
    """Asks, thinks, asks again; while its answerer is gone it waits for the watcher's word."""

    def __init__(self, number: int) -> None:
        self.to = Name(f"answerer-{number}", core=1)
        self.answered = 0  # the life that has answered it
        self.told = 0  # the life the watcher has seen
        self.turn = 0

    def start(self, ctx: Context) -> Effect:
        return self.later(ctx, THINK_S)

    def later(self, ctx: Context, delay: float) -> Effect:
        self.turn += 1
        ctx.send_after(delay, Next(self.turn))
        return RECEIVE

    def handle(self, ctx: Context, message: object) -> Effect:
        match message:
            case Next(turn) if turn == self.turn:
                return Call(self.to, Ask(), timeout=5)
            case Again(pid):
                self.told = pid
                self.turn += 1
                return Call(self.to, Ask(), timeout=5)
            case Replied(int(pid)):
                if pid != self.answered and ctx.send(Name("counter", core=0), Answered(pid)) is Sent.OK:
                    self.answered = pid
                return self.later(ctx, THINK_S)
            case Failed():
                return self.later(ctx, RETRY_S if self.told != self.answered else THINK_S)
        return RECEIVE


class Watcher(Isolate):
    """Asks the answerer that starts last every millisecond, and tells the askers of each new life."""

    def __init__(self) -> None:
        self.pid = 0

    def start(self, ctx: Context) -> Effect:
        return Sleep(WATCH_S)

    def handle(self, ctx: Context, message: object) -> Effect:
        match message:
            case Replied(int(pid)) if pid != self.pid:
                self.pid = pid
                for number in range(ISOLATES):
                    ctx.send(Name(f"asker-{number}", core=0), Again(pid))
            case Replied() | Failed():
                pass
            case _:
                return Call(Name(f"answerer-{ISOLATES - 1}", core=1), Ask(), timeout=5)
        return Sleep(WATCH_S)


class Counter(Isolate):
    def __init__(self) -> None:
        self.count = 0
        self.pid = 0
        self.last = 0

    def handle(self, ctx: Context, message: object) -> Effect:
        match message:
            case Answered(pid):
                if pid != self.pid:
                    self.pid, self.count = pid, 0
                self.count += 1
                self.last = time.monotonic_ns()
            case Progress(pid):
                return Reply([self.count if pid == self.pid else 0, self.last], RECEIVE)
        return RECEIVE


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
        askers = [Child(f"asker-{n}", Asker, n, name=f"asker-{n}") for n in range(ISOLATES)]
        return Supervisor("root", [Child("counter", Counter, name="counter"), *askers, Child("watcher", Watcher)])
    answerers = [Child(f"answerer-{n}", Answerer, name=f"answerer-{n}") for n in range(ISOLATES)]
    return Supervisor("root", [*answerers, Child("greeter", Greeter)])


app = Application("recovery", tree=tree)
