"""What a pass costs is what is ready in it: idle isolates add nothing (counted work, no clock)."""

from __future__ import annotations

import gc
import sys
from types import FrameType
from typing import Any

from regrove import RECEIVE, Address, Child, DynamicSupervisor, Isolate
from tests.core.bench import Bench


class Idle(Isolate):
    def handle(self, ctx: Any, message: Any) -> Any:
        return RECEIVE


class Spawner(Isolate):
    def start(self, ctx: Any) -> Any:
        self.made: list[Any] = []
        return RECEIVE

    def handle(self, ctx: Any, message: Any) -> Any:
        self.made += [ctx.spawn(Child("idle", Idle, restart="temporary"), under="many") for _ in range(message)]
        return RECEIVE


class Unread(list[Any]):
    """Nobody walks over it: what C does with a list would not be seen as lines."""

    def __iter__(self) -> Any:
        raise AssertionError("a pass walks over all cells of its core")


def lines_of_a_pass(idle: int) -> int:
    """Lines of Python that run in one pass with one ready isolate beside `idle` others."""
    bench = Bench(DynamicSupervisor("many", max_children=100_000, name="many"), Child("spawner", Spawner))
    spawner = bench.isolate("root/spawner")
    bench.tell("root/spawner", idle)
    assert all(isinstance(address, Address) for address in spawner.made)
    assert len(spawner.made) == idle
    bench.core.cells = Unread(bench.core.cells)
    bench.core.inject(spawner.made[0], 1)
    lines = 0

    def count(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    gc.collect()
    gc.disable()  # what another test left to be finalised would count as lines of this pass
    sys.settrace(count)
    try:
        bench.step()
    finally:
        sys.settrace(before)
        gc.enable()
    assert spawner.made[0].cell.handled == 1
    return lines


def test_a_pass_with_one_ready_isolate_costs_the_same_beside_ten_and_beside_five_thousand_idle_ones() -> None:
    few = lines_of_a_pass(10)
    assert few > 20
    assert lines_of_a_pass(5_000) == few


def test_an_idle_isolate_holds_no_mailbox_and_nothing_that_is_rare() -> None:
    bench = Bench(Child("a", Idle), Child("b", Idle))
    cell = bench.cell("root/a")
    assert (cell.mailbox, cell.rare) == (None, None)
