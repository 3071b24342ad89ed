"""A supervisor written down as naively as the rules read: synchronous, by lists, blocking where OTP blocks.

The twin of `Machine` for static supervisors whose children start and stop at once. It shares nothing with it but specs,
requests and the two tables that are tested by themselves; exits find their child by address, so that one whose child
was stopped meanwhile finds nobody, which is how absorbing comes about here.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from regrove.supervisor import requests as api
from regrove.supervisor.reasons import Reason, Shutdown, StartFailed, is_clean
from regrove.supervisor.spec import Child, Supervisor, kind_of
from tests.supervisor.playbook import BAD_START

RESTARTING = "restarting"


class Slot:
    """A listed child: `pid` is an address, RESTARTING or None."""

    def __init__(self, spec: Any) -> None:
        self.spec = spec
        self.pid: Any = None


class GivesUp(Exception):
    """The supervisor ends with this reason."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason


class Naive:
    """One supervisor; `trace` is comparable with a Playbook's."""

    def __init__(self, spec: Supervisor, starts: dict[str, list[str]]) -> None:
        self.spec = spec
        self.starts = {id: list(outcomes) for id, outcomes in starts.items()}
        self.children: list[Slot] = []
        self.mailbox: deque[tuple[Any, ...]] = deque()
        self.births: dict[str, int] = {}
        self.restarts: list[int] = []
        self.trace: list[str] = []
        self.answers: dict[object, object] = {}
        self.finished: Reason | None = None
        self.last: dict[int, object] = {}
        self.now = 0
        self._boot()

    def _boot(self) -> None:
        self.children = [Slot(spec) for spec in self.spec.children]
        try:
            for slot in list(self.children):
                failure = self.start(slot)
                if failure is not None:
                    raise GivesUp(Shutdown(StartFailed(slot.spec.id, failure)))
                if slot.pid is None and slot.spec.restart == "temporary":
                    self.children.remove(slot)
        except GivesUp as end:
            self.end(end.reason)
            return
        self.trace.append("up")

    def give(self, batch: list[tuple[Any, ...]]) -> None:
        self.mailbox.extend(batch)
        while self.mailbox and self.finished is None:
            kind, *rest = self.mailbox.popleft()
            try:
                getattr(self, kind)(*rest)
            except GivesUp as end:
                self.end(end.reason)

    # Mail.

    def exit(self, pid: Any, reason: Reason) -> None:
        for slot in self.children:
            if slot.pid == pid:
                self.exited(slot, reason)
                return

    def retry(self, slot: Slot) -> None:
        if slot.pid == RESTARTING:
            self.restart(slot)

    def stop(self, reason: Reason) -> None:
        raise GivesUp(reason)

    def request(self, token: object, request: Any) -> None:
        self.answers[token] = self.serve(request)

    # Exits and restarts.

    def exited(self, slot: Slot, reason: Reason) -> None:
        self.last[id(slot)] = reason
        restart = slot.spec.restart
        if restart == "permanent" or (restart == "transient" and not is_clean(reason)):
            self.restart(slot)
            return
        slot.pid = None
        if restart == "temporary":
            self.children.remove(slot)
        if not slot.spec.significant or self.spec.auto_shutdown == "never":
            return
        held = [other for other in self.children if other.spec.significant and other.pid is not None]
        if self.spec.auto_shutdown == "any_significant" or not held:
            raise GivesUp(Shutdown())

    def restart(self, slot: Slot) -> None:
        self.restarts = [*self.restarts, self.now]
        period = round(self.spec.period * 1_000_000_000)
        if len([then for then in self.restarts if self.now - then <= period]) > self.spec.intensity:
            slot.pid = None
            cause = self.last[id(slot)]
            while isinstance(cause, Shutdown) and isinstance(cause.detail, Reason):
                cause = cause.detail
            raise GivesUp(Shutdown(cause))
        slot.pid = None
        position = self.children.index(slot)
        first = {"one_for_one": position, "rest_for_one": position, "one_for_all": 0}[self.spec.strategy]
        last = position + 1 if self.spec.strategy == "one_for_one" else len(self.children)
        group = self.children[first:last]
        for other in reversed(group):
            self.terminate(other)
        for other in [other for other in group if other.spec.restart != "temporary"]:
            failure = self.start(other)
            if failure is not None:
                self.last[id(other)] = failure
                other.pid = RESTARTING
                if ("retry", other) not in self.mailbox:
                    self.mailbox.append(("retry", other))
                return

    def start(self, slot: Slot) -> Reason | None:
        id = slot.spec.id
        self.trace.append(f"start {id}")
        outcomes = self.starts.get(id)
        outcome = outcomes.pop(0) if outcomes else "up"
        if outcome == "fail":
            return BAD_START
        if outcome == "up":
            self.births[id] = self.births.get(id, 0) + 1
            slot.pid = (id, self.births[id])
        return None

    def terminate(self, slot: Slot) -> None:
        if isinstance(slot.pid, tuple):
            verb = "kill" if slot.spec.shutdown == "brutal_kill" else "ask"
            self.trace.append(f"{verb} {slot.spec.id}")
        slot.pid = None
        if slot.spec.restart == "temporary":
            self.children.remove(slot)

    def end(self, reason: Reason) -> None:
        for slot in list(reversed(self.children)):
            self.terminate(slot)
        self.trace.append("finish")
        self.finished = reason

    # The API.

    def serve(self, request: Any) -> object:
        match request:
            case api.StartChild(spec):
                return self.start_child(spec)
            case api.WhichChildren():
                return tuple(api.ChildInfo(slot.spec.id, slot.pid, kind_of(slot.spec)) for slot in self.children)
            case api.CountChildren():
                active = [slot for slot in self.children if isinstance(slot.pid, tuple)]
                workers = [slot for slot in self.children if isinstance(slot.spec, Child)]
                total = len(self.children)
                return api.Counts(total, len(active), total - len(workers), len(workers))
        slot = next(
            (slot for slot in self.children if slot.spec.id == (getattr(request, "id", None) or request.child)), None
        )
        if slot is None:
            return api.NotFound()
        match request:
            case api.TerminateChild():
                self.terminate(slot)
                return True
            case api.GetSpec():
                return slot.spec
        if slot.pid is not None:
            return api.Restarting() if slot.pid == RESTARTING else api.Running()
        if isinstance(request, api.DeleteChild):
            self.children.remove(slot)
            return True
        failure = self.start(slot)
        return slot.pid if failure is None else StartFailed(slot.spec.id, failure)

    def start_child(self, spec: Any) -> object:
        for slot in self.children:
            if slot.spec.id == spec.id:
                return api.AlreadyStarted(slot.pid) if isinstance(slot.pid, tuple) else api.AlreadyPresent()
        slot = Slot(spec)
        failure = self.start(slot)
        if failure is not None:
            return StartFailed(spec.id, failure)
        if slot.pid is not None or spec.restart != "temporary":
            self.children.append(slot)
        return slot.pid
