"""The cost of one message to another core against the number of links it is spread over: our part, no socket below.

python -m benchmarks.fan_out LINKS MESSAGES      prints `ns value`
"""

from __future__ import annotations

import sys
import time

from regrove.node.core.randomness import key_of, mix
from regrove.transport.base import Peer
from regrove.transport.events import Items, Verdict
from regrove.transport.handshake import Identity
from regrove.transport.links import LinkTable
from regrove.transport.simulated import SimulatedNetwork

PER_LINK = 64  # messages a link gets before the pass ends


def table(network: SimulatedNetwork, name: str, peer: Peer) -> tuple[LinkTable, str]:
    transport = network.endpoint(name)
    links = LinkTable(transport, Identity("bench", peer), lambda kind, n: mix(key_of(len(name), kind), n))
    return links, transport.listen(f"sim://{name}")


def main() -> None:
    count, messages = int(sys.argv[1]), int(sys.argv[2])
    network = SimulatedNetwork(latency=lambda key: 50_000)
    here, _ = table(network, "here", ("here", 1, 0, 1))
    far = []
    peers: list[Peer] = []
    for number in range(count):
        peer: Peer = (f"far{number}", 1, 0, 1)
        links, endpoint = table(network, peer[0], peer)
        far.append(links)
        peers.append(peer)
        here.learn(peer, endpoint)
        here.warm(peer)
    every = [here, *far]
    arrived = 0

    def turn() -> None:
        nonlocal arrived
        network.advance(network.now + 200_000)
        for links in every:
            links._transport.poll()
            for event in links.receive(network.now):
                if isinstance(event, Items):
                    arrived += len(event.items)
            links.flush(network.now)

    for _ in range(200):
        turn()
    posted = 0
    payload = bytes(8)
    begin = time.perf_counter()
    while arrived < messages:
        for peer in peers:
            for _ in range(PER_LINK):
                posted += here.post(peer, (1, 7, 1, payload)) is Verdict.OK
        turn()
    print("ns", (time.perf_counter() - begin) / arrived * 1e9)


if __name__ == "__main__":
    main()
