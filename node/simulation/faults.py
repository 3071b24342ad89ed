"""What testers write as `faults=`: kinds that draw a plan from the seed, a swarm of them, or a plan by hand.

What comes out is a `plan.Plan`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeAlias

from regrove.node.core.errors import Misuse
from regrove.node.simulation import given
from regrove.node.simulation.clock import SLOWEST, Span
from regrove.node.simulation.kinds import Kind, Swarm
from regrove.node.simulation.plan import (
    BUGGIFY,
    CLOCK_STEP,
    CLOG,
    CRASH_CORE,
    CRASH_ISOLATE,
    CRASH_MACHINE,
    CRASH_MANAGER,
    CRASH_NODE,
    CUT,
    DELAY,
    DISK_FULL,
    DISK_SLOW,
    DRIFT,
    DUPLICATE,
    FRAME_LIMIT,
    IN_FLIGHT,
    KINDS,
    LATE,
    LOSS,
    MEMORY,
    OFFLOAD_FAILS,
    OFFLOAD_SLOW,
    PAUSE,
    PROFILES,
    REFUSE,
    REORDER,
    RESET,
    RESTART,
    SHAPES,
    SLOW,
    SLOW_PEER,
    SPIKE,
    START_FAILS,
    STREAM_RESET,
    SWIZZLE,
    SYNC_FAILS,
    YEARS,
    Counts,
    Fault,
    Layout,
    Noise,
    Plan,
    complete,
    read_plan,
    refuse_hostile,
)
from regrove.node.simulation.priorities import Priorities, pct
from regrove.node.simulation.seeds import NEVER, Draws, Ratio

__all__ = [
    "BUGGIFY",
    "CLOCK_STEP",
    "CLOG",
    "CRASH_CORE",
    "CRASH_ISOLATE",
    "CRASH_MACHINE",
    "CRASH_MANAGER",
    "CRASH_NODE",
    "CUT",
    "DELAY",
    "DISK_FULL",
    "DISK_SLOW",
    "DRIFT",
    "DUPLICATE",
    "FRAME_LIMIT",
    "IN_FLIGHT",
    "KINDS",
    "LATE",
    "LOSS",
    "MEMORY",
    "OFFLOAD_FAILS",
    "OFFLOAD_SLOW",
    "PAUSE",
    "PROFILES",
    "REFUSE",
    "REORDER",
    "RESET",
    "RESTART",
    "SHAPES",
    "SLOW",
    "SLOW_PEER",
    "SPIKE",
    "START_FAILS",
    "STREAM_RESET",
    "SWIZZLE",
    "SYNC_FAILS",
    "Counts",
    "Fault",
    "Faults",
    "Kind",
    "Layout",
    "Noise",
    "Plan",
    "Priorities",
    "Swarm",
    "buggify",
    "clock_step",
    "clog",
    "crash",
    "cut",
    "delay",
    "disk",
    "drift",
    "duplicate",
    "frame_limit",
    "in_flight",
    "loss",
    "memory",
    "offload",
    "once",
    "pause",
    "pct",
    "plan_of",
    "read",
    "read_plan",
    "reorder",
    "reset",
    "restart",
    "slow",
    "spike",
    "start_fails",
    "streams",
    "swarm",
    "swizzle",
]

POINT_STRIKES: Final = Ratio(1, 4)  # how often a buggify point that a seed has switched on strikes


Part: TypeAlias = "Fault | Noise | Kind | Swarm | Priorities"
Faults: TypeAlias = "Kind | Swarm | Priorities | Fault | Noise | Sequence[Faults] | None"


# --- what testers write ---


def cut(
    one_way: bool | None = None,
    often: tuple[int, int] = (1, 5),
    lasts: tuple[Span, Span] = ("100ms", "3s"),
) -> Kind:
    """Cut the links between two nodes (or two cores of the only node), both ways, one way, or (None) either."""
    if one_way is not None:
        given.switches("cut", one_way=one_way)
    arrows = ("<>", ">") if one_way is None else (">",) if one_way else ("<>",)
    return Kind(CUT, given.often("cut", often), given.times("cut", "lasts", lasts), arrows=arrows)


def pause(often: tuple[int, int] = (1, 8), lasts: tuple[Span, Span] = ("50ms", "2s"), on: str = "core") -> Kind:
    """Stop a core, or with `on="node"` a whole node, as SIGSTOP does, and let it go on."""
    return Kind(PAUSE, given.often("pause", often), given.times("pause", "lasts", lasts), on=_place(on))


def crash(on: str = "core", often: tuple[int, int] = (1, 8), lasts: tuple[Span, Span] = ("200ms", "3s")) -> Kind:
    """Kill a core (its manager replaces it), a node (`on="node"`: power is lost, back after `lasts`), ...

    ... a machine (`on="machine"`: the same, but nobody is told: others hear after 9 to 12 s, or when it is back), ...
    ... a manager (`on="manager"`: its cores die with it, the disk keeps all), or an isolate (`on="isolate"`: it crashes
    as if its handler had raised; its supervisor restarts it).
    """
    kinds = {
        "core": CRASH_CORE,
        "node": CRASH_NODE,
        "machine": CRASH_MACHINE,
        "manager": CRASH_MANAGER,
        "isolate": CRASH_ISOLATE,
    }
    if on not in kinds:
        raise Misuse(f"crash(on={on!r}): on is one of {', '.join(kinds)}")
    ratio, span = given.often("crash", often), given.times("crash", "lasts", lasts)
    if on in ("core", "isolate"):
        return Kind(kinds[on], ratio, (0, 0))
    return Kind(kinds[on], ratio, span, on="node")


def restart(often: tuple[int, int] = (1, 20), lasts: tuple[Span, Span] = ("200ms", "3s")) -> Kind:
    """Have a node leave in order, as a rolling upgrade does, and start it again `lasts` later."""
    return Kind(RESTART, given.often("restart", often), given.times("restart", "lasts", lasts), on="node")


def memory(often: tuple[int, int] = (1, 20)) -> Kind:
    """Have a core outgrow its memory limit: its manager drains and replaces it."""
    return Kind(MEMORY, given.often("memory", often), (0, 0))


def start_fails(often: tuple[int, int] = (1, 8), lasts: tuple[Span, Span] = ("50ms", "1s")) -> Kind:
    """Let half of the starts of isolates on a core fail for a while."""
    return Kind(START_FAILS, given.often("start_fails", often), given.times("start_fails", "lasts", lasts))


def drift(
    ppm: tuple[int, int] = (-20_000, 20_000),
    often: tuple[int, int] = (1, 10),
    lasts: tuple[Span, Span] = ("1s", "20s"),
) -> Kind:
    """Let all clocks of a node run fast or slow by `ppm` millionths: timers, `ctx.now()` and the wall clock."""
    return Kind(DRIFT, given.often("drift", often), given.times("drift", "lasts", lasts), _drift(ppm), on="node")


def clock_step(most: Span = "30s", often: tuple[int, int] = (1, 10)) -> Kind:
    """Set the wall clock of a node forward or back by up to `most`; `ctx.now()` does not notice."""
    bound = given.time("clock_step", "most", most)
    if bound > YEARS:
        raise Misuse(f"clock_step(most={most!r}): wall clocks are set by 50 years at most")
    return Kind(CLOCK_STEP, given.often("clock_step", often), (0, 0), (-bound, bound), on="node")


def swizzle(often: tuple[int, int] = (1, 20), lasts: tuple[Span, Span] = ("500ms", "5s")) -> Kind:
    """Cut a random subset of nodes off one after the other, and heal them in another order."""
    return Kind(SWIZZLE, given.often("swizzle", often), given.times("swizzle", "lasts", lasts))


def reset(often: tuple[int, int] = (1, 8)) -> Kind:
    """Reset the connections from a place to a place; what is under way on them is lost."""
    return Kind(RESET, given.often("reset", often), (0, 0), arrows=(">",))


def clog(
    rate: tuple[int, int] = (2_000, 200_000),
    often: tuple[int, int] = (1, 8),
    lasts: tuple[Span, Span] = ("100ms", "5s"),
) -> Kind:
    """Clog a link: only `rate` bytes a second pass one way; what comes faster queues."""
    return _narrow(CLOG, "rate", rate, "bytes a second", often, lasts)


def in_flight(
    frames: tuple[int, int] = (1, 8),
    often: tuple[int, int] = (1, 8),
    lasts: tuple[Span, Span] = ("100ms", "5s"),
) -> Kind:
    """Let at most `frames` be under way on each connection one way; the sender's transport refuses more meanwhile."""
    return _narrow(IN_FLIGHT, "frames", frames, "frames", often, lasts)


