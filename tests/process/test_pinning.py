"""Which CPU a core is pinned to, and when none is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from regrove.node.process import values
from regrove.node.process.configuration import ConfigError, resolve
from regrove.node.process.pinning import PinMark, plan


def test_auto_pins_when_the_cores_fill_what_this_process_may_use() -> None:
    assert plan("auto", 3, {7, 2, 5}, alone=True).cpus == (2, 5, 7)


@pytest.mark.parametrize(("cores", "alone", "why"), [(2, True, "do not fill"), (3, False, "another node")])
def test_auto_pins_nothing_otherwise_and_says_why(cores: int, alone: bool, why: str) -> None:
    found = plan("auto", cores, {0, 1, 2}, alone)
    assert found.cpus is None
    assert why in found.why


def test_off_pins_nothing() -> None:
    assert plan("off", 2, {0, 1}, alone=True).cpus is None


def test_a_list_is_taken_in_its_order() -> None:
    assert plan("3,0-1", 2, {0, 1, 2, 3}, alone=False).cpus == (3, 0)


def test_a_cpu_this_process_may_not_use_is_refused_with_those_it_may() -> None:
    with pytest.raises(ConfigError, match=r"may not use CPU 9; choose among 0, 1"):
        plan("0,9", 2, {0, 1}, alone=True)


def test_only_one_node_of_a_machine_holds_the_mark() -> None:
    with closing(PinMark()) as one, closing(PinMark()) as other:
        if not one.take():
            pytest.skip("a node that runs on this machine has pinned its cores")
        assert not other.take()
    with closing(PinMark()) as third:
        assert third.take()


@contextmanager
def closing(mark: PinMark) -> Iterator[PinMark]:
    try:
        yield mark
    finally:
        mark.release()


@pytest.mark.parametrize(("raw", "cpus"), [("0-3,8", (0, 1, 2, 3, 8)), ("5", (5,)), ("3,1", (3, 1))])
def test_lists_of_cpus_are_read(raw: str, cpus: tuple[int, ...]) -> None:
    assert values.cpu_numbers(raw) == cpus
    assert values.pin(raw) == raw


@pytest.mark.parametrize("raw", ["", "0-", "3-1", "1,1", "0-9999999", "a", "on", None, True, -1, 1.5])
def test_what_is_no_list_is_refused(raw: object) -> None:
    with pytest.raises(values.BadValue, match="different CPU numbers"):
        values.pin(raw)


def test_fewer_cpus_than_cores_are_refused_at_the_door() -> None:
    with pytest.raises(ConfigError, match="each of the 2 cores needs a CPU of its own"):
        resolve({"app": "a:b", "cores": 2, "pin": "0"}, environ={})
