"""Cores that stand still, for real: named by file and line, replaced; what only looks like it is left alone."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.process.conftest import RunningNode

    StartNode = Callable[..., RunningNode]
else:
    StartNode = Callable[..., Any]

pytestmark = pytest.mark.processes

APP = """
import re, time
from regrove import RECEIVE, Application, Child, Isolate, Supervisor, message

@message
class Begin:
    how: str

class Worker(Isolate):
    def start(self, ctx):
        how = ctx.place.settings.get("how", "")
        if how == "slow start":
            time.sleep(3)
            ctx.log.info("was slow to start")
        elif how == "busy start":
            ctx.log.info("begins")
            end = time.process_time() + 0.3
            while time.process_time() < end:
                pass
        elif how and ctx.place.core == 0:
            ctx.send_after(0.2, Begin(how))
        return RECEIVE

    def handle(self, ctx, message):
        if message.how != "work":
            ctx.log.info("begins")
        match message.how:
            case "python":
                while True:  # python
                    pass
            case "c":
                sum(range(10**12))  # c
            case "re":
                re.match(r"(a+)+$", "a" * 60 + "b")  # re
            case "sleep":
                time.sleep(1000)  # sleep
            case "brief":
                time.sleep(0.4)  # brief
                ctx.log.info("done with it")
            case "fault":
                import ctypes
                ctypes.string_at(0)  # fault
            case "work":
                end = time.process_time() + 0.002
                while time.process_time() < end:
                    pass
                ctx.send(ctx.self, message)
        return RECEIVE

def tree(place):
    return Supervisor("root", [Supervisor("pool", [Child("worker", Worker)])])

