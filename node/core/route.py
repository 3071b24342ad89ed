"""The short way to one isolate of another core: sends and calls along it look nothing up.

Whatever is not plain takes the way of `Core.send` and `Calls`: see docs/decisions/hot-path-of-a-link.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from regrove.node.core import remote
from regrove.node.core.address import Home
from regrove.node.core.isolate import Cell
from regrove.node.core.messages import payload_of
from regrove.node.core.sent import OK, Sent
from regrove.transport.credit import OVERHEAD_BYTES
from regrove.transport.link import Link
from regrove.transport.parts import Payload
from regrove.transport.session import Outgoing
from regrove.transport.wire import BATCH_BYTES_MAX, joined

if TYPE_CHECKING:
    from regrove.node.core.core import Core


class Route:
    """The way to one isolate of another core, kept on its address, or beside its name: sending looks nothing up."""

    __slots__ = ("core", "generation", "heading", "home", "link", "pack", "slot", "table")

    def __init__(self, core: Core, link: Link, home: Home, slot: int | str, generation: int) -> None:
        self.core = core
        self.link = link
        self.table = core.links.table
        self.heading = self.table.heading((remote.SEND, slot, generation))
        self.pack = self.table.pack
        self.home = home
        self.slot = slot
        self.generation = generation

    def send(self, core: Core, cell: Cell, message: Any) -> Sent | None:
        """Do what `Core.send` does for an isolate of another core; None when its way is the one to take.

        A link that has an `out` is one to a known life of a peer: to forget the peer, or to lose it, takes it away.
        """
        out = self.link.out
        waiters = core.waiters
        if out is None or self.core is not core or waiters.lines or waiters.big_lines:
            return None
        payload = payload_of(message) if core.crossing is None else core.crossing.encoded(message)
        rare = cell.rare
        if cell.request is not None or (rare is not None and rare.kept):
            core.forwarding(cell, message)
        left = out.left - len(payload) - OVERHEAD_BYTES
        if left < 0:
            sent = self._begin(core, out, payload)
            if sent is not OK:
                core.counters.rejected += 1
                return sent
        else:
            # Payloads in parts are larger than any `left`.
            waiting = out.waiting
            if out.run is self.heading:
                waiting.append(payload)  # type: ignore[arg-type]
            elif out.run is None:
                waiting.append(joined(self.heading.head, payload))  # type: ignore[arg-type]
            else:
                return self._mixed(core, payload)
            out.left = left
            if len(waiting) >= out.cut_at:
                self.table.filled(self.link, out)
        core.counters.sent += 1
        return OK

    def _begin(self, core: Core, out: Outgoing, payload: Payload) -> Sent:
        """Begin a batch, or go the slow way."""
        link = self.link
        lone = None if core.crossing is None else (remote.SEND, self.slot, self.generation, payload)
        if len(payload) < BATCH_BYTES_MAX and out.begin(self.heading, payload, lone):  # type: ignore[arg-type]
            self.table.begun(link, out)
            return OK
        return core.links.post_now(self.home, (remote.SEND, self.slot, self.generation, payload))

    def _mixed(self, core: Core, payload: Payload) -> Sent:
        """Send behind messages to another isolate."""
        sent = core.links.post_now(self.home, (remote.SEND, self.slot, self.generation, payload))
        if sent is OK:
            core.counters.sent += 1
        else:
            core.counters.rejected += 1
        return sent

    def ask(self, core: Core, cell: Cell, token: int, message: Any, left: int) -> Sent | None:
        """Post the CALL of a debt, as `Calls` does the slow way; None when that is the one to take. Counts nothing."""
        out = self.link.out
        waiters = core.waiters
        if out is None or self.core is not core or waiters.lines or waiters.big_lines:
            return None
        if out.run is not None:
            out.mix()
        payload = payload_of(message) if core.crossing is None else core.crossing.encoded(message)
        rare = cell.rare
        if cell.request is not None or (rare is not None and rare.kept):
            core.forwarding(cell, message)
        item = (remote.CALL, self.slot, self.generation, token, left, payload)
        length = len(payload)
        rest = out.left - length - OVERHEAD_BYTES
        if rest < 0:
            if length >= BATCH_BYTES_MAX or not out.open(self.pack(item), length):
                return core.links.post_now(self.home, item, token)
            out.tokens.append((out.next, token))
            self.table.begun(self.link, out)
            return OK
        out.left = rest
        waiting = out.waiting
        out.tokens.append((out.next + len(waiting), token))
        waiting.append(self.pack(item))
        if len(waiting) >= out.cut_at:
            core.links.table.filled(self.link, out)
        return OK
