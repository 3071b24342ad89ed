"""What a simulated delivery leaves out changes nothing that can be seen: the long ways give the same execution."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.simulation import FAULTS, app
from regrove import message
from regrove.node.core.strict import DECODED, Strict
from regrove.node.simulation.driver import Life
from regrove.testing import Simulation, first_difference
from regrove.testing import faults as f
from tests.simulation import apps

SWARM = f.swarm(
    f.cut(), f.pause(), f.crash(), f.crash(on="isolate"), f.loss(), f.slow(), f.delay(), f.clog(), f.drift()
)


@message(name="short-ways:Plain")
class Plain:
    number: int
    text: str


@message(name="short-ways:Holding")
class Holding:
    items: list[int]


def beats(seed: int) -> Simulation:
    with Simulation(app, nodes=5, seed=seed, faults=FAULTS) as sim:
        sim.run("3s")
    return sim


def talk(seed: int) -> Simulation:
    with Simulation(apps.everything, nodes=2, cores=2, seed=seed, faults=SWARM) as sim:
        sim.run("2s")
    return sim


@pytest.mark.parametrize(("seed", "run"), [(1, beats), (2, beats), (3, talk), (4, talk), (5, talk)])
def test_a_pass_of_one_message_is_the_pass_that_it_stands_for(
    seed: int, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    short: list[int] = []
    way = Life._message_came

    def counted(life: Life, *arguments: Any) -> bool:
        short.append(way(life, *arguments))
        return bool(short[-1])

    monkeypatch.setattr(Life, "_message_came", counted)
    one = run(seed)
    monkeypatch.setattr(Life, "_message_came", lambda *_: False)
    other = run(seed)
    assert sum(short) > 100
    assert first_difference(one.trace, other.trace) is None
    assert one.trace.digest == other.trace.digest
    assert one.counters() == other.counters()
    assert one.world.callbacks == other.world.callbacks


def test_a_message_of_plain_fields_arrives_as_it_was() -> None:
    strict = Strict({})
    value = Plain(7, "seven")
    assert strict.arrived(strict.encoded(value)) is value


def test_a_message_that_holds_what_can_change_arrives_as_a_copy() -> None:
    strict = Strict({})
    value = Holding([1])
    arrived = strict.arrived(strict.encoded(value))
    assert arrived == value
    assert arrived is not value
    assert arrived.items is not value.items


def test_now_and_then_a_plain_message_is_decoded_all_the_same() -> None:
    strict = Strict({})
    values = [Plain(number, "") for number in range(2 * DECODED)]
    arrived = [strict.arrived(strict.encoded(value)) for value in values]
    assert arrived == values
    assert sum(one is not other for one, other in zip(arrived, values, strict=True)) == 2


def test_what_one_core_sent_another_core_of_the_world_need_not_decode() -> None:
    known: dict[Any, Any] = {}
    value = Plain(1, "one")
    assert Strict(known).arrived(Strict(known).encoded(value)) is value
    assert Strict({}).arrived(Strict({}).encoded(value)) == value
