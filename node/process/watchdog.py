"""What is made of a core's page and process, look by look [pure]: who is slow, stalled, starved or stopped.

The manager looks at each page every few milliseconds. A core whose words have not changed while it is in a pass stands
still; the time it *could* have gone on counts toward its stall: not the time it waited for a CPU (starvation), not the
time it was stopped, and nothing of a look that came late (then this manager was held up itself and knows nothing).

    50 ms   Slow       its stack is taken and the line named
    1 s     Stalling   new connections should go elsewhere
    5 s     Stalled    `stall_kill`: it is killed and replaced

A core that goes on is left alone. One that is traced (a debugger) never counts.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from regrove.node.process.budget import SECOND
from regrove.node.process.page import Reading
from regrove.records import dataclass

MILLISECOND: Final = 1_000_000
SLOW_AFTER: Final = 50 * MILLISECOND
STALLING_AFTER: Final = SECOND
STALL_KILL: Final = 5 * SECOND
HALT_KILL: Final = 30 * SECOND  # a stopped process (T) that nobody traces
LATE: Final = 20 * MILLISECOND  # a look later than this says that the looker itself was held up
FACTS_EVERY: Final = SECOND  # how often a core that is not suspected is looked at in /proc
SUSPECT_AFTER: Final = 10 * MILLISECOND
STARVED_SHARE: Final = 0.5  # of a second waited for a CPU: starved; half of that: no longer


@dataclass(frozen=True, slots=True)
class Facts:
    """The main thread of a core, from /proc: its state letter, ns it ran, ns it waited for a CPU, and who traces it."""

    state: str
    ran: int
    waited: int
    traced: bool = False

    @property
    def halted(self) -> bool:
        """Tell whether it is stopped by a signal or a tracer."""
        return self.state in ("T", "t")


@dataclass(frozen=True, slots=True)
class Slow:
    """It has stood still for `held` ns."""

    held: int


@dataclass(frozen=True, slots=True)
class Stalling:
    """It still stands still, for long enough to send new work elsewhere."""

    held: int


@dataclass(frozen=True, slots=True)
class Stalled:
    """It has stood still for `stall_kill`."""

    held: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """It goes on after having been Slow; `held` ns in all."""

    held: int


@dataclass(frozen=True, slots=True)
class Starved:
    """It waited for a CPU for `share` of the last second."""

    share: float


@dataclass(frozen=True, slots=True)
class Fed:
    """It gets its CPU again."""


@dataclass(frozen=True, slots=True)
class Halted:
    """Its process is stopped."""

    traced: bool


@dataclass(frozen=True, slots=True)
class HaltedLong:
    """Its process has been stopped for 30 s and nobody traces it."""

    held: int


@dataclass(frozen=True, slots=True)
class Continued:
    """Its process is no longer stopped."""


Verdict: TypeAlias = Slow | Stalling | Stalled | Resumed | Starved | Fed | Halted | HaltedLong | Continued
Stage: TypeAlias = Literal[0, 1, 2, 3]  # what was said of a stall: nothing, Slow, Stalling, Stalled


@dataclass(slots=True)
class _Stand:
    """One time of standing still, from its first facts on.

    It counts what the core ran, and what it slept in a system call, at most as long as the looks were on time. The
    kernel books running time by ticks and waiting time when the wait is over, so a runnable one counts by the former.
    """

    base: int  # what was counted before the first facts
    first: Facts
    last: Facts = Facts("R", 0, 0)
    window: int = 0
    slept: int = 0

    def __post_init__(self) -> None:
        self.last = self.first

    def go_on(self, facts: Facts, elapsed: int) -> None:
        """Take the facts that come `elapsed` on-time ns after the last ones."""
        if not (facts.halted or self.last.halted):
            self.window += elapsed
            if facts.state != "R":
                busy = facts.ran - self.last.ran + facts.waited - self.last.waited
                self.slept += max(elapsed - busy, 0)
        self.last = facts

    def held(self, facts: Facts) -> int:
        """Ns that count."""
        return self.base + min(self.window, facts.ran - self.first.ran + self.slept)


class CoreWatch:
    """Watches one life of a core: `look` at every sample, and when it says so `judge` with the facts of that moment.

    `stall_kill` in ns; None: never Stalled, never HaltedLong (`--debug`).
    """

    def __init__(self, now: int, stall_kill: int | None = STALL_KILL) -> None:
        self.held = 0  # ns that count toward the stall
        self.halted_for = 0
        self.reading = Reading()
        self.stall_kill = stall_kill
        self._looked_at = now
        self._stage: Stage = 0
        self._still = False  # unchanged in a pass at the last look
        self._stand: _Stand | None = None
        self._unjudged = 0  # ns of this stand since the last facts, as far as the looks were on time
        self._second: tuple[int, Facts] | None = None  # when the slow look at /proc was taken last
        self._starved = False
        self._halted = False

    @property
    def suspected(self) -> bool:
        """Tell whether the next facts must say who traces it."""
        return self._halted or self.held >= STALLING_AFTER // 2

    @property
    def moving(self) -> bool:
        """Tell whether it was at work at the last look."""
        return not self.reading.resting

    def look(self, now: int, late: int, reading: Reading) -> tuple[list[Verdict], bool]:
        """Take a sample that was due `late` ns ago; returns what is certain, and whether `judge` needs facts."""
        elapsed = now - self._looked_at
        self._looked_at = now
        on_time = late <= LATE
        out: list[Verdict] = []
        if reading != self.reading or reading.resting:
            self._moved(now, elapsed if on_time else 0, reading, out)
        else:
            self._still = True
            if on_time:
                self.held += elapsed
                self._unjudged += elapsed
        if self._halted and on_time:
            self.halted_for += elapsed
        overdue = self._second is None or now - self._second[0] >= FACTS_EVERY
        return out, overdue or self._halted or (self._still and self.held >= SUSPECT_AFTER)

    def judge(self, now: int, facts: Facts) -> list[Verdict]:
        """What follows from the facts of this look."""
        out: list[Verdict] = []
        self._judge_halt(facts, out)
        self._judge_hunger(now, facts, out)
        if self._still:
            self._judge_stall(facts, out)
        return out

    def _moved(self, now: int, elapsed: int, reading: Reading, out: list[Verdict]) -> None:
        if self._stage > 0:
            out.append(Resumed(self.held))
        before, self.reading = self.reading, reading
        self._stage = 0
        self._still = False
        self._stand = None
        self._unjudged = 0
        # A pass that began since the last look may stand in its first callbacks since then, as far as can be seen.
        first = not reading.resting and reading.pass_at != before.pass_at and reading[1:] == before[1:]
        self.held = min(elapsed, max(now - reading.pass_at, 0)) if first else 0

    def _judge_stall(self, facts: Facts, out: list[Verdict]) -> None:
        """Count what the core could have used, then see how far the stall is."""
        if self._stand is None:
            self._stand = _Stand(self.held, facts)
        else:
            self._stand.go_on(facts, self._unjudged)
            self.held = self._stand.held(facts)
        self._unjudged = 0
        if facts.halted or facts.traced:
            return
        if self._stage < 1 and self.held >= SLOW_AFTER:
            self._stage = 1
            out.append(Slow(self.held))
        if self._stage < 2 and self.held >= STALLING_AFTER:
            self._stage = 2
            out.append(Stalling(self.held))
        if self._stage < 3 and self.stall_kill is not None and self.held >= self.stall_kill:
            self._stage = 3
            out.append(Stalled(self.held))

    def _judge_halt(self, facts: Facts, out: list[Verdict]) -> None:
        if not facts.halted:
            if self._halted:
                self._halted = False
                out.append(Continued())
            return
        if not self._halted:
            self._halted = True
            self.halted_for = 0
            out.append(Halted(facts.traced))
        elif facts.traced or self.stall_kill is None:
            self.halted_for = 0
        elif self.halted_for >= HALT_KILL:
            self.halted_for = 0
            out.append(HaltedLong(HALT_KILL))

    def _judge_hunger(self, now: int, facts: Facts, out: list[Verdict]) -> None:
        """Once a second: how much of it was spent waiting for a CPU."""
        last = self._second
        if last is not None and now - last[0] < FACTS_EVERY:
            return
        self._second = (now, facts)
        if last is None:
            return
        share = max(facts.waited - last[1].waited, 0) / (now - last[0])
        if not self._starved and share >= STARVED_SHARE:
            self._starved = True
            out.append(Starved(min(share, 1.0)))
        elif self._starved and share < STARVED_SHARE / 2:
            self._starved = False
            out.append(Fed())
