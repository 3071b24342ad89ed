"""A script of the judge on a real core on virtual time: isolates, inboxes, calls.

A suspended supervisor is one that nobody serves. What is recorded is what the judge records, in its words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar

from regrove import (
    DONE,
    IGNORE,
    RECEIVE,
    Address,
    Child,
    Crash,
    Done,
    DynamicSupervisor,
    Isolate,
    Replied,
    Sleep,
    Supervisor,
)
from regrove.node.core.address import Home
from regrove.node.core.isolate import Cell
from regrove.node.core.supervisor_node import SupervisorNode
from regrove.supervisor import requests as api
from regrove.supervisor.events import StopAsked
from regrove.supervisor.reasons import Crashed, Kill, Killed, Normal, Reason, Shutdown, StartFailed
from regrove.supervisor.rules import SpecError
from regrove.supervisor.spec import kind_of
from tests.conformance.rules import watched
from tests.conformance.scripts import SLOW, AnySpec, Batch, Leaf, Pool, Script, Tree
from tests.core.bench import Bench, script

REASONS: dict[str, Reason] = {
    "boom": Crashed("boom"),
    "normal": Normal(),
    "shutdown": Shutdown(),
    "{shutdown,why}": Shutdown("why"),
    "kill": Killed(),
}
CLASSES = {"Normal": "normal", "Shutdown": "shutdown", "Killed": "killed"}
ANSWERS = {
    api.NotFound: "not_found",
    api.Running: "running",
    api.Restarting: "restarting",
    api.AlreadyPresent: "already_present",
    api.InvalidSpec: "invalid",
    StartFailed: "start_failed",
}


class Recorder:
    """What starts come to, which life of whom an address is, and the trace. It is the core's tracer."""

    def __init__(self, script: Script, counts: Counter[str]) -> None:
        self.counts = counts
        self.outcomes = {id: list(rest) for id, rest in script.outcomes.items()}
        self.lines: list[str] = []
        self.births: dict[str, int] = {}
        self.lives: dict[Address, tuple[str, int]] = {}
        self.alive: dict[Address, str] = {}
        self.nodes: dict[str, SupervisorNode] = {}

    def begin(self, id: str) -> str:
        self.lines.append(f"start {id}")
        outcomes = self.outcomes.get(id)
        return outcomes.pop(0) if outcomes else "up"

    def born(self, id: str, address: Address) -> None:
        self.births[id] = self.births.get(id, 0) + 1
        self.lives[address] = (id, self.births[id])
        self.alive[address] = id

    def find(self, id: str) -> Address | None:
        return next((address for address, known in self.alive.items() if known == id), None)

    def last(self, id: str) -> Address:
        """The newest life of `id`, dead or alive; an address that nobody has where there was none."""
        life = (id, self.births.get(id, 0))
        nobody = Address(Home("n@h", 1, 0, 1), 9_999, 1)
        return next((address for address, known in self.lives.items() if known == life), nobody)

    def event(self, now: int, cell: Cell, kind: str, detail: str | None, cause: int) -> int:
        if cell.address in self.alive and kind == "end":
            self.lines.append(f"end {self.alive.pop(cell.address)} {CLASSES.get(detail or '', 'crash')}")
        elif kind == "start" and cell.supervising is not None and cell.id != "root":
            self.lines.append(f"start {cell.id}")
            self.nodes[cell.id] = cell.supervising
            self.born(cell.id, cell.address)
        return 0

    def handle(self, now: int, cell: Cell, message: Any, cause: int) -> int:
        return 0

    def callback(self, now: int, cell: Cell, kind: str, argument: Any, cause: int) -> int:
        return 0

    def start(self, now: int, cell: Cell, cause: int) -> int:
        return 0

    def frame(self, now: int, peer: Home, items: Iterable[Any]) -> int:
        return 0


class Life(Isolate):
    """A child that does what the script says. A spec that travels holds no recorder, so it is the class's."""

    recorder: ClassVar[Recorder]

    def __init__(self, manner: str, id: str) -> None:
        self.id = id
        self.manner = manner

    def start(self, ctx: Any) -> Any:
        outcome = self.recorder.begin(self.id)
        match outcome:
            case "fail":
                return Crash("bad_start")
            case "ignore":
                return IGNORE
            case "dies":
                ctx.send(ctx.self, "boom")
                early = "up" not in self.recorder.lines
                self.recorder.counts["2 a child that dies while a later sibling starts waits"] += early
        self.recorder.born(self.id, ctx.self)
        return RECEIVE

    def handle(self, ctx: Any, message: Any) -> Any:
        reason = REASONS[message]
        return Crash(message) if isinstance(reason, Crashed) else Done(reason)

    def stop(self, ctx: Any, reason: Any) -> Any:
        match self.manner:
            case "slow":
                return Sleep(SLOW / 1_000, then=lambda ctx, outcome: DONE)
            case "stuck":
                return RECEIVE
            case "odd":
                return Crash("boom")
            case "leave":
                return Done(Normal())
            case _:
                return DONE


