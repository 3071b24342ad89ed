"""Workers of Offload(where="process") in a node: forked by the zygote, never longer alive than their core."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.process.conftest import DEADLINE, RunningNode

    StartNode = Callable[..., RunningNode]
else:
    StartNode = Callable[..., Any]
    DEADLINE = 30.0

pytestmark = pytest.mark.processes

WORK = """
import os, signal, time

def who(word):
    return [word, os.getpid(), os.getppid()]

def sleep(path):
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(600)

def end():
    os.kill(os.getpid(), signal.SIGKILL)
"""

APP = '''
import os
from regrove import (
    RECEIVE, Application, Child, Failed, Isolate, Name, Offload, Returned, Supervisor, message,
)
import work

@message
class Run:
    pass

class Boss(Isolate):
    """Asks who works, then runs what the settings say."""
    def start(self, ctx):
        ctx.send(ctx.self, Run())
        return RECEIVE
    def handle(self, ctx, message):
        match message:
            case Run():
                return Offload(work.who, "hello", where="process")
            case Returned([word, pid, parent]):
                ctx.log.info("worked", word=word, worker=pid, parent=parent)
                then = ctx.place.settings.get("then")
                if then == "end":
                    return Offload(work.end, where="process")
                if then:
                    timeout = float(ctx.place.settings.get("timeout", "600"))
                    return Offload(work.sleep, then, where="process", timeout=timeout)
            case Failed(reason):
                ctx.log.info("failed", reason=str(reason))
        return RECEIVE

app = Application("work", tree=lambda place: Supervisor("root", [Child("boss", Boss)] if place.core == 1 else []))
'''


def start(start_node: StartNode, folder: Path, **settings: str) -> RunningNode:
    (folder / "work.py").write_text(WORK)
    (folder / "boss.py").write_text(APP)
    node = start_node(app="boss:app", settings=settings)
    node.wait_line("node up")
    return node


def worker_of(path: Path) -> int:
    while not (path.exists() and path.read_text()):
        pass
    return int(path.read_text())


def ended(pidfd: int) -> bool:
    return bool(select.select([pidfd], [], [], DEADLINE)[0])


def test_a_worker_is_forked_by_the_zygote_and_a_child_of_the_manager(start_node: StartNode, tmp_path: Path) -> None:
    node = start(start_node, tmp_path)
    worked = next((line for line in node.lines if line["event"] == "worked"), None) or node.wait_line("worked")
    status = node.status()
    assert worked["word"] == "hello"
    assert worked["parent"] == status["manager"]["pid"]
    assert worked["worker"] not in [core["pid"] for core in status["cores"]]


def test_a_worker_ends_with_its_core(start_node: StartNode, tmp_path: Path) -> None:
    path = tmp_path / "worker"
    node = start(start_node, tmp_path, then=str(path))
    pidfd = os.pidfd_open(worker_of(path))
    path.unlink()
    os.kill(node.status()["cores"][1]["pid"], signal.SIGKILL)
    assert ended(pidfd)
    os.close(pidfd)


def test_a_timeout_kills_the_worker(start_node: StartNode, tmp_path: Path) -> None:
    path = tmp_path / "worker"
    node = start(start_node, tmp_path, then=str(path), timeout="0.5")
    failed = next((line for line in node.lines if line["event"] == "failed"), None) or node.wait_line("failed")
    assert "imeout" in failed["reason"] or "imed" in failed["reason"]
    assert not Path(f"/proc/{worker_of(path)}").exists() or ended(os.pidfd_open(worker_of(path)))


def test_how_a_worker_ended_is_told_as_for_a_child(start_node: StartNode, tmp_path: Path) -> None:
    node = start(start_node, tmp_path, then="end")
    failed = next((line for line in node.lines if line["event"] == "failed"), None) or node.wait_line("failed")
    assert "was ended by SIGKILL" in failed["reason"]


def test_without_a_zygote_workers_are_fresh_processes_of_their_core(start_node: StartNode, tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(WORK)
    (tmp_path / "boss.py").write_text(f"import zmq\n{APP}\ncontext = zmq.Context()\n")
    node = start_node(app="boss:app")
    worked = node.wait_line("worked")
    assert worked["parent"] == node.status()["cores"][1]["pid"]
