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
RETRY_S = 0.002


@message
class Ask:
    pass


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
    def __init__(self, number: int) -> None:
        self.to = Name(f"answerer-{number}", core=1)
        self.pid = 0

    def start(self, ctx: Context) -> Effect:
        return Sleep(RETRY_S)

    def handle(self, ctx: Context, message: object) -> Effect:
        match message:
            case Replied(int(pid)):
                if pid != self.pid and ctx.send(Name("counter", core=0), Answered(pid)) is Sent.OK:
                    self.pid = pid
                return Call(self.to, Ask(), timeout=5)
            case Failed():
                return Sleep(RETRY_S)
        return Call(self.to, Ask(), timeout=5)


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
        askers = [Child(f"asker-{number}", Asker, number) for number in range(ISOLATES)]
        return Supervisor("root", [Child("counter", Counter, name="counter"), *askers])
    answerers = [Child(f"answerer-{n}", Answerer, name=f"answerer-{n}") for n in range(ISOLATES)]
    return Supervisor("root", [*answerers, Child("greeter", Greeter)])


app = Application("recovery", tree=tree)
