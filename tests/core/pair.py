"""Cores linked over the simulated transport, on one virtual clock: what the tests of mail between cores drive."""

from __future__ import annotations

from typing import Any

from regrove import Supervisor
from regrove.node.core.address import Address, Home
from regrove.node.core.bounds import Bounds
from regrove.node.core.core import Core, CoreSettings
from regrove.node.core.isolate import Cell
from regrove.node.core.ports import Inputs, NamesChanged, PeerCore, PeerGone
from regrove.supervisor.reasons import CoreDown
from regrove.transport.handshake import Identity
from regrove.transport.link import LinkSettings
from regrove.transport.links import LinkTable
from regrove.transport.simulated import SimulatedNetwork
from tests.core.bench import SECOND, Log

MILLI = 1_000_000


def draw(kind: str, ordinal: int) -> int:
    return hash_of(f"{kind}/{ordinal}")


def hash_of(text: str) -> int:
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


class Host:
    """One life of one core, its links and its end of the network."""

    def __init__(self, pair: Pair, home: Home, tree: Supervisor, bounds: Bounds, link: LinkSettings) -> None:
        self.name = f"{home.node}/{home.core}.{home.core_incarnation}"
        self.endpoint = f"sim://{self.name}"
        self.transport = pair.network.endpoint(self.name)
        identity = Identity("test", tuple(home))  # type: ignore[arg-type]
        self.table = LinkTable(self.transport, identity, draw, link, advertise={"sim": self.endpoint})
        self.transport.listen(self.endpoint)
        self.log = Log()
        self.core = Core(CoreSettings(home, cores=2, bounds=bounds, strict=True), tree, self.table, self.log)
        self.names: NamesChanged | None = None
        self.core.boot()

    def cell(self, path: str) -> Cell:
        return next(cell for cell in self.core.cells if cell is not None and cell.path == path)

    def address(self, path: str) -> Address:
        return self.cell(path).address

    def isolate(self, path: str) -> Any:
        return self.cell(path).isolate


class Pair:
    """Cores `a` and `b` of one node, each with its children."""

    def __init__(
        self,
        a: list[Any],
        b: list[Any],
        *,
        bounds: Bounds | None = None,
        link: LinkSettings | None = None,
        latency: int = MILLI,
    ) -> None:
        self.now = SECOND
        self.network = SimulatedNetwork(latency=lambda key: latency)
        self.bounds = bounds or Bounds()
        self.link = link or LinkSettings()
        self.hosts: dict[int, Host] = {}
        self.lives = {0: 0, 1: 0}
        self.trees = {0: a, 1: b}
        self.start(0)
        self.start(1)
        self.run(0.1)

    @property
    def a(self) -> Host:
        return self.hosts[0]

    @property
    def b(self) -> Host:
        return self.hosts[1]

    def start(self, index: int) -> None:
        """Begin a life of a core, and introduce it to the other."""
        self.lives[index] += 1
        home = Home("n@h", 1, index, self.lives[index])
        host = Host(self, home, Supervisor("root", self.trees[index], intensity=100), self.bounds, self.link)
        self.hosts[index] = host
        for other in self.hosts.values():
            if other is not host:
                self._pass(other, PeerCore(home, host.endpoint))
                self._pass(host, PeerCore(other.core.home, other.endpoint))
                if other.names is not None:
                    self._pass(host, other.names)

    def crash(self, index: int) -> None:
        """End a core as `kill -9` does, and tell the other as the manager does."""
        host = self.hosts.pop(index)
        self.network.crash(host.name)
        for other in self.hosts.values():
            self._pass(other, PeerGone(host.core.home, CoreDown("killed by SIGKILL")))

    def run(self, seconds: float) -> None:
        """Let virtual time pass in steps of a millisecond."""
        end = self.now + int(seconds * SECOND)
        while self.now < end:
            self.now += MILLI
            self.network.advance(self.now)
            for host in list(self.hosts.values()):
                self._pass(host)

    def _pass(self, host: Host, *control: Any) -> None:
        while host.transport.poll():
            pass
        host.core.step(self.now, Inputs(control=list(control), wall=self.now))
        for output in host.core.finish(self.now).control:
            if isinstance(output, NamesChanged):
                host.names = output
                for other in list(self.hosts.values()):
                    if other is not host:
                        self._pass(other, output)

    def tell(self, host: Host, path: str, message: Any, seconds: float = 0.15) -> None:
        """Send as from a sibling, and let the links carry what follows."""
        assert host.core.inject(host.address(path), message)
        self.run(seconds)

    def total(self, name: str) -> int:
        return sum(getattr(host.core.counters, name) for host in self.hosts.values())
