"""A script for one isolate or one supervisor: what happens to it, and all that it is to do about it.

Playbook(Counter(10)) << START >> RECEIVE << Add(5) >> RECEIVE << Asked(Total()) >> Reply(15)

`<<` lets something happen, `>>` says what comes of it, in order: the actions on `ctx`, such as
`did.send("log", Line("x"))`, then the effect. Nothing runs before `assert playbook` (or `playbook.check()`, or the end
of a `with` block), which raises AssertionError with a diff where the script and the truth part. Under pytest a test
that built one and never asserted it fails.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Final, Self

from regrove.node.core.address import Address, Caller
from regrove.node.core.effects import IGNORE, Await, Continue, Crash, Done, Effect, Receive, Reply, Wait
from regrove.node.core.errors import Misuse
from regrove.node.core.isolate import Isolate
from regrove.node.core.outcomes import Outcome
from regrove.node.simulation import ledger
from regrove.node.simulation.recording import HOME, Action, RecordingContext, travelled
from regrove.supervisor.machine import Machine, UnexpectedEventError
from regrove.supervisor.reasons import Crashed, Reason, Shutdown
from regrove.supervisor.spec import DynamicSupervisor, Supervisor


@dataclass(frozen=True, slots=True)
class Starting:
    """The isolate's `start` runs; use the constant `START`."""

    def __repr__(self) -> str:
        return "START"


START: Final = Starting()


@dataclass(frozen=True, slots=True)
class Stopping:
    """The isolate is asked to stop: its `stop` runs with `reason`."""

    reason: Reason = Shutdown()


@dataclass(frozen=True, slots=True)
class Asked:
    """A message that somebody waits for the answer to; a plain message is one that was sent."""

    message: Any


@dataclass(frozen=True, slots=True)
class Elapsed:
    """Time passes, in seconds; nothing else happens."""

    seconds: float


