"""The log of a real node where nobody reads it, and where somebody asks for it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.process.conftest import RunningNode

    StartNode = Callable[..., RunningNode]
else:
    StartNode = Callable[..., Any]

pytestmark = pytest.mark.processes


def test_the_last_lines_are_shown_and_new_ones_follow(start_node: StartNode) -> None:
    node = start_node(log_level="debug")
    node.wait_line("node up")
    with node.control() as control:
        past = [line["event"] for line in control.logs("info", 1000, follow=False)]
        assert past[-1] == "node up"
        assert past.count("core up") == 2
    with node.control() as control:
        assert [line["event"] for line in control.logs("info", 1, follow=False)] == ["node up"]
    with node.control() as control:
        lines = control.logs("warning", 0, follow=True)
        os.kill(node.core_pids()[0], 9)
        assert next(line for line in lines if line["event"] == "core replaced")["reason"] == "killed by SIGKILL"


def test_a_closed_standard_error_does_not_end_the_node(start_node: StartNode) -> None:
    node = start_node()
    node.wait_line("node up")
    node.mute()
    assert node.process.stderr is not None
    os.kill(node.core_pids()[0], 9)  # ends the reader's wait for a line
    node.process.stderr.close()
    with node.control() as control:
        lines = control.logs("info", 1000, follow=True)
        next(line for line in lines if line["event"] == "core up" and line["incarnation"] == 2)
    assert node.status()["state"] == "up"
    node.process.terminate()
    assert node.process.wait(30) == 0


def test_a_pipe_that_is_never_read_stops_neither_cores_nor_commands(start_node: StartNode) -> None:
    node = start_node(log_level="debug", settings={"asks": "one@localhost/1"})
    node.wait_line("answered")
    node.mute()
    with node.control() as control:
        lines = control.logs("info", 0, follow=True)
        # 50 lines a second of 150 bytes fill a pipe of 64 KiB; what is read here comes from memory all the same.
        for _ in range(600):
            assert next(lines)["event"] in ("answered", "slow handler", "core starves", "core starves no longer")
    assert node.unread() > 0
    assert [core["restarts"] for core in node.status()["cores"]] == [0, 0]


def test_a_node_without_a_terminal_or_standard_streams_runs(start_node: StartNode) -> None:
    node = start_node()
    node.wait_line("node up")
    assert os.getsid(node.process.pid) == node.process.pid  # a session of its own: there is no terminal
    node.process.send_signal(signal.SIGHUP)
    node.wait_line("nothing to reload")
    assert node.status()["state"] == "up"
