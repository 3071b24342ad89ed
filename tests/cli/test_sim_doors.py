"""What `regrove sim` says of numbers, streams and files that are out of the ordinary, and what it leaves alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from regrove.node.cli import main
from regrove.node.simulation.cases import Case, read_case
from regrove.node.simulation.workers import Progress
from regrove.testing import faults as f

ROOT = Path(__file__).parents[2]
CHECK = """

def told_in_any_script(sim):
    print("\\u00fc printed")
    sim.run("1s")
    assert not sim.plan.counts["cut"].fired, "cut \\ud83d"


def interrupts(sim):
    import os, signal
    sim.run("1s")
    fired = sim.plan.counts["cut"].fired if "cut" in sim.plan.counts else 0
    runs.append(fired)
    if len(runs) > 1 and fired == 2:
        signal.raise_signal(signal.SIGINT)
    assert not fired


def goes_elsewhere(sim):
    import os
    os.chdir("/")
    assert not sim.nodes


class Speechless(Exception):
    def __str__(self):
        raise RuntimeError


def fails_without_a_word(sim):
    raise Speechless


runs = []
"""


def sim(*arguments: str) -> int:
    return main(["sim", *arguments])


def case(shop: str, check: str, **changes: object) -> Path:
    module = Path(f"{shop}.py")
    module.write_text(module.read_text() + CHECK)
    plan = tuple(f.once("cut", "n0>n1", at=f"{500 + number}ms", lasts="1ms") for number in range(8))
    given = {"nodes": 2, **changes}
    return Case(f"{shop}:app {shop}:{check}", 1, plan, **given).write(Path(".regrove/cases"))  # type: ignore[arg-type]


def alone(*arguments: str, out: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, its output into a file where one is named."""
    variables = {"PYTHONPATH": str(ROOT), "PATH": "", **environment}
    with open(out or os.devnull, "w") as file:
        return subprocess.run(
            [sys.executable, "-m", "regrove", "sim", *arguments], env=variables,
            stdout=file if out else subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=300,
        )  # fmt: skip


@pytest.mark.parametrize("seeds", ["²", "9" * 23, f"0-{'9' * 23}", "9" * 5_000, "0", "-1"])
def test_numbers_of_seeds_that_no_search_can_have_are_refused(
    seeds: str, shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sim("run", f"{shop}:app", f"--seeds={seeds}") == 64
    told = capsys.readouterr().err
    assert "--seeds takes a count such as 500, or a range such as 1000-1999" in told
    assert len(told) < 300


def test_a_shrink_without_time_is_refused(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(case(shop, "told_in_any_script"))
    assert sim("shrink", file, "--for", "0") == 64
    assert "--for 0 leaves no time to shrink in" in capsys.readouterr().err
    assert sim("run", f"{shop}:app", "--shrink", "nan") == 64
    assert "--shrink takes seconds such as 20, or 0 for none" in capsys.readouterr().err


@pytest.mark.parametrize("changes", [{"nodes": 100_000}, {"cores": 65}, {"nodes": 0}])
def test_a_case_of_more_machines_than_a_search_may_have_is_not_begun(
    changes: dict[str, int], shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = case(shop, "told_in_any_script", **changes)
    assert sim("replay", str(file)) == 64
    assert f"{file}: nodes and cores are from 1 to 64" in capsys.readouterr().err


@pytest.mark.parametrize("next_seed", ["1e999", "-7", "[" * 100_000, '{"next"'])
def test_where_to_go_on_is_the_beginning_when_its_file_says_nothing(next_seed: str, tmp_path: Path) -> None:
    (tmp_path / "next.json").write_text(f'{{"app": "shop:app", "next": {next_seed}}}')
    assert Progress(tmp_path / "next.json", "shop:app").next_seed() == 0


def test_a_check_may_print_and_fail_in_letters_that_the_terminal_does_not_have(shop: str) -> None:
    file = case(shop, "told_in_any_script")
    for encoding, letter in (("ascii", "?"), ("utf-8:strict", "\\ud83d"), ("utf-8:surrogateescape", "\\ud83d")):
        done = alone("replay", str(file), PYTHONIOENCODING=encoding)
        assert done.returncode == 1, done.stderr
        assert "printed" in done.stdout
        assert f"violated: AssertionError: cut {letter}\n" in done.stdout
        assert done.stderr == ""


def test_a_full_disk_is_no_bug_of_ours(shop: str) -> None:
    file = case(shop, "told_in_any_script")
    done = alone("replay", str(file), out="/dev/full")
    assert (done.returncode, done.stderr) == (
        1, "regrove: what this command prints cannot be written: No space left on device; make room there\n",
    )  # fmt: skip
    done = alone("replay", str(file), "--trace", "/dev/full")
    assert "--trace /dev/full: No space left on device" in done.stderr
    assert done.returncode == 64


def test_a_trace_is_not_written_over_its_case(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = case(shop, "told_in_any_script")
    before = file.read_text()
    assert sim("replay", str(file), "--trace", f"./{file}") == 64
    assert f"--trace ./{file} is the case itself" in capsys.readouterr().err
    assert file.read_text() == before


def test_what_a_check_prints_while_its_case_is_shrunk_is_told_once(
    shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = case(shop, "told_in_any_script")
    assert sim("shrink", str(file), "--for", "60") == 1
    assert len(read_case(file).plan) == 1
    told = capsys.readouterr().out
    assert told.count("\u00fc printed") == 1 + 1, "and once as what the test did"


def test_a_shrink_that_is_interrupted_says_so_and_keeps_what_it_reached(
    shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = case(shop, "interrupts")
    assert sim("shrink", str(file), "--for", "60") == 130
    told = capsys.readouterr().out
    assert "interrupted: while seed 1 was shrunk, which failed: AssertionError" in told
    assert f"kept as {file}" in told
    assert len(json.loads(file.read_text())["plan"]) == 4
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_soak_into_a_file_writes_its_count_once(shop: str) -> None:
    done = alone(
        "soak", f"{shop}:app", "--for", "1s", "--nodes", "1", "--span", "10ms", "--faults", "none", "--workers", "1"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(" seeds from 0, 0 failed") == 1
    assert "\r" not in done.stderr


def test_a_check_may_leave_the_folder_and_its_case_is_where_the_search_began(
    shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = case(shop, "goes_elsewhere")
    given = ["--check", f"{shop}:goes_elsewhere", "--seeds", "1", "--workers", "1", "--shrink", "1", "--nodes", "1"]
    here = Path.cwd()
    assert sim("run", f"{shop}:app", *given) == 1
    assert Path.cwd() == here
    kept = capsys.readouterr().out.rpartition("run it again: regrove sim replay ")[2].strip()
    assert kept != str(file)
    assert sim("replay", kept) == 1


def test_an_exception_whose_text_cannot_be_told_is_a_failure_as_any_other(
    shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = case(shop, "fails_without_a_word")
    assert sim("shrink", str(file), "--for", "60") == 1
    assert "violated: Speechless: (its own text cannot be told: RuntimeError)" in capsys.readouterr().out
    assert read_case(file).plan == ()