# Specs and requests.


def options_of(options: dict[str, Any]) -> dict[str, Any]:
    shutdown = options.get("shutdown")
    return options | {"shutdown": shutdown / 1_000} if isinstance(shutdown, int) else options


def flags_of(flags: dict[str, Any]) -> dict[str, Any]:
    return flags | {"period": flags["period"] / 1_000}


def spec_of(spec: AnySpec) -> Any:
    match spec:
        case Leaf(id, options, manner):
            return Child(id, Life, manner, id, **options_of(options))
        case Tree(id, flags, children, options):
            return Supervisor(id, [spec_of(child) for child in children], **flags_of(flags), **options_of(options))
        case Pool(id, flags, template, options):
            arguments = (template.manner,)
            return DynamicSupervisor(id, extra_arguments=arguments, **flags_of(flags), **options_of(options))


def shown(answer: Any, dynamic: bool) -> str:
    match answer:
        case None:
            return "none"
        case True:
            return "ok"
        case "restarting":
            return "restarting"
        case api.AlreadyStarted(address):
            return f"{{already_started,{shown(address, dynamic)}}}"
        case Child() | Supervisor() | DynamicSupervisor():
            limit = round(answer.shutdown * 1_000) if isinstance(answer.shutdown, float | int) else answer.shutdown
            return f"[{answer.restart},{limit},{str(answer.significant).lower()},{kind_of(answer)}]"
        case (str(id), int(number)):
            return f"{{{id},{number}}}"
        case tuple() if dynamic:
            return f"[{','.join(sorted(shown(row.address, dynamic) for row in answer))}]"
        case tuple():
            return f"[{','.join(f'{{{row.id},{shown(row.address, dynamic)},{row.kind}}}' for row in answer)}]"
        case _:
            return ANSWERS[type(answer)]


