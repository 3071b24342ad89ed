"""`regrove.start`: a node as child processes of a script or a test, gone when the block ends or this process does.

The node has a runtime folder of its own, so that it meets no other node of this machine, and finds modules where this
process finds them. `launch.py` in node/process starts it and ends it with us, even when we are killed.
"""

from __future__ import annotations

import contextlib
import os
import signal as signals
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final

from regrove.node.client.errors import NodeDidNotStart
from regrove.node.client.naming import reference_of
from regrove.node.client.scratch import Scratch
from regrove.node.core.address import Address, Name
from regrove.node.core.errors import Misuse, RegroveError
from regrove.node.core.sent import Sent
from regrove.node.process.configuration import NodeConfig, resolve
from regrove.node.process.control import ControlClient
from regrove.node.process.guard import refuse_inside_handler
from regrove.node.process.launch import Launched, NodeFailed, launch

if TYPE_CHECKING:
    from regrove.node.client.cluster import Cluster
    from regrove.node.client.supervising import SupervisorClient

START_TIMEOUT: Final = 60.0  # seconds until every tree is up: fresh Python processes import the application
LOG_TAIL: Final = 4_000  # characters of the node's log that an error shows
POLL: Final = 0.02  # seconds between two looks of `wait_until`


def start(
    application: object,
    *,
    cores: int | None = None,
    name: str | None = None,
    settings: Mapping[str, object] | None = None,
    listen: str | None = None,
    data: str | os.PathLike[str] | None = None,
    timeout: float = START_TIMEOUT,
    log: IO[Any] | int | None = None,
    **options: object,
) -> StartedNode:
    """Run a node as child processes and wait until it is up; use it as `with regrove.start("module:app") as node:`.

    `application`: an Application, `module:attribute` or `file.py:attribute`. `data`: the folder its files are kept in
    (default: one that goes with the node). `log`: where its log goes (default: kept for `node.log()`). `options`: the
    other keys of a configuration, such as `join=[...]` or `drain_limit="2s"`. Raises NodeDidNotStart, or Misuse.
    """
    refuse_inside_handler("regrove.start", 'at the top of a script, put it under `if __name__ == "__main__":`')
    reference = reference_of(application)
    scratch = Scratch()
    folder = scratch.path
    try:
        flags = {
            "app": reference,
            "cores": cores,
            "name": name,
            "settings": dict(settings or {}) or None,
            "listen": listen,
            "data_dir": str(folder / "data" if data is None else Path(data).absolute()),
            "runtime_dir": str(folder / "run"),
            "import_path": _import_path(),
            **options,
        }
        config = resolve(flags, named=lambda key: f"{key}= of regrove.start").config
        return StartedNode(_launch(config, folder, timeout, log), scratch)
    except BaseException:
        scratch.remove()
        raise


def _launch(config: NodeConfig, folder: Path, timeout: float, log: IO[Any] | int | None) -> Launched:
    with open(folder / "log", "wb") as own:
        target = own if log is None else log
        try:
            return launch(config, timeout=timeout, stdout=target, stderr=target, meanwhile=_load_cluster)
        except NodeFailed as problem:
            output = _tail(folder)
            raise NodeDidNotStart(str(problem), "" if str(problem) in output else output) from None


def _load_cluster() -> Callable[[Path], Cluster]:
    """Import what a node is called with: not needed before there is one, so it is done while that starts."""
    from regrove.node.client.cluster import connect
    from regrove.transport import zeromq  # noqa: F401  # opened by `connect`, which is asked for when the node is up

    return connect


def _import_path() -> tuple[str, ...]:
    """Where this process finds modules beyond what every Python of this installation does, the working folder first."""
    installed = (os.path.join(sys.prefix, ""), os.path.join(sys.base_prefix, "lib"))
    own = [os.path.abspath(entry) for entry in sys.path if os.path.isdir(entry or ".")]
    return tuple(dict.fromkeys((os.getcwd(), *(entry for entry in own if not entry.startswith(installed)))))


def _tail(folder: Path) -> str:
    try:
        return (folder / "log").read_text(errors="replace")[-LOG_TAIL:]
    except OSError:
        return ""


def _end(launched: Launched, scratch: Scratch, owner: int) -> None:
    """End the node and its folder when nobody called `stop`; in the child of a fork they are not ours."""
    if os.getpid() == owner:
        launched.stop(1.0)
        scratch.remove()


