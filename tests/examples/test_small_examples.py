"""The small examples in simulation and on a real node: what their texts say is what they do."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

import regrove
from examples import counter, dispatcher, echo, gather, pool, push
from regrove import Application
from regrove.testing import Simulation
from tests.examples.servers import LIMIT
from tests.ports import free_port

FOLDER = Path(counter.__file__).parent


@pytest.mark.parametrize("name", ["echo", "pool", "gather", "push"])
def test_the_four_programs_have_at_most_forty_lines(name: str) -> None:
    assert len((FOLDER / f"{name}.py").read_text().splitlines()) <= 40


# --- in simulation -------------------------------------------------------------------------------------------------


def test_a_counter_counts_and_begins_again_after_a_crash() -> None:
    with Simulation(counter.app) as sim:
        for amount in (5, -2):
            assert sim.send("counter", counter.Add(amount))
        assert sim.call("counter", counter.Total()) == 13
        sim.kill(sim.find("root/counter"))
        sim.settle()
        assert sim.call("counter", counter.Total()) == 10
        assert sim.find("root/counter").incarnation == 2


def test_a_dispatcher_answers_from_its_workers() -> None:
    with Simulation(dispatcher.app) as sim:
        for number in (0, 1, 15, 16, 10**15):
            answer = sim.call("dispatcher", dispatcher.Root(number))
            assert answer.value**2 <= number < (answer.value + 1) ** 2


def test_a_job_that_crashes_its_worker_fails_alone() -> None:
    with Simulation(dispatcher.app) as sim:
        for _ in range(3 * dispatcher.WORKERS):
            assert sim.call("dispatcher", dispatcher.Root(-1)) == dispatcher.JobFailed("Crashed")
            assert sim.call("dispatcher", dispatcher.Root(4)) == dispatcher.Answer(2)
        workers = [sim.find(f"root/workers/worker-{number}") for number in range(dispatcher.WORKERS)]
        assert sum(worker.incarnation for worker in workers) == 4 * dispatcher.WORKERS


def test_a_stale_address_is_told_at_once_and_the_next_worker_gets_the_job() -> None:
    with Simulation(dispatcher.app) as sim:
        for number in range(dispatcher.WORKERS):
            sim.kill(sim.find(f"root/workers/worker-{number}"))
        sim.settle()
        for number in range(10):
            assert sim.call("dispatcher", dispatcher.Root(number * number)) == dispatcher.Answer(number)
        (desk,) = sim.isolates(dispatcher.Dispatcher)
        assert desk.stale == dispatcher.WORKERS
        assert len(desk.free) == dispatcher.WORKERS


def test_a_dispatcher_without_workers_takes_a_bounded_number_of_jobs() -> None:
    with Simulation(dispatcher.app) as sim:
        sim.supervisor("root").terminate_child("workers")
        (desk,) = sim.isolates(dispatcher.Dispatcher)
        desk.free.clear()
        for _ in range(dispatcher.QUEUE):
            with pytest.raises(regrove.RegroveError):
                sim.call("dispatcher", dispatcher.Root(4), timeout=0.001)
        assert sim.call("dispatcher", dispatcher.Root(4)) == dispatcher.Overloaded()


def test_echo_gives_every_client_its_own_bytes_back() -> None:
    with Simulation(echo.app, seed=3) as sim:
        streams = [sim.connect(7007) for _ in range(5)]
        for number, stream in enumerate(streams):
            stream.send(b"%d" % number * 50_000)
        for number, stream in enumerate(streams):
            assert stream.read(50_000) == b"%d" % number * 50_000
            stream.close()
        sim.until(lambda: not sim.isolates(echo.Echo))


def test_a_pool_keeps_its_rate_and_holds_senders_back() -> None:
    with Simulation(pool.app) as sim:
        began, refused = sim.now, 0
        for number in range(100):
            while not sim.send("pool", number):
                refused += 1
                sim.run("10ms")
        sim.settle()
        sim.run("1s")
        done = [sim.call(f"worker-{number}", "finished") for number in range(pool.WORKERS)]
        assert done == [25] * pool.WORKERS
        assert refused > 0
        assert sim.now - began >= 24 * 1_000_000_000 // pool.RATE


def test_a_full_pool_says_so_at_once() -> None:
    with Simulation(pool.app) as sim:
        accepted = [bool(sim.send("pool", number)) for number in range(20)]
        assert accepted == [True] * pool.Pool.mailbox_capacity + [False] * (20 - pool.Pool.mailbox_capacity)


def test_gather_takes_the_best_of_those_that_answer_in_time() -> None:
    with Simulation(gather.app) as sim:
        began = sim.now
        assert sim.call("desk", gather.Price("tea")) == {"best": 99, "answers": 2}
        assert 200_000_000 <= sim.now - began < 210_000_000


def test_a_guest_reads_and_is_pushed_to_at_the_same_time() -> None:
    with Simulation(push.app) as sim:
        one, two = sim.connect(7008), sim.connect(7008)
        sim.run("100ms")
        one.send(b"hello\n")
        assert (one.read_until(b"\n"), two.read_until(b"\n")) == (b"hello\n", b"hello\n")
        two.send(b"hi\n")
        assert (one.read_until(b"\n"), two.read_until(b"\n")) == (b"hi\n", b"hi\n")
        two.close()
        sim.until(lambda: len(sim.isolates(push.Guest)) == 1)
        one.send(b"anyone?\n")
        assert one.read_until(b"\n") == b"anyone?\n"


@pytest.mark.parametrize(
    "app", [counter.app, dispatcher.app, echo.app, pool.app, gather.app, push.app], ids=lambda app: app.name
)
def test_the_same_seed_is_the_same_run(app: Application) -> None:
    digests = []
    for seed in (1, 1):
        with Simulation(app, nodes=2, cores=2, seed=seed) as sim:
            sim.run("1s")
            digests.append(sim.trace.digest)
    assert digests[0] == digests[1]


# --- on a real node ------------------------------------------------------------------------------------------------


@pytest.mark.processes
def test_a_real_counter_counts() -> None:
    with regrove.start("examples.counter:app", cores=2) as node:
        assert node.send("counter", counter.Add(5))
        assert node.call("counter", counter.Total()) == 15


@pytest.mark.processes
def test_a_real_dispatcher_goes_on_after_crashes() -> None:
    with regrove.start("examples.dispatcher:app", cores=1) as node:
        for number in range(8):
            assert node.call("dispatcher", dispatcher.Root(-1)) == dispatcher.JobFailed("Crashed")
            assert node.call("dispatcher", dispatcher.Root(number * number)) == dispatcher.Answer(number)


@pytest.mark.processes
def test_a_real_desk_gathers_and_a_real_pool_works() -> None:
    with regrove.start("examples.gather:app", cores=1) as node:
        answer = node.call("desk", gather.Price("tea"))
        assert 1 <= answer["answers"] <= 2  # a machine under load may make the second shop late too
        assert answer["best"] in (99, 100)
    with regrove.start("examples.pool:app", cores=1) as node:
        assert all(node.send("pool", number) for number in range(pool.WORKERS))
        until = time.monotonic() + LIMIT
        while sum(node.call(f"worker-{number}", "finished") for number in range(pool.WORKERS)) < pool.WORKERS:
            assert time.monotonic() < until


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=LIMIT)


def read(stream: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = stream.recv(count - len(data))
        assert piece
        data += piece
    return data


@pytest.mark.processes
def test_a_real_echo_and_a_real_chat() -> None:
    port = free_port()
    settings: dict[str, Any] = {"port": port}
    with regrove.start("examples.echo:app", cores=2, settings=settings), connected(port) as stream:
        for size in (1, 100, 30_000):
            stream.sendall(b"x" * size)
            assert read(stream, size) == b"x" * size
    with regrove.start("examples.push:app", cores=1, settings=settings), connected(port) as one:
        one.sendall(b"a\n")  # its own push tells that it is a guest now
        assert read(one, 2) == b"a\n"
        with connected(port) as two:
            two.sendall(b"hello\n")
            assert (read(one, 6), read(two, 6)) == (b"hello\n", b"hello\n")
            one.sendall(b"bye\n")
            assert (read(one, 4), read(two, 4)) == (b"bye\n", b"bye\n")
