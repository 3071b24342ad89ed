"""The poller: where a core sleeps."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator

import pytest

from regrove.node.io import Poller

MS = 1_000_000


@pytest.fixture
def poller() -> Iterator[Poller]:
    made = Poller()
    yield made
    made.close()


@pytest.fixture
def event_fd() -> Iterator[int]:
    fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("timeout_ns", [0, 1, 100_000, 999_999, MS, 3 * MS, 3 * MS + 400_000])
def test_a_wait_without_a_ready_source_lasts_its_whole_timeout(poller: Poller, timeout_ns: int) -> None:
    for _ in range(5):
        begin = time.monotonic_ns()
        poller.wait(timeout_ns)
        assert time.monotonic_ns() - begin >= timeout_ns


def test_a_wait_of_a_poller_whose_descriptor_select_cannot_name_lasts_its_timeout(poller: Poller) -> None:
    poller._fine = []
    begin = time.monotonic_ns()
    poller.wait(1_500_000)
    assert time.monotonic_ns() - begin >= 1_500_000


def test_a_ready_source_is_called_with_its_events(poller: Poller, event_fd: int) -> None:
    seen: list[int] = []
    poller.register(event_fd, select.EPOLLIN, seen.append)
    poller.wait(0)
    assert seen == []
    os.eventfd_write(event_fd, 1)
    poller.wait(None)
    assert seen == [select.EPOLLIN]


@pytest.mark.parametrize("timeout_ns", [500_000, 10_000 * MS])
def test_a_source_that_becomes_ready_ends_a_wait_of_any_length(poller: Poller, event_fd: int, timeout_ns: int) -> None:
    seen: list[int] = []
    os.eventfd_write(event_fd, 1)
    poller.register(event_fd, select.EPOLLIN, seen.append)
    begin = time.monotonic_ns()
    poller.wait(timeout_ns)
    assert seen
    assert time.monotonic_ns() - begin < 5_000 * MS


def test_an_unregistered_source_is_not_called_though_it_was_ready_in_the_same_batch(poller: Poller) -> None:
    fds = [os.eventfd(1, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(2)]
    called: list[int] = []

    def forget_the_other(fd: int, other: int) -> None:
        called.append(fd)
        poller.unregister(other)

    poller.register(fds[0], select.EPOLLIN, lambda events: forget_the_other(fds[0], fds[1]))
    poller.register(fds[1], select.EPOLLIN, lambda events: forget_the_other(fds[1], fds[0]))
    poller.wait(0)
    assert len(called) == 1
    for fd in fds:
        os.close(fd)


def test_an_edge_triggered_source_is_reported_once_and_again_after_modify(poller: Poller, event_fd: int) -> None:
    seen: list[int] = []
    poller.register(event_fd, select.EPOLLIN | select.EPOLLET, seen.append)
    os.eventfd_write(event_fd, 1)
    poller.wait(0)
    poller.wait(0)
    assert len(seen) == 1
    poller.modify(event_fd, select.EPOLLIN | select.EPOLLET)
    poller.wait(0)
    assert len(seen) == 2


def test_a_prompt_makes_the_next_wait_return_at_once_and_only_that(poller: Poller) -> None:
    poller.prompt()
    begin = time.monotonic_ns()
    poller.wait(None)
    poller.wait(2 * MS)
    assert time.monotonic_ns() - begin >= 2 * MS


def test_alarms_ring_in_order_never_early_and_end_a_wait_for_ever(poller: Poller) -> None:
    rung: list[str] = []
    begin = time.monotonic_ns()
    poller.alarm(4 * MS, lambda: rung.append("late"))
    poller.alarm(2 * MS, lambda: rung.append("early"))
    while "early" not in rung:
        poller.wait(None)
    assert time.monotonic_ns() - begin >= 2 * MS
    while "late" not in rung:
        poller.wait(None)
    assert time.monotonic_ns() - begin >= 4 * MS
    assert rung == ["early", "late"]
    assert "0 alarms" in repr(poller)
