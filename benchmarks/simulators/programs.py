"""What every peer runs: members that beat, a Raft with a client, and what happens to them. The standard library only.

A program knows its machine by what it calls on it; `machine.at` and `machine.send` act at once and wait for nothing,
which is the cheapest way in each of the peers. Messages are marshalled tuples, the fastest codec Python brings along.
"""

from __future__ import annotations

from collections.abc import Callable
from marshal import dumps, loads
from random import Random
from typing import Any, Final, Protocol

from benchmarks.bugbench.raft_core import LOST, Raft
from benchmarks.bugbench.raft_disk import decoded, encoded
from benchmarks.bugbench.raft_watch import PUT, Script, Watch

NODES: Final = 5
CLIENT: Final = NODES  # the machine of the client
PERIOD: Final = 50_000_000
LOOK: Final = 20_000_000  # how often a client looks for its answer
PATIENCE: Final = 300_000_000
PACE: Final = 100_000_000  # from one request to the next: time for an answer in each simulator, whatever its latency
WATCH_S: Final = 0.05
RAFT_S: Final = 5.0


class Machine(Protocol):
    """What a program is given: its number, the time in ns, timers, the network and a disk."""

    own: int

    def now(self) -> int: ...
    def at(self, time: int, action: Callable[[], None]) -> None: ...
    def send(self, to: int, data: bytes) -> None: ...
    def keep(self, data: bytes) -> None: ...
    def kept(self) -> bytes: ...


class Cluster(Protocol):
    """The machines of a world, and what can happen to them. Each `start`ed program is made anew by `restart`."""

    async def start(self, own: int, program: Callable[[Machine], Any]) -> None: ...
    async def sleep(self, seconds: float) -> None: ...
    def cut(self, some: list[int], others: list[int]) -> None: ...
    def heal(self) -> None: ...
    def crash(self, own: int) -> None: ...
    async def restart(self, own: int) -> None: ...


class Beats:
    """Beats to all others every 50 ms and acknowledges their beats."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.number = 0
        self.handled = 0
        self.acknowledged = [0] * NODES
        self.others = [other for other in range(NODES) if other != machine.own]
        self.next = machine.now() + PERIOD
        machine.at(self.next, self.beat)

    def beat(self) -> None:
        self.number += 1
        data = dumps(("beat", self.machine.own, self.number))
        for other in self.others:
            self.machine.send(other, data)
        self.next += PERIOD
        self.machine.at(self.next, self.beat)

    def receive(self, data: bytes) -> None:
        kind, source, number = loads(data)
        self.handled += 1
        if kind == "beat":
            self.machine.send(source, dumps(("ack", self.machine.own, number)))
        else:
            self.acknowledged[source] = number


async def beats(cluster: Cluster, seconds: int, seed: int) -> int:
    """Run the reference workload; return how many messages were delivered."""
    members: list[Beats] = []
    for own in range(NODES):
        await cluster.start(own, lambda machine: members.append(Beats(machine)) or members[-1])  # type: ignore[func-returns-value]
    random = Random(seed)
    left = float(seconds)
    while left > 0:
        calm = min(random.expovariate(0.1), left)
        await cluster.sleep(calm)
        left -= calm
        one, other = random.sample(range(NODES), 2)
        cluster.cut([one], [other])
        lasts = min(random.uniform(0.1, 3.0), max(left, 0.0))
        await cluster.sleep(lasts)
        left -= lasts
        cluster.heal()
    return sum(member.handled for member in members)


class Member:
    """One member of the Raft on a machine."""

    def __init__(self, machine: Machine, seed: int) -> None:
        self.machine = machine
        records, _ = decoded(machine.kept())
        self.raft = Raft(machine.own, NODES, seed, machine.now(), records)
        self.armed = 0
        self.carry_out()

    def receive(self, data: bytes) -> None:
        kind, fields = loads(data)
        now = self.machine.now()
        if kind == "ask":
            name, key, value, token = fields
            if name == PUT:
                self.raft.write(now, token, key, value)
            else:
                self.raft.read(now, token, key)
        else:
            getattr(self.raft, kind)(now, *fields)
        self.carry_out()

    def wake(self) -> None:
        self.armed = 0
        self.raft.wake(self.machine.now())
        self.carry_out()

    def carry_out(self) -> None:
        raft, machine = self.raft, self.machine
        if not self.armed or raft.deadline < self.armed:
            self.armed = raft.deadline
            machine.at(self.armed, self.wake)
        records, packets, answers = raft.take()
        if records:
            machine.keep(encoded(records))
        for to, kind, fields in packets:
            machine.send(to, dumps((kind, fields)))
        for token, status, value in answers:
            machine.send(CLIENT, dumps((token, status, value)))


class Client:
    """Asks one thing each 100 ms at most; what has no answer after 300 ms is given up."""

    def __init__(self, machine: Machine, seed: int) -> None:
        self.machine = machine
        self.script = Script(seed, 0, NODES)
        self.token = 0
        self.given_up = self.next = 0
        self.answer: tuple[str, int | None] | None = None
        self.ask()

    def ask(self) -> None:
        name, key, value = self.script.next()
        self.token += 1
        self.answer = None
        now = self.machine.now()
        self.given_up = now + PATIENCE
        self.next = now + PACE
        self.machine.send(self.script.member, dumps(("ask", (name, key, value, self.token))))
        self.machine.at(now + LOOK, self.look)

    def receive(self, data: bytes) -> None:
        token, status, value = loads(data)
        if token == self.token:
            self.answer = (status, value)

    def look(self) -> None:
        now = self.machine.now()
        if self.answer is not None:
            self.script.told(*self.answer)
        elif now >= self.given_up:
            self.script.told(LOST, None)
        else:
            self.machine.at(now + LOOK, self.look)
            return
        if now < self.next:
            self.machine.at(self.next, self.ask)
        else:
            self.ask()


def mishaps(seed: int) -> tuple[int, list[int], list[int]]:
    """Which member crashes at 2 s for half a second, and who is cut from whom from 3 s to 4 s: of every simulator."""
    order = Random(seed).sample(range(NODES), NODES)
    return order[0], order[:2], order[2:]


async def raft(cluster: Cluster, seed: int) -> int:
    """Run one seed of the Raft; return how many requests its client had answered. Raises Unsafe."""
    members: dict[int, Member] = {}
    clients: list[Client] = []

    def born(machine: Machine) -> Member:
        members[machine.own] = Member(machine, seed * NODES + machine.own)
        return members[machine.own]

    def asks(machine: Machine) -> Client:
        clients.append(Client(machine, seed))
        return clients[-1]

    for own in range(NODES):
        await cluster.start(own, born)
    await cluster.start(CLIENT, asks)
    watch = Watch()

    async def pass_(seconds: float) -> None:
        for _ in range(round(seconds / WATCH_S)):
            await cluster.sleep(WATCH_S)
            watch.look(member.raft for member in members.values())

    down, some, others = mishaps(seed)
    await pass_(2.0)
    cluster.crash(down)
    del members[down]
    await pass_(0.5)
    await cluster.restart(down)
    await pass_(0.5)
    cluster.cut(some, others)
    await pass_(1.0)
    cluster.heal()
    await pass_(RAFT_S - 4.0)
    return clients[0].script.done
