"""What isolates of different cores may not share, and what a simulation leaves behind: nothing."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from regrove import RECEIVE, Application, Child, Effect, Isolate, Place, Supervisor
from regrove.node.core.context import Context
from regrove.testing import SharedState, Simulation
from tests.simulation import apps

served = 0
_private = 0


class Leaky(Isolate):
    """Counts where it should not."""

    latest: str = ""

    def __init__(self, way: str) -> None:
        self.way = way

    def handle(self, ctx: Context, message: Any) -> Effect:
        global served, _private  # noqa: PLW0603 - what is tested
        if self.way == "global":
            served += 1
        elif self.way == "class":
            Leaky.latest = ctx.place.node
        elif self.way == "new":
            type(self).invented = 1  # type: ignore[attr-defined]
        elif self.way == "private":
            _private += 1
        return RECEIVE


def leaky(way: str) -> Application:
    def tree(place: Place) -> Supervisor:
        return Supervisor("root", [Child("leaky", Leaky, way, name="leaky")])

    return Application("leaky", tree=tree)


def run(way: str) -> Simulation:
    with Simulation(leaky(way)) as sim:
        sim.send(sim.find("root/leaky").address, apps.Beat())
        sim.settle()
    return sim


@pytest.mark.parametrize(("way", "name"), [("global", ".served"), ("class", ".Leaky.latest"), ("new", ".invented")])
def test_a_write_to_a_module_or_class_fails_the_seed_and_is_undone(way: str, name: str) -> None:
    with pytest.raises(SharedState, match="own copy") as caught:
        run(way)
    assert [changed for changed in caught.value.names if changed.endswith(name)]
    assert served == 0
    assert Leaky.latest == ""
    assert not hasattr(Leaky, "invented")


def test_names_with_an_underscore_are_the_modules_own_business() -> None:
    run("private")
    run("nothing")


def test_nothing_of_a_run_is_left_behind() -> None:
    with Simulation(apps.everything, nodes=2, cores=2) as sim:
        sim.run("200ms")
        isolate = weakref.ref(sim.isolates(apps.Busybody)[0])
    world = weakref.ref(sim.world)
    del sim
    gc.collect()
    assert world() is None
    assert isolate() is None


def test_what_is_planned_for_later_happens_then() -> None:
    seen: list[int] = []
    with Simulation(apps.counting) as sim:
        start = sim.now
        sim.after("2s", lambda: seen.append(sim.now - start))
        sim.run("1s")
        assert seen == []
        sim.run("1s")
        assert seen == [2_000_000_000]
