"""The zygote as the manager's child: started fresh, asked to fork, watched by pidfd.

Every request ends once: with a pid, with a refusal, or with silence: at the first look when the process is stopped,
after `LOOKS_MAX` looks when it only gets no CPU (a fresh Python would get none either). What it forks later finds its
descriptors closed at our end and ends by itself.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from regrove.node.io.poller import Poller
from regrove.node.process.children import NODE_SIGNALS, Children, exit_text, start_python
from regrove.node.process.descriptors import Hands, close_all, pair, send
from regrove.node.process.manager_events import Event, ZygoteAnswered, ZygoteEnded, ZygoteRefused, ZygoteUp
from regrove.node.process.stacks import Code, left, main_stack, prompt
from regrove.node.process.zygote import fork_from_manager
from regrove.records import dataclass

ZYGOTE_MODULE: Final = "regrove.node.process.zygote"
LOOK_NS: Final = 200_000_000  # a fork takes milliseconds, a fresh Python 0.3 s and more
LOOKS_MAX: Final = 25

Forked = Callable[[int, int], None]  # (pid, pidfd): the pidfd belongs to the callee
Failed = Callable[[str, bool], None]  # (why, whether there was no answer at all)


@dataclass(slots=True)
class Started:
    """A zygote's process, until a `ZygoteClient` has taken it over: its pid, our end, and where its stack goes."""

    pid: int
    connection: socket.socket
    dumps: int
    taken: bool = False

    def end(self) -> None:
        """Kill it and wait for its end, unless it was taken over."""
        if self.taken:
            return
        self.taken = True
        self.connection.close()
        os.close(self.dumps)
        os.kill(self.pid, signal.SIGKILL)  # ours, and not reaped
        os.waitpid(self.pid, 0)


@dataclass(frozen=True, slots=True)
class _Request:
    forked: Forked
    failed: Failed


def start_zygote(application: str, import_path: Sequence[str]) -> Started:
    """Start the process and let it begin to import; raises OSError. Needs no manager yet."""
    ours, theirs = pair()
    dumps = _place_for_dumps()
    with theirs:
        try:
            pid = start_python(ZYGOTE_MODULE, [theirs.fileno()])
            send(ours, ["prepare", application, list(import_path), os.getpid(), dumps])
        except OSError:
            ours.close()
            os.close(dumps)
            raise
    return Started(pid, ours, dumps)


def _place_for_dumps() -> int:
    return os.memfd_create("regrove-stacks-zygote", os.MFD_CLOEXEC)


def fork_zygote(application: str, import_path: Sequence[str], others: Sequence[socket.socket]) -> Started | None:
    """Fork it from this process, which has imported most of what a core needs already: half a boot's time.

    Only before there are threads and ZeroMQ Contexts: None when it is too late, or the machine refuses. `others` are
    sockets of this process that are no business of a core.
    """
    if threading.active_count() > 1:
        return None
    manager = os.getpid()
    ours, theirs = pair()
    dumps = _place_for_dumps()
    # A Ctrl-C that came to the new process before it ignores it would unwind what only its parent may.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, NODE_SIGNALS)
    try:
        pid = os.fork()
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        ours.close()
        theirs.close()
        os.close(dumps)
        return None
    if pid == 0:
        ours.close()
        for other in others:
            other.close()
        fork_from_manager(theirs, application, import_path, manager, dumps, before)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    return Started(pid, ours, dumps)


