"""Writes docs/state-tables.md from the code: `python -m tests.docs.state_tables` after a rule was changed.

What is a function is called for everything it can be asked. What is a machine is explored: a supervisor's by giving it
every event in every state, links and isolates by watching the real ones while a scenario is simulated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, get_args

from examples import counter as example
from regrove import DONE, IGNORE, RECEIVE, Application, Child, Crash, Effect, Isolate, Place, Sleep, Supervisor, message
from regrove.node.core.context import Context
from regrove.node.core.isolate import STATE_NAMES, Cell
from regrove.supervisor import events
from regrove.supervisor.machine import Machine
from regrove.supervisor.reasons import Crashed, Killed, NoConnection, Normal, Reason, Shutdown
from regrove.supervisor.requests import RestartChild, TerminateChild, WhichChildren
from regrove.supervisor.spec import AutoShutdown, Restart, Strategy
from regrove.supervisor.strategy import restart_plan, shuts_down, verdict
from regrove.testing import Simulation
from regrove.transport.link import Link, State

PAGE = Path(__file__).parents[2] / "docs" / "state-tables.md"
DEPTH = 7
REASONS = (Normal(), Shutdown(), Crashed("ValueError"), Killed(), NoConnection())
Edges: TypeAlias = dict[tuple[str, str], dict[str, None]]  # (from, to) -> what makes it, in order of discovery

# --- words ----------------------------------------------------------------------------------------------------------


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def diagram(edges: Edges) -> str:
    lines = ["```mermaid", "stateDiagram-v2"]
    for (source, target), labels in sorted(edges.items()):
        lines.append(f"    {source} --> {target}" + (f": {', '.join(sorted(labels))}" if labels else ""))
    return "\n".join([*lines, "```"])


# --- what an exit does ----------------------------------------------------------------------------------------------


def verdicts() -> str:
    rows = [[f"`{restart}`", *(verdict(restart, reason) for reason in REASONS)] for restart in get_args(Restart)]
    return table(["restart type", *(f"`{type(reason).__name__}`" for reason in REASONS)], rows)


@dataclass(frozen=True)
class Member:
    key: int
    alive: bool
    temporary: bool


def plans() -> str:
    """Let `b` of four crash, and the third be temporary."""
    members = [Member(key, alive=key != 1, temporary=key == 2) for key in range(4)]
    rows = []
    for strategy in get_args(Strategy):
        plan = restart_plan(strategy, 1, members)
        rows.append([f"`{strategy}`", *(", ".join("abcd"[key] for key in keys) for keys in (plan.stops, plan.starts))])
    return table(["strategy", "stops, in order", "then starts, in order"], rows)


def shutdowns() -> str:
    cases = {"others are left": [(True, True)], "none is left": [(True, False), (False, True)]}
    rows = [
        [f"`{word}`", *("shuts down" if shuts_down(word, True, others) else "goes on" for others in cases.values())]
        for word in get_args(AutoShutdown)
    ]
    return table(["auto_shutdown", *(f"significant child ended, {case}" for case in cases)], rows)


# --- a supervisor's machine -----------------------------------------------------------------------------------------


def candidates() -> list[events.Event]:
    boom: Reason = Crashed("Boom")
    return [
        events.Begin(),
        events.ChildStarted(1, "here"),
        events.ChildIgnored(1),
        events.ChildStartFailed(1, boom),
        events.ChildEnded(1, boom),
        events.ChildEnded(1, Normal()),
        events.LimitReached(1),
        events.LimitReached(2),
        *(events.Retry(token) for token in range(1, 4)),
        events.Request(1, WhichChildren()),
        events.Request(1, TerminateChild("a")),
        events.Request(1, RestartChild("a")),
        events.StopAsked(Shutdown()),
        events.StopAsked(Shutdown(), 1.0),
    ]


def replayed(history: tuple[events.Event, ...]) -> Machine:
    machine = Machine(Supervisor("s", [Child("a", object, restart="transient")], intensity=2))
    for event in history:
        machine.decide(event, 0)
    return machine


def state_of_child(machine: Machine) -> str:
    return machine.children()[0].state if machine.children() else "not listed"


def explored() -> tuple[Edges, Edges]:
    """Give every event to a supervisor with one transient child wherever it is taken: its states, and the child's."""
    own: Edges = {}
    child: Edges = {}
    seen: dict[tuple[str, str, int], None] = {}
    histories: list[tuple[events.Event, ...]] = [()]
    for _ in range(DEPTH):
        longer = []
        for history, event in ((history, event) for history in histories for event in candidates()):
            machine = replayed(history)
            if not machine.awaits(event):
                continue
            before, child_before = machine.state, state_of_child(machine)
            machine.decide(event, 0)
            own.setdefault((before, machine.state), {})[type(event).__name__] = None
            if child_before != state_of_child(machine) and "not listed" not in (child_before, state_of_child(machine)):
                child.setdefault((child_before, state_of_child(machine)), {})[type(event).__name__] = None
            where = repr(machine), state_of_child(machine), machine.statistics(0).budget_used
            if where not in seen:
                seen[where] = None
                longer.append((*history, event))
        histories = longer
    return own, child


