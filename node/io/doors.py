"""Opening connections and listening sockets: serves Connect and Listen."""

from __future__ import annotations

import socket

from regrove.node.core.effects import Connect, Listen
from regrove.node.core.reasons import OsError
from regrove.node.io.board import Board
from regrove.node.io.keeping import Keeper
from regrove.node.io.listeners import endpoint_text, open_listener
from regrove.node.io.names import Resolver
from regrove.node.io.poller import Poller
from regrove.node.io.streams import Connecting, SocketAddress
from regrove.node.io.table import HandleTable


class Dialler:
    """Serves Connect; a place among the streams is taken from the first attempt on."""

    __slots__ = ("_board", "_dialling", "_poller", "_resolver", "_table")

    def __init__(self, board: Board, poller: Poller, table: HandleTable, resolver: Resolver) -> None:
        self._board = board
        self._poller = poller
        self._table = table
        self._resolver = resolver
        self._dialling: dict[int, Connecting] = {}

    def connect(self, token: int, wait: Connect) -> None:
        """Begin a Connect."""
        where = endpoint_text((wait.host, wait.port))
        if not self._table.has_room():
            self._board.answer(token, self._table.no_room(f"connect to {where}"))
            return
        self._resolver.resolve(token, wait.host, wait.port, lambda found: self._dial(token, where, found))

    def cancel(self, token: int) -> None:
        """Give up."""
        self._dialling.pop(token).cancel()
        self._table.give_place()

    def _dial(self, token: int, where: str, addresses: list[SocketAddress]) -> None:
        if not self._table.has_room():  # filled during the look-up
            self._board.end(token, self._table.no_room(f"connect to {where}"))
            return
        self._table.take_place()
        self._board.pending[token] = self
        self._dialling[token] = connecting = Connecting(
            where,
            addresses,
            self._poller,
            lambda sock: self._connected(token, sock),
            lambda reason: self._failed(token, reason),
        )
        connecting.begin()

    def _connected(self, token: int, sock: socket.socket) -> None:
        del self._dialling[token]
        handle = self._table.add_connection(sock)
        self._board.opened[token] = handle
        self._board.end(token, handle)

    def _failed(self, token: int, reason: OsError) -> None:
        del self._dialling[token]
        self._board.end(token, reason)
        self._table.give_place()


class Doorman:
    """Serves Listen."""

    __slots__ = ("_backlog", "_board", "_keeper", "_listeners_max", "_resolver", "_table")

    def __init__(
        self, board: Board, table: HandleTable, resolver: Resolver, keeper: Keeper, listeners_max: int, backlog: int
    ) -> None:
        self._board = board
        self._keeper = keeper
        self._table = table
        self._resolver = resolver
        self._listeners_max = listeners_max
        self._backlog = backlog

    def listen(self, token: int, wait: Listen) -> None:
        """Begin a Listen."""
        where = endpoint_text((wait.host, wait.port))
        self._resolver.resolve(token, wait.host, wait.port, lambda found: self._bind(token, where, found[0], wait))

    def _bind(self, token: int, where: str, address: SocketAddress, wait: Listen) -> None:
        if len(self._table.listeners) >= self._listeners_max:
            text = f"listen on {where}: bound listeners = {self._listeners_max} of this core is reached"
            self._board.end(token, OsError("EMFILE", text))
            return
        sock: socket.socket | OsError | None = self._keeper.take(wait.host, wait.port, wait.shared)
        if sock is None:
            sock = open_listener(where, address, wait.shared, self._backlog)
        if isinstance(sock, OsError):
            self._board.end(token, sock)
            return
        host, port = sock.getsockname()[:2]
        number = self._table.add_listener(sock, self._backlog)
        self._keeper.kept(number, wait.host, wait.port, wait.shared, sock)
        self._board.opened[token] = number
        self._board.end(token, (number, host, port))
