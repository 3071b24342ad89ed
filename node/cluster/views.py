"""What the managers of joined nodes tell each other about themselves: plain values, whole at each change.

A `NodeView` replaces the older one of that node; `CoreNames` replaces the list of one core. Losing one is mended by the
next, and by the greeting after each new link.
"""

from __future__ import annotations

from typing import TypeAlias

from regrove.records import dataclass

Groups: TypeAlias = tuple[tuple[str, tuple[tuple[int, int], ...]], ...]


@dataclass(frozen=True, slots=True)
class CoreView:
    """One life of a core and where other nodes reach it; `key` is its public CURVE key (Z85) or empty."""

    core: int
    incarnation: int
    endpoint: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class MemberView:
    """A node by hearsay: enough to dial it."""

    node: str
    incarnation: int
    address: str


@dataclass(frozen=True, slots=True)
class NodeView:
    """One life of a node: its manager's address, its running cores, and the members it is linked to."""

    node: str
    incarnation: int
    address: str
    cores: tuple[CoreView, ...] = ()
    members: tuple[MemberView, ...] = ()
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class CoreNames:
    """All names and group members of one life of a core."""

    node: str
    node_incarnation: int
    core: int
    core_incarnation: int
    names: tuple[str, ...] = ()
    groups: Groups = ()


Shared: TypeAlias = NodeView | CoreNames
