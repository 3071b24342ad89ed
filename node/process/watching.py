"""The watchdog of a manager, put together: pages, the sampler's thread, and its verdicts as events of the manager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, assert_never

from regrove.node.io.poller import Poller
from regrove.node.process.children import Child
from regrove.node.process.manager_events import CoreHalted, CoreResumed, CoreSlow, CoreStalled, CoreStarved, Event
from regrove.node.process.page import Pages
from regrove.node.process.peeking import path_in
from regrove.node.process.sampler import Found, Sampler
from regrove.node.process.stacks import Code, Stack, left, main_stack, prompt
from regrove.node.process.watchdog import (
    Continued,
    Fed,
    Halted,
    HaltedLong,
    Resumed,
    Slow,
    Stalled,
    Stalling,
    Starved,
)

NOWHERE: Final = "a place that could not be seen"
FAULTS: Final = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT")  # those faulthandler leaves a stack for


class Watchdog:
    """Watches the cores of one manager; events go to `put`. `stall_kill` in ns, None: nothing is killed for it."""

    def __init__(self, pages: Pages, poller: Poller, put: Callable[[Event], None], stall_kill: int | None) -> None:
        self._pages = pages
        self._put = put
        self._code = Code.here()
        self._looked_at: dict[int, str] = {}  # core -> the path of whose turn it was
        self._sampler = Sampler(pages, poller, self._found, stall_kill, self._code)

    def watch(self, child: Child) -> None:
        """Watch the process of a core that is bound."""
        self._sampler.watch(child.core, child.incarnation, child.pid, child.pidfd)

    def look(self, child: Child) -> None:
        """Let a core that is about to be killed say where it stands; `place` has it a few ms later."""
        self._looked_at[child.core] = path_in(child.pid, self._pages.chart(child.core))
        prompt(child.pidfd, self._pages.dumps[child.core])

    def place(self, core: int) -> str:
        """Where a core stood that was looked at before its end; empty when it was not, or could not be seen."""
        path = self._looked_at.pop(core, None)
        place = None if path is None else main_stack(left(self._pages.dumps[core]), self._code).place
        if place is None:
            return ""
        return f"{place} of {path}" if path and not self._code.is_ours(place.file) else str(place)

    def forget(self, core: int, how: str) -> str:
        """The process of a core is gone; `how` with the place where a fault has killed it."""
        self._sampler.forget(core)
        if not how.startswith(tuple(f"killed by {name}" for name in FAULTS)):
            return how
        place = main_stack(left(self._pages.dumps[core]), self._code).place
        return how if place is None else f"{how} at {place}"

    def limit(self, stall_kill: int | None) -> None:
        """Judge by this limit from now on."""
        self._sampler.limit(stall_kill)

    def close(self) -> None:
        """End the sampler and give the pages back."""
        self._sampler.close()
        self._pages.close()

    def _found(self, found: Found) -> None:
        core, life, verdict = found.core, found.incarnation, found.verdict
        match verdict:
            case Slow(held):
                self._put(CoreSlow(core, life, held, _place(found.stack), found.stack.text, found.path))
            case Stalling(held) if self._sampler.confirmed(found):
                self._put(CoreStalled(core, life, held, _place(found.stack), found.stack.text, found.path))
            case Stalled(held) if self._sampler.confirmed(found):
                self._put(CoreStalled(core, life, held, _place(found.stack), found.stack.text, found.path, fatal=True))
            case Stalling() | Stalled():
                pass  # it goes on
            case Resumed(held):
                self._put(CoreResumed(core, life, held))
            case Starved(share):
                self._put(CoreStarved(core, life, share))
            case Fed():
                self._put(CoreStarved(core, life, 0.0))
            case Halted(traced):
                self._put(CoreHalted(core, life, traced=traced))
            case HaltedLong():
                self._put(CoreHalted(core, life, long=True))
            case Continued():
                self._put(CoreHalted(core, life, halted=False))
            case _:
                assert_never(verdict)


def _place(stack: Stack) -> str:
    return NOWHERE if stack.place is None else str(stack.place)