def frame_limit(
    size: tuple[int, int] = (256, 65_536),
    often: tuple[int, int] = (1, 12),
    lasts: tuple[Span, Span] = ("100ms", "3s"),
) -> Kind:
    """Cut off whoever sends a frame of more than `size` bytes one way, as ZMQ_MAXMSGSIZE does."""
    return _narrow(FRAME_LIMIT, "size", size, "bytes", often, lasts)


def _narrow(
    what: str, name: str, most: tuple[int, int], unit: str, often: tuple[int, int], lasts: tuple[Span, Span]
) -> Kind:
    """What lets less through one way, for a while."""
    verb = what.replace("-", "_")
    return Kind(
        what,
        given.often(verb, often),
        given.times(verb, "lasts", lasts),
        given.amounts(verb, name, most, 1, unit),
        arrows=(">",),
    )


def duplicate(noise: tuple[int, int] = (1, 2000)) -> Kind:
    """Let `noise` of all frames arrive twice (`hostile` only)."""
    return Kind(DUPLICATE, NEVER, (0, 0), noise=given.noise("duplicate", noise))


def reorder(noise: tuple[int, int] = (1, 2000)) -> Kind:
    """Let `noise` of all frames overtake the one before on their link (`hostile` only)."""
    return Kind(REORDER, NEVER, (0, 0), noise=given.noise("reorder", noise))


