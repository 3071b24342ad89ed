"""Whole nodes as real processes: boot, deaths, stops, joins, and what each refusal says."""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.ports import free_port

if TYPE_CHECKING:
    from tests.process.conftest import RunningNode

    StartNode = Callable[..., RunningNode]
else:
    StartNode = Callable[..., Any]

pytestmark = pytest.mark.processes

DEADLINE_MS = 30_000


def wait_gone(descriptors: list[int]) -> None:
    """Wait until every process behind these pidfds has ended."""
    for descriptor in descriptors:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        assert poll.poll(DEADLINE_MS), "a process is still there"
        os.close(descriptor)


def test_a_node_boots_every_core_and_its_status_has_the_fixed_shape(start_node: StartNode) -> None:
    node = start_node()
    node.wait_line("node up")
    status = node.status()
    assert set(status) == {"node", "state", "cores", "manager", "zygote", "agent"}
    assert status["zygote"]["state"] == "up"
    assert (status["node"], status["state"], status["agent"]) == ("one@localhost", "up", None)
    assert status["manager"] == {"pid": node.process.pid}
    fixed = {"core", "pid", "state", "incarnation", "restarts", "last_exit", "isolates", "rss"}
    grown = {"left", "stalled", "starved", "stopped", "slow", "cpu"}
    assert [set(core) for core in status["cores"]] == [fixed | grown] * 2
    for index, core in enumerate(status["cores"]):
        assert (core["core"], core["state"], core["incarnation"], core["restarts"]) == (index, "up", 1, 0)
        assert core["last_exit"] is None
        assert core["isolates"] == 1
        assert core["rss"] > 1_000_000
    assert len({core["pid"] for core in status["cores"]}) == 2


def test_the_tree_has_a_row_for_each_supervisor_and_isolate_of_each_core(start_node: StartNode) -> None:
    node = start_node()
    node.wait_line("node up")
    with node.control() as control:
        tree = control.ask("tree")
    assert tree["missing"] == []
    for core in tree["cores"]:
        assert [row["path"] for row in core["rows"]] == ["root", "root/echo"]


def test_a_killed_core_is_replaced_with_a_new_incarnation_and_status_says_why(start_node: StartNode) -> None:
    node = start_node()
    node.wait_line("node up")
    before = node.status()["cores"]
    os.kill(before[1]["pid"], signal.SIGKILL)
    assert node.wait_line("core replaced", core=1)["reason"] == "killed by SIGKILL"
    node.wait_line("core up", core=1)
    after = node.status()
    assert after["state"] == "up"
    assert after["cores"][0]["pid"] == before[0]["pid"]
    core = after["cores"][1]
    assert (core["incarnation"], core["restarts"], core["last_exit"]) == (2, 1, "killed by SIGKILL")
    assert core["pid"] != before[1]["pid"]


def test_a_core_over_its_budget_is_quarantined_and_the_node_is_degraded(start_node: StartNode) -> None:
    node = start_node(core_restarts="1/60s")
    node.wait_line("node up")
    for incarnation in (1, 2):
        os.kill(node.status()["cores"][1]["pid"], signal.SIGKILL)
        if incarnation == 1:
            node.wait_line("core up", core=1)
    line = node.wait_line("core quarantined", core=1)
    assert 5.0 <= line["retry_s"] <= 7.5
    status = node.status()
    assert status["state"] == "degraded"
    assert (status["cores"][1]["state"], status["cores"][1]["pid"]) == ("quarantined", None)
    assert status["cores"][1]["last_exit"] == "killed by SIGKILL"
    assert status["cores"][0]["state"] == "up"
    with node.control() as control:
        missing = control.ask("tree")["missing"]
    assert missing == [{"core": 1, "why": "quarantined, last exit: killed by SIGKILL"}]


def test_when_every_core_is_quarantined_the_node_ends_with_70(start_node: StartNode) -> None:
    node = start_node(cores=1, core_restarts="0/60s")
    node.wait_line("node up")
    os.kill(node.core_pids()[0], signal.SIGKILL)
    assert node.wait() == 70
    assert "every core is quarantined" in "".join(node.rest)


def test_no_core_outlives_a_killed_manager(start_node: StartNode) -> None:
    node = start_node(cores=3)
    node.wait_line("node up")
    descriptors = [os.pidfd_open(pid) for pid in node.core_pids()]
    node.process.kill()
    wait_gone(descriptors)


