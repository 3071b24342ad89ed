"""A child started again alone and at once takes a short way; whatever happens beside it, nothing else differs."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrove import DONE, IGNORE, RECEIVE, Child, DynamicSupervisor, Isolate, Kill, Shutdown, Supervisor
from regrove.node.core import supervisor_node
from regrove.node.core.address import Home
from regrove.node.core.bounds import Bounds
from regrove.node.core.core import Core, CoreSettings
from regrove.node.core.ports import Inputs, StopCore
from regrove.node.core.tree import rows
from regrove.supervisor.machine import Machine
from regrove.supervisor.reasons import Reason
from regrove.supervisor.requests import RestartChild, StartChild, TerminateChild
from regrove.supervisor.slots import Slot
from tests.core.bench import Bench, Events, Log, no_links

WORDS = ("crash", "other crash", "bad start", "ignore", "early", "twice", "done", "shutdown", "kill", "terminate")
MORE = ("restart", "spawn", "add", "kill above", "last words")
STEPS = st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from(WORDS + MORE)), min_size=1, max_size=12)


class TheLongWay(Machine):
    """Decides on every event with a list of actions."""

    __slots__ = ()
    restarting_one = False

    def restart_at_once(self, key: int, reason: Reason, now_ns: int) -> Slot | None:
        return None

    def restarted(self, address: object) -> bool:
        return False


class Doing(Isolate):
    """Does what it is told; `plan` is what its next lives begin with."""

    def __init__(self, name: str, plan: dict[str, list[str]]) -> None:
        self.name = name
        self.plan = plan

    def start(self, ctx: Any) -> Any:
        match self.plan[self.name].pop() if self.plan[self.name] else "":
            case "bad start":
                raise LookupError("no start")
            case "ignore":
                return IGNORE
            case "early" | "twice":
                ctx.send(ctx.self, "crash")
                ctx.send("a", "crash")
        return RECEIVE

    def handle(self, ctx: Any, message: Any) -> Any:
        match message:
            case "crash":
                raise ValueError("crash")
            case "other crash":
                raise KeyError("crash")
            case "bad start" | "ignore" | "early" | "twice":
                self.plan[self.name] += [message] * (2 if message == "twice" else 1)
                raise ValueError(message)
            case "done":
                return DONE
            case "kill":
                ctx.exit("b" if self.name == "a" else "a", Kill())
            case "kill above":
                ctx.exit("apart", Kill())
            case "last words":
                ctx.request("apart", RestartChild("b"))
                raise ValueError("last words")
            case "terminate":
                ctx.request("apart", TerminateChild("b"))
            case "restart":
                ctx.request("apart", RestartChild("b"))
            case "shutdown":
                ctx.exit(ctx.self, Shutdown())
            case "spawn" | "add":
                child = Child("s", partial(Doing, "s", self.plan), restart="transient")
                if message == "spawn":
                    ctx.spawn(child, under="many")
                else:
                    ctx.request("many", StartChild(child))
        return RECEIVE


def history(
    steps: list[tuple[str, str]], batch: int, bounds: Bounds, machine: type[Machine], traced: bool
) -> tuple[list[Any], list[Any]]:
    """What happens when `steps` are sent `batch` at a time."""
    plan: dict[str, list[str]] = {name: [] for name in "abcdes"}

    def child(name: str, **options: Any) -> Child:
        # Not among the arguments, which are copied for each life: the plan is for all of them.
        return Child(name, partial(Doing, name, plan), name=name, **options)

    apart = Supervisor(
        "apart", [child("a"), child("b", restart="transient"), child("c", own_intensity=3)], intensity=4, name="apart"
    )
    group = Supervisor("group", [child("d"), child("e")], strategy="one_for_all", intensity=5)
    tree = Supervisor("root", [apart, group, DynamicSupervisor("many", name="many", intensity=3)], intensity=3)
    tracer = Events()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervisor_node, "Machine", machine)
        bench = Bench(tree=tree, bounds=bounds, tracer=tracer if traced else None)
        core = bench.core
        kept: list[Any] = []
        for first in range(0, len(steps), batch):
            for name, word in steps[first : first + batch]:
                holder = core.registry.holder(name)
                if holder is not None:
                    core.inject(holder, word)
            bench.step()
            kept += [core.counters.snapshot(), rows(core)]
        bench.settle()
        kept += [core.counters.snapshot(), rows(core)]
        bench.settle(control=[StopCore(1.0, Shutdown())])
    lines = [(event, {key: str(value) for key, value in fields.items()}) for event, fields in bench.log.lines]
    return [*kept, core.counters.snapshot(), bench.control, lines], tracer.lines


@settings(max_examples=150, deadline=None)
@given(STEPS, st.integers(1, 6), st.integers(2, 40), st.integers(1, 12), st.booleans())
def test_a_child_that_restarts_the_short_way_does_what_it_does_on_the_long_way(
    steps: list[tuple[str, str]], batch: int, budget: int, turn: int, traced: bool
) -> None:
    bounds = Bounds(pass_budget=budget, turn_budget=turn)
    short = history(steps, batch, bounds, Machine, traced)
    long = history(steps, batch, bounds, TheLongWay, traced)
    assert short == long


def test_most_restarts_of_one_for_one_take_the_short_way() -> None:
    taken: list[str] = []

    class Counted(Machine):
        __slots__ = ()

        def restart_at_once(self, key: int, reason: Reason, now_ns: int) -> Slot | None:
            slot = super().restart_at_once(key, reason, now_ns)
            taken.append("short" if slot is not None else "long")
            return slot

    history([("a", "crash"), ("b", "other crash"), ("d", "crash"), ("a", "early")], 1, Bounds(), Counted, False)
    assert taken.count("short") >= 3
    assert "long" in taken


def test_reports_and_crashes_that_nobody_hears_are_not_put_together() -> None:
    class Silent(Log):
        def _line(self, event: str, **fields: Any) -> None:
            raise AssertionError(f"{event} was logged")

        debug = info = warning = error = _line

    silent = CoreSettings(Home("n@h", 1, 0, 1), heard=lambda level: level not in ("warning", "error"))
    plan: dict[str, list[str]] = {"a": []}
    core = Core(
        silent, Supervisor("root", [Child("a", lambda: Doing("a", plan), name="a")]), no_links(silent.home), Silent()
    )
    core.boot()
    core.step(1, Inputs([], [], wall=1))
    first = core.registry.holder("a")
    assert first is not None
    core.inject(first, "crash")
    core.step(2, Inputs([], [], wall=2))
    core.finish(2)
    assert core.registry.holder("a") not in (None, first)
    assert core.counters.crashes == 1
