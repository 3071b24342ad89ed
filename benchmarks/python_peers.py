"""Python's actor libraries, where they are importable: pykka, thespian, xoscar; ray for requests in flight.

python -m benchmarks.python_peers NAME ping_pong|in_flight SIZE      prints `rate value`
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from importlib import import_module
from typing import Any

LIMIT_S = 100.0


def pykka(size: int) -> float:
    library: Any = import_module("pykka")
    done = threading.Event()

    class Peer(library.ThreadingActor):  # type: ignore[misc]  # the library is not installed where types are checked
        next: Any = None

        def on_receive(self, message: Any) -> None:
            if not isinstance(message, int):
                self.next = message
            elif message:
                self.next.tell(message - 1)
            else:
                done.set()

    one, other = Peer.start(), Peer.start()
    one.tell(other)
    other.tell(one)
    begin = time.perf_counter()
    one.tell(size)
    if not done.wait(LIMIT_S):
        raise SystemExit("pykka did not finish")
    rate = size / (time.perf_counter() - begin)
    library.ActorRegistry.stop_all()
    return rate


def thespian(size: int) -> float:
    """Its `simpleSystemBase`: all actors in this process, by direct calls."""
    library: Any = import_module("thespian.actors")

    class Peer(library.Actor):  # type: ignore[misc]  # the library is not installed where types are checked
        def receiveMessage(self, message: Any, sender: Any) -> None:  # noqa: N802  # the library's name
            if isinstance(message, tuple):
                self.next, self.asker = message
            elif isinstance(message, int) and message:
                self.send(self.next, message - 1)
            elif message == 0:
                self.send(self.asker, "done")

    class Asker(library.Actor):  # type: ignore[misc]  # the library is not installed where types are checked
        outside: Any = None

        def receiveMessage(self, message: Any, sender: Any) -> None:  # noqa: N802  # the library's name
            if message == "done":
                self.send(self.outside, "done")
            elif isinstance(message, tuple):
                self.outside = sender
                self.send(message[0], message[1])

    system = library.ActorSystem("simpleSystemBase")
    one, other, asker = (system.createActor(actor) for actor in (Peer, Peer, Asker))
    system.tell(one, (other, asker))
    system.tell(other, (one, asker))
    begin = time.perf_counter()
    if system.ask(asker, (one, size), LIMIT_S) != "done":
        raise SystemExit("thespian did not finish")
    rate = size / (time.perf_counter() - begin)
    system.shutdown()
    return rate


def xoscar(size: int) -> float:
    """Two actors of one pool, each message an awaited one-way `tell`."""
    return asyncio.run(_xoscar(size))


class _Done:
    event: asyncio.Event | None = None


async def _xoscar(size: int) -> float:
    library: Any = import_module("xoscar")

    class Peer(library.Actor):  # type: ignore[misc]  # the library is not installed where types are checked
        async def meet(self, other: Any) -> None:
            self.other = other

        async def hand(self, left: int) -> None:
            if left:
                await self.other.hand.tell(left - 1)
            elif _Done.event is not None:
                _Done.event.set()

    pool = await library.create_actor_pool("127.0.0.1:0", n_process=0)
    async with pool:
        address = pool.external_address
        one = await library.create_actor(Peer, address=address, uid="one")
        other = await library.create_actor(Peer, address=address, uid="other")
        await one.meet(other)
        await other.meet(one)
        _Done.event = asyncio.Event()
        begin = time.perf_counter()
        await one.hand.tell(size)
        await asyncio.wait_for(_Done.event.wait(), LIMIT_S)
        return size / (time.perf_counter() - begin)


def ray(size: int) -> float:
    """Calls to one actor in a process of its own, 1 000 in flight."""
    library: Any = import_module("ray")
    library.init(num_cpus=1, include_dashboard=False, configure_logging=False, log_to_driver=False)

    class Far:
        def answer(self, value: int) -> int:
            return value

    far = library.remote(Far).remote()
    library.get(far.answer.remote(1))
    begin = time.perf_counter()
    waiting = [far.answer.remote(1) for _ in range(min(size, 1_000))]
    asked = len(waiting)
    while waiting:
        ended, waiting = library.wait(waiting, num_returns=min(100, len(waiting)))
        library.get(ended)
        more = min(len(ended), size - asked)
        asked += more
        waiting += [far.answer.remote(1) for _ in range(more)]
    rate = size / (time.perf_counter() - begin)
    library.shutdown()
    return rate


PEERS = {"pykka": pykka, "thespian": thespian, "xoscar": xoscar, "ray": ray}


def main() -> None:
    print("rate", PEERS[sys.argv[1]](int(sys.argv[3])), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
