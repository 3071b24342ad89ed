"""The manager's end of the control socket when the machine has no descriptor left for who connects."""

from __future__ import annotations

import os
import resource
import select
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from regrove.node.client.feed import ControlFeed
from regrove.node.io.poller import Poller
from regrove.node.process.control import ControlClient, ControlRefused
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


def test_who_comes_when_there_are_as_many_clients_as_it_takes_is_told_so(tmp_path: Path) -> None:
    poller = Poller()
    server = ControlServer(poller, tmp_path / "control", {"node": "one@here"}, lambda request: None, clients_max=1)
    with socket.socket(socket.AF_UNIX) as first, ThreadPoolExecutor(1) as second:
        first.connect(str(tmp_path / "control"))
        poller.wait(None)
        refused = second.submit(ControlClient, tmp_path / "control", 30.0)
        poller.wait(None)
        with pytest.raises(
            ControlRefused, match=r"^node one@here has 1 control clients, as many as it takes; end some of them: .*$"
        ):
            refused.result()
    server.close()
    poller.close()


def test_a_program_that_is_turned_away_says_why_it_has_no_directory(tmp_path: Path) -> None:
    poller = Poller()
    server = ControlServer(poller, tmp_path / "control", {"node": "one@here"}, lambda request: None, clients_max=0)
    feed = ControlFeed(tmp_path / "control")
    assert feed.poll(0) == []  # connects
    poller.wait(None)
    select.select(feed.fds(), [], [])
    assert feed.poll(0) == []
    assert feed.problem.startswith("node one@here has 0 control clients, as many as it takes; end some of them: ")
    feed.close()
    server.close()
    poller.close()


def poller_brings(poller: Poller, caller: socket.socket) -> bytes:
    poller.wait(None)
    try:
        return caller.recv(4096)
    except BlockingIOError:
        return b""
