"""The loop that drives one core on a real machine: links, I/O, control and timers in one poller.

A pass: what the poller brought -> `core.step` -> `core.finish` -> I/O begun, reports sent -> sleep until an input or
the deadline. The loop never spins: it passes again without sleeping only when the core, the transport or the control
pipe has something now.
"""

from __future__ import annotations

import select
import time
import traceback
from typing import Any, Final, assert_never

from regrove.node.core.core import Core
from regrove.node.core.page import PASS_AT
from regrove.node.core.ports import (
    ControlInput,
    ControlOutput,
    DrainLeft,
    Inputs,
    NamesChanged,
    PeerCore,
    Started,
    Stopped,
    TreeReport,
)
from regrove.node.io.edge import Edge
from regrove.node.io.poller import Poller
from regrove.node.process.boot import EXIT_ESCALATED, EXIT_FAILED, EXIT_ORPHANED, EXIT_STOPPED
from regrove.node.process.channel import plain, read_input
from regrove.node.process.collecting import Collector
from regrove.node.process.describing import describe
from regrove.node.process.framing import FramingError
from regrove.node.process.heap import keep_heap
from regrove.node.process.logs import LEVELS
from regrove.node.process.pipe import Pipe
from regrove.records import fields
from regrove.transport.base import Transport
from regrove.transport.events import LinkStatistics
from regrove.transport.handshake import show
from regrove.transport.links import LinkTable

BEAT_NS: Final = 1_000_000_000  # counters go to the manager at most this often, and only when they moved
LINKS_LIMIT_NS: Final = 2_000_000_000  # what a tree waits for the links to the node's other cores
LAST_WORDS_S: Final = 1.0  # what a process waits at its end for the manager to read


