"""Where a story plays: a simulated node or a real one. Both have the client's `call`, `send` and `supervisor`."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import regrove
from regrove.node.client.supervising import SupervisorClient
from regrove.testing import Simulation
from tests.supervision.application import Lines, Outcomes, app

LIMIT = 120.0  # seconds: ten times what a story takes on a slow machine


class Stage(Protocol):
    """Where a story plays."""

    def call(self, target: Any, request: object, timeout: float = 5.0) -> Any:
        """Ask and wait for the answer."""

    def send(self, target: Any, message: object) -> Any:
        """Send."""

    def supervisor(self, target: Any) -> SupervisorClient:
        """The API of a supervisor."""

    def until(self, condition: Callable[[], object]) -> None:
        """Let time pass until the condition holds."""

    def pause_core(self, core: int) -> None:
        """Stop a core as SIGSTOP does."""

    def resume_core(self, core: int) -> None:
        """Let it go on."""


class Simulated:
    """A simulated node of two cores."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.call, self.send, self.supervisor = sim.client.call, sim.client.send, sim.client.supervisor

    def until(self, condition: Callable[[], object]) -> None:
        for _ in range(20_000):
            if condition():
                return
            self.sim.run("1ms")
        raise AssertionError("it never comes to that")

    def pause_core(self, core: int) -> None:
        self.sim.pause(self.sim.nodes[0].cores[core])

    def resume_core(self, core: int) -> None:
        self.sim.resume(self.sim.nodes[0].cores[core])


class Real:
    """A real node of two cores."""

    def __init__(self, node: regrove.StartedNode) -> None:
        self.node = node
        self.call, self.send, self.supervisor = node.call, node.send, node.supervisor

    def until(self, condition: Callable[[], object]) -> None:
        self.node.wait_until(lambda status: condition(), timeout=LIMIT)

    def pause_core(self, core: int) -> None:
        self.node.kill_core(core, signal.SIGSTOP)

    def resume_core(self, core: int) -> None:
        self.node.kill_core(core, signal.SIGCONT)


@contextmanager
def simulated() -> Iterator[Stage]:
    with Simulation(app, cores=2, seed=1) as sim:
        yield Simulated(sim)


@contextmanager
def real() -> Iterator[Stage]:
    with regrove.start(app, cores=2) as node:
        yield Real(node)


def lines(stage: Stage, prefix: str) -> list[str]:
    """What the ledger has, from the beginning."""
    return list(stage.call("ledger", Lines(prefix), timeout=LIMIT))


def outcomes(stage: Stage) -> list[str]:
    """What the hand got."""
    return list(stage.call("hand", Outcomes(), timeout=LIMIT))
