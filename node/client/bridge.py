"""The one thread of a client: it owns the sockets and the link table; programs' threads talk to it by a queue.

Why a thread and not locks: grants, goodbyes, redials and the directory go on while the program computes, and a ZeroMQ
socket is edge-triggered and belongs to one thread. No code of the user runs here: messages are encoded and decoded on
the thread that calls. The thread is a daemon, so that an interpreter that exits never waits for it; `close`, which
`atexit` calls too, ends it in order.
"""

from __future__ import annotations

import atexit
import os
import random
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from regrove.node.client.desk import Answer, Desk
from regrove.node.client.errors import ClientClosed, NotConnected, UsedAfterFork
from regrove.node.client.feed import Feed
from regrove.node.core.reasons import LinkFull
from regrove.node.core.sent import Sent
from regrove.node.process.signals import for_the_main_thread
from regrove.transport.base import Transport
from regrove.transport.links import LinkTable
from regrove.transport.parts import Payload

CLOSE_LIMIT: Final = 1.0  # seconds the thread gets to say goodbye
PASS_MAX: Final = 1_000  # ms: a bound on one sleep, so that a lost wake-up could only ever delay


class Slot:
    """Where one caller waits; filled once, by the bridge. A call that found its link full is begun again on room."""

    __slots__ = ("_ready", "begin", "blocked", "value")

    def __init__(self, begin: Callable[[], None] = lambda: None) -> None:
        self._ready = threading.Lock()
        self._ready.acquire()
        self.begin = begin
        self.blocked: Answer | None = None
        self.value: Any = None

    def fill(self, value: Any) -> None:
        """Give the value and wake the caller; a second one is ignored."""
        if self._ready.locked():
            self.value = value
            self._ready.release()

    def wait(self, deadline: float) -> bool:
        """Wait for the value until `deadline` (time.monotonic); False when it did not come."""
        return self._ready.acquire(timeout=max(deadline - time.monotonic(), 0.0))


