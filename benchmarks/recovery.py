"""Recovery: kill -9 of a core with 1 000 isolates under load, again and again, until all answer again.

python -m benchmarks.recovery [KILLS]     200 by default; prints figures by kill, and what must be nothing

On core 0 a thousand askers each call one isolate of core 1, over and over; a watcher there calls all thousand as soon
as the new life answers. A recovery is the time from the SIGKILL to the answer of the last of the thousand. Meanwhile
guests connect to a port that core 1 listens on.
"""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import regrove
from benchmarks.noise import NOISY_MS
from benchmarks.recovery_app import ISOLATES, THINK_S, Progress
from regrove import Name

KILLS = 200
GUESTS = 4
LIMIT_S = 30.0


class Guests:
    """Connect one after the other; `troubles` are connections that nobody had accepted and that went wrong."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.greeted = 0
        self.worst_ms = 0.0
        self.troubles: list[str] = []
        self.kills = 0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._visit, daemon=True) for _ in range(GUESTS)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(LIMIT_S)

    def _visit(self) -> None:
        while not self._over.wait(0.002):
            kills, begun = self.kills, time.monotonic()
            try:
                with socket.create_connection(("127.0.0.1", self.port), LIMIT_S) as sock:
                    said = sock.recv(5)
            except ConnectionResetError:
                said = b""
            except OSError as problem:
                self.troubles.append(f"connect: {problem}")
                continue
            if said:
                self.greeted += 1
                self.worst_ms = max(self.worst_ms, (time.monotonic() - begun) * 1e3)
            elif kills == self.kills:
                self.troubles.append("reset while waiting")


def wait_all(node: Any, pid: int) -> int:
    """The time of the last first answer of that life, in ns."""
    limit = time.monotonic() + LIMIT_S
    while True:
        count, last = node.call(Name("watcher", core=0), Progress(pid))
        if count == ISOLATES:
            return int(last)
        if time.monotonic() > limit:
            raise SystemExit(f"only {count} of {ISOLATES} isolates answered within {LIMIT_S:.0f} s")
        time.sleep(0.01)


def one_kill(node: Any, guests: Guests, row: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """Kill core 1; returns the ms until all answered, and its new row of `status`."""
    guests.kills += 1
    begun = time.monotonic_ns()
    os.kill(row["pid"], signal.SIGKILL)
    while True:
        found: dict[str, Any] = node.status()["cores"][1]
        if found["incarnation"] > row["incarnation"] and found["state"] == "up":
            break
        time.sleep(0.01)
    spent = (wait_all(node, found["pid"]) - begun) / 1e6
    if found["last_exit"] != "killed by SIGKILL":
        raise SystemExit(f"status gives {found['last_exit']!r} as the reason of the last exit")
    return spent, found


def run(kills: int) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    probe = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.noise"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    spent: list[float] = []
    pids: set[int] = set()
    with regrove.start(
        "benchmarks.recovery_app:app",
        cores=2,
        settings={"port": str(port)},
        core_restarts=f"{kills + 1}/1h",
        log_level="error",
    ) as node:
        row = node.status()["cores"][1]
        wait_all(node, row["pid"])
        guests = Guests(port)
        for number in range(kills):
            time.sleep(THINK_S)  # until the load is on again
            took, row = one_kill(node, guests, row)
            spent.append(took)
            pids.add(row["pid"])
            if sys.stderr.isatty():
                print(f"\r{number + 1}/{kills}", end="", file=sys.stderr)
        guests.end()
        zygote = node.status()["zygote"]
    late = probe.communicate("", LIMIT_S)[0].split()
    spent.sort()
    left = [pid for pid in [*pids, zygote["pid"]] if Path(f"/proc/{pid}").exists()]
    print(f"kills {kills}; isolates {ISOLATES}; zygote {zygote['state']}")
    print(
        f"ms to the answer of the last: median {statistics.median(spent):.1f}, "
        f"p99 {spent[min(len(spent) - 1, len(spent) * 99 // 100)]:.1f}, worst {spent[-1]:.1f}"
    )
    noisy = ", NOISY: do not quote this run" if float(late[1]) > NOISY_MS else ""
    print(f"noise probe, ms late: p50 {late[0]}, p99 {late[1]}{noisy}")
    print(
        f"guests greeted {guests.greeted}, worst wait {guests.worst_ms:.1f} ms; refused or reset while waiting: "
        f"{len(guests.troubles)} {guests.troubles[:3]}"
    )
    print(f"processes left: {len(left)}; exit reason read each time: killed by SIGKILL")
    if guests.troubles or left:
        raise SystemExit(1)


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else KILLS)
