"""What `regrove status`, `tree` and call-info say, put together from the manager's decisions and the cores' beats."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from regrove.node.process.core_slot import CoreSlot
from regrove.node.process.manager_state import ManagerState
from regrove.records import dataclass

LEFT: Final = ("requests", "streams", "queued")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Vitals:
    """What the manager knows of a core's process beside its state: its pid and what its last beat said."""

    pid: int | None = None
    isolates: int = 0
    beat: Mapping[str, Any] | None = None


def status_shape(
    state: ManagerState,
    vitals: Mapping[int, Vitals],
    rss: Callable[[int], int | None],
    zygote: int | None = None,
    cpus: Sequence[int] | None = None,
) -> dict[str, Any]:
    """`regrove status --json` (nodes.md, "Command line").

    `rss` gives the resident bytes of a pid, `zygote` is a pid, `cpus` the CPU each core is pinned to.
    """
    cores = []
    for slot in state.cores:
        core = vitals.get(slot.core, Vitals())
        pid = core.pid if slot.alive else None
        cores.append(
            {
                "core": slot.core,
                "pid": pid,
                "state": _shown_state(slot),
                "incarnation": slot.incarnation,
                "restarts": max(slot.incarnation - 1, 0),
                "last_exit": slot.last_exit,
                "isolates": core.isolates if pid is not None else 0,
                "rss": rss(pid) if pid is not None else None,
                "left": None if slot.left is None else dict(zip(LEFT, slot.left, strict=True)),
                "stalled": slot.troubles.stalled_at or None,
                "starved": slot.troubles.starved or None,
                "stopped": slot.troubles.halted,
                "slow": slot.troubles.slow,
                "cpu": None if cpus is None else cpus[slot.core],
            }
        )
    return {
        "node": state.settings.node,
        "state": state.state,
        "cores": cores,
        "manager": {"pid": os.getpid()},
        "agent": None,
        "zygote": {"pid": zygote, "state": state.zygote.state, "why": state.zygote.why},
    }


def call_info(state: ManagerState, cluster: str, application: str) -> dict[str, Any]:
    """What a client needs to dial the cores of this node and of those joined to it (`control.py`)."""
    own = state.settings.node
    cores = [
        {
            "core": slot.core,
            "incarnation": slot.incarnation,
            "endpoint": slot.endpoint,
            "remote": slot.remote,
            "key": slot.key,
        }
        for slot in state.cores
        if slot.bound
    ]
    nodes = []
    for member in state.members.others():
        if member.state != "up":
            continue
        rows = [
            {"core": core.core, "incarnation": core.incarnation, "remote": core.endpoint, "key": core.key}
            for core in member.cores
        ]
        names = _names(state, member.name)
        nodes.append({"node": member.name, "incarnation": member.incarnation, "cores": rows, "names": names})
    return {
        "node": own,
        "incarnation": state.settings.incarnation,
        "cluster": cluster,
        "application": application,
        "cores": cores,
        "names": _names(state, own),
        "nodes": nodes,
    }


def resident_bytes(pid: int) -> int | None:
    """Resident memory of a process from /proc, None when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return None


def _names(state: ManagerState, node: str) -> list[list[Any]]:
    rows = state.shared_names() if node == state.settings.node else state.names.rows(node)
    return [[name, row.core] for row in rows for name in row.names]


def _shown_state(slot: CoreSlot) -> str:
    """The words of `status`: every way to be on the way up is `starting`."""
    return "starting" if slot.state in ("spawning", "waiting") else slot.state