class StartedNode:
    """A node that runs as child processes of this one, and a cluster connected to it. Thread-safe."""

    def __init__(self, launched: Launched, scratch: Scratch) -> None:
        self.name = launched.config.name
        self.listen = launched.listen
        self._launched = launched
        self._scratch = scratch
        self._lock = threading.Lock()
        self._cluster: Cluster | None = None
        self._log = ""
        self._code: int | None = None
        self._end = weakref.finalize(self, _end, launched, scratch, os.getpid())

    # -- the cluster it is --------------------------------------------------------------------------------------------

    @property
    def cluster(self) -> Cluster:
        """The connected cluster; connected at its first use."""
        with self._lock:
            if self._code is not None:
                raise Misuse(f"node {self.name} has been stopped: use it inside its `with regrove.start(...)` block")
            if self._cluster is None:
                self._cluster = _load_cluster()(self._launched.folder.control)
            return self._cluster

    def call(self, target: Address | Name | str, request: object, timeout: float = 5.0) -> Any:
        """See `Cluster.call`."""
        return self.cluster.call(target, request, timeout=timeout)

    def send(self, target: Address | Name | str, message: object) -> Sent:
        """See `Cluster.send`."""
        return self.cluster.send(target, message)

    def whereis(self, name: str | Name) -> Name | None:
        """See `Cluster.whereis`."""
        return self.cluster.whereis(name)

    def supervisor(self, target: Address | Name | str, core: int | None = None) -> SupervisorClient:
        """See `Cluster.supervisor`."""
        return self.cluster.supervisor(target, core)

    # -- the processes it is ------------------------------------------------------------------------------------------

    @property
    def control(self) -> Path:
        """Its control socket: `regrove.connect(node.control)` from another process of this user."""
        return self._launched.folder.control

    @property
    def runtime_dir(self) -> Path:
        """Its runtime folder's root: REGROVE_RUNTIME_DIR for commands that are to find it."""
        return Path(self._launched.config.runtime_dir)

    @property
    def manager_pid(self) -> int:
        """The pid of its manager."""
        return self._launched.process.pid

    @property
    def pids(self) -> tuple[int, ...]:
        """The pids of its manager and of the cores that run now."""
        cores = [core["pid"] for core in self.status()["cores"] if core["pid"]]
        return (self.manager_pid, *cores)

    def status(self, timeout: float = 5.0) -> dict[str, Any]:
        """The shape of `regrove status --json`."""
        with ControlClient(self.control, timeout) as control:
            answer: dict[str, Any] = control.ask("status")
            return answer

    def kill_core(self, core: int, signal: int = signals.SIGKILL) -> int:
        """Send a signal to the process of a core and return its pid; raises Misuse when it does not run."""
        rows = self.status()["cores"]
        pid = rows[core]["pid"] if 0 <= core < len(rows) else None
        if not pid:
            raise Misuse(f"core {core} of {self.name} does not run; it has cores 0 to {len(rows) - 1}")
        os.kill(pid, signal)
        return int(pid)

    def wait_until(self, condition: Callable[[dict[str, Any]], object], timeout: float = 30.0) -> dict[str, Any]:
        """Wait until `condition(status)` holds and return that status; raises RegroveError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            status = self.status()
            if condition(status):
                return status
            if time.monotonic() >= deadline:
                raise RegroveError(f"not true of node {self.name} within {timeout:g} s: {status}\n{self.log()}")
            time.sleep(POLL)

    def log(self) -> str:
        """What the node has logged; empty when `log=` was given."""
        return self._log or _read(self._scratch.path / "log")

    def stop(self, timeout: float | None = None) -> int:
        """Stop it in order and return its exit code; after `timeout` seconds (drain limit + 5 s) it is killed."""
        with self._lock:
            if self._code is not None:
                return self._code
            if self._cluster is not None:
                self._cluster.close()
            if self._end.detach() is None:
                return 0
            cores = self._core_handles()
            self._code = self._launched.stop(timeout)
            _wait_gone(cores)
            self._log = _read(self._scratch.path / "log")
            self._scratch.remove()
            return self._code

    def __enter__(self) -> StartedNode:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "stopped" if self._code is not None else f"pid {self.manager_pid}"
        return f"<node {self.name} started here, {state}>"

    def _core_handles(self) -> list[int]:
        handles = []
        try:
            cores = self.status(timeout=1.0)["cores"]
        except RegroveError:
            return []  # a manager that does not answer is killed, and its cores with it
        for core in cores:
            with contextlib.suppress(ProcessLookupError):
                handles += [os.pidfd_open(core["pid"])] if core["pid"] else []
        return handles


def _wait_gone(handles: Iterable[int]) -> None:
    """A killed manager's cores end with it; this waits until the kernel has ended them."""
    import select

    for handle in handles:
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        poller.poll(5_000)
        os.close(handle)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
