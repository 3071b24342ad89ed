"""What an exhaustive search leaves out shows nothing new: on small drawn programs it ends in every state there is.

The other way to go through the orders knows nothing of what commutes: every frame takes each of some times longer, in
every combination.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Any, Final, TypeAlias

from regrove import RECEIVE, Application, Child, Effect, Isolate, Name, Place, Supervisor, message
from regrove.node.core.context import Context
from regrove.node.simulation.causality import Run, listen
from regrove.node.simulation.clock import MILLISECOND
from regrove.node.simulation.failing import run_once
from regrove.node.simulation.faults import Fault
from regrove.node.simulation.orders import Explored, Explorer
from regrove.testing import Simulation, exhaustive
from regrove.testing import faults as f

CORES: Final = 3
LATER: Final = (0, 4 * MILLISECOND, 9 * MILLISECOND)
FRAMES: Final = 5  # a program that sends more by itself is not gone through
TIMER: Final = 100  # who is heard when it is a timer
HOPS: Final = 2
Ended: TypeAlias = tuple[tuple[int, tuple[int, ...]], ...]  # what each actor heard


@message
class Note:
    who: int
    hops: int


@message
class Go:
    number: int


@dataclass(frozen=True, slots=True)
class Part:
    """An actor: its core, whom it tells according to what it has heard, and when its timers strike, in ms."""

    core: int
    tells: tuple[tuple[int, ...], ...]
    timers: tuple[int, ...]


class Actor(Isolate):
    """Remembers in which order it heard; whom it tells depends on how much, and on who was the last."""

    def __init__(self, own: int, part: Part) -> None:
        self.own = own
        self.part = part
        self.heard: tuple[int, ...] = ()

    def start(self, ctx: Context) -> Effect:
        for number, ms in enumerate(self.part.timers):
            ctx.send_after(0.3 + ms / 1000, Go(number))
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        who, hops = (message.who, message.hops) if isinstance(message, Note) else (TIMER + message.number, HOPS)
        self.heard = (*self.heard, who)
        if hops:
            for other in self.part.tells[(len(self.heard) * 7 + who) % len(self.part.tells)]:
                ctx.send(Name(f"actor{other}"), Note(self.own, hops - 1))
        return RECEIVE


def drawn(seed: int) -> list[Part]:
    random = Random(seed)
    count = random.choice((3, 4, 5))
    cores = [random.randrange(CORES) for _ in range(count)]
    parts = [
        Part(
            core,
            tuple(
                tuple(
                    other for other in random.choices(range(count), k=random.choice((1, 1, 2))) if cores[other] != core
                )
                for _ in range(random.choice((1, 2, 3)))
            ),
            tuple(random.randrange(6) for _ in range(random.choice((0, 0, 1, 1)))),
        )
        for core in cores
    ]
    return parts if any(part.timers for part in parts) else [Part(0, parts[0].tells, (0,)), *parts[1:]]


def application(parts: list[Part]) -> Application:
    def tree(place: Place) -> Supervisor:
        actors = [(own, part) for own, part in enumerate(parts) if part.core == place.core]
        return Supervisor("root", [Child(f"actor{own}", Actor, own, part, name=f"actor{own}") for own, part in actors])

    return Application("drawn", tree=tree)


def world(parts: list[Part]) -> Callable[[f.Faults], Simulation]:
    app = application(parts)
    return lambda faults: Simulation(app, cores=CORES, seed=1, faults=faults)


def ended(sim: Simulation) -> Ended:
    return tuple(sorted((actor.own, actor.heard) for actor in sim.isolates(Actor)))


def frames(parts: list[Part]) -> list[tuple[str, int]]:
    """The frames that a program sends by itself, and when."""
    runs: list[Run] = []

    def test(sim: Simulation) -> None:
        runs.append(listen(sim))
        sim.run("500ms")

    run_once(world(parts), test, None)
    sent = {frame.key: frame.sent for frame in runs[0].inputs.values()}
    return [(each.key, sent[each.key]) for each in runs[0].written]


def by_combinations(parts: list[Part]) -> dict[Ended, None]:
    """The states in which the program ends when each frame takes each of `LATER` longer; none when it sends more."""
    found: dict[Ended, None] = {}
    sent = frames(parts)

    def test(sim: Simulation) -> None:
        sim.run("500ms")
        found[ended(sim)] = None

    for plan in _plans(sent) if len(sent) <= FRAMES else ():
        run_once(world(parts), test, plan)
    return found


def _plans(sent: list[tuple[str, int]]) -> Iterator[list[Fault]]:
    for lateness in product(LATER, repeat=len(sent)):
        yield [Fault(f.SPIKE, key, at, 0, late) for (key, at), late in zip(sent, lateness, strict=True) if late]


def by_search(parts: list[Part], faults: f.Faults = None) -> tuple[Explored, dict[Ended, None]]:
    found: dict[Ended, None] = {}

    def test(sim: Simulation) -> None:
        sim.run("500ms")
        found[ended(sim)] = None

    explorer = Explorer(world(parts), test, exhaustive("60ms", schedules=3_000))
    explorer.explore(faults)
    return explorer.explored, found


def test_a_search_ends_in_every_state_in_which_any_combination_of_latencies_ends(
    campaign: Callable[..., range],
) -> None:
    states = 0
    for seed in campaign("orders against all combinations", short=40, long=1_000):
        parts = drawn(seed)
        combined = by_combinations(parts)
        if len(combined) > 1:
            report, searched = by_search(parts)
            assert report.complete, seed
            assert set(combined) <= set(searched), seed
            states += len(combined)
    assert states >= 25


def test_a_frame_is_put_behind_a_timer_that_came_after_it() -> None:
    """A timer was taken for a consequence of all that its isolate had heard."""
    early, ear = Part(0, ((1,),), (1,)), Part(1, ((),), (4,))
    report, searched = by_search([early, ear])
    assert report.complete
    assert [dict(state)[1] for state in searched] == [(0, TIMER), (TIMER, 0)]


def test_a_frame_that_waits_behind_another_of_its_link_is_exchanged_with_what_follows_it() -> None:
    """It was to take longer by less than it had waited for the one before it, so it came when it had come."""
    report, searched = by_search(drawn(264))
    assert report.complete
    assert len(searched) == 6


def test_a_frame_is_put_behind_what_the_frame_before_it_on_its_link_led_to() -> None:
    """Two frames of one link were never exchanged, nor was what one of them led to."""
    parts = [Part(0, ((2,), (3,)), ()), Part(0, ((1,), (), (1,)), (5,)), Part(2, ((1,),), (0,)), Part(0, ((2,),), (2,))]
    report, searched = by_search(parts)
    assert report.complete
    assert (TIMER, 1, 1, 2, 1, 2) in {dict(state)[1] for state in searched}
