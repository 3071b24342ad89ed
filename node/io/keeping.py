"""Listening sockets that outlive their core: what the edge asks of whoever keeps them, and the one that keeps nothing.

A core that dies leaves connections waiting in the backlog of its listeners; while somebody else holds the socket too,
the kernel resets none of them, and the core's replacement goes on with the same socket.
"""

from __future__ import annotations

import socket
from typing import Protocol


class Keeper(Protocol):
    """Told of every listener of an edge; asked before one is bound."""

    def take(self, host: str, port: int, shared: bool) -> socket.socket | None:
        """A socket of the core's previous life that was listening on just this, the oldest first; None: bind one."""

    def kept(self, number: int, host: str, port: int, shared: bool, sock: socket.socket) -> None:
        """The listener `number` listens with `sock`, taken or new."""

    def closed(self, number: int) -> None:
        """The listener `number` was closed by its isolate or with it: nobody is to listen there any more."""


class NoKeeper:
    """For an edge without a manager: every socket ends with its process."""

    def take(self, host: str, port: int, shared: bool) -> socket.socket | None:
        """There is none."""
        return None

    def kept(self, number: int, host: str, port: int, shared: bool, sock: socket.socket) -> None:
        """Nothing to do."""

    def closed(self, number: int) -> None:
        """Nothing to do."""
