"""The manager's end of the control socket: accepts, greets, answers; the commands themselves are the manager's."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from regrove.node.io.poller import Poller
from regrove.node.process.control import COMMANDS, CONTROL_VERSION, bind_unix
from regrove.node.process.framing import pack
from regrove.node.process.pipe import Pipe
from regrove.records import dataclass

CLIENTS_MAX: Final = 256
BACKLOG: Final = 64
MEND_FULL: Final = (
    "end some of them: programs that are connected to it on this machine, `regrove events -f`, `regrove logs -f`; "
    "programs that connect to its --listen do not count"
)
RETRY_NS: Final = 100_000_000  # until who could not be accepted is looked at again
EVENT_BYTES_MAX: Final = 4 * 1024 * 1024  # waiting at a follower that does not read; then events are dropped for it


@dataclass(slots=True, eq=False)
class Client:
    """One connection; `following` is the request id of its `events`, once asked for."""

    pipe: Pipe
    following: int | None = None
    missed: int = 0

    def push(self, number: int, event: dict[str, Any]) -> None:
        """Send an event, unless too many wait already."""
        if self.missed:
            gap = {"at": time.time_ns(), "event": "events dropped", "level": "warning", "count": self.missed}
            if self.pipe.send_spare({"id": number, "event": gap}, EVENT_BYTES_MAX):
                self.missed = 0
        if not self.pipe.send_spare({"id": number, "event": event}, EVENT_BYTES_MAX):
            self.missed += 1


class Request:
    """One command of one client: answer it once, now or later."""

    __slots__ = ("_client", "_id", "arguments", "command")

    def __init__(self, client: Client, number: int, command: str, arguments: dict[str, Any]) -> None:
        self._client = client
        self._id = number
        self.command = command
        self.arguments = arguments

    def reply(self, value: object) -> None:
        """Answer it."""
        self._client.pipe.send({"id": self._id, "reply": value})

    def refuse(self, what: str, mend: str) -> None:
        """Say no."""
        self._client.pipe.send({"id": self._id, "refused": what, "mend": mend})

    @property
    def gone(self) -> bool:
        """Tell whether who asked has hung up."""
        return self._client.pipe.ended

    def send_event(self, event: dict[str, Any]) -> None:
        """Send one event that belongs to the answer."""
        self._client.pipe.send({"id": self._id, "event": event})

    def push(self, event: dict[str, Any]) -> None:
        """Send an event unless the client reads too slowly; what was dropped is counted and told."""
        self._client.push(self._id, event)

    def follow(self) -> None:
        """Send this client every event from now on."""
        self._client.following = self._id
        self.reply({"following": True})


class ControlServer:
    """Listens on `path` (0600) and hands each request to `on_request`; `hello` is what a client reads first.

    Who comes while there are `clients_max` reads in the hello that there are, and is hung up on.
    """

    def __init__(
        self,
        poller: Poller,
        path: Path,
        hello: dict[str, Any],
        on_request: Callable[[Request], None],
        clients_max: int = CLIENTS_MAX,
    ) -> None:
        self._clients_max = clients_max
        self._poller = poller
        self._hello = {"regrove": "control", "version": CONTROL_VERSION, **hello}
        self._on_request = on_request
        self._clients: list[Client] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        old = os.umask(0o177)
        try:
            bind_unix(self._listener, path)
        finally:
            os.umask(old)
        self._listener.listen(BACKLOG)
        poller.register(self._listener.fileno(), select.EPOLLIN, self._accept)

    def publish(self, event: dict[str, Any]) -> None:
        """Tell every follower."""
        for client in self._clients:
            if client.following is not None:
                client.push(client.following, event)

    def close(self) -> None:
        """Close every connection; what was answered is written first, within 0.2 s a client."""
        self._poller.unregister(self._listener.fileno())
        self._listener.close()
        for client in self._clients:
            client.pipe.flush(0.2)
            client.pipe.close()
        self._clients.clear()

    def _accept(self, _events: int) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:  # out of descriptors: who waits in the backlog would be told of again and again
            self._poller.modify(self._listener.fileno(), 0)
            self._poller.alarm(RETRY_NS, self._accept_again)
            return
        if len(self._clients) >= self._clients_max:
            self._turn_away(connection)
            return
        client = Client.__new__(Client)
        client.following, client.missed = None, 0
        client.pipe = Pipe(
            connection,
            self._poller,
            lambda frame: self._frame(client, frame),
            lambda _why: self._clients.remove(client),
        )
        self._clients.append(client)
        client.pipe.send(self._hello)

    def _turn_away(self, connection: socket.socket) -> None:
        what = f"node {self._hello.get('node')} has {self._clients_max} control clients, as many as it takes"
        with connection, contextlib.suppress(OSError):
            connection.setblocking(False)
            connection.send(pack({**self._hello, "refused": what, "mend": MEND_FULL}))

    def _accept_again(self) -> None:
        if self._listener.fileno() >= 0:
            self._poller.modify(self._listener.fileno(), select.EPOLLIN)

    def _frame(self, client: Client, frame: Any) -> None:
        match frame:
            case {"id": int(number), "command": str(command), **arguments}:
                request = Request(client, number, command, {str(key): value for key, value in arguments.items()})
                if command in COMMANDS:
                    self._on_request(request)
                else:
                    known = ", ".join(COMMANDS)
                    request.refuse(f"this node knows no command {command!r}", f"use one of {known}")
            case _:
                client.pipe.close()
                self._clients.remove(client)
