"""What pytest says of `@simulate`, of cases and of options that cannot be run with, and where it finds tests again."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from regrove import Misuse
from regrove.node.simulation.cases import Case
from regrove.testing import faults as f
from regrove.testing import simulate
from tests.simulation.apps import counting

ROOT = Path(__file__).parents[2]
TESTS = """
import unittest

from regrove.testing import faults as f, simulate
from tests.simulation.apps import counting


@simulate(app=counting, nodes=0)
def test_of_no_node(sim):
    pass


@simulate(app=counting, faults="cut")
def test_of_a_word(sim):
    pass


@simulate(app=counting)
def test_that_misuses(sim):
    sim.find(5)


@simulate(app=counting)
def test_fails(sim):
    assert not sim.nodes


class TestOfUnittest(unittest.TestCase):
    @simulate(app=counting)
    def test_it(self, sim):
        pass
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text(TESTS)
    return tmp_path


def run(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *words], cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "COLUMNS": "200"}, capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip
    return done.stdout + done.stderr


def test_what_no_world_can_be_made_with_is_a_line_at_the_test(project: Path) -> None:
    plan = (f.once("cut", "n0>n9", at="1s", lasts="1s"),)
    kept = Case("test_it.py::test_fails", 2, plan).write(project / ".regrove/cases")
    output = run(project, "-k", "no_node or word or case")
    lines = [line for line in output.splitlines() if line.startswith("test_it.py:")]
    assert [line.partition(": ")[2] for line in lines] == [
        "there is no node 'n9' in this world: n0", "Simulation(nodes=0): nodes is an int of at least 1",
        "faults= takes kinds such as faults.cut(), faults.swarm(...) or faults.once(...), got 'cut'",
    ]  # fmt: skip
    number = TESTS.splitlines().index("@simulate(app=counting, nodes=0)") + 1
    assert lines[1].startswith(f"test_it.py:{number}: ")
    assert f"this is the case of {kept}: edit or delete it" in output
    assert "regrove/node/simulation" not in output


def test_what_a_test_misuses_is_shown_at_its_line(project: Path) -> None:
    output = run(project, "-k", "misuses or unittest")
    assert ">       sim.find(5)" in output
    assert "find takes a path" in output
    assert "pytest runs it, alone or in a plain class, and not in a unittest.TestCase" in output


def test_options_that_say_nothing_or_two_things_are_refused(project: Path) -> None:
    for nonsense in ("nan", "-1", "soon"):
        told = run(project, f"--sim-shrink={nonsense}")
        assert f"argument --sim-shrink: it takes seconds such as 20, or 0 for none, got '{nonsense}'" in told
    told = run(project, "--sim-seed", "1", "--sim-replay", "case.json")
    assert "--sim-seed and --sim-replay each say what alone is run: give one of them" in told


def test_more_seeds_than_a_range_has_are_refused() -> None:
    with pytest.raises(Misuse, match="of up to 18 digits"):
        simulate(app=counting, seeds=10**30)


def test_a_test_outside_of_the_root_is_found_again(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("root")
    given = ("-c", "/dev/null", "--rootdir", str(root), str(project), "-k", "fails")
    output = run(root, *given, "--sim-audit-every", "1")
    assert "1 failed" in output
    (command,) = [line.partition("run it again: pytest ")[2] for line in output.splitlines() if "run it again" in line]
    assert "1 failed" in run(root, *shlex.split(command))
    (project / "test_it.py").write_text(TESTS.replace("assert not sim.nodes", "assert sim.nodes"))
    assert "1 in other processes, all the same" in run(root, *given, "--sim-audit-every", "1", "--sim-cases", "none")
