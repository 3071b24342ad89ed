"""The bare CPython loop: one deque and direct calls; no mailbox, no bound, no supervision. What Python itself allows.

python -m benchmarks.bare ping_pong|ring|fan_in SIZE      prints `rate value`
"""

from __future__ import annotations

import gc
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

RING = 1_000
SENDERS = 100
BURST = 100

Queue = deque[tuple[Callable[[int], None], int]]


class Peer:
    __slots__ = ("next", "queue")

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.next: Callable[[int], None] = self.handle

    def handle(self, message: int) -> None:
        if message:
            self.queue.append((self.next, message - 1))


class Sink:
    __slots__ = ("count", "queue", "rounds", "senders")

    def __init__(self, queue: Queue, rounds: int) -> None:
        self.queue = queue
        self.rounds = rounds
        self.count = 0
        self.senders: list[Callable[[int], None]] = []

    def handle(self, message: int) -> None:
        self.count += 1
        if self.count == SENDERS * BURST:
            self.count = 0
            self.rounds -= 1
            if self.rounds:
                for sender in self.senders:
                    self.queue.append((sender, 0))


class Sender:
    __slots__ = ("queue", "sink")

    def __init__(self, queue: Queue, sink: Callable[[int], None]) -> None:
        self.queue = queue
        self.sink = sink

    def handle(self, message: int) -> None:
        queue, sink = self.queue, self.sink
        for number in range(BURST):
            queue.append((sink, number))


def run(queue: Queue) -> float:
    gc.disable()
    gc.freeze()
    popleft = queue.popleft
    begin = time.perf_counter()
    while True:  # a `while queue:` would never be specialised (performance.md)
        if not queue:
            break
        handle, message = popleft()
        handle(message)
    return time.perf_counter() - begin


def ring(size: int, isolates: int) -> float:
    queue: Queue = deque()
    peers = [Peer(queue) for _ in range(isolates)]
    for peer, following in zip(peers, [*peers[1:], peers[0]], strict=True):
        peer.next = following.handle
    laps = size // isolates
    for peer in peers:
        queue.append((peer.handle, laps))
    return laps * isolates / run(queue)


def ping_pong(size: int) -> float:
    queue: Queue = deque()
    one, other = Peer(queue), Peer(queue)
    one.next, other.next = other.handle, one.handle
    queue.append((one.handle, size))
    return size / run(queue)


def fan_in(size: int) -> float:
    queue: Queue = deque()
    rounds = max(1, size // (SENDERS * BURST))
    sink = Sink(queue, rounds)
    senders: list[Any] = [Sender(queue, sink.handle) for _ in range(SENDERS)]
    sink.senders = [sender.handle for sender in senders]
    for sender in senders:
        queue.append((sender.handle, 0))
    return rounds * SENDERS * BURST / run(queue)


def main() -> None:
    name, size = sys.argv[1], int(sys.argv[2])
    rates = {"ping_pong": ping_pong, "ring": lambda count: ring(count, RING), "fan_in": fan_in}
    print("rate", rates[name](size))


if __name__ == "__main__":
    main()
