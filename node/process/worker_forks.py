"""Workers of Offload(where="process") forked by the zygote: the core's side and the manager's.

    core -> manager                                   manager -> core
      worker, number      + the worker's end            born, number, pid     + pidfd
                                                        stillborn, number
                                                        dead, number, code

The worker is the manager's child. It is killed with its core, dies with its manager, and ends when its core hangs up. A
core that is told `stillborn` starts a fresh Python, as it does without a manager.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from typing import Any, Final

from regrove.node.io.poller import Poller
from regrove.node.io.worker_process import FreshWorker, OnExit, WorkerHandle
from regrove.node.process.children import Children
from regrove.node.process.descriptors import Hands, close_all
from regrove.node.process.zygote_client import ZygoteClient
from regrove.records import dataclass

WORKERS_MAX: Final = 256  # of one core; `Bounds.offload_processes` is far below


class ForkedWorkers:
    """The core's side: `start` is what the edge starts its workers with."""

    __slots__ = ("_handles", "_hands", "_last")

    def __init__(self) -> None:
        self._hands: Hands | None = None
        self._handles: dict[int, _Forked] = {}
        self._last = 0

    def attach(self, hands: Hands) -> None:
        """Give the way to the manager; once."""
        self._hands = hands

    def start(self, poller: Poller, end: socket.socket, on_exit: OnExit) -> WorkerHandle:
        """Ask for a worker at the other side of `end`; a fresh one when nobody can be asked. Raises OSError."""
        self._last += 1
        if self._hands is None or not self._hands.send(["worker", self._last], [end.fileno()]):
            return FreshWorker(poller, end, on_exit)
        handle = self._handles[self._last] = _Forked(poller, end.dup(), on_exit)
        return handle

    def heard(self, message: Any, descriptors: list[int]) -> bool:
        """Take a message of the manager; False when it is none of these."""
        match message:
            case ["born", number, pid] if len(descriptors) == 1:
                handle = self._handles.get(number)
                if handle is None:
                    close_all(descriptors)
                else:
                    handle.born(pid, descriptors[0])
            case ["stillborn", number]:
                handle = self._handles.pop(number, None)
                if handle is not None:
                    handle.stillborn()
            case ["dead", number, code]:
                handle = self._handles.pop(number, None)
                if handle is not None:
                    handle.ended(code)
            case _:
                return False
        return True


class _Forked:
    """A worker that was asked for: not born yet, forked, or fresh after all."""

    __slots__ = ("_end", "_fresh", "_killed", "_on_exit", "_pidfd", "_poller", "pid")

    def __init__(self, poller: Poller, end: socket.socket, on_exit: OnExit) -> None:
        self.pid = 0
        self._poller = poller
        self._end: socket.socket | None = end  # until somebody has it
        self._on_exit = on_exit
        self._pidfd = -1
        self._fresh: FreshWorker | None = None
        self._killed = False

    def born(self, pid: int, pidfd: int) -> None:
        self.pid, self._pidfd = pid, pidfd
        self._let_go()
        if self._killed:
            self.kill()

    def stillborn(self) -> None:
        end = self._end
        if self._killed or end is None:
            self.ended(-signal.SIGKILL)
            return
        try:
            self._fresh = FreshWorker(self._poller, end, self._on_exit)
            self.pid = self._fresh.pid
            self._let_go()
        except OSError:
            self.ended(1)

    def ended(self, code: int) -> None:
        self._let_go()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        self._on_exit(code)

    def kill(self) -> None:
        """End it now, or as soon as it is born."""
        self._killed = True
        if self._fresh is not None:
            self._fresh.kill()
        elif self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def reap(self, limit_s: float) -> bool:
        """Kill it and wait for its end; one that is not born finds nobody, and its manager ends it."""
        self.kill()
        self._let_go()
        if self._fresh is not None:
            return self._fresh.reap(limit_s)
        if self._pidfd >= 0:
            gone = bool(select.select([self._pidfd], [], [], limit_s)[0])
            os.close(self._pidfd)
            self._pidfd = -1
            return gone
        return True

    def _let_go(self) -> None:
        if self._end is not None:
            self._end.close()
            self._end = None


@dataclass(frozen=True, slots=True)
class _Ward:
    core: int
    number: int
    pid: int
    pidfd: int
    hands: Hands


class WorkerWards:
    """The manager's side: forks, tells, reaps, and kills with the core."""

    __slots__ = ("_children", "_poller", "_wards", "_zygote")

    def __init__(self, poller: Poller, children: Children, zygote: ZygoteClient) -> None:
        self._poller = poller
        self._children = children
        self._zygote = zygote
        self._wards: dict[int, _Ward] = {}  # by pid

    def take(self, core: int, hands: Hands, message: Any, descriptors: list[int]) -> bool:
        """Serve a request of a core; False when it is none. Its descriptor is closed here once the zygote has it."""
        match message:
            case ["worker", int(number)] if len(descriptors) == 1:
                try:
                    self._fork(core, hands, number, descriptors)
                finally:
                    close_all(descriptors)
                return True
            case _:
                return False

    def kill(self, core: int) -> None:
        """The core has ended: so do its workers."""
        for ward in list(self._wards.values()):
            if ward.core == core:
                signal.pidfd_send_signal(ward.pidfd, signal.SIGKILL)

    def close(self) -> None:
        """Kill every worker and wait for its end."""
        for ward in list(self._wards.values()):
            signal.pidfd_send_signal(ward.pidfd, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PIDFD, ward.pidfd, os.WEXITED)
            self._forget(ward)

    def _fork(self, core: int, hands: Hands, number: int, descriptors: list[int]) -> None:
        if sum(ward.core == core for ward in self._wards.values()) >= WORKERS_MAX or not self._zygote.up:
            hands.send(["stillborn", number])
            return
        self._zygote.fork(
            "worker",
            descriptors,
            lambda pid, pidfd: self._forked(_Ward(core, number, pid, pidfd, hands)),
            lambda _why, _silent: _tell(hands, ["stillborn", number]),
        )

    def _forked(self, ward: _Ward) -> None:
        self._wards[ward.pid] = ward
        self._children.others.add(ward.pid)
        self._poller.register(ward.pidfd, select.EPOLLIN, lambda _events: self._ended(ward))
        if not ward.hands.send(["born", ward.number, ward.pid], [ward.pidfd]):
            signal.pidfd_send_signal(ward.pidfd, signal.SIGKILL)  # its core is gone

    def _ended(self, ward: _Ward) -> None:
        try:
            found = os.waitid(os.P_PIDFD, ward.pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            return  # ours in microseconds, and told again
        if found is None:
            return
        self._forget(ward)
        ward.hands.send(["dead", ward.number, found.si_status if found.si_code == os.CLD_EXITED else -found.si_status])
        self._children.reap_strays()

    def _forget(self, ward: _Ward) -> None:
        del self._wards[ward.pid]
        self._children.others.discard(ward.pid)
        self._poller.unregister(ward.pidfd)
        os.close(ward.pidfd)


def _tell(hands: Hands, message: list[Any]) -> None:
    hands.send(message)
