"""What a core's death means to the others, in a simulated world: over many lives of one core."""

from __future__ import annotations

from typing import Any

from regrove import (
    RECEIVE,
    Address,
    Application,
    Call,
    Child,
    Down,
    Failed,
    Isolate,
    Name,
    NoProcess,
    Reason,
    Replied,
    Reply,
    Sleep,
    Supervisor,
    message,
)
from regrove.testing import Simulation


@message
class Ask:
    to: Address | None = None


@message
class Watch:
    to: Address


class Answering(Isolate):
    def handle(self, ctx: Any, message: Any) -> Any:
        return Reply("here") if message == "who" else Sleep(3600)


class Asking(Isolate):
    def __init__(self) -> None:
        self.failed: list[Reason] = []
        self.downs: list[Reason] = []
        self.replies: list[object] = []

    def handle(self, ctx: Any, message: Any) -> Any:
        match message:
            case Ask(to=None):
                return Call(Name("b", core=1), "hang", timeout=60)
            case Ask(to=Address() as address):
                return Call(address, "who")
            case Watch(to=address):
                ctx.monitor(address)
            case Failed(reason=reason):
                self.failed.append(reason)
            case Down(reason=reason):
                self.downs.append(reason)
            case Replied(value=value):
                self.replies.append(value)
        return RECEIVE


def tree(place: Any) -> Supervisor:
    kind = Asking if place.core == 0 else Answering
    return Supervisor("root", [Child("x", kind, name="a" if place.core == 0 else "b")])


def lives(count: int) -> None:
    app = Application("lives", tree=tree)
    with Simulation(app, nodes=1, cores=2, settings=None) as sim:
        a = sim.find("root/x", core=0)
        old: list[Address] = []
        for _ in range(count):
            b = sim.find("root/x", core=1)
            old.append(b.address)
            sim.send(a.address, Watch(b.address))
            sim.send(a.address, Ask())
            sim.run("20ms")
            before = sim.now
            sim.crash(sim.nodes[0].cores[1])
            sim.until(lambda: len(sim.find("root/x", core=0).isolate.failed) == len(old))
            assert sim.now - before < 1_000_000_000, "the call failed long before its timeout of 60 s"
            sim.until(lambda: sim.find("root/x", core=1).address not in old)
            sim.run("31s")  # out of the window of the restart budget
        asking = sim.find("root/x", core=0).isolate
        assert len(asking.downs) == count
        assert len(set(old)) == count
        failed = len(asking.failed)
        for address in old[:: max(1, count // 10)]:
            sim.send(a.address, Ask(address))
            sim.run("50ms")
        assert asking.replies == []
        assert set(map(type, asking.failed[failed:])) == {NoProcess}


def test_over_many_lives_of_a_core_calls_fail_early_downs_come_once_and_old_addresses_stay_dead() -> None:
    lives(1_000)
