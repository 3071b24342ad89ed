"""Who is in the cluster, as this node sees it [pure]: the control link to a manager is up, or its node is down.

A link up or down is the truth here: no detector, no quorum, `view` is None. One row a node name; a newer incarnation
replaces an older one and an older one is refused. A row that is `down` keeps its cores: the same life may come back,
and a link declares a life over only once; a node that said it leaves, or that has a newer life, is over.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from regrove.node.cluster.views import CoreView, MemberView, NodeView
from regrove.records import dataclass, replace

MemberState: TypeAlias = Literal["up", "suspect", "down", "leaving", "left"]


@dataclass(frozen=True, slots=True)
class Member:
    """One node as seen from here."""

    name: str
    state: MemberState
    incarnation: int
    address: str
    cores: tuple[CoreView, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What a view changed: cores that are over, cores that are new, and members to dial. `fresh`: greet it."""

    before: Member | None
    after: Member
    gone: tuple[CoreView, ...] = ()
    come: tuple[CoreView, ...] = ()
    strangers: tuple[MemberView, ...] = ()


class Membership:
    """The table of members; the node itself is a row of it."""

    __slots__ = ("_rows", "own")

    def __init__(self, node: str, incarnation: int, address: str) -> None:
        self.own = node
        self._rows = {node: Member(node, "up", incarnation, address)}

    def apply(self, view: NodeView) -> Change | None:
        """Take what a linked manager says of itself; None for a life that is already over, or for oneself."""
        before = self._rows.get(view.node)
        if view.node == self.own or (before is not None and view.incarnation < before.incarnation):
            return None
        state: MemberState = "leaving" if view.leaving else "up"
        after = Member(view.node, state, view.incarnation, view.address, view.cores)
        self._rows[view.node] = after
        held = before.cores if before is not None else ()
        if before is not None and before.incarnation != view.incarnation:
            gone, come = held, view.cores
        else:
            gone = tuple(core for core in held if not _same(core, view.cores))
            come = tuple(core for core in view.cores if not _same(core, held))
        return Change(before, after, gone, come, self._strangers(view))

    def lost(self, node: str, incarnation: int, why: str) -> Member | None:
        """The link to that life of a node is gone; returns the row as it was, None when nothing changes."""
        before = self._rows.get(node)
        if before is None or node == self.own or before.incarnation != incarnation:
            return None
        if before.state in ("down", "left"):
            return None
        if before.state == "leaving":
            self._rows[node] = replace(before, state="left", cores=(), why=why)
        else:
            self._rows[node] = replace(before, state="down", why=why)
        return before

    def leave(self) -> None:
        """The node itself begins to leave."""
        self._rows[self.own] = replace(self._rows[self.own], state="leaving")

    def get(self, node: str) -> Member | None:
        """The row of a node."""
        return self._rows.get(node)

    def others(self) -> list[Member]:
        """All rows but one's own, by name."""
        return [self._rows[name] for name in sorted(self._rows) if name != self.own]

    def linked(self) -> tuple[MemberView, ...]:
        """The members to tell others of: those with a link and an address to dial."""
        rows = (row for row in self.others() if row.state == "up" and row.address)
        return tuple(MemberView(row.name, row.incarnation, row.address) for row in rows)

    def shape(self) -> dict[str, Any]:
        """`regrove members --json`: the node itself first, then the others by name."""
        rows = [self._rows[self.own], *self.others()]
        members = [
            {"name": row.name, "state": row.state, "incarnation": row.incarnation, "address": row.address}
            for row in rows
        ]
        return {"view": None, "members": members}

    def __repr__(self) -> str:
        return f"<members {', '.join(f'{name}:{row.state}' for name, row in sorted(self._rows.items()))}>"

    def _strangers(self, view: NodeView) -> tuple[MemberView, ...]:
        return tuple(member for member in view.members if member.address and self._is_stranger(member))

    def _is_stranger(self, member: MemberView) -> bool:
        held = self._rows.get(member.node)
        return held is None or held.incarnation < member.incarnation


def _same(core: CoreView, among: tuple[CoreView, ...]) -> bool:
    return any(core == other for other in among)
