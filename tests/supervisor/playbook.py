"""A deterministic fake core for tests: carries a machine's actions out and keeps what it saw.

Children are told what to do by id: `starts={"a": ["up", "fail"]}` is what their starts come to, one after the other
("up", "fail", "ignore", "hang", "unplaced": its core is not there, or a reason to fail with; "up" when the list is used
up), `stops={"a": "hang"}` what an asked stop comes to ("obey", "hang", or a reason to end with). Its own rules are
asserted as it goes: one life a child, one answer a request,
nothing alive at the end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from regrove.supervisor import actions as do
from regrove.supervisor.events import (
    Begin,
    ChildEnded,
    ChildIgnored,
    ChildStarted,
    ChildStartFailed,
    Event,
    LimitReached,
    Request,
    Retry,
    StopAsked,
)
from regrove.supervisor.machine import Machine
from regrove.supervisor.reasons import Crashed, Killed, NoConnection, Reason, Shutdown
from regrove.supervisor.report import SupervisorReport
from regrove.supervisor.spec import DynamicSupervisor, Supervisor

SECOND = 1_000_000_000
BOOM = Crashed("Boom", "it broke", "app.py:7")
BAD_START = Crashed("BadStart")


class Worker:
    """A factory that nobody calls: the fake core only counts lives."""


class Playbook:
    """One supervisor on a fake core."""

    def __init__(
        self,
        spec: Supervisor | DynamicSupervisor,
        starts: Mapping[str, Sequence[str | Reason]] | None = None,
        stops: Mapping[str, str | Reason] | None = None,
        begin: bool = True,
    ) -> None:
        self.machine = Machine(spec)
        self.now = 1_000 * SECOND
        self.inbox: deque[Event] = deque()
        self.trace: list[str] = []
        self.reports: list[SupervisorReport] = []
        self.answers: dict[object, object] = {}
        self.limits: dict[int, int] = {}
        self.retries: dict[int, int | None] = {}  # when a delayed one is due; None: when its place is there
        self.lives: dict[int, tuple[str, int]] = {}  # key -> address of what is alive or in its start
        self.starting: dict[int, None] = {}
        self.up = False
        self.finished: Reason | None = None
        self.starts = {id: list(outcomes) for id, outcomes in (starts or {}).items()}
        self.stops = dict(stops or {})
        self.asked: list[do.AskStop] = []
        self._ids: dict[int, str] = {}
        self._births: dict[str, int] = {}
        self._tokens = 0
        if begin:
            self.give(Begin())

    # What a test does.

    def give(self, *events: Event) -> list[str]:
        """Put events into the inbox, serve it until nothing moves, and return what was done since."""
        self.inbox.extend(events)
        return self.run()

    def run(self) -> list[str]:
        seen = len(self.trace)
        while (event := self._next()) is not None:
            for action in self.machine.decide(event, self.now):
                self._carry_out(action)
            self.check()
        return self.trace[seen:]

    def check(self) -> None:
        """Look at everything after each event: for tests that have invariants."""

    def ends(self, id: str, reason: Reason = BOOM) -> Event:
        """Let a child die now; the event is for `give`, so that several can die before anything is served."""
        return self.key_ends(self.key(id), reason)

    def key_ends(self, key: int, reason: Reason) -> Event:
        assert key in self.lives, f"{key} does not live"
        assert key not in self.starting, f"{key} is in its start"
        del self.lives[key]
        return ChildEnded(key, reason)

    def started(self, id: str) -> Event:
        """Let a start that hangs succeed now; the event is for `give`."""
        return self.key_started(self.key(id))

    def key_started(self, key: int) -> Event:
        del self.starting[key]
        return ChildStarted(key, self.lives[key])

    def fails(self, id: str, reason: Reason = BAD_START) -> Event:
        """Let a start that hangs fail now; the event is for `give`."""
        return self.key_fails(self.key(id), reason)

    def key_fails(self, key: int, reason: Reason = BAD_START) -> Event:
        del self.starting[key], self.lives[key]
        return ChildStartFailed(key, reason)

    def crash(self, id: str, reason: Reason = BOOM) -> list[str]:
        return self.give(self.ends(id, reason))

    def request(self, request: object) -> Request:
        self._tokens += 1
        return Request(self._tokens, request)

    def call(self, request: object) -> Any:
        """Call the supervisor's API and return the answer, which must be there when nothing moves any more."""
        event = self.request(request)
        self.give(event)
        return self.answers[event.token]

    def stop(self, reason: Reason | None = None, budget: float | None = None) -> list[str]:
        return self.give(StopAsked(Shutdown() if reason is None else reason, budget))

    def wait(self, seconds: float) -> list[str]:
        """Let time pass, firing each limit at its moment."""
        seen, end = len(self.trace), self.now + round(seconds * SECOND)
        while due := [(at, token) for token, at in self._clocked() if at <= end]:
            at, token = min(due)
            self.now = max(self.now, at)
            if self.retries.pop(token, None) is None:
                del self.limits[token]
                self.give(LimitReached(token))
            else:
                self.give(Retry(token))
        self.now = end
        return self.trace[seen:]

    def _clocked(self) -> list[tuple[int, int]]:
        retries = [(token, at) for token, at in self.retries.items() if at is not None]
        return [*self.limits.items(), *retries]

    def place_is_there(self) -> list[str]:
        """The core that children wait for is there."""
        waiting = [token for token, at in self.retries.items() if at is None]
        for token in waiting:
            del self.retries[token]
        return self.give(*map(Retry, waiting))

    def key(self, id: str) -> int:
        """The key of the last child of this id."""
        return max(key for key, known in self._ids.items() if known == id)

    def address(self, id: str) -> tuple[str, int]:
        return self.lives[self.key(id)]

    @property
    def alive(self) -> list[str]:
        """The ids of the children that live, in start order of their slots."""
        return [address[0] for _, address in sorted(self.lives.items())]

    def contexts(self) -> list[tuple[str, str]]:
        return [(report.context, report.offender) for report in self.reports]

    # What the fake core does.

    def _next(self) -> Event | None:
        if self.machine.accepting:
            return self.inbox.popleft() if self.inbox else None
        for position, event in enumerate(self.inbox):
            if self.machine.awaits(event):
                del self.inbox[position]
                return event
        return None

    def _carry_out(self, action: do.Action) -> None:
        assert self.finished is None, f"{action} after Finish"
        match action:
            case do.StartChild(key, spec, _):
                self._start(key, spec.id)
            case do.AskStop(key):
                self.asked.append(action)
                self.trace.append(f"ask {self._ids[key]}")
                self._ask(key, action.reason)
            case do.KillChild(key):
                self.trace.append(f"kill {self._ids[key]}")
                self._end(key, Killed())
            case do.ArmLimit(token, seconds):
                assert token not in self.limits
                self.limits[token] = self.now + round(seconds * SECOND)
            case do.DisarmLimit(token):
                self.limits.pop(token, None)
                self.retries.pop(token, None)
            case do.QueueRetry(token, delay, place_of):
                assert Retry(token) not in self.inbox
                if place_of is not None:
                    self.retries[token] = None
                elif delay > 0:
                    self.retries[token] = self.now + round(delay * SECOND)
                else:
                    self.inbox.append(Retry(token))
            case do.Answer(token, value):
                assert token not in self.answers, "a request is answered once"
                self.answers[token] = value
            case do.Emit(report):
                self.reports.append(report)
            case do.Up():
                assert not self.up
                self.up = True
                self.trace.append("up")
            case do.Finish(reason):
                assert not self.lives, f"orphans: {self.lives}"
                assert not self.limits, f"armed limits: {self.limits}"
                assert not self.retries, f"retries that wait: {self.retries}"
                self.finished = reason
                self.trace.append("finish")
            case _:
                assert_never(action)

    def _start(self, key: int, id: str) -> None:
        assert key not in self.lives, f"two lives of {id}"
        waiting = [event for event in self.inbox if isinstance(event, ChildEnded) and event.key == key]
        assert not waiting, f"{id} is started again before its end was taken"
        self.trace.append(f"start {id}")
        self._ids[key] = id
        outcomes = self.starts.get(id)
        outcome = outcomes.pop(0) if outcomes else "up"
        self._births[id] = self._births.get(id, 0) + (outcome in ("up", "hang"))
        match outcome:
            case "up":
                self.lives[key] = (id, self._births[id])
                self.inbox.append(ChildStarted(key, self.lives[key]))
            case "hang":
                self.lives[key] = (id, self._births[id])
                self.starting[key] = None
            case "ignore":
                self.inbox.append(ChildIgnored(key))
            case "unplaced":
                self.inbox.append(ChildStartFailed(key, NoConnection(), unplaced=True))
            case _:
                self.inbox.append(ChildStartFailed(key, outcome if isinstance(outcome, Reason) else BAD_START))

    def _ask(self, key: int, reason: Reason) -> None:
        will = self.stops.get(self._ids[key], "obey")
        if will != "hang":
            self._end(key, will if isinstance(will, Reason) else reason)

    def _end(self, key: int, reason: Reason) -> None:
        if key not in self.lives:
            return  # it died before; its ChildEnded is in the inbox
        del self.lives[key]
        started = key not in self.starting
        self.starting.pop(key, None)
        self.inbox.append(ChildEnded(key, reason) if started else ChildStartFailed(key, reason))

    def adopt(self, spec: Any) -> Any:
        """Do what a core does for `ctx.spawn`."""
        refused = self.machine.refusal(spec)
        if refused is not None:
            return refused
        self._births[spec.id] = self._births.get(spec.id, 0) + 1
        address = (spec.id, self._births[spec.id])
        key = self.machine.adopt(spec, address)
        assert isinstance(key, int)
        self._ids[key] = spec.id
        self.lives[key] = address
        return address
