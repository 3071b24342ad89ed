"""kv on virtual time: full and failing disks, power losses, new numbers of cores, logs that are written anew."""

from __future__ import annotations

import re
from typing import Any

import pytest

from examples.kv import app
from examples.kv.log import read_all
from examples.kv.resp import bulks
from examples.kv.shard import COMPACT_FROM
from regrove import key_to_core
from regrove.testing import OutsideStream, Simulation
from regrove.testing import faults as f
from tests.examples.conversations import CONVERSATIONS
from tests.examples.kv_world import ask
from tests.examples.recorder import PORT, Problem, reply

SYNC = {"sync": "true"}


class Talk:
    """One connection that waits for each answer."""

    def __init__(self, sim: Simulation, core: int | None = None) -> None:
        self.stream: OutsideStream = sim.connect(PORT, node=0, core=core)
        self.rest = b""

    def __call__(self, *words: bytes, within: str = "8s") -> Any:
        self.stream.send(bulks(list(words)))
        while (found := reply(self.rest, 0)) is None:
            piece = self.stream.read(1, within=within) + self.stream.take()
            assert piece, f"{words} has no answer: {self.stream!r}"
            self.rest += piece
        self.rest = self.rest[found[1] :]
        return found[0]


def is_problem(answer: object, start: str) -> bool:
    return isinstance(answer, Problem) and answer.text.startswith(start)


def on_core(core: int, cores: int = 2) -> bytes:
    """A key that lives on that core."""
    return next(key for number in range(100) if key_to_core(key := b"key-%d" % number, cores) == core)


def test_the_same_conversation_is_answered_alike_on_one_core_and_on_three() -> None:
    answers: list[list[tuple[str, bytes]]] = []
    for cores in (1, 3):
        with Simulation(app, cores=cores, seed=cores) as sim:
            answers.append([])
            for about, data in CONVERSATIONS.items():
                if about == "scan":
                    continue
                assert ask(sim, [b"FLUSHALL"]) == b"OK"
                stream = sim.connect(PORT, node=0)
                stream.send(data)
                sim.run("3s")
                answers[-1].append((about, re.sub(rb"id\r\n:\d+", b"id", stream.received())))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("settings", [{}, SYNC], ids=["without sync", "sync"])
def test_a_full_disk_refuses_writes_and_reads_go_on_until_there_is_room(settings: dict[str, str]) -> None:
    with Simulation(app, cores=2, settings=settings) as sim:
        talk = Talk(sim)
        assert talk(b"SET", b"a", b"1") == b"OK"
        sim.nodes[0].disk.full = True
        if not settings:
            talk(b"SET", b"a", b"1")  # it is in memory, as Redis has it, and the disk says no behind the answer
            sim.run("100ms")
        assert is_problem(talk(b"SET", b"a", b"2"), "MISCONF Errors writing to the AOF file: ENOSPC")
        assert is_problem(talk(b"INCR", b"a"), "MISCONF")
        assert is_problem(talk(b"DEL", b"a", on_core(0), on_core(1)), "MISCONF")
        assert talk(b"GET", b"a") == b"1"
        assert talk(b"TTL", b"a") == -1
        sim.nodes[0].disk.heal()
        sim.run("500ms")
        assert talk(b"INCR", b"a") == 2
        sim.run("200ms")
        said = [line["event"] for line in sim.logs if "writes are" in line["event"]]
        assert said.count("kv: writes are refused") == said.count("kv: writes are taken again") == 1
        sim.crash("n0/0")
        sim.crash("n0/1")
        sim.run("5s")
        assert Talk(sim)(b"GET", b"a") == b"2"


def test_one_client_too_many_is_told_so_and_a_place_that_is_free_again_is_given() -> None:
    with Simulation(app, cores=1, settings={"max_clients": "3"}) as sim:
        talks = [Talk(sim) for _ in range(3)]
        assert [talk(b"PING") for talk in talks] == [b"PONG"] * 3
        late = sim.connect(PORT)
        sim.until(lambda: late.over)
        assert late.received() == b"-ERR max number of clients reached\r\n"
        talks[0].stream.close()
        sim.run("1s")
        assert Talk(sim)(b"PING") == b"PONG"


