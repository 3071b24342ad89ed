"""The simulated edges keep the contracts of the real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from regrove.node.core.bounds import Bounds
from regrove.node.io import contract as io_contract
from regrove.node.simulation import faults as f
from regrove.node.simulation.clock import MILLISECOND, Clock
from regrove.node.simulation.disk import Disk
from regrove.node.simulation.edge import SimulatedEdge
from regrove.node.simulation.ends import SimulatedTransport
from regrove.node.simulation.faults import Layout
from regrove.node.simulation.network import Network
from regrove.node.simulation.seeds import Draws
from regrove.node.simulation.streams import Tcp
from regrove.transport.base import Transport
from regrove.transport.contract import PORT_CHECKS
from regrove.transport.contract_links import LINK_CHECKS


class NetworkWorld:
    """The network of a world, as the contract of transports asks for one."""

    kind = "world"
    stealable = True

    def __init__(self, seed: int) -> None:
        self.clock = Clock()
        draws = Draws(seed)
        self.network = Network(self.clock, draws, f.plan_of(None, Layout(1, 1), draws), "faithful")
        self.ends: dict[str, SimulatedTransport] = {}

    def end(self, name: str) -> SimulatedTransport:
        self.ends[name] = SimulatedTransport(self.network, name, f"{name}/0", lambda: None)
        return self.ends[name]

    def listen(self, name: str, endpoint: str = "") -> str:
        return self.ends[name].listen(endpoint or f"sim://{name}")

    def key(self, name: str) -> str:
        return ""

    def kill(self, name: str) -> None:
        self.ends.pop(name).crash()

    def now(self) -> int:
        return self.clock.now

    def wait(self, transports: Sequence[Transport], until: int) -> None:
        while self.clock.now < until and not any(transport.pending() for transport in transports):
            due = self.clock.next_time()
            self.clock.run_until(until if due is None else min(due, until))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("check", PORT_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_the_simulated_network_is_a_transport(check: Callable[[NetworkWorld], None], seed: int) -> None:
    check(NetworkWorld(seed))


@pytest.mark.parametrize("check", LINK_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_links_work_over_the_simulated_network(check: Callable[[NetworkWorld], None]) -> None:
    check(NetworkWorld(0))


@pytest.fixture
def io_bench(request: pytest.FixtureRequest) -> io_contract.Bench:
    clock = Clock()
    draws = Draws(request.param)
    tcp = Tcp(clock, draws, lambda source, target: True)
    edge = SimulatedEdge(
        "n0@sim", 0, clock, draws, tcp, Disk("n0@sim", draws), Bounds(), lambda host: None, lambda: None
    )
    return io_contract.Bench(edge, lambda: clock.run_until(clock.now + MILLISECOND))


@pytest.mark.parametrize("io_bench", range(3), indirect=True)
@pytest.mark.parametrize("check", io_contract.CHECKS, ids=lambda check: check.__name__)
def test_the_simulated_edge_is_an_edge(check: Callable[[io_contract.Bench], None], io_bench: io_contract.Bench) -> None:
    check(io_bench)
