"""A node whose zygote, manager or cores are killed or stopped: what goes on, what ends, and what is said."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from regrove.node.process.zygote_client import is_stopped

if TYPE_CHECKING:
    from tests.process.conftest import DEADLINE, RunningNode

    StartNode = Callable[..., RunningNode]
else:
    StartNode = Callable[..., Any]
    DEADLINE = 30.0

pytestmark = pytest.mark.processes


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def ended(pidfd: int) -> bool:
    """Wait for the end of a process that is nobody's child here."""
    return bool(select.select([pidfd], [], [], DEADLINE)[0])


def children_of(pid: int) -> set[int]:
    """Processes whose parent is that one, and that have not ended."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "stat").read_text().rpartition(")")[2].split() if entry.name.isdigit() else ["Z", "0"]
        except OSError:
            continue
        if words[0] != "Z" and int(words[1]) == pid:
            found.add(int(entry.name))
    return found


def wait_spare(node: RunningNode) -> int:
    """The process that was forked ahead, once there is one."""
    limit = time.monotonic() + DEADLINE
    while True:
        status = node.status()
        known = {status["zygote"]["pid"], *(core["pid"] for core in status["cores"])}
        spare = children_of(status["manager"]["pid"]) - known
        if len(spare) == 1:
            return spare.pop()
        assert time.monotonic() < limit, f"forked ahead are {spare}"


def wait_zygote(node: RunningNode, state: str) -> dict[str, Any]:
    """The zygote's row of `status` once it is in that state."""
    limit = time.monotonic() + DEADLINE
    while True:
        row: dict[str, Any] = node.status()["zygote"]
        if row["state"] == state:
            return row
        assert time.monotonic() < limit, f"the zygote is {row}, not {state}"


def kill_core(node: RunningNode, core: int) -> dict[str, Any]:
    """SIGKILL; returns the core's row once its replacement is up."""
    row = node.status()["cores"][core]
    os.kill(row["pid"], signal.SIGKILL)
    node.wait_line("core up", core=core, incarnation=row["incarnation"] + 1)
    found: dict[str, Any] = node.status()["cores"][core]
    return found


def test_cores_are_children_of_the_manager_and_not_of_the_zygote(start_node: StartNode) -> None:
    node = start_node()
    node.wait_line("node up")
    status = node.status()
    assert [parent(core["pid"]) for core in status["cores"]] == [status["manager"]["pid"]] * 2
    assert parent(status["zygote"]["pid"]) == status["manager"]["pid"]


def test_a_killed_core_is_forked_again_with_the_kernels_own_reason(start_node: StartNode) -> None:
    node = start_node()
    node.wait_line("node up")
    zygote = node.status()["zygote"]["pid"]
    row = kill_core(node, 1)
    assert (row["last_exit"], row["restarts"]) == ("killed by SIGKILL", 1)
    assert node.status()["zygote"] == {"pid": zygote, "state": "up", "why": ""}


def test_a_killed_core_goes_on_in_the_process_that_was_forked_ahead(start_node: StartNode) -> None:
    node = start_node(core_restarts="20/30s")
    node.wait_line("node up")
    spare = wait_spare(node)
    assert kill_core(node, 1)["pid"] == spare
    assert wait_spare(node) != spare


def test_a_process_forked_ahead_that_was_killed_is_missed_by_nobody(start_node: StartNode) -> None:
    node = start_node(core_restarts="20/30s")
    node.wait_line("node up")
    spare = wait_spare(node)
    gone = os.pidfd_open(spare)
    os.kill(spare, signal.SIGKILL)
    assert ended(gone)
    os.close(gone)
    row = kill_core(node, 1)
    assert (row["last_exit"], row["restarts"]) == ("killed by SIGKILL", 1)
    assert row["pid"] != spare
    assert wait_spare(node) != spare


def test_a_core_killed_while_the_zygote_is_stopped_goes_on_in_the_process_forked_ahead(start_node: StartNode) -> None:
    node = start_node(core_restarts="20/30s")
    node.wait_line("node up")
    spare = wait_spare(node)
    os.kill(node.status()["zygote"]["pid"], signal.SIGSTOP)
    assert kill_core(node, 1)["pid"] == spare
    assert wait_zygote(node, "silent")["why"] == "the zygote is stopped"


def test_what_a_lost_zygote_has_forked_ahead_is_ended(start_node: StartNode) -> None:
    node = start_node(core_restarts="20/30s")
    node.wait_line("node up")
    gone = os.pidfd_open(wait_spare(node))
    os.kill(node.status()["zygote"]["pid"], signal.SIGKILL)
    assert ended(gone)
    os.close(gone)
    wait_zygote(node, "up")


def test_killing_the_zygote_takes_no_core_along_and_restarts_go_on(start_node: StartNode) -> None:
    node = start_node(core_restarts="20/30s")
    node.wait_line("node up")
    before = node.status()
    os.kill(before["zygote"]["pid"], signal.SIGKILL)
    node.wait_line("zygote lost")
    assert kill_core(node, 0)["last_exit"] == "killed by SIGKILL"
    assert wait_zygote(node, "up")["pid"] != before["zygote"]["pid"]
    assert node.status()["cores"][1]["pid"] == before["cores"][1]["pid"]
    assert kill_core(node, 1)["last_exit"] == "killed by SIGKILL"


def test_a_stopped_zygote_makes_restarts_fresh_processes_and_is_used_again_when_it_goes_on(
    start_node: StartNode,
) -> None:
    node = start_node(core_restarts="20/30s")
    node.wait_line("node up")
    zygote = node.status()["zygote"]["pid"]
    os.kill(zygote, signal.SIGSTOP)
    while not is_stopped(zygote):
        pass
    kill_core(node, 0)
    assert wait_zygote(node, "silent")["why"] == "the zygote is stopped"
    os.kill(zygote, signal.SIGCONT)
    assert wait_zygote(node, "up")["pid"] == zygote
    kill_core(node, 0)
    assert len(node.core_pids()) == 2


