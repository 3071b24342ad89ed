"""A `ctx` that carries nothing out: it keeps what the isolate did, and answers as a script says."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from regrove.node.core import messages
from regrove.node.core.address import Address, Caller, Home, Name
from regrove.node.core.application import Place
from regrove.node.core.context import Context
from regrove.node.core.effects import Await, Call, Offload, Target, Wait, is_delay
from regrove.node.core.errors import Misuse, NotInHandler
from regrove.node.core.handles import Listener, Stream, Ticket, Timer
from regrove.node.core.randomness import Random
from regrove.node.core.sent import OK, Sent
from regrove.node.core.spawning import SpawnRefused
from regrove.supervisor.reasons import Reason
from regrove.supervisor.spec import Child

HOME: Final = Home("playbook@here", 1, 0, 1)
UNSAID: Final = object()


@dataclass(frozen=True)
class Action:
    """One call of a method of `ctx`: equal when method and arguments are. Made by `did`."""

    method: str
    arguments: tuple[tuple[str, Any], ...]
    answer: Any = field(default=UNSAID, compare=False)

    def gives(self, answer: Any) -> Action:
        """Say what the call answers in a Playbook, e.g. `did.send("log", Line("x")).gives(Sent.MAILBOX_FULL)`."""
        return Action(self.method, self.arguments, answer)

    def __repr__(self) -> str:
        return f"did.{self.method}({', '.join(f'{name}={value!r}' for name, value in self.arguments)})"


class Did:
    """Names the actions of a script: `did.send("log", Line("x"))` equals what `ctx.send("log", Line("x"))` leaves."""

    def __getattr__(self, method: str) -> Callable[..., Action]:
        """Give the maker of one method's actions; the arguments are those of `ctx`'s method."""
        if method not in ACTIONS:
            raise AttributeError(f"ctx has no action {method!r}; a Playbook knows {', '.join(ACTIONS)}")
        return lambda *args, **kwargs: _action(method, args, kwargs)


def _action(method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Action:
    bound = inspect.signature(getattr(Context, method)).bind(None, *args, **kwargs)
    named = list(bound.arguments.items())[1:]
    return Action(method, tuple((name, value) for name, value in named if value is not None))


ACTIONS: Final = (
    "send", "publish", "begin", "request", "offload", "cancel", "reply", "send_after", "send_every", "spawn",
    "monitor", "demonitor", "link", "unlink", "exit", "register", "join", "leave", "give",
)  # fmt: skip
did: Final = Did()


class RecordingLog:
    """Stands for structlog's logger; keeps (level, event, fields)."""

    def __init__(self, lines: list[tuple[str, str, dict[str, Any]]]) -> None:
        self._lines = lines

    def __getattr__(self, level: str) -> Callable[..., None]:
        """Give the method of one level."""
        return lambda event, **fields: self._lines.append((level, event, fields))

    def bind(self, **fields: Any) -> RecordingLog:
        """Bound fields are not kept."""
        return self


