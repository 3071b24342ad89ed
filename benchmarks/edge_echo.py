"""Echo through the edge: requests a second and CPU time a request, beside a bare epoll loop in plain Python.

    python benchmarks/edge_echo.py [--connections 50] [--bytes 224] [--seconds 2] [--profile]

The client is a process of its own with one request in flight on each connection. Only the ratio of one run means
anything: both servers are measured in turn, three rounds.
"""

from __future__ import annotations

import argparse
import cProfile
import multiprocessing
import pstats
import select
import socket
import tempfile
import time
from collections.abc import Callable

from regrove.node.core.effects import Accept, IoWait, Listen, Read, Write
from regrove.node.core.handles import Listener, Stream
from regrove.node.core.ports import IoCommand, IoRequest
from regrove.node.io import Edge, Poller

Serve = Callable[[socket.socket | None, float], int]


def client(port: int, connections: int, size: int, seconds: float) -> None:
    """Keep one request of `size` bytes in flight on every connection."""
    data = bytes(size)
    epoll = select.epoll()
    peers: dict[int, socket.socket] = {}
    missing: dict[int, int] = {}
    for _ in range(connections):
        peer = socket.create_connection(("127.0.0.1", port))
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peers[peer.fileno()] = peer
        missing[peer.fileno()] = size
        epoll.register(peer.fileno(), select.EPOLLIN)
        peer.sendall(data)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for fd, _events in epoll.poll(0.1):
            missing[fd] -= len(peers[fd].recv(65536))
            if not missing[fd]:
                missing[fd] = size
                peers[fd].sendall(data)


def serve_by_edge(connections: int, start: Callable[[int], None], seconds: float) -> tuple[int, float]:
    """Echo through an Edge; returns requests and CPU seconds."""
    poller = Poller()
    edge = Edge(poller, tempfile.gettempdir())
    stream, listener = Stream(0, "tcp"), Listener(0, "", 0)
    waits: dict[int, tuple[IoWait, int]] = {}
    served = token = 0

    def request(wait: IoWait, handle: int = 0) -> IoRequest:
        nonlocal token
        token += 1
        waits[token] = (wait, handle)
        return IoRequest(token, wait, handle)

    edge.submit([request(Listen("127.0.0.1", 0))])
    handle, _host, port = edge.collect()[0].result  # type: ignore[misc]
    edge.submit([request(Accept(listener), handle)])
    start(port)
    end = time.monotonic() + seconds
    begin = time.process_time()
    while time.monotonic() < end:
        poller.wait(100_000_000)
        commands: list[IoCommand] = []
        for done in edge.collect():
            wait, handle = waits.pop(done.token)
            result = done.result
            if type(wait) is Read:
                if result:
                    commands.append(request(Write(stream, result), handle))  # type: ignore[arg-type]
            elif type(wait) is Write:
                served += 1
                commands.append(request(Read(stream), handle))
            else:
                commands.append(request(Read(stream), result[0]))  # type: ignore[index]
                commands.append(request(Accept(listener), handle))
        edge.submit(commands)
    used = time.process_time() - begin
    edge.close()
    poller.close()
    return served, used


def serve_bare(connections: int, start: Callable[[int], None], seconds: float) -> tuple[int, float]:
    """Echo in a level-triggered epoll loop without anything around it: the floor of plain Python."""
    served = 0
    epoll = select.epoll()
    peers: dict[int, socket.socket] = {}
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as server:
        start(server.getsockname()[1])
        for _ in range(connections):
            peer, _address = server.accept()
            peer.setblocking(False)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peers[peer.fileno()] = peer
            epoll.register(peer.fileno(), select.EPOLLIN)
        end = time.monotonic() + seconds
        begin = time.process_time()
        while time.monotonic() < end:
            for fd, _events in epoll.poll(0.1):
                peers[fd].send(peers[fd].recv(65536))
                served += 1
        used = time.process_time() - begin
    for peer in peers.values():
        peer.close()
    return served, used


def main() -> None:
    """Measure both in turn, and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--bytes", type=int, default=224)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    profile = cProfile.Profile() if options.profile else None
    for _ in range(1 if profile else 3):
        for name, serve in (("edge", serve_by_edge), ("bare", serve_bare)):
            processes: list[multiprocessing.Process] = []

            def start(port: int, processes: list[multiprocessing.Process] = processes) -> None:
                arguments = (port, options.connections, options.bytes, options.seconds + 1)
                processes.append(multiprocessing.Process(target=client, args=arguments, daemon=True))
                processes[0].start()

            if profile and name == "edge":
                profile.enable()
            served, used = serve(options.connections, start, options.seconds)
            if profile and name == "edge":
                profile.disable()
            for process in processes:
                process.kill()
                process.join()
            print(f"{name}: {served / options.seconds:9.0f} requests/s, {used / max(served, 1) * 1e6:6.2f} us CPU each")
    if profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(18)


if __name__ == "__main__":
    main()
