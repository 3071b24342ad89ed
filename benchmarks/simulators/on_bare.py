"""The programs on next to nothing: a heap of what is due, a drawn delay for each message.

No simulator written in Python can be much faster; a heap and draws in C could be.

No trace, no replay, no loss, no torn write: what is left is the time of the programs themselves and of their codec.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from functools import partial
from heapq import heappop, heappush
from random import Random
from types import coroutine
from typing import Any

from benchmarks.simulators.programs import CLIENT, NODES, Machine, beats, raft

LATENCY = (100_000, 3_000_000)


class _World:
    def __init__(self, seed: int) -> None:
        self.now = 0
        self.due: list[tuple[int, int, Callable[[], None]]] = []
        self.cuts: set[tuple[int, int]] = set()
        self.machines: list[_Machine | None] = [None] * (CLIENT + 1)
        self._random = Random(seed)
        self._number = 0

    def at(self, time: int, action: Callable[[], None]) -> None:
        self._number += 1
        heappush(self.due, (time, self._number, action))

    def send(self, source: int, to: int, data: bytes) -> None:
        self.at(self.now + self._random.randint(*LATENCY), partial(self._arrive, source, to, data))

    def _arrive(self, source: int, to: int, data: bytes) -> None:
        machine = self.machines[to]
        if machine is not None and (source, to) not in self.cuts:
            machine.receive(data)

    def run(self, main: Coroutine[Any, Any, int]) -> int:
        while True:
            try:
                until = self.now + int(main.send(None) * 1e9)
            except StopIteration as end:
                return int(end.value)
            while self.due and self.due[0][0] <= until:
                self.now, _, action = heappop(self.due)
                action()
            self.now = until


class _Machine:
    def __init__(self, own: int, world: _World, disk: list[bytes]) -> None:
        self.own = own
        self.alive = True
        self.receive: Callable[[bytes], None] = disk.append
        self._world = world
        self._disk = disk

    def now(self) -> int:
        return self._world.now

    def at(self, time: int, action: Callable[[], None]) -> None:
        self._world.at(time, partial(self._strike, action))

    def _strike(self, action: Callable[[], None]) -> None:
        if self.alive:
            action()

    def send(self, to: int, data: bytes) -> None:
        self._world.send(self.own, to, data)

    def keep(self, data: bytes) -> None:
        self._disk.append(data)

    def kept(self) -> bytes:
        return b"".join(self._disk)


class _Cluster:
    def __init__(self, world: _World) -> None:
        self._world = world
        self._programs: dict[int, Callable[[Machine], Any]] = {}
        self._disks: list[list[bytes]] = [[] for _ in range(NODES + 1)]

    async def start(self, own: int, program: Callable[[Machine], Any]) -> None:
        self._programs[own] = program
        machine = _Machine(own, self._world, self._disks[own])
        machine.receive = program(machine).receive
        self._world.machines[own] = machine

    async def sleep(self, seconds: float) -> None:
        await _sleep(seconds)

    def cut(self, some: list[int], others: list[int]) -> None:
        self._world.cuts = {pair for one in some for other in others for pair in ((one, other), (other, one))}

    def heal(self) -> None:
        self._world.cuts = set()

    def crash(self, own: int) -> None:
        machine = self._world.machines[own]
        assert machine is not None
        machine.alive = False
        self._world.machines[own] = None

    async def restart(self, own: int) -> None:
        await self.start(own, self._programs[own])


@coroutine
def _sleep(seconds: float) -> Generator[float, None, None]:
    yield seconds


def run_beats(seconds: int, seed: int) -> int:
    """Return the deliveries of the reference workload."""
    world = _World(seed)
    return world.run(beats(_Cluster(world), seconds, seed))


def run_raft(seed: int) -> int:
    """Run one seed; return the requests that were answered."""
    world = _World(seed)
    return world.run(raft(_Cluster(world), seed))
