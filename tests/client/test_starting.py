"""`regrove.start`: from tests and scripts, with every way to fail, and nothing left running however it ends."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

import regrove
from regrove import Application, Misuse
from regrove.node.client import NodeDidNotStart
from regrove.node.process.configuration import ConfigError

pytestmark = pytest.mark.processes


def gone(handle: int, limit: float = 30.0) -> bool:
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    return bool(poller.poll(int(limit * 1000)))


def test_after_the_block_no_process_and_no_folder_is_left(application: Any) -> None:
    with regrove.start(application.app, cores=2) as node:
        handles = [os.pidfd_open(pid) for pid in node.pids]
        folder = node.runtime_dir.parent
        assert len(handles) == 3
        assert folder.is_dir()
    assert all(gone(handle, 0) for handle in handles)
    assert not folder.exists()
    assert node.stop() == 0
    assert "node stopping" in node.log()
    with pytest.raises(Misuse, match="has been stopped"):
        node.call("counter", 1)


def test_a_stuck_node_is_killed_at_the_limit_and_its_cores_with_it(application: Any) -> None:
    node = regrove.start("client_app:app", cores=2)
    handles = [os.pidfd_open(pid) for pid in node.pids]
    os.kill(node.manager_pid, signal.SIGSTOP)
    node.stop(timeout=0.3)
    assert all(gone(handle) for handle in handles)


def test_the_data_folder_that_was_given_stays(application: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    with regrove.start("client_app:app", cores=1, data=tmp_path / "data") as node:
        assert node.status()["state"] == "up"
    assert (tmp_path / "data").is_dir()


def test_two_nodes_of_one_program_do_not_meet(application: Any) -> None:
    with regrove.start("client_app:app", cores=1) as one, regrove.start("client_app:app", cores=1) as two:
        one.call("counter", application.Add(5))
        assert one.call("counter", application.Total()) == 15
        assert two.call("counter", application.Total()) == 10


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders of this test go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("client_broken:app", "importing client_broken failed"),
        ("no_module_of_this_name:app", "there is no module 'no_module_of_this_name'"),
        ("client_app:nothing", "module client_app has no 'nothing'"),
        ("client_app:bad_tree", "this tree cannot grow"),
    ],
)
def test_a_node_that_cannot_start_fails_with_its_own_text_and_leaves_nothing(
    application: Any, temporary: Path, reference: str, text: str
) -> None:
    with pytest.raises(NodeDidNotStart) as caught:
        regrove.start(reference, cores=1)
    assert text in str(caught.value)
    assert list(temporary.iterdir()) == []


def test_bad_options_are_refused_before_anything_starts(application: Any, temporary: Path) -> None:
    with pytest.raises(ConfigError, match=r"cores = 0 \(from cores= of regrove\.start\)"):
        regrove.start("client_app:app", cores=0)
    with pytest.raises(ConfigError, match=r"from settings= of regrove\.start"):
        regrove.start("client_app:app", settings={"a ": "c"})
    with pytest.raises(ConfigError, match="there is no such key"):
        regrove.start("client_app:app", coers=1)
    with pytest.raises(Misuse, match="no application reference"):
        regrove.start("client_app")
    with pytest.raises(Misuse, match="stands in no module's variable"):
        regrove.start(Application("x", tree=application.tree))
    assert list(temporary.iterdir()) == []


SCRIPT = """
    import os, sys, time
    import regrove
    from regrove import Application, Child, Isolate, Reply, Supervisor, message

    @message(name="script.Ask")
    class Ask:
        n: int

    class Doubler(Isolate):
        def handle(self, ctx, message):
            return Reply(Ask(message.n * 2))

    def tree(place):
        return Supervisor("root", [Child("d", Doubler, name="d")])

    app = Application("doubling", tree=tree)

    if __name__ == "__main__":