class CoreLoop:
    """Runs `core` until it stops, escalates or loses its manager; `run` returns the exit code of the process."""

    def __init__(
        self, core: Core, edge: Edge, transport: Transport, links: LinkTable, poller: Poller, level: LogLevel
    ) -> None:
        self._core = core
        self._edge = edge
        self._transport = transport
        self._links = links
        self._poller = poller
        self._level = level
        self._words = core.words
        self._pipe: Pipe | None = None
        self._control: list[ControlInput] = []
        self._collector = Collector()
        self._going: tuple[list[int], int] | None = None  # cores to be linked with, and until when
        self._beat_at = 0
        self._beat_key: tuple[int, ...] = ()
        self._beat_owed = False
        self._code: int | None = None
        for fd in transport.fds():
            poller.register(fd, select.EPOLLIN, _nothing)

    def attach(self, pipe: Pipe) -> None:
        """Give the control pipe; once, before `run`."""
        self._pipe = pipe

    def on_frame(self, frame: Any) -> None:
        """Take a frame from the manager."""
        item = read_input(frame)
        if item is not None:
            self._control.append(item)
            return
        match frame:
            case ["go", cores]:
                self._going = (list(cores), time.monotonic_ns() + LINKS_LIMIT_NS)
            case ["level", name]:
                self._level.name = str(name)
            case ["links", request]:
                self._send(["links", request, link_rows(self._links.statistics())])

    def on_manager_gone(self, _why: str) -> None:
        """The manager's end of the pipe closed: no core outlives its manager."""
        self._code = EXIT_ORPHANED

    def run(self) -> int:
        """Pass after pass, until the end."""
        try:
            while self._code is None:
                more = self._transport.poll()
                outputs_deadline, busy = self._pass()
                if self._code is None:
                    self._rest(outputs_deadline, more or busy)
        except Exception as error:
            self._failed(error)
        self._leave()
        return EXIT_FAILED if self._code is None else self._code

    # -- one pass ---------------------------------------------------------------------------------------------------

    def _pass(self) -> tuple[int | None, bool]:
        control, self._control = self._control, []
        now = time.monotonic_ns()
        self._words[PASS_AT] = now
        self._core.step(now, Inputs(control, self._edge.collect(), time.time_ns()))
        for item in control:
            self._warm(item)
        outputs = self._core.finish(time.monotonic_ns())
        if outputs.io:
            self._edge.submit(outputs.io)
        # Names first: who hears that the tree has started may call its names at once.
        if outputs.control:
            for output in sorted(outputs.control, key=_is_end_of_start):
                self._report(output)
        if self._going is not None:
            self._try_to_go(now)
        self._beat(now)
        return outputs.deadline, outputs.busy

    def _rest(self, deadline: int | None, busy: bool) -> None:
        """Sleep until there is an input, but not past the deadline."""
        busy = busy or bool(self._control) or self._transport.pending()
        self._collector.between_passes(idle=not busy)
        if busy:
            self._poller.wait(0)
            return
        due = deadline
        if self._beat_owed and (due is None or self._beat_at < due):
            due = self._beat_at
        if self._going is not None and (due is None or self._going[1] < due):
            due = self._going[1]
        self._words[PASS_AT] = 0
        self._poller.wait(None if due is None else max(0, due - time.monotonic_ns()))

    def _try_to_go(self, now: int) -> None:
        """Begin the tree once the links to the node's other cores are up, or have had their time."""
        assert self._going is not None
        cores, until = self._going
        if now < until and not self._linked_with(cores):
            return
        self._going = None
        self._words[PASS_AT] = (
            0  # looking through a large heap takes 50 ms and more, and is no slow handler of anybody's
        )
        keep_heap()
        self._collector.start()
        self._core.boot()
        self._poller.prompt()

    def _warm(self, item: ControlInput) -> None:
        """Dial a core of this node as soon as it is announced: links inside a node are up before they are needed."""
        if isinstance(item, PeerCore) and item.home[:2] == self._core.home[:2]:
            self._links.warm(item.home)

    def _linked_with(self, cores: list[int]) -> bool:
        """Tell whether the links to these cores of the node are up; one that has ended meanwhile is not waited for."""
        own = self._core.home[:2]
        rows = self._links.statistics()
        return all(row.state == "up" for row in rows if row.peer[:2] == own and row.peer[2] in cores)

    # -- reports ----------------------------------------------------------------------------------------------------

    def _report(self, item: ControlOutput) -> None:
        match item:
            case NamesChanged():
                self._send(["named", item.names, item.groups])
            case Started():
                self._beat_at = 0
                self._beat(time.monotonic_ns())  # so that the status of a core that is up counts its isolates
                self._send(["started"])
            case DrainLeft(requests, streams, queued):
                self._send(["left", requests, streams, queued])
            case TreeReport():
                self._send_rows(item)
            case Stopped(reason, asked):
                self._stopped(reason, asked)
            case _:
                assert_never(item)

    def _send_rows(self, report: TreeReport) -> None:
        try:
            self._send(["tree", report.request, plain(report.rows)])
        except FramingError as problem:
            self._core.logger.warning("tree too large", problem=str(problem), rows=len(report.rows))
            self._send(["tree", report.request, []])

    def _stopped(self, reason: object, asked: bool) -> None:
        if asked:
            self._send(["reported", "stopped", "stopped in order"])
            self._code = EXIT_STOPPED
        else:
            self._send(["reported", "escalated", f"the root supervisor gave up: {describe(reason)}"])
            self._code = EXIT_ESCALATED

    def _beat(self, now: int) -> None:
        if self._beat_owed and now < self._beat_at:
            return  # counters only rise: what has moved since the last beat has moved for good
        counters = self._core.counters
        isolates = self._core.lifecycle.isolates
        key = (isolates, counters.callbacks, counters.ended, counters.sent)
        self._beat_owed = key != self._beat_key
        if not self._beat_owed or now < self._beat_at or self._pipe is None:
            return
        self._beat_key = key
        self._beat_owed = False
        self._beat_at = now + BEAT_NS
        beat = counters.snapshot()
        beat["isolates"] = isolates
        beat["pool_messages"] = self._core.pool_messages
        beat["pool_bytes"] = self._core.pool_bytes
        self._pipe.send_spare(["beat", beat])

    def _send(self, frame: list[Any]) -> None:
        if self._pipe is not None:
            self._pipe.send(frame)

    # -- the end ----------------------------------------------------------------------------------------------------

    def _failed(self, error: Exception) -> None:
        """Something of ours broke outside any isolate: say what, with its traceback, and end."""
        self._code = EXIT_FAILED
        self._core.logger.critical("core failed", exc_info=error)
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"failed: {type(error).__name__}: {error} ({where.filename}:{where.lineno})"
        self._send(["reported", "failed", text])

    def _leave(self) -> None:
        if self._code != EXIT_ORPHANED:
            self._links.goodbye("the core ends", time.monotonic_ns())
        self._transport.destroy(linger=0.2 if self._code == EXIT_STOPPED else 0.0)
        if self._pipe is not None and self._code != EXIT_ORPHANED:
            self._pipe.flush(LAST_WORDS_S)


class LogLevel:
    """The least level a core sends, changed by the manager."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def hears(self, level: str) -> bool:
        """Tell whether lines of `level` are sent."""
        return LEVELS[level] >= LEVELS.get(self.name, LEVELS["info"])


def link_rows(statistics: tuple[LinkStatistics, ...]) -> list[dict[str, Any]]:
    """The links of a core as plain rows; the last one, whose peer is empty, sums those that are over."""
    rows = []
    for row in statistics:
        shown = {field.name: getattr(row, field.name) for field in fields(row)}
        shown["peer"] = show(row.peer) if row.peer[0] else ""
        rows.append(plain(shown))
    return rows


def _is_end_of_start(output: ControlOutput) -> bool:
    return not isinstance(output, NamesChanged)


def _nothing(_events: int) -> None:
    """The transport is polled in every pass; its descriptors only end the sleep."""
