"""Big messages between two real processes over ipc: order, answers, and a kill -9 in the middle of one."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from regrove.transport.base import Peer
from regrove.transport.events import Items, LinkEvent, LinkLost, Verdict
from regrove.transport.handshake import Identity
from regrove.transport.links import LinkTable
from regrove.transport.wire import Item
from regrove.transport.zeromq import ZeromqTransport
from tests.transport.conftest import draw_of

LIMIT = 30.0  # seconds
THERE: Peer = ("there", 1, 0, 1)
MIB = 1024 * 1024

CHILD = """
import os, select, sys, time
from regrove.transport.contract_big import ByPair
from regrove.transport.events import Items
from regrove.transport.handshake import Identity
from regrove.transport.links import LinkTable
from regrove.transport.zeromq import ZeromqTransport

transport = ZeromqTransport()
endpoint = transport.listen(sys.argv[1])
table = LinkTable(transport, Identity("test", ("there", 1, 0, 1)), lambda kind, n: int.from_bytes(os.urandom(8), "big"))
table.order = ByPair()
table.learn(("here", 1, 0, 1), sys.argv[2])
print(endpoint, flush=True)
while True:
    if not transport.pending():
        select.select(transport.fds(), [], [], 0.02)
    transport.poll()
    for event in table.receive(time.monotonic_ns()):
        if isinstance(event, Items):
            for kind, source, target, number, payload in event.items:
                table.signal(event.peer, (17, source, target, number, payload))  # an answer as large as the request
    table.flush(time.monotonic_ns())
"""


class Here:
    """This end, and the process at the other one."""

    def __init__(self, run: Path) -> None:
        run.mkdir(mode=0o700)
        self.transport = ZeromqTransport()
        mine = self.transport.listen(f"ipc://{run}/here.1")
        self.table = LinkTable(
            self.transport, Identity("test", ("here", 1, 0, 1)), draw_of("here"), advertise={"ipc": mine}
        )
        self.child = subprocess.Popen(
            [sys.executable, "-c", CHILD, f"ipc://{run}/there.1", mine], stdout=subprocess.PIPE, text=True
        )
        assert self.child.stdout is not None
        self.table.learn(THERE, self.child.stdout.readline().strip())
        self.events: list[LinkEvent] = []

    def items(self) -> list[Item]:
        return [item for event in self.events if isinstance(event, Items) for item in event.items]

    def until(self, holds: Callable[[], object]) -> None:
        end = time.monotonic() + LIMIT
        while not holds():
            assert time.monotonic() < end
            if not self.transport.pending():
                select.select(self.transport.fds(), [], [], 0.005)
            self.transport.poll()
            self.events += self.table.receive(time.monotonic_ns())
            self.table.flush(time.monotonic_ns())

    def close(self) -> None:
        self.child.kill()
        self.child.wait(LIMIT)
        assert self.child.stdout is not None
        self.child.stdout.close()
        self.transport.destroy()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    made = Here(tmp_path / "run")
    yield made
    made.close()


@pytest.mark.processes
def test_four_of_16_mib_come_back_in_order_beside_small_ones(here: Here) -> None:
    table = here.table
    waiting: list[Item] = [(1, 1, 1, number, bytes([number]) * 16 * MIB) for number in range(4)]
    small: list[Item] = [(1, 2, 2, number, b"small") for number in range(100)]
    for item in small:
        assert table.post(THERE, item) is Verdict.OK

    def all_back() -> bool:
        while waiting and table.post(THERE, waiting[0]) is Verdict.OK:
            waiting.pop(0)
        return len(here.items()) == 104

    here.until(all_back)
    big = [item for item in here.items() if item[1] == 1]
    assert [item[3] for item in big] == [0, 1, 2, 3]
    assert all(item[4] == bytes([item[3]]) * 16 * MIB for item in big)
    assert [item[3] for item in here.items() if item[1] == 2] == list(range(100))
    assert not any(isinstance(event, LinkLost) for event in here.events)


@pytest.mark.processes
def test_a_process_killed_inside_a_big_message_leaves_it_unknown(here: Here) -> None:
    assert here.table.post(THERE, (1, 1, 1, 0, b"hello"), "hello") is Verdict.OK
    here.until(here.items)
    os.kill(here.child.pid, signal.SIGSTOP)
    assert here.table.post(THERE, (1, 1, 1, 1, bytes(16 * MIB)), "big") is Verdict.OK
    here.until(lambda: here.table.statistics()[0].in_flight)
    for _ in range(20):
        here.table.flush(time.monotonic_ns())
    os.kill(here.child.pid, signal.SIGKILL)
    here.until(lambda: any(isinstance(event, LinkLost) for event in here.events))
    (lost,) = [event for event in here.events if isinstance(event, LinkLost)]
    assert "big" in lost.unacknowledged
    row = here.table.statistics()[0]
    assert row.sent == 2 == row.acknowledged + row.unknown
    assert row.bulk_bytes == 0
