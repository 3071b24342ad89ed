"""A supervisor's decisions: events in, actions out; no clock, no sending, no isolates (OTP `supervisor`).

States, and what a machine takes in each (`awaits` says it of a single event):

    new ----Begin----> busy <----> idle          busy, idle ----> busy ... ----Finish----> finished

- `new`: `Begin` only.
- `idle` (`accepting`): anything but the answers to a start; an exit, a retry, a request or a stop makes it busy.
- `busy`: a start or a stop of its own runs, and the inbox waits. It takes the answers to its start, the ends it waits
  for, limits, and a `StopAsked` with a budget: that aborts whatever runs, so that a node can always be stopped.
- `finished`: nothing more.

What the driver owes. Each life that reported `ChildStarted` ends in one `ChildEnded`; one that reported `ChildIgnored`
or `ChildStartFailed` in none. `ChildEnded` enters the inbox like all else and is handed over in order, except that one
the machine awaits is handed over at once, although others wait before it: so a child that died before it was asked to
stop, or while a group restart runs, is absorbed by that stop, and counts nothing. An event that is neither in order
nor awaited raises `UnexpectedEventError`. A killed supervisor is not asked: the driver kills its `children()` too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, assert_never

from regrove.supervisor import api
from regrove.supervisor.actions import (
    Action,
    Answer,
    DisarmLimit,
    Emit,
    Finish,
    QueueRetry,
    StartChild,
    Up,
)
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
from regrove.supervisor.intensity import NANOSECONDS
from regrove.supervisor.jobs import AddChild, Boot, End, Hold, Job, Regrow, RestartOne, StopOne
from regrove.supervisor.reasons import Ignored, Reason, Shutdown, StartTimedOut, is_clean
from regrove.supervisor.report import Context
from regrove.supervisor.requests import Stopping
from regrove.supervisor.showing import Showing
from regrove.supervisor.shutdown import is_expected, root_cause, start_failed
from regrove.supervisor.slots import Pending, Slot
from regrove.supervisor.spec import AnySpec, Child, DynamicSupervisor, Supervisor, start_timeout_of
from regrove.supervisor.strategy import restart_plan, shuts_down, verdict


class UnexpectedEventError(AssertionError):
    """An event in a state that does not take it: a defect of the driver; the text names both."""


def no_jitter() -> float:
    """Draw nothing: each backoff waits its whole delay."""
    return 0.0


class Machine(Showing):
    """The decisions of one supervisor in one life; time must never run backwards.

    `draw` gives the jitter of a backoff: uniform in [0, 1), from a source that its driver injects.
    """

    __slots__ = ("_apart", "_draw", "_retries")

    def __init__(self, spec: Supervisor | DynamicSupervisor, draw: Callable[[], float] = no_jitter) -> None:
        super().__init__(spec)
        self._apart = not isinstance(spec, Supervisor) or spec.strategy == "one_for_one"
        self._draw = draw
        self._retries: dict[int, Slot] = {}  # retries on their way, by token

    def decide(self, event: Event, now_ns: int) -> list[Action]:
        """Take one event and return what is to be done, in order. `now_ns`: the injected clock, integer ns.

        Raises `UnexpectedEventError` for an event that is not to be given now.
        """
        if not self.awaits(event):
            raise UnexpectedEventError(f"{self!r} does not take {event!r} now")
        actions = self._crew.begin_event(now_ns)
        match event:
            case Begin():
                self._begin()
            case ChildStarted(key, address):
                self._child_started(self._slots[key], address)
            case ChildIgnored(key):
                self._child_not_started(self._slots[key], None)
            case ChildStartFailed(key, reason, unplaced):
                self._child_not_started(self._slots[key], reason, unplaced)
            case ChildEnded(key, reason):
                slot = self.restart_at_once(key, reason, now_ns)
                if slot is None:
                    self._child_ended(self._slots[key], reason)
                else:
                    actions += Emit(self.restart_report(slot)), StartChild(key, slot.spec, self.arguments(slot.spec))
            case LimitReached(token):
                self._crew.limit_reached(token)
            case Retry(token):
                self._retry(token)
            case Request(token, request):
                self._serve(token, request)
            case StopAsked(reason, budget):
                self._stop_asked(reason, budget)
            case _:
                assert_never(event)
        return actions

    @property
    def accepting(self) -> bool:
        """Whether the next event of the inbox is to be given, whatever it is."""
        return self.state == "idle"

    def awaits(self, event: Event) -> bool:
        """Tell whether `event` is to be given now; while not `accepting`, ahead of what waits in the inbox."""
        match self.state:
            case "idle":
                if isinstance(event, ChildEnded):
                    return event.key in self._slots and self._slots[event.key].state == "running"
                return isinstance(event, LimitReached | Retry | Request | StopAsked)
            case "busy":
                return self._busy_awaits(event)
            case "new":
                return isinstance(event, Begin)
            case _:
                return False

    def _busy_awaits(self, event: Event) -> bool:
        match event:
            case ChildStarted(key) | ChildIgnored(key) | ChildStartFailed(key):
                return key == self.starting or key in self._crew.stops
            case ChildEnded(key):
                return key in self._crew.stops or (self._crew.start.killed and key == self.starting)
            case StopAsked(_, budget):
                return budget is not None
            case _:
                return isinstance(event, LimitReached)

    @property
    def starting(self) -> int | None:
        """The key of the child whose `start` runs now: a call from it must be answered `CalledInStart`."""
        return None if self._crew.start.slot is None else self._crew.start.slot.key

    def start_next(self, address: object, now_ns: int) -> Slot | None:
        """Take the start that runs as a success at `address` and begin the next one, if that is all there is to do.

        What `decide` would do on `ChildStarted` with one `StartChild` as its answer, without the event and the action:
        the slot whose life begins now. None, and nothing has happened, where `decide` has more to do or other things.
        """
        slot = self._crew.begin_next()
        if slot is None:
            return None
        begun = self._crew.start.slot
        assert begun is not None
        self._slots.place(begun, address)
        self._crew.now_ns = now_ns
        begun.lives(now_ns)
        self._crew.start.pass_to(slot)
        return slot

    def restart_at_once(self, key: int, reason: Reason, now_ns: int) -> Slot | None:
        """Take the end of a running child that is started again alone and at once, if that is what it comes to.

        What `decide`, which asks here too, does on `ChildEnded`, without the event and the actions: the slot whose life
        begins now; `restart_report` is to be told. None, and nothing has happened, where it comes to anything else.
        """
        if self.state != "idle" or not self._apart:
            return None
        slot = self._slots.get(key)
        if slot is None or slot.state != "running":
            return None
        spec = slot.spec
        if verdict(spec.restart, reason) != "restart" or (isinstance(spec, Child) and spec.start_timeout is not None):
            return None
        past = slot.past or slot.own_past()
        if past.pace is not None or past.retry is not None or not self._window.take(now_ns):
            return None
        self._restarts += 1
        past.restarts += 1
        self._last_reason = past.last_reason = reason
        crew = self._crew
        crew.now_ns = now_ns
        crew.job = crew.alone
        crew.start.slot = slot
        slot.state = "starting"
        self.state = "busy"
        return slot

    @property
    def restarting_one(self) -> bool:
        """Whether the start of a child that was restarted at once is all that is under way."""
        return self._crew.job is self._crew.alone

    def restarted(self, address: object) -> bool:
        """Take the start that runs as a success at `address`, if it is that of a restart at once.

        What `decide` would do on `ChildStarted`, to no further action. False, and nothing has happened, otherwise.
        """
        crew = self._crew
        slot = crew.start.slot
        if crew.job is not crew.alone or slot is None:
            return False
        crew.start.slot = crew.job = None
        self._slots.place(slot, address)
        slot.state = "running"  # without a pace: nobody asks when
        self.state = "idle"
        return True

    def refusal(self, spec: object) -> Reason | None:
        """Tell why `spec` cannot be added now, or None. For `adopt`, which may also come while busy."""
        if self.state != "idle" and (self.state != "busy" or self._crew.ending):
            return Stopping()
        return api.start_refusal(self.spec, self._slots, spec)

    def adopt(self, spec: AnySpec, address: object) -> int | Reason:
        """Add a child that the driver has just begun to run at `address` (`ctx.spawn`), and return its key.

        Its `start` is its own first turn, and a failure there is a `ChildEnded`. Refused with the reason of `refusal`.
        """
        refused = self.refusal(spec)
        return self.admit(spec, address).key if refused is None else refused

    def admit(self, spec: AnySpec, address: object) -> Slot:
        """Do what `adopt` does for a driver that asked `refusal` before, in the same step."""
        return self._slots.add_running(spec, address)

    def arguments(self, spec: AnySpec) -> tuple[Any, ...]:
        """Give the positional arguments a child of this spec is built with; () for a supervisor."""
        return self._crew.arguments(spec) if self._crew.extra or not isinstance(spec, Child) else spec.args

    # Own start: Up when all have started, else Finish(Shutdown(StartFailed)) once those that had are stopped.

    def _begin(self) -> None:
        if isinstance(self.spec, Supervisor):
            for spec in self.spec.children:
                self._slots.add(spec)
        self._run(Job(Boot(), starts=deque(slot.key for slot in self._slots)))

    # Exits. One that was awaited belongs to a stop; any other is spontaneous.

    def _child_ended(self, slot: Slot, reason: Reason) -> None:
        if slot.key in self._crew.stops:
            self._stopped(slot, reason)
        elif slot is self._crew.start.slot:
            self._child_not_started(slot, reason)
        else:
            self._exited(slot, reason)

    def _exited(self, slot: Slot, reason: Reason) -> None:
        self._last_reason = slot.last_reason = reason
        if verdict(slot.spec.restart, reason) == "restart":
            self._restart(slot, "child_terminated")
            return
        if not is_clean(reason):
            self._report("child_terminated", slot, reason)
        self._crew.settle(slot)
        if self._shuts_down(slot):
            self._report("auto_shutdown", slot, reason)
            self._end(Shutdown())

    def _shuts_down(self, slot: Slot) -> bool:
        if not isinstance(self.spec, Supervisor):
            return False
        others = ((other.spec.significant, other.held) for other in self._slots)
        return shuts_down(self.spec.auto_shutdown, slot.spec.significant, others)

    # Restarts: nothing starts or stops before the intensity allowed it.

    def _retry(self, token: int) -> None:
        slot = self._retries.pop(token, None)
        if slot is None or slot.retry is None:
            return
        counted = slot.retry.counted
        slot.retry = None
        if slot.state == "restarting":
            self._restart(slot, None, counted)

    def _restart(self, slot: Slot, context: Context | None, counted: bool = False) -> None:
        """Restart by the strategy from `slot`; with a `context` it has just ended, otherwise this is its retry."""
        slot.state = "stopped"
        cause = slot.last_reason
        allowed = counted or self._count(slot)
        slot.restarts += allowed and not counted
        if context is not None:
            self._report(context, slot, cause)
        if not allowed:
            self._report("shutdown", slot, cause)
            self._end(Shutdown(root_cause(cause)))
            return
        strategy = self.spec.strategy if isinstance(self.spec, Supervisor) else "one_for_one"
        plan = restart_plan(strategy, slot.key, self._slots)
        for key in plan.starts:
            if self._slots[key].state == "restarting":
                self._slots[key].state = "stopped"
            self._drop_delayed(self._slots[key])
        stops = list(reversed(plan.stops))
        delay = 0.0 if context is None else self._delay(slot)
        if delay > 0:
            slot.state = "restarting"
            self._run(Job(Hold(slot.key, delay), stops=stops))
        else:
            self._run(Job(Regrow(), stops=stops, starts=deque(plan.starts)))

    def _count(self, slot: Slot) -> bool:
        """Count a restart event in the window it belongs to; False: it is one too many."""
        self._restarts += 1
        return (slot.window or self._window).add(self._crew.now_ns)

    def _delay(self, slot: Slot) -> float:
        """Tell the seconds a child that failed once more has to wait; 0 without a backoff."""
        backoff, pace = slot.spec.backoff, slot.pace
        if backoff is None or pace is None:
            return 0.0
        if pace.began_ns and self._crew.now_ns - pace.began_ns >= backoff.reset_seconds * NANOSECONDS:
            pace.failures = 0
        pace.began_ns = 0  # a start that fails now has had no life
        pace.failures += 1
        return backoff.delay(pace.failures, self._draw())

    def _queue_retry(self, slot: Slot, delay: float, *, counted: bool = False, unplaced: bool = False) -> None:
        """An undelayed retry that is still on its way serves this attempt too: never two for one child."""
        slot.state = "restarting"
        self._drop_delayed(slot)
        delayed = unplaced or delay > 0
        if slot.retry is not None and delayed:
            del self._retries[slot.retry.token]  # it would come too soon, and is ignored when it does
            slot.retry = None
        if slot.retry is None:
            token = self._crew.token()
            slot.retry = Pending(token, delayed, counted)
            self._retries[token] = slot
            self._crew.do(QueueRetry(token, delay, slot.key if unplaced else None))

    def _drop_delayed(self, slot: Slot) -> None:
        """Take a retry back that waits for its time or its place: what it was for happens now, or never."""
        if slot.retry is not None and slot.retry.delayed:
            del self._retries[slot.retry.token]
            self._crew.do(DisarmLimit(slot.retry.token))
            slot.retry = None

    # Requests: each is answered once, unless the supervisor ends before.

    def _serve(self, token: object, request: object) -> None:
        match api.decide(self.spec, self._slots, request):
            case api.Reply(value):
                self._crew.do(Answer(token, value))
            case api.Add(spec):
                self._run(Job(AddChild(token), starts=deque([self._slots.add(spec).key])))
            case api.Start(slot):
                self._run(Job(RestartOne(token), starts=deque([slot.key])))
            case api.Stop(slot):
                if not slot.alive:
                    self._drop_delayed(slot)
                    self._crew.settle(slot)
                self._run(Job(StopOne(token), stops=[slot.key] if slot.alive else []))
            case api.Delete(slot):
                self._slots.remove(slot)
                self._crew.do(Answer(token, True))

    # Own stop: in reverse order one at a time, a dynamic supervisor's all together; then Finish.

    def _stop_asked(self, reason: Reason, budget: float | None) -> None:
        if budget is not None:
            self._crew.hurry(budget)
        if not self._crew.ending:
            self._end(reason)

    def _end(self, reason: Reason) -> None:
        for slot in self._slots:
            self._drop_delayed(slot)
        if self.spec.shutdown_budget is not None:
            self._crew.hurry(self.spec.shutdown_budget)
        self._run(Job(End(reason), stops=self._crew.all_to_stop()))

    # The job at hand, carried out by the crew; and what follows when it is through.

    def _run(self, job: Job) -> None:
        self._crew.job = job
        self.state = "busy"
        self._go_on()

    def _go_on(self) -> None:
        job = self._crew.advance()
        if job is not None:
            self._complete(job)

    def _complete(self, job: Job) -> None:
        self.state = "idle"
        match job.purpose:
            case Boot():
                self._crew.do(Up())
            case StopOne(token):
                self._crew.do(Answer(token, True))
            case End(reason):
                self.state = "finished"
                self._crew.actions += self._crew.budget.disarm()
                self._crew.do(Finish(reason))
            case Hold(key, delay):
                if key in self._slots:
                    self._queue_retry(self._slots[key], delay, counted=True)
            case Regrow() | AddChild() | RestartOne():
                pass
            case _:
                assert_never(job.purpose)

    def _stopped(self, slot: Slot, reason: Reason) -> None:
        self._crew.actions += self._crew.stops.ended(slot.key)
        slot.last_reason = reason
        if not is_expected(slot.spec.shutdown, slot.spec.restart, reason):
            self._last_reason = reason
            self._report("shutdown_error", slot, reason)
        self._crew.settle(slot)
        self._go_on()

    # One start.

    def _child_started(self, slot: Slot, address: object) -> None:
        self._slots.place(slot, address)
        if slot.key in self._crew.stops or self._crew.start.killed:
            return  # its end is on the way and will be awaited
        self._crew.actions += self._crew.start.over()
        slot.lives(self._crew.now_ns)
        if self._crew.job is not None and isinstance(self._crew.job.purpose, AddChild | RestartOne):
            self._crew.do(Answer(self._crew.job.purpose.token, address))
        self._go_on()

    def _child_not_started(self, slot: Slot, reason: Reason | None, unplaced: bool = False) -> None:
        """`reason` is None for a start that ignored."""
        if slot.key in self._crew.stops:
            self._stopped(slot, Shutdown() if reason is None else reason)
            return
        if self._crew.start.killed and reason is not None:
            reason = StartTimedOut(start_timeout_of(slot.spec) or 0.0)
        self._crew.actions += self._crew.start.over()
        if reason is None:
            self._start_ignored(slot)
        else:
            self._start_failed(slot, reason, unplaced)
        self._go_on()

    def _start_ignored(self, slot: Slot) -> None:
        slot.last_reason = Ignored()
        self._crew.settle(slot)
        if self._crew.job is not None and isinstance(self._crew.job.purpose, AddChild | RestartOne):
            self._crew.do(Answer(self._crew.job.purpose.token, None))

    def _start_failed(self, slot: Slot, reason: Reason, unplaced: bool) -> None:
        job = self._crew.job
        assert job is not None, "a start runs in a job only"
        if unplaced and isinstance(job.purpose, Regrow):
            self._start_later(job)
            # Nothing was tried, so nothing is reported; what it does when its core is there was counted already.
            self._queue_retry(slot, 0.0, counted=True, unplaced=True)
            return
        self._last_reason = slot.last_reason = reason
        self._report("start_error", slot, reason)
        match job.purpose:
            case Boot():
                self._crew.settle(slot)
                self._end(Shutdown(start_failed(slot.spec.id, reason)))
            case Regrow():
                self._start_later(job)
                self._queue_retry(slot, self._delay(slot))
            case AddChild(token):
                self._slots.remove(slot)
                self._crew.do(Answer(token, start_failed(slot.spec.id, reason)))
            case RestartOne(token):
                self._crew.settle(slot)
                self._crew.do(Answer(token, start_failed(slot.spec.id, reason)))
            case End() | StopOne() | Hold():
                self._crew.settle(slot)
            case _:
                assert_never(job.purpose)

    def _start_later(self, job: Job) -> None:
        """Leave those after a start that failed down: the retry comes to them."""
        for key in job.starts:
            self._slots.unplace(self._slots[key])
        job.starts.clear()

    def _report(self, context: Context, slot: Slot, reason: object) -> None:
        self._crew.do(Emit(self._report_of(context, slot, reason)))