class ZygoteClient:
    """One zygote at a time; `on_event` hears what became of it."""

    def __init__(
        self,
        poller: Poller,
        children: Children,
        application: str,
        import_path: Sequence[str],
        on_event: Callable[[Event], None],
        early: Started | None = None,
    ) -> None:
        self.pid: int | None = None
        self.up = False  # it forks, and answers
        self._poller = poller
        self._children = children
        self._application = application
        self._import_path = import_path
        self._on_event = on_event
        self._early = early  # started before there was a manager
        self._hands: Hands | None = None
        self._pidfd = -1
        self._dumps = -1
        self._looked_at = False
        self._code = Code.here()
        self._requests: dict[int, _Request] = {}
        self._last = 0
        children.before_reaping = self._drain

    def start(self) -> None:
        """Begin a life; a failure is told as its end."""
        started, self._early = self._early, None
        try:
            started = started or start_zygote(self._application, self._import_path)
        except OSError as problem:
            self._on_event(ZygoteEnded(f"could not be started: {problem.strerror}"))
            return
        started.taken = True
        self.pid = started.pid
        self._children.others.add(started.pid)
        self._pidfd = os.pidfd_open(started.pid)
        self._dumps = started.dumps
        self._looked_at = False
        self._poller.register(self._pidfd, select.EPOLLIN, self._ended)
        self._hands = Hands(started.connection, self._poller, self._answered, _let_pass)

    def fork(self, kind: str, descriptors: Sequence[int], forked: Forked, failed: Failed) -> int:
        """Ask for a process of `kind` (fork: a core, ahead: one that waits, worker); returns the request's number.

        The descriptors stay the caller's.
        """
        self._last += 1
        number = self._last
        if self._hands is None or not self._hands.send([kind, number], descriptors):
            failed("there is no zygote", False)
            return number
        self._requests[number] = _Request(forked, failed)
        self._poller.alarm(LOOK_NS, lambda: self._look(number, 1))
        return number

    def forget(self, number: int) -> None:
        """Nobody waits for that fork any more."""
        self._requests.pop(number, None)

    def kill(self, look: bool = False) -> None:
        """Send SIGKILL, or ask for its stack first; `ZygoteEnded` follows."""
        if self._pidfd < 0:
            return
        if look:
            self._looked_at = True
            prompt(self._pidfd, self._dumps)
            pid = self.pid
            self._poller.alarm(LOOK_NS, lambda: self._kill_looked_at(pid))
        else:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _kill_looked_at(self, pid: int | None) -> None:
        if self.pid == pid:
            self.kill()

    def close(self) -> None:
        """Kill it and wait for its end: the last act of a manager."""
        if self._early is not None:
            self._early.end()
        if self._pidfd < 0:
            return
        self.kill()
        os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        self._forget_process()

    def _drain(self) -> None:
        if self._hands is not None:
            self._hands.drain()

    def _answered(self, message: Any, descriptors: list[int]) -> None:
        match message:
            case ["up", threads, unforkable]:
                self.up = not unforkable
                self._on_event(ZygoteUp(tuple(threads), tuple(unforkable)))
            case ["refused", text]:
                self._on_event(ZygoteRefused(text))
            case ["forked", number, pid] if len(descriptors) == 1:
                self._forked(number, pid, descriptors[0])
            case ["failed", number, why]:
                request = self._requests.pop(number, None)
                if request is not None:
                    request.failed(why, False)
            case _:
                close_all(descriptors)
                self.kill()

    def _forked(self, number: int, pid: int, pidfd: int) -> None:
        request = self._requests.pop(number, None)
        if request is not None:
            request.forked(pid, pidfd)
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)  # too late: somebody else has its work; reaped as a stray
        os.close(pidfd)
        self.up = True
        self._on_event(ZygoteAnswered())

    def _look(self, number: int, looks: int) -> None:
        if number not in self._requests:
            return
        stopped = self.pid is not None and is_stopped(self.pid)
        if not stopped and looks < LOOKS_MAX:
            self._poller.alarm(LOOK_NS, lambda: self._look(number, looks + 1))
            return
        request = self._requests.pop(number)
        self.up = False
        request.failed("the zygote is stopped" if stopped else "the zygote does not answer", True)

    def _ended(self, _events: int) -> None:
        found = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        if found is None:
            return
        self._drain()  # what it said last explains its end
        how = exit_text(found.si_code, found.si_status)
        if self._looked_at:
            place = main_stack(left(self._dumps), self._code).place
            how = f"was killed: it had not imported the application in time{'' if place is None else f', at {place}'}"
        self._forget_process()
        self._children.reap_strays()
        requests, self._requests = self._requests, {}
        self._on_event(ZygoteEnded(how))
        for request in requests.values():
            request.failed("the zygote ended", False)

    def _forget_process(self) -> None:
        assert self.pid is not None
        self.up = False
        self._children.others.discard(self.pid)
        self.pid = None
        self._poller.unregister(self._pidfd)
        os.close(self._pidfd)
        os.close(self._dumps)
        self._pidfd = self._dumps = -1
        if self._hands is not None:
            self._hands.close()
            self._hands = None


def is_stopped(pid: int) -> bool:
    """Tell whether a process was stopped by a signal or a debugger (state T or t)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] in ("T", "t")


def _let_pass() -> None:
    """Its end is told by its pidfd, with the status."""
