"""`regrove sim`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from regrove.node.cli import main, simulating
from regrove.node.simulation import exploring, workers
from regrove.node.simulation.cases import read_case


def sim(*arguments: str) -> int:
    return main(["sim", *arguments])


def crashing(shop: str) -> list[str]:
    return [
        f"{shop}:app",
        "--nodes",
        "2",
        "--check",
        f"{shop}:nothing_lost",
        "--faults",
        "crash,slow",
        "--workers",
        "1",
    ]


def test_seeds_that_fail_end_as_cases_and_are_replayed(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert sim("run", *crashing(shop), "--seeds", "6") == 1
    told = capsys.readouterr().out
    assert "6 seeds, " in told
    assert "crash-core n" in told
    assert "<- without this it passes" in told
    case = sorted(Path(".regrove/cases").iterdir())[0]
    assert f"run it again: regrove sim replay {case}" in told
    assert sim("replay", str(case)) == 1
    again = capsys.readouterr().out
    assert json.loads(case.read_text())["digest"] in again
    assert "has changed since" not in again


def test_a_run_goes_on_behind_the_seeds_of_the_last(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    quiet = [f"{shop}:app", "--nodes", "2", "--span", "1s", "--faults", "none", "--workers", "1"]
    assert sim("run", *quiet, "--seeds", "3") == 0
    assert sim("run", *quiet, "--seeds", "2", "--resume") == 0
    kept = [json.loads(path.read_text())["next"] for path in Path(".regrove/sim").glob("*.json")]
    assert kept == [5]
    assert "2 seeds, 0 failed; fired: no faults" in capsys.readouterr().out


def test_a_failure_mended_since_passes_when_it_is_replayed(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert sim("run", *crashing(shop), "--seeds", "6", "--shrink", "0") == 1
    case = sorted(Path(".regrove/cases").iterdir())[0]
    rows = json.loads(case.read_text())
    case.write_text(json.dumps({**rows, "plan": []}))
    assert sim("replay", str(case)) == 0
    assert sim("shrink", str(case)) == 0
    assert "passes now" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--faults", "cutt"], "there is no kind of fault 'cutt'"),
        (["--seeds", "many"], "--seeds takes a count"),
        (["--seeds", "9-3"], "--seeds takes a count"),
        (["--seeds", "9" * 20], "--seeds takes a count"),
        (["--check", "nowhere:nothing"], "nowhere"),
        (["--faults", "duplicate"], "profile='hostile'"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_sentence(
    arguments: list[str], told: str, shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sim("run", f"{shop}:app", "--workers", "1", *arguments) != 0
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error


def test_a_case_of_a_pytest_test_is_left_to_pytest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from regrove.node.simulation.cases import Case

    path = Case("tests/test_bank.py::test_money", 3, ()).write(tmp_path)
    assert sim("replay", str(path)) != 0
    assert "pytest 'tests/test_bank.py::test_money' --sim-replay" in capsys.readouterr().err


def test_a_case_keeps_what_set_and_span_gave(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    from regrove.node.simulation.exploring import search_of

    module = Path(f"{shop}.py")
    module.write_text(
        module.read_text().replace("def tree(place):\n", "def tree(place):\n    place.settings['needed']\n")
    )
    given = [f"{shop}:app", "--set", "needed=yes", "--workers", "1", "--shrink", "0", "--nodes", "2"]
    assert sim("run", *given, "--check", f"{shop}:nothing_lost", "--faults", "crash", "--seeds", "4") == 1
    case = read_case(sorted(Path(".regrove/cases").iterdir())[0])
    assert search_of(case).settings == (("needed", "yes"),)
    assert sim("replay", str(case.write(Path("again")))) == 1
    assert "has changed since" not in capsys.readouterr().out
    assert search_of(replace(case, test=f"{shop}:app", span="7s")).span == "7s"
    kept = replace(case, test=f"{shop}:app", span="7s").write(Path("spans"))
    assert read_case(kept).span == "7s"


@pytest.mark.parametrize("search", ["pct", "portfolio"])
def test_a_strategy_is_searched_with_and_its_seeds_are_counted_apart(
    search: str, shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet = [f"{shop}:app", "--nodes", "2", "--span", "2s", "--faults", "none", "--workers", "1"]
    assert sim("run", *quiet, "--seeds", "3") == 0
    assert sim("run", *quiet, "--seeds", "2", "--search", search, "--resume") == 0
    told = capsys.readouterr().out
    assert "3 seeds, 0 failed; fired: no faults" in told
    assert re.search(r"2 seeds, 0 failed; fired: .*late \d+", told)
    assert sorted(json.loads(path.read_text())["next"] for path in Path(".regrove/sim").glob("*.json")) == [2, 3]
    assert sim("diff", f"{shop}:app", "--nodes", "2", "--span", "1s", "--search", search, "--seed", "1") == 0


def quiet(shop: str) -> list[str]:
    return [f"{shop}:app", "--nodes", "2", "--span", "1s", "--faults", "none", "--workers", "1"]


def kept() -> list[int]:
    return [json.loads(path.read_text())["next"] for path in Path(".regrove/sim").glob("*.json")]


def interrupted_after(parts: list[range], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the workers give these parts, in this order, and then Ctrl-C."""

    def some(search: exploring.Search, seeds: object, count: int) -> Iterator[exploring.Found]:
        for part in parts:
            yield exploring.explore(search, part)
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "on_all_cores", some)


