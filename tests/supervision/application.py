"""The application of the hard cases: one tree for all, run in simulation and by a real node."""

from __future__ import annotations

from typing import Any

from regrove import (
    DONE,
    RECEIVE,
    Address,
    Application,
    Bounds,
    Call,
    Child,
    Context,
    Continue,
    Crash,
    Done,
    Down,
    DynamicSupervisor,
    Effect,
    Isolate,
    Kill,
    Name,
    Place,
    Reply,
    Sent,
    Sleep,
    Supervisor,
    TerminateChild,
    WhichChildren,
    message,
)

NESTED = 1_000
DYNAMIC = 10_000
DEEPEST = 10


@message
class Note:
    """A line for the ledger; `counted`: how often it was noted is to be answered."""

    line: str
    counted: bool = False


@message
class Lines:
    prefix: str


@message
class Do:
    """For the hand: `what` is to be done to `name` (under supervisor `above`)."""

    what: str
    name: str
    above: str = "top"


@message
class Outcomes:
    pass


@message
class Die:
    pass


@message
class Ping:
    pass


class Ledger(Isolate):
    """Counts what is noted, for as long as the node lives."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Note(line, counted):
                self.lines.append(line)
                return Reply(self.lines.count(line)) if counted else RECEIVE
            case Lines(prefix):
                return Reply([line for line in self.lines if line.startswith(prefix)])
        return RECEIVE


class Worker(Isolate):
    """Notes its starts and stops; starts number `first` to `last` fail."""

    def __init__(self, id: str, first: int = 0, last: int = 0, slow: float = 0.0) -> None:
        self.id = id
        self.failing = range(first, last + 1) if first else range(0)
        self.slow = slow

    def start(self, ctx: Context) -> Effect:
        return Call("ledger", Note(f"start {self.id}", counted=True), then=self.counted)

    def counted(self, ctx: Context, outcome: Any) -> Effect:
        return Crash("not yet") if outcome.value in self.failing else RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Die():
                return Crash("told to")
            case Ping():
                return Reply(ctx.self)
        return RECEIVE

    def stop(self, ctx: Context, reason: Any) -> Effect:
        ctx.send("ledger", Note(f"stop {self.id}"))
        return Sleep(self.slow, then=self.stopped) if self.slow else DONE

    def stopped(self, ctx: Context, outcome: Any) -> Effect:
        return DONE


class Doomed(Isolate):
    """Notes that it started, and crashes."""

    def start(self, ctx: Context) -> Effect:
        ctx.send("ledger", Note("doomed"))
        return Continue(Die())

    def handle(self, ctx: Context, message: Any) -> Effect:
        return Crash("always")


class Member(Isolate):
    """One of many: joins the group, crashes when the group is told to."""

    def start(self, ctx: Context) -> Effect:
        ctx.join("members")
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        return Crash("told to") if message == Die() else RECEIVE


class Stuffed(Isolate):
    """Takes one message and is busy with it for an hour; one more waits, and the mailbox is full."""

    mailbox_capacity = 1

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Ping():
                return Reply(ctx.self)
        return Sleep(3_600.0)

    def stop(self, ctx: Context, reason: Any) -> Effect:
        return DONE


class Heap(Stuffed):
    """Takes one message and lets all others wait, more of them than the core may hold."""

    mailbox_capacity = 1_000_000


class Hand(Isolate):
    """Does from inside what a story asks for, and keeps what came of it."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []
        self.left = 0
        self.watched: Address | None = None

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Do("terminate", name, above):
                ctx.request(above, TerminateChild(name), timeout=60.0)
            case Do("kill", name):
                ctx.exit(name, Kill())
            case Do("kill later", name):
                ctx.send_after(2.0, Do("kill", name))
                return Reply(None)
            case Do("watch", name):
                self.watched = ctx.whereis(name)
                assert self.watched is not None
                ctx.monitor(self.watched)
                ctx.send(self.watched, Die())
            case Do("spawn", _):
                return self.spawn(ctx, DYNAMIC)
            case Do("publish", group):
                ctx.publish(group, Die())
            case Do("ask", name):
                ctx.request(name, WhichChildren())
            case Do("fill", name):
                return Reply(self.fill(ctx, name))
            case Down():
                holder = ctx.whereis("phoenix")
                self.outcomes.append("free" if holder is None else "dead" if holder == self.watched else "new life")
                return Call("phoenix", Ping(), then=self.answered)
            case Do("forget", _):
                self.outcomes.clear()
                return Reply(None)
            case Outcomes():
                return Reply(list(self.outcomes))
            case _:
                self.outcomes.append(type(message).__name__)
        return RECEIVE

    def spawn(self, ctx: Context, count: int) -> Effect:
        for number in range(count):
            assert ctx.spawn(Child(f"m{number}", Member), under="pool")
        return RECEIVE

    def fill(self, ctx: Context, name: str) -> list[str]:
        """Send to `name`, here or on core 1, until each queue on the way has said that it is full."""
        said: list[Sent] = []
        target = Name(name, core=1 - ctx.place.core) if name == "far" else Name(name)
        while not said or said[-1] is Sent.OK:
            said.append(ctx.send(target, Note("x")))
            assert len(said) < 100_000
        return [said[-1].name]

    def answered(self, ctx: Context, outcome: Any) -> Effect:
        value = getattr(outcome, "value", None)
        self.outcomes.append("new life" if value not in (None, self.watched) else f"{outcome!r}")
        return RECEIVE


