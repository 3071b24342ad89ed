"""Names and groups by the core that holds them: one table a manager, fed by `CoreNames` [pure]."""

from __future__ import annotations

from collections.abc import Iterator

from regrove.node.cluster.views import CoreNames


class NameTable:
    """The newest `CoreNames` of every core known; an older life of a node or core never replaces a newer one."""

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int], CoreNames] = {}

    def put(self, entry: CoreNames) -> bool:
        """Take `entry`; False when it says nothing new or comes from an older life."""
        key = (entry.node, entry.core)
        held = self._rows.get(key)
        if held is not None:
            if _life(entry) < _life(held) or entry == held:
                return False
        elif not entry.names and not entry.groups:
            return False
        self._rows[key] = entry
        return True

    def drop_core(self, node: str, core: int) -> bool:
        """Forget what a core held; False when it held nothing."""
        held = self._rows.pop((node, core), None)
        return held is not None and bool(held.names or held.groups)

    def drop_node(self, node: str) -> list[int]:
        """Forget what a node held; returns its cores that held something, in order."""
        cores = sorted(core for (owner, core) in self._rows if owner == node)
        return [core for core in cores if self.drop_core(node, core)]

    def rows(self, node: str | None = None) -> Iterator[CoreNames]:
        """All entries (of one node), by node and core."""
        for key in sorted(self._rows):
            if node is None or key[0] == node:
                yield self._rows[key]

    def holders(self, name: str, node: str | None = None) -> list[tuple[str, int]]:
        """(node, core) of all that hold `name`, by node and core: the first of a node is who answers."""
        return [(row.node, row.core) for row in self.rows(node) if name in row.names]

    def __repr__(self) -> str:
        return f"<names of {len(self._rows)} cores>"


def _life(entry: CoreNames) -> tuple[int, int]:
    return (entry.node_incarnation, entry.core_incarnation)
