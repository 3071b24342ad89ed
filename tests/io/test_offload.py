"""Offload to threads and to processes: bounds, refusals, cancels, deaths."""

from __future__ import annotations

import enum
import functools
import hashlib
import math
import os
import select
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from regrove.node.core.effects import Offload
from regrove.node.core.messages import encode, message
from regrove.node.core.ports import IoCancel
from regrove.node.core.reasons import Busy, OsError, Raised, TooLarge
from regrove.node.io import Edge, EdgeLimits, EdgeStatistics
from regrove.node.io import offload as offload_module
from regrove.node.io.contract import Bench
from regrove.node.io.frames import HEADER
from regrove.node.io.offload import importable_name
from regrove.node.io.process_offload import modules_of

MakeBench = Callable[..., Bench]
Place = pytest.mark.parametrize("where", ["thread", "process"])


def statistics(bench: Bench) -> EdgeStatistics:
    assert isinstance(bench.port, Edge)
    return bench.port.statistics()


def settle(bench: Bench, condition: Callable[[], bool]) -> None:
    for _ in range(400):
        if condition():
            return
        bench.has_ended(0)
        bench._advance()
    raise AssertionError("the condition did not come true")


class Held:
    """A function that stays inside until it is let go, importable as `regrove.node.io.offload:held`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go_on = threading.Event()
        self.started: list[int] = []

        def held(number: int) -> int:
            self.started.append(number)
            assert self.go_on.wait(10)
            return number

        held.__module__, held.__qualname__ = offload_module.__name__, "held"
        monkeypatch.setattr(offload_module, "held", held, raising=False)
        self.function = held


# What may be offloaded


@pytest.mark.parametrize("function", [math.factorial, len, hashlib.sha256, os.path.join, importable_name, Held])
def test_functions_and_classes_at_the_top_of_a_module_are_importable(function: Callable[..., object]) -> None:
    assert not isinstance(importable_name(function), Raised)


def test_what_is_not_importable_is_refused_with_the_mend() -> None:
    def inner() -> None: ...

    partial = functools.partial(math.factorial, 3)
    refusable: list[Callable[..., object]] = [inner, lambda: None, partial, "text".upper, dict.fromkeys, Place]
    for function in refusable:
        refused = importable_name(function)
        assert isinstance(refused, Raised)
        assert refused.type == "NotImportable"
        assert "top level of a module" in refused.text


def test_a_function_that_was_replaced_in_its_module_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    old = offload_module.raised
    monkeypatch.setattr(offload_module, "raised", repr)
    refused = importable_name(old)
    assert isinstance(refused, Raised)
    assert "names something else" in refused.text


@Place
def test_both_places_refuse_what_is_not_importable(bench: Bench, where: str) -> None:
    refused = bench.run(Offload(lambda: 1, where=where))  # type: ignore[arg-type]
    assert refused.type == "NotImportable"


# Values and exceptions


@Place
def test_a_function_gets_its_arguments_and_returns_its_value(bench: Bench, where: str) -> None:
    assert bench.run(Offload(math.comb, 60, 30, where=where)) == math.comb(60, 30)  # type: ignore[arg-type]


@Place
def test_an_exception_comes_as_its_type_and_text(bench: Bench, where: str) -> None:
    refused = bench.run(Offload(int, "many", where=where))  # type: ignore[arg-type]
    assert refused == Raised("ValueError", "invalid literal for int() with base 10: 'many'")


@Place
def test_an_exit_inside_the_function_ends_neither_thread_nor_worker(bench: Bench, where: str) -> None:
    for _ in range(6):
        assert bench.run(Offload(sys.exit, "enough", where=where)) == Raised("SystemExit", "enough")  # type: ignore[arg-type]


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_an_exception_without_a_text_is_still_told() -> None:
    assert offload_module.raised(Unprintable()) == Raised("Unprintable", "its text could not be made: RuntimeError")


# Threads at their bound


def test_beyond_threads_and_queue_an_offload_is_busy_at_once(
    benches: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = benches(EdgeLimits(offload_threads=2, offload_queue=3))
    held = Held(monkeypatch)
    taken = [bench.begin(Offload(held.function, number)) for number in range(5)]
    assert bench.run(Offload(held.function, 5)) == Busy()
    assert (statistics(bench).threads_busy, statistics(bench).threads_waiting) == (2, 3)
    held.go_on.set()
    assert [bench.end(token) for token in taken] == [0, 1, 2, 3, 4]
    assert sorted(held.started[:2]) == [0, 1]
    assert bench.run(Offload(held.function, 6)) == 6


def test_a_cancelled_function_keeps_its_thread_until_it_ends(
    benches: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = benches(EdgeLimits(offload_threads=1, offload_queue=1))
    held = Held(monkeypatch)
    cancelled = bench.begin(Offload(held.function, 1))
    bench.submit(IoCancel(cancelled))
    waiting = bench.begin(Offload(held.function, 2))
    assert bench.run(Offload(held.function, 3)) == Busy()
    held.go_on.set()
    assert bench.end(waiting) == 2
    assert not bench.has_ended(cancelled)


def test_an_offload_cancelled_in_the_queue_never_runs(benches: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = benches(EdgeLimits(offload_threads=1, offload_queue=2))
    held = Held(monkeypatch)
    first, second, third = (bench.begin(Offload(held.function, number)) for number in range(3))
    bench.submit(IoCancel(second))
    assert statistics(bench).threads_waiting == 1
    held.go_on.set()
    assert [bench.end(first), bench.end(third)] == [0, 2]
    assert held.started == [0, 2]


def test_without_any_thread_an_offload_fails_and_the_next_one_tries_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        assert bench.run(Offload(math.factorial, 3)) == OsError(
            "EAGAIN", "no worker thread can be started: can't start new thread"
        )
    assert bench.run(Offload(math.factorial, 3)) == 6


def test_closing_the_edge_does_not_wait_for_a_function_that_hangs(
    benches: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = benches()
    held = Held(monkeypatch)
    bench.begin(Offload(held.function, 1))
    benches.made.clear()  # type: ignore[attr-defined]
    assert isinstance(bench.port, Edge)
    bench.port.close()
    bench.poller.close()  # type: ignore[attr-defined]
    assert not held.go_on.is_set()
    held.go_on.set()
    for thread in threading.enumerate():
        if thread.name.startswith("regrove-"):
            thread.join(10)
    assert not any(thread.name.startswith("regrove-") for thread in threading.enumerate())


# Worker processes


class Colour(enum.Enum):
    RED = "red"


@message
class Work:
    name: str
    sizes: list[int]


@message
class Batch:
    work: tuple[Work, ...]
    colour: Colour


def test_the_modules_of_all_classes_inside_a_value_are_found() -> None:
    value = ({"key": [Batch((Work("a", [1]),), Colour.RED)]}, OsError("EIO"))
    assert modules_of(value) == (__name__, OsError.__module__)
    assert modules_of((1, "text", None, b"", 2.5, True)) == ()


APPLICATION = """
import enum, os, signal, sys, time
from regrove.node.core.messages import message

