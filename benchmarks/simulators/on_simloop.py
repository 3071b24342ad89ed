"""The programs on simloop: datagrams, a disk with sync, hosts that crash and restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import simloop

from benchmarks.simulators.programs import CLIENT, Machine, beats, raft

PORT = 7


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.receive: Callable[[bytes], None] = _drop

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.receive(data)


def _drop(data: bytes) -> None:
    """Nothing runs there yet."""


class _Machine:
    def __init__(self, own: int, disk: Any, transport: asyncio.DatagramTransport) -> None:
        self.own = own
        self.alive = True
        self._disk = disk
        self._loop = asyncio.get_running_loop()
        self._transport = transport

    def now(self) -> int:
        return int(self._loop.time() * 1e9)

    def at(self, time: int, action: Callable[[], None]) -> None:
        self._loop.call_at(time / 1e9 + 1e-6, self._strike, action)

    def _strike(self, action: Callable[[], None]) -> None:
        if self.alive:  # a crash cancels tasks, not timers
            action()

    def send(self, to: int, data: bytes) -> None:
        self._transport.sendto(data, (f"n{to}", PORT))

    def keep(self, data: bytes) -> None:
        self._disk[f"{len(self._disk):08}"] = data
        self._disk.sync()

    def kept(self) -> bytes:
        return b"".join(self._disk[path] for path in sorted(self._disk))


class _Cluster:
    def __init__(self) -> None:
        self._net = asyncio.get_running_loop().net  # type: ignore[attr-defined]
        self._net.set_defaults(latency=(0.0001, 0.003), drop=1 / 2000)
        for own in range(CLIENT + 1):
            self._net.host(f"n{own}")
        self._programs: dict[int, Callable[[Machine], Any]] = {}
        self._machines: dict[int, _Machine] = {}

    async def start(self, own: int, program: Callable[[Machine], Any]) -> None:
        self._net.set_disk(f"n{own}", buffered=True, torn=True)
        self._programs[own] = program
        await self._net.host(f"n{own}").create_task(self._run(own))

    async def _run(self, own: int) -> None:
        receiver = _Receiver()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: receiver, local_addr=("0.0.0.0", PORT))
        await asyncio.sleep(0.01)
        machine = self._machines[own] = _Machine(own, self._net.host(f"n{own}").disk, transport)
        receiver.receive = self._programs[own](machine).receive

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def cut(self, some: list[int], others: list[int]) -> None:
        self._net.partition([f"n{own}" for own in some], [f"n{own}" for own in others])

    def heal(self) -> None:
        self._net.heal()

    def crash(self, own: int) -> None:
        self._machines[own].alive = False
        self._net.crash(f"n{own}")

    async def restart(self, own: int) -> None:
        self._net.restart(f"n{own}")
        await self._net.host(f"n{own}").create_task(self._run(own))


def _run(program: Callable[[_Cluster], Coroutine[Any, Any, int]], seed: int) -> int:
    results: list[int] = []

    async def main() -> None:
        results.append(await program(_Cluster()))

    report = simloop.explore(main, [seed])
    if report is not None:
        raise report.exception
    return results[0]


def run_beats(seconds: int, seed: int) -> int:
    """Return the deliveries of the reference workload."""
    return _run(lambda cluster: beats(cluster, seconds, seed), seed)


def run_raft(seed: int) -> int:
    """Run one seed; return the requests that were answered."""
    return _run(lambda cluster: raft(cluster, seed), seed)
