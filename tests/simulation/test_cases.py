"""Stored cases survive a refactor that changes nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

import pytest

from regrove.node.simulation.attempts import run_once, signature
from regrove.node.simulation.cases import Case, cases_in
from regrove.node.simulation.faults import Faults
from regrove.node.simulation.shrinking import Entries, Failed, Shrinker
from regrove.testing import Simulation
from regrove.testing import faults as f
from tests.simulation.refactored import BEFORE, after, otherwise

SHORT = ("20ms", "400ms")
WAYS: dict[str, dict[str, f.Faults]] = {
    "nothing_is_paid_twice": {
        "delay": f.delay(("60ms", "90ms"), (3, 1), SHORT), "pause": f.pause((2, 1), SHORT),
        "slow": f.slow(often=(2, 1)), "cut": f.cut(often=(2, 1), lasts=SHORT),
        "clog": f.clog((500, 2_000), (3, 1), SHORT),
    },
    "no_report_is_missed": {
        "loss": f.loss((1, 200)), "reset": f.reset((2, 1)), "core": f.crash(often=(1, 1)),
        "limit": f.frame_limit((20, 60), (2, 1), SHORT),
    },
    "the_total_is_kept": {
        "isolate": f.crash("isolate", (3, 1)), "core": f.crash(often=(1, 1)),
        "start": (f.crash("isolate", (2, 1)), f.start_fails((2, 1), SHORT)),
    },
    "no_copy_comes_first": {
        "priorities": f.pct(), "delay": f.delay(often=(3, 1)), "spike": f.spike((1, 20), "100ms"),
        "clog": f.clog(often=(3, 1)),
    },
}  # fmt: skip
EACH = 2  # cases of each way, one of them shrunk for a few runs
SHRINK_RUNS = 12
SURVIVE = 0.95


Load: TypeAlias = Callable[[str, str], ModuleType]


@pytest.fixture
def load() -> Iterator[Load]:
    """Make a module of a text."""
    made: list[str] = []

    def loaded(name: str, text: str) -> ModuleType:
        module = sys.modules[name] = ModuleType(name)
        made.append(name)
        exec(compile(text.replace("{0}", name), f"{name}.py", "exec"), module.__dict__)
        return module

    yield loaded
    for name in made:
        del sys.modules[name]


def world(module: ModuleType, seed: int) -> Callable[[Faults], Simulation]:
    return lambda faults: Simulation(module.app, nodes=3, seed=seed, faults=faults)


def failures(module: ModuleType, check: str, faults: Faults) -> Iterator[tuple[int, Simulation, str]]:
    """Seeds that fail, and where."""
    for seed in range(100):
        sim, error = run_once(world(module, seed), getattr(module, check), faults)
        if error is not None:
            yield seed, sim, place_of(error)


def place_of(error: BaseException) -> str:
    """The function of the module that failed, whatever the module is called."""
    return signature(error)[1].partition(":")[2]


def shrunk(module: ModuleType, check: str, seed: int, plan: Entries) -> Entries:
    def fails(entries: Entries, within: int) -> Failed | None:
        sim, error = run_once(world(module, seed), getattr(module, check), entries)
        return Failed(tuple(sim.plan.struck)) if error is not None and place_of(error) == check else None

    return Shrinker(fails, lambda: 1.0, SHRINK_RUNS).shrink(plan).plan


def store(module: ModuleType, folder: Path) -> None:
    """Write cases of each mistake by each way to meet it."""
    for check, ways in WAYS.items():
        for way, faults in ways.items():
            for number, (seed, sim, _) in enumerate(islice(failures(module, check, faults), EACH)):
                plan = sim.plan.explicit(sim.now)
                plan = plan if number else shrunk(module, check, seed, plan)
                Case(f"cases.py::{check}.{way}", seed, plan, nodes=3).write(folder)


def test_cases_fail_in_the_same_way_after_refactors_that_change_nothing(tmp_path: Path, load: Load) -> None:
    store(load("before", BEFORE), tmp_path)
    cases = cases_in(tmp_path)
    assert len(cases) >= 24
    for name, text in (("latter", after()), ("renamed", otherwise())):
        later = load(name, text)
        lost = []
        for path, case in cases:
            check = case.function.partition(".")[0]
            _, error = run_once(world(later, case.seed), getattr(later, check), case.plan)
            if error is None or place_of(error) != check:
                lost.append(path.name)
        assert len(lost) <= (1 - SURVIVE) * len(cases), f"{name}: {len(lost)} of {len(cases)} fail no more: {lost}"


def test_what_is_mended_by_more_than_a_refactor_fails_no_more(tmp_path: Path, load: Load) -> None:
    mended = BEFORE.replace(
        "        self.paid.append(message.number)\n",
        "        self.paid += [message.number][message.number in self.paid :]\n",
    )
    before, later = load("before", BEFORE), load("mended", mended)
    seed, sim, _ = next(failures(before, "nothing_is_paid_twice", f.delay(("60ms", "90ms"), (3, 1), SHORT)))
    plan = sim.plan.explicit(sim.now)
    assert run_once(world(before, seed), before.nothing_is_paid_twice, plan)[1] is not None
    assert run_once(world(later, seed), later.nothing_is_paid_twice, plan)[1] is None
