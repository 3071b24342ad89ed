"""Two cores for the tests of children elsewhere, and what runs there: classes, because only those can be sent."""

from __future__ import annotations

from typing import Any

from regrove import (
    DONE,
    IGNORE,
    RECEIVE,
    Call,
    Child,
    Crash,
    Isolate,
    Replied,
    Reply,
    Sleep,
    Supervisor,
    WhichChildren,
)
from tests.core.bench import script
from tests.core.pair import Host, Pair


class Worker(Isolate):
    """Counts its messages; ends as it is told to."""

    def __init__(self, first: int = 0, words: tuple[str, ...] = ()) -> None:
        self.first = first
        self.words = words
        self.seen: list[Any] = []

    def handle(self, ctx: Any, message: Any) -> Any:
        self.seen.append(message)
        match message:
            case "crash":
                raise ValueError("told to")
            case "done":
                return DONE
            case ("spawn", child):
                self.seen.append(ctx.spawn(child))
            case "who":
                return Reply(ctx.self)
        return RECEIVE


class Stubborn(Worker):
    """Does not stop when it is asked to."""

    def stop(self, ctx: Any, reason: Any) -> Any:
        return RECEIVE


class FailsToStart(Isolate):
    """A `start` that fails."""

    def start(self, ctx: Any) -> Any:
        return Crash("no luck")


class Ignores(Isolate):
    """A `start` that ignores."""

    def start(self, ctx: Any) -> Any:
        return IGNORE


class SlowStart(Worker):
    """A `start` that takes a second."""

    def start(self, ctx: Any) -> Any:
        return Sleep(1.0, then=self.up)

    def up(self, ctx: Any, outcome: Any) -> Any:
        return RECEIVE


class AsksItsSupervisor(Worker):
    """Calls its own supervisor inside `start`."""

    def __init__(self, supervisor: Any) -> None:
        super().__init__()
        self.supervisor = supervisor

    def start(self, ctx: Any) -> Any:
        return Call(self.supervisor, WhichChildren(), then=self.answered)

    def answered(self, ctx: Any, outcome: Any) -> Any:
        self.seen.append(outcome)
        return RECEIVE


GUEST = "guests/n@h/0/root/s/w"
LEASE = 5.5  # seconds after which an owner takes a child for lost


def elsewhere(*children: Any, **options: Any) -> Pair:
    """Supervisor `s` of core 0 with `children`; core 1 has nothing of its own."""
    log: list[Any] = []
    pair = Pair([Supervisor("s", list(children), **options), caller(log)], [])
    pair.log = log  # type: ignore[attr-defined]
    return pair


def caller(log: list[Any]) -> Any:
    """An isolate that makes the calls it is told of, and keeps the answers."""

    def call(self: Any, ctx: Any, message: Any) -> Any:
        return Call(message[1], message[2], timeout=30.0)

    return Child("caller", script(log, tuple=call))


def ask(pair: Pair, request: object, seconds: float = 0.3, path: str = "root/s") -> Any:
    """Call the supervisor `s`, and give its answer."""
    log: list[Any] = pair.log  # type: ignore[attr-defined]
    before = len(log)
    pair.tell(pair.a, "root/caller", ("call", pair.a.address(path), request), seconds)
    answers = [item for item in log[before:] if isinstance(item, Replied)]
    assert len(answers) == 1, log[before:]
    return answers[0].value


def lives(host: Host, path: str = GUEST) -> bool:
    return any(cell is not None and cell.path == path for cell in host.core.cells)


def reports(host: Host) -> list[Any]:
    return [fields for event, fields in host.log.lines if event == "supervisor"]


def row_of(pair: Pair) -> Any:
    """What the supervisor `s` knows of its one child."""
    node = pair.a.cell("root/s").supervising
    assert node is not None
    (row,) = node.machine.children()
    return row


def worker(**options: Any) -> Child:
    return Child("w", Worker, 7, core=1, **options)


def cut(pair: Pair, *ways: tuple[str, str]) -> None:
    for source, target in ways:
        pair.network.cut(source, target)
