"""What becomes of a failing seed: it is shrunk, told as a story, and kept as a case file."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from regrove.node.simulation.cases import FOLDER, Case
from regrove.node.simulation.checks import PropertyViolated
from regrove.node.simulation.faults import Faults
from regrove.node.simulation.plan import Fault
from regrove.node.simulation.shrinking import Entries, Shrinker, Shrunk
from regrove.node.simulation.simulation import Simulation
from regrove.node.simulation.story import story
from regrove.node.simulation.trace import first_difference

Make: TypeAlias = Callable[[Faults], Simulation]  # the world of one seed, with the faults it is to meet
Test: TypeAlias = Callable[[Simulation], object]
FIRED = "__regrove_fired__"  # on a failure: what its seed's faults did, before it was shrunk
ENDS: tuple[type[BaseException], ...] = (KeyboardInterrupt, SystemExit, GeneratorExit)


class NotDeterministic(AssertionError):
    """Two runs of one seed parted; the text has the first event at which they did."""


@dataclass(frozen=True, slots=True)
class Failing:
    """How failing seeds are treated: seconds of shrinking (0: none), where cases go, `command(path)` that replays."""

    shrink_s: float = 20.0
    folder: Path = Path(FOLDER)
    audit: bool = False
    progress: Callable[[str], None] | None = None


def run_once(make: Make, test: Test, faults: Faults) -> tuple[Simulation, BaseException | None]:
    """Run one seed quietly; return its world and how it failed. A skip and an interrupt go through."""
    sim = make(faults)
    sim.telling = False
    try:
        with sim:
            test(sim)
    except ENDS:
        raise
    except BaseException as error:
        if type(error).__name__ == "Skipped":
            raise
        return sim, error
    return sim, None


def signature(error: BaseException) -> tuple[str, str]:
    """Say which failure this is, so that a shrink does not end in another one: its class, and its property or place."""
    if isinstance(error, PropertyViolated):
        return type(error).__name__, error.property
    place = ""
    trace = error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if not module.startswith("regrove."):
            place = f"{module}:{trace.tb_frame.f_code.co_name}"
        trace = trace.tb_next
    return type(error).__name__, place


def shrink(make: Make, test: Test, plan: Entries, wanted: tuple[str, str], seconds: float) -> Shrunk:
    """Find the smallest plan under which a seed fails as it did, within so many seconds of real time."""
    end = time.monotonic() + seconds

    def fails(entries: Entries) -> tuple[Fault, ...] | None:
        sim, error = run_once(make, test, entries)
        return tuple(sim.plan.struck) if error is not None and signature(error) == wanted else None

    return Shrinker(fails, lambda: end - time.monotonic()).shrink(plan)


def judge(
    make: Make, test: Test, faults: Faults, case: Case, how: Failing, command: Callable[[Path], str]
) -> Simulation:
    """Run one seed; when it fails shrink it, keep it as a case and raise the failure with its story.

    `case` says whose it is; its plan is filled in here. `command(path)` replays a case file.
    """
    sim, error = run_once(make, test, faults)
    if error is None:
        if how.audit:
            _audit(sim, run_once(make, test, faults)[0])
        return sim
    shrunk = Shrunk(sim.plan.explicit(sim.now), reproduced=False)
    wanted = signature(error)
    fired = {what: count.fired for what, count in sim.plan.counts.items()}
    if how.shrink_s > 0:
        shrunk = shrink(make, test, shrunk.plan, wanted, how.shrink_s)
    if shrunk.reproduced:
        sim, again = run_once(make, test, shrunk.plan)
        error = again or error
    violated = str(error).partition("\n")[0]
    kept = replace(case, plan=shrunk.plan, violated=violated, digest=sim.trace.digest).write(how.folder)
    sim.command = command(kept)
    error.add_note(story(sim, error, shrunk))
    setattr(error, FIRED, fired)
    raise error


def _audit(first: Simulation, second: Simulation) -> None:
    if first.trace.digest != second.trace.digest:
        where = first_difference(first.trace, second.trace) or "the events kept are equal: an earlier one differs"
        raise NotDeterministic(
            f"seed {first.seed} ran twice in one process and was not the same: {where}\n"
            "an isolate reads what the seed does not decide: time, random, the order of a set, id() or hash()"
        )
