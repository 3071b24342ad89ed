"""A core that drains: which doors are closed, what goes on, and what it says it has left."""

from __future__ import annotations

from regrove import Accept, Child, Close, Closed, Listen
from regrove.node.core import remote
from regrove.node.core.address import Home
from regrove.node.core.draining import LOOK_NS
from regrove.node.core.ports import DrainCore, DrainLeft, IoCancel, IoDone, IoRelease, IoRequest, StopCore, Stopped
from regrove.supervisor.reasons import Shutdown
from tests.core.bench import Bench, script


def left(bench: Bench) -> list[DrainLeft]:
    return [output for output in bench.control if isinstance(output, DrainLeft)]


def server() -> tuple[Bench, list[object]]:
    """An isolate that listens and waits in Accept; its listener is number 7."""
    log: list[object] = []
    steps = {
        "start": lambda self, ctx, _: Listen("127.0.0.1", 0),
        "Listening": lambda self, ctx, outcome: Accept(outcome.listener),
    }
    bench = Bench(Child("door", script(log, **steps)))
    (listen,) = [command for command in bench.io if isinstance(command, IoRequest)]
    bench.settle([IoDone(listen.token, (7, "127.0.0.1", 4000))])
    return bench, log


def test_a_listener_is_closed_outside_and_its_isolate_goes_on_waiting() -> None:
    bench, log = server()
    accept = [command for command in bench.io if isinstance(command, IoRequest)][-1]
    bench.io.clear()
    bench.settle(control=[DrainCore()])
    assert bench.io == [IoCancel(accept.token), IoRelease(7)]
    assert bench.alive("root/door")
    assert log == []


def test_draining_twice_closes_once() -> None:
    bench, _ = server()
    bench.settle(control=[DrainCore()])
    bench.io.clear()
    bench.settle(control=[DrainCore()])
    assert bench.io == []


def test_a_listener_closed_by_its_isolate_while_draining_is_closed_for_it_at_once() -> None:
    log: list[object] = []
    steps = {
        "start": lambda self, ctx, _: Listen("127.0.0.1", 0),
        "Listening": lambda self, ctx, outcome: setattr(self, "kept", outcome.listener),
        "close": lambda self, ctx, _: Close(self.kept),
    }
    bench = Bench(Child("door", script(log, **steps)))
    (listen,) = [command for command in bench.io if isinstance(command, IoRequest)]
    bench.settle([IoDone(listen.token, (7, "127.0.0.1", 4000))])
    bench.settle(control=[DrainCore()])
    bench.io.clear()
    bench.tell("root/door", "close")
    assert [type(entry) for entry in log] == [Closed]
    assert bench.io == []


def test_a_port_is_not_listened_on_while_draining() -> None:
    bench = Bench(Child("door", script(listen=lambda self, ctx, _: Listen("127.0.0.1", 0))))
    bench.settle(control=[DrainCore()])
    bench.tell("root/door", "listen")
    assert [command for command in bench.io if isinstance(command, IoRequest)] == []
    assert bench.alive("root/door")


def test_a_core_with_nothing_left_says_so_once_and_sleeps() -> None:
    bench = Bench(Child("idle", script()))
    outputs = bench.step(control=[DrainCore()])
    assert left(bench) == [DrainLeft(0, 0, 0)]
    assert outputs.deadline is None
    bench.tell("root/idle", "more")
    assert len(left(bench)) == 1


def test_open_streams_are_left_until_they_are_closed() -> None:
    bench, _ = server()
    accept = [command for command in bench.io if isinstance(command, IoRequest)][-1]
    bench.settle([IoDone(accept.token, (8, "10.0.0.9:1"))])
    outputs = bench.step(control=[DrainCore()])
    assert left(bench) == [DrainLeft(0, 1, 0)]
    assert outputs.deadline is not None
    bench.core.lifecycle.end(bench.cell("root/door"), Shutdown())
    bench.now += LOOK_NS
    bench.settle()
    assert left(bench)[-1] == DrainLeft(0, 0, 0)


def test_programs_and_names_from_other_nodes_are_refused_and_the_rest_is_taken() -> None:
    bench = Bench(Child("idle", script()))
    bench.settle(control=[DrainCore()])
    draining = bench.core.draining
    assert draining is not None
    program, far, near = Home("client:1", 1, 0, 1), Home("other@h", 1, 0, 1), Home("n@h", 1, 1, 1)
    by_name, by_address = (remote.SEND, "ledger", 0, b""), (remote.SEND, 3, 1, b"")
    refused = [draining.refusal(home, item) for home in (program, far, near) for item in (by_name, by_address)]
    assert [isinstance(reason, Shutdown) for reason in refused] == [True, True, True, False, False, False]
    assert "core 0 of n@h drains" in str(refused[0])


def test_a_child_that_starts_by_listening_does_not_hold_up_a_stop() -> None:
    bench = Bench(Child("door", script(start=lambda self, ctx, _: Listen("127.0.0.1", 0))))
    bench.settle(control=[DrainCore(), StopCore(20.0, Shutdown("SIGTERM"))])
    bench.advance(20)
    assert [type(output) for output in bench.control if isinstance(output, Stopped)] == [Stopped]