def test_no_core_outlives_a_manager_killed_while_they_boot(start_node: StartNode) -> None:
    node = start_node(cores=3)
    children = Path(f"/proc/{node.process.pid}/task/{node.process.pid}/children")
    limit = 10_000_000
    while len(pids := children.read_text().split()) < 3 and limit:
        limit -= 1
    descriptors = [os.pidfd_open(int(pid)) for pid in pids]
    node.process.kill()
    wait_gone(descriptors)


def test_the_manager_takes_all_descriptors_it_may_have_because_it_keeps_its_cores_sockets(
    start_node: StartNode,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard - 1), hard))
    try:
        node = start_node(cores=1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    node.wait_line("node up")
    assert resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)


def test_an_application_may_do_without_a_standard_output(start_node: StartNode, tmp_path: Path) -> None:
    (tmp_path / "mute.py").write_text("import sys\nsys.stdout = None\nfrom demo import app\n")
    node = start_node(app="mute:app", cores=1)
    node.wait_line("node up")
    os.kill(node.core_pids()[0], signal.SIGKILL)
    assert node.wait_line("core up", core=0)["after"] == "killed by SIGKILL"
    assert node.rest == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_node_in_order_with_exit_code_0(start_node: StartNode, number: signal.Signals) -> None:
    node = start_node()
    node.wait_line("node up")
    descriptors = [os.pidfd_open(pid) for pid in node.core_pids()]
    node.process.send_signal(number)
    assert node.wait() == 0
    wait_gone(descriptors)
    ends = [line["reason"] for line in node.lines if line["event"] == "core ended"]
    assert ends == ["stopped in order (exited with status 0)"] * 2
    assert [path.name for path in sorted((node.runtime / node.name).iterdir())] == ["incarnation", "lock"]


def test_a_signal_to_the_whole_group_is_obeyed_by_the_manager_alone(start_node: StartNode) -> None:
    node = start_node()
    node.wait_line("node up")
    os.killpg(node.process.pid, signal.SIGINT)
    assert node.wait() == 0
    ends = [line["reason"] for line in node.lines if line["event"] == "core ended"]
    assert ends == ["stopped in order (exited with status 0)"] * 2


def press_until_ended(node: RunningNode) -> None:
    """As a person does: once more when nothing happens."""
    while True:
        node.process.send_signal(signal.SIGTERM)
        try:
            node.process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        return


def test_a_second_signal_stops_a_node_that_does_not_get_done(start_node: StartNode, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW_STOP)
    node = start_node(app="slow:app", cores=1)
    node.wait_line("node up")
    node.process.send_signal(signal.SIGTERM)
    node.wait_line("draining")
    press_until_ended(node)
    assert node.wait() == 0
    assert "told to stop at once" in next(line["reason"] for line in node.lines if line["event"] == "core ended")


SLOW_STOP = """
from regrove.node.core.application import Application
from regrove.node.core.effects import Sleep
from regrove.node.core.isolate import Isolate
from regrove.supervisor.spec import Child, Supervisor

class Slow(Isolate):
    def stop(self, ctx, reason):
        ctx.log.info("draining")
        return Sleep(60)

app = Application("slow", tree=lambda place: Supervisor("root", [Child("slow", Slow, shutdown=60.0)]))
"""


def test_stop_on_the_control_socket_ends_the_node_and_closes_the_connection(start_node: StartNode) -> None:
    node = start_node()
    node.wait_line("node up")
    with node.control() as control:
        assert control.ask("stop") == {"stopping": True, "limit": 20.0}
        assert control.wait_closed(30.0)
    assert node.wait() == 0


def test_isolates_of_two_cores_call_each_other_and_go_on_after_a_kill(start_node: StartNode) -> None:
    node = start_node(settings={"asks": "/1"})
    node.wait_line("answered", value="hello from one@localhost core 1")
    os.kill(node.status()["cores"][1]["pid"], signal.SIGKILL)
    node.wait_line("core up", core=1, incarnation=2)
    node.wait_line("answered", value="hello from one@localhost core 1")


def test_two_joined_nodes_exchange_calls_over_tcp_and_see_each_other_leave(start_node: StartNode) -> None:
    first = start_node("one@localhost", cores=1, listen="127.0.0.1:0")
    first.wait_line("node up")
    with first.control() as control:
        address = control.ask("members")["members"][0]["address"]
    second = start_node("two@localhost", cores=1, join=[address], settings={"asks": "one@localhost"})
    second.wait_line("answered", value="hello from one@localhost core 0")
    with first.control() as control:
        members = control.ask("members")
    assert members["view"] is None
    assert [(row["name"], row["state"]) for row in members["members"]] == [
        ("one@localhost", "up"),
        ("two@localhost", "up"),
    ]
    second.process.send_signal(signal.SIGTERM)
    assert second.wait() == 0
    first.wait_line("node left", peer="two@localhost")


