"""How a leak is planted: an isolate whose messages depend on something that the seed does not decide.

The line that an audit must name ends in `# LEAK`. One that no audit is expected to see says why in `hidden`.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

from regrove import RECEIVE, Application, Child, Effect, Isolate, Place, Supervisor, message
from regrove.node.core.context import Context


@message
class Seen:
    text: str


@message
class Tick:
    pass


class Sink(Isolate):
    """Gets what was read: its trace holds the digest of it."""

    def handle(self, ctx: Context, message: Any) -> Effect:
        return RECEIVE


class Planted(Isolate):
    """Sends what `read` gives, each 10 ms."""

    hidden: ClassVar[str] = ""
    elsewhere: ClassVar[object] = None  # the class or function outside that holds the line

    def start(self, ctx: Context) -> Effect:
        ctx.send_every(0.01, Tick())
        return RECEIVE

    def read(self, ctx: Context) -> object:
        raise NotImplementedError

    def handle(self, ctx: Context, message: Any) -> Effect:
        ctx.send("sink", Seen(str(self.read(ctx))))
        return RECEIVE


def app_of(kind: type[Planted]) -> Application:
    def tree(place: Place) -> Supervisor:
        return Supervisor("root", [Child("sink", Sink, name="sink"), Child("planted", kind)])

    return Application("planted", tree=tree)


def marked_lines(kind: type[Planted]) -> list[int]:
    """The lines of a leak that end in the mark."""
    held: Any = kind.elsewhere or kind
    lines, first = inspect.getsourcelines(held)
    return [first + at for at, line in enumerate(lines) if line.rstrip().endswith("# LEAK")]


class Thing:
    """An object with an identity and nothing else to be told by."""

    def __init__(self, number: int) -> None:
        self.number = number
