"""What silence does to tcp between machines: where nothing comes any more, both ends give up after 9 to 12 s.

So it was seen of two real nodes whose packets went nowhere (docs/decisions/silence.md): keepalives end an idle
connection after 9 to 10 s, the limit on unacknowledged bytes (`tcp_silence_ms`) a busy one after up to 12. Inside a
machine there is no such end. A machine that is gone without a word is silent, too; back, it resets what it knows
nothing of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from regrove.node.simulation.clock import SECOND, Clock
from regrove.node.simulation.ends import Connection, Half
from regrove.node.simulation.seeds import Draws, between

if TYPE_CHECKING:
    from regrove.node.simulation.network import Network

LEAST: Final = 9 * SECOND
MOST: Final = 12 * SECOND
KEEPALIVE: Final = SECOND  # the time from one to the next
MEETS_AGAIN: Final = SECOND  # the most until a peer sends again to a machine that is back, and hears what that says
GAVE_UP: Final = "nothing came for 10 s"
Cut: TypeAlias = tuple[str, str, int]  # from a place to a place, and which it is of all


class Silence:
    """Between which places nothing passes, and which machines are gone without a word.

    `gave_up(source, target)` is told when it has been so long, `again(source, target)` when something may pass again.
    """

    def __init__(self, network: Network, clock: Clock, draws: Draws) -> None:
        self._network = network
        self._clock = clock
        self._draws = draws
        self._cuts: dict[tuple[str, str], tuple[int, int]] = {}  # which cut stands, and how many on top of each other
        self._long_ones: dict[tuple[str, str], None] = {}  # those that parted the managers
        self._count = 0
        self._gone: dict[str, list[Connection]] = {}  # by machine, what it left behind
        self.gave_up: Callable[[str, str], None] = _nobody
        self.again: Callable[[str, str], None] = _nobody

    # --- cuts ---

    def begins(self, source: str, target: str) -> None:
        """Nothing passes there from now on. Each needs its own `ends`."""
        if (source, target) in self._cuts:
            number, standing = self._cuts[source, target]
            self._cuts[source, target] = (number, standing + 1)
            return
        self._count += 1
        cut = (source, target, self._count)
        self._cuts[source, target] = (self._count, 1)
        self._clock.at(self._clock.now + LEAST, self._draws.draw("silence", source, target), self._long, cut)

    def ends(self, source: str, target: str) -> None:
        """One cut there is healed."""
        number, standing = self._cuts.pop((source, target), (0, 0))
        if standing > 1:
            self._cuts[source, target] = (number, standing - 1)
        else:
            self._long_ones.pop((source, target), None)

    def parts(self, one: str, other: str) -> bool:
        """Whether a cut stands between two machines that has parted their managers already."""
        return (one, other) in self._long_ones or (other, one) in self._long_ones

    def _long(self, cut: Cut) -> None:
        """The managers of two nodes say little to each other: their keepalives give up first."""
        if self._stands(cut):
            source, target, _ = cut
            draw = self._draws.draw("silence", source, target)
            self._clock.at(self._clock.now + between(draw, 0, KEEPALIVE), draw, self._managers, cut)
            for connection in self._network.connections(source, target):
                if connection.near.owner.node != connection.far.owner.node:
                    draw = connection.out.draws.next()
                    time = self._clock.now + between(draw, 0, MOST - LEAST)
                    self._clock.at(time, draw, self._over, (cut, connection))

    def _managers(self, cut: Cut) -> None:
        if self._stands(cut):
            self._long_ones[cut[:2]] = None
            self.gave_up(cut[0], cut[1])

    def _over(self, call: tuple[Cut, Connection]) -> None:
        cut, connection = call
        if self._stands(cut):
            self._network.time_out(connection, GAVE_UP)

    def _stands(self, cut: Cut) -> bool:
        return self._cuts.get(cut[:2], (0, 0))[0] == cut[2]

    # --- machines that are gone without a word ---

    def machine_gone(self, machine: str) -> None:
        """No peer is told, and nobody answers a connect there."""
        self._gone.setdefault(machine, [])

    def dark(self, machine: str) -> bool:
        """Whether that machine is gone, and nobody knows."""
        return machine in self._gone

    def vanish(self, half: Half) -> None:
        """An end goes with its machine: what its peer sends from now on nobody hears."""
        connection = half.connection
        self._network.keep_a_part(half.out)
        back = connection.back if half is connection.near else connection.out
        self._network.lost += back.lose()
        back.stuck = back.unheard = True
        self._gone[half.owner.node].append(connection)
        draw = half.out.draws.next()
        self._clock.at(self._clock.now + between(draw, LEAST, MOST), draw, self._give_up, connection)

    def machine_back(self, machine: str) -> None:
        """It resets what it knows nothing of, as soon as a peer sends to it."""
        for connection in self._gone.pop(machine, ()):
            self._sends_soon(machine, connection)

    def _sends_soon(self, machine: str, connection: Connection) -> None:
        if not connection.over:
            draw = connection.out.draws.next()
            time = self._clock.now + between(draw, 0, MEETS_AGAIN)
            self._clock.at(time, draw, self._sends, (machine, connection))

    def _sends(self, call: tuple[str, Connection]) -> None:
        machine, connection = call
        near, far = connection.near.owner, connection.far.owner
        if machine in self._gone:
            self._gone[machine].append(connection)
        elif self._network.open_between(near, far) and self._network.open_between(far, near):
            self._give_up(connection, "connection reset by a machine that has started anew")
        else:
            self._sends_soon(machine, connection)

    def _give_up(self, connection: Connection, why: str = GAVE_UP) -> None:
        if not connection.over:
            self._network.time_out(connection, why)


def _nobody(_source: str, _target: str) -> None:
    pass
