"""What becomes of tests under `@simulate` that print, skip, exit, hang, are interrupted or cannot keep their case."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from regrove import RECEIVE, Application, Child, Context, Effect, Isolate, Misuse, Supervisor
from regrove.node.simulation.attempts import OutOfTime, Test, is_out_of_time, is_outcome, is_skip, run_once
from regrove.node.simulation.cases import Case
from regrove.node.simulation.failing import Failing, judge
from regrove.node.simulation.faults import Faults
from regrove.node.simulation.violation import violated
from regrove.testing import Simulation, simulate
from tests.simulation.apps import Add, counting

ROOT = Path(__file__).parents[2]
TESTS = """
import logging
import os
import signal
import sys

import pytest

from regrove.testing import faults as f, simulate
from tests.simulation.apps import counting


@simulate(app=counting, nodes=2, seeds=1, faults=f.cut(often=(3, 1)))
def test_prints(sim):
    print("printed in seed", sim.seed)
    logging.getLogger("test").warning("logged")
    sim.run("1s")
    assert not sim.plan.counts["cut"].fired


@simulate(app=counting, seeds=40)
def test_skips_the_even_ones(sim):
    if sim.seed % 2 == 0 or sim.seed > 37:
        pytest.skip("even")
    assert sim.seed != 33


@simulate(app=counting, seeds=1)
def test_exits(sim):
    sys.exit(3)


@simulate(app=counting, seeds=1)
def test_looks_in_vain(sim):
    sim.always("looked", lambda world: world.find("root/nobody"))


@simulate(app=counting, seeds=1)
def test_expects_to_fail(sim):
    pytest.xfail("not yet")


@simulate(app=counting, seeds=2)
def test_is_interrupted(sim):
    if sim.seed == 1:
        signal.raise_signal(signal.SIGINT)


@simulate(app=counting)
def test_wants_a_fixture_that_there_is_not(sim, tmp_pth):
    sim.run("1s")


runs = []


@simulate(app=counting, nodes=2, seeds=2, faults=f.cut(often=(3, 1)))
def test_is_interrupted_while_it_is_shrunk(sim):
    runs.append(sim.seed)
    if len(runs) > 1:
        signal.raise_signal(signal.SIGINT)
    sim.run("1s")
    assert not sim.plan.counts["cut"].fired