def spike(noise: tuple[int, int] = (1, 500), extra: Span = "50ms") -> Kind:
    """Let `noise` of all frames take up to `extra` longer, and all behind them on their link."""
    return Kind(SPIKE, NEVER, (0, 0), (0, given.time("spike", "extra", extra)), noise=given.noise("spike", noise))


def buggify(noise: tuple[int, int] = (1, 4)) -> Kind:
    """Let `ctx.buggify(point)` hold `noise` of times at the points a seed switches on; on by itself with any kind."""
    return Kind(BUGGIFY, NEVER, (0, 0), noise=given.noise("buggify", noise))


def streams(
    resets: bool = True,
    refuses: bool = True,
    slow: bool = True,
    often: tuple[int, int] = (1, 10),
    lasts: tuple[Span, Span] = ("50ms", "2s"),
) -> tuple[Kind, ...]:
    """Break tcp of a node: connections reset, connects refused, slow peers. Partial reads and writes are always on."""
    given.switches("streams", resets=resets, refuses=refuses, slow=slow)
    wanted = (
        (STREAM_RESET, resets, (0, 0)),
        (REFUSE, refuses, (0, 0)),
        (SLOW_PEER, slow, given.times("streams", "slow", ("1ms", "200ms"))),
    )
    ratio, span = given.often("streams", often), given.times("streams", "lasts", lasts)
    return tuple(
        Kind(what, ratio, (0, 0) if what == STREAM_RESET else span, strength, on="node")
        for what, on, strength in wanted
        if on
    )


def offload(
    slow: bool = True,
    fails: bool = True,
    often: tuple[int, int] = (1, 10),
    lasts: tuple[Span, Span] = ("50ms", "2s"),
) -> tuple[Kind, ...]:
    """Make what a core offloads slow, or fail with OSError."""
    given.switches("offload", slow=slow, fails=fails)
    wanted = ((OFFLOAD_SLOW, slow, (5, 100)), (OFFLOAD_FAILS, fails, (0, 0)))
    return tuple(
        Kind(what, given.often("offload", often), given.times("offload", "lasts", lasts), strength)
        for what, on, strength in wanted
        if on
    )


def loss(noise: tuple[int, int] = (1, 2000), often: tuple[int, int] = (1, 10)) -> Kind:
    """Lose messages: `noise` of all frames, and now and then all that is under way between two places.

    In the `faithful` profile a loss is a reset of its link; in the `hostile` one the frame alone is gone.
    """
    return Kind(LOSS, given.often("loss", often), (0, 0), arrows=(">",), noise=given.noise("loss", noise))


def slow(
    factor: tuple[int, int] = (2, 50), often: tuple[int, int] = (1, 8), lasts: tuple[Span, Span] = ("100ms", "5s")
) -> Kind:
    """Make a core slow: each of its passes takes `factor` times as long."""
    return Kind(
        SLOW,
        given.often("slow", often),
        given.times("slow", "lasts", lasts),
        given.amounts("slow", "factor", factor, 1, "times as long"),
    )


def delay(
    extra: tuple[Span, Span] = ("1ms", "200ms"),
    often: tuple[int, int] = (1, 5),
    lasts: tuple[Span, Span] = ("100ms", "5s"),
) -> Kind:
    """Make a link slow: `extra` time for each frame one way."""
    return Kind(
        DELAY,
        given.often("delay", often),
        given.times("delay", "lasts", lasts),
        given.times("delay", "extra", extra),
        arrows=(">",),
    )


