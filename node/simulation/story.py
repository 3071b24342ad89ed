"""The story of a failing seed: what was violated, under which plan, and the causal end of the trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from regrove.node.simulation.clock import written
from regrove.node.simulation.crashes import told_crashes
from regrove.node.simulation.plan import BUGGIFY, Fault, Noise
from regrove.node.simulation.telling import told_rows
from regrove.node.simulation.violation import origin, violated
from regrove.node.simulation.waiting import deadlocks

if TYPE_CHECKING:
    from regrove.node.simulation.shrinking import Shrunk
    from regrove.node.simulation.simulation import Simulation

PLAN_LINES: Final = 30
VIOLATED_LINES: Final = 16  # the whole of it is the failure's own text
HARMLESS: Final = ("test-calm", "test-heal", "test-resume", "test-release")
WIDE: Final = 300
HINT: Final = "Use -v to get more diff"  # of pytest, about its own report


def story(sim: Simulation, error: BaseException, shrunk: Shrunk | None = None, compared: str = "") -> str:
    """Tell how a run failed; `shrunk` is the plan it was shrunk to, which `sim` ran under if it fails so too.

    `compared` says how it compares to the run that a case file keeps.
    """
    world = sim.world
    lines = [
        f"--- simulation of {world.application.name}: seed {sim.seed}, {len(world.nodes)} nodes x "
        f"{len(world.nodes[0].cores)} cores, {sim.profile}, failed at {written(world.clock.now)} virtual ---",
        *_cut(_violated(error), VIOLATED_LINES),
        *_origin(error),
        *(_plan(sim) if shrunk is None or not shrunk.reproduced else _minimal(shrunk, _by_hand(sim))),
        *_not_shrunk(shrunk),
        *told_crashes(world.log),
        *map(str, deadlocks(world)),
        "the end of the trace (time [event <- cause, 0: a timer or from outside] place what):",
        *(f"  {row}" for row in told_rows(world, error)),
        f"digest: {sim.trace.digest} over {sim.trace.sequence} events",
    ]
    if compared:
        lines.append(compared)
    if sim.command:
        lines.append(f"run it again: {sim.command}")
    return "\n".join(lines)


def passes(sim: Simulation, plan: tuple[Fault | Noise, ...]) -> str:
    """Say of a stored case that it passes now, and which of its faults had nothing to strike."""
    idle = [what for what, count in sim.plan.counts.items() if count.fired < count.armed]
    entries = [str(entry) for entry in plan if isinstance(entry, Fault) and entry.what in idle]
    if not entries:
        return "passes now"
    return f"passes now; nothing was struck by {'; '.join(entries)}: is it called otherwise now?"


def _violated(error: BaseException) -> list[str]:
    lines = [line for line in f"violated: {violated(error)}".splitlines() if line.strip() != HINT]
    while not lines[-1].strip():
        lines.pop()
    return lines


def _origin(error: BaseException) -> list[str]:
    place = origin(error)
    return [f"  at {place}"] if place else []


def _minimal(shrunk: Shrunk, by_hand: bool) -> list[str]:
    end = "" if shrunk.finished else "; the time was up, it may not be minimal"
    how = f"shrunk in {_counted(shrunk.runs, 'run', 'runs')}{', ' if shrunk.how else ''}{shrunk.how}{end}"
    if not shrunk.plan:
        return [f"plan: no faults are needed{' beside what the test does itself' if by_hand else ''} ({how})"]
    mark = "    <- without this it passes"
    lines = [f"plan: {_counted(len(shrunk.plan), 'entry', 'entries')} ({how})"]
    lines += [f"  {entry}{mark if entry in shrunk.needed else ''}" for entry in shrunk.plan[:PLAN_LINES]]
    if len(shrunk.plan) > PLAN_LINES:
        lines.append(f"  ... {len(shrunk.plan) - PLAN_LINES} more; all of them are in the case file")
    return lines


def _by_hand(sim: Simulation) -> bool:
    """Whether the test broke something itself."""
    return any(event.kind.startswith("test-") and event.kind not in HARMLESS for event in sim.trace)


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _not_shrunk(shrunk: Shrunk | None) -> list[str]:
    if shrunk is None or shrunk.reproduced or not shrunk.runs:
        return []
    return ["not shrunk: under this very plan the seed did not fail in the same way (does the test keep something?)"]


def _plan(sim: Simulation) -> list[str]:
    plan = sim.plan
    if not plan.entries and not plan.counts:
        return ["plan: no faults"]
    struck = [fault for fault in plan.entries if fault.at <= sim.now]
    noises = [noise for what, noise in plan.noise.items() if what != BUGGIFY or sim.world.buggified]
    lines = [f"plan: {_counted(len(struck), 'fault', 'faults')}", *(f"  {noise}" for noise in noises)]
    if len(struck) > PLAN_LINES:
        lines.append(f"  ... {len(struck) - PLAN_LINES} earlier ones")
    lines += [f"  {fault}" for fault in struck[-PLAN_LINES:]]
    lines += [
        f"  {what}: {count.armed} armed, {count.fired} fired, {count.affected} affected"
        for what, count in plan.counts.items()
    ]
    return lines


def _cut(lines: list[str], first: int) -> list[str]:
    """The first of many lines, each of a length that can be read."""
    left = len(lines) - first
    if left > 1:
        lines = [*lines[:first], f"... {left} lines ..."]
    return [line if len(line) <= WIDE else f"{line[: WIDE - 3]}..." for line in lines]
