"""What the tests of children on other cores run: importable classes, because only those can be started elsewhere."""

from __future__ import annotations

from typing import Any

from regrove import DONE, IGNORE, RECEIVE, Call, Crash, Isolate, Reply, Sleep, WhichChildren


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
