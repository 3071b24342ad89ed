"""The supervision tree of a core as plain rows, for `regrove tree`, the simulator and insight (docs/shapes.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from regrove.node.core.guests import STATES
from regrove.node.core.isolate import BLOCKED, STATE_NAMES, Cell
from regrove.node.core.lifecycle import text_of
from regrove.node.core.remote_children import RemoteChild
from regrove.supervisor.report import describe

if TYPE_CHECKING:
    from regrove.node.core.core import Core
    from regrove.node.core.supervisor_node import SupervisorNode


def rows(core: Core) -> tuple[dict[str, Any], ...]:
    """One row for each supervisor, child and isolate in tree order, parents before children."""
    found: list[dict[str, Any]] = []
    root = core.supervising.root
    waiting: list[tuple[SupervisorNode | None, dict[str, Any]]] = []
    if root is not None:
        waiting.append((root, _supervisor_row(core, root)))
    while waiting:
        node, row = waiting.pop()
        found.append(row)
        if node is not None:
            waiting.extend(reversed(_children(core, node)))
    return (*found, *_guests(core))


def _children(core: Core, node: SupervisorNode) -> list[tuple[SupervisorNode | None, dict[str, Any]]]:
    children: list[tuple[SupervisorNode | None, dict[str, Any]]] = []
    for child in node.machine.children():
        cell = node.life(child.key)
        if cell is not None and cell.supervising is not None:
            row = _supervisor_row(core, cell.supervising)
            children.append((cell.supervising, row))
        else:
            row = {"path": f"{node.cell.path}/{child.id}", "kind": "isolate", "state": child.state}
            if isinstance(cell, RemoteChild):
                row |= {"elsewhere": _place(*cell.place)}
            elif cell is not None:
                row |= _isolate_row(cell)
            elif (place := core.remote_children.place_of(child.spec)) is not None:
                row |= {"elsewhere": _place(*place)}
            children.append((None, row))
        row["restarts"] = child.restarts
        row["last_reason"] = None if child.last_reason is None else text_of(child.last_reason, describe)
        row["restarts_used"], row["restarts_left"] = node.machine.budget(child.key, core.now)
    return children


def _place(node: str, core: int) -> str:
    return f"core {core} of {node}"


def _guests(core: Core) -> list[dict[str, Any]]:
    """The isolates here whose supervisors live on other cores; those have a row under their supervisor there too."""
    found: list[dict[str, Any]] = []
    for guest in core.guests:
        owner = guest.owner.home
        row: dict[str, Any] = {"path": guest.path, "kind": "isolate", "state": STATES[guest.state]}
        if guest.cell is not None:
            row |= _isolate_row(guest.cell)
        found.append(row | {"guest_of": _place(owner.node, owner.core), "owner_path": guest.name, "restarts": 0})
    return found


def _supervisor_row(core: Core, node: SupervisorNode) -> dict[str, Any]:
    counts = node.machine.statistics(core.now)
    return {
        "path": node.cell.path,
        "kind": "supervisor",
        "state": STATE_NAMES[node.cell.state],
        "incarnation": node.cell.incarnation,
        "strategy": getattr(node.spec, "strategy", "dynamic"),
        "children": counts.children,
        "running": counts.running,
        "restarts": 0,
        "restarts_total": counts.restarts,
        "budget_used": counts.budget_used,
        "budget_left": counts.budget_left,
        "last_reason": None,
    }


def _isolate_row(cell: Cell) -> dict[str, Any]:
    blocked = cell.wait if cell.parked is BLOCKED else None
    return {
        "type": type(cell.isolate).__qualname__,
        "state": "blocked" if blocked is not None else STATE_NAMES[cell.state],
        "incarnation": cell.incarnation,
        "mailbox": cell.queued,
        "capacity": cell.capacity,
        "handled": cell.handled,
        "refused": cell.refused,
        "blocked_at": None if blocked is None else blocked.site,
        "waits_for": None if blocked is None else type(blocked).__name__,
    }