class Held:
    """Stands for a value not known yet: equal to the first one it meets, and to that one only from then on."""

    def __init__(self) -> None:
        self._values: list[Any] = []

    @property
    def value(self) -> Any:
        """What it met. Raises Misuse before."""
        if not self._values:
            raise Misuse("this Held() stands in no action that came before: it has no value yet")
        return self._values[0]

    def __eq__(self, other: object) -> bool:
        if not self._values:
            self._values.append(other)
        return bool(self._values[0] == other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Held({self._values[0]!r})" if self._values else "Held()"


def _filled(event: Any) -> Any:
    """Put what was held into the fields of an event."""
    if not is_dataclass(event) or isinstance(event, type):
        return event
    held = {f.name: getattr(event, f.name) for f in fields(event) if f.init}
    known = {name: value.value for name, value in held.items() if isinstance(value, Held)}
    return replace(event, **known) if known else event


class IsolatePlay:
    """Feeds an isolate its events, by the rules a core has."""

    def __init__(self, isolate: Isolate, ctx: RecordingContext) -> None:
        self.isolate = isolate
        self.ctx = ctx
        self.effect: Effect | None = None  # what it became last
        self.ended = False
        self.starting = False
        self.stopping = False
        self._callers = 0

    def give(self, event: Any, expected: Sequence[Any]) -> list[Any]:
        """Let `event` happen and give what came of it."""
        if isinstance(event, Elapsed):
            self.ctx.ns += round(event.seconds * 1_000_000_000)
            return []
        self._check(event)
        callback, argument = self._callback(event)
        self.ctx.enter([item for item in expected if isinstance(item, Action)])
        try:
            effect = callback(self.ctx) if argument is None else callback(self.ctx, *argument)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            effect = Crashed(type(error).__name__, str(error))
        finally:
            done = self.ctx.leave_callback()
        return [*done, self._become(effect, event)]

    def _check(self, event: Any) -> None:
        """Refuse what no core would let happen now."""
        if self.ended:
            raise AssertionError(f"{event!r} cannot happen: the isolate has ended with {self.effect!r}")
        if event == START and self.effect is not None:
            raise AssertionError("START is the first event of a life, if it is there at all")
        if event == START:
            self.starting = True
            return
        if isinstance(event, Stopping):
            if self.starting or self.stopping:
                when = (
                    "asked in its start ends with no callback" if self.starting else "asked before hears no more of it"
                )
                raise AssertionError(f"{event!r} has nothing to show: an isolate {when}")
            self.stopping = True
            return
        if isinstance(self.effect, Continue) and event != self.effect.message:
            raise AssertionError(f"{event!r} cannot happen: after {self.effect!r} its message comes first")
        if isinstance(self.effect, Await):
            ticket = getattr(event, "ticket", None)
            if self.effect.tickets and ticket is not None and ticket not in self.effect.tickets:
                raise AssertionError(f"{event!r} cannot happen: {self.effect!r} takes its own tickets only")
        elif isinstance(self.effect, Wait) and not (isinstance(event, Outcome) and event.ticket is None):
            raise AssertionError(f"{event!r} cannot happen: {self.effect!r} takes no mail, its outcome comes first")
        elif isinstance(event, Outcome) and event.ticket is None and not isinstance(self.effect, Wait):
            raise AssertionError(f"{event!r} cannot happen: nothing was waited for; give it the ticket it belongs to")

    def _callback(self, event: Any) -> tuple[Any, tuple[Any, ...] | None]:
        if event == START:
            return self.isolate.start, None
        if isinstance(event, Stopping):
            return self.isolate.stop, (event.reason,)
        waited = self.effect
        if isinstance(waited, Wait) and waited.then is not None:
            return waited.then, (event,)
        if isinstance(event, Asked):
            self._callers += 1
            self.ctx.caller_now = Caller(HOME, self._callers)
            return self.isolate.handle, (travelled(event.message),)
        if isinstance(waited, Wait | Continue) or not _is_mail(event):
            return self.isolate.handle, (event,)
        self.ctx.caller_now = None
        return self.isolate.handle, (travelled(event),)

    def _become(self, effect: Any, event: Any) -> Any:
        if not isinstance(effect, Effect | Crashed):
            effect = Crashed("Crash", f"{effect!r} was returned for {event!r}, which is no effect")
        elif isinstance(effect, Reply) and self.ctx.caller_now is None:
            effect = Crashed("Crash", f"{effect!r} was returned with no request in hand: only Asked(...) is one")
        elif effect is IGNORE and event != START:
            effect = Crashed("Crash", "IGNORE was returned outside of start")
        after = effect
        if isinstance(effect, Reply):
            after = effect.effect
        if isinstance(effect, Reply | Receive):
            self.ctx.caller_now = None
        self.starting = self.starting and isinstance(after, Wait) and after.then is not None
        self.effect = after
        self.ended = isinstance(after, Done | Crash | Crashed) or after is IGNORE
        return effect


def _is_mail(event: Any) -> bool:
    """Tell a message from what the runtime makes (outcomes, Down, Exit, Undelivered, Given)."""
    return type(event).__module__ != Outcome.__module__


class SupervisorPlay:
    """Feeds a supervisor's machine the events of `regrove.supervisor.events`; what it gives are its actions."""

    def __init__(self, spec: Supervisor | DynamicSupervisor) -> None:
        self.machine = Machine(spec)
        self.now = 0

    def give(self, event: Any, expected: Sequence[Any]) -> list[Any]:
        """Let `event` happen and give the machine's actions."""
        if isinstance(event, Elapsed):
            self.now += round(event.seconds * 1_000_000_000)
            return []
        try:
            return list(self.machine.decide(event, self.now))
        except UnexpectedEventError as error:
            raise AssertionError(str(error)) from error


class Playbook:
    """A script of one isolate (`Playbook(Counter(10))`) or supervisor (`Playbook(Supervisor("s", [...]))`).

    `names` and `groups` are what `ctx.whereis` and `ctx.members` answer, `seed` that of `ctx.random`. `logs` are the
    lines an isolate wrote. `unittest.mock.ANY` and `Held()` may stand for a value. Raises Misuse for anything else.
    """

    def __init__(
        self,
        subject: Isolate | Supervisor | DynamicSupervisor,
        *,
        names: Mapping[str, Address] | None = None,
        groups: Mapping[str, Sequence[Address]] | None = None,
        seed: int = 0,
    ) -> None:
        self._steps: list[tuple[Any, list[Any]]] = []
        self._run = 0  # how many of them have been asserted
        self._story: list[str] = []  # the lines of those
        self._failed = False
        self.logs: list[tuple[str, str, dict[str, Any]]] = []
        self._play: IsolatePlay | SupervisorPlay
        if isinstance(subject, Isolate):
            ctx = RecordingContext(names or {}, groups or {}, seed)
            self.logs = ctx.lines
            self._play = IsolatePlay(subject, ctx)
        elif isinstance(subject, Supervisor | DynamicSupervisor):
            self._play = SupervisorPlay(subject)
        else:
            raise Misuse(f"Playbook takes an isolate such as Counter(10), or a supervisor's spec; got {subject!r:.200}")
        ledger.enter(self)

    def __lshift__(self, event: Any) -> Self:
        """Let `event` happen next."""
        self._steps.append((event, []))
        return self

    def __rshift__(self, expected: Any) -> Self:
        """Say what comes of the last event, after what was said before."""
        if len(self._steps) <= self._run:
            raise Misuse("`>>` says what comes of an event: write `<< event` before it")
        self._steps[-1][1].append(expected)
        return self

    def check(self) -> None:
        """Run what was added since the last check. Raises AssertionError with a diff at the first difference."""
        __tracebackhide__ = True
        if not self._steps:
            self._failed = True
            raise AssertionError("this Playbook says nothing: write playbook << event >> effect")
        while self._run < len(self._steps):
            event, expected = self._steps[self._run]
            self._run += 1
            self._step(event, expected)

    def _step(self, event: Any, expected: list[Any]) -> None:
        __tracebackhide__ = True
        self._failed = True
        event = _filled(event)
        actual = self._play.give(event, expected)
        same = len(actual) == len(expected) and all(_same(a, e) for a, e in zip(actual, expected, strict=True))
        before = [*self._story, f"<< {event!r}"]
        if not same:
            wanted = before + [f">> {item!r}" for item in expected]
            got = before + [f">> {item!r}" for item in actual]
            diff = "\n".join(line for line in difflib.ndiff(wanted, got) if not line.startswith("?"))
            raise AssertionError(f"the script (-) and what happened (+) part after {event!r}:\n{diff}")
        self._failed = False
        self._story = before + [f">> {item!r}" for item in actual]

    def __bool__(self) -> bool:
        """`assert playbook` is `playbook.check()`."""
        __tracebackhide__ = True
        self.check()
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is None:
            self.check()

    def debt(self) -> str | None:
        """Say what was not asserted, or None."""
        if self._failed or (self._steps and self._run == len(self._steps)):
            return None
        return f"{self!r} was built and never asserted: write `assert playbook`, or use it in a `with`"

    def __repr__(self) -> str:
        lines = " ".join(" ".join([f"<< {event!r}", *(f">> {e!r}" for e in items)]) for event, items in self._steps)
        return f"<Playbook {lines or '(empty)'}>"


def _same(actual: Any, expected: Any) -> bool:
    """Compare; where a crash happened, and a text left out of the script, are not compared."""
    if isinstance(actual, Crashed) and isinstance(expected, Crashed):
        return actual.type == expected.type and (not expected.text or bool(expected.text == actual.text))
    return bool(actual == expected)
