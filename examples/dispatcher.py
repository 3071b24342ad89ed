"""A dispatcher: workers check in when they are free, crash on a bad job, and come back under another address.

The dispatcher keeps addresses of free workers. One that crashed meanwhile is stale: `send` says so at once, nobody
else ever answers to it, and the next free worker gets the job. A worker that dies with a job in hand fails that job
only: its monitor tells. Jobs that find no free worker wait, at most QUEUE of them; then the caller is told.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from regrove import (
    RECEIVE,
    Address,
    Application,
    Caller,
    Child,
    Context,
    Down,
    Effect,
    Isolate,
    Place,
    Reply,
    Supervisor,
    message,
)

WORKERS = 4
QUEUE = 100


@message
class Root:
    """Ask the dispatcher for the whole square root of a number; the answer is Answer, JobFailed or Overloaded."""

    number: int


@message
class Answer:
    value: int


@message
class JobFailed:
    reason: str


@message
class Overloaded:
    pass


@message
class CheckIn:
    """From a worker: it is free."""

    worker: Address


@message
class Job:
    number: int
    caller: Caller


class Worker(Isolate):
    """A negative number crashes it, which is its supervisor's business and not its own."""

    def start(self, ctx: Context) -> Effect:
        ctx.send("dispatcher", CheckIn(ctx.self))
        return RECEIVE

    def handle(self, ctx: Context, message: Job) -> Effect:
        root = round(message.number**0.5)
        while root * root > message.number:  # a negative number's root is complex, and round() of that raises
            root -= 1
        ctx.reply(message.caller, Answer(root))
        ctx.send("dispatcher", CheckIn(ctx.self))
        return RECEIVE


class Dispatcher(Isolate):
    def __init__(self) -> None:
        self.free: deque[Address] = deque()
        self.waiting: deque[tuple[int, Caller]] = deque()
        self.busy: dict[Address, Caller] = {}
        self.stale = 0  # addresses that nobody answered to any more

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case CheckIn(worker):
                if worker not in self.busy:
                    ctx.monitor(worker)
                self.busy.pop(worker, None)
                self.free.append(worker)
            case Root(number):
                if len(self.waiting) >= QUEUE:
                    return Reply(Overloaded())
                caller = ctx.caller
                if caller is not None:
                    self.waiting.append((number, caller))
            case Down(_, address, reason) if address is not None:
                caller = self.busy.pop(address, None)
                if caller is not None:
                    ctx.reply(caller, JobFailed(type(reason).__name__))
            case _:
                raise ValueError(f"a dispatcher has no use for {message!r}")
        self._hand_out(ctx)
        return RECEIVE

    def _hand_out(self, ctx: Context) -> None:
        while self.free and self.waiting:
            worker = self.free.popleft()
            number, caller = self.waiting[0]
            if ctx.send(worker, Job(number, caller)):
                self.waiting.popleft()
                self.busy[worker] = caller
            else:
                self.stale += 1


def tree(place: Place) -> Supervisor:
    workers = [Child(f"worker-{number}", Worker) for number in range(WORKERS)]
    return Supervisor(
        "root",
        [
            Child("dispatcher", Dispatcher, name="dispatcher"),
            Supervisor("workers", workers, intensity=100, period=1.0),
        ],
        strategy="rest_for_one",  # a new dispatcher knows of no worker: they start again and check in
    )


app = Application("dispatcher", tree=tree)
