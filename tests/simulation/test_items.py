"""Which stored cases pytest runs: those of the very test and its very parameters, wherever it went."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from regrove.node.simulation.cases import Case, read_case
from regrove.node.simulation.items import Item
from regrove.node.simulation.stored import Candidate, Stored
from regrove.testing import faults as f

ROOT = Path(__file__).parents[2]
TESTS = """
import pytest

from regrove.testing import simulate
from tests.simulation.apps import Add, Total, counting


@pytest.mark.parametrize("limit", [11, 12, 15], ids=["a b", "it's", "[15]"])
@simulate(app=counting, seeds=4)
def test_limit(sim, limit):
    sim.send("counter", Add(sim.seed))
    sim.settle()
    assert sim.call("counter", Total()) < limit


class TestClass:
    @simulate(app=counting, seeds=2)
    def test_in_a_class(self, sim, tmp_path):
        assert self.__class__ is TestClass
        assert tmp_path.exists()
        assert sim.seed != 1


class TestOther:
    @simulate(app=counting, seeds=2)
    def test_in_a_class(self, sim):
        assert sim.nodes

    @classmethod
    @simulate(app=counting, seeds=1)
    def test_of_a_class(cls, sim):
        assert cls is TestOther

    @staticmethod
    @simulate(app=counting, seeds=1)
    def test_static_in_a_class(sim):
        assert sim.nodes
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "test_it.py").write_text(TESTS)
    return tmp_path


def run(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words], cwd=folder, capture_output=True, text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "COLUMNS": "200"}, check=False, timeout=300,
    )  # fmt: skip
    return done.stdout + done.stderr


def failed(output: str) -> list[str]:
    return [line.split(" - ")[0].rpartition("::")[2] for line in output.splitlines() if line.startswith("FAILED")]


def commands(output: str) -> list[list[str]]:
    return [shlex.split(line.partition("run it again: pytest ")[2]) for line in output.splitlines() if "run it" in line]


def test_cases_of_parametrised_tests_are_replayed_with_their_own_parameters(project: Path) -> None:
    output = run(project, "-q", "-p", "no:xdist", "-k", "limit")
    assert failed(output) == [
        "test_limit[seed 1-a b]", "test_limit[seed 2-a b]", "test_limit[seed 2-it's]", "test_limit[seed 3-a b]",
        "test_limit[seed 3-it's]",
    ]  # fmt: skip
    replays = commands(output)
    assert len({words[2] for words in replays}) == len(replays) == 5
    (words,) = commands(run(project / "part", "-q", "-n", "2", "--sim-replay", f"../{replays[2][2]}"))
    assert failed(run(project / "part", "-q", "-p", "no:xdist", *words)) == ["test_limit[case 2-it's]"]
    output = run(project, "-v", "-p", "no:xdist", "-k", "limit")
    order = [line for line in output.splitlines() if line.startswith("part/") and "%]" in line]
    assert ["case" in line for line in order] == [True] * 5 + [False] * 12
    assert sum("FAILED" in line for line in order) == 10


def test_a_case_from_before_parameters_were_kept_runs_under_each_and_becomes_a_case_of_those_that_fail(
    project: Path,
) -> None:
    old = Case("part/test_it.py::test_limit", 2, ()).write(project / ".regrove/cases")
    before = old.read_text()
    output = run(project, "-q", "-n", "0", "--sim-replay", str(old))
    assert failed(output) == ["test_limit[case 2-a b]", "test_limit[case 2-it's]"]
    kept = [read_case(project / words[2]) for words in commands(output)]
    assert [case.parameters for case in kept] == ["a b", "it's"]
    assert old.read_text() == before


def test_a_case_of_a_method_is_not_run_under_another_of_its_name(project: Path) -> None:
    output = run(project, "-q", "-n", "0", "-k", "class")
    assert failed(output) == ["test_in_a_class[seed 1]"]
    assert "1 failed, 5 passed" in output
    output = run(project, "-v", "-n", "0", "-k", "class")
    cases = [line.split(" ")[0:2] for line in output.splitlines() if "[case 1]" in line and "%" in line]
    assert cases == [["part/test_it.py::TestClass::test_in_a_class[case", "1]"]]


def test_what_is_said_of_cases_that_cannot_run(project: Path) -> None:
    cases = project / ".regrove/cases"
    gone = Case("part/test_it.py::test_gone", 2, ()).write(cases)
    other = Case("part/test_it.py::test_limit", 2, (), parameters="c").write(cases)
    (cases / "half.json").write_text(json.dumps({"format": 1, "test": "x"})[:-3])
    for workers in ("0", "2"):
        output = run(project, "-q", "-n", workers, "-k", "other")
        told = f"case {gone.relative_to(project)} is of part/test_it.py::test_gone, which is not there any more"
        assert told in output
        told = f"case {other.relative_to(project)} is of part/test_it.py::test_limit with the parameters c, which it"
        assert told in output
        assert "(a b, it's, [15])" in output
        assert "case left out: .regrove/cases/half.json is no case file: it is not JSON" in output
    assert f"{other} is of part/test_it.py::test_limit with the parameters c" in run(
        project, "-n", "0", "--sim-replay", str(other)
    )


