"""What workers of pytest-xdist run while cases are written under their feet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from regrove.node.simulation.cases import Case
from regrove.node.simulation.kept import contents_of
from regrove.node.simulation.stored import Stored

ROOT = Path(__file__).parents[2]
TESTS = """
import os
import signal
from pathlib import Path

from regrove.testing import simulate
from tests.simulation.apps import counting


@simulate(app=counting)
def test_fails(sim):
    assert not sim.nodes


@simulate(app=counting)
def test_ends_its_worker_once(sim):
    if not Path("ended").exists():
        Path("ended").touch()
        os.kill(os.getpid(), signal.SIGKILL)


@simulate(app=counting, seeds=3)
def test_passes(sim):
    assert sim.nodes
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text(TESTS)
    return tmp_path


def said(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *options], cwd=folder, capture_output=True,
        text=True, env={"PYTHONPATH": str(ROOT), "PATH": "", "COLUMNS": "200"}, check=False, timeout=300,
    )  # fmt: skip


def run(folder: Path, *options: str) -> list[str]:
    done = said(folder, *options)
    lines = [line for line in done.stdout.splitlines() if line.startswith("[gw") and "%]" in line]
    assert lines, done.stdout + done.stderr
    told = [line.partition("%] ")[2].partition(" ") for line in lines]
    return sorted(f"{test.rpartition('::')[2].strip()} {outcome}" for outcome, _, test in told)


def test_a_worker_that_takes_the_place_of_one_that_died_runs_what_was_left(project: Path) -> None:
    assert run(project, "-n", "1") == [
        "test_ends_its_worker_once[seed 0] FAILED", "test_fails[seed 0] FAILED", "test_passes[seed 0] PASSED",
        "test_passes[seed 1] PASSED", "test_passes[seed 2] PASSED",
    ]  # fmt: skip
    assert list((project / ".regrove/cases").iterdir()), "which the second worker must not make an item of"


def test_workers_run_the_same_though_another_run_keeps_a_case_between_their_starts(project: Path) -> None:
    (project / "ended").touch()
    (project / "conftest.py").write_text(
        "import os\nfrom pathlib import Path\n\nfrom regrove.node.simulation.cases import Case\n\n\n"
        "def pytest_configure(config):\n    if os.environ.get('PYTEST_XDIST_WORKER') == 'gw1':\n"
        "        Case('test_it.py::test_passes', 7, ()).write(Path('.regrove/cases'))\n"
    )
    assert len(run(project, "-n", "2")) == 5
    assert "test_passes[case 7] PASSED" in run(project, "-n", "2", "-k", "passes")


def test_what_was_read_of_a_folder_stays_as_it_was(tmp_path: Path) -> None:
    first = Case("test_a.py::test_money", 1, ()).write(tmp_path)
    (tmp_path / "half.json").write_text("{")
    read = contents_of(tmp_path)
    Case("test_a.py::test_money", 2, ()).write(tmp_path)
    first.write_text("{}")
    stored = Stored(tmp_path, None, tmp_path, read)
    assert [case.seed for case in stored.cases] == [1]
    assert "left out: half.json is no case file" in stored.notes([], [], whole=True)[0]


def test_workers_tell_of_a_file_whose_name_is_no_text(project: Path) -> None:
    folder = project / ".regrove/cases"
    folder.mkdir(parents=True)
    (folder / "whole.json").write_text("{")
    (folder / os.fsdecode(b"torn\xff.json")).write_text("{")
    told = said(project, "-n", "1", "-k", "passes").stdout
    assert "left out: .regrove/cases/whole.json is no case file" in told
    assert r"left out: .regrove/cases/torn\udcff.json is no case file" in told
