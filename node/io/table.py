"""The handles of one edge and their bound: streams (connections and files) share `streams` places.

A place is taken when a Connect or an Open begins and given back when the stream is closed, so the bound holds for
what is under way too. Listeners that were paused at the bound are served when a place comes free.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TypeAlias

from regrove.node.core.reasons import OsError
from regrove.node.io.board import Board
from regrove.node.io.files import FileStream
from regrove.node.io.keeping import Keeper
from regrove.node.io.listeners import TcpListener
from regrove.node.io.poller import Poller
from regrove.node.io.streams import STREAM_EVENTS, TcpStream

AnyStream: TypeAlias = TcpStream | FileStream
AcceptWaits: TypeAlias = Callable[[str, OsError], None]  # the port, and why connections wait there


def unsaid(where: str, reason: OsError) -> None:
    """Nobody wants to know."""


class HandleTable:
    """Open streams and listeners by handle; handles count up and are never reused."""

    __slots__ = (
        "_board",
        "_keeper",
        "_last",
        "_pauses",
        "_poller",
        "_streams_max",
        "_tell",
        "listeners",
        "places",
        "streams",
    )

    def __init__(self, board: Board, poller: Poller, keeper: Keeper, streams_max: int, tell: AcceptWaits) -> None:
        self._keeper = keeper
        self.streams: dict[int, AnyStream] = {}
        self.listeners: dict[int, TcpListener] = {}
        self.places = 0
        self._board = board
        self._poller = poller
        self._streams_max = streams_max
        self._last = 0
        self._pauses = 0
        self._tell = tell

    def has_room(self) -> bool:
        """Tell whether one more stream may be opened."""
        return self.places < self._streams_max

    def no_room(self, action: str) -> OsError:
        """The refusal of a Connect or an Open at the bound."""
        return OsError("EMFILE", f"{action}: bound streams = {self._streams_max} of this core is reached")

    def take_place(self) -> None:
        """Reserve the place of a stream that is being opened."""
        self.places += 1

    def give_place(self) -> None:
        """Give a place back, and let a paused listener use it."""
        self.places -= 1
        for listener in list(self.listeners.values()):
            if not self.has_room():
                return
            listener.serve()

    def accepted(self, sock: socket.socket) -> int:
        """Take the place and the handle of an accepted connection."""
        self.places += 1
        return self.add_connection(sock)

    def add_connection(self, sock: socket.socket) -> int:
        """Make a stream of a connected socket whose place is taken already."""
        number = self.next_handle()
        stream = TcpStream(number, sock, self._board, self._poller)
        self._poller.register(stream.fd, STREAM_EVENTS, stream.on_ready)
        self.streams[number] = stream
        return number

    def add_file(self, stream: FileStream) -> None:
        """Take in an open file whose place is taken already."""
        self.streams[stream.handle] = stream

    def add_listener(self, sock: socket.socket, backlog: int) -> int:
        """Make a listener of a listening socket, and return its handle."""
        number = self.next_handle()
        self.listeners[number] = TcpListener(
            number, sock, self._board, self._poller, backlog, self.has_room, self.accepted, self._accept_waits
        )
        return number

    def _accept_waits(self, where: str, reason: OsError | None) -> None:
        self._tell(where, reason or self.no_room("accept"))

    def next_handle(self) -> int:
        """A number that no stream or listener of this edge has had."""
        self._last += 1
        return self._last

    def pauses(self) -> int:
        """How often an Accept was made to wait by a bound, since the edge was made."""
        return self._pauses + sum(listener.paused for listener in self.listeners.values())

    def release(self, number: int, token: int | None) -> bool:
        """Close a handle, for the Close `token` or without an answer; False when there is none."""
        listener = self.listeners.pop(number, None)
        if listener is not None:
            self._pauses += listener.paused
            self._keeper.closed(number)
            listener.close(token)
            return True
        stream = self.streams.pop(number, None)
        if stream is None:
            return False
        stream.close(token)
        if isinstance(stream, TcpStream):  # a file's descriptor is closed later, by its thread
            self.give_place()
        return True
