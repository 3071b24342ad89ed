"""What each kind of fault does to the world: one function a kind, which also says how to undo it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from regrove.node.core.isolate import ENDED, Cell
from regrove.node.process import manager_events as me
from regrove.node.simulation import plan as p
from regrove.node.simulation.cores import SimulatedCore
from regrove.node.simulation.driver import Life
from regrove.node.simulation.network import ANYWHERE
from regrove.node.simulation.node import SimulatedNode
from regrove.node.simulation.plan import Fault

if TYPE_CHECKING:
    from regrove.node.simulation.stage import Stage

Undo: TypeAlias = Callable[[], Any]
Within: TypeAlias = Callable[[tuple[str, ...]], None]
Pairs: TypeAlias = list[tuple[str, str]]
MIB: Final = 1024 * 1024


class Done:
    """What a strike did: how much it touched at once, and how it ends; `nothing`: there was nothing to break.

    `met()` is how much has met it since, for one that lasts; `within(nodes)` ends the part of it among some nodes.
    """

    __slots__ = ("affected", "met", "nothing", "undo", "within")

    def __init__(
        self,
        affected: int = 1,
        undo: Undo | None = None,
        nothing: bool = False,
        met: Callable[[], int] | None = None,
        within: Within | None = None,
    ) -> None:
        self.affected = affected
        self.undo = undo
        self.met = met
        self.nothing = nothing
        self.within = within


NOTHING: Final = Done(0, nothing=True)


# --- links ---


def cut(stage: Stage, fault: Fault) -> Done:
    """Hold what goes between places."""
    network, ends = stage.world.network, stage.ends(fault.where)
    for source, target in ends:
        network.cut(source, target)
    before = network.held_between(ends)
    heal, within = _pair_by_pair(ends, network.heal)
    return Done(0, heal, met=lambda: network.held_between(ends) - before, within=within)


def _pair_by_pair(ends: Pairs, heal: Callable[[str, str], None]) -> tuple[Undo, Within]:
    """How to end a fault between many places at once, and how to end what of it lies among some nodes."""
    left = list(ends)

    def among(nodes: tuple[str, ...] | None) -> None:
        for source, target in list(left):
            if nodes is None or (source.partition("/")[0] in nodes and target.partition("/")[0] in nodes):
                left.remove((source, target))
                heal(source, target)

    return lambda: among(None), among


def lose(stage: Stage, fault: Fault) -> Done:
    """Lose what is under way."""
    if "#" in fault.where:
        return NOTHING  # one frame: `Network.carry` waits for it
    lost = [stage.world.network.strike(source, target) for source, target in stage.ends(fault.where)]
    known = [count for count in lost if count is not None]
    return Done(sum(known)) if known else NOTHING


def reset(stage: Stage, fault: Fault) -> Done:
    """Reset connections."""
    before = stage.world.network.resets
    lost = sum(stage.world.network.reset_between(source, target) for source, target in stage.ends(fault.where))
    return Done(lost) if stage.world.network.resets > before else NOTHING


def squeeze(stage: Stage, fault: Fault) -> Done:
    """Delay, clog, cap or limit a link."""
    network, ends = stage.world.network, stage.ends(fault.where)
    table = network.limits[fault.what]
    for pair in ends:
        table.setdefault(pair, []).append(fault.strength)
    before = network.squeezed_between(fault.what, ends)

    def heal(source: str, target: str) -> None:
        table[source, target].remove(fault.strength)
        if not table[source, target]:
            del table[source, target]
        network.relieved(fault.what, source, target)

    undo, within = _pair_by_pair(ends, heal)
    return Done(0, undo, met=lambda: network.squeezed_between(fault.what, ends) - before, within=within)


# --- nodes and cores ---


def late(stage: Stage, fault: Fault) -> Done:
    """Let all inputs of a core come later: frames, and what would wake it by itself."""
    network, core = stage.world.network, stage.core(fault.where)
    table, key = network.limits[p.DELAY], (ANYWHERE, core.name)
    table.setdefault(key, []).append(fault.strength)
    core.lateness += fault.strength
    before = network.squeezed_between(p.DELAY, [key])

    def heal() -> None:
        core.lateness -= fault.strength
        table[key].remove(fault.strength)
        if not table[key]:
            del table[key]

    return Done(0, heal, met=lambda: network.squeezed_between(p.DELAY, [key]) - before)


def pause(stage: Stage, fault: Fault) -> Done:
    """Stop a core or a node, as SIGSTOP does."""
    place = stage.place(fault.where)
    if not place.alive:
        return NOTHING
    return Done(1, place.pause())


def slow(stage: Stage, fault: Fault) -> Done:
    """Make passes take longer."""
    core = stage.core(fault.where)
    if not core.alive:
        return NOTHING
    factor = max(fault.strength, 1)
    core.slow_by(factor)
    return Done(1, lambda: core.slow_by(1, no_more_by=factor))


def crash_core(stage: Stage, fault: Fault) -> Done:
    """SIGKILL of a core."""
    core = stage.core(fault.where)
    return Done() if core.node.kill_core(core, "killed by SIGKILL") else NOTHING


def crash_node(stage: Stage, fault: Fault) -> Done:
    """Power is lost; of a machine that is gone without a word others hear late."""
    node = stage.node(fault.where)
    if not node.alive:
        return NOTHING
    node.lose_power(silently=fault.what == p.CRASH_MACHINE)
    return Done(1, _booting(node))


def crash_manager(stage: Stage, fault: Fault) -> Done:
    """SIGKILL of a manager: the kernel kills its cores, the disk keeps what was written."""
    node = stage.node(fault.where)
    if not node.alive:
        return NOTHING
    node.lose_manager()
    return Done(1, _booting(node))


def restart(stage: Stage, fault: Fault) -> Done:
    """Leave in order, and come back."""
    node = stage.node(fault.where)
    if not node.alive:
        return NOTHING
    node.stop("SIGTERM")
    return Done(1, _booting(node))


def _booting(node: SimulatedNode) -> Undo:
    def boot() -> None:
        if not node.alive:
            node.boot()
        elif node.leaving:
            node.boot_when_gone = True

    return boot


def memory(stage: Stage, fault: Fault) -> Done:
    """A core outgrows its memory limit: the manager drains and replaces it."""
    core = stage.core(fault.where)
    if core.life is None or core.life.dead or not core.life.started:
        return NOTHING
    core.node.event(me.CoreOutgrew(core.index, core.incarnation, 512 * MIB, 256 * MIB))
    return Done()


def drift(stage: Stage, fault: Fault) -> Done:
    """Let the clocks of a place run fast or slow."""
    cores = _cores(stage, fault.where)
    for core in cores:
        core.drift_by(fault.strength)

    def heal() -> None:
        for core in cores:
            core.drift_by(-fault.strength)

    return Done(len(cores), heal)


def clock_step(stage: Stage, fault: Fault) -> Done:
    """Set wall clocks."""
    cores = _cores(stage, fault.where)
    for core in cores:
        core.wall_offset += fault.strength
    return Done(len(cores))


def _cores(stage: Stage, where: str) -> list[SimulatedCore]:
    place = stage.place(where)
    return [place] if isinstance(place, SimulatedCore) else place.cores


# --- isolates ---


def crash_isolate(stage: Stage, fault: Fault) -> Done:
    """End an isolate as a handler that raises does."""
    where, _, path = fault.where.partition(":")
    life = stage.core(where).life
    if life is None or life.dead:
        return NOTHING
    found = _isolate(stage, life, fault, path)
    if found is None:
        return NOTHING
    if not path:
        stage.world.plan.resolved(fault, f"{where}:{found.path}")
    life.crash_isolate(found)
    return Done()


def _isolate(stage: Stage, life: Life, fault: Fault, path: str) -> Cell | None:
    cells = [
        cell
        for cell in life.core.cells
        if cell is not None and cell.state != ENDED and cell.supervising is None and path in ("", cell.path)
    ]
    if not cells:
        return None
    draws = stage.world.draws
    return min(cells, key=lambda cell: draws.at(fault.at, "plan.isolate", cell.path)) if not path else cells[0]


def start_fails(stage: Stage, fault: Fault) -> Done:
    """Let starts of isolates fail."""
    core = stage.core(fault.where)
    core.failing_starts += 1

    def heal() -> None:
        core.failing_starts -= 1

    return Done(0, heal)


# --- input and output ---


def stream_reset(stage: Stage, fault: Fault) -> Done:
    """Reset the tcp connections of a node."""
    count = stage.world.tcp.reset_all(stage.node(fault.where).name)
    return Done(count) if count else NOTHING


def refuse(stage: Stage, fault: Fault) -> Done:
    """Refuse connects to a node."""
    tcp = stage.world.tcp
    return _counted(tcp.refusing, tcp.turned_away, stage.node(fault.where).name, 1)


def slow_peer(stage: Stage, fault: Fault) -> Done:
    """Delay what arrives by tcp at a node."""
    tcp = stage.world.tcp
    return _counted(tcp.slow, tcp.slowed, stage.node(fault.where).name, fault.strength)


def _counted(table: dict[str, int], met: dict[str, int], name: str, amount: int) -> Done:
    table[name] = table.get(name, 0) + amount
    before = met.get(name, 0)

    def heal() -> None:
        table[name] -= amount
        if not table[name]:
            del table[name]

    return Done(0, heal, met=lambda: met.get(name, 0) - before)


def offload_slow(stage: Stage, fault: Fault) -> Done:
    """Make offloads take longer."""
    core, factor = stage.core(fault.where), max(fault.strength, 1)
    core.offload_slowness *= factor
    before = core.offloads_slowed

    def heal() -> None:
        core.offload_slowness //= factor

    return Done(0, heal, met=lambda: core.offloads_slowed - before)


def offload_fails(stage: Stage, fault: Fault) -> Done:
    """Make offloads fail."""
    core = stage.core(fault.where)
    core.offload_failures += 1
    before = core.offloads_failed

    def heal() -> None:
        core.offload_failures -= 1

    return Done(0, heal, met=lambda: core.offloads_failed - before)


def break_disk(stage: Stage, fault: Fault) -> Done:
    """Break the disk of a node. Faults of one kind may overlap: the disk is whole when the last has ended."""
    disk = stage.node(fault.where).disk
    disk.ails(fault.what, max(fault.strength, 1))
    before = disk.met(fault.what)
    heal = functools.partial(disk.recovers, fault.what, max(fault.strength, 1))
    return Done(0, heal, met=lambda: disk.met(fault.what) - before)


STRIKES: Final[dict[str, Callable[[Stage, Fault], Done]]] = {
    p.CUT: cut,
    p.SWIZZLE: cut,
    p.LOSS: lose,
    p.RESET: reset,
    p.DELAY: squeeze,
    p.LATE: late,
    p.CLOG: squeeze,
    p.IN_FLIGHT: squeeze,
    p.FRAME_LIMIT: squeeze,
    p.PAUSE: pause,
    p.SLOW: slow,
    p.CRASH_CORE: crash_core,
    p.CRASH_NODE: crash_node,
    p.CRASH_MACHINE: crash_node,
    p.CRASH_MANAGER: crash_manager,
    p.RESTART: restart,
    p.MEMORY: memory,
    p.DRIFT: drift,
    p.CLOCK_STEP: clock_step,
    p.CRASH_ISOLATE: crash_isolate,
    p.START_FAILS: start_fails,
    p.STREAM_RESET: stream_reset,
    p.REFUSE: refuse,
    p.SLOW_PEER: slow_peer,
    p.OFFLOAD_SLOW: offload_slow,
    p.OFFLOAD_FAILS: offload_fails,
    p.SYNC_FAILS: break_disk,
    p.DISK_FULL: break_disk,
    p.DISK_SLOW: break_disk,
}