"""


def script(folder: Path, main: str) -> subprocess.Popen[str]:
    """A program of its own whose application stands in `__main__`."""
    path = folder / "program.py"
    path.write_text(textwrap.dedent(SCRIPT) + textwrap.indent(textwrap.dedent(main), "    "))
    return subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=90)
    return process.returncode, out, err


def test_an_application_in_main_is_imported_by_its_file(tmp_path: Path) -> None:
    main = """
        with regrove.start(app, cores=1) as node:
            print(node.call("d", Ask(21)))
    """
    assert finished(script(tmp_path, main)) == (0, "Ask(n=42)\n", "")


def test_a_script_without_the_guard_is_told_where_to_put_it(tmp_path: Path) -> None:
    path = tmp_path / "unguarded.py"
    path.write_text(
        "import regrove\nfrom regrove import Application, Supervisor\n"
        "app = Application('x', tree=lambda place: Supervisor('root', []))\n"
        "with regrove.start(app, cores=1):\n    print('up')\n"
    )
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert 'put it under `if __name__ == "__main__":`' in done.stderr


def test_from_standard_input_an_application_is_refused_with_the_mend() -> None:
    program = (
        "import regrove\nfrom regrove import Application, Supervisor\n"
        "app = Application('x', tree=lambda place: Supervisor('root', []))\nregrove.start(app)\n"
    )
    done = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 1
    assert "interactive session" in done.stderr
    assert "put it into a file" in done.stderr


def test_a_program_that_ends_without_stopping_its_node_does_not_hang_and_leaves_nothing(tmp_path: Path) -> None:
    main = """
        node = regrove.start(app, cores=1)
        node.call("d", Ask(1))
        other = regrove.connect(node.control)
        other.call("d", Ask(1))
        print(*node.pids, node.runtime_dir, flush=True)
    """
    code, out, err = finished(script(tmp_path, main))
    *pids, folder = out.split()
    assert (code, err) == (0, "")
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not Path(folder).exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_node_outlives_the_program_that_started_it(tmp_path: Path, number: int) -> None:
    main = """
        node = regrove.start(app, cores=2)
        print(*node.pids, flush=True)
        time.sleep(600)
    """
    process = script(tmp_path, main)
    assert process.stdout is not None
    pids = [int(pid) for pid in process.stdout.readline().split()]
    handles = [os.pidfd_open(pid) for pid in pids]
    process.send_signal(number)
    process.communicate(timeout=90)
    assert len(handles) == 3
    assert all(gone(handle) for handle in handles)


def test_a_cluster_used_in_a_forked_child_is_refused_and_the_parents_goes_on(tmp_path: Path) -> None:
    main = """
        node = regrove.start(app, cores=1)
        node.call("d", Ask(1))
        child = os.fork()
        if child == 0:
            try:
                node.call("d", Ask(2))
            except regrove.Misuse as problem:
                print(type(problem).__name__, problem, flush=True)
            sys.exit(0)
        os.waitpid(child, 0)
        print(node.call("d", Ask(3)), node.status()["state"], flush=True)
        node.stop()
    """
    code, out, err = finished(script(tmp_path, main))
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "UsedAfterFork this cluster was made by the parent process: call regrove.connect(...) again in the child",
        "Ask(n=6) up",
    ]


def test_a_client_finds_the_node_again_after_it_was_restarted_in_place(application: Any, tmp_path: Path) -> None:
    from regrove.node.client.starting import _import_path
    from regrove.node.process.configuration import resolve
    from regrove.node.process.launch import launch

    flags = {
        "app": "client_app:app",
        "name": "again@here",
        "cores": 1,
        "runtime_dir": str(tmp_path / "run"),
        "data_dir": str(tmp_path / "data"),
        "import_path": _import_path(),
    }
    config = resolve(flags).config
    with (tmp_path / "log").open("wb") as log:
        first = launch(config, stderr=log)
        try:
            with regrove.connect(first.folder.control, timeout=30) as cluster:
                assert cluster.call("counter", application.Add(1), timeout=30) == 11
                first.stop()
                with pytest.raises(regrove.RegroveError):
                    cluster.call("counter", application.Total(), timeout=0.5)
                second = launch(config, stderr=log)
                try:
                    assert second.incarnation > first.incarnation
                    assert _answer(cluster, application.Total()) == 10
                finally:
                    second.stop()
        finally:
            first.stop()


def _answer(cluster: Any, request: object) -> object:
    deadline = time.monotonic() + 60
    while True:
        try:
            return cluster.call("counter", request, timeout=5)
        except regrove.RegroveError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
