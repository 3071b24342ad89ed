"""A pass of one message and nothing else, which is what a simulated core does most: `Core.step` without its loops.

`target` tells whether it can be made, `step` makes it. What follows from the message takes the ordinary ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from regrove.node.core.effects import RECEIVE
from regrove.node.core.isolate import ACTIVE, ENDED, IDLE, Cell
from regrove.node.core.scheduler import become, drain, raised, rest, run_ready

if TYPE_CHECKING:
    from regrove.node.core.core import Core


def target(core: Core, now: int, slot: int | str, generation: int, charge: int) -> Cell | None:
    """The isolate, when it is at rest and has room and the core has nothing else to do at `now`; None otherwise."""
    supervising, timers = core.supervising, core.timers
    if core.ready or core.stalled or core.draining is not None or supervising.ready or supervising.retries:
        return None
    if timers.asked or (timers.heap and timers.heap[0][0] <= now):
        return None
    cell = core.registry.local(slot, generation)
    if (
        cell is None or cell.parked is not IDLE or cell.supervising is not None or cell.waiters or cell.capacity < 1
        or core.entered - core.left >= core.pool_limit or core.pool_bytes + charge > core.pool_bytes_limit
    ):  # fmt: skip
        return None
    return cell


def step(core: Core, now: int, wall: int, cell: Cell, message: Any, event: int) -> None:
    """Run the pass at `now` ns: `cell`, which `target` gave, handles `message`; `event` is what the tracer said to it.

    What other isolates then are ready for is done in the same pass, as ever.
    """
    core.now = now
    core.wall = wall
    core.event = event
    core.current = cell
    core.entered += 1
    core.puts += 1
    core.left += 1
    counters = core.counters
    counters.passes += 1
    counters.handled += 1
    cell.handled += 1
    cell.parked = ACTIVE
    plain = core.entered - core.puts
    used = 1
    handle = cell.handle
    assert handle is not None
    try:
        effect = handle(cell.isolate, cell.context, message)
    except BaseException as error:
        raised(core, cell, error)
    else:
        if effect is not RECEIVE:
            become(core, cell, effect, handle, message)
    if cell.mailbox or cell.flags or cell.wait is not None or cell.state == ENDED:
        if not cell.flags and cell.wait is None and cell.state != ENDED:
            used += drain(core, cell, core.turn_budget - 1)
        rest(core, cell)
    else:
        cell.parked = IDLE
        cell.bound = 0
    core.current = None
    counters.callbacks += used
    counters.sent += core.entered - core.puts - plain
    if core.ready or core.supervising.ready:
        run_ready(core, core.bounds.pass_budget - used)
    if core.stalled:
        core.admit_stalled()
