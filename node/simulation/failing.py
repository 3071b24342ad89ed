"""What becomes of a failing seed: it is shrunk, told as a story, and kept as a case file."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

from regrove.node.core.errors import Misuse
from regrove.node.simulation.attempts import (
    ENDS,
    Make,
    Test,
    bounded,
    is_out_of_time,
    out_of_time_in,
    run_once,
    signature,
)
from regrove.node.simulation.cases import FOLDER, Case, cases_in
from regrove.node.simulation.faults import Faults
from regrove.node.simulation.shrinking import RUNS_MAX, Entries, Failed, Shrinker, Shrunk
from regrove.node.simulation.simulation import Simulation
from regrove.node.simulation.snapshots import PARTS, Snapshots, available
from regrove.node.simulation.story import story
from regrove.node.simulation.trace import first_difference
from regrove.node.simulation.violation import in_a_line

FIRED = "__regrove_fired__"  # on a failure: what its seed's faults did, before it was shrunk
__all__ = [
    "ENDS", "FIRED", "Failing", "Make", "NotDeterministic", "Test", "judge", "run_once", "shrink", "signature",
]  # fmt: skip
Command: TypeAlias = Callable[[Path | None, int], str]  # what runs a case file again, or without one a seed
WORTH: Final = 0.3  # CPU seconds of a run from which on its shrink goes by snapshots


class NotDeterministic(AssertionError):
    """Two runs of one seed parted; the text has the first event at which they did."""


@dataclass(frozen=True, slots=True)
class Failing:
    """How failing seeds are treated: seconds of shrinking (0: none), where cases go."""

    shrink_s: float = 20.0
    folder: Path = Path(FOLDER)
    audit: bool = False
    audit_every: int = 0  # 1 in so many seeds is audited in other processes; 0: none
    progress: Callable[[str], None] | None = None
    orders: str | None = None  # a file: this process serves an audit, and judges nothing
    launched_by: tuple[str, ...] = ()  # options for the pytest that an audit starts
    root: Path | None = None  # and where it starts it
    search: str | None = None  # how seeds are run, whatever a test says; None: as it says
    quiet: Callable[[], AbstractContextManager[object]] = nullcontext  # what a test prints in there is let go


def shrink(
    make: Make,
    test: Test,
    plan: Entries,
    wanted: tuple[str, str],
    seconds: float,
    cost: float = 0.0,
    span: int = 0,
    runs: int = RUNS_MAX,
) -> Shrunk:
    """Find the smallest plan under which a seed fails as it did, within so many seconds of real time and `runs`.

    `cost` is what one run takes in CPU seconds: long ones are resumed from snapshots where they can be. `span` is the
    virtual time in ns at which the seed failed, of which snapshots take a part each.
    """
    end = time.monotonic() + seconds

    def fails(entries: Entries, within: int = 0) -> Failed | None:
        sim, error = run_once(bounded(make, within) if within else make, test, entries)
        return Failed(tuple(sim.plan.struck), sim.now) if error is not None and signature(error) == wanted else None

    def wholly(entries: Entries) -> bool:
        return fails(entries) is not None

    def left() -> float:
        return end - time.monotonic()

    why_not = available()
    if cost < WORTH or why_not:
        shrunk = _interruptible(Shrinker(fails, left, runs, wholly), plan)
        shrunk.how = f"each from its beginning: {why_not}" if cost >= WORTH else ""
        return shrunk
    resumed = 0
    with Snapshots(make, test, max(span // PARTS, 1)) as snapshots:

        def fails_again(entries: Entries, within: int) -> Failed | None:
            nonlocal resumed
            ended = snapshots.run(entries, within)
            if ended is None:
                return fails(entries, within)
            resumed += ended.resumed > 0
            if ended.failure != wanted:
                return None
            snapshots.keep(entries)
            return Failed(ended.struck, ended.at)

        shrunk = _interruptible(Shrinker(fails_again, left, runs, wholly), plan)
    shrunk.how = f"{resumed} of them from a snapshot"
    return shrunk


class Interrupted(KeyboardInterrupt):
    """A shrink was interrupted; `plan` is the smallest that had failed by then."""

    def __init__(self, plan: Entries) -> None:
        super().__init__()
        self.plan = plan


def _interruptible(shrinker: Shrinker, plan: Entries) -> Shrunk:
    try:
        return shrinker.shrink(plan)
    except KeyboardInterrupt:
        raise Interrupted(plan if shrinker.smallest is None else shrinker.smallest) from None


def judge(make: Make, test: Test, faults: Faults, case: Case, how: Failing, command: Command) -> Simulation:
    """Run one seed; when it fails shrink it, keep it as a case and raise the failure with its story.

    `case` says whose it is; its plan is filled in here. One that was read is kept in its file if it fails as it did:
    another failure has a file of its own.
    """
    __tracebackhide__ = True
    began = time.process_time()
    sim, error = run_once(make, test, faults)
    if isinstance(error, Misuse):
        raise error  # the test's own mistake: there is nothing to shrink, tell or keep
    cost = time.process_time() - began
    error = out_of_time_in(sim) or error  # without a limit another run might never end
    if error is None:
        if how.audit:
            _audit(sim, run_once(make, test, faults)[0])
        return sim
    setattr(error, FIRED, {what: count.fired for what, count in sim.plan.counts.items()})
    if is_out_of_time(error):
        sim.command = command(None, case.seed)
        error.add_note(story(sim, error))
        raise error
    compared = case.compared(in_a_line(error), sim.trace.digest)
    if not case.fails_alike(in_a_line(error)):
        case = replace(case, path=None)
    fired = getattr(error, FIRED)
    if case.path is None and how.shrink_s > 0 and (known := _known(make, test, error, case, how)) is not None:
        case, sim, error = known
    shrunk, early = _shrunk(make, test, sim, error, case, how, cost)
    told = error
    if shrunk.reproduced:
        sim, again = run_once(make, test, shrunk.plan)
        told = again or error
    setattr(told, FIRED, fired)
    kept = _keep(replace(case, plan=shrunk.plan, violated=in_a_line(told), digest=sim.trace.digest), how, early)
    sim.command = command(kept if isinstance(kept, Path) else None, case.seed)
    said = [compared, *([kept] if isinstance(kept, str) else [])]
    told.add_note(story(sim, told, shrunk, "\n".join(line for line in said if line)))
    raise told


def _known(
    make: Make, test: Test, error: BaseException, case: Case, how: Failing
) -> tuple[Case, Simulation, BaseException] | None:
    """The kept case of this seed that still fails as the seed does now, and its run: the shrink goes on from there.

    Each shrink ends a little elsewhere: without this every run would keep one more case of the same failure.
    """
    kept = [there for _, there in cases_in(how.folder) if there.is_of(case) and there.seed == case.seed]
    end = time.monotonic() + how.shrink_s
    for there in sorted(kept, key=lambda kept: len(kept.plan)):
        if time.monotonic() >= end:
            break
        if there.fails_alike(in_a_line(error)):
            with how.quiet():
                sim, again = run_once(make, test, there.plan)
            if again is not None and signature(again) == signature(error):
                return replace(case, path=there.path), sim, again
    return None


def _shrunk(
    make: Make, test: Test, sim: Simulation, error: BaseException, case: Case, how: Failing, cost: float
) -> tuple[Shrunk, Path | None]:
    """Shrink the plan of a run that failed; an interrupt keeps what there is by then.

    The whole of it is a case before that, so that it outlives this process: the file, to be replaced.
    """
    plan = sim.plan.explicit(sim.now)
    if how.shrink_s <= 0:
        return Shrunk(plan, reproduced=False), None
    whole = replace(case, plan=plan, violated=in_a_line(error), digest=sim.trace.digest)
    early = _keep(whole, how) if case.path is None and not whole.is_in(how.folder) else None
    early = early if isinstance(early, Path) else None
    try:
        with how.quiet():
            return shrink(make, test, plan, signature(error), how.shrink_s, cost, sim.now), early
    except KeyboardInterrupt as interrupt:  # one that came between two runs says no plan
        smallest = interrupt.plan if isinstance(interrupt, Interrupted) else plan
        smaller = whole if smallest == plan else replace(whole, plan=smallest, digest="")
        kept = _keep(smaller, how, early)
        said = f"kept as {kept}" if isinstance(kept, Path) else kept
        text = f"while seed {case.seed} was shrunk, which failed: {in_a_line(error)}; {said}"
        raise KeyboardInterrupt(text) from None


def _keep(case: Case, how: Failing, instead: Path | None = None) -> Path | str:
    """Write a case, in place of one that was kept before; the file, or why there is none: that one is there then."""
    try:
        over = case.path or (None if case.is_in(how.folder) else instead)
        kept = case.write(how.folder, over=over)
        if instead is not None and instead != kept:
            instead.unlink(missing_ok=True)
        return kept
    except OSError as problem:
        return f"the case is not kept: {problem.filename or how.folder}: {problem.strerror}"


def _audit(first: Simulation, second: Simulation) -> None:
    __tracebackhide__ = True
    if first.trace.digest != second.trace.digest:
        where = first_difference(first.trace, second.trace) or "the events kept are equal: an earlier one differs"
        raise NotDeterministic(
            f"seed {first.seed} ran twice in one process and was not the same: {where}\n"
            "an isolate reads what the seed does not decide: time, random, the order of a set, id() or hash(); "
            "`regrove sim diff`, or --sim-audit-every 1, names the line"
        )
