"""What the manager decides about other nodes [pure]: who is met, who is gone, and what its cores are told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from regrove.node.cluster.views import CoreNames, CoreView, NodeView
from regrove.node.core.ports import NamesChanged, PeerCore, PeerGone
from regrove.node.process.manager_events import Action, Dial, Note, PeerLost, PeerTold, Share
from regrove.supervisor.reasons import CoreDown, NoConnection

if TYPE_CHECKING:
    from regrove.node.process.manager_state import ManagerState

GATHER: Final = 50_000_000  # ns after a meeting until others hear of it


class Peers:
    """The part of a manager's decisions that is about the managers of other nodes."""

    def __init__(self, manager: ManagerState) -> None:
        self._manager = manager
        self.deadline: int | None = None  # when the others are told of whom was met

    def tick(self, now: int, out: list[Action]) -> None:
        """Time has passed."""
        if self.deadline is not None and self.deadline <= now:
            self.deadline = None
            out.append(Share(None, self._manager.view()))

    def told(self, event: PeerTold, now: int, out: list[Action]) -> None:
        """Take what another manager says."""
        match event.item:
            case NodeView():
                self._view(event.item, now, out)
            case CoreNames():
                self._names(event.item, out)
            case _:
                assert_never(event.item)

    def _view(self, view: NodeView, now: int, out: list[Action]) -> None:
        change = self._manager.members.apply(view)
        if change is None:
            return
        before, after = change.before, change.after
        met = before is None or before.incarnation != after.incarnation or before.state in ("down", "left")
        if before is not None and before.incarnation != after.incarnation:
            self._drop_names(after.name, out)
        for core in change.gone:
            old = before.incarnation if before is not None else after.incarnation
            self._manager.tell_all(
                PeerGone((after.name, old, core.core, core.incarnation), _core_gone(after.name, core)), out
            )
            if self._manager.names.drop_core(after.name, core.core):
                self._manager.tell_all(NamesChanged(after.name, core.core, ()), out)
        for core in change.come:
            self._manager.tell_all(peer_core(after.name, after.incarnation, core), out)
        for stranger in change.strangers:
            out.append(Dial(stranger.address))
        if met:
            out.append(Note("info", "node joined", {"peer": after.name, "peer_incarnation": after.incarnation}))
            self._greet(after.name, now, out)
        elif before is not None and before.state != after.state and after.state == "leaving":
            out.append(Note("info", "node leaving", {"peer": after.name}))

    def _greet(self, node: str, now: int, out: list[Action]) -> None:
        """A met node is told all of this one, cores before names; the others hear of it, so that they can dial it.

        They do a little later, of all that were met meanwhile: else n nodes that start together say it n * n * n times.
        """
        out.append(Share(node, self._manager.view()))
        out.extend(Share(node, row) for row in self._manager.shared_names())
        if self.deadline is None:
            self.deadline = now + GATHER

    def _names(self, entry: CoreNames, out: list[Action]) -> None:
        member = self._manager.members.get(entry.node)
        if member is None or member.incarnation != entry.node_incarnation or entry.node == self._manager.settings.node:
            return
        if self._manager.names.put(entry):
            self._manager.tell_all(names_changed(entry), out)
            out.append(Note("debug", "names changed", {"peer": entry.node, "core": entry.core}))

    def lost(self, event: PeerLost, out: list[Action]) -> None:
        """The link to another manager is gone."""
        before = self._manager.members.lost(event.node, event.incarnation, event.why)
        if before is None:
            return
        self._drop_names(event.node, out)
        left = before.state == "leaving"
        if left:
            for core in before.cores:
                home = (before.name, before.incarnation, core.core, core.incarnation)
                self._manager.tell_all(PeerGone(home, NoConnection()), out)
        fields: dict[str, object] = {"peer": before.name, "peer_incarnation": before.incarnation, "reason": event.why}
        out.append(Note("info", "node left", fields) if left else Note("warning", "node down", fields))

    def _drop_names(self, node: str, out: list[Action]) -> None:
        for core in self._manager.names.drop_node(node):
            self._manager.tell_all(NamesChanged(node, core, ()), out)


def peer_core(node: str, incarnation: int, core: CoreView) -> PeerCore:
    """A core of another node, as cores are told of it."""
    return PeerCore((node, incarnation, core.core, core.incarnation), core.endpoint, core.key)


def _core_gone(node: str, core: CoreView) -> CoreDown:
    return CoreDown(f"core {core.core} of {node} ended, says its manager")


def names_changed(entry: CoreNames) -> NamesChanged:
    """A core's names, as cores are told of them."""
    return NamesChanged(entry.node, entry.core, entry.names, entry.groups)
