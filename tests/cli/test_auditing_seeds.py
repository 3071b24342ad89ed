"""`regrove sim diff` and `regrove sim run --audit`: the lines that a seed does not decide."""

from __future__ import annotations

from pathlib import Path

import pytest

from regrove.node.cli import main


def sim(*arguments: str) -> int:
    return main(["sim", *arguments])


UNSORTED = "for name in {'ash', 'fir', 'elm', 'oak', 'yew'}: ctx.send(Name('counter'), Add(len(name) + ord(name[0])))"
CLOCKED = "self.at = __import__('time').time()"


def leaking(shop: str, line: str) -> tuple[list[str], str]:
    """Plant a line in the handler of the shop; give the arguments, and the place that must be named."""
    path = Path(f"{shop}.py")
    wanted = "    def handle(self, ctx, message):\n"
    path.write_text(
        path.read_text().replace(wanted, f"{wanted}        if message.count: return RECEIVE\n        {line}\n")
    )
    number = path.read_text().splitlines().index(f"        {line}") + 1
    options = ["--nodes", "2", "--span", "150ms", "--faults", "none"]
    return [f"{shop}:app", *options], f"{shop}.py:{number}: "


def test_what_two_processes_do_alike_is_the_same(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert sim("diff", f"{shop}:app", "--nodes", "2", "--span", "150ms", "--seed", "3") == 0
    assert "seed 3 is the same in both: " in capsys.readouterr().out


def test_a_difference_between_two_processes_is_told_with_its_line_and_its_first_event(
    shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, place = leaking(shop, UNSORTED)
    assert sim("diff", *arguments) == 1
    told = capsys.readouterr().out
    assert place in told
    assert "is not the same under another hash seed; the order of a set" in told
    assert "the runs part at event " in told
    assert "root/counter#1 handle Add" in told


def test_a_run_audits_one_in_so_many_of_its_seeds(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, place = leaking(shop, CLOCKED)
    assert sim("run", *arguments, "--workers", "1", "--seeds", "5", "--audit", "4") == 1
    told = capsys.readouterr().out
    assert "5 seeds, 2 failed" in told
    assert told.count(f"{place}time.time reads the machine's clock; use ctx.now()") == 1
    assert "the same, at the same line, in seed 4\n" in told
    assert "seed 0 does not decide the whole run" in told


def test_a_process_of_the_audit_that_ends_badly_is_told_in_a_sentence(
    shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(f"{shop}.py")
    path.write_text(f"import os\nif os.environ.get('PYTHONHASHSEED') == '1': os._exit(3)\n{path.read_text()}")
    assert sim("diff", f"{shop}:app", "--span", "10ms") != 0
    error = capsys.readouterr().err
    assert "the audit's process under PYTHONHASHSEED=1 ended with 1" in error
    assert "ended with 3: it said nothing" in error
