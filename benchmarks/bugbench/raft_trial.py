"""How the bugs of the Raft are looked for: clients that put and get under faults, and all that must hold of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from benchmarks.bugbench.catalogue import Bug, Kinds
from benchmarks.bugbench.raft import Elsewhere, Get, Member, Put, Value, application
from benchmarks.bugbench.raft_core import DONE, ELSEWHERE, LOST
from benchmarks.bugbench.raft_watch import PUT, Script, Watch
from regrove import Application, CallFailed, CallTimeout, Name
from regrove.node.simulation.client import Asked
from regrove.testing import History, Operation, Register, Simulation, linearizable
from regrove.testing import faults as f

CLIENTS: Final = 2
PERIOD: Final = "20ms"  # of a client: it looks whether it has an answer, and asks the next
TIMEOUT_S: Final = 0.3
USUAL_FAULTS: Final[Kinds] = (
    f.crash(on="isolate", often=(6, 1)),
    f.crash(on="node", often=(1, 1), lasts=("50ms", "500ms")),
    f.cut(often=(4, 1), lasts=("50ms", "600ms")),
    f.pause(often=(2, 1), lasts=("50ms", "400ms")),
)


class Client:
    """A program beside the cluster that asks one thing after the other and writes down what it is told.

    From one request to the next pass at least `pace` ns.
    """

    def __init__(self, sim: Simulation, history: History, number: int, pace: int = 0) -> None:
        self.sim = sim
        self.history = history
        self.name = f"client {number}"
        self.script = Script(sim.seed, number, len(sim.nodes))
        self.pace = pace
        self.next = 0

    def ask(self) -> None:
        """Ask the next."""
        self.next = self.sim.now + self.pace
        name, key, value = self.script.next()
        request: Put | Get
        if name == PUT:
            request, operation = Put(key, value), self.history.invoke(self.name, "write", value, key=key)
        else:
            request, operation = Get(key), self.history.invoke(self.name, "read", key=key)
        member = Name("raft", f"n{self.script.member}@sim")
        self._wait(self.sim.client.begin(member, request, TIMEOUT_S), operation)

    def _wait(self, asked: Asked, operation: Operation) -> None:
        self.sim.after(PERIOD, partial(self._look, asked, operation))

    def _look(self, asked: Asked, operation: Operation) -> None:
        if not asked.done:
            self._wait(asked, operation)
            return
        try:
            answer = asked.value
        except (CallFailed, CallTimeout):
            answer = None
        self._told(answer, operation)
        early = self.next - self.sim.now
        if early > 0:
            self.sim.after(f"{early}ns", self.ask)
        else:
            self.ask()

    def _told(self, answer: Any, operation: Operation) -> None:
        match answer:
            case Value(value):
                self.history.ok(operation, value)
                self.script.told(DONE, value)
            case Elsewhere(leader):
                self.history.fail(operation)
                self.script.told(ELSEWHERE, leader)
            case _:
                self.history.info(operation)
                self.script.told(LOST, None)


def members(sim: Simulation) -> list[Any]:
    """The decisions of all members that are up."""
    return [member.raft for member in sim.isolates(Member) if member.raft is not None]


def check(span: str, sim: Simulation) -> None:
    """Let clients work for `span` under faults; all must hold at all times, and the history be linearizable."""
    watch = Watch()
    history = sim.history()
    sim.always("a Raft is safe", lambda world: watch.look(members(world)), every="5ms")
    for number in range(CLIENTS):
        Client(sim, history, number).ask()
    sim.run(span)
    watch.look(members(sim))
    linearizable(history, Register())


def _app(nodes: int, flaw: str, broken: bool) -> Application:
    return application(nodes, flaw if broken else "")


def raft_bug(
    flaw: str,
    what: str,
    faults: Kinds,
    nodes: int = 5,
    span: str = "5s",
    check: Callable[[str, Simulation], None] = check,
) -> Bug:
    """The bug that is the Raft with `flaw`; another `check` may do more to the world."""
    name = f"raft-{flaw}"
    return Bug(
        name,
        what,
        partial(_app, nodes, flaw),
        partial(check, span),
        nodes=nodes,
        faults=faults,
        span=span,
        heavy=True,
    )
