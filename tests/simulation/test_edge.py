"""The simulated I/O edge of a core."""

from __future__ import annotations

from typing import Literal

import pytest

from regrove.node.core.bounds import Bounds
from regrove.node.core.effects import (
    Accept,
    Close,
    Connect,
    IoWait,
    Listen,
    ListFiles,
    Offload,
    Open,
    Read,
    Remove,
    Rename,
    Sync,
    Truncate,
    Write,
)
from regrove.node.core.handles import Listener, Stream
from regrove.node.core.ports import IoCancel, IoDone, IoRelease, IoRequest
from regrove.node.core.reasons import Busy, NotOwner, OsError, Raised
from regrove.node.simulation.clock import SECOND, Clock
from regrove.node.simulation.disk import Disk
from regrove.node.simulation.edge import SimulatedEdge
from regrove.node.simulation.seeds import Draws
from regrove.node.simulation.streams import Tcp

FILE = Stream(0, "file")
TCP = Stream(0, "tcp")


class World:
    """Two nodes of one core."""

    def __init__(self, seed: int = 0) -> None:
        self.clock = Clock()
        self.draws = Draws(seed)
        self.tcp = Tcp(self.clock, self.draws, lambda a, b: True)
        self.disk = Disk("n0@sim", self.draws)
        self.a = self.edge("n0@sim", self.disk)
        self.b = self.edge("n1@sim", Disk("n1@sim", self.draws))
        self.token = 0

    def edge(self, node: str, disk: Disk) -> SimulatedEdge:
        names = {"n0": "n0@sim", "n1": "n1@sim"}
        return SimulatedEdge(node, 0, self.clock, self.draws, self.tcp, disk, Bounds(), names.get, lambda: None)

    def begin(self, edge: SimulatedEdge, wait: IoWait, handle: int = 0) -> int:
        self.token += 1
        edge.submit([IoRequest(self.token, wait, handle)])
        return self.token

    def run(self) -> None:
        self.clock.run_until(self.clock.now + SECOND)

    def do(self, edge: SimulatedEdge, wait: IoWait, handle: int = 0) -> object:
        token = self.begin(edge, wait, handle)
        self.run()
        done = edge.collect()
        assert [one.token for one in done] == [token]
        return done[0].result

    def connection(self) -> tuple[int, int]:
        """Return the handles of a connection from b to a listener of a."""
        listening = self.do(self.a, Listen("127.0.0.1", 80))
        assert isinstance(listening, tuple)
        near = self.do(self.b, Connect("n0", 80))
        accepted = self.do(self.a, Accept(Listener(listening[0], "", 80)), listening[0])
        assert isinstance(near, int)
        assert isinstance(accepted, tuple)
        return near, accepted[0]


def test_bytes_cross_between_two_cores() -> None:
    world = World()
    near, far = world.connection()
    assert world.do(world.b, Write(TCP, b"hello"), near) is None
    got = b""
    while len(got) < 5:
        piece = world.do(world.a, Read(TCP), far)
        assert isinstance(piece, bytes)
        got += piece
    assert got == b"hello"
    assert world.do(world.b, Close(TCP), near) is None
    assert world.do(world.a, Read(TCP), far) == b""


def test_an_accept_waits_for_its_connection() -> None:
    world = World()
    listening = world.do(world.a, Listen("0.0.0.0", 0))
    assert isinstance(listening, tuple)
    handle, _, port = listening
    token = world.begin(world.a, Accept(Listener(handle, "", port)), handle)
    world.run()
    assert world.a.collect() == []
    world.do(world.b, Connect("n0", port))
    (done,) = world.a.collect()
    assert done.token == token


def test_connects_are_refused_when_nobody_listens() -> None:
    world = World()
    result = world.do(world.b, Connect("n0", 81))
    assert isinstance(result, OsError)
    assert result.name == "ECONNREFUSED"
    result = world.do(world.b, Connect("elsewhere", 81))
    assert isinstance(result, OsError)
    assert result.name == "EHOSTUNREACH"


def test_a_port_in_use_is_refused() -> None:
    world = World()
    world.do(world.a, Listen("127.0.0.1", 80, shared=False))
    result = world.do(world.a, Listen("127.0.0.1", 80))
    assert isinstance(result, OsError)
    assert result.name == "EADDRINUSE"


