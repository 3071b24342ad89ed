"""The manager's duplicates of its cores' listening sockets: a socket lives as long as anybody holds it.

    core -> manager                                              manager -> core
      listen, number, host, port, shared    + the socket           offer, number, host, port, shared   + the socket
      claim, offer, number                                         withdrawn, offer
      unlisten, number

A core's replacement gets the sockets of the life before as offers, in the order they were opened, and claims those it
listens on again; what it has not claimed `CLAIM_GRACE_NS` after its tree has started is closed. While a core is stalled
its shared sockets are shut down, so that the kernel gives new connections to the other cores; `resume` listens again.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any, Final

from regrove.node.io.poller import Poller
from regrove.node.process.descriptors import Hands, close_all
from regrove.records import dataclass

KEPT_MAX: Final = 256  # sockets of one core; those beyond end with it
CLAIM_GRACE_NS: Final = 2_000_000_000  # for an isolate that listens a little after its tree is up
BACKLOG: Final = 4_096  # of a socket that listens again; the kernel's own limit (somaxconn) is below


@dataclass(slots=True)
class _Kept:
    host: str
    port: int
    shared: bool
    sock: socket.socket
    shut: bool = False

    @property
    def place(self) -> tuple[str, int]:
        return (self.host, self.port)


class _CoreSockets:
    """Of one core: `held` by the number of its listener, `offered` by the number of the offer."""

    __slots__ = ("held", "life", "offered")

    def __init__(self) -> None:
        self.held: dict[int, _Kept] = {}
        self.offered: dict[int, _Kept] = {}
        self.life = 0


class ListenerKeeper:
    """Keeps, hands over, gives up; all by the number of the core."""

    __slots__ = ("_cores", "_last", "_poller", "refused")

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self._cores: dict[int, _CoreSockets] = {}
        self._last = 0
        self.refused = 0  # sockets beyond `KEPT_MAX`

    def count(self, core: int) -> int:
        """How many sockets of a core are kept, offers among them."""
        row = self._cores.get(core)
        return 0 if row is None else len(row.held) + len(row.offered)

    def take(self, core: int, message: Any, descriptors: list[int]) -> bool:
        """Follow a message of a core; False when it is none of these."""
        row = self._cores.setdefault(core, _CoreSockets())
        match message:
            case ["listen", int(number), str(host), int(port), bool(shared)] if len(descriptors) == 1:
                self._keep(core, row, number, _Kept(host, port, shared, socket.socket(fileno=descriptors[0])))
            case ["claim", int(offer), int(number)]:
                kept = row.offered.pop(offer, None)
                if kept is not None:
                    row.held[number] = kept
            case ["unlisten", int(number)]:
                kept = row.held.pop(number, None)
                if kept is not None:
                    kept.sock.close()
            case _:
                close_all(descriptors)
                return False
        return True

    def hand_over(self, core: int, hands: Hands) -> int:
        """Offer a new life of the core what the last one had; returns how many offers lie in its hands now."""
        row = self._cores.get(core)
        if row is None:
            return 0
        row.life += 1
        kept = [*row.offered.values(), *row.held.values()]
        row.held, row.offered = {}, {}
        for one in kept:
            self._listen_again(one)
            self._last += 1
            offer = ["offer", self._last, one.host, one.port, one.shared]
            if hands.send(offer, [one.sock.fileno()]):
                row.offered[self._last] = one
            else:
                one.sock.close()
        return len(row.offered)

    def started(self, core: int, hands: Hands) -> None:
        """The core's tree has started: what it does not claim now, it does not want."""
        row = self._cores.get(core)
        if row is not None and row.offered:
            life = row.life
            self._poller.alarm(CLAIM_GRACE_NS, lambda: self._give_up(row, life, hands))

    def stall(self, core: int) -> int:
        """Let the kernel give new connections to the other cores that listen there too; returns how many sockets.

        A socket nobody else listens beside keeps its backlog: waiting is better than being refused.
        """
        count = 0
        for kept in self._held(core):
            if kept.shut or not kept.shared or not kept.port or not self._elsewhere(core, kept.place):
                continue
            with contextlib.suppress(OSError):
                kept.sock.shutdown(socket.SHUT_RDWR)
                kept.shut = True
                count += 1
        return count

    def resume(self, core: int) -> int:
        """The core goes on: its sockets listen again; returns how many."""
        return sum(self._listen_again(kept) for kept in self._held(core))

    def divert(self, core: int, away: bool) -> int:
        """`stall` or `resume`."""
        return self.stall(core) if away else self.resume(core)

    def close(self, core: int) -> None:
        """Nobody will listen for this core, for now or for ever: its ports are closed."""
        row = self._cores.pop(core, None)
        if row is not None:
            for kept in [*row.held.values(), *row.offered.values()]:
                kept.sock.close()

    def close_all(self) -> None:
        """The node ends."""
        for core in list(self._cores):
            self.close(core)

    def _keep(self, core: int, row: _CoreSockets, number: int, kept: _Kept) -> None:
        if self.count(core) >= KEPT_MAX or number in row.held:
            self.refused += 1
            kept.sock.close()
        else:
            row.held[number] = kept

    def _held(self, core: int) -> Iterator[_Kept]:
        row = self._cores.get(core)
        if row is not None:
            yield from row.held.values()

    def _elsewhere(self, core: int, place: tuple[str, int]) -> bool:
        others = (kept for other in self._cores if other != core for kept in self._held(other))
        return any(kept.place == place and not kept.shut for kept in others)

    def _listen_again(self, kept: _Kept) -> bool:
        if not kept.shut:
            return False
        kept.shut = False
        try:
            kept.sock.listen(BACKLOG)
        except OSError:
            return False  # somebody has the port by now; the core's own Accept says so
        return True

    def _give_up(self, row: _CoreSockets, life: int, hands: Hands) -> None:
        if row.life != life:
            return
        for number, kept in row.offered.items():
            kept.sock.close()
            hands.send(["withdrawn", number])
        row.offered = {}
