"""What testers write as `faults=`: kinds that draw a plan from the seed, a swarm of them, or a plan by hand.

A kind draws its faults by keyed draws of (kind, virtual second), so taking one kind away moves no fault of another.
What comes out is a `plan.Plan`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

from regrove.node.core.errors import Misuse
from regrove.node.simulation.clock import MILLISECOND, SECOND, Span, duration
from regrove.node.simulation.plan import (
    BUGGIFY,
    CLOCK_STEP,
    CLOG,
    CRASH_CORE,
    CRASH_ISOLATE,
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
    TORN,
    Counts,
    Fault,
    Layout,
    Noise,
    Plan,
    read_plan,
    refuse_hostile,
)
from regrove.node.simulation.priorities import Priorities, pct
from regrove.node.simulation.seeds import NEVER, Draws, Ratio, between, holds, slice_of

__all__ = [
    "BUGGIFY",
    "CLOCK_STEP",
    "CLOG",
    "CRASH_CORE",
    "CRASH_ISOLATE",
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
    "TORN",
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

OFTEN: Final = Ratio(1, 5)
OFTEN_MAX: Final = 64
POINT_STRIKES: Final = Ratio(1, 4)  # how often a buggify point that a seed has switched on strikes


@dataclass(frozen=True, slots=True)
class Kind:
    """A source of faults of one kind: `often` in each virtual second (at most 64), of a length drawn within `lasts`."""

    what: str
    often: Ratio = OFTEN
    lasts: tuple[int, int] = (100 * MILLISECOND, 2 * SECOND)
    strength: tuple[int, int] = (0, 0)
    arrows: tuple[str, ...] = ()
    on: str = "core"
    noise: Ratio = NEVER

    def draw(self, second: int, layout: Layout, draws: Draws) -> list[Fault]:
        """Draw what this kind does in that virtual second."""
        whole, rest = divmod(self.often.numerator, self.often.denominator)
        first = second * OFTEN_MAX
        if holds(draws.at(first, "plan.more", self.what), 0, Ratio(rest, self.often.denominator)):
            whole += 1
        drawn: list[Fault] = []
        for number in range(min(whole, OFTEN_MAX)):
            if self.what == SWIZZLE:
                drawn += self._swizzle(first + number, second, layout, draws)
            elif (fault := self._one(first + number, second, layout, draws)) is not None:
                drawn.append(fault)
        return drawn

    def opening(self, second: int, layout: Layout, draws: Draws) -> list[Fault]:
        """Draw the first second of a run: no other than the rest."""
        return self.draw(second, layout, draws)

    def _swizzle(self, ordinal: int, second: int, layout: Layout, draws: Draws) -> list[Fault]:
        """Cut a random subset of nodes off one after the other, and heal them in another order."""
        first = second * SECOND + (slice_of(draws.at(ordinal, "plan.when", self.what), 0) * SECOND >> 20)
        length = between(draws.at(ordinal, "plan.size", self.what), *self.lasts)
        found = []
        for index in range(layout.nodes if layout.nodes > 1 else 0):
            draw = draws.at(ordinal, "plan.swizzle", f"n{index}")
            if holds(draw, 0, Ratio(1, 2)):
                begin = slice_of(draw, 1) * (length // 2) >> 20
                end = length // 2 + (slice_of(draw, 2) * (length // 2) >> 20)
                found.append(Fault(SWIZZLE, f"n{index}<>*", first + begin, max(end - begin, 1)))
        return found

    def _one(self, ordinal: int, second: int, layout: Layout, draws: Draws) -> Fault | None:
        when = draws.at(ordinal, "plan.when", self.what)
        spot, size = draws.at(ordinal, "plan.where", self.what), draws.at(ordinal, "plan.size", self.what)
        if self.arrows:
            where = layout.pair(spot, self.arrows[slice_of(spot, 2) * len(self.arrows) >> 20])
        else:
            where = layout.core(spot) if self.on == "core" else layout.node(spot)
        if where is None:
            return None
        at = second * SECOND + (slice_of(when, 0) * SECOND >> 20)
        strength = draws.at(ordinal, "plan.strength", self.what)
        return Fault(self.what, where, at, between(size, *self.lasts), between(strength, *self.strength))


@dataclass(frozen=True, slots=True)
class Swarm:
    """Kinds of which each seed switches a random subset on, with random strengths."""

    kinds: tuple[Kind, ...]

    def choose(self, draws: Draws) -> tuple[Kind, ...]:
        """Return the kinds of this seed, at least one; how often each strikes is drawn from a third to twice."""
        chosen = []
        for kind in self.kinds:
            draw = draws.draw("swarm", kind.what)
            if holds(draw, 0, Ratio(1, 2)):
                chosen.append(_scaled(kind, draw))
        if not chosen and self.kinds:
            draw = draws.draw("swarm.one")
            chosen.append(_scaled(self.kinds[slice_of(draw, 0) * len(self.kinds) >> 20], draw))
        return tuple(chosen)


def _scaled(kind: Kind, draw: int) -> Kind:
    numerator, denominator = ((1, 3), (2, 3), (1, 1), (2, 1))[(draw >> 40) & 3]
    often = Ratio(kind.often.numerator * numerator, kind.often.denominator * denominator)
    noise = Ratio(kind.noise.numerator * numerator, kind.noise.denominator * denominator)
    return replace(kind, often=often, noise=noise)


Faults: TypeAlias = "Kind | Swarm | Priorities | Fault | Noise | Sequence[Faults] | None"


# --- what testers write ---


def cut(
    one_way: bool | None = None,
    often: tuple[int, int] = (1, 5),
    lasts: tuple[Span, Span] = ("100ms", "3s"),
) -> Kind:
    """Cut the links between two nodes (or two cores of the only node), both ways, one way, or (None) either."""
    arrows = ("<>", ">") if one_way is None else (">",) if one_way else ("<>",)
    return Kind(CUT, Ratio(*often), _span(lasts), arrows=arrows)


def pause(often: tuple[int, int] = (1, 8), lasts: tuple[Span, Span] = ("50ms", "2s"), on: str = "core") -> Kind:
    """Stop a core, or with `on="node"` a whole node, as SIGSTOP does, and let it go on."""
    return Kind(PAUSE, Ratio(*often), _span(lasts), on=_place(on))


def crash(on: str = "core", often: tuple[int, int] = (1, 8), lasts: tuple[Span, Span] = ("200ms", "3s")) -> Kind:
    """Kill a core (its manager replaces it), a node (`on="node"`: power is lost, back after `lasts`), ...

    ... a manager (`on="manager"`: its cores die with it, the disk keeps all), or an isolate (`on="isolate"`: it crashes
    as if its handler had raised; its supervisor restarts it).
    """
    kinds = {"core": CRASH_CORE, "node": CRASH_NODE, "manager": CRASH_MANAGER, "isolate": CRASH_ISOLATE}
    if on not in kinds:
        raise Misuse(f"crash(on={on!r}): on is one of {', '.join(kinds)}")
    if on in ("core", "isolate"):
        return Kind(kinds[on], Ratio(*often), (0, 0))
    return Kind(kinds[on], Ratio(*often), _span(lasts), on="node")


def restart(often: tuple[int, int] = (1, 20), lasts: tuple[Span, Span] = ("200ms", "3s")) -> Kind:
    """Have a node leave in order, as a rolling upgrade does, and start it again `lasts` later."""
    return Kind(RESTART, Ratio(*often), _span(lasts), on="node")


def memory(often: tuple[int, int] = (1, 20)) -> Kind:
    """Have a core outgrow its memory limit: its manager drains and replaces it."""
    return Kind(MEMORY, Ratio(*often), (0, 0))


def start_fails(often: tuple[int, int] = (1, 8), lasts: tuple[Span, Span] = ("50ms", "1s")) -> Kind:
    """Let half of the starts of isolates on a core fail for a while."""
    return Kind(START_FAILS, Ratio(*often), _span(lasts))


def drift(
    ppm: tuple[int, int] = (-20_000, 20_000),
    often: tuple[int, int] = (1, 10),
    lasts: tuple[Span, Span] = ("1s", "20s"),
) -> Kind:
    """Let all clocks of a node run fast or slow by `ppm` millionths: timers, `ctx.now()` and the wall clock."""
    return Kind(DRIFT, Ratio(*often), _span(lasts), ppm, on="node")


def clock_step(most: Span = "30s", often: tuple[int, int] = (1, 10)) -> Kind:
    """Set the wall clock of a node forward or back by up to `most`; `ctx.now()` does not notice."""
    return Kind(CLOCK_STEP, Ratio(*often), (0, 0), (-duration(most), duration(most)), on="node")


def swizzle(often: tuple[int, int] = (1, 20), lasts: tuple[Span, Span] = ("500ms", "5s")) -> Kind:
    """Cut a random subset of nodes off one after the other, and heal them in another order."""
    return Kind(SWIZZLE, Ratio(*often), _span(lasts))


def reset(often: tuple[int, int] = (1, 8)) -> Kind:
    """Reset the connections from a place to a place; what is under way on them is lost."""
    return Kind(RESET, Ratio(*often), (0, 0), arrows=(">",))


def clog(
    rate: tuple[int, int] = (2_000, 200_000),
    often: tuple[int, int] = (1, 8),
    lasts: tuple[Span, Span] = ("100ms", "5s"),
) -> Kind:
    """Clog a link: only `rate` bytes a second pass one way; what comes faster queues."""
    return Kind(CLOG, Ratio(*often), _span(lasts), rate, arrows=(">",))


def in_flight(
    frames: tuple[int, int] = (1, 8),
    often: tuple[int, int] = (1, 8),
    lasts: tuple[Span, Span] = ("100ms", "5s"),
) -> Kind:
    """Let at most `frames` be under way on each connection one way; the sender's transport refuses more meanwhile."""
    return Kind(IN_FLIGHT, Ratio(*often), _span(lasts), frames, arrows=(">",))