def test_a_cancelled_read_takes_no_bytes() -> None:
    world = World()
    near, far = world.connection()
    token = world.begin(world.a, Read(TCP), far)
    world.do(world.b, Write(TCP, b"kept"), near)
    world.a.submit([IoCancel(token)])
    assert world.a.collect() == []
    got = b""
    while len(got) < 4:
        piece = world.do(world.a, Read(TCP), far)
        assert isinstance(piece, bytes)
        got += piece
    assert got == b"kept"


def test_a_second_read_at_a_time_is_refused() -> None:
    world = World()
    _, far = world.connection()
    world.begin(world.a, Read(TCP), far)
    assert world.do(world.a, Read(TCP), far) == Busy()


def test_what_a_cancelled_accept_would_have_opened_is_closed() -> None:
    world = World()
    listening = world.do(world.a, Listen("127.0.0.1", 80))
    assert isinstance(listening, tuple)
    token = world.begin(world.a, Accept(Listener(listening[0], "", 80)), listening[0])
    near = world.do(world.b, Connect("n0", 80))
    assert isinstance(near, int)
    world.a.submit([IoCancel(token)])
    assert world.a.collect() == []
    assert world.do(world.b, Read(TCP), near) == b""


def test_a_released_stream_is_closed_without_an_answer() -> None:
    world = World()
    near, far = world.connection()
    world.a.submit([IoRelease(far)])
    assert world.a.collect() == []
    assert world.do(world.b, Read(TCP), near) == b""
    assert world.do(world.a, Read(TCP), far) == NotOwner()


def test_the_end_of_a_core_closes_its_connections_and_its_listeners() -> None:
    world = World()
    near, _ = world.connection()
    token = world.begin(world.b, Read(TCP), near)
    world.a.die()
    world.run()
    assert world.b.collect() == [IoDone(token, b"")]
    result = world.do(world.b, Connect("n0", 80))
    assert isinstance(result, OsError)
    assert result.name == "ECONNREFUSED"


def test_a_file_is_written_synced_read_cut_renamed_listed_and_removed() -> None:
    world = World()
    handle = world.do(world.a, Open("log", "a"))
    assert isinstance(handle, int)
    assert world.do(world.a, Write(FILE, b"hello world"), handle) is None
    assert world.do(world.a, Sync(FILE), handle) is None
    assert world.do(world.a, Truncate(FILE, 5), handle) is None
    assert world.do(world.a, Write(FILE, b"!"), handle) is None
    assert world.do(world.a, Rename("log", "other")) is None
    assert world.do(world.a, ListFiles()) == ("other",)
    reader = world.do(world.a, Open("other", "r"))
    assert isinstance(reader, int)
    assert world.do(world.a, Read(FILE, 3), reader) == b"hel"
    assert world.do(world.a, Read(FILE, 100), reader) == b"lo!"
    assert world.do(world.a, Read(FILE, 100), reader) == b""
    assert world.do(world.a, Remove("other")) is None
    result = world.do(world.a, Open("other", "r"))
    assert isinstance(result, OsError)
    assert result.name == "ENOENT"


def test_a_path_outside_the_data_folder_is_refused() -> None:
    world = World()
    for path in ("/etc/passwd", "../up", "a/../../b"):
        result = world.do(world.a, Open(path, "r"))
        assert isinstance(result, OsError)
        assert result.name == "EACCES"


def test_operations_on_one_file_end_in_the_order_they_were_asked_for() -> None:
    world = World()
    handle = world.do(world.a, Open("log", "a"))
    assert isinstance(handle, int)
    first = world.begin(world.a, Write(FILE, b"first "), handle)
    sync = world.begin(world.a, Sync(FILE), handle)
    closed = world.begin(world.a, Close(FILE), handle)
    world.run()
    assert [done.token for done in world.a.collect()] == [first, sync, closed]
    assert bytes(world.disk.files["log"].durable) == b"first "


def test_a_second_write_at_a_time_is_refused() -> None:
    world = World()
    handle = world.do(world.a, Open("log", "a"))
    assert isinstance(handle, int)
    world.begin(world.a, Write(FILE, b"first"), handle)
    assert world.begin(world.a, Write(FILE, b"second"), handle)
    assert [done.result for done in world.a.collect()] == [Busy()]