class RecordingContext(Context):
    """The `ctx` of a Playbook. Tickets and timers are numbered from 1, in the order in which they were asked for."""

    __slots__ = ("_live", "_numbers", "_random", "caller_now", "expected", "groups", "lines", "names", "ns", "seen")

    def __init__(self, names: Mapping[str, Address], groups: Mapping[str, Sequence[Address]], seed: int) -> None:
        self.names = dict(names)
        self.groups = {group: list(members) for group, members in groups.items()}
        self.ns = 0
        self.lines: list[tuple[str, str, dict[str, Any]]] = []
        self.seen: list[Action] = []
        self.expected: Iterator[Action] = iter(())
        self.caller_now: Caller | None = None
        self._random = Random(seed)
        self._numbers = 0
        self._live = False

    def enter(self, expected: Sequence[Action]) -> None:
        """Begin a callback; `expected` are the actions the script has for it, for their answers."""
        self.seen = []
        self.expected = iter(expected)
        self._live = True

    def leave_callback(self) -> list[Action]:
        """End the callback and give what was done in it."""
        self._live = False
        return self.seen

    def _misplaced(self) -> NoReturn:
        raise NotInHandler("ctx was used outside the callback it was handed to: keep ctx.self instead")

    def _check(self) -> None:
        if not self._live:
            self._misplaced()

    def _record(self, method: str, default: Any, *args: Any) -> Any:
        self._check()
        action = _action(method, args, {})
        self.seen.append(action)
        planned = next(self.expected, None)
        if planned is None or planned != action or planned.answer is UNSAID:
            return default
        return planned.answer

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _target(self, to: object) -> None:
        if not isinstance(to, Address | Name | str):
            raise Misuse(f"a message goes to an Address, a Name(str, node=str, core=int) or a str, got {to!r:.200}")

    # --- actions, as in Context --------------------------------------------------------------------------------------

    def send(self, to: Target, message: Any, notify: object = None) -> Sent:
        """Keep it; answers OK unless the script says otherwise."""
        self._target(to)
        return self._record("send", OK, to, travelled(message), notify)  # type: ignore[no-any-return]

    def publish(self, group: str, message: Any) -> int:
        """Keep it; answers the number of members."""
        members = len(self.groups.get(group, ()))
        return self._record("publish", members, group, travelled(message))  # type: ignore[no-any-return]

    def begin(self, wait: Wait) -> Ticket:
        """Keep it; its outcome is the script's to feed, with that ticket."""
        if not isinstance(wait, Wait) or type(wait) is Await:
            raise Misuse(f"begin takes a wait such as Call(...) or Read(...), and no Await; got {wait!r}")
        return self._record("begin", Ticket(self._number()), wait)  # type: ignore[no-any-return]

    def request(self, to: Target, message: Any, timeout: float | None = 5.0) -> Ticket:
        """Keep it as `did.begin(Call(to, message))`."""
        self._target(to)
        return self.begin(Call(to, travelled(message), timeout=timeout))

    def offload(self, function: Any, *args: Any, timeout: float | None = 60.0) -> Ticket:
        """Keep it as `did.begin(Offload(function, *args))`."""
        return self.begin(Offload(function, *args, timeout=timeout))

    def cancel(self, ticket: Ticket) -> bool:
        """Keep it; answers True."""
        if not isinstance(ticket, Ticket):
            raise Misuse(f"cancel takes a ticket or a timer, as begin, monitor and send_after give; got {ticket!r}")
        return self._record("cancel", True, ticket)  # type: ignore[no-any-return]

    @property
    def caller(self) -> Caller | None:
        """Who waits for the answer to the request in hand."""
        self._check()
        return self.caller_now

    def reply(self, caller: Caller, value: Any) -> None:
        """Keep it."""
        if type(caller) is not Caller:
            raise Misuse(f"reply takes what ctx.caller gave, got {caller!r}")
        self._record("reply", None, caller, travelled(value))

    def _timer(self, method: str, delay: float, message: Any, to: Target | None) -> Timer:
        if not is_delay(delay) or (method == "send_every" and delay == 0):
            raise Misuse(f"ctx.{method} takes seconds, got {delay!r}")
        return self._record(method, Timer(self._number()), delay, travelled(message), to)  # type: ignore[no-any-return]

    def send_after(self, delay: float, message: Any, to: Target | None = None) -> Timer:
        """Keep it; the message is the script's to feed."""
        return self._timer("send_after", delay, message, to)

    def send_every(self, period: float, message: Any, to: Target | None = None) -> Timer:
        """Keep it; the messages are the script's to feed."""
        return self._timer("send_every", period, message, to)

    def spawn(self, child: Child, under: Target | None = None) -> Address | SpawnRefused:
        """Keep it; answers an address of its own for each child."""
        if not isinstance(child, Child):
            raise Misuse(f"spawn takes a Child(id, factory, ...), got {child!r}")
        return self._record("spawn", Address(HOME, self._number(), 0), child, under)  # type: ignore[no-any-return]

    def monitor(self, to: Target) -> Ticket:
        """Keep it; the Down is the script's to feed."""
        self._target(to)
        return self._record("monitor", Ticket(self._number()), to)  # type: ignore[no-any-return]

    def demonitor(self, ticket: Ticket) -> bool:
        """Keep it; answers True."""
        return self._record("demonitor", True, ticket)  # type: ignore[no-any-return]

    def link(self, to: Target) -> None:
        """Keep it."""
        self._target(to)
        self._record("link", None, to)

    def unlink(self, to: Address) -> None:
        """Keep it."""
        self._record("unlink", None, to)

    def exit(self, to: Target, reason: Reason) -> None:
        """Keep it."""
        if not isinstance(reason, Reason):
            raise Misuse(f"exit takes a reason such as Shutdown() or Kill(), got {reason!r}")
        self._record("exit", None, to, reason)

    def register(self, name: str) -> bool:
        """Keep it; answers True."""
        return self._record("register", True, name)  # type: ignore[no-any-return]

    def join(self, group: str) -> None:
        """Keep it."""
        self._record("join", None, group)

    def leave(self, group: str) -> None:
        """Keep it."""
        self._record("leave", None, group)

    def give(self, stream: Stream, to: Target) -> Sent:
        """Keep it; answers OK."""
        if not isinstance(stream, Stream | Listener):
            raise Misuse(f"give takes a stream from an outcome such as Accepted or Connected, got {stream!r}")
        return self._record("give", OK, stream, to)  # type: ignore[no-any-return]

    # --- what it is told, and is not kept ----------------------------------------------------------------------------

    def now(self) -> int:
        """Monotonic ns, moved by `Elapsed` only."""
        self._check()
        return self.ns

    def wall_time(self) -> int:
        """The same as `now`."""
        return self.now()

    def whereis(self, name: Name | str) -> Address | None:
        """The holder of a name, as the Playbook was told."""
        self._check()
        return self.names.get(name if isinstance(name, str) else name.name)

    def members(self, group: str) -> list[Address]:
        """The members of a group, as the Playbook was told."""
        self._check()
        return list(self.groups.get(group, ()))

    @property
    def self(self) -> Address:
        """The address of the isolate under test."""
        return Address(HOME, 0, 0)

    @property
    def path(self) -> str:
        """The path of the isolate under test."""
        return "playbook"

    @property
    def place(self) -> Place:
        """One core of one node."""
        return Place(HOME.node, 0, 1)

    @property
    def random(self) -> Random:
        """Random numbers of the Playbook's seed."""
        self._check()
        return self._random

    @property
    def log(self) -> RecordingLog:
        """A logger whose lines are kept, and not compared."""
        return RecordingLog(self.lines)

    def buggify(self, point: str) -> bool:
        """Never."""
        self._check()
        return False

    def sometimes(self, name: str, condition: bool = True) -> None:
        """Nobody counts here."""
        self._check()

    def __repr__(self) -> str:
        return "<ctx of a playbook>"


def travelled(value: Any) -> Any:
    """Give what arrives: nothing shared with the sender. Raises UnsendableValue for what does not travel."""
    messages.check(value)
    return messages.decode(messages.encode(value))