def frame_limit(
    size: tuple[int, int] = (256, 65_536),
    often: tuple[int, int] = (1, 12),
    lasts: tuple[Span, Span] = ("100ms", "3s"),
) -> Kind:
    """Cut off whoever sends a frame of more than `size` bytes one way, as ZMQ_MAXMSGSIZE does."""
    return Kind(FRAME_LIMIT, Ratio(*often), _span(lasts), size, arrows=(">",))


def duplicate(noise: tuple[int, int] = (1, 2000)) -> Kind:
    """Let `noise` of all frames arrive twice (`hostile` only)."""
    return Kind(DUPLICATE, NEVER, (0, 0), noise=Ratio(*noise))


def reorder(noise: tuple[int, int] = (1, 2000)) -> Kind:
    """Let `noise` of all frames overtake the one before on their link (`hostile` only)."""
    return Kind(REORDER, NEVER, (0, 0), noise=Ratio(*noise))


def spike(noise: tuple[int, int] = (1, 500), extra: Span = "50ms") -> Kind:
    """Let `noise` of all frames take up to `extra` longer, and all behind them on their link."""
    return Kind(SPIKE, NEVER, (0, 0), (0, duration(extra)), noise=Ratio(*noise))


def buggify(noise: tuple[int, int] = (1, 4)) -> Kind:
    """Let `ctx.buggify(point)` hold `noise` of times at the points a seed switches on; on by itself with any kind."""
    return Kind(BUGGIFY, NEVER, (0, 0), noise=Ratio(*noise))


