"""The leak corpus: every planted leak is found at its line, and nothing is said of the clean twins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from regrove.node.simulation.auditing.auditor import audit
from regrove.node.simulation.auditing.findings import Verdict
from tests.simulation.leaks.planting import Planted, marked_lines
from tests.simulation.leaks.served import CLEAN, LEAKS

ROOT = Path(__file__).parents[2]
SEEN = [name for name, kind in LEAKS.items() if not kind.hidden]


def launch(hash_seed: str, orders: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation.leaks.served", str(orders)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def verdicts() -> dict[str, Verdict]:
    names = [*LEAKS, *CLEAN]
    return dict(zip(names, audit([(name, 5) for name in names], launch), strict=True))


def places(verdict: Verdict) -> list[tuple[str, int]]:
    return [(finding.file, finding.line) for finding in verdict.findings]


def test_every_leak_declared_detectable_is_found_at_its_line(verdicts: dict[str, Verdict]) -> None:
    missed = {}
    for name in SEEN:
        file = sys.modules[LEAKS[name].__module__].__file__
        assert file is not None
        wanted = [(file, line) for line in marked_lines(LEAKS[name])]
        found = places(verdicts[name])
        if not found or any(place not in wanted for place in found):
            missed[name] = (wanted, verdicts[name])
    assert not missed, "\n".join(f"{name} {wanted}: {verdict}" for name, (wanted, verdict) in missed.items())


def test_nothing_is_said_of_the_clean_corpus(verdicts: dict[str, Verdict]) -> None:
    assert [f"{name}: {verdicts[name]}" for name in CLEAN if not verdicts[name].clean] == []


def test_the_corpus_is_as_large_as_it_says() -> None:
    assert len(SEEN) >= 40
    assert len(CLEAN) >= 25


@pytest.mark.parametrize("kind", LEAKS.values())
def test_a_leak_is_marked_or_says_why_it_is_not_seen(kind: type[Planted]) -> None:
    assert kind.hidden or marked_lines(kind)
