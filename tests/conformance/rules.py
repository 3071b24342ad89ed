"""How often each rule of supervision.md is exercised: a machine that is watched while it decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from regrove.node.core import supervisor_node
from regrove.supervisor import actions as do
from regrove.supervisor import events as ev
from regrove.supervisor import requests as api
from regrove.supervisor.jobs import AddChild, Boot, End, Regrow, RestartOne
from regrove.supervisor.machine import Machine
from regrove.supervisor.reasons import Normal, Reason, Shutdown, StartFailed
from regrove.supervisor.slots import Slot
from regrove.supervisor.spec import Child, Supervisor

RULES = (
    "1 a spec that may not be is refused",
    "2 children start in the order of the list",
    "2 a static child that ignores its start stays listed",
    "2 a temporary child that ignores its start is dropped",
    "2 a first start that fails is not retried",
    "2 the earlier children stop in reverse after it",
    "2 the failure of a first start nests outward",
    "2 a child that dies while a later sibling starts waits",
    *(
        f"3 {restart}, {ending}"
        for restart in ("permanent", "transient", "temporary")
        for ending in ("Normal", "Shutdown", "abnormal")
    ),
    "4 a restart within the intensity",
    "4 one restart too many: the supervisor gives up",
    "4 intensity 0 forbids any restart",
    "4 a restart older than the period counts no more",
    "4 the failures of start_child and restart_child do not count",
    "4 giving up stops the survivors in reverse",
    "4 a permanent supervisor that gave up is restarted and counts",
    "4 a transient supervisor that gave up stays down",
    "4 a temporary supervisor that gave up is gone",
    "5 one_for_one",
    "5 one_for_all",
    "5 rest_for_one",
    "5 simple_one_for_one",
    "5 one_for_all stops several in reverse",
    "5 rest_for_one stops several in reverse",
    "5 a group restart drops a temporary child",
    "5 a group restart starts a child that was down",
    "5 rest_for_one leaves one down that stands before",
    "5 a child that ignores its restart stays listed",
    "5 two crashes at once count one under one_for_all",
    "5 two crashes at once count two under one_for_one",
    "5 two crashes at once count one under rest_for_one, the earlier sibling first",
    "5 two crashes at once count two under rest_for_one, the later sibling first",
    "6 a restart that fails is retried",
    "6 a group restart that fails half-way under one_for_all",
    "6 a group restart that fails half-way under rest_for_one",
    "6 a retry under one_for_all stops those just restarted",
    "6 a retry gives up",
    "6 a call is served while a child is restarting",
    "6 another exit is served while a child is restarting",
    "6 a stop is served while a child is restarting",
    "6 terminate_child cancels the retry",
    "6 a stale retry is ignored",
    "7 brutal_kill",
    "7 seconds",
    "7 a limit passes and the child is killed",
    "7 infinity",
    "7 static children stop one at a time in reverse",
    "7 dynamic children stop all together",
    "7 a child that ends its stop with another reason",
    "7 stopped by its parent with a clean reason",
    "7 stopped by its parent with an abnormal reason",
    "7 an exit signal from a stranger is ignored",
    "7 the children of a killed supervisor go with it",
    "8 any_significant shuts down",
    "8 all_significant shuts down after the last one",
    "8 all_significant waits for another one",
    "8 all_significant waits for one that is restarting",
    "8 a child that is not significant shuts nothing down",
    "8 terminate_child of a significant child shuts nothing down",
    "8 a group restart that stops a significant child shuts nothing down",
    "8 a significant child that ignores its restart shuts nothing down",
    "8 a significant temporary's crash shuts down under one_for_all",
    *(
        f"9 {call}: {answer}"
        for call, answers in {
            "StartChild": "address None AlreadyStarted AlreadyPresent InvalidSpec StartFailed",
            "RestartChild": "address None Running Restarting NotFound StartFailed",
            "TerminateChild": "True NotFound",
            "DeleteChild": "True Running Restarting NotFound",
            "WhichChildren": "children",
            "CountChildren": "Counts",
            "GetSpec": "spec NotFound",
        }.items()
        for answer in answers.split()
    ),
    "9 terminate_child of a child that is down",
    "9 terminate_child takes a temporary's spec away",
    "9 terminate_child by address",
    "9 start_child of a supervisor",
    "9 a call in hand when the supervisor ends fails",
)


@contextmanager
def watched(counts: Counter[str], alive: Callable[[object], bool]) -> Iterator[None]:
    """Have every machine that is made inside count its rules; `alive` tells whether an address lives."""

    class Counted(Watched):
        __slots__ = ()

        def __init__(self, spec: Any, *more: Any) -> None:
            super().__init__(spec, *more, counts=counts, alive=alive)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervisor_node, "Machine", Counted)
        yield


def table(counts: Counter[str]) -> str:
    """The counts as text."""
    return "\n".join(f"{counts[rule]:9,}  {rule}" for rule in RULES)


class Watched(Machine):
    """Decides as any machine does, and counts which rule it was."""

    __slots__ = ("_alive", "_calls", "_counts", "_deciding")

    def __init__(self, spec: Any, *more: Any, counts: Counter[str], alive: Callable[[object], bool]) -> None:
        super().__init__(spec, *more)
        self._counts = counts
        self._alive = alive
        self._deciding = False
        self._calls: dict[object, object] = {}

    def decide(self, event: ev.Event, now_ns: int) -> list[do.Action]:
        before = self._before(event)
        kept = len(self._window._entries)
        total = self._window.total
        self._deciding = True
        actions = super().decide(event, now_ns)
        self._deciding = False
        if self._window.total > total and kept + 1 > len(self._window._entries):
            self._saw("4 a restart older than the period counts no more")
        if before is not None:
            before(actions)
        for action in actions:
            self._acted(action)
        return actions

    def restart_at_once(self, key: int, reason: Reason, now_ns: int) -> Slot | None:
        """Count as if it had been decided with actions."""
        if self._deciding:
            return super().restart_at_once(key, reason, now_ns)
        counts = self._counts.copy()
        before = self._before(ev.ChildEnded(key, reason))
        slot = super().restart_at_once(key, reason, now_ns)
        if slot is None:  # nothing has happened, and the driver goes on to `decide`
            self._counts.clear()
            self._counts.update(counts)
            return None
        actions: list[do.Action] = [do.Emit(self.restart_report(slot))]
        actions.append(do.StartChild(key, slot.spec, self.arguments(slot.spec)))
        if before is not None:
            before(actions)
        for action in actions:
            self._acted(action)
        return slot

    def _saw(self, rule: str, when: object = True) -> None:
        if when:
            assert rule in RULES, rule
            self._counts[rule] += 1

    @property
    def _strategy(self) -> str:
        return self.spec.strategy if isinstance(self.spec, Supervisor) else "simple_one_for_one"

    @property
    def _auto(self) -> str:
        return self.spec.auto_shutdown if isinstance(self.spec, Supervisor) else "never"

    def _restarting(self) -> list[Slot]:
        return [slot for slot in self._slots if slot.state == "restarting"]

    def _before(self, event: ev.Event) -> Any:
        """Look at an event before it is decided, and give what is to look at the actions, if anything."""
        match event:
            case ev.Begin() if isinstance(self.spec, Supervisor):
                self._saw("2 children start in the order of the list", len(self.spec.children) > 1)
            case ev.ChildIgnored(key):
                self._ignored(self._slots[key])
            case ev.ChildStartFailed(key, reason) if key not in self._crew.stops:
                self._failed(reason)
            case ev.ChildEnded(key, reason) if self.accepting:
                return self._exit(self._slots[key], reason)
            case ev.Retry(token):
                slot = self._retries.get(token)
                if slot is not None and slot.state == "restarting":
                    return self._restart_of(slot, retry=True)
                self._saw("6 a stale retry is ignored")
            case ev.Request(token, request):
                self._calls[token] = request
                self._requested(request)
            case ev.StopAsked(reason):
                clean = isinstance(reason, Normal | Shutdown)
                self._saw(f"7 stopped by its parent with {'a clean' if clean else 'an abnormal'} reason")
                self._saw("6 a stop is served while a child is restarting", self._restarting())
            case ev.LimitReached():
                return self._limit
        return None

    # Starts.

    def _ignored(self, slot: Slot) -> None:
        purpose = self._crew.job.purpose if self._crew.job is not None else None
        if isinstance(purpose, Boot):
            way = "temporary child that ignores its start is dropped"
            self._saw(f"2 a {way if slot.temporary else 'static child that ignores its start stays listed'}")
        elif isinstance(purpose, Regrow):
            self._saw("5 a child that ignores its restart stays listed")
            self._saw("8 a significant child that ignores its restart shuts nothing down", slot.spec.significant)

    def _failed(self, reason: Reason) -> None:
        assert self._crew.job is not None
        job = self._crew.job
        match job.purpose:
            case Boot():
                self._saw("2 a first start that fails is not retried")
                running = sum(slot.state == "running" for slot in self._slots)
                self._saw("2 the earlier children stop in reverse after it", running > 1)
                nested = isinstance(reason, Shutdown) and isinstance(reason.detail, StartFailed)
                self._saw("2 the failure of a first start nests outward", nested)
            case AddChild() | RestartOne():
                self._saw("4 the failures of start_child and restart_child do not count")
            case Regrow():
                self._saw("6 a restart that fails is retried")
                running = sum(slot.state == "running" for slot in self._slots)
                half = running and job.starts and self._strategy in ("one_for_all", "rest_for_one")
                if half:
                    self._saw(f"6 a group restart that fails half-way under {self._strategy}")

    # Exits.

    def _exit(self, slot: Slot, reason: Reason) -> Any:
        ending = type(reason).__name__ if isinstance(reason, Normal | Shutdown) else "abnormal"
        self._saw(f"3 {slot.spec.restart}, {ending}")
        self._saw("6 another exit is served while a child is restarting", self._restarting())
        gave_up = isinstance(reason, Shutdown) and isinstance(reason.detail, Reason)
        if gave_up and not isinstance(slot.spec, Child):
            ways = {
                "permanent": "is restarted and counts",
                "transient": "stays down",
                "temporary": "is gone",
            }
            self._saw(f"4 a {slot.spec.restart} supervisor that gave up {ways[slot.spec.restart]}")
        restarted = slot.spec.restart == "permanent" or (slot.spec.restart == "transient" and ending == "abnormal")
        return self._restart_of(slot, retry=False) if restarted else self._end_of(slot, ending)

    def _end_of(self, slot: Slot, ending: str) -> Any:
        others = [other for other in self._slots if other.spec.significant and other is not slot and other.held]
        restarting = any(other.state == "restarting" for other in others)

        def after(actions: list[do.Action]) -> None:
            if self._auto == "never":
                return
            if not slot.spec.significant:
                assert not self._crew.ending
                self._saw("8 a child that is not significant shuts nothing down")
            elif self._auto == "any_significant":
                self._saw("8 any_significant shuts down")
            else:
                self._saw("8 all_significant waits for another one", others)
                self._saw("8 all_significant waits for one that is restarting", restarting)
                self._saw("8 all_significant shuts down after the last one", not others)
            crash = slot.spec.significant and slot.temporary and ending == "abnormal" and not others
            self._saw(
                "8 a significant temporary's crash shuts down under one_for_all",
                crash and self._strategy == "one_for_all",
            )

        return after

    def _restart_of(self, slot: Slot, retry: bool) -> Any:
        slots = list(self._slots)
        place = slots.index(slot)
        dead = [i for i, other in enumerate(slots) if other.state == "running" and not self._alive(other.address)]
        dead = [i for i in dead if i != place]
        down = [i for i, other in enumerate(slots) if other.state == "stopped" and i != place]
        first = place if self._strategy == "rest_for_one" else 0
        group = slots[first:] if self._strategy in ("one_for_all", "rest_for_one") else [slot]

        def after(actions: list[do.Action]) -> None:
            if self.state == "finished" or self._crew.ending:
                self._gave_up(retry)
                return
            self._saw("4 a restart within the intensity")
            self._saw(f"5 {self._strategy}")
            self._together(place, dead)
            if len(group) > 1:
                self._grouped(group, slot, retry)
                self._saw("5 a group restart starts a child that was down", [i for i in down if i >= first])
            behind = self._strategy == "rest_for_one" and [i for i in down if i < place]
            self._saw("5 rest_for_one leaves one down that stands before", behind)

        return after

    def _gave_up(self, retry: bool) -> None:
        self._saw("4 one restart too many: the supervisor gives up")
        self._saw("4 intensity 0 forbids any restart", self.spec.intensity == 0)
        self._saw("6 a retry gives up", retry)
        job = self._crew.job
        self._saw("4 giving up stops the survivors in reverse", job is not None and len(job.stops) > 0)

    def _together(self, place: int, dead: list[int]) -> None:
        match self._strategy:
            case "one_for_all":
                self._saw("5 two crashes at once count one under one_for_all", dead)
            case "one_for_one":
                self._saw("5 two crashes at once count two under one_for_one", dead)
            case "rest_for_one":
                later, earlier = [i for i in dead if i > place], [i for i in dead if i < place]
                text = "5 two crashes at once count {} under rest_for_one, the {} sibling first"
                self._saw(text.format("one", "earlier"), later)
                self._saw(text.format("two", "later"), earlier)

    def _grouped(self, group: list[Slot], slot: Slot, retry: bool) -> None:
        stopped = [other for other in group if other is not slot and (other.alive or other not in self._slots)]
        self._saw(f"5 {self._strategy} stops several in reverse", len(stopped) > 1)
        self._saw("5 a group restart drops a temporary child", any(other.temporary for other in stopped))
        significant = any(other.spec.significant for other in stopped) and self._auto != "never"
        self._saw("8 a group restart that stops a significant child shuts nothing down", significant)
        taken_back = retry and self._strategy == "one_for_all" and stopped
        self._saw("6 a retry under one_for_all stops those just restarted", taken_back)

    # Stops.

    def _limit(self, actions: list[do.Action]) -> None:
        killed = any(isinstance(action, do.KillChild) for action in actions)
        self._saw("7 a limit passes and the child is killed", killed)

    def _acted(self, action: do.Action) -> None:
        match action:
            case do.AskStop(key) if key in self._slots:
                kind = self._slots[key].spec.shutdown
                self._saw("7 infinity" if kind == "infinity" else "7 seconds")
                self._ordered()
            case do.KillChild(key) if key in self._slots and self._slots[key].spec.shutdown == "brutal_kill":
                self._saw("7 brutal_kill")
                self._ordered()
            case do.Emit(report) if report.context == "shutdown_error":
                self._saw("7 a child that ends its stop with another reason")
            case do.Answer(token, value):
                self._answered(self._calls.pop(token), value)

    def _ordered(self) -> None:
        job = self._crew.job
        if job is not None and isinstance(job.purpose, End):
            if self._crew.dynamic:
                stopping = sum(slot.state == "stopping" for slot in self._slots)
                self._saw("7 dynamic children stop all together", stopping > 1)
            else:
                self._saw("7 static children stop one at a time in reverse", job.stops)

    # Requests.

    def _requested(self, request: object) -> None:
        self._saw("6 a call is served while a child is restarting", self._restarting())
        match request:
            case api.TerminateChild(child):
                slot = self._slots.find(child)
                self._saw("9 terminate_child by address", slot is not None and not isinstance(child, str))
                if slot is not None:
                    self._saw("6 terminate_child cancels the retry", slot.state == "restarting")
                    self._saw("9 terminate_child of a child that is down", slot.state == "stopped")
                    self._saw("9 terminate_child takes a temporary's spec away", slot.temporary)
                    significant = slot.spec.significant and slot.alive and self._auto != "never"
                    self._saw("8 terminate_child of a significant child shuts nothing down", significant)
            case api.StartChild(spec):
                self._saw("9 start_child of a supervisor", isinstance(spec, Supervisor))

    def _answered(self, request: object, value: object) -> None:
        call = type(request).__name__
        match value:
            case tuple():
                answer = "children"
            case Reason() | api.Counts():
                answer = type(value).__name__
            case None | True:
                answer = str(value)
            case _:
                answer = "spec" if call == "GetSpec" else "address"
        self._saw(f"9 {call}: {answer}")
