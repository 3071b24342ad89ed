"""The control socket of a node, RUNTIME/NAME/control: how commands of this machine speak to its manager.

A unix stream socket; its file mode (0600 in a 0700 folder) is the access control. Frames as in `framing.py`.

    manager -> {"regrove": "control", "version": 1, "node": NAME, "incarnation": int, "pid": int}     once, the hello
             | {..., "refused": text, "mend": text}           the hello of a node that takes no more clients
    client  -> {"id": int, "command": str, ...arguments}
    manager -> {"id": int, "reply": value}                     one answer to each request, not always in order
             | {"id": int, "refused": text, "mend": text}
             | {"id": int, "event": {...}}                     after `events`, for as long as the connection lives

| command | arguments | reply |
|---|---|---|
| `ping` | | {"node", "incarnation", "pid", "state"} |
| `status` | | the shape of `regrove status --json` (nodes.md, "Command line") |
| `tree` | | {"node", "cores": [{"core", "incarnation", "rows": [...]}], "missing": [{"core", "why"}]} |
| `links` | | {"node", "cores": [{"core", "incarnation", "links": [...]}], "missing": [...]} |
| `members` | | {"view": null, "members": [{"name", "state", "incarnation", "address"}]} |
| `call-info` | | what a client needs to dial the cores, below |
| `config` | | {"values": [{"key", "value", "origin"}]} |
| `stop` | now: bool | {"stopping": true, "limit": seconds}; the connection closes when the node has ended |
| `drain` | | {"draining": true}; `status` says what is left |
| `leave` | | {"leaving": true, "limit": seconds}; the connection closes when the node has ended |
| `revive` | core: int or null (all) | {"revived": [core, ...]} |
| `logs` | level: str, last: int, follow: bool | {"lines": count}, then the last lines as events, then new ones |
| `events` | | {"following": true}, then events {"at": wall ns, "event": str, ...} |

`call-info` = {"node", "incarnation", "cluster", "application", "cores": [{"core", "incarnation", "endpoint", "remote",
"key"}], "names": [[name, core], ...], "nodes": [...]}: `endpoint` is the core's ipc endpoint (this machine, this user),
`remote` its tcp endpoint or "" when the node has no `--listen`, `key` its public CURVE key (Z85) or "". `nodes` are the
joined nodes, each {"node", "incarnation", "cores", "names"} with the same rows.

Commands and their arguments may grow; a manager refuses a command it does not know.
"""

from __future__ import annotations

import itertools
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from regrove.node.core.errors import RegroveError
from regrove.node.process.folders import SOCKET_PATH_MAX
from regrove.node.process.framing import FrameReader, FramingError, pack

CONTROL_VERSION: Final = 1
COMMANDS: Final = (
    "ping",
    "status",
    "tree",
    "links",
    "members",
    "call-info",
    "config",
    "stop",
    "drain",
    "leave",
    "revive",
    "logs",
    "events",
)


class ControlError(RegroveError):
    """The manager cannot be spoken to, or what came is not its protocol."""


class NodeNotRunning(ControlError):
    """Nothing answers at the node's control socket."""


class ControlTimeout(ControlError):
    """The manager did not answer within the limit."""


class ControlRefused(ControlError):
    """The manager refused the command; `mend` says what to do instead."""

    def __init__(self, what: str, mend: str) -> None:
        self.what = what
        self.mend = mend
        super().__init__(f"{what}; {mend}" if mend else what)


