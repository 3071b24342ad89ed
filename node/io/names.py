"""From host and port to socket addresses: numeric ones at once, names on the offload threads."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

from regrove.node.core.reasons import OsError
from regrove.node.io.board import Board
from regrove.node.io.offload import ThreadOffload
from regrove.node.io.streams import SocketAddress

# getaddrinfo has error names of its own; they stand where an errno's name stands.
LOOKUP_ERRORS: Final = {
    getattr(socket, name): name
    for name in ("EAI_AGAIN", "EAI_FAIL", "EAI_FAMILY", "EAI_MEMORY", "EAI_NODATA", "EAI_NONAME", "EAI_SERVICE")
}


class Resolver:
    """Finds the addresses for a pending request; a look-up that blocks uses an offload thread and its bound."""

    __slots__ = ("_board", "_threads")

    def __init__(self, board: Board, threads: ThreadOffload) -> None:
        self._board = board
        self._threads = threads

    def resolve(self, token: int, host: str, port: int, found: Callable[[list[SocketAddress]], None]) -> None:
        """Call `found(addresses)`, at once for a numeric host; a failure ends `token` here."""
        addresses = numeric(host, port)
        if addresses is not None:
            self._board.pending[token] = self
            found(addresses)
            return

        def looked_up(result: object) -> None:
            if isinstance(result, list):
                found(result)
            else:
                self._board.end(token, result)

        self._threads.submit_job(token, lambda: look_up(host, port), looked_up)

    def cancel(self, token: int) -> None:
        """Nothing to undo: a numeric host is resolved before anybody can cancel."""


def numeric(host: str, port: int) -> list[SocketAddress] | None:
    """The address of a numeric host; None for a name. An empty host is every interface (`0.0.0.0`)."""
    try:
        return _addresses(host or "0.0.0.0", port, socket.AI_NUMERICHOST | socket.AI_NUMERICSERV)
    except (OSError, UnicodeError):
        return None


def look_up(host: str, port: int) -> list[SocketAddress] | OsError:
    """The addresses of a name, in the system's order of preference. Blocks: for a thread only."""
    try:
        return _addresses(host, port, socket.AI_NUMERICSERV)
    except socket.gaierror as error:
        name = LOOKUP_ERRORS.get(error.errno or 0, "EAI_FAIL")
        return OsError(name, f"no address for host {host!r}: {error.strerror}")
    except Exception as error:  # a host that is no str, or does not encode: on a worker thread nothing may escape
        return OsError("EAI_NONAME", f"no address for host {host!r}: {type(error).__name__}: {error}")


def _addresses(host: str, port: int, flags: int) -> list[SocketAddress]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(int(family), address) for family, _kind, _protocol, _name, address in found]
