"""shutdown=0: `stop` runs once, also on a core with more to do than a pass holds; anything but DONE is killed."""

from __future__ import annotations

from typing import Any

import pytest

from regrove import DONE, RECEIVE, Bounds, Child, Continue, Shutdown, Supervisor
from regrove.supervisor.events import StopAsked
from tests.core.bench import Bench, script


@pytest.mark.parametrize("spinning", [0, 100])
@pytest.mark.parametrize(("effect", "killed"), [(DONE, False), (RECEIVE, True)])
def test_stop_has_its_one_turn_and_what_goes_on_is_killed(effect: Any, killed: bool, spinning: int) -> None:
    log: list[Any] = []

    def stop(self: Any, ctx: Any, _: Any) -> Any:
        log.append("stop")
        return effect

    spinners = [Child(f"w{number}", script([], go=lambda *_: Continue("go"))) for number in range(spinning)]
    bench = Bench(
        Supervisor("sup", [Child("z", script(log, stop=stop), shutdown=0)]), *spinners, bounds=Bounds(pass_budget=16)
    )
    for number in range(spinning):
        bench.core.inject(bench.address(f"root/w{number}"), "go")
    node = bench.cell("root/sup").supervising
    assert node is not None
    life = bench.cell("root/sup/z").address
    bench.core.supervising.post(node, StopAsked(Shutdown()))
    for _ in range(20):
        bench.step()
    assert log == ["stop"]
    assert bench.cell("root/sup/z").address != life
    errors = [
        fields for event, fields in bench.log.lines if event == "supervisor" and fields["context"] == "shutdown_error"
    ]
    assert bool(errors) is killed
