"""The plan: a short explicit list of coarse faults (what, where, when, how long), and the noise beside it.

It is data: printed one fault a line, stored as a text, read back, and edited by the shrinker. Places are written `n0`
(a node), `n0/1` (a core), `n0/1:root/worker` (an isolate), `n0>n1` (one way), `n0<>n1` (both ways), `n0<>*` (all
others), `n0/0>n1/0#17` (one frame of one link). Every kind counts what it armed, what fired and what that touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from regrove.node.core.errors import Misuse
from regrove.node.simulation.clock import SECOND, SLOWEST, duration
from regrove.node.simulation.seeds import NEVER, SLICE_BITS, Draws, Ratio, slice_of

if TYPE_CHECKING:
    from regrove.node.simulation.faults import Kind
    from regrove.node.simulation.priorities import Priorities

CUT: Final = "cut"
SWIZZLE: Final = "swizzle"
LOSS: Final = "loss"
RESET: Final = "reset"
DELAY: Final = "delay"
LATE: Final = "late"
CLOG: Final = "clog"
IN_FLIGHT: Final = "in-flight"
FRAME_LIMIT: Final = "frame-limit"
PAUSE: Final = "pause"
SLOW: Final = "slow"
CRASH_CORE: Final = "crash-core"
CRASH_NODE: Final = "crash-node"
CRASH_MACHINE: Final = "crash-machine"
CRASH_MANAGER: Final = "crash-manager"
RESTART: Final = "restart"
MEMORY: Final = "memory"
DRIFT: Final = "drift"
CLOCK_STEP: Final = "clock-step"
CRASH_ISOLATE: Final = "crash-isolate"
START_FAILS: Final = "start-fails"
STREAM_RESET: Final = "stream-reset"
REFUSE: Final = "refuse"
SLOW_PEER: Final = "slow-peer"
OFFLOAD_SLOW: Final = "offload-slow"
OFFLOAD_FAILS: Final = "offload-fails"
SYNC_FAILS: Final = "sync-fails"
DISK_FULL: Final = "disk-full"
DISK_SLOW: Final = "disk-slow"
DUPLICATE: Final = "duplicate"
REORDER: Final = "reorder"
SPIKE: Final = "spike"
BUGGIFY: Final = "buggify"

MANY: Final = 1 << 62
YEARS: Final = 50 * 365 * 86_400 * SECOND
STRENGTHS: Final = {DRIFT: (SLOWEST, MANY), CLOCK_STEP: (-YEARS, YEARS)}  # those that go below 0

PROFILES: Final = ("faithful", "hostile")


class Shape(NamedTuple):
    """How an entry of a kind is written: its place, whether it lasts, and what its strength is ("": it has none)."""

    place: str
    lasts: bool = False
    strength: str = ""
    hostile: bool = False  # refused in the faithful profile
    noise: bool = False  # also, or only, a part of the noise


SHAPES: Final[dict[str, Shape]] = {
    CUT: Shape("link", lasts=True),
    SWIZZLE: Shape("link", lasts=True),
    LOSS: Shape("link", noise=True),
    RESET: Shape("link"),
    DELAY: Shape("link", lasts=True, strength="ns"),
    LATE: Shape("core", lasts=True, strength="ns"),
    CLOG: Shape("link", lasts=True, strength="bytes a second"),
    IN_FLIGHT: Shape("link", lasts=True, strength="frames"),
    FRAME_LIMIT: Shape("link", lasts=True, strength="bytes"),
    PAUSE: Shape("place", lasts=True),
    SLOW: Shape("core", lasts=True, strength="times"),
    CRASH_CORE: Shape("core"),
    CRASH_NODE: Shape("node", lasts=True),
    CRASH_MACHINE: Shape("node", lasts=True),
    CRASH_MANAGER: Shape("node", lasts=True),
    RESTART: Shape("node", lasts=True),
    MEMORY: Shape("core"),
    DRIFT: Shape("place", lasts=True, strength="ppm"),
    CLOCK_STEP: Shape("place", strength="ns"),
    CRASH_ISOLATE: Shape("isolate"),
    START_FAILS: Shape("core", lasts=True),
    STREAM_RESET: Shape("node"),
    REFUSE: Shape("node", lasts=True),
    SLOW_PEER: Shape("node", lasts=True, strength="ns"),
    OFFLOAD_SLOW: Shape("core", lasts=True, strength="times"),
    OFFLOAD_FAILS: Shape("core", lasts=True),
    SYNC_FAILS: Shape("node", lasts=True),
    DISK_FULL: Shape("node", lasts=True),
    DISK_SLOW: Shape("node", lasts=True, strength="times"),
    DUPLICATE: Shape("frame", hostile=True, noise=True),
    REORDER: Shape("frame", hostile=True, noise=True),
    SPIKE: Shape("frame", strength="ns", noise=True),
    BUGGIFY: Shape("point", noise=True),
}
KINDS: Final = tuple(SHAPES)
FRAME_KINDS: Final = (LOSS, DUPLICATE, REORDER, SPIKE)  # the noise of frames, in the order in which it is judged


def exactly(ns: int) -> str:
    """Write a time so that it is read back to the ns: six digits, or nine where they are needed."""
    whole, rest = divmod(abs(ns), SECOND)
    digits = f"{rest // 1000:06d}" if rest % 1000 == 0 else f"{rest:09d}"
    return f"{'-' if ns < 0 else ''}{whole}.{digits}s"


@dataclass(frozen=True, slots=True)
class Fault:
    """One entry of a plan: `what` happens `where`, from `at` for `lasts` (ns; 0: an instant), `strength` by kind.

    Raises Misuse for a kind there is not, and for times below 0.
    """

    what: str
    where: str
    at: int
    lasts: int = 0
    strength: int = 0

    def __post_init__(self) -> None:
        if self.what not in SHAPES:
            raise Misuse(f"Fault(what={self.what!r}): the kinds are {', '.join(KINDS)}")
        if not isinstance(self.where, str):
            raise Misuse(f"Fault({self.what}, where={self.where!r}): a place is a text such as 'n0', 'n0/1' or 'n0>n1'")
        if type(self.at) is not int or type(self.lasts) is not int or self.at < 0 or self.lasts < 0:
            raise Misuse(
                f"Fault({self.what}, at={self.at!r}, lasts={self.lasts!r}): both are whole ns >= 0; faults.once takes "
                "times such as '2s'"
            )
        least, most = STRENGTHS.get(self.what, (0, MANY))
        if type(self.strength) is not int or not least <= self.strength <= most:
            unit = SHAPES[self.what].strength or "it has none"
            raise Misuse(
                f"Fault({self.what}, strength={self.strength!r}): strength is a whole number from {least} to {most} "
                f"({unit})"
            )

    def __str__(self) -> str:
        length = f" for {exactly(self.lasts)}" if self.lasts else ""
        strength = f" x{self.strength}" if self.strength else ""
        return f"{exactly(self.at)} {self.what} {self.where}{length}{strength}"

    @classmethod
    def read(cls, line: str) -> Fault:
        """Read what `str` wrote: `2.5s cut n0>n1 for 500ms x3`. Raises Misuse with the line."""
        words = line.split()
        problem = Misuse(
            f"a fault is written like '2.5s cut n0>n1 for 500ms' or '3s slow n0/1 for 1s x20', got {line!r}"
        )
        if len(words) < 3 or len(words) > 6:
            raise problem
        at, what, where, *rest = words
        lasts = strength = 0
        if rest[:1] == ["for"] and len(rest) >= 2:
            lasts, rest = duration(rest[1]), rest[2:]
        if rest and rest[0][:1] == "x" and rest[0][1:].lstrip("-").isdigit():
            strength, rest = int(rest[0][1:]), rest[1:]
        if rest:
            raise problem
        return cls(what, where, duration(at), lasts, strength)


@dataclass(frozen=True, slots=True)
class Noise:
    """What strikes single frames, or buggify points, by one keyed draw each: `ratio` of them, `strength` by kind."""

    what: str
    ratio: Ratio
    strength: int = 0

    def __post_init__(self) -> None:
        if self.what not in SHAPES or not SHAPES[self.what].noise:
            known = ", ".join(what for what, shape in SHAPES.items() if shape.noise)
            raise Misuse(f"Noise(what={self.what!r}): the kinds of noise are {known}")
        if not isinstance(self.ratio, Ratio):
            raise Misuse(f"Noise({self.what}, ratio={self.ratio!r}): write Ratio(1, 2000), or the kind: faults.loss()")
        if self.ratio.denominator < 1 or not 0 <= self.ratio.numerator <= self.ratio.denominator:
            raise Misuse(f"Noise(ratio={self.ratio}): a ratio is from 0 to 1, as (1, 2000)")

    def __str__(self) -> str:
        strength = f" x{self.strength}" if self.strength else ""
        return f"noise {self.what} {self.ratio.numerator}/{self.ratio.denominator}{strength}"

    @classmethod
    def read(cls, line: str) -> Noise:
        """Read what `str` wrote: `noise loss 1/2000`. Raises Misuse with the line."""
        words = line.split()
        top, slash, bottom = words[2].partition("/") if len(words) in (3, 4) else ("", "", "")
        strength = words[3][1:] if len(words) == 4 else "0"
        if words[0] != "noise" or not slash or not (top.isdigit() and bottom.isdigit() and strength.isdigit()):
            raise Misuse(f"noise is written like 'noise loss 1/2000' or 'noise spike 1/500 x2000000', got {line!r}")
        return cls(words[1], Ratio(int(top), int(bottom)), int(strength))


def complete(fault: Fault) -> None:
    """Refuse an entry by hand with a length or a strength that its kind has not, or without one that it needs."""
    shape = SHAPES[fault.what]
    if fault.lasts and not shape.lasts:
        raise Misuse(f"{fault.what} happens at an instant: take lasts= away, or choose a kind that lasts ({fault})")
    if fault.strength and not shape.strength:
        raise Misuse(f"{fault.what} has no strength: take strength= away ({fault})")
    if shape.strength and not fault.strength and "#" not in fault.where:
        raise Misuse(f"{fault.what} needs a strength ({shape.strength}): strength=..., or x... in a line ({fault})")


def read_plan(lines: Iterable[str]) -> tuple[Fault | Noise, ...]:
    """Read a plan, one fault or noise a line; `#` at the beginning of a line, and empty lines, are skipped.

    Raises Misuse naming the line.
    """
    if isinstance(lines, str):
        raise Misuse(f"read_plan takes the lines of a plan: text.splitlines(), or faults.read(path); got {lines!r:.80}")
    found: list[Fault | Noise] = []
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        try:
            found.append(Noise.read(line) if line.startswith("noise ") else Fault.read(line))
        except Misuse as problem:
            raise Misuse(f"line {number} of the plan, {line!r}: {problem}") from None
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Layout:
    """What there is to break: the number of nodes, and of cores on each."""

    nodes: int
    cores: int

    def node(self, draw: int) -> str:
        """Draw a node."""
        return f"n{slice_of(draw, 0) * self.nodes >> SLICE_BITS}"

    def core(self, draw: int) -> str:
        """Draw a core."""
        return f"{self.node(draw)}/{slice_of(draw, 1) * self.cores >> SLICE_BITS}"

    def pair(self, draw: int, arrow: str) -> str | None:
        """Draw two different nodes, or two different cores of the only node; None when there are no two."""
        count, form = (self.nodes, "n{}") if self.nodes > 1 else (self.cores, "n0/{}")
        if count < 2:
            return None
        first = slice_of(draw, 0) * count >> SLICE_BITS
        second = (first + 1 + (slice_of(draw, 1) * (count - 1) >> SLICE_BITS)) % count
        return f"{form.format(first)}{arrow}{form.format(second)}"


@dataclass(slots=True)
class Counts:
    """What one kind did: planned, took effect, and how many frames, writes, isolates ... that touched."""

    armed: int = 0
    fired: int = 0
    affected: int = 0


STRUCK_KEPT: Final = 2_000


@dataclass(slots=True)
class Plan:
    """The faults of one run: those given by hand, and those its kinds draw second by second until the calm."""

    layout: Layout
    draws: Draws
    kinds: tuple[Kind | Priorities, ...] = ()
    entries: list[Fault] = field(default_factory=list)
    noise: dict[str, Noise] = field(default_factory=dict)
    struck: list[Fault] = field(default_factory=list)  # the first frames that the noise struck, each as an entry
    counts: dict[str, Counts] = field(default_factory=dict)
    frames: dict[str, Fault] = field(default_factory=dict)  # single frames that the plan strikes, by their place
    calm: bool = False
    rows: list[tuple[Noise, int, int, int]] = field(default_factory=list)  # the noise of frames, ready to be judged

    def arm(self, fault: Fault) -> None:
        """Take one entry."""
        self.entries.append(fault)
        self.count(fault.what).armed += 1
        if "#" in fault.where:
            self.frames[fault.where] = fault

    def enable(self, kind: Kind | Priorities) -> None:
        """Let a kind draw from the seed."""
        self.kinds += (kind,)
        self.count(kind.what)
        if kind.noise.numerator:
            self.hear(Noise(kind.what, kind.noise, kind.strength[1] if kind.what == SPIKE else 0))

    def hear(self, noise: Noise) -> None:
        """Add noise of one kind; of two the stronger stands."""
        self.count(noise.what).armed += 1
        other = self.noise.get(noise.what)
        if other is not None and _strength(other) >= _strength(noise):
            return
        self.noise[noise.what] = noise
        self.rows = [row for row in self.rows if row[0].what != noise.what]
        if noise.what in FRAME_KINDS and noise.ratio.numerator:
            top, bottom = noise.ratio
            self.rows.append((noise, FRAME_KINDS.index(noise.what), top << SLICE_BITS, bottom))
            self.rows.sort(key=lambda row: row[1])

    def second(self, second: int, now: int = 0, opening: bool = False) -> list[Fault]:
        """Draw the faults of one virtual second, in order of time; from `now` on when it is the first."""
        if self.calm:
            return []
        each = ((kind.opening if opening else kind.draw)(second, self.layout, self.draws) for kind in self.kinds)
        drawn = [fault for faults in each for drew in faults if (fault := _from(drew, now)) is not None]
        drawn.sort(key=lambda fault: (fault.at, fault.what))
        for fault in drawn:
            self.arm(fault)
        return drawn

    def count(self, what: str) -> Counts:
        """Return the counts of a kind."""
        return self.counts.setdefault(what, Counts())

    def resolved(self, fault: Fault, where: str) -> None:
        """Write down where an entry struck that left the choice open, so that the plan says it from now on."""
        if fault in self.entries:  # one by `inject` is in no plan
            self.entries[self.entries.index(fault)] = replace(fault, where=where)

    def strike(self, what: str, where: str, at: int, strength: int = 0) -> Counts:
        """Note that the noise struck one frame; return the counts of its kind."""
        counts = self.count(what)
        counts.fired += 1
        if len(self.struck) < STRUCK_KEPT:
            self.struck.append(Fault(what, where, at, 0, strength))
        return counts

    def ratio(self, what: str) -> Ratio:
        """How many of all frames, or points, noise of that kind strikes now."""
        found = self.noise.get(what)
        return NEVER if found is None or self.calm else found.ratio

    def still(self) -> None:
        """Begin the calm: draw no more, lose no more."""
        self.calm = True
        self.frames.clear()
        self.rows.clear()

    def go_on(self, faults: Sequence[Fault], now: int) -> None:
        """Take what another plan has to come from `now` on, instead of what this one had."""
        for fault in self.entries:
            self.count(fault.what).armed -= 1
        met = [fault for fault in self.entries if fault.at <= now and "#" not in fault.where]
        self.entries.clear()
        self.frames.clear()
        for fault in (*met, *(fault for fault in faults if fault.at > now or "#" in fault.where)):
            self.arm(fault)
        if self.calm:
            self.still()

    def explicit(self, until: int) -> tuple[Fault | Noise, ...]:
        """Give all that this run had met at `until`, as a plan by hand: the same seed runs the same with it."""
        return (*self.noise.values(), *(fault for fault in self.entries if fault.at <= until))


def _strength(noise: Noise) -> tuple[int, int]:
    top, bottom = noise.ratio
    return (top << 64) // bottom, noise.strength


def _from(fault: Fault, now: int) -> Fault | None:
    """What is left of a fault from `now` on: one that would have struck before never does, but lateness stands."""
    if fault.at >= now:
        return fault
    left = fault.at + fault.lasts - now
    return replace(fault, at=now, lasts=left) if fault.what == LATE and left > 0 else None


def refuse_hostile(faults: Sequence[object], profile: str) -> None:
    """Raise Misuse for what the faithful profile forbids, by name."""
    for fault in faults:
        what = getattr(fault, "what", "")
        if profile == "faithful" and what in SHAPES and SHAPES[what].hostile:
            raise Misuse(
                f"{what} is nothing that ZeroMQ over tcp can do to a link, so the profile 'faithful' refuses it: "
                "take it away, or ask for it with profile='hostile'"
            )
