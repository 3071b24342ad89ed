"""Signals of a manager: which of them say the same thing twice, and what a terminal that is closed says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

import regrove
from regrove.node.process.signals import ECHO_NS, Insistence
from tests.process.handing import blocked, hand_to_another_thread

if TYPE_CHECKING:
    from tests.process.conftest import RunningNode

    StartNode = Callable[..., RunningNode]
else:
    StartNode = Callable[..., Any]

MILLISECOND = 1_000_000


def test_a_signal_that_comes_twice_at_once_is_one_wish_and_one_that_comes_later_another() -> None:
    insistence = Insistence()
    assert [insistence.again(at) for at in (7, 7 + MILLISECOND, 7 + ECHO_NS, 8 + ECHO_NS)] == [False] * 3 + [True]


LATE = """
import os, signal
from regrove.node.io.poller import Poller
from regrove.node.process.signals import Signals
signals = Signals(Poller(), print)
signals.close()
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    os.kill(os.getpid(), number)
print("goes on")
"""


def test_a_signal_that_comes_when_the_node_has_ended_does_not_change_its_exit_code() -> None:
    done = subprocess.run([sys.executable, "-c", LATE], check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "goes on\n", "")


@pytest.mark.processes
def test_a_node_that_gets_two_signals_at_once_stops_in_order(start_node: StartNode) -> None:
    node = start_node(cores=1)
    node.wait_line("node up")
    node.process.send_signal(signal.SIGSTOP)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
        node.process.send_signal(number)
    assert node.wait() == 0
    ends = [line["reason"] for line in node.lines if line["event"] == "core ended"]
    assert ends == ["stopped in order (exited with status 0)"]


@pytest.mark.processes
def test_a_node_takes_a_signal_that_another_thread_is_handed(start_node: StartNode) -> None:
    node = start_node(cores=1)
    node.wait_line("node up")
    hand_to_another_thread(node.process.pid, signal.SIGTERM)
    assert node.wait() == 0
    assert [line["why"] for line in node.lines if line["event"] == "node stopping"] == ["SIGTERM"]


@pytest.mark.processes
def test_the_threads_of_a_client_leave_every_signal_to_the_program(start_node: StartNode) -> None:
    node = start_node(cores=1)
    node.wait_line("node up")
    before = set(threading.enumerate())
    with regrove.connect(node.runtime / node.name / "control") as _cluster:
        ours = [thread for thread in threading.enumerate() if thread not in before]
        masks = [blocked(os.getpid(), thread.native_id or 0) for thread in ours]
    assert [thread.name.partition(" ")[0] for thread in ours] == ["regrove-client"]
    assert [bool(mask & 1 << (number - 1)) for mask in masks for number in (signal.SIGINT, signal.SIGSEGV)] == [
        True,
        False,
    ]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


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
