"""Two machines whose packets go nowhere: network namespaces of this machine, joined by a pair of virtual interfaces.

What the simulator does in a cut that stands is what is seen here (docs/decisions/silence.md). Needs root and `ip`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.process.conftest import RunningNode

    StartNode = Callable[..., RunningNode]
else:
    StartNode = Callable[..., Any]

pytestmark = pytest.mark.processes
NOBODY = "02:00:00:00:00:99"


class Machines:
    """Two namespaces, `inside`; what one sends to the other goes to a card that is not there while they are cut."""

    def __init__(self) -> None:
        number = os.getpid()
        self.inside = (f"regrove-a-{number}", f"regrove-b-{number}")
        self.cards = (f"rga{number}"[:15], f"rgb{number}"[:15])
        self.addresses = ("10.211.7.1", "10.211.7.2")
        self.made: list[str] = []

    def make(self) -> None:
        """Raises CalledProcessError where this is not allowed."""
        for name in self.inside:
            ip("netns", "add", name)
            self.made.append(name)
            ip("netns", "exec", name, "true")
        ip("link", "add", self.cards[0], "type", "veth", "peer", "name", self.cards[1])
        for name, card, address in zip(self.inside, self.cards, self.addresses, strict=True):
            ip("link", "set", card, "netns", name)
            ip("-n", name, "addr", "add", f"{address}/24", "dev", card)
            ip("-n", name, "link", "set", card, "up")
            ip("-n", name, "link", "set", "lo", "up")
        self.hardware = [
            ip("-n", name, "-o", "link", "show", card).split("link/ether ")[1].split()[0]
            for name, card in zip(self.inside, self.cards, strict=True)
        ]

    def cut(self) -> None:
        self._send_to(NOBODY, NOBODY)

    def heal(self) -> None:
        self._send_to(*self.hardware)

    def _send_to(self, first: str, second: str) -> None:
        for near, far, hardware in ((0, 1, second), (1, 0, first)):
            entry = (self.addresses[far], "lladdr", hardware, "dev", self.cards[near], "nud", "permanent")
            ip("-n", self.inside[near], "neigh", "replace", *entry)

    def remove(self) -> None:
        for name in self.made:
            ip("netns", "del", name)


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def machines() -> Iterator[Machines]:
    if shutil.which("ip") is None:
        pytest.skip("there is no `ip` (iproute2)")
    made = Machines()
    try:
        made.make()
    except subprocess.CalledProcessError as problem:
        made.remove()
        pytest.skip(f"network namespaces are not allowed here: {problem.stderr.strip()}")
    yield made
    made.remove()


@pytest.fixture
def start_machine(machines: Machines, start_node: StartNode) -> StartNode:
    """Start the node of machine 0 or 1; each is told of the other."""

    def start(number: int, **flags: Any) -> RunningNode:
        own, other = machines.addresses[number], machines.addresses[1 - number]
        return start_node(
            f"m{number}@{own}", cores=1, listen=f"{own}:7100", join=[f"{other}:7100"], insecure=True,
            inside=machines.inside[number], **flags,
        )  # fmt: skip

    return start


def seconds(earlier: dict[str, Any], later: dict[str, Any]) -> float:
    return (datetime.fromisoformat(later["at"]) - datetime.fromisoformat(earlier["at"])).total_seconds()


def one_that_asks_the_other(
    machines: Machines, start_machine: StartNode
) -> tuple[RunningNode, RunningNode, dict[str, Any]]:
    """The node that is asked, the one that asks, and the line of its first answer."""
    asked = start_machine(0)
    asked.wait_line("node up")
    asks = start_machine(1, settings={"asks": f"m0@{machines.addresses[0]}"})
    return asked, asks, asks.wait_line("answered")


def test_a_partition_ends_links_when_tcp_gives_up_and_is_forgotten_when_it_heals(
    machines: Machines, start_machine: StartNode
) -> None:
    asked, asks, last = one_that_asks_the_other(machines, start_machine)
    machines.cut()
    down = asks.wait_line("node down", peer=asked.name)
    assert seconds(last, down) >= 8  # not before tcp has given up: nobody is declared dead sooner
    asked.wait_line("node down", peer=asks.name)
    machines.heal()
    asks.wait_line("node joined", peer=asked.name)
    asks.wait_line("answered", value=f"hello from {asked.name} core 0")
    asked.wait_line("node joined", peer=asks.name)


def test_a_machine_that_went_without_a_word_is_missed_when_it_is_back(
    machines: Machines, start_machine: StartNode
) -> None:
    gone, asks, _ = one_that_asks_the_other(machines, start_machine)
    machines.cut()
    os.killpg(gone.process.pid, signal.SIGKILL)  # its kernel's farewell goes nowhere
    gone.end()
    asks.wait_line("unanswered")
    machines.heal()
    again = start_machine(0)
    again.wait_line("node up")
    down = asks.wait_line("node down", peer=gone.name)
    assert "a newer life" in down["reason"] or "gone" in down["reason"] or "reset" in down["reason"]
    asks.wait_line("node joined", peer=gone.name)
    asks.wait_line("answered", value=f"hello from {gone.name} core 0")