def test_a_killed_node_is_down_for_the_others_and_comes_back_as_a_newer_life(start_node: StartNode) -> None:
    first = start_node("one@localhost", cores=1, listen="127.0.0.1:0")
    first.wait_line("node up")
    with first.control() as control:
        address = control.ask("members")["members"][0]["address"]
    second = start_node("two@localhost", cores=1, join=[address])
    life = first.wait_line("node joined", peer="two@localhost")["peer_incarnation"]
    second.process.kill()
    first.wait_line("node down", peer="two@localhost")
    start_node("two@localhost", cores=1, join=[address])
    assert first.wait_line("node joined", peer="two@localhost")["peer_incarnation"] > life


def test_a_node_joins_one_that_starts_later_and_itself_in_the_list_is_fine(start_node: StartNode) -> None:
    port = free_port()
    first = start_node("one@localhost", cores=1, join=[f"127.0.0.1:{port}"])
    first.wait_line("join waits", address=f"127.0.0.1:{port}", level="info")
    second = start_node("two@localhost", cores=1, listen=f"127.0.0.1:{port}", join=[f"127.0.0.1:{port}"])
    first.wait_line("node joined", peer="two@localhost")
    second.wait_line("node joined", peer="one@localhost")


def test_a_second_node_of_the_same_name_is_refused_naming_the_pid_of_the_first(start_node: StartNode) -> None:
    first = start_node()
    first.wait_line("node up")
    second = start_node()
    assert second.wait() == 1
    (text,) = second.rest
    assert f"a node named one@localhost already runs here (pid {first.process.pid}" in text
    assert "--name" in text
    assert first.status()["state"] == "up"


def test_a_port_in_use_is_one_clear_error(start_node: StartNode) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        node = start_node(listen=f"127.0.0.1:{port}")
        assert node.wait() == 1
    (text,) = node.rest
    assert f"tcp://127.0.0.1:{port} is in use" in text


def test_a_data_port_in_use_is_one_clear_error(start_node: StartNode) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        node = start_node(cores=1, listen="127.0.0.1:0", data_ports=f"{port}-{port}")
        assert node.wait() == 1
    (text,) = node.rest
    assert f"tcp://127.0.0.1:{port} is in use" in text


BROKEN = {
    "no such module": ("demoo:app", "there is no module 'demoo'", "did you mean demo?"),
    "no such attribute": ("demo:apq", "module demo has no 'apq'", "did you mean demo:app?"),
    "not an application": ("demo:tree", "is a function, not an Application", "did you mean demo:app?"),
    "no reference": ("demo", "is no application", "write MODULE:NAME"),
    "module that fails": ("fails:app", "importing fails failed", "ZeroDivisionError"),
    "tree that fails": ("badtree:app", "tree(place) of the application raised KeyError", "badtree.py:4"),
    "tree that exits": ("exits:app", "tree(place) of the application raised SystemExit: 3", "exits.py:5"),
    "tree of nothing": ("notree:app", "the tree of application 'notree' is None", "return Supervisor("),
}


@pytest.mark.parametrize(("reference", "what", "mend"), BROKEN.values(), ids=BROKEN.keys())
def test_an_application_that_cannot_be_used_is_one_clear_error_with_64(
    start_node: StartNode, tmp_path: Path, reference: str, what: str, mend: str
) -> None:
    (tmp_path / "fails.py").write_text("1 / 0\n")
    (tmp_path / "badtree.py").write_text(
        "from regrove.node.core.application import Application\n\ndef tree(place):\n    return {}['x']\n\n"
        "app = Application('badtree', tree=tree)\n"
    )
    (tmp_path / "exits.py").write_text(
        "import sys\nfrom regrove.node.core.application import Application\n\n"
        "def tree(place):\n    sys.exit(3)\n\napp = Application('exits', tree=tree)\n"
    )
    (tmp_path / "notree.py").write_text(
        "from regrove.node.core.application import Application\napp = Application('notree', tree=lambda place: None)\n"
    )
    node = start_node(app=reference)
    assert node.wait() == 64
    text = "".join(node.rest)
    assert text.count("regrove: ") == 1
    assert what in text
    assert mend in text


def test_bounds_over_the_memory_limit_are_refused_with_the_sum(start_node: StartNode) -> None:
    node = start_node(memory="100M")
    assert node.wait() == 64
    assert "do not fit the memory limit of 100 MiB a core" in "".join(node.rest)


