"""A request that a supervisor has in hand when it ends fails at its caller with the reason, as with any isolate."""

from __future__ import annotations

from typing import Any

import pytest

from regrove import RECEIVE, Child, Failed, Isolate, Killed, Shutdown, Sleep, StartChild, Supervisor
from regrove.node.core.supervisor_node import SupervisorNode
from regrove.supervisor.events import StopAsked
from tests.core.bench import Bench, script


class Slow(Isolate):
    def start(self, ctx: Any) -> Any:
        return Sleep(100, then=self.then)

    def then(self, ctx: Any, _: Any) -> Any:
        return RECEIVE


def kill(bench: Bench, node: SupervisorNode) -> None:
    bench.core.supervising.kill(node)


def stop_in_time(bench: Bench, node: SupervisorNode) -> None:
    bench.core.supervising.post(node, StopAsked(Shutdown("stop"), 1.0))


@pytest.mark.parametrize(("end", "reason"), [(kill, Killed()), (stop_in_time, Shutdown("stop"))])
def test_a_start_child_under_way_fails_with_the_reason_its_supervisor_ended_for(end: Any, reason: Any) -> None:
    log: list[Any] = []

    def ask(self: Any, ctx: Any, _: Any) -> None:
        ctx.request("sup", StartChild(Child("slow", Slow)), timeout=50)

    bench = Bench(Supervisor("sup", [], name="sup"), Child("a", script(log, go=ask)))
    bench.tell("root/a", "go")
    node = bench.cell("root/sup").supervising
    assert node is not None
    end(bench, node)
    bench.advance(1)
    assert [entry.reason for entry in log if isinstance(entry, Failed)] == [reason]
