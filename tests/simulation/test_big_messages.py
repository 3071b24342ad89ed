"""Big messages in a world: a cut in the middle of one, a core that dies with one half sent, a client's own."""

from __future__ import annotations

from typing import Any

from regrove import (
    RECEIVE,
    Application,
    Child,
    Context,
    Effect,
    Isolate,
    Name,
    Reply,
    Supervisor,
    Undelivered,
    Unknown,
    message,
)
from regrove.testing import Simulation

MIB = 1024 * 1024


@message
class Go:
    to: str
    size: int


@message
class Blob:
    data: bytes


@message
class Give:
    size: int


class Peer(Isolate):
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def handle(self, ctx: Context, request: Any) -> Effect:
        match request:
            case Go(to, size):
                ctx.send(Name(to), Blob(b"b" * size), notify="big")
                ctx.send(Name(to), "behind")
            case Blob(data):
                self.seen.append(len(data))
            case Give(size):
                return Reply(b"g" * size)
            case _:
                self.seen.append(request)
        return RECEIVE


PEERS = Application("peers", tree=lambda place: Supervisor("root", [Child("peer", Peer, name=f"peer-{place.core}")]))


def seen(sim: Simulation, core: int) -> list[Any]:
    return sim.isolates(Peer)[core].seen


def test_big_messages_arrive_in_order_and_the_books_are_even() -> None:
    with Simulation(PEERS, cores=2) as sim:
        for size in (MIB, 15 * MIB, 70_000):
            assert sim.client.send("peer-0", Go("peer-1", size))
        sim.settle()
        assert seen(sim, 1) == [MIB, "behind", 15 * MIB, "behind", 70_000, "behind"]
        assert sim.counters()["lost"] == sim.counters()["unknown"] == 0


def test_a_core_that_dies_behind_a_cut_leaves_the_half_message_unknown() -> None:
    with Simulation(PEERS, cores=2) as sim:
        assert sim.client.send("peer-0", Go("peer-1", 15 * MIB))
        sim.until(lambda: sim.world.network.under_way("n0@sim/0", "n0@sim/1"), within="2s")
        sim.run("2ms")  # the place has arrived, and some of the pieces
        sim.cut("n0@sim/0", "n0@sim/1")
        sim.run("100ms")
        assert seen(sim, 0) == seen(sim, 1) == []
        sim.crash("n0@sim/1")
        sim.heal("n0@sim/0", "n0@sim/1")
        sim.until(lambda: len(sim.isolates(Peer)) == 2)
        sim.settle()
        (told,) = seen(sim, 0)
        assert isinstance(told, Undelivered)
        assert (told.token, told.reason) == ("big", Unknown())
        assert seen(sim, 1) == [], "nothing of the dead session reaches the next life"


def test_after_a_break_in_the_middle_the_next_session_says_that_it_never_arrived() -> None:
    with Simulation(PEERS, cores=2) as sim:
        assert sim.client.send("peer-0", Go("peer-1", 15 * MIB))
        sim.until(lambda: sim.world.network.under_way("n0@sim/0", "n0@sim/1"), within="2s")
        sim.run("2ms")
        assert sim.world.network.reset_between("n0@sim/0", "n0@sim/1")
        sim.settle()
        assert [type(entry) for entry in seen(sim, 0)] == [Undelivered]
        assert seen(sim, 1) in (["behind"], [])
        assert sim.counters()["unknown"] == 0
        assert sim.counters()["lost"] >= 1


def test_a_cut_that_heals_only_makes_a_big_message_late() -> None:
    with Simulation(PEERS, cores=2) as sim:
        assert sim.client.send("peer-0", Go("peer-1", 15 * MIB))
        sim.until(lambda: sim.world.network.under_way("n0@sim/0", "n0@sim/1"), within="2s")
        sim.run("2ms")
        sim.cut("n0@sim/0", "n0@sim/1")
        sim.run("3s")
        sim.heal("n0@sim/0", "n0@sim/1")
        sim.settle()
        assert seen(sim, 1) == [15 * MIB, "behind"]


def test_an_outside_program_sends_and_is_answered_with_megabytes() -> None:
    with Simulation(PEERS, cores=2) as sim:
        assert sim.client.call("peer-1", Give(10 * MIB)) == b"g" * 10 * MIB
        assert sim.client.send("peer-1", Blob(b"c" * 10 * MIB))
        sim.settle()
        assert seen(sim, 1) == [10 * MIB]


def test_a_run_with_big_messages_repeats_exactly() -> None:
    def digest(seed: int) -> str:
        with Simulation(PEERS, cores=2, seed=seed) as sim:
            sim.client.send("peer-0", Go("peer-1", 3 * MIB))
            sim.settle()
            return str(sim.trace.digest)

    assert digest(4) == digest(4)
