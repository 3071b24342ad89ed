"""Nodes started by a program: they never outlive it, and say why they could not start."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from regrove.node.process import guard
from regrove.node.process.configuration import NodeConfig, resolve
from regrove.node.process.control import ControlClient
from regrove.node.process.launch import Launched, NodeFailed, launch
from regrove.node.process.loading import ApplicationError  # the same words reach the program

pytestmark = pytest.mark.processes

APP = """
from regrove.node.core.application import Application
from regrove.supervisor.spec import Supervisor
app = Application("empty", tree=lambda place: Supervisor("root", []))
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., NodeConfig]:
    (tmp_path / "empty.py").write_text(APP)
    monkeypatch.setenv("REGROVE_STATE_DIR", str(tmp_path / "state"))

    def make(**flags: Any) -> NodeConfig:
        given = {
            "app": "empty:app",
            "name": "l@localhost",
            "cores": 1,
            "runtime_dir": str(tmp_path / "run"),
            "import_path": [str(tmp_path)],
            **flags,
        }
        return resolve(given).config

    return make


@pytest.fixture
def start() -> Iterator[Callable[[NodeConfig], Launched]]:
    started: list[Launched] = []

    def run(config: NodeConfig) -> Launched:
        started.append(launch(config, stderr=subprocess.DEVNULL))
        return started[-1]

    yield run
    for node in started:
        node.stop()


def test_launch_returns_when_the_trees_are_up_and_stop_ends_them(
    config: Callable[..., NodeConfig], start: Callable[[NodeConfig], Launched]
) -> None:
    node = start(config(listen="127.0.0.1:0"))
    assert node.listen.startswith("127.0.0.1:")
    assert not node.listen.endswith(":0")
    with ControlClient(node.folder.control, 30.0) as control:
        assert control.incarnation == node.incarnation
        status = control.ask("status")
    assert status["state"] == "up"
    descriptors = [os.pidfd_open(core["pid"]) for core in status["cores"]]
    assert node.stop() == 0
    for descriptor in descriptors:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        assert poll.poll(30_000)
        os.close(descriptor)


def test_an_application_that_is_not_there_fails_the_launch_with_64(config: Callable[..., NodeConfig]) -> None:
    with pytest.raises(NodeFailed, match="there is no module 'nothere'") as caught:
        launch(config(app="nothere:app"), stderr=subprocess.DEVNULL)
    assert caught.value.code == 64
    assert issubclass(ApplicationError, Exception)


def test_a_name_in_use_fails_the_launch_with_1(
    config: Callable[..., NodeConfig], start: Callable[[NodeConfig], Launched]
) -> None:
    start(config())
    with pytest.raises(NodeFailed, match="already runs here") as caught:
        launch(config(), stderr=subprocess.DEVNULL)
    assert caught.value.code == 1


PROGRAM = """
import sys
from regrove.node.process.configuration import resolve
from regrove.node.process.launch import launch
node = launch(resolve({flags!r}).config)
print(node.process.pid, flush=True)
sys.stdin.read()
"""


def test_a_node_stops_when_the_program_that_started_it_is_killed(config: Callable[..., NodeConfig]) -> None:
    made = config()
    flags = {key: getattr(made, key) for key in ("app", "name", "cores", "runtime_dir", "import_path")}
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(flags=flags)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert program.stdin is not None
    assert program.stdout is not None
    with program.stdin, program.stdout:
        descriptor = os.pidfd_open(int(program.stdout.readline()))
        program.kill()
        program.wait(30)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        assert poll.poll(30_000), "the node outlived its program"
        os.close(descriptor)


def test_a_process_that_runs_a_core_may_not_launch_a_node(config: Callable[..., NodeConfig]) -> None:
    mark = guard.claim("core 0 of x@h")
    try:
        with pytest.raises(guard.NodeAlreadyRunning, match="already runs core 0 of x@h"):
            launch(config())
    finally:
        mark.release()
