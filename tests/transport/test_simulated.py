"""The simulated network: order, cuts, resets, crashes, and the same seed twice."""

from __future__ import annotations

import subprocess
import sys

import pytest

from regrove.transport.base import TransportError
from regrove.transport.contract import Recorder
from regrove.transport.simulated import DELIVER, LOSE, RESET, Key, SimulatedNetwork, SimulatedTransport
from tests.transport.conftest import draw_of

MS = 1_000_000


def end(network: SimulatedNetwork, name: str) -> tuple[SimulatedTransport, Recorder]:
    transport, recorder = network.endpoint(name), Recorder()
    transport.attach(recorder)
    return transport, recorder


def pump(network: SimulatedNetwork, until: int, *transports: SimulatedTransport) -> None:
    network.advance(until)
    for transport in transports:
        while transport.poll():
            pass


def test_nothing_arrives_before_its_latency() -> None:
    network = SimulatedNetwork(latency=lambda key: 5 * MS)
    a, _ = end(network, "a")
    b, there = end(network, "b")
    a.try_send(a.open(b.listen("sim://b")), b"hello")
    assert network.next_time() == 5 * MS
    pump(network, 5 * MS - 1, a, b)
    assert not there.frames
    pump(network, 5 * MS, a, b)
    assert [frame for _, frame in there.frames] == [b"hello"]


def test_a_later_frame_never_overtakes_on_one_connection() -> None:
    network = SimulatedNetwork(latency=lambda key: 10 * MS - key.ordinal * MS)
    a, _ = end(network, "a")
    b, there = end(network, "b")
    session = a.open(b.listen("sim://b"))
    for number in range(8):
        a.try_send(session, b"%d" % number)
    pump(network, 100 * MS, a, b)
    assert [frame for _, frame in there.frames] == [b"%d" % number for number in range(8)]


def test_ties_of_two_connections_go_by_rank_and_not_by_sending() -> None:
    network = SimulatedNetwork(latency=lambda key: key.ordinal * MS, rank=lambda key: -key.size)
    b, there = end(network, "b")
    endpoint = b.listen("sim://b")
    for name, frame in (("a", b"1"), ("c", b"22"), ("d", b"333")):
        sender, _ = end(network, name)
        sender.try_send(sender.open(endpoint), frame)
    pump(network, 2 * MS, b)
    assert [frame for _, frame in there.frames] == [b"333", b"22", b"1"]