def streams(
    resets: bool = True,
    refuses: bool = True,
    slow: bool = True,
    often: tuple[int, int] = (1, 10),
    lasts: tuple[Span, Span] = ("50ms", "2s"),
) -> tuple[Kind, ...]:
    """Break tcp of a node: connections reset, connects refused, slow peers. Partial reads and writes are always on."""
    wanted = ((STREAM_RESET, resets, (0, 0)), (REFUSE, refuses, (0, 0)), (SLOW_PEER, slow, _span(("1ms", "200ms"))))
    ratio, span = Ratio(*often), _span(lasts)
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
    wanted = ((OFFLOAD_SLOW, slow, (5, 100)), (OFFLOAD_FAILS, fails, (0, 0)))
    return tuple(Kind(what, Ratio(*often), _span(lasts), strength) for what, on, strength in wanted if on)


def loss(noise: tuple[int, int] = (1, 2000), often: tuple[int, int] = (1, 10)) -> Kind:
    """Lose messages: `noise` of all frames, and now and then all that is under way between two places.

    In the `faithful` profile a loss is a reset of its link; in the `hostile` one the frame alone is gone.
    """
    return Kind(LOSS, Ratio(*often), (0, 0), arrows=(">",), noise=Ratio(*noise))


def slow(
    factor: tuple[int, int] = (2, 50), often: tuple[int, int] = (1, 8), lasts: tuple[Span, Span] = ("100ms", "5s")
) -> Kind:
    """Make a core slow: each of its passes takes `factor` times as long."""
    return Kind(SLOW, Ratio(*often), _span(lasts), factor)


def delay(
    extra: tuple[Span, Span] = ("1ms", "200ms"),
    often: tuple[int, int] = (1, 5),
    lasts: tuple[Span, Span] = ("100ms", "5s"),
) -> Kind:
    """Make a link slow: `extra` time for each frame one way."""
    return Kind(DELAY, Ratio(*often), _span(lasts), _span(extra), arrows=(">",))


def disk(
    sync_fails: bool = True,
    full: bool = True,
    slow: bool = True,
    often: tuple[int, int] = (1, 10),
    lasts: tuple[Span, Span] = ("50ms", "2s"),
) -> tuple[Kind, ...]:
    """Break disks: syncs that fail (EIO), full ones (ENOSPC), slow ones."""
    wanted = ((SYNC_FAILS, sync_fails, (0, 0)), (DISK_FULL, full, (0, 0)), (DISK_SLOW, slow, (5, 100)))
    ratio, span = Ratio(*often), _span(lasts)
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
    """Write one entry of a plan by hand: `once("cut", "n0>n1", at="2s", lasts="500ms")`."""
    return Fault(what, where, duration(at), duration(lasts), strength)


def read(path: str | Path) -> tuple[Fault | Noise, ...]:
    """Read a plan from a file: one fault or noise a line, as a story prints it. Raises Misuse naming the line."""
    return read_plan(Path(path).read_text().splitlines())


def _span(lasts: tuple[Span, Span]) -> tuple[int, int]:
    low, high = duration(lasts[0]), duration(lasts[1])
    if low > high:
        raise Misuse(f"a range goes from the shortest to the longest, got {lasts!r}")
    return low, high


def _place(on: str) -> str:
    if on not in ("core", "node"):
        raise Misuse(f"on is 'core' or 'node', got {on!r}")
    return on


# --- the plan of one run ---


def plan_of(faults: Faults, layout: Layout, draws: Draws, profile: str = "faithful") -> Plan:
    """Read what a tester gave as `faults=`. Raises Misuse for anything else, and for what the profile forbids."""
    plan = Plan(layout, draws)
    parts = list(flat(faults))
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


def flat(faults: Faults) -> Iterator[Fault | Noise | Kind | Swarm | Priorities]:
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
