"""The manager's end of the control socket when the machine has no descriptor left for who connects."""

from __future__ import annotations

import os
import resource
import socket
from pathlib import Path

from regrove.node.io.poller import Poller
from regrove.node.process.control_server import ControlServer


def test_without_a_descriptor_it_sleeps_and_serves_later(tmp_path: Path) -> None:
    poller = Poller()
    server = ControlServer(poller, tmp_path / "control", {"node": "one@here"}, lambda request: None)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(tmp_path / "control"))
        caller.setblocking(False)
        free = os.open(os.devnull, os.O_RDONLY)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            poller.wait(0)
            woken: list[bool] = []
            poller.alarm(20_000_000, lambda: woken.append(True))
            poller.wait(None)
            assert woken == [True]  # by the alarm, and not by who cannot be accepted
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        while not (served := poller_brings(poller, caller)):
            pass
        assert b"one@here" in served
    server.close()
    poller.close()


def poller_brings(poller: Poller, caller: socket.socket) -> bytes:
    poller.wait(None)
    try:
        return caller.recv(4096)
    except BlockingIOError:
        return b""
