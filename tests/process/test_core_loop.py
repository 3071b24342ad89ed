"""The loop of one core, its parts played: what the watchdog sees of its boot."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from regrove.node.core.page import PASS_AT, WORDS
from regrove.node.io.poller import Poller
from regrove.node.process.core_loop import CoreLoop, LogLevel


class PlayedCore:
    """Remembers what its page said in each step and when it was booted."""

    def __init__(self) -> None:
        self.words = [0] * WORDS
        self.home = ("one@here", 1, 0, 1)
        self.seen: list[tuple[str, bool]] = []
        self.counters = SimpleNamespace(callbacks=0, ended=0, sent=0)
        self.lifecycle = SimpleNamespace(isolates=0)

    def step(self, _now: int, _inputs: object) -> None:
        self.seen.append(("step", self.words[PASS_AT] != 0))

    def finish(self, _now: int) -> object:
        return SimpleNamespace(io=[], control=[], deadline=None, busy=False)

    def boot(self) -> None:
        self.seen.append(("boot", self.words[PASS_AT] != 0))


def test_what_a_core_does_before_its_tree_starts_is_not_taken_for_a_slow_handler() -> None:
    core, poller = PlayedCore(), Poller()
    edge = SimpleNamespace(collect=list)
    transport = SimpleNamespace(fds=tuple, poll=lambda: False, pending=lambda: False, destroy=lambda linger: None)
    links = SimpleNamespace(statistics=tuple)
    parts = cast("tuple[Any, Any, Any, Any]", (core, edge, transport, links))
    loop = CoreLoop(*parts, poller, LogLevel("info"))
    loop.on_frame(["go", []])
    poller.alarm(0, lambda: loop.on_manager_gone("the test is over"))
    loop.run()
    poller.close()
    assert core.seen == [("step", True), ("boot", False)]