@pytest.mark.parametrize("cut_at", [0, 1, 3])
def test_what_a_cut_holds_arrives_in_order_after_it_heals(cut_at: int) -> None:
    """Frames sent before, under way at, and sent during the cut."""
    network = SimulatedNetwork(latency=lambda key: 2 * MS + key.ordinal * MS // 2)
    a, _ = end(network, "a")
    b, there = end(network, "b")
    session = a.open(b.listen("sim://b"))
    a.try_send(session, b"0")
    network.advance(cut_at * MS)
    a.try_send(session, b"1")
    network.cut("a", "b")
    a.try_send(session, b"2")
    network.advance(10 * MS)
    a.try_send(session, b"3")
    network.advance(50 * MS)
    a.try_send(session, b"4")
    network.heal("a", "b")
    a.try_send(session, b"5")
    pump(network, 200 * MS, a, b)
    assert [frame for _, frame in there.frames] == [b"%d" % number for number in range(6)]


def test_a_cut_is_one_way_and_covers_what_is_below_a_name() -> None:
    network = SimulatedNetwork()
    a, heard = end(network, "node-a/0")
    b, there = end(network, "node-b/1")
    other, there_too = end(network, "node-bb/1")
    sessions = [a.open(b.listen("sim://b")), a.open(other.listen("sim://bb"))]
    for session in sessions:
        a.try_send(session, b"first")
    pump(network, MS, a, b, other)
    network.cut("node-a", "node-b")
    for session in sessions:
        a.try_send(session, b"second")
    b.try_send(there.frames[0][0], b"back")
    pump(network, 2 * MS, a, b, other)
    assert len(there.frames) == 1
    assert len(there_too.frames) == 2, "node-bb is not below node-b"
    assert [frame for _, frame in heard.frames] == [b"back"]
    assert network.in_flight(network.connections("node-a", "node-b")[0]) == 1


def test_a_reset_loses_what_is_in_flight_and_tells_both_ends() -> None:
    network = SimulatedNetwork()
    a, heard = end(network, "a")
    b, there = end(network, "b")
    session = a.open(b.listen("sim://b"))
    a.try_send(session, b"first")
    pump(network, MS, a, b)
    inbound = there.frames[0][0]
    a.try_send(session, b"lost")
    b.try_send(inbound, b"lost")
    network.reset(network.connections("a", "b")[0])
    pump(network, 2 * MS, a, b)
    assert heard.closed == [(session, "connection reset")]
    assert there.closed == [(inbound, "connection reset")]
    assert len(there.frames) == 1
    assert not heard.frames
    assert not a.try_send(session, b"late")


def test_a_fate_of_reset_takes_the_frame_and_the_connection() -> None:
    network = SimulatedNetwork(fate=lambda key: RESET if key.ordinal == 4 else DELIVER)
    a, heard = end(network, "a")
    b, there = end(network, "b")
    session = a.open(b.listen("sim://b"))
    for number in range(5):
        a.try_send(session, b"%d" % number)
    pump(network, MS, a, b)
    assert [closed for closed, _ in heard.closed] == [session]
    assert not there.frames


def test_a_fate_of_lose_takes_one_frame_out() -> None:
    network = SimulatedNetwork(fate=lambda key: LOSE if key.ordinal == 3 else DELIVER)
    a, _ = end(network, "a")
    b, there = end(network, "b")
    session = a.open(b.listen("sim://b"))
    for number in range(4):
        a.try_send(session, b"%d" % number)
    pump(network, MS, a, b)
    assert [frame for _, frame in there.frames] == [b"0", b"2", b"3"]


def test_a_crash_takes_everything_below_the_name_and_what_is_on_the_wire_still_arrives() -> None:
    network = SimulatedNetwork()
    a, heard = end(network, "node-a/0")
    b, there = end(network, "node-b/0")
    endpoint = b.listen("sim://b")
    session = a.open(endpoint)
    a.try_send(session, b"first")
    pump(network, MS, a, b)
    b.try_send(there.frames[0][0], b"last words")
    network.crash("node-b")
    pump(network, 2 * MS, a)
    assert [frame for _, frame in heard.frames] == [b"last words"]
    assert [closed for closed, _ in heard.closed] == [session]
    successor, _ = end(network, "node-b/0")
    assert successor.listen(endpoint) == endpoint


def test_names_and_endpoints_are_held_once() -> None:
    network = SimulatedNetwork()
    a, _ = end(network, "a")
    with pytest.raises(ValueError, match="already has an endpoint called 'a'"):
        network.endpoint("a")
    assert a.listen("sim://a") == "sim://a"
    with pytest.raises(TransportError, match="sim://a is in use by a"):
        a.listen("sim://a")
    assert a.listen("tcp://a:0") != a.listen("tcp://a:0"), "port 0 is any free one"


def test_two_runs_of_one_seed_are_the_same_and_another_seed_differs() -> None:
    def run(seed: int) -> list[tuple[int, bytes]]:
        def latency(key: Key) -> int:
            return draw_of(f"{seed}/{key.source}>{key.target}")(f"{key.dial}", key.ordinal) % (3 * MS)

        network = SimulatedNetwork(latency=latency)
        b, there = end(network, "b")
        endpoint = b.listen("sim://b")
        for name in ("a", "c", "d"):
            sender, _ = end(network, name)
            session = sender.open(endpoint)
            for number in range(20):
                sender.try_send(session, f"{name}{number}".encode())
        pump(network, 100 * MS, b)
        return there.frames

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert sorted(frame for _, frame in run(1)) == sorted(frame for _, frame in run(2))


def test_a_simulated_run_never_loads_zeromq() -> None:
    modules = ("links", "simulated", "contract", "contract_links", "contract_doors", "keys")
    imports = "; ".join(f"import regrove.transport.{module}" for module in modules)
    code = f"import sys; {imports}; sys.exit('zmq' in sys.modules or 'asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_draw_of_one_pair_does_not_depend_on_the_traffic_of_another() -> None:
    def arrival(noise: int) -> int:
        seen: list[int] = []

        def latency(key: Key) -> int:
            delay = MS + draw_of(f"{key.source}>{key.target}")(f"{key.dial}", key.ordinal) % MS
            if key.source == "a":
                seen.append(delay)
            return delay

        network = SimulatedNetwork(latency=latency)
        a, _ = end(network, "a")
        b, _ = end(network, "b")
        c, _ = end(network, "c")
        endpoint = b.listen("sim://b")
        other = c.open(endpoint)
        for _ in range(noise):
            c.try_send(other, b"noise")
        a.try_send(a.open(endpoint), b"signal")
        return sum(seen)

    assert arrival(0) == arrival(50)
