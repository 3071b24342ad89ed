"""Signals of a manager: which of them say the same thing twice, and what a terminal that is closed says."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from regrove.node.io.poller import Poller
from regrove.node.process.signals import Signals

if TYPE_CHECKING:
    from tests.process.conftest import RunningNode

    StartNode = Callable[..., RunningNode]
else:
    StartNode = Callable[..., Any]


def test_a_signal_that_is_sent_twice_at_once_is_one() -> None:
    heard: list[int] = []
    poller = Poller()
    signals = Signals(poller, heard.append)
    try:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), number)
        poller.wait(0)
        assert heard == [signal.SIGTERM, signal.SIGHUP]
        os.kill(os.getpid(), signal.SIGTERM)
        poller.wait(0)
        assert heard[2:] == [signal.SIGTERM]
    finally:
        signals.close()
        poller.close()


@pytest.mark.processes
def test_a_node_whose_terminal_is_closed_stops_in_order(start_node: StartNode) -> None:
    ours, theirs = os.openpty()
    node = start_node(terminal=theirs, cores=1)
    os.close(theirs)
    node.wait_line("node up")
    os.close(ours)
    assert node.wait() == 0
    assert [line["why"] for line in node.lines if line["event"] == "node stopping"] == ["SIGHUP: its terminal is gone"]
    ends = [line["reason"] for line in node.lines if line["event"] == "core ended"]
    assert ends == ["stopped in order (exited with status 0)"]
