"""Starting a node as a child of this process, for `regrove.start` and `regrove up`; it never outlives its parent.

One socketpair joins the two: the parent sends the configuration, the manager answers once, ready or failed, and leaves
(an orderly stop within its drain limit) as soon as the parent's end closes, however the parent ended.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

from regrove.node.core.errors import RegroveError
from regrove.node.process import guard
from regrove.node.process.configuration import NodeConfig
from regrove.node.process.folders import NodeFolder
from regrove.node.process.framing import FrameReader, pack
from regrove.records import dataclass

MANAGER_MODULE: Final = "regrove.node.process.manager_entry"


class NodeFailed(RegroveError):
    """The node ended before it was up, or did not get up in time; `code` is its exit code, None in the second case."""

    def __init__(self, text: str, code: int | None) -> None:
        self.code = code
        super().__init__(text)


class NodeUnwanted(RegroveError):
    """Whoever started the node gave it up before it was up; it was killed."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Whoever waits for a node may give it up: when `fd` is readable, `over` takes what is there and says whether."""

    fd: int
    over: Callable[[], bool]


@dataclass(slots=True)
class Launched:
    """A node that is up, as a child process. `stop` it; when this process dies it stops by itself."""

    config: NodeConfig
    process: subprocess.Popen[bytes]
    incarnation: int
    listen: str  # the address it listens on, with the port the kernel chose, or ""
    lifeline: socket.socket

    @property
    def folder(self) -> NodeFolder:
        """Its runtime folder, with the control socket."""
        return NodeFolder(Path(self.config.runtime_dir) / self.config.name)

    def stop(self, timeout: float | None = None) -> int:
        """Ask it to leave, wait, and return its exit code; after `timeout` seconds (drain limit + 5 s) it is killed."""
        self.lifeline.close()
        limit = self.config.drain_limit + 5.0 if timeout is None else timeout
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.process.kill()  # its cores die with it (PR_SET_PDEATHSIG)
            return self.process.wait()


def launch(
    config: NodeConfig,
    *,
    timeout: float = 60.0,
    stderr: int | IO[Any] | None = None,
    stdout: int | IO[Any] | None = None,
    meanwhile: Callable[[], object] | None = None,
    patience: Patience | None = None,
) -> Launched:
    """Start a node and wait until its trees are up; `stderr` gets its log (None: ours).

    `meanwhile` is called while it starts: for what would keep the two from starting at the same time.

    Raises NodeFailed, NodeUnwanted when `patience` is over, and NodeAlreadyRunning in a process that runs a core or a
    manager itself (an application whose module starts a node when it is imported).
    """
    guard.refuse_second()
    here, there = socket.socketpair()
    try:
        with there:
            process = subprocess.Popen(
                manager_command(there.fileno()),
                pass_fds=(there.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                process_group=0,
            )
        return _await_ready(config, process, here, timeout, meanwhile, patience)
    except BaseException:
        here.close()
        raise


def manager_command(boot: int) -> list[str]:
    """The command line of a manager that reads its configuration from the inherited descriptor `boot`."""
    return [sys.executable, "-P", "-m", MANAGER_MODULE, str(boot)]


def _await_ready(
    config: NodeConfig,
    process: subprocess.Popen[bytes],
    here: socket.socket,
    timeout: float,
    meanwhile: Callable[[], object] | None,
    patience: Patience | None,
) -> Launched:
    deadline = time.monotonic() + timeout
    try:
        plain = config.plain() | {"import_path": config.import_path or (os.getcwd(),)}
        here.settimeout(timeout)
        here.sendall(pack(plain))
        if meanwhile is not None:
            meanwhile()
        answer = _answer(here, deadline, patience)
    except TimeoutError:
        _end(process)
        raise NodeFailed(
            f"node {config.name} was not up within {timeout:g} s and was killed; see its log, or give it longer", None
        ) from None
    except OSError:
        answer = None
    except BaseException:
        _end(process)
        raise
    if answer is not None and "ready" in answer:
        ready = answer["ready"]
        return Launched(config, process, int(ready["incarnation"]), str(ready["listen"]), here)
    code = process.wait()
    text = str(answer["failed"]) if answer is not None else f"node {config.name} ended at its start; see its log"
    raise NodeFailed(text, code)


def _answer(here: socket.socket, deadline: float, patience: Patience | None) -> dict[str, Any] | None:
    reader = FrameReader()
    poller = select.poll()
    poller.register(here, select.POLLIN)
    if patience is not None:
        poller.register(patience.fd, select.POLLIN)
    while True:
        if patience is not None and patience.over():
            raise NodeUnwanted
        ready = poller.poll(max(deadline - time.monotonic(), 0) * 1000)
        if not ready:
            raise TimeoutError
        if here.fileno() not in (fd for fd, _ in ready):
            continue
        data = here.recv(65536)
        if not data:
            return None
        for frame in reader.feed(data):
            return dict(frame)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