def test_kept_cases_that_pass_or_have_lost_their_test_are_a_line_a_test(project: Path) -> None:
    cases = project / ".regrove/cases"
    unmet = (f.once("crash-isolate", "n0/0:root/other", at="100ms"),)
    for seed in range(12):
        Case("part/test_it.py::TestOther::test_in_a_class", seed, unmet if seed == 4 else ()).write(cases)
        Case("part/test_it.py::test_gone", seed, ()).write(cases)
        Case("part/test_it.py::test_limit", seed, (), parameters="c").write(cases)
    (alone,) = [Case("part/test_it.py::TestOther::test_of_a_class", 7, ()).write(cases)]
    output = run(project, "-q", "-p", "no:xdist", "-k", "TestOther")
    passing = [line for line in output.splitlines() if line.startswith("replayed ")]
    assert sorted(passing) == [
        "replayed part/test_it.py::TestOther::test_in_a_class: 12 kept cases pass now (0, 1, 2, 3, 4, 5, 6, 7 ...): "
        "delete those you need no longer; in 4 a fault strikes nothing any more: --sim-replay FILE names it",
        f"replayed part/test_it.py::TestOther::test_of_a_class: case 7 ({alone.relative_to(project)}) passes now",
    ]
    lost = [line for line in output.splitlines() if line.startswith("case ")]
    assert len(lost) == 2
    assert "and 11 more are of part/test_it.py::test_limit with the parameters c, which it has no more" in lost[0]
    assert "and 11 more are of part/test_it.py::test_gone, which is not there any more" in lost[1]


def test_a_case_that_does_not_fit_its_test_any_more_names_its_file(project: Path) -> None:
    plan = (f.once("cut", "n0>n9", at="1s", lasts="1s"),)
    kept = Case("part/test_it.py::test_limit", 2, plan, parameters="a b").write(project / ".regrove/cases")
    output = run(project, "-q", "-p", "no:xdist", "--sim-replay", str(kept))
    assert "there is no node 'n9' in this world: n0" in output
    assert f"this is the case of {kept}: edit or delete it where the test has changed since" in output


def test_a_test_that_moved_keeps_its_cases_and_one_that_is_still_there_does_too(tmp_path: Path) -> None:
    (tmp_path / "test_old.py").write_text("class TestIt:\n    def test_money(self): ...\n")
    moved = Case("test_gone.py::test_money", 1, ())
    there = Case("test_old.py::TestIt::test_money", 2, ())
    inherited = Case("test_old.py::TestIt::test_other", 3, ())
    for case in (moved, there, inherited):
        case.write(tmp_path / "cases")
    stored = Stored(tmp_path / "cases", None, tmp_path)
    found = stored.of("test_new.py::test_money")
    assert [case.seed for case in found] == [1, 2]
    assert stored.chosen([Candidate("test_new.py::test_money", "", case) for case in found]) == [True, False]
    assert [stored.has(case.test) for case in (moved, there, inherited)] == [False, True, False]


def test_a_case_of_parameters_runs_where_the_test_has_none_any_more(tmp_path: Path) -> None:
    Case("test_a.py::test_money", 1, (), parameters="a").write(tmp_path)
    stored = Stored(tmp_path, None, tmp_path)
    (case,) = stored.cases
    assert stored.chosen([Candidate("test_a.py::test_money", "", case)]) == [True]
    assert stored.chosen([Candidate("test_a.py::test_money", given, case) for given in ("b", "a")]) == [False, True]


@pytest.mark.parametrize(
    ("brackets", "parameters", "seeded"),
    [
        ("seeds 0-4", "", "[seed 3]"), ("seeds 0-4-a-b", "a-b", "[seed 3-a-b]"), ("x-seeds 0-4", "x", "[x-seed 3]"),
        ("x-seeds 0-4-y", "x-y", "[x-seed 3-y]"), ("seeds 0-4-seeds 0-4", "seeds 0-4", "[seed 3-seeds 0-4]"),
    ],
)  # fmt: skip
def test_the_parameters_of_an_item_are_what_is_left_without_its_seeds(
    brackets: str, parameters: str, seeded: str
) -> None:
    item = Item("t.py::test", brackets, "seeds 0-4")
    assert item.parameters == parameters
    assert item.of_seed(3) == f"t.py::test{seeded}"


def test_the_names_of_case_files_tell_parameters_apart_and_stay_short(tmp_path: Path) -> None:
    long = "x" * 500
    cases = [Case("tests/test_a.py::TestIt::test_b", 1, (), parameters=given) for given in ("", "a/b", "a b", long)]
    names = [case.write(tmp_path).name for case in cases]
    assert len(set(names)) == 4
    assert all(name.startswith("test_a-test_b-") and len(name) < 200 for name in names)
    assert [read_case(tmp_path / name) for name in names] == cases


def test_a_failure_that_is_kept_under_another_name_is_not_kept_twice(tmp_path: Path) -> None:
    moved = Case("tests/test_b.py::test_it", 3, ()).write(tmp_path, over=tmp_path / "test_a-test_it-3.json")
    assert Case("tests/test_b.py::test_it", 3, ()).write(tmp_path) == moved
    assert Case("tests/test_b.py::test_it", 4, ()).write(tmp_path) != moved
