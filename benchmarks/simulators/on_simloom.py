"""The programs on simloom: datagrams, a disk with fsync, hosts that crash and restart."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

import simloom

from benchmarks.simulators.programs import Machine, beats, raft

PORT = 7


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.receive: Callable[[bytes], None] = _drop

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.receive(data)


def _drop(data: bytes) -> None:
    """Nothing runs there yet."""


class _Machine:
    def __init__(self, own: int, host: Any, transport: asyncio.DatagramTransport) -> None:
        self.own = own
        self._disk = host.disk
        self._loop = asyncio.get_running_loop()
        self._send = transport.sendto

    def now(self) -> int:
        return int(self._loop.time() * 1e9)

    def at(self, time: int, action: Callable[[], None]) -> None:
        self._loop.call_at(time / 1e9 + 1e-6, action)

    def send(self, to: int, data: bytes) -> None:
        self._send(data, (f"n{to}", PORT))

    def keep(self, data: bytes) -> None:
        path = f"{len(self._disk.files()):08}"
        self._disk.write(path, data)
        self._disk.fsync(path)

    def kept(self) -> bytes:
        return b"".join(self._disk.read(path) for path in self._disk.files())


class _Cluster:
    def __init__(self, world: Any) -> None:
        self._world = world
        world.net.set_latency(0.0001, 0.003)
        self._bound: dict[int, asyncio.Event] = {}

    async def start(self, own: int, program: Callable[[Machine], Any]) -> None:
        host = self._world.host(f"n{own}")
        ready = asyncio.Event()
        host.spawn(functools.partial(self._run, own, host, program, ready))
        await ready.wait()

    async def _run(self, own: int, host: Any, program: Callable[[Machine], Any], ready: asyncio.Event) -> None:
        receiver = _Receiver()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: receiver, local_addr=(f"n{own}", PORT))
        await asyncio.sleep(0.01)  # until all have a name
        receiver.receive = program(_Machine(own, host, transport)).receive
        ready.set()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def cut(self, some: list[int], others: list[int]) -> None:
        self._world.net.partition(*([self._world.host(f"n{own}") for own in side] for side in (some, others)))

    def heal(self) -> None:
        self._world.net.heal()

    def crash(self, own: int) -> None:
        self._world.host(f"n{own}").crash()

    async def restart(self, own: int) -> None:
        self._world.host(f"n{own}").restart()
        await asyncio.sleep(0.02)


def _run(program: Callable[[_Cluster], Coroutine[Any, Any, int]], seed: int) -> int:
    async def main(world: simloom.World) -> int:
        return await program(_Cluster(world))

    return int(simloom.run(main, seed=seed).value)


def run_beats(seconds: int, seed: int) -> int:
    """Return the deliveries of the reference workload."""
    return _run(lambda cluster: beats(cluster, seconds, seed), seed)


def run_raft(seed: int) -> int:
    """Run one seed; return the requests that were answered."""
    return _run(lambda cluster: raft(cluster, seed), seed)
