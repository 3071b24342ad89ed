"""How a node drains [pure]: no new work from outside, until nothing is left; `leave` stops it then.

A node that stops closes the same doors at once, and does not wait. Names are taken back from other nodes, whose sends
to them find nobody; inside the node they go on to work, because what is under way may need them. A core that starts
while the node drains drains too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from regrove.node.cluster.views import CoreNames
from regrove.node.core.ports import DrainCore
from regrove.node.process.core_slot import CoreSlot
from regrove.node.process.manager_events import Action, CoreLeft, DrainAsked, Note, Share, StopAsked, Tell

if TYPE_CHECKING:
    from regrove.node.process.manager_state import ManagerState

NOTHING = (0, 0, 0)


class Drain:
    """The part of a manager's decisions that is about draining."""

    def __init__(self, manager: ManagerState) -> None:
        self._manager = manager
        self.on = False
        self.why = ""
        self.deadline: int | None = None  # when `leave` stops the node whatever is left
        self._leave_by: int | None = None  # when a node that leaves is to be gone, its trees stopped
        self._was_quiet = False

    @property
    def closed(self) -> bool:
        """Tell whether new work from outside is refused: it drains, or it stops."""
        return self.on or self._manager.stopping

    @property
    def quiet(self) -> bool:
        """Tell whether it drains and nothing is left."""
        return self.on and all(slot.left == NOTHING for slot in self._manager.cores if slot.alive)

    def asked(self, event: DrainAsked, now: int, out: list[Action]) -> None:
        """Begin to drain; once is enough, but `leave` may come later."""
        manager = self._manager
        if manager.stopping:
            return
        if not self.on:
            self.on = True
            self.why = event.why
            out.append(Note("info", "node drains", {"why": event.why}))
            self._take_names_back(out)
            for slot in manager.cores:
                self.began(slot, out)
        if event.leave and self._leave_by is None:
            self._leave_by = now + manager.settings.drain_limit
            self.why = event.why
            self.deadline = now + manager.settings.drain_limit // 2
        self._check(now, out)

    def began(self, slot: CoreSlot, out: list[Action]) -> None:
        """A core is up: it drains if the node does."""
        if self.on and slot.state == "up":
            slot.left = None
            out.append(Tell(slot.core, DrainCore()))

    def stopping(self, out: list[Action]) -> None:
        """The node stops in order: nothing new comes in while the trees stop."""
        if self.on:
            return
        self._take_names_back(out)
        for slot in self._manager.cores:
            if slot.state in ("starting", "up"):
                out.append(Tell(slot.core, DrainCore()))

    def left(self, slot: CoreSlot, event: CoreLeft, now: int, out: list[Action]) -> None:
        """A core says what it has left."""
        slot.left = (event.requests, event.streams, event.queued)
        self._check(now, out)

    def tick(self, now: int, out: list[Action]) -> None:
        """Stop a node that leaves and has waited for long enough."""
        if self.deadline is not None and self.deadline <= now:
            self._stop(now, out)

    def _take_names_back(self, out: list[Action]) -> None:
        for row in self._manager.names.rows(self._manager.settings.node):
            out.append(Share(None, CoreNames(row.node, row.node_incarnation, row.core, row.core_incarnation, ())))

    def _check(self, now: int, out: list[Action]) -> None:
        quiet = self.quiet
        if quiet and not self._was_quiet:
            out.append(Note("info", "node is drained", {}))
        self._was_quiet = quiet
        if quiet and self._leave_by is not None:
            self._stop(now, out)

    def _stop(self, now: int, out: list[Action]) -> None:
        self.deadline = None
        if not self._manager.stopping and self._leave_by is not None:
            self._manager.stop(StopAsked(self.why), now, out, max(self._leave_by - now, 0))
