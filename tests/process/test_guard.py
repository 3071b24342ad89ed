"""One runtime a process, and no blocking call inside a handler."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from regrove.node.process import guard


@pytest.fixture
def claim() -> Iterator[guard.Claim]:
    made = guard.claim("core 0 of one@here", depth=0)
    yield made
    made.release()


def test_a_second_runtime_is_refused_naming_where_the_first_was_started(claim: guard.Claim) -> None:
    with pytest.raises(guard.NodeAlreadyRunning, match="already runs core 0 of one@here") as caught:
        guard.claim("another")
    assert "test_guard.py:" in str(caught.value)
    assert caught.value.first == claim.site


def test_after_a_release_another_may_start(claim: guard.Claim) -> None:
    claim.release()
    claim.release()
    second = guard.claim("another")
    claim.release()
    assert guard.running() == "another"
    second.release()
    assert guard.running() is None


def test_a_blocking_call_is_refused_on_the_thread_of_the_core_only(claim: guard.Claim) -> None:
    with pytest.raises(guard.BlockingCallInHandler, match="return Call"):
        guard.refuse_inside_handler("cluster.call")
    problems: list[BaseException] = []

    def elsewhere() -> None:
        try:
            guard.refuse_inside_handler("cluster.call")
        except guard.BlockingCallInHandler as problem:
            problems.append(problem)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert problems == []


def test_an_ordinary_program_may_block() -> None:
    guard.refuse_inside_handler("cluster.call")
