"""What isolates hear when the core or the node of another dies: calls fail at once, monitors say Down once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.process.conftest import RunningNode

    StartNode = Callable[..., RunningNode]
else:
    StartNode = Callable[..., Any]

pytestmark = pytest.mark.processes

APP = '''
from regrove.node.core.address import Name
from regrove.node.core.application import Application
from regrove.node.core.effects import RECEIVE, Call, Reply, Sleep
from regrove.node.core.isolate import Isolate
from regrove.node.core.messages import message
from regrove.node.core.outcomes import Down, Failed, Replied
from regrove.supervisor.spec import Child, Supervisor

@message
class Who:
    pass

@message
class Work:
    """Is never answered: the target sleeps on it."""

@message
class Look:
    pass

class Target(Isolate):
    def handle(self, ctx, message):
        match message:
            case Who():
                return Reply(ctx.self)
            case Work():
                return Sleep(600)
        return RECEIVE

class Watcher(Isolate):
    """Monitors the target, calls it for ten minutes, and says what it hears."""
    def __init__(self, to):
        self.to = to
        self.address = None
    def start(self, ctx):
        ctx.send_every(0.02, Look())
        return RECEIVE
    def handle(self, ctx, message):
        match message:
            case Look() if self.address is None:
                return Call(self.to, Who(), timeout=1)
            case Replied(address):
                self.address = address
                ctx.monitor(address)
                ctx.request(address, Work(), timeout=600)
                ctx.log.info("watching", address=repr(address))
            case Down(_, address, reason):
                ctx.log.info("down", address=repr(address), reason=type(reason).__name__)
                ctx.log.info("after", sent=ctx.send(address, Look()).name)
            case Failed(reason) if self.address is not None:
                ctx.log.info("call failed", reason=type(reason).__name__)
        return RECEIVE

def tree(place):
    children = [Child("target", Target, name="target")]
    to = place.settings.get("watch")
    if to and place.core == 0:
        node, _, core = to.partition("/")
        children.append(Child("watcher", Watcher, Name("target", node=node or None, core=int(core))))
    return Supervisor("root", children)

app = Application("deaths", tree=tree)
'''


def judge(watcher: RunningNode) -> None:
    """The call failed with NoConnection or CoreDown long before its 600 s, and Down came exactly once."""
    failed = watcher.wait_line("call failed")
    assert failed["reason"] in ("NoConnection", "CoreDown", "Unreachable")
    names = [line["event"] for line in watcher.lines]
    if "down" not in names:
        watcher.wait_line("down")
        watcher.wait_line("after")
    downs = [line for line in watcher.lines if line["event"] == "down"]
    assert len(downs) == 1
    assert downs[0]["reason"] in ("NoConnection", "CoreDown")


def test_a_killed_core_fails_the_calls_into_it_and_its_monitors_fire_once(
    start_node: StartNode, tmp_path: Path
) -> None:
    (tmp_path / "deaths.py").write_text(APP)
    node = start_node(app="deaths:app", settings={"watch": "/1"})
    node.wait_line("watching")
    os.kill(node.status()["cores"][1]["pid"], signal.SIGKILL)
    judge(node)
    node.wait_line("core up", core=1, incarnation=2)


def test_a_killed_core_of_another_node_is_heard_of_the_same_way(start_node: StartNode, tmp_path: Path) -> None:
    (tmp_path / "deaths.py").write_text(APP)
    first = start_node("one@localhost", app="deaths:app", listen="127.0.0.1:0")
    first.wait_line("node up")
    with first.control() as control:
        address = control.ask("members")["members"][0]["address"]
    second = start_node("two@localhost", app="deaths:app", join=[address], settings={"watch": "one@localhost/1"})
    second.wait_line("watching")
    os.kill(first.status()["cores"][1]["pid"], signal.SIGKILL)
    judge(second)


def test_a_killed_node_is_heard_of_by_those_who_call_and_monitor_into_it(start_node: StartNode, tmp_path: Path) -> None:
    (tmp_path / "deaths.py").write_text(APP)
    first = start_node("one@localhost", app="deaths:app", cores=1, listen="127.0.0.1:0")
    first.wait_line("node up")
    with first.control() as control:
        address = control.ask("members")["members"][0]["address"]
    second = start_node("two@localhost", app="deaths:app", join=[address], settings={"watch": "one@localhost/0"})
    second.wait_line("watching")
    first.process.kill()
    judge(second)
