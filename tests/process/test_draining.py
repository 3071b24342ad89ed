"""How a node drains and leaves: the manager's decisions, then real nodes."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import regrove
from regrove.node.cluster.views import CoreNames
from regrove.node.core.ports import DrainCore, StopCore
from regrove.node.process.budget import SECOND
from regrove.node.process.manager_events import (
    Begin,
    CoreEnded,
    CoreLeft,
    CoreNamed,
    CoreStarted,
    DrainAsked,
    Share,
    StopAsked,
    Tell,
    Tick,
)
from regrove.node.process.manager_state import STOP_GRACE
from tests.process.stories import booted, bound, manager, notes, of, seen

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


@pytest.mark.parametrize(("quiet_at", "left"), [(3, 17.0), (None, 10.0)])
def test_leave_and_the_stop_behind_it_fit_into_one_drain_limit(quiet_at: int | None, left: float) -> None:
    state = booted(1)
    state.decide(0, DrainAsked("leave", leave=True))
    if quiet_at is None:
        out = state.decide(10 * SECOND, Tick())
    else:
        out = state.decide(quiet_at * SECOND, CoreLeft(0, 1, 0, 0, 0))
    assert [tell.item.limit for tell in of(out, Tell) if isinstance(tell.item, StopCore)] == [left]
    assert state.deadline() == 20 * SECOND + STOP_GRACE


def test_a_drained_node_leaves_at_once() -> None:
    state = booted(1)
    state.decide(0, DrainAsked("drain"))
    state.decide(0, CoreLeft(0, 1, 0, 0, 0))
    assert told(state.decide(SECOND, DrainAsked("leave", leave=True)), StopCore) == [0]


def test_a_node_that_stops_closes_its_doors_before_its_trees_stop() -> None:
    state = booted(remote=True)
    state.decide(0, CoreNamed(0, 1, ("ledger",)))
    out = state.decide(SECOND, StopAsked("SIGTERM"))
    kinds = [(tell.core, type(tell.item)) for tell in of(out, Tell) if isinstance(tell.item, DrainCore | StopCore)]
    assert kinds == [(0, DrainCore), (1, DrainCore), (0, StopCore), (1, StopCore)]
    rows = [share.item for share in of(out, Share) if isinstance(share.item, CoreNames)]
    assert [(row.core, row.names) for row in rows] == [(0, ())]
    assert list(state.shared_names()) == []
    assert of(state.decide(SECOND, CoreNamed(1, 1, ("desk",))), Share) == []


def test_a_core_that_still_starts_closes_its_doors_too() -> None:
    state = manager(1)
    state.decide(0, Begin())
    state.decide(0, bound(0))
    assert told(state.decide(SECOND, StopAsked("SIGTERM")), DrainCore) == [0]


def test_what_is_left_of_a_node_that_stops_does_not_make_it_drained() -> None:
    state = booted(1)
    state.decide(0, StopAsked("SIGTERM"))
    assert state.decide(SECOND, CoreLeft(0, 1, 0, 0, 0)) == []
    assert seen(state) == "stopping"


SERVER = """
from regrove import (
    DONE, RECEIVE, Accept, Accepted, Application, Child, Isolate, Listen, Listening, Reply, Sleep, Slept, Supervisor,
)

class Last(Isolate):
    # It answers with what it is asked, and takes a minute to stop when it is told to.
    def handle(self, ctx, message):
        return DONE if isinstance(message, Slept) else Reply(message)
    def stop(self, ctx, reason):
        if not ctx.place.settings.get("slow"):
            return DONE
        ctx.log.info("it takes its time")
        return Sleep(60)

class Door(Isolate):
    def start(self, ctx):
        return Listen("127.0.0.1", 0)
    def handle(self, ctx, message):
        match message:
            case Listening(listener):
                self.listener = listener
                ctx.log.info("listening", port=listener.port)
        return Accept(self.listener)

def tree(place):
    return Supervisor("root", [Child("door", Door), Child("last", Last, name="last", shutdown=60)])

app = Application("door", tree=tree)
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


@pytest.mark.processes
@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "regrove stop"])
def test_a_real_node_refuses_connections_and_calls_while_its_trees_stop(
    start_node: StartNode, tmp_path: Path, how: str
) -> None:
    (tmp_path / "door.py").write_text(SERVER)
    node = start_node(app="door:app", cores=1, settings={"slow": "stop"})
    port = node.wait_line("listening")["port"]
    if all(line["event"] != "node up" for line in node.lines):
        node.wait_line("node up")
    with regrove.connect(tmp_path / "run" / node.name / "control", timeout=30) as cluster:
        assert cluster.call("last", "ping", timeout=10) == "ping"
        target = regrove.Name("last", core=0)
        if how == "regrove stop":
            with node.control() as control:
                control.ask("stop")
        else:
            node.process.send_signal(signal.Signals[how])
        node.wait_line("it takes its time")
        until_refused(port)
        with pytest.raises(regrove.CallFailed, match="drains: it takes no new work"):
            cluster.call(target, "ping", timeout=10)
        assert node.status()["state"] == "stopping"
    with node.control() as control:
        control.ask("stop", now=True)
    node.wait()


def until_left(node: RunningNode, wanted: dict[str, int]) -> None:
    for _ in range(3000):
        if node.status()["cores"][0]["left"] == wanted:
            return
    raise AssertionError(node.status())


def until_refused(port: int) -> None:
    """The core's end of a listener closes at once, the manager's a moment later."""
    for _ in range(3000):
        try:
            socket.create_connection(("127.0.0.1", port), 10).close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:  # it closed between the hand-shake and its end
            continue
    raise AssertionError(f"port {port} still takes connections")
