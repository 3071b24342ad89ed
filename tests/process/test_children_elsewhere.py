"""Children on other cores and nodes of real processes: kill -9 of either side, and a crash loop in one line."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.process.conftest import DEADLINE, RunningNode, StartNode

pytestmark = pytest.mark.processes

APP = """
from regrove import RECEIVE, Application, Child, Down, Isolate, Supervisor

class Worker(Isolate):
    def start(self, ctx):
        ctx.log.info("worker up", core_index=ctx.place.core, on=ctx.place.node)
        return RECEIVE

class Loops(Isolate):
    def start(self, ctx):
        ctx.send_after(0.2, "go")
        return RECEIVE

    def handle(self, ctx, message):
        raise ValueError("no such table")  # line 15

class Watcher(Isolate):  # logs the end of whoever is called far on its core
    def start(self, ctx):
        ctx.send_every(0.05, "look")
        self.watched = None
        return RECEIVE

    def handle(self, ctx, message):
        if isinstance(message, Down):
            ctx.log.info("far ended", reason=type(message.reason).__name__)
        elif self.watched is None and (at := ctx.whereis("far")) is not None:
            self.watched = ctx.monitor(at)
            ctx.log.info("watching far")
        return RECEIVE

def tree(place):
    children = []
    if place.core == 0 and place.settings.get("far"):
        node, _, core = place.settings["far"].partition("/")
        far = Child("far", Worker, name="far", core=int(core), node=node or None)
        children = [Supervisor("pool", [far], intensity=5)]
    if place.core == 0 and place.settings.get("loops"):
        children = [Supervisor("looping", [Child("loops", Loops, core=1)], intensity=3, period=60.0)]
    if place.settings.get("watch"):
        children = [Child("watcher", Watcher)]
    return Supervisor("root", children)

app = Application("elsewhere", tree=tree)
"""


@pytest.fixture(autouse=True)
def program(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_text(APP)


def core_pid(node: RunningNode, core: int) -> int:
    pid: int = node.status()["cores"][core]["pid"]
    return pid


def tree_rows(node: RunningNode) -> list[dict[str, Any]]:
    with node.control() as control:
        return [row for core in control.ask("tree")["cores"] for row in core["rows"]]


def far_row(node: RunningNode, state: str) -> dict[str, Any]:
    limit = time.monotonic() + DEADLINE
    while True:
        (row,) = [row for row in tree_rows(node) if row["path"] == "root/pool/far"]
        if row["state"] == state or time.monotonic() > limit:
            assert row["state"] == state
            return row


def guests(node: RunningNode) -> list[dict[str, Any]]:
    return [row for row in tree_rows(node) if "guest_of" in row]


def test_kill_9_of_the_core_that_hosts_a_child_brings_it_back_with_its_core(start_node: StartNode) -> None:
    node = start_node(app="elsewhere:app", settings={"far": "/1"})
    node.wait_line("worker up", core_index=1)
    node.wait_line("node up")
    os.kill(core_pid(node, 1), signal.SIGKILL)
    line = node.wait_line("supervisor", child="far")
    assert (line["context"], line["exception"], line["child_restarts"]) == ("child_terminated", "CoreDown", 1)
    node.wait_line("worker up", core_index=1)
    row = far_row(node, "running")  # its supervisor hears of the start after the log did
    assert (row["restarts"], row["elsewhere"]) == (1, "core 1 of one@localhost")


def test_kill_9_of_the_core_of_the_supervisor_leaves_no_orphan(start_node: StartNode) -> None:
    node = start_node(app="elsewhere:app", settings={"far": "/1"})
    node.wait_line("worker up", core_index=1)
    node.wait_line("node up")
    os.kill(core_pid(node, 0), signal.SIGKILL)
    node.wait_line("worker up", core_index=1)
    (row,) = guests(node)
    assert (row["owner_path"], row["guest_of"], row["incarnation"]) == ("root/pool/far", "core 0 of one@localhost", 2)


def test_kill_9_of_a_node_and_its_child_elsewhere_comes_back_with_the_node(start_node: StartNode) -> None:
    first = start_node("one@localhost", app="elsewhere:app", cores=1, listen="127.0.0.1:0")
    first.wait_line("node up")
    with first.control() as control:
        address = control.ask("members")["members"][0]["address"]
    second = start_node(
        "two@localhost", app="elsewhere:app", cores=1, join=[address], settings={"far": "one@localhost/0"}
    )
    first.wait_line("worker up", on="one@localhost")
    second.wait_line("node up")
    first.process.kill()
    second.wait_line("supervisor", child="far", context="child_terminated")
    port = address.rpartition(":")[2]
    again = start_node("one@localhost", app="elsewhere:app", cores=1, listen=f"127.0.0.1:{port}")
    again.wait_line("worker up", on="one@localhost")


def test_kill_9_of_the_node_of_the_supervisor_leaves_no_orphan_on_the_other(start_node: StartNode) -> None:
    first = start_node("one@localhost", app="elsewhere:app", cores=1, listen="127.0.0.1:0", settings={"watch": "yes"})
    first.wait_line("node up")
    with first.control() as control:
        address = control.ask("members")["members"][0]["address"]
    second = start_node(
        "two@localhost", app="elsewhere:app", cores=1, join=[address], settings={"far": "one@localhost/0"}
    )
    first.wait_line("watching far")
    second.wait_line("node up")
    second.process.kill()
    assert first.wait_line("far ended")["reason"] in ("NoConnection", "CoreDown")
    assert [row for row in guests(first) if row["state"] != "ended"] == []


def test_the_events_of_a_node_tell_each_decision_of_a_supervisor(start_node: StartNode) -> None:
    node = start_node(app="elsewhere:app", settings={"loops": "yes"})
    node.wait_line("node up")
    with node.control() as control:
        for event in control.events(DEADLINE):
            if event["event"] == "supervisor":
                break
    assert (event["child"], event["path"], event["exception"]) == ("loops", "root/looping", "ValueError")


def test_the_cause_of_a_crash_loop_is_in_one_line_of_the_log_and_one_of_the_tree(start_node: StartNode) -> None:
    node = start_node(app="elsewhere:app", settings={"loops": "yes"})
    line = node.wait_line("supervisor", child="loops", child_restarts=2)
    assert (line["path"], line["exception"], line["reason"].split(" at ")[0]) == (
        "root/looping",
        "ValueError",
        "ValueError: no such table",
    )
    assert line["site"].endswith("elsewhere.py:15")
    assert (line["budget_used"], line["budget_left"]) == (2, 1)
    (row,) = [row for row in tree_rows(node) if row["path"] == "root/looping/loops"]
    assert row["last_reason"].startswith("ValueError: no such table at ")
    assert row["restarts"] + row["restarts_left"] == 3
