"""Applications that the tests of the simulator run: they use a bit of everything, driven by `ctx.random`."""

from __future__ import annotations

from typing import Any

from regrove import (
    DONE,
    RECEIVE,
    Accept,
    Address,
    Application,
    Bounds,
    Call,
    CallAll,
    Child,
    Connect,
    Continue,
    Down,
    Effect,
    Isolate,
    Listen,
    Name,
    Offload,
    Open,
    Place,
    Push,
    Read,
    Reply,
    Sleep,
    Supervisor,
    Sync,
    Write,
    message,
)
from regrove.node.core.context import Context


@message
class Add:
    amount: int


@message
class Total:
    pass


@message
class Beat:
    number: int = 0


@message
class Ask:
    number: int


@message
class Answered:
    number: int
    total: int


@message
class Told:
    address: Address
    padding: bytes = b""


@message
class Explode:
    pass


class Counter(Isolate):
    """Adds up."""

    def __init__(self, first: int = 0) -> None:
        self.total = first

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Add(amount):
                self.total += amount
                return RECEIVE
            case Total():
                return Reply(self.total)
            case Explode():
                raise ValueError("as it was told to")
        return RECEIVE


def counter_tree(place: Place) -> Supervisor:
    return Supervisor("root", [Child("counter", Counter, 10, name="counter")], intensity=50, period=1.0)


counting = Application("counting", tree=counter_tree)


# --- a bit of everything ---


def work(number: int) -> int:
    """What is offloaded."""
    return number * number


class Busybody(Isolate):
    """Sends, calls, pushes, monitors, sleeps and crashes, as its random numbers say."""

    mailbox_capacity = 8

    def __init__(self, number: int, cores: int, crashes: bool) -> None:
        self.number = number
        self.cores = cores
        self.crashes = crashes
        self.known: list[Address] = []
        self.handled = 0

    def start(self, ctx: Context) -> Effect:
        self.timer = ctx.send_every(0.002 + 0.001 * self.number, Beat())
        ctx.join("all")
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        self.handled += 1
        match message:
            case Beat():
                return self.beat(ctx)
            case Ask(number):
                if ctx.random.below(4) == 0:
                    return Sleep(0.003, then=lambda ctx, outcome: Reply(Answered(number, self.handled)))
                return Reply(Answered(number, self.handled))
            case Told(address):
                self.known = [*self.known[-7:], address]
            case Down():
                ctx.send("sink", Add(1))
        return RECEIVE

    def target(self, ctx: Context) -> Name | Address:
        if self.known and ctx.random.below(3):
            return ctx.random.choice(self.known)
        if ctx.random.below(20) == 0:
            return Name("nobody")
        node = f"n{ctx.random.below(2)}@sim"
        return Name(f"busy{ctx.random.below(3)}", node, ctx.random.below(self.cores))

    def beat(self, ctx: Context) -> Effect:
        if ctx.now() > int(ctx.place.settings.get("quiet_after_ms", 10**9)) * 1_000_000:
            ctx.cancel(self.timer)
            return RECEIVE
        choice = ctx.random.below(12)
        to = self.target(ctx)
        if choice < 3:
            for _ in range(ctx.random.below(12)):
                ctx.send(to, Add(choice), notify=7 if choice else None)
        elif choice == 3:
            return Call(to, Ask(choice), timeout=0.05)
        elif choice == 4:
            return CallAll([Call(self.target(ctx), Ask(number)) for number in range(3)], timeout=0.05)
        elif choice == 5:
            return Push(to, Add(1), timeout=0.05)
        elif choice == 6:
            ctx.monitor(to) if ctx.random.below(3) == 0 else ctx.request(to, Ask(9), timeout=0.02)
        elif choice == 7:
            ctx.publish("all", Told(ctx.self, ctx.random.randbytes(ctx.random.below(200))))
        elif choice == 8:
            return Sleep(ctx.random.below(20) / 1000)
        elif choice == 9:
            return Continue(Add(1))
        elif choice == 10 and self.crashes and ctx.random.below(4) == 0:
            raise RuntimeError("a crash of its own")
        elif choice == 11 and self.crashes and ctx.random.below(6) == 0:
            return DONE
        else:
            ctx.send(to, Told(ctx.self))
        return RECEIVE