def test_a_root_that_gives_up_is_replaced_and_then_quarantined(start_node: StartNode, tmp_path: Path) -> None:
    (tmp_path / "doomed.py").write_text(DOOMED)
    node = start_node(app="doomed:app", cores=1, core_restarts="1/60s")
    assert "the root supervisor gave up" in node.wait_line("core replaced", core=0)["reason"]
    assert node.wait() == 70


DOOMED = """
from regrove.node.core.application import Application
from regrove.node.core.effects import RECEIVE, Crash
from regrove.node.core.isolate import Isolate
from regrove.supervisor.spec import Child, Supervisor

class Doomed(Isolate):
    def start(self, ctx):
        ctx.send_after(0.01, 1)
        return RECEIVE
    def handle(self, ctx, message):
        return Crash("as always")

app = Application("doomed", tree=lambda place: Supervisor("root", [Child("doomed", Doomed)]))
"""


CHATTER = """
from regrove.node.core.application import Application
from regrove.node.core.effects import Continue
from regrove.node.core.isolate import Isolate
from regrove.supervisor.spec import Child, Supervisor

class Chatter(Isolate):
    def start(self, ctx):
        return Continue(1)
    def handle(self, ctx, message):
        ctx.log.info("chatter", number=message, text="x" * 100)
        return Continue(message + 1)

app = Application("chatter", tree=lambda place: Supervisor("root", [Child("chatter", Chatter)]))
"""


def test_a_log_that_nobody_reads_stops_neither_the_node_nor_its_end(start_node: StartNode, tmp_path: Path) -> None:
    (tmp_path / "chatter.py").write_text(CHATTER)
    node = start_node(app="chatter:app", cores=1)
    node.wait_line("node up")
    node.mute()
    with node.control() as control:
        while (beat := control.ask("status")["cores"][0])["state"] == "up" and node.unread() < 60_000:
            pass
        assert beat["state"] == "up"
        for _ in range(100):
            assert control.ask("ping")["state"] == "up"
        control.ask("stop")
    assert node.process.wait(30.0) == 0


STUCK = """
import threading
from regrove.node.core.application import Application
from regrove.node.core.effects import RECEIVE, Offload
from regrove.node.core.isolate import Isolate
from regrove.supervisor.spec import Child, Supervisor

def for_ever():
    threading.Event().wait()

class Stuck(Isolate):
    def start(self, ctx):
        ctx.begin(Offload(for_ever))
        return RECEIVE

app = Application("stuck", tree=lambda place: Supervisor("root", [Child("stuck", Stuck)]))
"""


def test_an_offloaded_function_that_never_ends_does_not_hold_up_the_end(start_node: StartNode, tmp_path: Path) -> None:
    (tmp_path / "stuck.py").write_text(STUCK)
    node = start_node(app="stuck:app", cores=1)
    node.wait_line("node up")
    node.process.send_signal(signal.SIGTERM)
    assert node.wait() == 0
    ends = [line["reason"] for line in node.lines if line["event"] == "core ended"]
    assert ends == ["stopped in order (exited with status 0)"]


def test_a_node_runs_in_a_folder_with_a_very_long_path(start_node: StartNode, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    node = start_node(runtime_dir=str(long), settings={"asks": "/1"})
    node.runtime = long
    node.wait_line("answered", value="hello from one@localhost core 1")
    assert node.status()["state"] == "up"


GREEDY = """
from regrove.node.core.application import Application
from regrove.node.core.bounds import Bounds
from regrove.node.core.effects import RECEIVE
from regrove.node.core.isolate import Isolate
from regrove.supervisor.spec import Child, Supervisor

class Greedy(Isolate):
    def start(self, ctx):
        self.eaten = []
        ctx.send_every(0.05, 1)
        return RECEIVE
    def handle(self, ctx, message):
        self.eaten.append(bytearray(8 * 1024 * 1024))
        return RECEIVE
    def stop(self, ctx, reason):
        ctx.log.info("asked to stop")
        return super().stop(ctx, reason)

SMALL = Bounds(isolates=100, pool_bytes=1024 * 1024, timers=100, streams=100)
app = Application("greedy", tree=lambda place: Supervisor("root", [Child("greedy", Greedy)]), bounds=SMALL)
"""


def test_a_core_that_outgrows_its_memory_is_drained_and_replaced(start_node: StartNode, tmp_path: Path) -> None:
    (tmp_path / "greedy.py").write_text(GREEDY)
    node = start_node(app="greedy:app", cores=1, memory="150M")
    node.wait_line("core outgrew its memory limit", core=0)
    node.wait_line("asked to stop")
    reason = node.wait_line("core replaced", core=0)["reason"]
    assert "MiB resident, the limit is 150 MiB" in reason
    node.wait_line("core up", core=0, incarnation=2)
