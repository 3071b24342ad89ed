"""`regrove sim run|soak` and their worker processes: one that dies, Ctrl-C and SIGTERM, two searches at once."""

from __future__ import annotations

import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from regrove import Misuse
from regrove.node.cli import main
from regrove.node.simulation.auditing.launching import AuditFailed
from regrove.node.simulation.exploring import Search
from regrove.node.simulation.workers import NotKept, Progress

ROOT = Path(__file__).parents[2]
CHECKS = """
import os
import sys
import unittest


def dies(sim):
    if sim.seed == 9:
        os._exit(7)


def exits(sim):
    print("in seed", sim.seed)
    if sim.seed == 1:
        sys.exit(5)


def never_ends(sim):
    while sim.seed >= 8:
        pass


def skips(sim):
    if sim.seed != 2:
        raise unittest.SkipTest("not this one")


async def waits(sim): ...
"""


def command(shop: str, verb: str, check: str, *more: str) -> list[str]:
    Path("checks.py").write_text(CHECKS)
    words = ["sim", verb, f"{shop}:app", "--check", f"checks:{check}", "--nodes", "1", "--faults", "none"]
    return [sys.executable, "-m", "regrove", *words, "--workers", "2", *more]


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "COLUMNS": "80"}
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_a_worker_that_dies_is_told_with_its_seeds_and_what_the_others_found(shop: str) -> None:
    done = run(command(shop, "run", "dies", "--seeds", "20"))
    assert done.returncode == 1
    assert re.search(r"a worker process died: .*seeds .*8-11.*; --resume goes on at seed \d", done.stdout)
    assert re.search(r"^\d+ seeds, 0 failed", done.stdout, re.MULTILINE)
    assert "bug of regrove" not in done.stderr


def test_a_check_that_exits_fails_and_what_it_printed_is_told_with_it(shop: str) -> None:
    done = run(command(shop, "run", "exits", "--seeds", "3"))
    assert done.returncode == 1
    assert "violated: SystemExit: 5" in done.stdout
    assert re.findall(r"in seed \d", done.stdout) == ["in seed 1"] * 2, "as it failed, and under its plan"
    assert done.stdout.splitlines()[-1].startswith("run it again: regrove sim replay .regrove/cases/")


def test_sigterm_ends_a_soak_and_its_workers_and_the_next_goes_on_behind_it(shop: str) -> None:
    with subprocess.Popen(
        command(shop, "soak", "never_ends"), env={"PYTHONPATH": str(ROOT), "PATH": ""}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as soak:  # fmt: skip
        until(lambda: progress().next_seed() == 8)
        children = [int(pid) for pid in Path(f"/proc/{soak.pid}/task/{soak.pid}/children").read_text().split()]
        soak.send_signal(signal.SIGTERM)
        told, _ = soak.communicate(timeout=60)
    assert soak.returncode == 0
    assert re.search(r"interrupted: SIGTERM(: under way were the seeds 8-11[-, \d]*)?\n8 seeds, 0 failed", told)
    assert len(children) >= 2
    until(lambda: not any(alive(pid) for pid in children))


def progress() -> Progress:
    kept = next(Path(".regrove/sim").glob("*.json"), None) if Path(".regrove/sim").exists() else None
    return Progress(kept or Path("nowhere"), "")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition: object) -> None:
    end = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)


def test_two_searches_do_not_go_on_from_the_same_seed(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"{shop}:app", "--nodes", "1", "--faults", "none", "--workers", "1"]
    search = Search(f"{shop}:app", nodes=1, faults="none")
    with Progress(search.state, search.app).claimed():
        assert main(["sim", "soak", *words, "--for", "1s"]) == 64
        assert main(["sim", "run", *words, "--resume"]) == 64
    assert capsys.readouterr().err.count("another search of this kind goes on here from seed 0: wait for it") == 2
    with Progress(search.state, search.app).claimed(), pytest.raises(Misuse):  # noqa: SIM117
        with Progress(search.state, search.app).claimed():
            pass


def test_where_to_go_on_only_moves_forward_and_says_when_it_cannot_be_kept(tmp_path: Path) -> None:
    kept = Progress(tmp_path / "some" / "state.json", "shop:app")
    assert kept.next_seed() == 0
    kept.keep(7)
    kept.keep(3)
    assert kept.next_seed() == 7
    (tmp_path / "file").write_text("")
    with pytest.raises(NotKept, match=r"cannot be kept: .*file"):
        Progress(tmp_path / "file" / "state.json", "shop:app").keep(1)


def test_a_folder_in_which_nothing_can_be_kept_does_not_end_a_run(
    shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(".regrove").write_text("")
    Path("checks.py").write_text(CHECKS)
    words = ["sim", "run", f"{shop}:app", "--check", "checks:exits", "--nodes", "1", "--workers", "1", "--seeds", "6"]
    assert main([*words, "--faults", "none", "--set", "a=b c"]) == 1
    told = capsys.readouterr()
    assert "where to go on cannot be kept" in told.err
    assert "6 seeds, 1 failed" in told.out
    again = f"regrove sim run {shop}:app --seeds=1-1 --check=checks:exits --nodes=1 --faults=none '--set=a=b c'"
    assert f"run it again: {again}" in told.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--check", "checks:waits"], "is a coroutine or generator, which would never run"),
        (["--faults", ","], "there are no kinds of faults in ','"),
        (["--shrink", "-1"], "-1.0 is not in the range x>=0"),
    ],
)
def test_what_would_be_run_for_nothing_is_refused(
    words: list[str], told: str, shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("checks.py").write_text(CHECKS)
    assert main(["sim", "run", f"{shop}:app", "--workers", "1", *words]) == 64
    assert told in capsys.readouterr().err


def test_seeds_that_skip_are_not_counted(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("checks.py").write_text(CHECKS)
    words = ["sim", "run", f"{shop}:app", "--check", "checks:skips", "--nodes", "1", "--faults", "none"]
    assert main([*words, "--workers", "1", "--seeds", "4"]) == 0
    assert "1 seeds, 0 failed" in capsys.readouterr().out


def test_a_group_of_commands_without_one_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim"]) == 64
    told = capsys.readouterr()
    assert told.out.startswith("Usage: regrove sim")
    assert not told.err


def test_an_audit_that_failed_in_a_worker_comes_back_from_it() -> None:
    error = AuditFailed("1", 3, "said")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_an_interrupt_with_one_worker_says_in_which_seed(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("interrupts.py").write_text("def third(sim):\n    if sim.seed == 3:\n        raise KeyboardInterrupt\n")
    words = ["sim", "run", f"{shop}:app", "--check", "interrupts:third", "--nodes", "1", "--faults", "none"]
    assert main([*words, "--workers", "1", "--seeds", "4"]) == 130
    assert "interrupted: in seed 3; --resume goes on at seed 0" in capsys.readouterr().out
