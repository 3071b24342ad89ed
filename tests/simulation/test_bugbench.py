"""Every bug of bugbench is found, its plan shrinks to a few faults, and its fixed twin raises no alarm."""

from __future__ import annotations

import pytest

from benchmarks.bugbench.catalogue import Bug, bugs
from regrove.node.simulation.failing import run_once

BUGS = bugs()
FOUND_WITHIN = 60  # seeds
TWINS = 10  # seeds of each twin


def failing(bug: Bug, broken: bool, seeds: range) -> list[int]:
    """The seeds that fail."""
    found = []
    for seed in seeds:
        _, error = run_once(lambda faults: bug.world(broken, seed, faults), bug.check, bug.swarm)  # noqa: B023
        if error is not None:
            found.append(seed)
    return found


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_bug_is_found(bug: Bug) -> None:
    assert any(failing(bug, True, range(seed, seed + 1)) for seed in range(FOUND_WITHIN))


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_its_fixed_twin_raises_no_alarm(bug: Bug) -> None:
    assert failing(bug, False, range(TWINS)) == []
