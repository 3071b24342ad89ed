"""kill -9 of a real process at the other end of a link: noticed soon, nothing told twice, unknown ones named."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from regrove.transport.base import Peer
from regrove.transport.events import Items, LinkEvent, LinkLost, LinkUp, Refused, Verdict
from regrove.transport.handshake import Identity
from regrove.transport.links import LinkTable
from regrove.transport.zeromq import ZeromqTransport
from tests.transport.conftest import draw_of

LIMIT = 20.0  # seconds
THERE: Peer = ("there", 1, 0, 1)

CHILD = """
import os, select, sys, time
from regrove.transport.events import Items
from regrove.transport.handshake import Identity
from regrove.transport.links import LinkTable
from regrove.transport.zeromq import ZeromqTransport

transport = ZeromqTransport()
endpoint = transport.listen(sys.argv[1])
table = LinkTable(transport, Identity("test", ("there", 1, 0, 1)), lambda kind, n: int.from_bytes(os.urandom(8), "big"))
print(endpoint, flush=True)
log = open(sys.argv[2], "ab", buffering=0)
while True:
    if not transport.pending():
        select.select(transport.fds(), [], [], 0.02)
    transport.poll()
    for event in table.receive(time.monotonic_ns()):
        if isinstance(event, Items):
            log.write(b"".join(b"%d\\n" % item[1] for item in event.items))
    table.flush(time.monotonic_ns())
"""


@pytest.mark.processes
@pytest.mark.parametrize("endpoint", ["ipc", "tcp"])
def test_a_killed_process_is_noticed_and_every_message_is_accounted_for(endpoint: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    log = tmp_path / "taken"
    address = f"ipc://{run}/0.1" if endpoint == "ipc" else "tcp://127.0.0.1:0"
    child = subprocess.Popen([sys.executable, "-c", CHILD, address, str(log)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    transport = ZeromqTransport()
    try:
        bound = child.stdout.readline().strip()
        table = LinkTable(transport, Identity("test", ("here", 1, 0, 1)), draw_of("here"))
        events: list[LinkEvent] = []
        table.learn(THERE, bound)
        sent = 0
        killed_at = 0.0
        end = time.monotonic() + LIMIT
        while not any(isinstance(event, LinkLost) for event in events):
            assert time.monotonic() < end, "the loss was not noticed"
            if not transport.pending():
                select.select(transport.fds(), [], [], 0.005)
            transport.poll()
            events += table.receive(time.monotonic_ns())
            while table.post(THERE, (1, sent, b"x" * 50), sent) is Verdict.OK:
                sent += 1
            table.flush(time.monotonic_ns())
            if sent > 50_000 and not killed_at:
                os.kill(child.pid, signal.SIGKILL)
                killed_at = time.monotonic()
        noticed = time.monotonic() - killed_at
        child.wait(LIMIT)
    finally:
        child.kill()
        child.wait(LIMIT)
        child.stdout.close()
        transport.destroy()
    assert noticed < 1.0, "limits are ten times the figure of the design or more"
    (lost,) = [event for event in events if isinstance(event, LinkLost)]
    row = table.statistics()[0]
    taken = [int(line) for line in log.read_text().split()]
    assert taken == list(range(len(taken))), "in order, at most once, without a gap"
    assert row.sent == sent == row.acknowledged + row.unknown + row.lost
    assert lost.unacknowledged == tuple(range(row.acknowledged, row.acknowledged + lost.count))
    assert row.acknowledged <= len(taken) <= row.acknowledged + lost.count
    assert isinstance(events[0], LinkUp)
    assert not any(isinstance(event, Items | Refused) for event in events)
