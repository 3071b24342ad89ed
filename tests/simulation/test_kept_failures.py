"""What is kept of a failure while it is shrunk, and what of one that was kept when its test fails otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from regrove.node.simulation.cases import Case, cases_in, read_case
from regrove.node.simulation.failing import Failing, judge
from regrove.node.simulation.faults import Faults
from regrove.testing import Simulation
from regrove.testing import faults as f
from tests.simulation.apps import counting

CUTS = tuple(f.once("cut", "n0>n1", at=f"{500 + 10 * number}ms", lasts="5ms") for number in range(8))
OWN = Case("test_a.py::test_it", 0, (), nodes=2)


def world(faults: Faults) -> Simulation:
    return Simulation(counting, nodes=2, faults=faults)


def cut(sim: Simulation) -> int:
    sim.run("1s")
    return len(sim.plan.explicit(sim.now))


def judged(test: object, plan: Faults, case: Case, folder: Path, seconds: float = 60) -> BaseException:
    with pytest.raises(BaseException) as failed:  # noqa: PT011  # whatever a test raises
        judge(world, test, plan, case, Failing(seconds, folder), lambda path, seed: f"run {path}")  # type: ignore[arg-type]
    return failed.value


def test_a_failure_is_a_case_before_it_is_shrunk_and_the_same_one_after_it(tmp_path: Path) -> None:
    kept: list[list[int]] = []

    def is_cut(sim: Simulation) -> None:
        kept.append([len(case.plan) for _, case in cases_in(tmp_path)])
        assert not cut(sim)

    judged(is_cut, CUTS, OWN, tmp_path)
    assert kept[0] == []
    assert kept[1:-1] == [[8]] * len(kept[1:-1])
    assert len(kept) > 3
    ((path, case),) = cases_in(tmp_path)
    assert len(case.plan) <= 1
    assert path.name == case.name
    judged(is_cut, CUTS, OWN, tmp_path)
    assert [path for path, _ in cases_in(tmp_path)] == [path]


def test_a_case_that_cannot_be_written_anew_stays_as_it_was_before_the_shrink(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Case.write
    writes: list[int] = []

    def write(case: Case, folder: Path, over: Path | None = None) -> Path:
        writes.append(len(case.plan))
        if len(writes) > 1:
            raise OSError(28, "No space left on device", str(over))
        return real(case, folder, over)

    def is_cut(sim: Simulation) -> None:
        assert not cut(sim)

    monkeypatch.setattr(Case, "write", write)
    error = judged(is_cut, CUTS, OWN, tmp_path)
    assert "the case is not kept" in error.__notes__[0]
    ((_, case),) = cases_in(tmp_path)
    assert (len(case.plan), len(writes)) == (8, 2)


def test_what_a_test_prints_is_shown_of_its_seed_and_not_of_its_kept_cases(tmp_path: Path) -> None:
    quiet: list[bool] = [False]
    runs: list[bool] = []

    @contextmanager
    def hushed() -> Iterator[None]:
        quiet[0] = True
        yield
        quiet[0] = False

    def is_cut(sim: Simulation) -> None:
        runs.append(quiet[0])
        assert cut(sim) < 2

    judged(is_cut, CUTS, OWN, tmp_path)
    runs.clear()
    with pytest.raises(AssertionError):
        judge(world, is_cut, CUTS, OWN, Failing(60, tmp_path, quiet=hushed), lambda path, seed: "")
    assert runs.count(False) == 2, "the seed, and what the story tells"
    assert runs[1]


def test_a_case_that_fails_otherwise_keeps_its_file_and_the_other_failure_has_one_of_its_own(tmp_path: Path) -> None:
    def is_cut(sim: Simulation) -> None:
        assert cut(sim) < 2

    def is_broken(sim: Simulation) -> None:
        cut(sim)
        raise NameError("totl")

    judged(is_cut, CUTS, OWN, tmp_path)
    ((path, case),) = cases_in(tmp_path)
    assert len(case.plan) == 2
    for _ in range(2):
        again = judged(is_broken, case.plan, read_case(path), tmp_path)
    assert "kept was: AssertionError" in again.__notes__[0]
    assert read_case(path) == case
    other = path.with_name(f"{path.stem}-2.json")
    assert [found for found, _ in cases_in(tmp_path)] == [other, path]
    assert read_case(other).violated.startswith("NameError: totl")
    judged(is_cut, case.plan, read_case(path), tmp_path)
    assert len(cases_in(tmp_path)) == 2


def test_a_seed_that_fails_as_its_kept_case_goes_on_from_there_and_keeps_no_other(tmp_path: Path) -> None:
    def is_cut(sim: Simulation) -> None:
        assert cut(sim) < 2

    judged(is_cut, CUTS, OWN, tmp_path)
    ((path, case),) = cases_in(tmp_path)
    others = tuple(f.once("cut", "n0>n1", at=f"{100 + number}ms", lasts="1ms") for number in range(2))
    replace(case, plan=others).write(tmp_path, over=path)
    judged(is_cut, CUTS, OWN, tmp_path)
    ((again, found),) = cases_in(tmp_path)
    assert (again, found.plan) == (path, others)


def test_a_kept_case_that_passes_now_is_left_alone_when_its_seed_fails_again(tmp_path: Path) -> None:
    def is_cut(sim: Simulation) -> None:
        assert cut(sim) < 2

    judged(is_cut, CUTS, OWN, tmp_path)
    ((path, case),) = cases_in(tmp_path)
    passing = replace(case, plan=case.plan[:1])
    passing.write(tmp_path, over=path)
    judged(is_cut, CUTS, OWN, tmp_path)
    assert read_case(path) == passing
    (other,) = [found for found, _ in cases_in(tmp_path) if found != path]
    assert len(read_case(other).plan) == 2


@pytest.mark.parametrize(
    ("now", "alike"),
    [
        ("AssertionError: 4 are lost (tests/test_b.py:9: assert lost(a) == 0)", True),
        ("AssertionError: (b.py:9: x) is lost (test_a.py:7: assert lost(a) == 0)", True),
        ("AssertionError: 3 are lost (test_a.py:7: assert other == 0)", False),
        ("ValueError: 3 are lost (test_a.py:7: assert lost(a) == 0)", False),
    ],
)
def test_failures_are_told_apart_by_their_class_and_the_code_of_their_line(now: str, alike: bool) -> None:
    kept = Case("test_a.py::test_it", 0, (), violated="AssertionError: 3 are lost (test_a.py:7: assert lost(a) == 0)")
    assert kept.fails_alike(now) == alike
    prop = "PropertyViolated: always 'small' was violated at {}s (test_a.py:{}: sim.run('1s'))"
    kept = Case("test_a.py::test_it", 0, (), violated=prop.format("1.2", 7))
    assert kept.fails_alike(prop.format("0.3", 8).replace("run", "settle"))
    assert not kept.fails_alike(prop.format("1.2", 7).replace("small", "large"))


def test_a_shrink_that_is_interrupted_keeps_the_smallest_plan_it_had_found(tmp_path: Path) -> None:
    sizes: list[int] = []

    def interrupted(sim: Simulation) -> None:
        size = cut(sim)
        sizes.append(size)
        if len(sizes) > 1 and size == 2:
            raise KeyboardInterrupt
        assert size < 1

    error = judged(interrupted, CUTS, OWN, tmp_path)
    assert "while seed 0 was shrunk, which failed: AssertionError" in str(error)
    ((path, case),) = cases_in(tmp_path)
    assert str(path) in str(error)
    assert len(case.plan) == 4, sizes
    assert case.compared("AssertionError", "ff") == "", "it was not run as the last one, and is none that changed"


def test_an_interrupt_between_two_runs_of_a_shrink_says_where_the_failure_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_cut(sim: Simulation) -> None:
        assert not cut(sim)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("regrove.node.simulation.failing.shrink", interrupted)
    told = str(judged(is_cut, CUTS, OWN, tmp_path))
    ((path, case),) = cases_in(tmp_path)
    assert len(case.plan) == 8
    assert told.endswith(f"kept as {path}")
