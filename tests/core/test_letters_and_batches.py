"""The short cuts of plain mail change nothing: a letter to an idle isolate, a burst with one entry in the books."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrove import DONE, RECEIVE, Address, Bounds, Child, Continue, Crash, Isolate, Kill, Sent
from regrove.node.core.isolate import STOP
from regrove.node.core.mailbox import wake
from regrove.node.core.scheduler import run_ready
from regrove.supervisor.reasons import Shutdown
from tests.core.bench import Bench, script

WORDS = ("one", "burst", "self", "kill", "crash", "again", "fail", "done")
STEPS = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.one_of(st.integers(0, 3), st.lists(st.sampled_from(WORDS), max_size=2).map(tuple))
    ),
    max_size=25,
)


class Shared:
    """A list that every life gets as it is."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log


class Handing(Isolate):
    mailbox_capacity = 6

    def __init__(self, name: str, log: Shared) -> None:
        self.name = name
        self.log = log.log

    def handle(self, ctx: Any, message: Any) -> Any:
        self.log.append((self.name, message))
        following = ctx.whereis("abca"["abca".index(self.name) + 1]) or ctx.self
        for word in message if isinstance(message, tuple) else ():
            match word:
                case "one":
                    self.log.append(ctx.send(following, 1))
                case "burst":
                    self.log.append([ctx.send(following, number) for number in range(9)])
                case "self":
                    self.log.append([ctx.send(ctx.self, number) for number in range(8)])
                case "kill":
                    ctx.exit(ctx.self, Kill())
                case "crash":
                    raise ValueError
                case "again":
                    return Continue(3)
                case "fail":
                    return Crash("asked to")
                case "done":
                    return DONE
        return RECEIVE


def history(steps: list[tuple[str, Any]], batch: int, bounds: Bounds, short_cuts: bool) -> list[Any]:
    """What happens when `steps` are sent `batch` at a time to a core with or without the short cuts."""
    log: list[Any] = []
    children = [Child(n, Handing, n, kwargs={"log": Shared(log)}, name=n) for n in "abc"]
    bench = Bench(*children, bounds=bounds, intensity=1_000)
    bench.core.letters = short_cuts
    for first in range(0, len(steps), batch):
        for name, message in steps[first : first + batch]:
            holder = bench.core.registry.holder(name)
            if holder is not None:
                log.append(bench.core.inject(holder, message))
        bench.step()
        core = bench.core
        log.append((core.pool_messages, core.pool_bytes, core.counters.snapshot()))
        assert core.pool_messages == sum(cell.queued for cell in core.cells if cell is not None)
    bench.settle()
    return [*log, bench.core.pool_messages, bench.core.pool_bytes, bench.core.counters.snapshot()]


@settings(max_examples=200, deadline=None)
@given(STEPS, st.integers(1, 9), st.integers(1, 40), st.integers(1, 12))
def test_a_core_with_short_cuts_does_what_one_without_does(
    steps: list[tuple[str, Any]], batch: int, pool: int, turn: int
) -> None:
    bounds = Bounds(pool_messages=pool, pool_bytes=64 * pool + 200, turn_budget=turn)
    assert history(steps, batch, bounds, True) == history(steps, batch, bounds, False)


@pytest.mark.parametrize("going_on", [True, False])
def test_a_letter_is_not_lost_when_stop_comes_before_it(going_on: bool) -> None:
    log: list[Any] = []
    steps: dict[str, Any] = {"stop": lambda s, c, reason: RECEIVE} if going_on else {}
    bench = Bench(Child("a", script(log, **steps)), Child("b", script(go=lambda s, c, m: c.send(s.kept, 7) and None)))
    bench.isolate("root/b").kept = bench.address("root/a")
    cell = bench.cell("root/a")
    bench.core.inject(bench.address("root/b"), "go")
    core = bench.core
    run_ready(core, 1)  # a pass that ends before the letter is read
    assert cell.charge
    assert cell.queued == 1
    cell.stop_reason = Shutdown()
    cell.flags |= STOP  # as its supervisor asks
    wake(core, cell)
    bench.settle()
    assert (7 in log) is going_on
    assert core.pool_messages == core.pool_bytes == 0
    assert core.counters.abandoned == (0 if going_on else 1)


@pytest.mark.parametrize("short_cuts", [True, False])
@pytest.mark.parametrize("before", [0, 1, 3])
def test_who_killed_itself_handles_nothing_of_what_it_sends_itself_after(short_cuts: bool, before: int) -> None:
    log: list[Any] = []

    def kill(self: Any, ctx: Any, message: Any) -> None:
        ctx.exit(ctx.self, Kill())
        ctx.send(ctx.self, "after")

    bench = Bench(Child("a", script(log, kill=kill), restart="temporary"))
    bench.core.letters = short_cuts
    address = bench.address("root/a")
    for number in range(before):
        bench.core.inject(address, number)
    bench.tell("root/a", "kill")
    assert log == list(range(before))
    counters = bench.core.counters
    assert (counters.sent, counters.handled, counters.abandoned) == (before + 2, before + 1, 1)
    assert bench.core.pool_messages == bench.core.pool_bytes == 0


def test_an_address_that_travelled_does_not_keep_the_cell_of_an_ended_isolate() -> None:
    log: list[Any] = []
    bench = Bench(Child("a", script(done=lambda s, c, m: DONE), restart="temporary"))
    own = bench.address("root/a")
    travelled = Address(own.home, own.slot, own.generation)
    log.append(bench.core.inject(travelled, 1))
    assert travelled.cell is own.cell
    bench.tell("root/a", "done")
    log.append(bench.core.inject(travelled, 2))
    assert log == [Sent.OK, Sent.STALE]
    assert travelled.cell is None
