"""The programs on seedloop. It has no disk and no restart: a crash is a cut, and a new life of the program."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import seedloop

from benchmarks.simulators.programs import NODES, Machine, beats, raft


class _Machine:
    def __init__(self, own: int, endpoint: Any, disk: list[bytes]) -> None:
        self.own = own
        self.alive = True
        self._disk = disk
        self._loop = asyncio.get_running_loop()
        self._endpoint = endpoint

    def now(self) -> int:
        return int(self._loop.time() * 1e9)

    def at(self, time: int, action: Callable[[], None]) -> None:
        self._loop.call_at(time / 1e9 + 1e-6, self._strike, action)

    def _strike(self, action: Callable[[], None]) -> None:
        if self.alive:
            action()

    def send(self, to: int, data: bytes) -> None:
        sending = self._endpoint.send(to, data)
        try:
            sending.send(None)
        except StopIteration:
            return  # it never waits
        raise AssertionError("seedloop's send waits")

    def keep(self, data: bytes) -> None:
        self._disk.append(data)

    def kept(self) -> bytes:
        return b"".join(self._disk)


class _Place:
    """One address: its receiving loop goes on over the lives of what runs there."""

    def __init__(self, world: seedloop.World, own: int, program: Callable[[Machine], Any]) -> None:
        self.own = own
        self.program = program
        self.disk: list[bytes] = []
        self.endpoint = world.net.bind(own, loss=1 / 2000)
        self.machine: _Machine | None = None
        self.receive: Callable[[bytes], None] | None = None

    def begin(self) -> None:
        self.machine = _Machine(self.own, self.endpoint, self.disk)
        self.receive = self.program(self.machine).receive

    def end(self) -> None:
        assert self.machine is not None
        self.machine.alive = False
        self.receive = None

    async def run(self) -> None:
        while True:
            _, data = await self.endpoint.recv()
            if self.receive is not None:
                assert isinstance(data, bytes)
                self.receive(data)


class _Cluster:
    def __init__(self, world: seedloop.World) -> None:
        self._world = world
        self._places: dict[int, _Place] = {}

    async def start(self, own: int, program: Callable[[Machine], Any]) -> None:
        place = self._places[own] = _Place(self._world, own, program)
        self._world.start(place)
        place.begin()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def cut(self, some: list[int], others: list[int]) -> None:
        self._world.net.partition(set(some), set(others))

    def heal(self) -> None:
        self._world.net.heal()

    def crash(self, own: int) -> None:
        self._places[own].end()
        self._world.net.partition({own}, set(range(NODES)) - {own})

    async def restart(self, own: int) -> None:
        self._world.net.heal()
        self._places[own].begin()


def _run(program: Callable[[_Cluster], Coroutine[Any, Any, int]], seed: int) -> int:
    results: list[int] = []

    async def scenario(world: seedloop.World) -> None:
        results.append(await program(_Cluster(world)))

    seedloop.check(scenario, seeds=[seed])
    return results[0]


def run_beats(seconds: int, seed: int) -> int:
    """Return the deliveries of the reference workload."""
    return _run(lambda cluster: beats(cluster, seconds, seed), seed)


def run_raft(seed: int) -> int:
    """Run one seed; return the requests that were answered."""
    return _run(lambda cluster: raft(cluster, seed), seed)
