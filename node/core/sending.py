"""`ctx.send`, by itself: the one method of `ctx` that is on the hot path, and the only one that is compiled.

An interpreted class may extend this one. What its caller hands it has no type here: compiled code would raise a bare
TypeError for what `Core.send` answers with a sentence.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NoReturn

from regrove.node.core.address import Address, Name
from regrove.node.core.compiling import Unjudged, mypyc_attr
from regrove.node.core.errors import NotInHandler
from regrove.node.core.isolate import ACTIVE, Cell, Entry
from regrove.node.core.sent import OK, Sent


@mypyc_attr(allow_interpreted_subclasses=True)
class Sends:
    """The sending half of `Context`."""

    __slots__ = ("_cell", "_core", "_log")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._core = cell.core
        self._log: Any = None

    def _misplaced(self) -> NoReturn:
        raise NotInHandler(
            f"the ctx of {self._cell.path} was used outside the callback it was handed to: keep ctx.self instead, "
            "and have a message do the work; a thread gives its result back as Offload's outcome"
        )

    def send(self, to: Unjudged, message: Any, notify: object = None) -> Sent:
        """Send without blocking; what became of it is told at once. Falsy unless OK.

        `notify`: for another core or node, the token of the `Undelivered` that tells of a later refusal or loss.
        Raises UnsendableValue for what does not travel, Misuse for what is no target.
        """
        core = self._core
        if core.current is not self._cell:
            self._misplaced()
        if type(to) is Address:
            # `Core.send` once more, for plain mail to a live isolate of this core (performance.md: what a call costs).
            cell = to.cell
            if cell is not None:
                try:
                    charge = core.charges[type(message)]
                except KeyError:
                    charge = 0
                if not charge:
                    message, charge = core.prepare(self._cell, message)
                weight = core.pool_bytes + charge
                if weight <= core.pool_sure:
                    if cell.parked is core:
                        cell.parked = ACTIVE
                        cell.letter = message
                        cell.charge = charge
                        core.ready.append(cell)
                        core.entered += 1
                        core.pool_bytes = weight
                        return OK
                    bound = cell.bound
                    if bound and cell.core is core:
                        mailbox: deque[Entry] = cell.mailbox  # type: ignore[assignment]  # who has a bound has one
                        if len(mailbox) < bound:
                            mailbox.append((message, charge, None, core.event))
                            core.entered += 1
                            core.pool_bytes = weight
                            return OK
            route = to.route
            if route is not None and notify is None:
                sent = route.send(core, self._cell, message)
                if sent is not None:
                    return sent
        elif notify is None and (type(to) is Name or type(to) is str):
            route = core.registry.routes.get(to)
            if route is not None:
                sent = route.send(core, self._cell, message)
                if sent is not None:
                    return sent
        return core.send(self._cell, to, message, notify)
