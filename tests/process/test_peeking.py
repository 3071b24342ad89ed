"""Whose turn it is in a core, read from its memory by way of the chart it made at its start."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from regrove import Child, Isolate, Supervisor
from regrove.node.core.core import Core
from regrove.node.process.page import Pages, open_page, write_chart
from regrove.node.process.peeking import Chart, chart_of, path_in, reader
from tests.core.bench import Bench


class Worker(Isolate):
    pass


@pytest.fixture
def core() -> Core:
    shop = Supervisor("shop", [Child("till-1", Worker), Child("café", Worker), Child("x" * 2000, Worker)])
    return Bench(tree=Supervisor("root", [Child("worker", Worker), shop])).core


@pytest.fixture
def chart(core: Core) -> Chart:
    found = chart_of(core)
    assert found is not None, "this Python, or this machine, lets nobody see its memory"
    return found


def test_the_path_of_every_isolate_and_supervisor_is_found_when_its_turn_comes(core: Core, chart: Chart) -> None:
    seen = {}
    for cell in core.cells:
        if cell is not None:
            core.current = cell
            seen[cell.path] = path_in(os.getpid(), chart)
    assert seen.pop("root/shop/café") == ""  # not ASCII: not read
    assert seen.pop("root/shop/" + "x" * 2000) == ""
    assert sorted(seen) == ["root", "root/shop", "root/shop/till-1", "root/worker"]
    assert all(path == found for path, found in seen.items())


def test_a_child_whose_supervisor_lives_elsewhere_is_found_too(core: Core, chart: Chart) -> None:
    cell = next(cell for cell in core.cells if cell is not None and cell.id == "till-1")
    cell.parent = None
    core.current = cell
    assert path_in(os.getpid(), chart) == "till-1"
    cell.own().path = "root/elsewhere/till-1"
    assert path_in(os.getpid(), chart) == cell.path == "root/elsewhere/till-1"


def test_nobodys_turn_has_no_path_and_making_the_chart_leaves_no_trace(core: Core, chart: Chart) -> None:
    assert core.current is None
    assert path_in(os.getpid(), chart) == ""


def test_a_core_without_a_chart_and_a_process_that_is_gone_have_no_path(chart: Chart) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert path_in(pid, chart) == ""
    assert path_in(os.getpid(), Chart()) == ""


def test_pointers_that_lead_nowhere_are_no_path(core: Core, chart: Chart) -> None:
    core.current = next(cell for cell in core.cells if cell is not None)
    assert path_in(os.getpid(), chart._replace(current=2**63)) == ""
    assert path_in(os.getpid(), chart._replace(current=8)) == ""


def shuffled(real: Callable[[int, int], bytes]) -> Callable[[int, int], bytes]:
    return lambda address, count: bytes(reversed(real(address, count)))


def test_a_python_that_keeps_its_objects_elsewhere_has_no_chart(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    from regrove.node.process import peeking

    monkeypatch.setattr(peeking, "reader", lambda fd: shuffled(reader(fd)))
    assert chart_of(core) is None
    assert core.current is None


@pytest.fixture
def pages() -> Iterator[Pages]:
    made = Pages(2)
    yield made
    made.close()


def test_the_chart_of_a_life_is_in_its_page_until_the_next_one(core: Core, chart: Chart, pages: Pages) -> None:
    words = open_page(os.getpid(), pages.fd, 1)
    write_chart(words, chart)
    assert (pages.chart(0), pages.chart(1)) == (Chart(), chart)
    pages.clear(1)
    assert pages.chart(1) == Chart()


def test_what_is_read_is_the_memory_of_that_process(core: Core, chart: Chart) -> None:
    core.current = next(cell for cell in core.cells if cell is not None and cell.id == "worker")
    came, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        core.current = None
        os.write(told, b"\0")
        signal.pause()
    try:
        os.read(came, 1)
        assert (path_in(pid, chart), path_in(os.getpid(), chart)) == ("", "root/worker")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(came)
        os.close(told)
