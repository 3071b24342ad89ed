"""Signals of a process as events of its poller: no Python code runs in a handler."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

from regrove.node.io.poller import Poller

FAULTS: Final = frozenset(
    (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS)
)
WATCHED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
ECHO_NS: Final = 200_000_000  # no person presses Ctrl-C twice in less


class Signals:
    """From construction to `close` each watched signal, unless ignored, goes to `on_signal(number)`; main thread."""

    def __init__(self, poller: Poller, on_signal: Callable[[int], None]) -> None:
        self._poller = poller
        self._on_signal = on_signal
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        # A SIGHUP that was ignored when we came (nohup) stays ignored.
        watched = [number for number in WATCHED if signal.getsignal(number) != signal.SIG_IGN]
        self._handlers: list[tuple[int, Any]] = [(number, signal.signal(number, _noted)) for number in watched]
        poller.register(self._reader, select.EPOLLIN, self._ready)

    def close(self) -> None:
        """The node has ended: a signal that comes late changes nothing about how its process ends."""
        for number, handler in self._handlers:
            signal.signal(number, handler if number == signal.SIGCHLD else signal.SIG_IGN)
        signal.set_wakeup_fd(self._wakeup)
        self._poller.unregister(self._reader)
        os.close(self._reader)
        os.close(self._writer)

    def _ready(self, _events: int) -> None:
        try:
            data = os.read(self._reader, 4096)
        except BlockingIOError:
            return
        for number in data:
            self._on_signal(number)


@contextlib.contextmanager
def for_the_main_thread() -> Iterator[None]:
    """Threads started within never take a signal that is for the process; faults stay with who made them.

    Python answers signals in the main thread alone: one that another took would not end what that waits in.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - FAULTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Insistence:
    """Tells a second signal, of somebody who will not wait, from an echo of the first one.

    timeout(1) signals its child and then the group both are in; a supervisor of several programs passes on a Ctrl-C
    that the terminal has sent to all of them. That is one wish in two signals.
    """

    __slots__ = ("_first_at",)

    def __init__(self) -> None:
        self._first_at: int | None = None

    def again(self, now: int) -> bool:
        """Take a signal at `now` (ns, monotonic); True when it repeats an earlier one on purpose."""
        if self._first_at is None:
            self._first_at = now
        return now - self._first_at > ECHO_NS


def has_terminal() -> bool:
    """Tell whether this process has a controlling terminal now; one that hangs up is taken away before SIGHUP comes."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _noted(_number: int, _frame: FrameType | None) -> None:
    """The wakeup descriptor has it; a handler must exist so that the default does not."""
