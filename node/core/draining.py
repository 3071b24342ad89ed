"""A core that drains: it takes no new work from outside, goes on with what it has, and says what is left of it.

New work is: a connection accepted or a port listened on, a message of an outside program, and a message to a name that
comes from another node. Everything else is the old work's own business: mail by address, timers, calls inside the node.
See docs/decisions/drain.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from regrove.node.core import effects as e
from regrove.node.core.address import Home
from regrove.node.core.effects import IoWait
from regrove.node.core.handles import Listener
from regrove.node.core.ports import DrainLeft, IoCancel, IoRelease
from regrove.supervisor.reasons import Reason, Shutdown

if TYPE_CHECKING:
    from regrove.node.core.core import Core

LOOK_NS: Final = 100_000_000  # what is left is counted over all isolates, so not in every pass


class Draining:
    """The state of a core from `DrainCore` on."""

    __slots__ = ("_core", "_look_at", "_said", "closed", "refused")

    def __init__(self, core: Core) -> None:
        self._core = core
        self._look_at: int | None = core.now
        self._said: DrainLeft | None = None
        self.closed: dict[int, None] = {}  # listeners that are closed outside, while their isolates still hold them
        self.refused = 0
        self._close_listeners()

    def _close_listeners(self) -> None:
        io = self._core.io
        for debt in self._core.calls.debts.values():
            if isinstance(debt.wait, e.Accept | e.Listen):
                io.commands.append(IoCancel(debt.token))
        for handle, owned in io.owned.items():
            if isinstance(owned.stream, Listener):
                self.closed[handle] = None
                io.commands.append(IoRelease(handle))

    def holds(self, wait: IoWait, handle: int) -> bool:
        """Tell whether an I/O wait would take new work: it waits until the core stops."""
        return isinstance(wait, e.Listen) or handle in self.closed

    def refusal(self, home: Home, item: Any) -> Reason | None:
        """Why user mail from a link is not taken, or None."""
        core = self._core
        outside = core.links.is_client(home) or (home.node != core.home.node and type(item[1]) is str)
        if not outside:
            return None
        self.refused += 1
        return Shutdown(f"core {core.home.core} of {core.home.node} drains: it takes no new work")

    def look(self, now: int) -> None:
        """Say what is left, when that has changed; nothing more once it was nothing."""
        if self._look_at is None or now < self._look_at:
            return
        left = self._left()
        if left != self._said:
            self._said = left
            self._core.control_out.append(left)
        self._look_at = None if left == DrainLeft() else now + LOOK_NS

    def deadline(self) -> int | None:
        """When the next look is due."""
        return self._look_at

    def _left(self) -> DrainLeft:
        core = self._core
        requests = 0
        for cell in core.cells:
            if cell is None:
                continue
            if cell.request is not None and cell.request.caller.home.node != core.home.node:
                requests += 1
            for kept in (cell.kept or {}).values():
                requests += kept.caller.home.node != core.home.node and core.requests.waits_still(kept)
        streams = sum(getattr(owned.stream, "kind", "") == "tcp" for owned in core.io.owned.values())
        return DrainLeft(requests, streams, core.pool_messages)
