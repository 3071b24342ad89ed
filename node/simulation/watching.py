"""The watchdog of a simulated manager: it sees a pass that a test made long, and a process that stays stopped.

What it says, and what the manager makes of that, is as outside (`process.watchdog`, `process.troubles`). Time in which
a core is stopped is no stall, and a manager that is stopped itself sees nothing. A core that the plan makes slow makes
progress and is left alone; that a process was stopped is said only when it is killed for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from regrove.node.process.manager_events import CoreHalted, CoreResumed, CoreSlow, CoreStalled, Trouble
from regrove.node.process.watchdog import HALT_KILL, SLOW_AFTER, STALL_KILL, STALLING_AFTER

if TYPE_CHECKING:
    from regrove.node.simulation.driver import Life

BUSY: Final = "sim.busy"  # in place of the line at which a handler stands
LOOKS: Final = (SLOW_AFTER, STALLING_AFTER, STALL_KILL)


def watch_pass(life: Life, begin: int, end: int) -> None:
    """A pass holds its core from `begin` to `end`: look at it as long as that takes."""
    place, world = life.place, life.world

    def look(held: int) -> None:
        if life.dead or life.finish_at != end or place.paused:
            return
        core, incarnation, path = place.index, life.home.core_incarnation, place.busy_with
        trouble: Trouble
        if held == SLOW_AFTER:
            trouble = CoreSlow(core, incarnation, held, BUSY, "", path)
        else:
            trouble = CoreStalled(core, incarnation, held, BUSY, "", path, fatal=held == STALL_KILL)
        place.node.event(trouble)

    for held in LOOKS:
        if begin + held < end:
            world.later(begin + held - world.clock.now, "watchdog", place.name, look, held)


def watch_end(life: Life, held: int) -> None:
    """A pass that was held is over."""
    if held > SLOW_AFTER:
        life.place.node.event(CoreResumed(life.place.index, life.home.core_incarnation, held))


def watch_stop(life: Life) -> None:
    """A process was stopped: look whether it still is when nobody stops one for so long by mistake."""
    place, world = life.place, life.world

    def look(_: None) -> None:
        if life.dead or not place.pauses or place.stopped_at + HALT_KILL > world.clock.now:
            return
        if place.node.pauses:
            world.later(HALT_KILL, "watchdog", place.name, look)
        else:
            place.node.event(CoreHalted(place.index, life.home.core_incarnation, long=True))

    world.later(HALT_KILL, "watchdog", place.name, look)
