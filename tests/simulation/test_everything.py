"""Everything at once under every kind of fault: afterwards all places answer, and nothing is left waiting."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from regrove import Name
from regrove.testing import Simulation
from regrove.testing import faults as f
from tests.simulation import apps

PARTS = 4
FAULTS = f.swarm(
    f.cut(often=(1, 1)),
    f.pause(often=(1, 1)),
    f.pause(on="node", often=(1, 3)),
    f.crash(often=(1, 1)),
    f.crash(on="node", often=(1, 4)),
    f.loss(noise=(1, 300), often=(1, 1)),
    f.slow(often=(1, 1)),
    f.delay(often=(1, 1)),
    f.disk(often=(1, 1)),
)
WAITS_FOR_OTHERS = ("Call", "CallAll", "Push")


def books_balance(sim: Simulation) -> bool:
    books = sim.counters()
    return sum(books[name] for name in ("handled", "abandoned", "refused", "lost", "queued")) <= books["sent"]


def all_answer(sim: Simulation) -> bool:
    names = [Name("busy0", node.name, core.index) for node in sim.nodes for core in node.cores]
    return all(isinstance(sim.client.call(name, apps.Ask(3)), apps.Answered) for name in names)


@pytest.mark.parametrize("part", range(PARTS))
def test_after_the_storm_all_places_answer_and_no_wait_is_left_over(part: int, campaign: Callable[..., range]) -> None:
    for number in campaign("a bit of everything", short=3, long=1_000 // PARTS):
        seed = number * PARTS + part
        profile = "hostile" if seed % 3 == 2 else "faithful"
        settings = {"quiet_after_ms": "1500"}
        with Simulation(
            apps.everything, nodes=2, cores=2, seed=seed, faults=FAULTS, profile=profile, settings=settings,
            core_restarts="100/30s",
        ) as sim:  # fmt: skip
            sim.run("1500ms")
            sim.calm(keep="all")
            sim.run("3s")
            assert books_balance(sim)
            sim.eventually("all places answer", all_answer)
            assert waiting(sim) == []


def waiting(sim: Simulation) -> list[str]:
    """Waits for other isolates that nothing will end: all of them have deadlines of milliseconds."""
    found = []
    for node in sim.nodes:
        for core in node.cores:
            assert core.life is not None
            debts = core.life.core.calls.debts.values()
            found += [f"{core.short} {debt.wait!r}" for debt in debts if type(debt.wait).__name__ in WAITS_FOR_OTHERS]
    return found
