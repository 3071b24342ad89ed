"""Core processes as children of the manager: spawned, watched by pidfd, reaped, killed.

The manager is a child subreaper, so that what its cores leave behind comes to it and is reaped too. A core is started
as a fresh Python with one inherited descriptor, its end of a socketpair; signals meant for the node are blocked from
the first instruction on, so that no Ctrl-C reaches a core before it says it ignores them.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from regrove.node.io.poller import Poller

CORE_MODULE: Final = "regrove.node.process.core_process"
NODE_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
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
        prctl(PR_SET_CHILD_SUBREAPER, 1)

    def spawn(self, core: int, incarnation: int) -> tuple[Child, socket.socket]:
        """Start a process for this life of a core; returns it and our end of its socketpair. Raises OSError."""
        ours, theirs = socket.socketpair()
        try:
            theirs.set_inheritable(True)
            command = [sys.executable, "-P", "-m", CORE_MODULE, str(theirs.fileno())]
            pid = os.posix_spawn(
                sys.executable,
                command,
                os.environ,
                file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
                setsigmask=NODE_SIGNALS,
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        child = Child(core, incarnation, pid, os.pidfd_open(pid))
        self._by_core[core] = child
        self._poller.register(child.pidfd, select.EPOLLIN, lambda _events: self._ended(child))
        return child, ours

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
            os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED)
            os.close(child.pidfd)

    def reap_strays(self) -> int:
        """Reap what our cores left behind (their own children, come to us as their subreaper); returns how many."""
        known = {child.pid for child in self._by_core.values()}
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
        found = os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED | os.WNOHANG)
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


def exit_text(code: int, status: int) -> str:
    """How a process ended, for people: `killed by SIGKILL`, `exited with status 3`."""
    if code == os.CLD_EXITED:
        return f"exited with status {status}"
    try:
        name = signal.Signals(status).name
    except ValueError:
        name = f"signal {status}"
    return f"killed by {name}" + (" (core dumped)" if code == os.CLD_DUMPED else "")


def prctl(option: int, value: int) -> None:
    """prctl(2); raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}, {value}): {os.strerror(number)}")