"""


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_kinds.py").write_text(TESTS)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-rA", *options],
        cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": "", "COLUMNS": "200"}, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("kinds")
    (folder / ".regrove").write_text("no folder, so no case can be kept")
    return run(folder, "-k", "not interrupted").stdout


def test_what_a_test_prints_is_told_of_its_first_and_its_last_run_only(output: str) -> None:
    assert output.count("printed in seed 0") == 2
    assert output.count("logged") == 2 + 1, "and once in the source"


def test_a_seed_that_skips_is_left_out_and_the_others_of_its_range_run(output: str) -> None:
    assert re.search(r"^FAILED .*test_skips_the_even_ones\[seeds 32-33\]", output, re.MULTILINE)
    assert "test_skips_the_even_ones: 19 seeds, 1 failed" in output
    assert output.count("SKIPPED [1]") == 1, "the range in which all do"


def test_an_exit_is_a_failure_with_a_story_and_an_expected_failure_is_none(output: str) -> None:
    assert "violated: SystemExit: 3" in output
    assert re.search(r"XFAIL test_kinds.py::test_expects_to_fail\[seed 0\] - .*not yet", output)
    assert "1 xfailed" in output


def test_a_failure_is_shown_at_the_line_of_the_test_and_not_inside_of_us(output: str) -> None:
    shown = output[output.index("___ test_looks_in_vain") :].partition("--- simulation of")[0]
    assert shown.count('>       sim.always("looked", lambda world: world.find("root/nobody"))') == 1
    assert "nothing runs at 'root/nobody' now" in shown
    assert "regrove/node/simulation" not in shown


def test_a_fixture_that_there_is_not_is_told_at_the_line_of_the_test(output: str) -> None:
    told = output[output.index("ERROR at setup of test_wants_a_fixture") :].partition("\n___")[0]
    line = TESTS.splitlines().index("def test_wants_a_fixture_that_there_is_not(sim, tmp_pth):")  # of the decorator
    assert f"test_kinds.py, line {line}\n" in told
    assert "fixture 'tmp_pth' not found" in told
    assert "campaign.py" not in told


def test_a_case_that_cannot_be_kept_is_said_and_the_seed_is_run_again_by_its_number(output: str) -> None:
    assert re.search(r"the case is not kept: .*\.regrove/cases: Not a directory", output)
    assert "run it again: pytest 'test_kinds.py::test_exits' --sim-seed 0" in output


def test_an_interrupt_says_in_which_seed_and_keeps_what_was_being_shrunk(tmp_path: Path) -> None:
    done = run(tmp_path, "-k", "test_is_interrupted and not shrunk")
    assert done.returncode == pytest.ExitCode.INTERRUPTED
    assert "in seed 1; to run it again: pytest 'test_kinds.py::test_is_interrupted' --sim-seed 1" in done.stdout
    done = run(tmp_path, "-k", "interrupted_while")
    assert re.search(r"while seed 0 was shrunk, which failed: AssertionError: assert not \d", done.stdout)
    (kept,) = (tmp_path / ".regrove/cases").iterdir()
    assert str(kept) in done.stdout
    assert "cut n" in kept.read_text()


def test_tests_that_would_never_run_are_refused() -> None:
    async def coroutine(sim: Simulation) -> None: ...

    def hypothetical(sim: Simulation) -> None: ...

    hypothetical.is_hypothesis_test = True  # type: ignore[attr-defined]  # as hypothesis marks them
    with pytest.raises(Misuse, match="a coroutine or generator, which would never run"):
        simulate(app=counting)(coroutine)  # type: ignore[arg-type]  # as it is refused
    with pytest.raises(Misuse, match="all its examples in one world"):
        simulate(app=counting)(hypothetical)
    with pytest.raises(Misuse, match="pytest runs it, alone or in a plain class"):
        simulate(app=counting)(lambda sim: None)()


def test_what_a_test_says_of_itself_is_no_failure() -> None:
    for outcome in (pytest.skip.Exception("so"), pytest.xfail.Exception("so"), pytest.exit.Exception("so")):
        assert is_outcome(outcome)
        assert is_skip(outcome) == isinstance(outcome, pytest.skip.Exception)
    assert not is_outcome(pytest.fail.Exception("so"))
    assert not is_outcome(SystemExit(1))


def test_a_limit_of_real_time_is_known_by_who_raised_it() -> None:
    def told(module: str) -> bool:
        names = {"__name__": module}
        exec("def strike(sim):\n    raise AssertionError('Timeout')", names)
        _, error = run_once(lambda faults: Simulation(counting, faults=faults), names["strike"], None)  # type: ignore[arg-type]
        assert error is not None
        return is_out_of_time(error)

    assert told("pytest_timeout")
    assert not told("test_shop")


def test_a_limit_of_real_time_that_strikes_in_a_handler_fails_the_test_and_leaves_no_case(tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    exec(compile("def strike():\n    raise AssertionError('Timeout')", "site/pytest_timeout.py", "exec"), names)

    class Spins(Isolate):
        def handle(self, ctx: Context, message: Add) -> Effect:
            names["strike"]()
            return RECEIVE

    spinning = Application("spin", tree=lambda place: Supervisor("root", [Child("spin", Spins, name="spin")]))

    def spin(sim: Simulation) -> None:
        sim.send("spin", Add(1))
        sim.settle()
        raise ValueError("which must not be shrunk")

    def world(faults: Faults) -> Simulation:
        return Simulation(spinning, faults=faults)

    case, how = Case("test_a.py::test_spin", 0, ()), Failing(9, tmp_path / "cases")
    with pytest.raises(OutOfTime, match="pytest-timeout struck in a handler of root/spin") as failed:
        judge(world, spin, None, case, how, lambda path, seed: f"run seed {seed} {path}")
    assert "run it again: run seed 0 None" in failed.value.__notes__[0]
    assert not (tmp_path / "cases").exists()


def test_a_test_that_returns_false_is_told_to_assert() -> None:
    def run(test: Test) -> BaseException | None:
        return run_once(lambda faults: Simulation(counting, faults=faults), test, None)[1]

    assert isinstance(run(lambda sim: sim.now < 0), Misuse)
    assert run(lambda sim: sim.now > 0) is None


def test_the_parts_of_a_group_of_failures_are_told() -> None:
    group = ExceptionGroup("both", [ValueError("one"), ExceptionGroup("more", [KeyError("other")])])
    assert [line.strip() for line in violated(group).splitlines()] == [
        "ExceptionGroup: both (2 sub-exceptions)", "ValueError: one", "ExceptionGroup: more (1 sub-exception)",
        "KeyError: 'other'",
    ]  # fmt: skip
