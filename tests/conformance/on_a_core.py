"""A script of the judge on a real core: isolates, inboxes, calls; a suspended supervisor is one that nobody serves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from regrove import DONE, IGNORE, RECEIVE, Address, Child, Crash, Done, Isolate, Replied, Shutdown, StartFailed
from regrove.node.core.supervisor_node import SupervisorNode
from regrove.supervisor.events import StopAsked
from regrove.supervisor.reasons import Crashed
from regrove.supervisor.requests import StartChild
from tests.conformance.judge import REASONS, request_of, shown, supervisor_of
from tests.core.bench import Bench, script


class Recorder:
    """What starts come to, and which life of which child an address is."""

    def __init__(self, outcomes: dict[str, list[str]]) -> None:
        self.outcomes = {id: list(rest) for id, rest in outcomes.items()}
        self.trace: list[str] = []
        self.births: dict[str, int] = {}
        self.lives: dict[Address, tuple[str, int]] = {}
        self.alive: dict[str, Address] = {}

    def start(self, id: str) -> str:
        self.trace.append(f"start {id}")
        outcomes = self.outcomes.get(id)
        return outcomes.pop(0) if outcomes else "up"

    def born(self, id: str, address: Address) -> None:
        self.births[id] = self.births.get(id, 0) + 1
        self.lives[address] = (id, self.births[id])
        self.alive[id] = address


class Life(Isolate):
    """A child that does what the script says. A spec that travels holds no recorder, so it is the class's."""

    recorder: ClassVar[Recorder]

    def __init__(self, id: str) -> None:
        self.id = id

    def start(self, ctx: Any) -> Any:
        match self.recorder.start(self.id):
            case "fail":
                return Crash("bad_start")
            case "ignore":
                return IGNORE
        self.recorder.born(self.id, ctx.self)
        return RECEIVE

    def handle(self, ctx: Any, message: Any) -> Any:
        del self.recorder.alive[self.id]
        reason = REASONS[message]
        return Crash(message) if isinstance(reason, Crashed) else Done(reason)

    def stop(self, ctx: Any, reason: Any) -> Any:
        self.recorder.trace.append(f"ask {self.id}")
        del self.recorder.alive[self.id]
        return DONE


class Stage:
    """A core with the script's supervisor below its root, and an isolate that calls it."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.recorder = Life.recorder = Recorder(plan["outcomes"])
        self.log: list[Any] = []
        self.requests: list[tuple[Any, Any]] = []
        self.tickets: list[Any] = []
        self.bench = Bench(Child("caller", script(self.log, go=self._go)))
        self.started = self.call("root", StartChild(supervisor_of(plan, Life)))

    def _go(self, isolate: Any, ctx: Any, _: Any) -> None:
        for target, request in self.requests:
            self.tickets.append(ctx.request(target, request, timeout=1_000.0))
        self.requests.clear()

    def ask(self, target: Any, request: Any) -> Any:
        """Have a call made; gives its ticket."""
        address = self.bench.address("root") if target == "root" else target
        self.requests.append((address, request))
        self.bench.tell("root/caller", "go")
        return self.tickets[-1]

    def outcome(self, ticket: Any) -> Any:
        return next(entry for entry in self.log if entry.ticket == ticket)

    def call(self, target: Any, request: Any) -> Any:
        return self.outcome(self.ask(target, request)).value

    def batch(self, node: SupervisorNode, steps: list[tuple[Any, ...]]) -> None:
        node.queued = True  # as if it stood in the queue already: nobody puts it there, so nobody serves it
        tickets = []
        for step in steps:
            if step[0] == "call":
                tickets.append(self.ask(node.cell.address, request_of(Life, *step[1:])))
            elif step[1] in self.recorder.alive:
                self.bench.core.inject(self.recorder.alive[step[1]], step[2])
                self.bench.settle()
        node.queued = False
        self.bench.core.supervising._ring(node)
        self.bench.settle()
        for ticket in tickets:
            outcome = self.outcome(ticket)
            value = shown(self._named(outcome.value)) if isinstance(outcome, Replied) else "ended"
            self.recorder.trace.append(f"answer {value}")

    def _named(self, value: Any) -> Any:
        """Put lives in the place of addresses."""
        if isinstance(value, Address):
            return self.recorder.lives[value]
        if isinstance(value, tuple):
            return tuple(self._named(row) for row in value)
        if isinstance(getattr(value, "address", None), Address):
            return replace(value, address=self.recorder.lives[value.address])
        return value


def on_a_core(plan: dict[str, Any]) -> list[str]:
    stage = Stage(plan)
    trace = stage.recorder.trace
    if isinstance(stage.started, StartFailed):
        assert isinstance(stage.started.reason, Shutdown)
        assert isinstance(stage.started.reason.detail, StartFailed)
        return [*trace, f"failed {stage.started.reason.detail.id}"]
    trace.append("up")
    node = stage.bench.cell("root/s").supervising
    assert node is not None
    for batch in plan["batches"]:
        if stage.bench.alive("root/s"):
            stage.batch(node, batch)
    if stage.bench.alive("root/s"):
        stage.bench.core.supervising.post(node, StopAsked(Shutdown()))
        stage.bench.settle()
    assert not stage.bench.alive("root/s")
    assert stage.bench.alive("root")
    return [*trace, "finish shutdown"]