def test_many_keys_that_expire_at_once_are_soon_removed() -> None:
    with Simulation(app, cores=1) as sim:
        stream = sim.connect(PORT)
        for number in range(5_000):
            stream.send(bulks([b"SET", b"key-%d" % number, b"", b"PX", b"500"]))
        sim.until(lambda: stream.received() == b"+OK\r\n" * 5_000)
        assert Talk(sim)(b"DBSIZE") == 5_000
        sim.run("1s")
        assert Talk(sim)(b"DBSIZE") == 0


def test_in_sync_mode_nothing_is_answered_that_is_not_on_the_disk() -> None:
    with Simulation(app, cores=1, settings=SYNC) as sim:
        disk = sim.nodes[0].disk
        disk.slow = 50
        stream = sim.connect(PORT)
        for number in range(30):
            stream.send(bulks([b"SET", b"key-%d" % number, b"x"]))

        def is_durable(_: Simulation) -> bool:
            told = stream.received().count(b"+OK\r\n")
            payloads, _end = read_all(bytes(disk.files["kv/1.0of1.log"].durable))
            return told <= len(payloads)

        sim.always("what is acknowledged is on the platter", is_durable, every="1ms")
        sim.until(lambda: stream.received().count(b"+OK\r\n") == 30)


@pytest.mark.parametrize("seed", range(5))
def test_a_read_does_not_tell_what_could_still_be_lost(seed: int) -> None:
    with Simulation(app, cores=1, settings=SYNC, seed=seed) as sim:
        disk = sim.nodes[0].disk
        disk.slow = 100
        writer, reader = sim.connect(PORT), sim.connect(PORT)
        sim.run("100ms")
        writer.send(bulks([b"SET", b"a", b"1"]))
        sim.until(lambda: sim.find("root/shard").isolate.flushing is not None)
        reader.send(bulks([b"GET", b"a"]))
        clean = sim.connect(PORT)
        clean.send(bulks([b"GET", b"other"]))
        sim.until(lambda: clean.received() == b"$-1\r\n")
        assert (reader.received(), writer.received()) == (b"", b"")
        sim.until(lambda: reader.received() != b"")
        assert len(read_all(bytes(disk.files["kv/1.0of1.log"].durable))[0]) == 1
        sim.until(lambda: (reader.received(), writer.received()) == (b"$1\r\n1\r\n", b"+OK\r\n"))


def test_a_failed_fsync_replaces_the_core_and_keeps_what_was_acknowledged() -> None:
    with Simulation(app, cores=2, settings=SYNC) as sim:
        disk = sim.nodes[0].disk
        key = on_core(1)
        talk = Talk(sim, core=0)
        assert talk(b"SET", key, b"1") == b"OK"
        disk.failing_sync = True
        assert is_problem(talk(b"SET", key, b"2"), "UNKNOWN outcome: core 1")
        assert "kv/1.1of2.log.suspect" in disk.files
        disk.heal()
        sim.until(lambda: "kv/1.1of2.log.suspect" not in disk.files and sim.find("root/clients/acceptor", core=1))
        assert talk(b"GET", key) in (b"1", b"2")
        assert sorted(disk.files) == ["kv/1.0of2.log", "kv/1.1of2.log", "kv/manifest"]
        assert talk(b"SET", key, b"3") == b"OK"
        sim.inject(f.once("crash-node", "n0", at=0, lasts="10ms"))
        sim.run("8s")
        assert Talk(sim)(b"GET", key) == b"3"