class Stage:
    """A core with the script's supervisors below its root, and an isolate that calls them."""

    def __init__(self, plan: Script, counts: Counter[str]) -> None:
        self.plan = plan
        self.counts = counts
        self.recorder = Life.recorder = Recorder(plan, counts)
        self.log: list[Any] = []
        self.orders: list[Any] = []
        self.tickets: list[Any] = []
        self.bench = Bench(Child("caller", script(self.log, go=self._go)), tracer=self.recorder)
        self.supervising = self.bench.core.supervising

    def _go(self, isolate: Any, ctx: Any, _: Any) -> None:
        for order in self.orders:
            order(ctx)
        self.orders.clear()

    def do(self, order: Any) -> None:
        """Have the caller do something with its context."""
        self.orders.append(order)
        self.bench.tell("root/caller", "go")

    def ask(self, target: Address, request: Any) -> Any:
        """Have a call made; gives its ticket."""
        self.do(lambda ctx: self.tickets.append(ctx.request(target, request, timeout=10_000.0)))
        return self.tickets[-1]

    def outcome(self, ticket: Any) -> Any:
        return next(entry for entry in self.log if entry.ticket == ticket)

    def node(self, id: str) -> SupervisorNode | None:
        node = self.recorder.nodes.get(id)
        return node if node is not None and node.cell.address in self.recorder.alive else None

    def rest(self, suspended: SupervisorNode | None = None) -> None:
        """Let everything come to its end that has begun: time passes while a supervisor waits for a stop."""
        while True:
            self.bench.settle()
            nodes = [self.node(id) for id in self.recorder.nodes]
            if all(node is None or node is suspended or node.machine.accepting for node in nodes):
                return
            due = self.bench.core.timers.next()
            assert due is not None
            assert due - self.bench.now < 60_000_000_000, "a supervisor waits for nothing"
            self.bench.advance(max(0, due - self.bench.now) / 1_000_000_000)

    def play(self, spec: Any) -> None:
        """Start the script's tree, do what the script says, and stop it."""
        ticket = self.ask(self.bench.address("root"), api.StartChild(spec))
        self.rest()
        started = self.outcome(ticket).value
        if isinstance(started, StartFailed):
            assert isinstance(started.reason, Shutdown)
            self.recorder.lines.append(f"failed {failed_path(started.reason.detail)}")
            return
        self.recorder.lines.append("up")
        for batch in self.plan.batches:
            self.batch(batch)
        self.finish()

    # Steps.

    def batch(self, batch: Batch) -> None:
        if batch.gap:
            self.bench.advance(batch.gap / 1_000)
        node = self.node(batch.target)
        if node is None:
            return
        node.queued = True  # as if it stood in the queue already: nobody puts it there, so nobody serves it
        tickets = [ticket for step in batch.steps if (ticket := self.step(node, step)) is not None]
        node.queued = False
        self.supervising._ring(node)
        self.rest()
        for form, ticket in tickets:
            self.recorder.lines.append(f"answer {self.answer(node, form, self.outcome(ticket))}")

    def step(self, node: SupervisorNode, step: tuple[Any, ...]) -> Any:
        match step:
            case "exit", id, reason:
                self.exit(id, reason)
                self.rest(node)
            case "kill", id:
                target = self.node(id)
                if target is not None:
                    self.kill(target, node)
            case "stranger", reason:
                self.counts["7 an exit signal from a stranger is ignored"] += 1
                self.do(lambda ctx: ctx.exit(node.cell.address, REASONS[reason]))
            case "stop", reason:
                self.supervising.post(node, StopAsked(REASONS[reason]))
            case "call", "spec_dynamic", id if self.recorder.find(id) is None:
                pass
            case "call", call, *rest:
                return call, self.ask(node.cell.address, self.request(node, call, rest[0] if rest else None))
        return None

    def kill(self, target: SupervisorNode, suspended: SupervisorNode | None) -> None:
        self.counts["7 the children of a killed supervisor go with it"] += bool(target.alive)
        self.recorder.lines.append("(")
        self.supervising.kill(target)
        self.rest(suspended)
        self.recorder.lines.append(")")

    def exit(self, id: str, reason: str) -> None:
        address = self.recorder.find(id)
        if address is None:
            return
        if reason == "kill":
            self.do(lambda ctx: ctx.exit(address, Kill()))
        else:
            self.bench.core.inject(address, reason)

    def request(self, node: SupervisorNode, call: str, argument: Any) -> Any:
        match call:
            case "terminate":
                return api.TerminateChild(argument)
            case "restart":
                return api.RestartChild(argument)
            case "delete":
                return api.DeleteChild(argument)
            case "get_spec":
                return api.GetSpec(argument)
            case "terminate_dynamic":
                return api.TerminateChild(self.recorder.last(argument))
            case "spec_dynamic":
                return api.GetSpec(self.recorder.last(argument))
            case "which":
                return api.WhichChildren()
            case "count" | "count_dynamic" | "census":
                return api.CountChildren()
            case "start_dynamic":
                return api.StartChild(Child(argument, Life, argument, **options_of(self.template(node).options)))
            case _:
                return api.StartChild(spec_of(argument))

    def template(self, node: SupervisorNode) -> Leaf:
        return pools(self.plan)[node.cell.id].template

    def answer(self, node: SupervisorNode, form: str, outcome: Any) -> str:
        if not isinstance(outcome, Replied):
            self.counts["9 a call in hand when the supervisor ends fails"] += 1
            return "ended"
        if form == "terminate_dynamic":
            assert outcome.value is True or outcome.value == api.NotFound()
            return "terminated"
        value = self._named(outcome.value)
        if isinstance(value, api.Counts):
            first = {"count": [value.specs], "count_dynamic": [], "census": [value.active]}[form]
            return f"[{','.join(map(str, [*first, value.supervisors, value.workers]))}]"
        return shown(value, isinstance(node.spec, DynamicSupervisor))

    def _named(self, value: Any) -> Any:
        """Put lives in the place of addresses."""
        if isinstance(value, Address):
            return self.recorder.lives[value]
        if isinstance(value, tuple):
            return tuple(self._named(row) for row in value)
        if isinstance(getattr(value, "address", None), Address):
            return replace(value, address=self.recorder.lives[value.address])
        return value

    def finish(self) -> None:
        top = self.node(self.plan.top.id)
        if top is None:
            return
        self.recorder.lines.append("stopping")
        if self.plan.end == "kill":
            self.kill(top, None)
        else:
            self.supervising.post(top, StopAsked(REASONS[self.plan.end]))
            self.rest()


def pools(plan: Script) -> dict[str, Pool]:
    """All dynamic supervisors of a script, by id."""
    waiting: list[Any] = [plan.top]
    for batch in plan.batches:
        waiting += [step[2] for step in batch.steps if step[:2] == ("call", "start")]
    found: dict[str, Pool] = {}
    while waiting:
        spec = waiting.pop()
        if isinstance(spec, Pool):
            found[spec.id] = spec
        elif isinstance(spec, Tree):
            waiting += spec.children
    return found


def failed_path(reason: Any) -> str:
    assert isinstance(reason, StartFailed)
    inner = reason.reason.detail if isinstance(reason.reason, Shutdown) else None
    return f"{reason.id}/{failed_path(inner)}" if isinstance(inner, StartFailed) else reason.id


def on_a_core(plan: Script, counts: Counter[str]) -> list[str]:
    """The trace of a script; `counts` gets the rules that were exercised."""
    try:
        spec = spec_of(replace(plan.top, options={"restart": "temporary"}))
    except SpecError:
        counts["1 a spec that may not be is refused"] += 1
        return ["refused"]
    stage = Stage(plan, counts)
    with watched(counts, lambda address: address in stage.recorder.alive):
        stage.play(spec)
    assert not stage.recorder.alive, f"orphans: {stage.recorder.alive}"
    assert stage.bench.alive("root")
    return stage.recorder.lines