app = Application("stalls", tree=tree)
"""
NAMED_WITHIN = timedelta(seconds=2.5)  # ten times the goal of 0.25 s
PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17


@pytest.fixture
def stall(start_node: StartNode, tmp_path: Path) -> StartNode:
    """`stall(how, **flags)`: a node of two cores; a handler of core 0 does that."""
    (tmp_path / "stalls.py").write_text(APP)

    def start(how: str, **flags: Any) -> RunningNode:
        return start_node(app="stalls:app", settings={"how": how}, **{"stall_kill": "1s", **flags})

    return start


def at(line: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(line["at"])


def place(tmp_path: Path, mark: str) -> str:
    number = next(n for n, row in enumerate(APP.splitlines(), 1) if row.endswith(f"# {mark}"))
    return f"{tmp_path}/stalls.py:{number} "


@pytest.mark.parametrize("how", ["python", "c", "re", "sleep"])
def test_a_handler_that_never_returns_is_named_and_its_core_replaced(
    stall: StartNode, tmp_path: Path, how: str
) -> None:
    node = stall(how)
    begins = node.wait_line("begins", core=0)
    slow = node.wait_line("slow handler", core=0)
    assert at(slow) - at(begins) < NAMED_WITHIN
    # A loop may be seen on the line of its test or of its body.
    assert slow["where"].startswith(f"{tmp_path}/stalls.py:")
    if how != "python":
        assert slow["where"] == place(tmp_path, how) + "in handle"
    assert slow["path"] == "root/pool/worker"
    stalled = node.wait_line("core stalled", core=0)
    assert f"{tmp_path}/stalls.py:" in stalled["reason"]
    assert stalled["reason"].endswith(" in handle of root/pool/worker")
    assert "scheduler.py" in stalled["stack"]
    assert node.wait_line("core replaced", core=0)["reason"] == stalled["reason"]
    node.wait_line("core up", core=0, incarnation=2)
    assert node.status()["cores"][0]["last_exit"] == stalled["reason"]
    assert node.status()["cores"][1]["restarts"] == 0


def test_a_core_that_goes_on_is_named_and_left_alone(stall: StartNode, tmp_path: Path) -> None:
    node = stall("brief")
    assert node.wait_line("slow handler")["where"] == place(tmp_path, "brief") + "in handle"
    node.wait_line("done with it")
    assert node.status()["cores"][0]["restarts"] == 0


def test_a_fault_in_c_leaves_the_line_that_led_to_it(stall: StartNode, tmp_path: Path) -> None:
    node = stall("fault")
    reason = node.wait_line("core replaced", core=0)["reason"]
    assert reason.startswith("killed by SIGSEGV")
    assert place(tmp_path, "fault") in reason or "/ctypes/" in reason


def test_a_start_that_is_slower_than_the_stall_limit_kills_nothing(stall: StartNode) -> None:
    node = stall("slow start", stall_kill="0.5s")
    node.wait_line("was slow to start")
    node.wait_line("node up")
    assert [core["restarts"] for core in node.status()["cores"]] == [0, 0]


def test_a_start_beyond_its_limit_is_killed_and_counts_as_ended(stall: StartNode, tmp_path: Path) -> None:
    node = stall("slow start", start_kill="1.5s", cores=1, core_restarts="0/30s")
    reason = node.wait_line("core quarantined")["reason"]
    assert "it was not up within start_kill = 1.5 s" in reason
    assert f"{tmp_path}/stalls.py:" in reason
    assert reason.endswith(" in start of root/pool/worker")
    assert node.wait() == 70


def test_a_node_that_is_stopped_while_it_starts_has_its_whole_start_limit_still(stall: StartNode) -> None:
    node = stall("busy start", cores=1, start_kill="5s")  # 0.3 s of CPU, most of it to come
    node.wait_line("slow handler")
    os.killpg(node.process.pid, signal.SIGSTOP)  # as ^Z does
    lasts(6, lambda: node.process.poll() is None)
    os.killpg(node.process.pid, signal.SIGCONT)
    node.wait_line("node up")
    assert [core["restarts"] for core in node.status()["cores"]] == [0]


def test_an_import_that_hangs_is_named_by_its_line_in_the_zygote_and_in_a_core(
    start_node: StartNode, tmp_path: Path
) -> None:
    (tmp_path / "hangs.py").write_text("import time\n\ntime.sleep(1000)\n")
    node = start_node(app="hangs:app", cores=1, start_kill="4s", core_restarts="0/30s")
    line = f"{tmp_path}/hangs.py:3 in <module>"
    assert line in node.wait_line("zygote lost")["reason"]
    quarantined = node.wait_line("core quarantined")["reason"]
    assert "it was still loading the application" in quarantined
    assert line in quarantined
    assert node.wait() == 70


def test_in_debug_a_handler_may_take_for_ever(stall: StartNode) -> None:
    node = stall("python", debug=True, stall_kill="0.3s")
    node.wait_line("core stalls", core=0)  # at 1 s, well beyond the limit
    assert node.status()["cores"][0]["restarts"] == 0


def test_a_traced_core_is_not_killed_until_the_debugger_lets_it_go(stall: StartNode) -> None:
    node = stall("python", stall_kill="2s")
    node.wait_line("slow handler", core=0)
    with traced(node.core_pids()[0]):
        unharmed(node, 5)  # a core that is not traced would be gone by then
    node.wait_line("core replaced", core=0)


def test_a_manager_that_was_stopped_for_long_kills_nothing_when_it_goes_on(stall: StartNode) -> None:
    node = stall("work", stall_kill="1s")
    node.wait_line("node up")
    os.kill(node.process.pid, signal.SIGSTOP)
    lasts(10, lambda: node.process.poll() is None)
    os.kill(node.process.pid, signal.SIGCONT)
    unharmed(node, 2)


def test_a_machine_without_cpu_to_spare_kills_nothing(stall: StartNode) -> None:
    node = stall("work", stall_kill="1s")
    node.wait_line("node up")
    with busy(20):
        node.wait_line("core starves", core=0)
        unharmed(node, 5)


def test_a_stopped_core_is_told_of_and_goes_on(stall: StartNode) -> None:
    node = stall("work", stall_kill="1s")
    node.wait_line("node up")
    pid = node.core_pids()[0]
    os.kill(pid, signal.SIGSTOP)
    node.wait_line("core process is stopped", core=0, debugger=False)
    unharmed(node, 2)  # twice the limit of a stall
    os.kill(pid, signal.SIGCONT)
    node.wait_line("core process goes on", core=0)
    assert node.core_pids()[0] == pid


def unharmed(node: RunningNode, seconds: float) -> None:
    """For so long no core of the node is replaced."""
    lasts(seconds, lambda: not any(core["restarts"] for core in node.status()["cores"]))


def lasts(seconds: float, holds: Callable[[], bool]) -> None:
    """It holds all the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert holds()
        time.sleep(0.1)


@contextmanager
def traced(pid: int) -> Iterator[None]:
    """Be the debugger of a process that runs on."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(PTRACE_SEIZE, pid, None, None) != 0:
        pytest.skip(f"this machine lets nobody trace: {os.strerror(ctypes.get_errno())}")
    try:
        yield
    finally:
        os.kill(pid, signal.SIGSTOP)  # a tracee is let go only while it is stopped
        os.waitpid(pid, os.WUNTRACED | 0x40000000)
        libc.ptrace(PTRACE_DETACH, pid, None, None)
        os.kill(pid, signal.SIGCONT)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that take what CPU they get, each a session: the kernel shares CPUs among those (autogroup)."""
    with ExitStack() as stack:
        for _ in range(count):
            process = subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield
