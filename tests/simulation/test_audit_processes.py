"""Whether an audit leaves processes behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVED = """
import signal
import sys
from pathlib import Path

from regrove.node.simulation.auditing.variants import serve


def play(subject, seed):
    alive.write("runs")
    alive.flush()
    signal.pause()


alive = open("alive", "w")
serve(Path(sys.argv[1]), play)
"""
STARTER = """
import sys
from pathlib import Path

from regrove.node.simulation.auditing.launching import launcher
from regrove.node.simulation.auditing.variants import Order, write_orders

write_orders([Order(0, "", 0)], Path("orders"))
launcher(lambda orders: [sys.executable, "served.py", str(orders)])("1", Path("orders"))
"""
LONG = 60  # seconds


def test_the_processes_of_an_audit_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    (tmp_path / "served.py").write_text(SERVED)
    os.mkfifo(tmp_path / "alive")
    started = subprocess.Popen(
        [sys.executable, "-c", STARTER], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, start_new_session=True
    )
    try:
        with (tmp_path / "alive").open("rb", buffering=0) as alive:
            assert alive.read(4) == b"runs"
            started.kill()
            started.wait()
            ended, _, _ = select.select([alive], [], [], LONG)
            assert ended, "nobody holds the other end of the pipe any more"
            assert alive.read() == b""
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