def test_a_run_that_was_interrupted_goes_on_at_the_first_seed_it_has_not_run(
    shop: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patched:
        interrupted_after([range(3), range(5, 6)], patched)
        assert sim("run", *quiet(shop), "--seeds", "20") == 130
    told = capsys.readouterr()
    assert "interrupted; --resume goes on at seed 3" in told.out
    assert "4 seeds, 0 failed" in told.out
    assert "seeds 0-19" in told.err, "the label of the progress bar"
    assert kept() == [3]
    assert sim("run", *quiet(shop), "--seeds", "2", "--resume") == 0
    assert "seeds 3-4" in capsys.readouterr().err
    assert kept() == [5]


def test_seeds_that_were_run_twice_or_behind_a_gap_move_nothing() -> None:
    found = exploring.Found(ran=[range(8, 12), range(4), range(2, 6), range(20, 24)])
    assert (found.next_seed(0), found.next_seed(8), found.next_seed(13)) == (6, 12, 13)


def test_a_soak_ends_when_its_time_is_up_and_the_next_goes_on_behind_it(
    shop: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patched:
        ticks = count()
        patched.setattr(simulating, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
        assert sim("soak", *quiet(shop), "--for", "6s") == 0
        assert kept() == [5]
        assert "5 seeds from 0, 0 failed" in capsys.readouterr().err
        assert sim("soak", *quiet(shop), "--for", "3s") == 0
    assert kept() == [7]
    told = capsys.readouterr()
    assert "2 seeds from 5, 0 failed" in told.err
    assert "2 seeds, 0 failed; fired: no faults" in told.out


def test_a_soak_that_is_interrupted_tells_what_it_did(
    shop: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted_after([range(4, 6), range(2)], monkeypatch)
    assert sim("soak", *quiet(shop), "--for", "1h") == 0
    assert "4 seeds, 0 failed" in capsys.readouterr().out
    assert kept() == [2]


def test_orders_are_told_in_the_summary(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert sim("run", *quiet(shop), "--seeds", "2", "--search", "exhaustive", "--span", "100ms") == 0
    assert re.search(r"orders: \d+ schedules, \d+ different, \d+ pruned; ", capsys.readouterr().out)


ALONE = """
from regrove import Application, Isolate, RECEIVE, Child, Supervisor

class Still(Isolate):
    def handle(self, ctx, message):
        return RECEIVE

app = Application("still", tree=lambda place: Supervisor("root", [Child("still", Still)]))

def never(sim):
    sim.sometimes("pigs fly", False)
"""


@pytest.mark.parametrize("command", [("run", "--seeds", "25"), ("soak", "--for", "4s")])
def test_usual_kinds_that_find_nothing_to_break_are_a_note_and_no_failure(
    command: tuple[str, ...], shop: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(f"{shop}.py").write_text(ALONE)

    def at_once(search: exploring.Search, seeds: object, count: int) -> Iterator[exploring.Found]:
        yield exploring.Found(25, {"spike": 0, "reset": 0, "cut": 3})

    monkeypatch.setattr(workers, "on_all_cores", at_once)
    assert sim(command[0], f"{shop}:app", *command[1:]) == 0
    told = capsys.readouterr().out
    assert "25 seeds, 0 failed; fired: cut 3, reset 0, spike 0\n" in told
    assert "never fired: reset, spike (" in told


def test_a_named_kind_that_never_fires_fails_the_search(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(f"{shop}.py").write_text(ALONE)
    given = [f"{shop}:app", "--seeds", "25", "--span", "1s", "--workers", "1"]
    assert sim("run", *given, "--faults", "loss") == 1
    assert "in 25 seeds loss never fired" in capsys.readouterr().out
    assert sim("run", *given, "--check", f"{shop}:never") == 1
    assert "in 25 seeds 'pigs fly' never held" in capsys.readouterr().out


def test_an_audit_that_finds_nothing_says_how_many_seeds_it_ran_again(
    shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sim("run", *quiet(shop), "--seeds", "4", "--audit", "2", "--span", "100ms") == 0
    assert "audited: 2 seeds were the same in other processes\n" in capsys.readouterr().out
