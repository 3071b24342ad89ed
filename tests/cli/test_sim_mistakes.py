"""Mistakes on the command line of `regrove sim`: one line, exit 64, no story and no case."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import pytest

from regrove.node.cli import main
from regrove.node.cli.simulating import USUAL
from regrove.node.simulation import exploring
from regrove.node.simulation.cases import Case, read_case
from regrove.testing import faults as f

CHECKS = """
from examples.counter import app
from regrove.testing import simulate


@simulate(app=app)
def test_of_pytest(sim):
    pass


def silent(sim):
    total = 2
    assert total == 1


def raises(sim):
    {}["gone"]


def misuses(sim):
    sim.find("root/counter", core=5)


def of_two(sim, other):
    pass


def passes(sim):
    sim.run("10ms")


def two_ways(sim):
    if sim.seed % 2:
        raise ValueError(f"odd: {sim.seed}")
    assert sim.seed < 0
"""


@pytest.fixture
def checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    name = f"mychecks_{crc32(request.node.name.encode()):x}"
    (tmp_path / f"{name}.py").write_text(CHECKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def sim(*arguments: str) -> int:
    return main(["sim", *arguments])


def run(*arguments: str, app: str = "examples.counter:app") -> int:
    given = ("--nodes", "1", "--faults", "none", "--workers", "1", "--seeds", "1", "--shrink", "0")
    return sim("run", app, *given, *arguments)


@pytest.mark.parametrize(
    ("app", "arguments", "told"),
    [
        ("examples.counter:app", ["--span", "2q"], "a duration is written like '60s'"),
        ("examples.counter:app", ["--span", "5000000000"], "'5000000000s' is 158 years"),
        ("examples.kv:app", ["--set", "nosuch=1"], "nosuch"),
        ("examples.counter:app", ["--check", "CHECKS:nosuch"], "has no attribute 'nosuch'"),
        ("examples.counter:app", ["--check", "nosuch:nosuch"], "No module named 'nosuch'"),
        ("examples.counter:app", ["--check", "CHECKS:of_two"], "missing a required argument: 'other'"),
        ("examples.counter:app", ["--faults", "pausse"], "'pausse', did you mean pause?; there are cut, "),
        (
            "examples.counter:app", ["--check", "CHECKS:test_of_pytest"],
            "that is a pytest test: run pytest CHECKS.py::test_of_pytest, or give a plain function that takes sim",
        ),
        (
            "examples.counter:app", ["--check", "CHECKS:misuses"],
            "there is no core 5 on n0: each node has cores 0 to 0 (CHECKS.py:21: sim.find(",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_exit_64_and_no_case(
    app: str, arguments: list[str], told: str, checks: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*(word.replace("CHECKS", checks) for word in arguments), app=app) == 64
    printed = capsys.readouterr()
    assert told.replace("CHECKS", checks) in printed.err
    assert "simulation of" not in printed.out + printed.err
    assert not Path(".regrove/cases").exists()


def test_a_bare_number_on_the_command_line_is_seconds(checks: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--span", "2") == 0
    assert run("--span", "1.5") == 0
    assert capsys.readouterr().out.count("1 seeds, 0 failed") == 2


def test_a_time_that_is_none_is_a_mistake(checks: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert sim("soak", "examples.counter:app", "--for", "5x") == 64
    assert "--for takes a time such as 90s, 10m or 8h, or seconds, got '5x'" in capsys.readouterr().err


def test_a_failure_shows_its_line_in_the_story_and_in_the_case(checks: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--check", f"{checks}:silent") == 1
    assert f"violated: AssertionError\n  at {checks}.py:13: assert total == 1\n" in capsys.readouterr().out
    (file,) = Path(".regrove/cases").iterdir()
    assert json.loads(file.read_text())["violated"] == f"AssertionError ({checks}.py:13: assert total == 1)"
    assert run("--check", f"{checks}:raises") == 1
    assert f"violated: KeyError: 'gone'\n  at {checks}.py:17: {{}}[\"gone\"]\n" in capsys.readouterr().out


def test_failures_that_are_alike_are_told_once_and_named(checks: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert sim("run", "examples.counter:app", "--check", f"{checks}:two_ways", "--nodes=1", "--seeds", "7") == 1
    told = capsys.readouterr().out
    assert "7 seeds, 7 failed" in told
    assert told.count("--- simulation of") == 2
    even, odd = told.split("\n\n")[1:]
    assert "seed 0," in even
    assert even.endswith("the same, at the same line, in seeds 2, 4, 6")
    assert "violated: ValueError: odd: 1" in odd
    assert odd.endswith("the same, at the same line, in seeds 3, 5\n")
    assert len(list(Path(".regrove/cases").iterdir())) == 7


def test_a_replay_says_how_it_compares_with_the_run_that_was_kept(
    checks: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--check", f"{checks}:silent") == 1
    (file,) = Path(".regrove/cases").iterdir()
    kept = json.loads(file.read_text())
    capsys.readouterr()

    def replayed(**changes: object) -> str:
        file.write_text(json.dumps({**kept, **changes}))
        sim("replay", str(file))
        return capsys.readouterr().out

    assert "replayed: this is the very run that was kept" in replayed()
    why = "the check or the application has changed since, or something no seed decides is read (regrove sim diff finds"
    assert f"replayed: it fails as it did, in another run: {why} that)" in replayed(digest="00")
    assert f"replayed: it fails, but not as it did: {why}" in replayed(digest="00", violated="KeyError: 1")
    other = replayed(violated="KeyError: 1")
    assert "replayed: the run is the one that was kept, what it violates is not; kept was: KeyError: 1" in other
    case = Case("tests/test_bank.py::test_money", 3, (), violated="KeyError: 1", digest="00")
    assert "the test or the application has changed since, or something no seed decides is read (--sim-audit" in (
        case.compared("KeyError: 2", "01")
    )
    passing = f"examples.counter:app {checks}:passes"
    assert f"replayed: seed 0 under the plan of {file} passes now\n" in replayed(test=passing)
    struck = "nothing was struck by 0.100000s crash-isolate n0/0:root/other: is it called otherwise now?"
    assert f"passes now; {struck}\n" in replayed(test=passing, plan=["0.1s crash-isolate n0/0:root/other"])


def case(**changed: object) -> str:
    """The text of a case file, with some of it changed by hand."""
    rows = {"format": 1, "test": "examples.counter:app", "seed": 0, "nodes": 1, "cores": 1, "profile": "faithful"}
    return json.dumps({**rows, "plan": [], **changed})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "it is not JSON"), ('{"format": 1}', "it has no 'test'"), ("[]", "is no case file: it is no object"),
        ("\udcff", "it is no text"), (case(test=""), "test names a test or MODULE:APP, got ''"),
        (case(plan="cut"), "plan is a list of lines, got 'cut'"), (case(plan=[1]), "plan is a list of lines, got [1]"),
        (case(settings=[]), "settings are names with values, got []"), (case(nodes="2"), "seed, nodes and cores are"),
        (case(plan=["1s cut n0>n9 for 1s"]), "case.json: there is no node 'n9' in this world: n0"),
        (case(test="examples.counter:app no:gone"), "case.json: --check 'no:gone': No module named 'no'"),
    ],
)  # fmt: skip
def test_a_broken_case_file_is_said_in_a_line(
    text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "case.json"
    file.write_text(text, errors="surrogateescape")
    assert sim("replay", str(file)) == 64
    assert told in capsys.readouterr().err


def test_a_pytest_case_is_shrunk_by_the_command_that_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = Case("tests/test_bank.py::test_money", 3, ()).write(tmp_path)
    assert sim("shrink", str(file), "--for", "5m") == 64
    assert (
        f"run pytest 'tests/test_bank.py::test_money' --sim-replay {file} --sim-shrink 300" in capsys.readouterr().err
    )


def test_cases_of_other_campaigns_and_other_plans_are_never_overwritten(tmp_path: Path) -> None:
    cases = [
        Case("tests/test_a.py::test_money", 3, ()),
        Case("tests/test_b.py::test_money", 3, ()),
        Case("tests/test_a.py::test_money", 3, (), campaign="other"),
        Case("tests/test_a.py::test_money", 3, (), nodes=2),
        Case("shop:app checks:money", 3, (), settings=(("a", "1"),)),
        Case("shop:app checks:money", 3, ()),
    ]
    first = cases[0].write(tmp_path)
    paths = [first, *(case.write(tmp_path) for case in cases[1:])]
    assert len(dict.fromkeys(paths)) == len(cases)
    assert [read_case(path) for path in paths] == cases
    other = replace(cases[0], plan=(f.once("pause", "n0", at="1s", lasts="1s"),))
    assert other.write(tmp_path).name == f"{first.stem}-2.json"
    assert cases[0].write(tmp_path) == first
    assert read_case(first) == cases[0]


def test_the_help_names_the_faults_that_are_usual(capsys: pytest.CaptureFixture[str]) -> None:
    assert USUAL == exploring.USUAL
    assert sim("run", "--help") == 0
    assert "default: cut,swizzle" in " ".join(capsys.readouterr().out.split())


def test_a_trace_that_cannot_be_written_is_refused_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "case.json"
    file.write_text(case())
    assert sim("replay", str(file), "--trace", str(tmp_path / "no" / "trace")) == 64
    assert "no/trace: No such file or directory" in capsys.readouterr().err
    assert sim("replay", str(file), "--trace", str(tmp_path / "trace")) == 0
    assert (tmp_path / "trace").stat().st_size