class Bridge:
    """Runs a `Desk` on its own thread; see the module's text. `make` builds the transport and the link table on it."""

    def __init__(self, name: str, feed: Feed, desk: Desk, links: LinkTable, transport: Transport) -> None:
        self.name = name
        self._feed = feed
        self._desk = desk
        self._links = links
        self._transport = transport
        self._commands: deque[Callable[[], None]] = deque()
        self._slots: dict[int, Slot] = {}
        self._updates: list[Slot] = []  # who waits for a fresh directory
        self._blocked: list[Slot] = []  # calls that wait for room on a link
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._awake = False
        self._closing = False
        self._failure: BaseException | None = None
        self._owner = os.getpid()
        self._thread = threading.Thread(target=self._run, name=f"regrove-client {name}", daemon=True)
        atexit.register(self.close)
        with for_the_main_thread():  # a Ctrl-C that this thread took would not end a call
            self._thread.start()

    # -- called by the program's threads ------------------------------------------------------------------------------

    def call(self, target: object, payload: Payload, deadline: float) -> Answer | None:
        """One request and its answer; None when `deadline` passed first. Waits for room while the link is full."""
        tokens: list[int] = []

        def begin() -> None:
            slot.blocked = None
            left = int((deadline - time.monotonic()) * 1_000_000_000)
            if left <= 0:
                return
            try:
                token = self._desk.call(target, payload, left)
            except Exception as problem:  # a target that is none: told to the asker, on its thread
                slot.fill(problem)
                return
            tokens[:] = [token]
            self._slots[token] = slot

        slot = Slot(begin)
        self._submit(begin)
        try:
            answer: Answer | None = self._await(slot, deadline)
            return answer or slot.blocked
        finally:
            if slot.value is None:
                self._submit_quietly(lambda: self._give_up(slot, tokens))

    def send(self, target: object, payload: Payload, deadline: float) -> Sent | None:
        """What the link said of a message; None when `deadline` passed first."""
        sent: Sent | None = self._ask(lambda: self._desk.send(target, payload), deadline)
        return sent

    def inspect(self, question: Callable[[Desk], Any], deadline: float) -> Any:
        """Answer a question about the desk, on the thread that owns it; None when `deadline` passed first."""
        return self._ask(lambda: question(self._desk), deadline)

    def statistics(self, deadline: float) -> Any:
        """The figures of the links."""
        return self._ask(self._links.statistics, deadline)

    def refresh(self, deadline: float) -> bool:
        """Have a fresh directory brought; False when `deadline` passed first."""
        slot = Slot()

        def ask() -> None:
            self._updates.append(slot)
            self._feed.refresh()

        self._submit(ask)
        return self._await(slot, deadline) is not None

    @property
    def problem(self) -> str:
        """Why there is no directory, or no connection, as far as is known."""
        return self._feed.problem or "; ".join(self._desk.troubles[-1:])

    def close(self) -> None:
        """Say goodbye to the cores and end the thread; calls under way fail with `ClientClosed`. Idempotent."""
        if os.getpid() != self._owner:
            return  # the child of a fork: the connections are the parent's
        atexit.unregister(self.close)
        if not self._closing:
            self._closing = True
            self._wake()
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_LIMIT)

    # -- between the threads ------------------------------------------------------------------------------------------

    def _ask(self, question: Callable[[], Any], deadline: float) -> Any:
        slot = Slot()

        def answer() -> None:
            try:
                slot.fill(question())
            except Exception as problem:  # the asker's mistake: told to the asker, on its thread
                slot.fill(problem)

        self._submit(answer)
        return self._await(slot, deadline)

    def _await(self, slot: Slot, deadline: float) -> Any:
        """The value of a slot, or None at the deadline; raises what the thread found wrong."""
        if not slot.wait(deadline) and self._closing:
            raise self._failure or ClientClosed()
        if isinstance(slot.value, BaseException):
            raise slot.value
        return slot.value

    def _submit(self, command: Callable[[], None]) -> None:
        if os.getpid() != self._owner:
            raise UsedAfterFork
        if self._closing:
            raise self._failure or ClientClosed()
        self._commands.append(command)
        self._wake()

    def _submit_quietly(self, command: Callable[[], None]) -> None:
        if os.getpid() == self._owner and not self._closing:
            self._commands.append(command)
            self._wake()

    def _wake(self) -> None:
        if not self._awake:
            self._awake = True
            try:
                self._wake_out.send(b"\0")
            except OSError:
                return  # full: it is awake; closed: it has ended, and `_submit` says so the next time

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop()
        except BaseException as problem:
            self._failure = NotConnected(self.name, f"the client's thread failed with {problem!r}", "connect again")
            self._failure.__cause__ = problem
        finally:
            self._closing = True
            self._end()

    def _loop(self) -> None:
        while True:
            if self._closing:
                return
            more = self._pass(time.monotonic_ns())
            if self._commands or more or self._transport.pending():
                continue
            self._sleep()

    def _pass(self, now: int) -> bool:
        while self._commands:
            self._commands.popleft()()
        more = self._transport.poll()
        if self._desk.take([event for event in self._links.receive(now) if not self._feed.take(event)]):
            self._feed.refresh()
        for info in self._feed.poll(now):
            self._desk.update(info)
            self._tell_updates(True)
        if self._feed.refused and self._updates:
            self._tell_updates(NotConnected(self.name, self._feed.problem, "mend what it names, then connect again"))
        if self._desk.room:
            self._desk.room = False
            blocked, self._blocked = self._blocked, []
            for slot in blocked:
                slot.begin()
        self._give_answers()
        self._links.flush(time.monotonic_ns())
        return more

    def _give_answers(self) -> None:
        answers, self._desk.answers = self._desk.answers, []
        for answer in answers:
            slot = self._slots.pop(answer.token, None)
            if slot is None:
                continue
            if isinstance(answer.reason, LinkFull):
                slot.blocked = answer
                self._blocked.append(slot)
            else:
                slot.fill(answer)

    def _tell_updates(self, value: object) -> None:
        waiting, self._updates = self._updates, []
        for slot in waiting:
            slot.fill(value)

    def _sleep(self) -> None:
        poller = select.poll()
        for handle in (self._wake_in.fileno(), *self._feed.fds(), *self._transport.fds()):
            poller.register(handle, select.POLLIN)
        poller.poll(self._pause())
        try:
            while self._wake_in.recv(4096):
                pass
        except BlockingIOError:
            self._awake = False  # from here on a caller writes again; what it appended before, the next pass finds

    def _pause(self) -> int:
        deadlines = [time for time in (self._links.deadline(), self._feed.deadline()) if time is not None]
        if not deadlines:
            return PASS_MAX
        left = min(deadlines) - time.monotonic_ns()
        return max(0, min(PASS_MAX, -(-left // 1_000_000)))

    def _give_up(self, slot: Slot, tokens: list[int]) -> None:
        if slot in self._blocked:
            self._blocked.remove(slot)
        for token in tokens:
            self._slots.pop(token, None)
            self._desk.give_up(token)

    def _end(self) -> None:
        while self._commands:
            self._commands.popleft()()
        failure = self._failure or ClientClosed()
        for slot in (*self._slots.values(), *self._updates, *self._blocked):
            slot.fill(failure)
        self._slots.clear()
        self._updates.clear()
        self._blocked.clear()
        try:
            self._links.goodbye("the client closed", time.monotonic_ns())
        finally:
            self._transport.destroy(linger=0.1)
            self._feed.close()
            self._wake_in.close()
            self._wake_out.close()


def random_bits(_kind: str, _ordinal: int) -> int:
    """64 bits for the jitter of redials; a client is an ordinary program, nothing here repeats a run."""
    return random.getrandbits(64)
