"""Several joined nodes: everybody meets everybody, and those that come back are found again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.ports import free_port, free_ports

if TYPE_CHECKING:
    from tests.process.conftest import RunningNode

    StartNode = Callable[..., RunningNode]
else:
    StartNode = Callable[..., Any]

pytestmark = pytest.mark.processes


def free_address() -> str:
    return f"127.0.0.1:{free_port()}"


def states(node: RunningNode) -> dict[str, str]:
    with node.control() as control:
        return {row["name"]: row["state"] for row in control.ask("members")["members"]}


def test_a_third_node_that_joins_one_meets_both(start_node: StartNode) -> None:
    address = free_address()
    first = start_node("one@localhost", cores=1, listen=address)
    first.wait_line("node up")
    second = start_node("two@localhost", cores=1, join=[address])
    second.wait_line("node joined", peer="one@localhost")
    with second.control() as control:
        through = control.ask("members")["members"][0]["address"]
    third = start_node("three@localhost", cores=1, join=[through], settings={"asks": "one@localhost"})
    third.wait_line("answered", value="hello from one@localhost core 0")
    first.wait_line("node joined", peer="three@localhost")
    assert states(third) == {"three@localhost": "up", "one@localhost": "up", "two@localhost": "up"}


def test_a_killed_node_that_starts_again_at_its_address_is_joined_again(start_node: StartNode) -> None:
    address = free_address()
    first = start_node("one@localhost", cores=1, listen=address)
    first.wait_line("node up")
    second = start_node("two@localhost", cores=1, join=[address], settings={"asks": "one@localhost"})
    second.wait_line("answered")
    first.process.kill()
    second.wait_line("node down", peer="one@localhost")
    assert states(second)["one@localhost"] == "down"
    first.end()
    again = start_node("one@localhost", cores=1, listen=address)
    second.wait_line("node joined", peer="one@localhost")
    second.wait_line("answered", value="hello from one@localhost core 0")
    again.wait_line("node up")
    assert states(second)["one@localhost"] == "up"


def test_a_core_replaced_on_one_node_is_found_by_the_other(start_node: StartNode) -> None:
    address = free_address()
    first = start_node("one@localhost", cores=2, listen=address)
    first.wait_line("node up")
    second = start_node("two@localhost", cores=1, join=[address], settings={"asks": "one@localhost/1"})
    second.wait_line("answered", value="hello from one@localhost core 1")
    first_pids = first.core_pids()
    os.kill(first_pids[1], signal.SIGKILL)
    up = first.wait_line("core up", core=1, incarnation=2)
    old = datetime.fromisoformat(up["at"]) + timedelta(seconds=1)  # what the old life was asked has failed by then
    while datetime.fromisoformat(second.wait_line("answered", value="hello from one@localhost core 1")["at"]) < old:
        pass


def test_data_ports_come_from_the_range_and_the_same_port_serves_the_replacement(start_node: StartNode) -> None:
    low = free_ports(2)
    node = start_node(cores=2, listen="127.0.0.1:0", data_ports=f"{low}-{low + 1}")
    node.wait_line("node up")
    with node.control() as control:
        remotes = [core["remote"] for core in control.ask("call-info")["cores"]]
    assert remotes == [f"tcp://127.0.0.1:{low}", f"tcp://127.0.0.1:{low + 1}"]
    os.kill(node.core_pids()[1], signal.SIGKILL)
    node.wait_line("core up", core=1, incarnation=2)
    with node.control() as control:
        assert [core["remote"] for core in control.ask("call-info")["cores"]] == remotes