def test_a_log_much_longer_than_what_it_holds_is_written_anew() -> None:
    with Simulation(app, cores=1, settings=SYNC) as sim:
        talk = Talk(sim)
        value = b"x" * 100_000
        kept = [b"kept-%d" % number for number in range(20)]
        for key in kept:
            assert talk(b"SET", key, key) == b"OK"
        for number in range(2 * COMPACT_FROM // len(value)):
            assert talk(b"SET", b"key-%d" % (number % 3), value) == b"OK"
        log = sim.nodes[0].disk.files["kv/1.0of1.log"]
        assert len(log.content) < COMPACT_FROM + 10 * len(value)
        assert sorted(sim.nodes[0].disk.files) == ["kv/1.0of1.log", "kv/manifest"]
        sim.inject(f.once("crash-node", "n0", at=0, lasts="10ms"))
        sim.run("8s")
        talk = Talk(sim)
        assert talk(b"MGET", *kept) == kept
        assert talk(b"DBSIZE") == 23
        assert talk(b"GET", b"key-2") == value


@pytest.mark.parametrize("moment", range(0, 40, 3))
def test_a_log_that_is_written_anew_survives_a_power_loss_at_any_moment(moment: int) -> None:
    with Simulation(app, cores=1, settings=SYNC, seed=moment) as sim:
        talk = Talk(sim)
        value = b"x" * 500_000
        number = 0
        while "kv/1.0of1.log.new" not in sim.nodes[0].disk.files:
            assert talk(b"SET", b"key-%d" % (number % 2), value + b"%d" % number) == b"OK"
            number += 1
        stream = sim.connect(PORT)
        for count in range(200):
            stream.send(bulks([b"INCR", b"count"]) + bulks([b"SET", b"last", b"%d" % count]))
        sim.run(f"{moment * 500}us")
        told = stream.received().count(b"+OK\r\n")
        sim.inject(f.once("crash-node", "n0", at=0, lasts="10ms"))
        sim.run("8s")
        talk = Talk(sim)
        assert int(talk(b"GET", b"count") or 0) >= told
        assert int(talk(b"GET", b"last") or 0) >= told - 1
        for back in (1, 2):
            assert talk(b"GET", b"key-%d" % ((number - back) % 2)) == value + b"%d" % (number - back)


# --- a new number of cores -----------------------------------------------------------------------------------------


def moved(before: Simulation, cores: int, seed: int) -> Simulation:
    """A world with that many cores whose disk holds what the other's has on the platter."""
    sim = Simulation(app, cores=cores, settings=SYNC, seed=seed)
    disk = sim.nodes[0].disk
    for path, file in before.nodes[0].disk.files.items():
        copy = disk.open(path, "w")
        disk.write(copy, 0, bytes(file.durable))
        disk.sync(copy)
    return sim


@pytest.mark.parametrize(("first", "second", "third"), [(2, 3, 3), (2, 3, 2), (3, 1, 2), (1, 2, 1)])
@pytest.mark.parametrize("moment", range(0, 270, 15))
def test_keys_survive_a_power_loss_at_any_moment_of_a_new_number_of_cores(
    first: int, second: int, third: int, moment: int
) -> None:
    words = [word for number in range(60) for word in (b"key-%d" % number, b"%d" % number)]
    with Simulation(app, cores=first, settings=SYNC, seed=moment) as sim:
        assert Talk(sim)(b"MSET", *words) == b"OK"
        before = sim
    during = moved(before, second, moment)
    while not any(event.path == "root/journal" for event in during.trace):
        assert during.world.step()
    for _ in range(moment):
        assert during.world.step()
    during.nodes[0].lose_power()
    with moved(during, third, moment) as sim:
        talk = Talk(sim)
        assert talk(b"DBSIZE") == 60
        assert talk(b"MGET", *words[::2]) == words[1::2]
        assert talk(b"INCR", b"key-7") == 8
        sim.inject(f.once("crash-node", "n0", at=0, lasts="10ms"))
        sim.run("8s")
        assert Talk(sim)(b"MGET", b"key-7", b"key-8") == [b"8", b"8"]
        names = sorted(sim.nodes[0].disk.files)
        assert len(names) == third + 1, names