class ControlClient:
    """A blocking connection to the manager whose control socket is at `path`; `timeout` seconds for each step.

    Use it from one thread, as a context manager. After construction `node`, `incarnation` and `pid` are the manager's.
    Raises NodeNotRunning, ControlTimeout or ControlError, each naming the node and the mend.
    """

    def __init__(self, path: str | Path, timeout: float = 5.0) -> None:
        self.path = Path(path)
        self.node = self.path.parent.name
        self._timeout = timeout
        self._reader = FrameReader()
        self._frames: list[Any] = []
        self._last = 0
        self._socket = self._connect()
        try:
            self._greet()
        except BaseException:
            self._socket.close()
            raise

    def ask(self, command: str, **arguments: object) -> Any:
        """Send one command and return its reply; raises ControlRefused when the manager says no."""
        self._last += 1
        number = self._last
        self._send({"id": number, "command": command, **arguments})
        deadline = time.monotonic() + self._timeout
        while True:
            answer = self._receive(deadline, command)
            if answer.get("id") != number or "event" in answer:
                continue
            if "refused" in answer:
                raise ControlRefused(str(answer["refused"]), str(answer.get("mend", "")))
            return answer["reply"]

    def events(self, within: float | None = None) -> Iterator[dict[str, Any]]:
        """Follow the node's events from now on until it ends, or for `within` seconds (then the iterator ends)."""
        self.ask("events")
        self._socket.settimeout(None)
        return self._follow(None if within is None else time.monotonic() + within)

    def logs(self, level: str, last: int, follow: bool) -> Iterator[dict[str, Any]]:
        """The last lines of the node's log from `level` on; with `follow` also what comes, until the node ends."""
        count = int(self.ask("logs", level=level, last=last, follow=follow)["lines"])
        self._socket.settimeout(None)
        lines = self._follow(None)
        return lines if follow else itertools.islice(lines, count)

    def _follow(self, deadline: float | None) -> Iterator[dict[str, Any]]:
        while True:
            try:
                answer = self._receive(deadline, "events")
            except (NodeNotRunning, ControlTimeout):
                return
            if "event" in answer:
                yield answer["event"]

    def wait_closed(self, timeout: float | None) -> bool:
        """Wait until the manager closes the connection, as it does when it ends; False after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                self._receive(deadline, "wait")
            except NodeNotRunning:
                return True
            except ControlTimeout:
                return False

    def close(self) -> None:
        """Close the connection; the node goes on."""
        self._socket.close()

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<control of {self.node} at {self.path}>"

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        connection.settimeout(self._timeout)
        try:
            connect_unix(connection, self.path)
        except (FileNotFoundError, NotADirectoryError):
            connection.close()
            raise NodeNotRunning(
                f"node {self.node} is not running: there is no {self.path}; start it with `regrove start`"
            ) from None
        except ConnectionRefusedError:
            connection.close()
            raise NodeNotRunning(
                f"node {self.node} is not running: its manager left {self.path} behind; start it with `regrove start`"
            ) from None
        except PermissionError:
            connection.close()
            raise ControlError(
                f"the control socket {self.path} of node {self.node} belongs to another user; run as that user"
            ) from None
        except OSError as problem:
            connection.close()
            raise ControlError(f"cannot reach node {self.node} at {self.path}: {problem}") from problem
        return connection

    def _greet(self) -> None:
        hello = self._receive(time.monotonic() + self._timeout, "hello")
        if hello.get("regrove") != "control":
            raise ControlError(f"{self.path} is not the control socket of a regrove node; remove the file")
        if hello.get("version") != CONTROL_VERSION:
            raise ControlError(
                f"node {hello.get('node')} speaks control version {hello.get('version')}, this regrove speaks "
                f"{CONTROL_VERSION}; use the regrove the node was started with"
            )
        if "refused" in hello:
            raise ControlRefused(str(hello["refused"]), str(hello.get("mend", "")))
        self.node = str(hello["node"])
        self.incarnation = int(hello["incarnation"])
        self.pid = int(hello["pid"])

    def _send(self, value: dict[str, object]) -> None:
        self._socket.settimeout(self._timeout)
        try:
            self._socket.sendall(pack(value))
        except TimeoutError:
            raise self._silent(str(value["command"])) from None
        except OSError:
            raise self._ended() from None

    def _receive(self, deadline: float | None, doing: str) -> dict[str, Any]:
        while not self._frames:
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise self._silent(doing)
                self._socket.settimeout(left)
            self._frames.extend(self._read_some(doing))
        frame = self._frames.pop(0)
        if not isinstance(frame, dict):
            raise ControlError(f"{self.path} answered with a {type(frame).__name__}, not a control frame")
        return frame

    def _read_some(self, doing: str) -> list[Any]:
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            raise self._silent(doing) from None
        except ConnectionError:
            raise self._ended() from None
        if not data:
            raise self._ended()
        try:
            return self._reader.feed(data)
        except FramingError as problem:
            raise ControlError(f"{self.path} is not the control socket of a regrove node: {problem}") from problem

    def _silent(self, doing: str) -> ControlTimeout:
        return ControlTimeout(
            f"node {self.node} did not answer `{doing}` within {self._timeout:g} s; "
            "see whether its manager is stopped or overloaded, or give a longer timeout"
        )

    def _ended(self) -> NodeNotRunning:
        return NodeNotRunning(f"node {self.node} ended while it was spoken to; its log says why")


def connect_unix(connection: socket.socket, path: Path) -> None:
    """Connect to a unix socket, however long its path is."""
    if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
        connection.connect(str(path))
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connection.connect(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def bind_unix(connection: socket.socket, path: Path) -> None:
    """Bind a unix socket, however long its path is."""
    if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
        connection.bind(str(path))
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connection.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
