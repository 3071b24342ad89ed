"""Every OK is accounted for, over random histories of everything that isolates can say to each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from regrove.testing import Simulation
from regrove.testing import faults as f
from tests.simulation import apps

PARTS = 4  # items of one campaign, for xdist
BROKEN_LINKS = (
    f.cut(often=(4, 1), lasts=("5ms", "150ms")),
    f.loss(noise=(1, 100), often=(4, 1)),
    f.pause(often=(4, 1), lasts=("5ms", "80ms")),
    f.slow(often=(2, 1)),
    f.delay(often=(4, 1), extra=("100us", "20ms")),
)
DEATHS = (*BROKEN_LINKS, f.crash(often=(4, 1)), f.crash(on="node", often=(1, 1)))
QUIET = {"quiet_after_ms": "600"}


def known(books: dict[str, int]) -> int:
    return sum(books[name] for name in ("handled", "abandoned", "refused", "lost", "queued"))


def history(seed: int, faults: f.Faults) -> tuple[Simulation, list[int]]:
    """Run one; also tell how much was unknown, looked at each 10 ms."""
    unknown: list[int] = []
    with Simulation(apps.busy, nodes=2, cores=2, seed=seed, faults=faults, settings=QUIET) as sim:
        sim.always("nothing is handled twice", lambda world: watch(world, unknown))
        sim.run("400ms")
        sim.calm("all")
        sim.settle()
        sim.run("4s")  # dials that failed are tried again for so long
        sim.settle()
    return sim, unknown


def watch(sim: Simulation, unknown: list[int]) -> bool:
    books = sim.counters()
    unknown.append(books["unknown"])
    return known(books) <= books["sent"]


@pytest.mark.parametrize("part", range(PARTS))
def test_without_deaths_every_message_is_accounted_for_exactly(part: int, campaign: Callable[..., range]) -> None:
    seen_unknown = 0
    for seed in campaign("accounting of messages", short=10, long=10_000 // PARTS):
        seed = seed * PARTS + part
        sim, unknown = history(seed, BROKEN_LINKS)
        books = sim.counters()
        assert books["unknown"] == 0, f"seed {seed}: the next HELLO resolves what was unknown: {books}"
        assert known(books) == books["sent"], f"seed {seed}: {books}"
        named = sim.trace.undelivered(reason="UNKNOWN")
        assert named or not max(unknown), f"seed {seed}: {max(unknown)} were unknown and none was named"
        seen_unknown += bool(named)
    assert seen_unknown, "no history in which anything was unknown"


@pytest.mark.parametrize("part", range(PARTS))
def test_with_deaths_nothing_is_handled_twice_and_nothing_is_invented(
    part: int, campaign: Callable[..., range]
) -> None:
    deaths = 0
    for seed in campaign("accounting over deaths", short=5, long=3_000 // PARTS):
        seed = seed * PARTS + part
        sim, _ = history(seed, DEATHS)
        books = sim.counters()
        assert known(books) <= books["sent"], f"seed {seed}: {books}"
        deaths += sum(len(core.ended) for node in sim.nodes for core in node.cores)
    assert deaths
