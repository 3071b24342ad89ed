"""Core processes as children of the manager: started fresh or adopted, watched by pidfd, reaped, killed.

The manager is a child subreaper, so that what the zygote forks twice, and what its cores leave behind, comes to it. A
fresh Python inherits its descriptors; signals meant for the node are blocked from its first instruction on, so that no
Ctrl-C reaches a core before it says it ignores them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Final

from regrove.node.io.poller import Poller
from regrove.records import dataclass

CORE_MODULE: Final = "regrove.node.process.core_process"
NODE_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SPARE: Final = -1  # in place of a core: a process that waits to become one's (`spare.py`)
PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36


@dataclass(slots=True)
class Child:
    """One process: of a core's life, until it has been reaped."""

    core: int
    incarnation: int
    pid: int
    pidfd: int


class Children:
    """All child processes of a manager. `on_end(core, incarnation, how)` is called from the poller once for each."""

    def __init__(self, poller: Poller, on_end: Callable[[int, int, str], None]) -> None:
        self._poller = poller
        self._on_end = on_end
        self._by_core: dict[int, Child] = {}
        self.others: set[int] = set()  # children that somebody else here watches and reaps
        self.before_reaping: Callable[[], None] = _nothing  # takes in the forks the zygote has told of
        prctl(PR_SET_CHILD_SUBREAPER, 1)

    def spawn(self, core: int, incarnation: int, descriptors: Sequence[int]) -> Child:
        """Start a fresh Python for this life of a core, with its ends of pipe and hands. Raises OSError."""
        pid = start_python(CORE_MODULE, descriptors)
        return self.adopt(core, incarnation, pid, os.pidfd_open(pid))

    def adopt(self, core: int, incarnation: int, pid: int, pidfd: int) -> Child:
        """Watch a process that is, or is about to become, a child of this one; the pidfd is ours now."""
        child = Child(core, incarnation, pid, pidfd)
        self._by_core[core] = child
        self._poller.register(child.pidfd, select.EPOLLIN, lambda _events: self._ended(child))
        return child

    def assign(self, child: Child, core: int, incarnation: int) -> None:
        """Make a process that is watched already this life of a core."""
        del self._by_core[child.core]
        child.core, child.incarnation = core, incarnation
        self._by_core[core] = child

    def get(self, core: int) -> Child | None:
        """The process that runs for a core, if one does."""
        return self._by_core.get(core)

    def kill(self, core: int) -> None:
        """Send SIGKILL; the end is told as every other."""
        child = self._by_core.get(core)
        if child is not None:
            signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)

    def kill_all(self) -> None:
        """Kill every core and wait for it: the last act of a manager."""
        for child in list(self._by_core.values()):
            signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
        for child in list(self._by_core.values()):
            self._forget(child)
            with contextlib.suppress(ChildProcessError):  # forked, and the process between has not given it to us yet
                os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED)
            os.close(child.pidfd)

    def reap_strays(self) -> int:
        """Reap what our cores left behind (their own children, come to us as their subreaper); returns how many."""
        self.before_reaping()
        known = {child.pid for child in self._by_core.values()} | self.others
        count = 0
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return count
            if found is None or found.si_pid in known:
                return count  # a core is reaped by its pidfd; strays behind it are met at the next SIGCHLD
            os.waitpid(found.si_pid, 0)
            count += 1

    def __len__(self) -> int:
        return len(self._by_core)

    def _ended(self, child: Child) -> None:
        try:
            found = os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            return  # it ended before the process between it and the zygote did: ours in microseconds, and told again
        if found is None:
            return
        self._forget(child)
        os.close(child.pidfd)
        self.reap_strays()
        self._on_end(child.core, child.incarnation, exit_text(found.si_code, found.si_status))

    def _forget(self, child: Child) -> None:
        self._poller.unregister(child.pidfd)
        if self._by_core.get(child.core) is child:
            del self._by_core[child.core]


def start_python(module: str, descriptors: Sequence[int]) -> int:
    """Start `python -P -m MODULE FD...` with copies of the descriptors; returns its pid. Raises OSError."""
    copies = [os.dup(descriptor) for descriptor in descriptors]
    try:
        for copy in copies:
            os.set_inheritable(copy, True)
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-m", module, *(str(copy) for copy in copies)],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
            setsigmask=NODE_SIGNALS,
        )
    finally:
        for copy in copies:
            os.close(copy)


def exit_text(code: int, status: int) -> str:
    """How a process ended, for people: `killed by SIGKILL`, `exited with status 3`."""
    if code == os.CLD_EXITED:
        return f"exited with status {status}"
    try:
        name = signal.Signals(status).name
    except ValueError:
        name = f"signal {status}"
    return f"killed by {name}" + (" (core dumped)" if code == os.CLD_DUMPED else "")


def _nothing() -> None:
    """No zygote has told of anything."""


def prctl(option: int, value: int) -> None:
    """prctl(2); raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}, {value}): {os.strerror(number)}")
