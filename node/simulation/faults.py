"""The plan: a short explicit list of coarse faults (what, where, when, how long), drawn from the seed or by hand.

Places are written `n0` (a node), `n0/1` (a core), `n0>n1` (one way), `n0<>n1` (both ways). A kind draws its faults by
keyed draws of (kind, virtual second), so taking one kind away moves no fault of another. `loss` and `delay` also feed
the noise, one keyed draw a frame. Every kind counts what it armed, what took effect and what that touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from regrove.node.core.errors import Misuse
from regrove.node.simulation.clock import MILLISECOND, SECOND, Span, duration, written
from regrove.node.simulation.seeds import NEVER, Draws, Ratio, between, holds, slice_of

CUT: Final = "cut"
LOSS: Final = "loss"
PAUSE: Final = "pause"
CRASH_CORE: Final = "crash-core"
CRASH_NODE: Final = "crash-node"
SLOW: Final = "slow"
DELAY: Final = "delay"
SYNC_FAILS: Final = "sync-fails"
DISK_FULL: Final = "disk-full"
DISK_SLOW: Final = "disk-slow"
TORN: Final = "torn"
OFTEN: Final = Ratio(1, 5)
OFTEN_MAX: Final = 64
KINDS: Final = (CUT, LOSS, PAUSE, CRASH_CORE, CRASH_NODE, SLOW, DELAY, SYNC_FAILS, DISK_FULL, DISK_SLOW, TORN)
PROFILES: Final = ("faithful", "hostile")


@dataclass(frozen=True, slots=True)
class Fault:
    """One entry of a plan: `what` happens `where`, from `at` for `lasts` (ns; 0: an instant), `strength` by kind.

    Strength: a factor for slow and disk-slow, ns for delay, else 0.
    """

    what: str
    where: str
    at: int
    lasts: int = 0
    strength: int = 0

    def __post_init__(self) -> None:
        if self.what not in KINDS:
            raise Misuse(f"Fault(what={self.what!r}): the kinds are {', '.join(KINDS)}")
        if self.at < 0 or self.lasts < 0:
            raise Misuse(f"Fault(at={self.at}, lasts={self.lasts}): both are ns >= 0")

    def __str__(self) -> str:
        length = f" for {written(self.lasts)}" if self.lasts else ""
        strength = f" x{self.strength}" if self.strength else ""
        return f"{written(self.at)} {self.what} {self.where}{length}{strength}"


@dataclass(frozen=True, slots=True)
class Layout:
    """What there is to break: the number of nodes, and of cores on each."""

    nodes: int
    cores: int

    def node(self, draw: int) -> str:
        """Draw a node."""
        return f"n{slice_of(draw, 0) * self.nodes >> 20}"

    def core(self, draw: int) -> str:
        """Draw a core."""
        return f"{self.node(draw)}/{slice_of(draw, 1) * self.cores >> 20}"

    def pair(self, draw: int, arrow: str) -> str | None:
        """Draw two different nodes, or two different cores of the only node; None when there are no two."""
        count, form = (self.nodes, "n{}") if self.nodes > 1 else (self.cores, "n0/{}")
        if count < 2:
            return None
        first = slice_of(draw, 0) * count >> 20
        second = (first + 1 + (slice_of(draw, 1) * (count - 1) >> 20)) % count
        return f"{form.format(first)}{arrow}{form.format(second)}"


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
        drawn = (self._one(first + number, second, layout, draws) for number in range(min(whole, OFTEN_MAX)))
        return [fault for fault in drawn if fault is not None]

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


Faults: TypeAlias = "Kind | Swarm | Fault | Sequence[Faults] | None"


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
    """Kill a core (its manager replaces it), or with `on="node"` a node that loses power and is back after `lasts`."""
    if _place(on) == "core":
        return Kind(CRASH_CORE, Ratio(*often), (0, 0))
    return Kind(CRASH_NODE, Ratio(*often), _span(lasts), on="node")


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


@dataclass(slots=True)
class Counts:
    """What one kind did: planned, took effect, and how many frames, writes or isolates that touched."""

    armed: int = 0
    fired: int = 0
    affected: int = 0


@dataclass(slots=True)
class Plan:
    """The faults of one run: those by hand, and those its kinds draw second by second until the calm."""

    layout: Layout
    draws: Draws
    kinds: tuple[Kind, ...] = ()
    entries: list[Fault] = field(default_factory=list)
    counts: dict[str, Counts] = field(default_factory=dict)
    calm: bool = False
    loss: Ratio = NEVER  # how many of all frames the noise takes

    @classmethod
    def of(cls, faults: Faults, layout: Layout, draws: Draws) -> Plan:
        """Read what a tester gave as `faults=`; raises Misuse for anything else."""
        plan = cls(layout, draws)
        for item in _flat(faults):
            match item:
                case Fault():
                    plan._arm(item)
                case Swarm():
                    plan.kinds += item.choose(draws)
                case Kind():
                    plan.kinds += (item,)
        for kind in plan.kinds:
            plan.count(kind.what)
            if kind.what == LOSS:
                plan.loss = kind.noise
        return plan

    def second(self, second: int, now: int = 0) -> list[Fault]:
        """Draw the faults of one virtual second from `now` on, in order of time."""
        if self.calm:
            return []
        each = (kind.draw(second, self.layout, self.draws) for kind in self.kinds)
        drawn = [fault for faults in each for fault in faults if fault.at >= now]
        drawn.sort(key=lambda fault: (fault.at, fault.what))
        for fault in drawn:
            self._arm(fault)
        return drawn

    def _arm(self, fault: Fault) -> None:
        self.entries.append(fault)
        self.count(fault.what).armed += 1

    def count(self, what: str) -> Counts:
        """Return the counts of a kind."""
        return self.counts.setdefault(what, Counts())

    def still(self) -> None:
        """Begin the calm: draw no more, lose no more."""
        self.calm = True
        self.loss = NEVER


def _flat(faults: Faults) -> Iterator[Fault | Kind | Swarm]:
    if faults is None:
        return
    if isinstance(faults, Fault | Kind | Swarm):
        yield faults
    elif isinstance(faults, Sequence) and not isinstance(faults, str):
        for item in faults:
            yield from _flat(item)
    else:
        raise Misuse(f"faults= takes kinds such as faults.cut(), faults.swarm(...) or faults.once(...), got {faults!r}")