def disk(
    sync_fails: bool = True,
    full: bool = True,
    slow: bool = True,
    often: tuple[int, int] = (1, 10),
    lasts: tuple[Span, Span] = ("50ms", "2s"),
) -> tuple[Kind, ...]:
    """Break disks: syncs that fail (EIO), full ones (ENOSPC), slow ones."""
    given.switches("disk", sync_fails=sync_fails, full=full, slow=slow)
    wanted = ((SYNC_FAILS, sync_fails, (0, 0)), (DISK_FULL, full, (0, 0)), (DISK_SLOW, slow, (5, 100)))
    ratio, span = given.often("disk", often), given.times("disk", "lasts", lasts)
    return tuple(Kind(what, ratio, span, strength, on="node") for what, on, strength in wanted if on)


def swarm(*kinds: Kind | tuple[Kind, ...]) -> Swarm:
    """Switch a random subset of these kinds on for each seed, with random strengths."""
    flat: list[Kind] = []
    for kind in kinds:
        flat.extend(kind if isinstance(kind, tuple) else (kind,))
    for kind in flat:
        if not isinstance(kind, Kind):
            raise Misuse(f"swarm takes kinds such as cut() and pause(), got {kind!r}")
    return Swarm(tuple(flat))


def once(what: str, where: str, at: Span, lasts: Span = 0, strength: int = 0) -> Fault:
    """Write one entry of a plan by hand: `once("cut", "n0>n1", at="2s", lasts="500ms")`.

    What lasts and is given no length (0) stands until the calm. Raises Misuse for a length or a strength that the kind
    does not have, or needs.
    """
    fault = Fault(what, where, given.time("once", "at", at), given.time("once", "lasts", lasts), strength)
    complete(fault)
    return fault


def read(path: str | Path) -> tuple[Fault | Noise, ...]:
    """Read a plan from a file: one fault or noise a line, as a story prints it. Raises Misuse naming the line."""
    plan = read_plan(Path(path).read_text().splitlines())
    for entry in plan:
        if isinstance(entry, Fault):
            complete(entry)
    return plan


def _drift(ppm: object) -> tuple[int, int]:
    return given.amounts("drift", "ppm", ppm, SLOWEST, "millionths")


def _place(on: str) -> str:
    if on not in ("core", "node"):
        raise Misuse(f"on is 'core' or 'node', got {on!r}")
    return on


# --- the plan of one run ---


def plan_of(faults: Faults, layout: Layout, draws: Draws, profile: str = "faithful") -> Plan:
    """Read what a tester gave as `faults=`. Raises Misuse for anything else, and for what the profile forbids."""
    plan = Plan(layout, draws)
    parts = _numbered(flat(faults))
    offered = [kind for item in parts for kind in (item.kinds if isinstance(item, Swarm) else (item,))]
    refuse_hostile(offered, profile)
    for item in parts:
        match item:
            case Fault():
                plan.arm(item)
            case Noise():
                plan.hear(item)
            case Swarm():
                for kind in item.choose(draws):
                    plan.enable(kind)
            case Kind() | Priorities():
                plan.enable(item)
    if any(isinstance(kind, Kind) for kind in plan.kinds) and BUGGIFY not in plan.noise:
        plan.noise[BUGGIFY] = Noise(BUGGIFY, POINT_STRIKES)
    return plan


def _numbered(parts: Iterable[Part]) -> list[Part]:
    """Tell sources of one kind apart, in the order in which they were written."""
    seen: dict[str, int] = {}

    def number(kind: Kind) -> Kind:
        seen[kind.what] = found = seen.get(kind.what, -1) + 1
        return replace(kind, number=found) if found else kind

    numbered: list[Part] = []
    for part in parts:
        if isinstance(part, Swarm):
            numbered.append(Swarm(tuple(map(number, part.kinds))))
        else:
            numbered.append(number(part) if isinstance(part, Kind) else part)
    return numbered


def flat(faults: Faults) -> Iterator[Part]:
    """Give the single parts of what was written as `faults=`."""
    if faults is None:
        return
    if isinstance(faults, Fault | Noise | Kind | Swarm | Priorities):
        yield faults
    elif isinstance(faults, Sequence) and not isinstance(faults, str):
        for item in faults:
            yield from flat(item)
    else:
        raise Misuse(f"faults= takes kinds such as faults.cut(), faults.swarm(...) or faults.once(...), got {faults!r}")