class Colour(enum.Enum):
    RED = "red"

@message
class Job:
    name: str
    sizes: list[int]
    colour: Colour

@message
class Answer:
    total: int
    job: Job
    worker: int

def work(job):
    return Answer(sum(job.sizes), job, os.getpid())

def pid():
    return os.getpid()

def hang(path):
    with open(path + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(path + ".new", path)
    while True:
        time.sleep(60)

def tell_and_hang(path):
    with open(path, "w") as pipe:
        pipe.write(str(os.getpid()))
    while True:
        time.sleep(60)

def set_result():
    return {1, 2}

def long_result(count):
    return bytes(count)

def die(number):
    os.kill(os.getpid(), number)

def hang_up():
    os.closerange(3, 100)
    time.sleep(60)

def ignored():
    return [signal.getsignal(number) == signal.SIG_IGN for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
"""


class Application:
    """A module of its own, importable by this process and its workers only through sys.path."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import importlib

        name = "application_of_the_offload_tests"
        (folder / f"{name}.py").write_text(APPLICATION)
        monkeypatch.syspath_prepend(str(folder))
        self.module = importlib.import_module(name) if name not in sys.modules else sys.modules[name]

    def __getattr__(self, name: str) -> Callable[..., object]:
        found: Callable[..., object] = getattr(self.module, name)
        return found


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> object:
    patch = pytest.MonkeyPatch()
    yield Application(tmp_path_factory.mktemp("application"), patch)
    patch.undo()


def in_process(function: Callable[..., object], *arguments: object) -> Offload:
    return Offload(function, *arguments, where="process")


def test_messages_travel_to_a_worker_and_back(bench: Bench, application: Application) -> None:
    job = application.Job("sum", [1, 2, 3], application.module.Colour.RED)
    answer = bench.run(in_process(application.work, job))
    assert (answer.total, answer.job) == (6, job)
    assert answer.worker != os.getpid()


def test_a_worker_is_kept_for_the_next_function(bench: Bench, application: Application) -> None:
    assert len({bench.run(in_process(application.pid)) for _ in range(3)}) == 1


def wait_for_file(bench: Bench, path: Path) -> int:
    settle(bench, path.exists)
    return int(path.read_text())


def wait_for_end(pid: int) -> None:
    """Wait for the end of a process that is no child of ours, or was one and is reaped."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([fd], [], [], 10)[0], f"process {pid} lives on"
    finally:
        os.close(fd)


def test_a_cancel_kills_the_worker_and_the_next_function_gets_another(
    benches: MakeBench, application: Application, tmp_path: Path
) -> None:
    bench = benches(EdgeLimits(offload_processes=1, offload_queue=1))
    hanging = bench.begin(in_process(application.hang, str(tmp_path / "pid")))
    queued = bench.begin(in_process(application.pid))
    assert bench.run(in_process(application.pid)) == Busy()
    assert (statistics(bench).processes_busy, statistics(bench).processes_waiting) == (1, 1)
    pid = wait_for_file(bench, tmp_path / "pid")
    bench.submit(IoCancel(hanging))
    assert bench.end(queued) != pid
    wait_for_end(pid)
    assert not bench.has_ended(hanging)


def test_an_offload_cancelled_in_the_queue_of_processes_never_runs(
    benches: MakeBench, application: Application, tmp_path: Path
) -> None:
    bench = benches(EdgeLimits(offload_processes=1))
    first = bench.begin(in_process(application.hang, str(tmp_path / "one")))
    second = bench.begin(in_process(application.hang, str(tmp_path / "two")))
    third = bench.begin(in_process(application.pid))
    bench.submit(IoCancel(second))
    bench.submit(IoCancel(first))
    assert isinstance(bench.end(third), int)
    assert not (tmp_path / "two").exists()


def test_a_worker_that_dies_fails_its_function_and_is_replaced(bench: Bench, application: Application) -> None:
    pid = bench.run(in_process(application.pid))
    died = bench.run(in_process(application.die, int(signal.SIGKILL)))
    assert died.type == "WorkerDied"
    assert "application_of_the_offload_tests:die was ended by SIGKILL" in died.text
    assert bench.run(in_process(os._exit, 3)).text.endswith("posix:_exit exited with code 3")
    assert bench.run(in_process(application.pid)) != pid


def test_a_worker_that_hangs_up_is_killed(bench: Bench, application: Application) -> None:
    assert bench.run(in_process(application.hang_up)).type == "WorkerDied"


def test_a_worker_whose_core_is_gone_when_it_answers_ends_without_a_word() -> None:
    ours, theirs = socket.socketpair()
    program = f"from regrove.node.io.worker import main; main({theirs.fileno()}, {os.getpid()})"
    process = subprocess.Popen(
        [sys.executable, "-c", program], pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True
    )
    theirs.close()
    request = encode(("math", "sqrt", (), encode((4.0,))))
    ours.sendall(HEADER.pack(len(request)) + request)
    ours.close()
    assert (process.communicate(timeout=60)[1], process.returncode) == ("", 0)


def test_a_worker_that_dies_idle_is_not_used_again(bench: Bench, application: Application) -> None:
    pid = bench.run(in_process(application.pid))
    os.kill(pid, signal.SIGKILL)
    wait_for_end(pid)
    settle(bench, lambda: not bench.port._processes._idle)  # type: ignore[attr-defined]
    assert bench.run(in_process(application.pid)) != pid


def test_what_does_not_travel_is_refused_on_either_way(bench: Bench, application: Application) -> None:
    refused = bench.run(in_process(application.work, {1, 2}))
    assert refused.type == "UnsendableValue"
    assert "set" in refused.text
    refused = bench.run(in_process(application.set_result))
    assert refused.type == "UnsendableValue"
    assert "set" in refused.text


def test_arguments_and_results_that_are_too_long_are_refused(
    bench: Bench, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bench.run(in_process(len, bytes(65 * 1024 * 1024))) == TooLarge()
    assert bench.run(in_process(len, bytes(30 * 1024 * 1024))) == 30 * 1024 * 1024
    assert len(bench.run(in_process(application.long_result, 30 * 1024 * 1024))) == 30 * 1024 * 1024
    assert bench.run(in_process(application.long_result, 65 * 1024 * 1024)).type == "OverflowError"


def test_a_worker_ignores_the_signals_that_go_to_the_whole_group(bench: Bench, application: Application) -> None:
    assert bench.run(in_process(application.ignored)) == [True, True, True]


def test_a_function_of_main_is_refused_for_a_process(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def local() -> None: ...

    local.__module__, local.__qualname__ = "__main__", "local"
    monkeypatch.setattr(sys.modules["__main__"], "local", local, raising=False)
    refused = bench.run(in_process(local))
    assert refused.type == "NotImportable"
    assert "__main__" in refused.text


def test_a_worker_that_cannot_be_started_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    refused = bench.run(in_process(math.factorial, 3))
    assert refused.name == "ENOENT"
    assert "start a worker process" in refused.text
    monkeypatch.undo()
    assert bench.run(in_process(math.factorial, 3)) == 6


def test_closing_the_edge_leaves_no_worker(benches: MakeBench, application: Application, tmp_path: Path) -> None:
    bench = benches()
    idle = bench.run(in_process(application.pid))
    bench.begin(in_process(application.hang, str(tmp_path / "pid")))
    second = bench.begin(in_process(application.hang, str(tmp_path / "other")))
    pids = [idle, wait_for_file(bench, tmp_path / "pid"), wait_for_file(bench, tmp_path / "other")]
    bench.submit(IoCancel(second))
    benches.made.clear()  # type: ignore[attr-defined]
    bench.port.close()  # type: ignore[attr-defined]
    bench.poller.close()  # type: ignore[attr-defined]
    for pid in pids:
        assert not Path(f"/proc/{pid}").exists()


CORE = """
    import sys
    from regrove.node.core.effects import Offload
    from regrove.node.core.ports import IoRequest
    from regrove.node.io import Edge, Poller
    sys.path.insert(0, sys.argv[1])
    import application_of_the_offload_tests as application
    poller = Poller()
    edge = Edge(poller, sys.argv[2])
    edge.submit([IoRequest(1, Offload(application.tell_and_hang, sys.argv[2], where="process"))])
    while True:
        poller.wait(None)
"""


@pytest.mark.processes
def test_a_worker_does_not_outlive_a_core_that_is_killed(application: Application, tmp_path: Path) -> None:
    folder = Path(application.module.__file__ or "").parent
    path = tmp_path / "pid"
    os.mkfifo(path)
    told = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    command = [sys.executable, "-c", textwrap.dedent(CORE), str(folder), str(path)]
    with subprocess.Popen(command) as core:
        try:
            assert select.select([told], [], [], 20)[0], "the worker never began"
            worker = int(os.read(told, 32))
        finally:
            core.kill()
            os.close(told)
    wait_for_end(worker)
