"""A core's side of listening sockets that survive it (the manager's: `listeners_kept.py`).

The sockets of the life before come first, as offers; a Listen on the same host and port claims the oldest of them.
Every listener goes to the manager as a duplicate, and is taken back when its isolate closes it or ends.
"""

from __future__ import annotations

import socket
from typing import Any, Final

from regrove.node.process import descriptors
from regrove.node.process.descriptors import Hands
from regrove.records import dataclass

OFFER_LIMIT_S: Final = 1.0  # they were written before the boot frame, so they are there


@dataclass(frozen=True, slots=True)
class _Offer:
    number: int
    host: str
    port: int
    shared: bool
    sock: socket.socket


def read_offers(connection: socket.socket, count: int) -> list[tuple[list[Any], int]]:
    """Take the `count` offers that lie in the hands before the loop runs; fewer when the manager went away."""
    found: list[tuple[list[Any], int]] = []
    connection.settimeout(OFFER_LIMIT_S)
    try:
        while len(found) < count:
            one = descriptors.receive(connection)
            if one is None:
                break
            message, given = one
            found.append((message, given[0]))
    except OSError:
        pass
    return found


class CoreKeeper:
    """The `Keeper` of a core with a manager."""

    __slots__ = ("_claimed", "_hands", "_offers")

    def __init__(self, offers: list[tuple[list[Any], int]]) -> None:
        self._offers: list[_Offer] = []
        self._claimed: dict[int, int] = {}  # descriptor of a taken socket -> its offer, until it has a number
        self._hands: Hands | None = None
        for (_, number, host, port, shared), descriptor in offers:
            self._offers.append(_Offer(number, host, port, shared, socket.socket(fileno=descriptor)))

    def attach(self, hands: Hands) -> None:
        """Give the way to the manager; once."""
        self._hands = hands

    def take(self, host: str, port: int, shared: bool) -> socket.socket | None:
        """Claim the oldest offer for just this."""
        for offer in self._offers:
            if (offer.host, offer.port, offer.shared) == (host, port, shared):
                self._offers.remove(offer)
                offer.sock.setblocking(False)
                self._claimed[offer.sock.fileno()] = offer.number
                return offer.sock
        return None

    def kept(self, number: int, host: str, port: int, shared: bool, sock: socket.socket) -> None:
        """Tell the manager: a claim, or a new socket with a duplicate of it."""
        offer = self._claimed.pop(sock.fileno(), None)
        if offer is not None:
            self._say(["claim", offer, number])
        else:
            self._say(["listen", number, host, port, shared], [sock.fileno()])

    def closed(self, number: int) -> None:
        """Take it back from the manager."""
        self._say(["unlisten", number])

    def heard(self, message: Any, given: list[int]) -> bool:
        """Take a message of the manager: it waits no longer for an offer to be claimed. False: it is another one."""
        descriptors.close_all(given)
        match message:
            case ["withdrawn", number]:
                for offer in [offer for offer in self._offers if offer.number == number]:
                    self._offers.remove(offer)
                    offer.sock.close()
                return True
            case _:
                return False

    def close(self) -> None:
        """Let go of what was not claimed; the manager closes its own."""
        while self._offers:
            self._offers.pop().sock.close()

    def _say(self, message: list[Any], given: list[int] | None = None) -> None:
        if self._hands is not None:
            self._hands.send(message, given or [])
