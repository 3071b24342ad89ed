"""One worker process of Offload(where="process"), as its core sees it: frames to and fro, and its end.

The worker dies with its core (`worker.py`).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from select import EPOLLIN, EPOLLOUT
from typing import Final, Protocol, TypeAlias

from regrove.node.io.affinity import roam
from regrove.node.io.frames import FRAME_BYTES, HEADER
from regrove.node.io.poller import Poller

CHUNK: Final = 256 * 1024
REAP_LIMIT_S: Final = 5.0  # a killed process that is not gone by then hangs in the kernel


OnExit: TypeAlias = Callable[[int], None]  # the exit code; of one ended by a signal minus its number


class WorkerHandle(Protocol):
    """The process behind one end of a socketpair; `OnExit` is called once, when it has ended, unless it is reaped."""

    @property
    def pid(self) -> int:
        """The process id; 0 while it is being started."""

    def kill(self) -> None:
        """End it now."""

    def reap(self, limit_s: float) -> bool:
        """Kill it and wait for its end, at most so long; False when it hangs. `OnExit` is not called any more."""


StartWorker: TypeAlias = Callable[[Poller, socket.socket, OnExit], WorkerHandle]


class FreshWorker:
    """A worker as a fresh Python, a child of this process. Raises OSError when none can be started."""

    __slots__ = ("_on_exit", "_pidfd", "_poller", "_process")

    def __init__(self, poller: Poller, end: socket.socket, on_exit: OnExit) -> None:
        self._poller = poller
        self._on_exit = on_exit
        self._process = _spawn(end.fileno())
        self._pidfd = os.pidfd_open(self._process.pid)
        poller.register(self._pidfd, EPOLLIN, self._ended)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def kill(self) -> None:
        """End it now."""
        self._process.kill()

    def reap(self, limit_s: float) -> bool:
        """Kill it and wait for its end."""
        self.kill()
        try:
            self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return False
        self._poller.unregister(self._pidfd)
        os.close(self._pidfd)
        return True

    def _ended(self, _events: int) -> None:
        code = self._process.poll()
        if code is None:
            return
        self._poller.unregister(self._pidfd)
        os.close(self._pidfd)
        self._on_exit(code)


class WorkerProcess:
    """`answered(self, frame)` at each answer; `gone(self, how)` once, when it has ended and is reaped.

    Raises OSError from the constructor when no process can be started.
    """

    __slots__ = ("_answered", "_gone", "_incoming", "_outgoing", "_poller", "_process", "_sock", "token")

    def __init__(
        self,
        poller: Poller,
        answered: Callable[[WorkerProcess, bytes], None],
        gone: Callable[[WorkerProcess, str], None],
        start: StartWorker = FreshWorker,
    ) -> None:
        self.token: int | None = None  # of the request it works for
        self._poller = poller
        self._answered = answered
        self._gone = gone
        self._incoming = bytearray()
        self._outgoing = memoryview(b"")
        self._sock, theirs = socket.socketpair()
        self._sock.setblocking(False)
        try:
            self._process = start(poller, theirs, self._on_exit)
        except OSError:
            self._sock.close()
            raise
        finally:
            theirs.close()
        poller.register(self._sock.fileno(), EPOLLIN, self._on_ready)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send(self, frame: bytes) -> None:
        """Send one request; the one before has been answered."""
        self._outgoing = memoryview(HEADER.pack(len(frame)) + frame)
        self._go_on_sending()

    def kill(self) -> None:
        """End it now. `gone` follows when the kernel says so."""
        self._hang_up()
        self._process.kill()

    def reap(self) -> None:
        """Kill and wait: for the end of an edge only."""
        self._hang_up()
        self._process.reap(REAP_LIMIT_S)

    def _on_ready(self, events: int) -> None:
        if self._outgoing and events & EPOLLOUT:
            self._go_on_sending()
        if self._sock.fileno() >= 0:
            self._receive()

    def _receive(self) -> None:
        try:
            data = self._sock.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.kill()  # it closed its end: whatever it does, nothing of it can reach us
            return
        self._incoming += data
        while len(self._incoming) >= HEADER.size:
            (length,) = HEADER.unpack_from(self._incoming)
            end = HEADER.size + length
            if length > FRAME_BYTES:
                self.kill()
                return
            if len(self._incoming) < end:
                return
            frame = bytes(self._incoming[HEADER.size : end])
            del self._incoming[:end]
            self._answered(self, frame)

    def _go_on_sending(self) -> None:
        try:
            self._outgoing = self._outgoing[self._sock.send(self._outgoing) :]
        except BlockingIOError:
            pass
        except OSError:
            self.kill()
            return
        self._poller.modify(self._sock.fileno(), EPOLLIN | EPOLLOUT if self._outgoing else EPOLLIN)

    def _hang_up(self) -> None:
        self._outgoing = memoryview(b"")
        if self._sock.fileno() >= 0:
            self._poller.unregister(self._sock.fileno())
            self._sock.close()

    def _on_exit(self, code: int) -> None:
        if self._sock.fileno() >= 0:
            self._receive()  # an answer it sent before it ended
        self._hang_up()
        self._gone(self, _how(code))

    def __repr__(self) -> str:
        return f"<worker process {self.pid} token={self.token}>"


def _spawn(fd: int) -> subprocess.Popen[bytes]:
    # The import path goes along as it is now: the application may be importable from this process only by it.
    program = (
        f"import sys; sys.path[:] = {sys.path!r}; from regrove.node.io.worker import main; main({fd}, {os.getpid()})"
    )
    command = [sys.executable, *["-O"] * sys.flags.optimize, "-c", program]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(fd,))
    roam(process.pid)
    return process


def _how(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