def test_a_full_disk_and_a_failing_sync_are_said_by_name() -> None:
    world = World()
    handle = world.do(world.a, Open("log", "a"))
    assert isinstance(handle, int)
    world.disk.full = True
    result = world.do(world.a, Write(FILE, b"x"), handle)
    assert isinstance(result, OsError)
    assert result.name == "ENOSPC"
    world.disk.heal()
    world.disk.failing_sync = True
    result = world.do(world.a, Sync(FILE), handle)
    assert isinstance(result, OsError)
    assert result.name == "EIO"
    world.disk.heal()
    again = world.do(world.a, Sync(FILE), handle)
    assert isinstance(again, OsError), "what a failed sync could not write is forgotten: no later one may succeed"


def test_a_write_under_way_when_its_core_dies_may_be_done_in_part() -> None:
    lengths: dict[int, None] = {}
    for seed in range(40):
        world = World(seed)
        handle = world.do(world.a, Open("log", "a"))
        assert isinstance(handle, int)
        world.begin(world.a, Write(FILE, b"0123456789"), handle)
        world.begin(world.a, Sync(FILE), handle)
        world.a.die()
        content = bytes(world.disk.files["log"].content)
        assert b"0123456789".startswith(content)
        lengths[len(content)] = None
    assert len(lengths) > 4


def test_offloaded_work_returns_raises_and_is_bounded() -> None:
    world = World()
    assert world.do(world.a, Offload(divmod, 7, 2)) == (3, 1)
    result = world.do(world.a, Offload(divmod, 7, 0))
    assert isinstance(result, Raised)
    assert result.type == "ZeroDivisionError"
    tokens = [world.begin(world.a, Offload(divmod, 7, 2)) for _ in range(100)]
    refused = [done.token for done in world.a.collect() if done.result == Busy()]
    assert refused == tokens[4 + 64 :]
    world.run()
    assert len(world.a.collect()) == 68


def grown(numbers: list[int]) -> list[int]:
    numbers.append(len(numbers))
    return numbers


def a_set(count: int) -> object:
    return object() if count else {1}


def test_what_goes_to_a_worker_process_is_a_copy_and_has_to_travel() -> None:
    world = World()
    given = [5]
    assert world.do(world.a, Offload(grown, given, where="process")) == [5, 1]
    assert given == [5]
    for offload in (Offload(grown, [object()], where="process"), Offload(a_set, 1, where="process")):
        refused = world.do(world.a, offload)
        assert isinstance(refused, Raised)
        assert refused.type == "UnsendableValue"
    assert world.do(world.a, Offload(grown, given)) == [5, 1]
    assert given == [5, 1]  # a thread has the same object


@pytest.mark.parametrize("where", ["thread", "process"])
def test_a_cancelled_offload_that_waited_takes_no_place_in_the_queue(where: Literal["thread", "process"]) -> None:
    world = World()
    bounds = Bounds()
    running = bounds.offload_threads if where == "thread" else bounds.offload_processes
    tokens = [world.begin(world.a, Offload(divmod, 7, 2, where=where)) for _ in range(running + bounds.offload_queue)]
    world.a.submit([IoCancel(token) for token in tokens[running:]])
    more = [world.begin(world.a, Offload(divmod, 7, 2, where=where)) for _ in range(bounds.offload_queue)]
    assert world.a.collect() == []
    world.run()
    assert {done.token for done in world.a.collect()} == {*tokens[:running], *more}


def test_a_cancelled_worker_process_makes_room_and_a_thread_stays_busy() -> None:
    for where, at_once in (("thread", False), ("process", True)):
        world = World()
        bounds = Bounds()
        running = bounds.offload_threads if where == "thread" else bounds.offload_processes
        tokens = [world.begin(world.a, Offload(divmod, 7, 2, where=where)) for _ in range(running)]  # type: ignore[arg-type]
        world.a.submit([IoCancel(tokens[0])])
        assert (world.a.offloads._pools[where].running < running) is at_once
        world.run()
        assert world.a.offloads.working == 0


@pytest.mark.parametrize("wait", [Read(FILE), Write(FILE, b""), Sync(FILE), Truncate(FILE, 0), Close(FILE)])
def test_a_closed_handle_is_said_to_be_one(wait: IoWait) -> None:
    world = World()
    assert world.do(world.a, wait, 99) == NotOwner()