# --- links and isolates, watched ------------------------------------------------------------------------------------


@contextmanager
def watched(kind: type[Any], names: Any) -> Iterator[Edges]:
    """Note every change of `state` of every object of a class, as long as the block runs."""
    slot: Any = kind.__dict__["state"]
    edges: Edges = {}

    def put(self: Any, new: Any) -> None:
        try:
            old = names(slot.__get__(self))
        except AttributeError:
            old = "[*]"
        if old != names(new):
            edges.setdefault((old, names(new)), {})
        slot.__set__(self, new)

    kind.state = property(slot.__get__, put)
    try:
        yield edges
    finally:
        kind.state = slot


def name_of_link_state(state: State) -> str:
    return state.value


def links() -> Edges:
    """A link is cut, is healed, loses a node that is started again, and a node that is not."""
    with watched(Link, name_of_link_state) as edges, Simulation(example.app, nodes=2, cores=2, seed=1) as sim:
        here, there = sim.nodes

        def post() -> None:
            sim.send(sim.find("root/counter", node=there, core=0).address, example.Add(1), source=here)
            sim.run("1s")

        sim.run("1s")
        post()
        sim.cut(here, there)
        post()
        sim.run("60s")
        sim.heal(here, there)
        sim.run("60s")
        post()
        sim.crash(there)
        sim.run("60s")
        sim.restart(there)
        sim.run("60s")
        post()
        sim.crash(there)
        sim.run("600s")
    return edges


@message(name="state-tables:End")
class End:
    how: str


class Mortal(Isolate):
    """Starts, works and ends as it is told."""

    def __init__(self, how: str) -> None:
        self.how = how

    def start(self, ctx: Context) -> Effect:
        return {"ignore": IGNORE, "slow": Sleep(1.0, then=self.slept), "done": DONE}.get(self.how, RECEIVE)

    def slept(self, ctx: Context, outcome: object) -> Effect:
        return Crash("it never starts")

    def handle(self, ctx: Context, message: End) -> Effect:
        return DONE


def mortals(place: Place) -> Supervisor:
    children = [Child(how, Mortal, how, restart="temporary") for how in ("ignore", "done", "works", "ends")]
    return Supervisor("root", children)


def isolates() -> Edges:
    """Isolates that ignore, end in their start, end, are stopped and fail to start."""
    app = Application("mortals", tree=mortals)
    with watched(Cell, lambda state: STATE_NAMES[state]) as edges, Simulation(app, seed=1) as sim:
        sim.send(sim.find("root/ends").address, End("now"))
        sim.settle()
        sim.stop(sim.nodes[0])
        sim.run("5s")
    return edges


def page() -> str:
    own, child = explored()
    parts = [
        "# State tables",
        "Generated from the code by `python -m tests.docs.state_tables`; a test compares. Do not edit by hand.",
        "## What a spontaneous exit does",
        verdicts(),
        "`keep`: listed, not running. `remove`: its spec is gone. `Shutdown` stands for any detail.",
        "## What a restart stops and starts",
        "Of `a, b, c, d`, where `c` is temporary, `b` crashed:",
        plans(),
        "## auto_shutdown",
        shutdowns(),
        "## A supervisor",
        "`busy`: a start or a stop of its own runs, and its inbox waits (OTP: deaf). Events are those of "
        "`supervisor/events.py`; each was given wherever it is taken, to a supervisor with one transient child.",
        diagram(own),
        "## A child, as its supervisor keeps it",
        diagram(child),
        "## A link",
        "Changes seen while simulated nodes were cut, healed, crashed and started again (`transport/link.py`).",
        diagram(links()),
        "## An isolate",
        "Changes seen while isolates ignored their start, ended in it, worked, ended and were stopped.",
        diagram(isolates()),
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
