"""Connections that wait while their core is killed: none is refused, none is reset, the replacement serves them."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.process.conftest import DEADLINE, RunningNode

    StartNode = Callable[..., RunningNode]
else:
    StartNode = Callable[..., Any]
    DEADLINE = 30.0

pytestmark = pytest.mark.processes

KILLS = 20

APP = '''
from regrove import (
    RECEIVE, Accept, Accepted, Application, Child, Close, Closed, Failed, Isolate, Listen, Listening,
    Supervisor, Write, Written,
)

class Greeter(Isolate):
    """Says hello to one connection after the other."""
    def start(self, ctx):
        return Listen("127.0.0.1", int(ctx.place.settings["port"]), shared=False)
    def handle(self, ctx, message):
        match message:
            case Listening(listener):
                self.listener = listener
                ctx.log.info("listening")
                return Accept(listener)
            case Accepted(stream):
                self.stream = stream
                return Write(stream, b"hello")
            case Written():
                return Close(self.stream)
            case Failed() | Closed():
                return Accept(self.listener)
        return RECEIVE

def tree(place):
    return Supervisor("root", [Child("greeter", Greeter)] if place.core == 1 else [])

app = Application("greeter", tree=tree)
'''


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Guests:
    """Threads that connect one after the other, and say what went wrong with connections that nobody had accepted."""

    def __init__(self, port: int, count: int) -> None:
        self.port = port
        self.greeted = 0
        self.troubles: list[str] = []
        self.killed = 0  # kills so far; one that is counted while a connection waits may have taken it along
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._visit) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(DEADLINE)

    def _visit(self) -> None:
        while not self._over.is_set():
            kills = self.killed
            try:
                with socket.create_connection(("127.0.0.1", self.port), DEADLINE) as sock:
                    said = sock.recv(5)
            except ConnectionResetError:
                said = b""
            except OSError as problem:
                self.troubles.append(f"connect: {problem}")
                continue
            if said:
                self.greeted += 1
            elif kills == self.killed:
                self.troubles.append("reset while waiting")


def test_no_connect_is_refused_and_none_reset_while_waiting_over_twenty_kills(
    start_node: StartNode, tmp_path: Path
) -> None:
    (tmp_path / "greeter.py").write_text(APP)
    port = free_port()
    node = start_node(app="greeter:app", core_restarts="1000/30s", settings={"port": str(port)})
    node.wait_line("listening")
    guests = Guests(port, 8)
    try:
        for _ in range(KILLS):
            pid = node.status()["cores"][1]["pid"]
            guests.killed += 1  # before the kill: a connection that was accepted may end with its core
            os.kill(pid, signal.SIGKILL)
            node.wait_line("listening")
            before = guests.greeted
            while guests.greeted == before:
                pass
    finally:
        guests.end()
    assert guests.troubles == []
    assert node.status()["cores"][1]["restarts"] == KILLS


def test_a_port_is_closed_when_its_core_is_quarantined(start_node: StartNode, tmp_path: Path) -> None:
    (tmp_path / "greeter.py").write_text(APP)
    port = free_port()
    node = start_node(app="greeter:app", core_restarts="0/30s", settings={"port": str(port)})
    node.wait_line("listening")
    os.kill(node.status()["cores"][1]["pid"], signal.SIGKILL)
    node.wait_line("core quarantined", core=1)
    with socket.socket() as sock:
        assert sock.connect_ex(("127.0.0.1", port)) != 0