class Registrar(Isolate):
    """Takes its name by itself, in its start: refused, its start fails."""

    def start(self, ctx: Context) -> Effect:
        if not ctx.register("registrar"):
            return Crash("the name is taken")
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Die():
                return Crash("told to")
            case Ping():
                return Reply(ctx.self)
        return Done()


def nested(depth: int, leaf: Child, **options: Any) -> Any:
    """`leaf` below `depth` supervisors."""
    tree: Any = leaf
    for level in range(depth):
        tree = Supervisor(f"level{level}", [tree], **options)
    return tree


def boss() -> Supervisor:
    """Its first child takes an hour to stop, and is given as long as it takes."""
    slow = Child("slow", Worker, "slow", kwargs={"slow": 3_600.0}, shutdown="infinity")
    return Supervisor("boss", [slow, Child("quick", Worker, "quick")], name="boss", restart="temporary")


def storm(id: str, intensity: int, last: int) -> Supervisor:
    members = [Child(f"{id}{n}", Worker, f"{id}{n}", 2 if n == 2 else 0, last, name=f"{id}{n}") for n in range(3)]
    return Supervisor(id, members, strategy="one_for_all", intensity=intensity, name=id, restart="transient")


def tree(place: Place) -> Supervisor:
    tower = nested(NESTED, Child("leaf", Worker, "leaf", name="leaf"), intensity=0)
    loop = Child("loop", Worker, "loop", 2, 1_000_000, name="loop")
    children: list[Child | Supervisor | DynamicSupervisor] = [
        Child("ledger", Ledger, name="ledger"),
        Child("hand", Hand, name="hand"),
        storm("calm", 20, 7),  # its third member fails from its second start to its seventh
        storm("wild", 3, 7),
        Supervisor("retrying", [Child("still", Worker, "still"), loop], intensity=1_000_000, name="retrying"),
        Supervisor(
            "names",
            [Child("phoenix", Worker, "phoenix", name="phoenix"), Child("registrar", Registrar)],
            intensity=1_000,
            name="names",
        ),
        Supervisor("tower", [tower], intensity=0, restart="transient", name="tower"),
        DynamicSupervisor("towers", name="towers"),
        DynamicSupervisor("pool", name="pool", intensity=DYNAMIC, max_children=DYNAMIC),
        Supervisor(
            "full",
            [
                Child("near", Stuffed, name="near"),
                Child("far", Stuffed, name="far"),
                Child("heap", Heap, name="heap"),
            ],
            name="full",
        ),
    ]
    return Supervisor("root", children, name="top")


app = Application("hard cases", tree=tree, bounds=Bounds(pool_messages=20_000))
