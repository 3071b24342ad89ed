"""A real node for tests of the client: one for those that leave it as it was."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import regrove
from regrove.node.client import StartedNode

APPLICATION = """
import os
import regrove
from regrove import (
    RECEIVE, Application, Child, Crash, DynamicSupervisor, Isolate, Offload, Reply, Sleep, Supervisor, message
)

@message
class Add:
    amount: int

@message
class Bump:
    amount: int

@message
class Total:
    pass

@message
class Slow:
    seconds: float

@message
class Where:
    pass

@message
class Boom:
    pass

@message
class Silent:
    pass

@message
class Size:
    data: bytes

@message
class Block:
    how: str

class Counter(Isolate):
    def __init__(self, first: int = 0):
        self.total = first

    def handle(self, ctx, message):
        match message:
            case Add(amount):
                self.total += amount
                return Reply(self.total)
            case Bump(amount):
                self.total += amount
                return RECEIVE
            case Total():
                return Reply(self.total)
            case Slow(seconds):
                return Sleep(seconds, then=self.woke)
            case Where():
                return Reply((ctx.place.core, os.getpid(), dict(ctx.place.settings)))
            case Boom():
                return Crash("asked to")
            case Silent():
                return RECEIVE
            case Size(data):
                return Reply(len(data))
            case Block("connect"):
                regrove.connect("shop@here")
            case Block("start"):
                regrove.start("client_app:app")

    def woke(self, ctx, outcome):
        return Reply("awake")

def tree(place):
    children = [Child("counter", Counter, 10, name="counter", restart="permanent")]
    if place.core == 1:
        children.append(Child("second", Counter, 20, name="second"))
    children.append(DynamicSupervisor("pool", name="pool"))
    return Supervisor("root", children, name="top", intensity=100)

app = Application("client tests", tree=tree)

def broken(place):
    raise RuntimeError("this tree cannot grow")

bad_tree = Application("bad tree", tree=broken)
"""


@pytest.fixture(scope="session")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The module `client_app`, importable here and in the nodes that are started here."""
    folder = tmp_path_factory.mktemp("application")
    (folder / "client_app.py").write_text(APPLICATION)
    (folder / "client_broken.py").write_text("import no_such_module_anywhere\n")
    sys.path.insert(0, str(folder))
    yield importlib.import_module("client_app")
    sys.path.remove(str(folder))
    del sys.modules["client_app"]


@pytest.fixture(scope="module")
def node(application: Any) -> Iterator[StartedNode]:
    """A node of two cores that listens on tcp; its tests do not kill what others need."""
    with regrove.start(
        "client_app:app", cores=2, name="shop@here", settings={"port": 6380}, listen="127.0.0.1:0"
    ) as it:
        yield it