FORK_FOR_NOBODY = """
import os
from regrove.node.process import descriptors, zygote
ours, theirs = descriptors.pair()
ours.close()
zygote._fork_twice(theirs, 1, os.getppid(), [], lambda manager, given: 0)
zygote._fork_twice(theirs, 2, os.getppid(), [], lambda manager, given: 0)
print("served")
"""


def test_a_zygote_whose_manager_has_given_it_up_forks_without_a_word() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK_FOR_NOBODY], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr, done.returncode) == ("served\n", "", 0)


def test_a_core_that_is_being_started_is_not_shown_with_the_pid_of_its_last_life(start_node: StartNode) -> None:
    node = start_node(cores=1)
    node.wait_line("node up")
    status = node.status()
    os.kill(status["zygote"]["pid"], signal.SIGSTOP)  # so that the next life takes its time
    while not is_stopped(status["zygote"]["pid"]):
        pass
    old = status["cores"][0]["pid"]
    os.kill(old, signal.SIGKILL)
    shown = []
    while (row := node.status()["cores"][0])["incarnation"] == 1 or row["state"] != "up":
        shown.append((row["incarnation"], row["pid"]))
    assert (2, old) not in shown


def test_a_killed_manager_leaves_no_process(start_node: StartNode) -> None:
    node = start_node()
    node.wait_line("node up")
    status = node.status()
    fds = [os.pidfd_open(pid) for pid in [status["zygote"]["pid"], wait_spare(node), *node.core_pids()]]
    node.process.kill()
    assert node.process.wait(DEADLINE) == -signal.SIGKILL
    assert all(ended(fd) for fd in fds)
    for fd in fds:
        os.close(fd)


def test_a_stopped_manager_loses_nothing(start_node: StartNode) -> None:
    node = start_node(settings={"asks": "/1"})
    node.wait_line("answered")
    before = node.status()
    os.kill(before["manager"]["pid"], signal.SIGSTOP)
    while not is_stopped(before["manager"]["pid"]):
        pass
    os.kill(before["cores"][1]["pid"], signal.SIGKILL)
    os.kill(before["manager"]["pid"], signal.SIGCONT)
    node.wait_line("core up", core=1, incarnation=2)
    node.wait_line("answered")
    assert node.status()["cores"][0]["pid"] == before["cores"][0]["pid"]


def test_a_storm_of_crashing_cores_ends_in_quarantine_and_heals_by_itself(
    start_node: StartNode, tmp_path: Path
) -> None:
    (tmp_path / "storm.py").write_text(STORM)
    node = start_node(app="storm:app", core_restarts="2/1s", settings={"marker": str(tmp_path / "heal")})
    node.wait_line("core quarantined", core=1)
    assert node.status()["state"] == "degraded"
    (tmp_path / "heal").touch()
    node.wait_line("core up", core=1)
    assert node.status()["state"] == "up"


STORM = '''
import os
from regrove.node.core.application import Application
from regrove.node.core.effects import RECEIVE
from regrove.node.core.isolate import Isolate
from regrove.node.core.messages import message
from regrove.supervisor.spec import Child, Supervisor

@message
class Tick:
    pass

class Bomb(Isolate):
    """Ends its whole process as soon as the tree is up, until the marker is there."""
    def __init__(self, marker):
        self.marker = marker
    def start(self, ctx):
        ctx.send_after(0.01, Tick())
        return RECEIVE
    def handle(self, ctx, message):
        if not os.path.exists(self.marker):
            os._exit(9)
        return RECEIVE

def tree(place):
    children = [Child("bomb", Bomb, place.settings["marker"])] if place.core == 1 else []
    return Supervisor("root", children)

app = Application("storm", tree=tree)
'''


def test_an_application_that_leaves_a_context_runs_in_fresh_processes_and_the_module_is_named(
    start_node: StartNode, tmp_path: Path
) -> None:
    (tmp_path / "leftover.py").write_text("import zmq\nfrom demo import app\ncontext = zmq.Context()\n")
    node = start_node(app="leftover:app")
    line = node.wait_line("zygote unfit, cores are started as fresh processes")
    assert "leftover.context" in line["reason"]
    node.wait_line("node up")
    assert node.status()["zygote"]["state"] == "unfit"
    kill_core(node, 1)


def test_two_forked_cores_draw_different_numbers(start_node: StartNode, tmp_path: Path) -> None:
    (tmp_path / "draws.py").write_text(DRAWS)
    node = start_node(app="draws:app")
    first, second = node.wait_line("drew"), node.wait_line("drew")
    assert first["core"] != second["core"]
    assert first["number"] != second["number"]


DRAWS = """
import random
from regrove.node.core.application import Application
from regrove.node.core.effects import RECEIVE
from regrove.node.core.isolate import Isolate
from regrove.supervisor.spec import Child, Supervisor

random.seed(1)

class Drawer(Isolate):
    def start(self, ctx):
        ctx.log.info("drew", number=random.random())
        return RECEIVE
    def handle(self, ctx, message):
        return RECEIVE

app = Application("draws", tree=lambda place: Supervisor("root", [Child("drawer", Drawer)]))
"""


def test_an_application_that_starts_a_node_when_it_is_imported_is_refused(
    start_node: StartNode, tmp_path: Path
) -> None:
    (tmp_path / "eager.py").write_text('import regrove\nfrom demo import app\nregrove.start("demo:app")\n')
    node = start_node(app="eager:app")
    assert node.wait() == 64
    assert any("regrove.start" in line for line in node.rest)