class Sink(Isolate):
    """Takes everything, slowly at times."""

    mailbox_capacity = 4

    def handle(self, ctx: Context, message: Any) -> Effect:
        return Sleep(0.002) if ctx.random.below(3) == 0 else RECEIVE


def busy_tree(place: Place) -> Supervisor:
    crashes = place.settings.get("crashes", "yes") == "yes"
    children = [Child(f"busy{n}", Busybody, n, place.cores, crashes, name=f"busy{n}") for n in range(3)]
    return Supervisor("root", [*children, Child("sink", Sink, name="sink")], intensity=100_000, period=1.0)


SMALL = Bounds(link_messages=32, opening_messages=8, pool_messages=64)
busy = Application("busy", tree=busy_tree, bounds=SMALL)


# --- sockets, files, offload ---


class Echo(Isolate):
    """Echoes one connection and logs what it echoes, synced."""

    def start(self, ctx: Context) -> Effect:
        return Continue(Beat())

    def listening(self, ctx: Context, outcome: Any) -> Effect:
        self.listener = outcome.listener
        return Open(f"core-{ctx.place.core}/log", "a", then=self.opened)

    def opened(self, ctx: Context, outcome: Any) -> Effect:
        self.log = outcome.stream
        return Accept(self.listener, then=self.accepted)

    def accepted(self, ctx: Context, outcome: Any) -> Effect:
        self.stream = outcome.stream
        return Read(self.stream, then=self.received)

    def received(self, ctx: Context, outcome: Any) -> Effect:
        self.data = getattr(outcome, "data", b"")
        if not self.data:
            return Accept(self.listener, then=self.accepted)
        return Write(self.log, self.data, then=self.logged)

    def logged(self, ctx: Context, outcome: Any) -> Effect:
        return Sync(self.log, then=self.synced)

    def synced(self, ctx: Context, outcome: Any) -> Effect:
        if type(outcome).__name__ == "Failed":
            raise OSError("the log is not safe")
        return Offload(work, len(self.data), then=self.worked)

    def worked(self, ctx: Context, outcome: Any) -> Effect:
        return Write(self.stream, self.data, then=self.echoed)

    def echoed(self, ctx: Context, outcome: Any) -> Effect:
        return Read(self.stream, then=self.received)

    def handle(self, ctx: Context, message: Any) -> Effect:
        return Listen("0.0.0.0", 7, then=self.listening)


class Talker(Isolate):
    """Connects to the echo of its node again and again."""

    def start(self, ctx: Context) -> Effect:
        return Continue(Beat())

    def dial(self, ctx: Context, outcome: Any) -> Effect:
        return Connect("127.0.0.1", 7, timeout=1.0, then=self.connected)

    def connected(self, ctx: Context, outcome: Any) -> Effect:
        stream = getattr(outcome, "stream", None)
        if stream is None:
            return Sleep(0.05, then=self.dial)
        self.stream = stream
        return Write(stream, ctx.random.randbytes(1 + ctx.random.below(3000)), then=self.written)

    def written(self, ctx: Context, outcome: Any) -> Effect:
        return Read(self.stream, timeout=1.0, then=self.heard)

    def heard(self, ctx: Context, outcome: Any) -> Effect:
        raise ConnectionError("enough of it") if ctx.random.below(4) == 0 else EOFError("done with this one")

    def handle(self, ctx: Context, message: Any) -> Effect:
        return Sleep(0.01, then=self.dial)


def echo_tree(place: Place) -> Supervisor:
    return Supervisor("root", [Child("echo", Echo), Child("talker", Talker)], intensity=100_000, period=1.0)


echoing = Application("echoing", tree=echo_tree)


def everything_tree(place: Place) -> Supervisor:
    children = [*busy_tree(place).children, *echo_tree(place).children]
    return Supervisor("root", children, intensity=100_000, period=1.0)


everything = Application("everything", tree=everything_tree, bounds=SMALL)
