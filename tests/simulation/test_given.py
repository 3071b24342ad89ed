"""What a tester gives to be called is refused at once when it could not be, whatever kind of callable it is."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from regrove import Misuse
from regrove.testing import PropertyViolated, Simulation
from tests.simulation import apps


class Shapes:
    def of_none(self) -> None: ...

    def of_one(self, world: Any) -> None: ...

    def __call__(self) -> None: ...

    @staticmethod
    def static() -> None: ...

    @classmethod
    def of_class(cls) -> None: ...


def nothing() -> None: ...


def one(world: Any) -> None: ...


def perhaps(world: Any = None) -> None: ...


def some(*worlds: Any) -> None: ...


def named(*, world: Any) -> None: ...


def named_perhaps(*, world: Any = None) -> None: ...


def all_of_it(first: Any, second: Any = 2, *rest: Any, last: Any = 1) -> None: ...


SHAPES: list[Callable[..., Any]] = [
    nothing, one, perhaps, some, named, named_perhaps, all_of_it,
    Shapes().of_none, Shapes().of_one, Shapes(), Shapes.static, Shapes.of_class, Shapes, print,
    partial(one, 1), partial(nothing, 1), partial(one, world=1), partial(Shapes().of_one, 1),  # type: ignore[call-arg]
    partial(all_of_it, 1, 2, 3), partial(partial(all_of_it, 1), 2),
]  # fmt: skip


def taken(shape: Callable[..., Any], *arguments: object) -> bool:
    try:
        inspect.signature(shape).bind(*arguments)
    except (TypeError, ValueError):
        return False
    return True


def test_what_could_not_be_called_is_refused_by_each_verb() -> None:
    with Simulation(apps.counting, seed=1) as sim:
        for shape in [shape for shape in SHAPES if not taken(shape)]:
            for verb in (lambda given: sim.after("1h", given), sim.until):
                with pytest.raises(Misuse, match="is a function that is called with nothing"):
                    verb(shape)
        for shape in [shape for shape in SHAPES if not taken(shape, sim)]:
            with pytest.raises(Misuse, match="is a function that is called with the simulation"):
                sim.always("anything", shape)


def test_what_can_be_called_is_taken_by_each_verb() -> None:
    called = []
    with Simulation(apps.counting, seed=1) as sim:
        for shape in [shape for shape in SHAPES if taken(shape) and shape is not print]:
            sim.after("1ms", shape)
            called.append(shape)
        for shape in [shape for shape in SHAPES if taken(shape, sim) and shape is not print]:
            with pytest.raises(PropertyViolated):  # it was called, and what it gave is not so
                sim.always("anything", shape)
            called.append(shape)
        sim.run("1s")
    assert len(called) > 15
