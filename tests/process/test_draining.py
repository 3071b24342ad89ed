"""How a node drains and leaves: the manager's decisions, then a simulated and a real node."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from regrove.node.core.ports import DrainCore, StopCore
from regrove.node.process.budget import SECOND
from regrove.node.process.manager_events import (
    CoreEnded,
    CoreLeft,
    CoreNamed,
    CoreStarted,
    DrainAsked,
    Share,
    Tell,
    Tick,
)
from tests.process.stories import booted, bound, notes, of, seen

if TYPE_CHECKING:
    from tests.process.conftest import RunningNode

    StartNode = Callable[..., RunningNode]
else:
    StartNode = Callable[..., Any]


def told(actions: list[Any], kind: type) -> list[int]:
    return [tell.core for tell in of(actions, Tell) if isinstance(tell.item, kind)]


def test_every_core_drains_and_the_node_is_drained_when_none_has_anything_left() -> None:
    state = booted()
    assert told(state.decide(SECOND, DrainAsked("asked")), DrainCore) == [0, 1]
    assert seen(state) == "draining"
    state.decide(SECOND, CoreLeft(0, 1, 0, 0, 0))
    state.decide(SECOND, CoreLeft(1, 1, 0, 2, 0))
    assert seen(state) == "draining"
    assert notes(state.decide(SECOND, CoreLeft(1, 1, 0, 0, 0))) == [("info", "node is drained")]
    assert seen(state) == "drained"


def test_names_are_taken_back_from_other_nodes_and_stay_inside() -> None:
    state = booted(remote=True)
    state.decide(0, CoreNamed(0, 1, ("ledger",)))
    shared = [share.item for share in of(state.decide(SECOND, DrainAsked("asked")), Share)]
    assert [(row.core, row.names) for row in shared] == [(0, ())]  # type: ignore[union-attr]
    assert list(state.shared_names()) == []
    out = state.decide(SECOND, CoreNamed(1, 1, ("desk",)))
    assert (of(out, Share), [tell.core for tell in of(out, Tell)]) == ([], [0])


def test_a_core_that_starts_meanwhile_drains_too() -> None:
    state = booted()
    state.decide(SECOND, DrainAsked("asked"))
    state.decide(SECOND, CoreEnded(1, 1, "died"))
    state.decide(SECOND, bound(1, 2))
    assert told(state.decide(SECOND, CoreStarted(1, 2)), DrainCore) == [1]


def test_leave_stops_when_nothing_is_left() -> None:
    state = booted()
    state.decide(SECOND, DrainAsked("leave", leave=True))
    state.decide(SECOND, CoreLeft(0, 1, 0, 0, 0))
    assert told(state.decide(SECOND, CoreLeft(1, 1, 0, 0, 0)), StopCore) == [0, 1]
    assert seen(state) == "stopping"


def test_leave_waits_for_half_the_drain_limit_at_most() -> None:
    state = booted()
    state.decide(0, DrainAsked("leave", leave=True))
    state.decide(0, CoreLeft(0, 1, 1, 0, 0))
    assert state.deadline() == 10 * SECOND
    assert told(state.decide(10 * SECOND, Tick()), StopCore) == [0, 1]


def test_a_drained_node_leaves_at_once() -> None:
    state = booted(1)
    state.decide(0, DrainAsked("drain"))
    state.decide(0, CoreLeft(0, 1, 0, 0, 0))
    assert told(state.decide(SECOND, DrainAsked("leave", leave=True)), StopCore) == [0]


SERVER = """
from regrove import DONE, RECEIVE, Accept, Accepted, Application, Child, Isolate, Listen, Listening, Supervisor

class Door(Isolate):
    def start(self, ctx):
        return Listen("127.0.0.1", 0)
    def handle(self, ctx, message):
        match message:
            case Listening(listener):
                self.listener = listener
                ctx.log.info("listening", port=listener.port)
        return Accept(self.listener)

app = Application("door", tree=lambda place: Supervisor("root", [Child("door", Door)]))
"""


@pytest.mark.processes
def test_a_real_node_refuses_new_connections_and_leaves_when_the_old_one_is_closed(
    start_node: StartNode, tmp_path: Path
) -> None:
    (tmp_path / "door.py").write_text(SERVER)
    node = start_node(app="door:app", cores=1)
    port = node.wait_line("listening")["port"]
    with socket.create_connection(("127.0.0.1", port), 10):
        with node.control() as control:
            control.ask("drain")
            until_left(node, {"requests": 0, "streams": 1, "queued": 0})
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), 10)
        with node.control() as control:
            control.ask("leave")
        assert node.status()["state"] == "draining"
    assert node.wait() == 0


def until_left(node: RunningNode, wanted: dict[str, int]) -> None:
    for _ in range(3000):
        if node.status()["cores"][0]["left"] == wanted:
            return
    raise AssertionError(node.status())
