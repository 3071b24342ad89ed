"""The worlds of the contract: simulated, ipc, tcp in the clear, tcp with CURVE."""

from __future__ import annotations

import hashlib
import select
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from regrove.transport.base import Transport
from regrove.transport.keys import Curve, KeyPair, loopback_list
from regrove.transport.simulated import Key, SimulatedNetwork, SimulatedTransport
from regrove.transport.zeromq import ZeromqTransport, make_pair


def draw_of(owner: str) -> Callable[[str, int], int]:
    """Keyed randomness, as a simulated world gives it."""

    def draw(kind: str, ordinal: int) -> int:
        return int.from_bytes(hashlib.blake2b(f"{owner}/{kind}/{ordinal}".encode(), digest_size=8).digest(), "big")

    return draw


class SimulatedWorld:
    kind = "simulated"
    stealable = True

    def __init__(self) -> None:
        def latency(key: Key) -> int:
            return 50_000 + draw_of(f"{key.source}>{key.target}")(f"latency/{key.dial}", key.ordinal) % 400_000

        self.network = SimulatedNetwork(latency=latency)
        self.ends: dict[str, SimulatedTransport] = {}

    def end(self, name: str) -> SimulatedTransport:
        self.ends[name] = self.network.endpoint(name)
        return self.ends[name]

    def listen(self, name: str, endpoint: str = "") -> str:
        return self.ends[name].listen(endpoint or f"sim://{name}")

    def key(self, name: str) -> str:
        return ""

    def kill(self, name: str) -> None:
        self.network.crash(name)
        del self.ends[name]

    def now(self) -> int:
        return self.network.now

    def wait(self, transports: Sequence[Transport], until: int) -> None:
        due = self.network.next_time()
        self.network.advance(max(self.network.now + 1, min(until, until if due is None else due)))

    def close(self) -> None:
        for end in self.ends.values():
            end.destroy()


class ZeromqWorld:
    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.stealable = kind != "ipc"
        self.folder = folder
        self.folder.mkdir(mode=0o700)
        self.pair: KeyPair = make_pair()
        self.ends: dict[str, ZeromqTransport] = {}

    def end(self, name: str) -> ZeromqTransport:
        allowed = loopback_list(self.pair)
        curve = Curve(self.pair, allowed.__contains__) if self.kind == "tcp+curve" else None
        self.ends[name] = ZeromqTransport(curve=curve)
        return self.ends[name]

    def listen(self, name: str, endpoint: str = "") -> str:
        if not endpoint:
            endpoint = f"ipc://{self.folder}/{name}.1" if self.kind == "ipc" else "tcp://127.0.0.1:0"
        return self.ends[name].listen(endpoint)

    def key(self, name: str) -> str:
        return self.pair.public if self.kind == "tcp+curve" else ""

    def kill(self, name: str) -> None:
        self.ends.pop(name).destroy()

    def now(self) -> int:
        return time.monotonic_ns()

    def wait(self, transports: Sequence[Transport], until: int) -> None:
        with select.epoll() as poller:
            for transport in transports:
                for fd in transport.fds():
                    poller.register(fd, select.EPOLLIN)
            poller.poll(max(0, until - time.monotonic_ns()) / 1e9)

    def close(self) -> None:
        for end in self.ends.values():
            end.destroy()


AnyWorld = SimulatedWorld | ZeromqWorld


@pytest.fixture(params=["simulated", "ipc", "tcp", "tcp+curve"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnyWorld]:
    made: AnyWorld = SimulatedWorld() if request.param == "simulated" else ZeromqWorld(request.param, tmp_path / "run")
    yield made
    made.close()
