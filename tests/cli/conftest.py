"""What the tests of `regrove sim` share: a small application with a check, in a folder of its own."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import pytest

SHOP = """
from regrove import RECEIVE, Application, Child, Isolate, Name, Supervisor, message


@message(name="shop-{0}:Add")
class Add:
    count: int


class Counter(Isolate):
    def __init__(self):
        self.total = 0

    def start(self, ctx):
        ctx.send_every(0.05, Add(0))
        return RECEIVE

    def handle(self, ctx, message):
        if message.count:
            self.total += message.count
        else:
            ctx.send(Name("counter", "n1@sim" if ctx.place.node == "n0@sim" else "n0@sim"), Add(1))
        return RECEIVE


def tree(place):
    return Supervisor("root", [Child("counter", Counter, name="counter")])


app = Application("shop", tree=tree)


def nothing_lost(sim):
    sim.run("3s")
    sim.calm(keep="all")
    sim.run("3s")
    one, other = sim.isolates(Counter)
    assert abs(one.total - other.total) <= 3
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A module of its own for each test, in the working folder."""
    name = f"shop_{crc32(request.node.name.encode()):x}"
    (tmp_path / f"{name}.py").write_text(SHOP.replace("{0}", name))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name
