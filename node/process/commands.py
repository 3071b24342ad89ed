"""The commands of the control socket, as the manager answers them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from regrove.node.core.ports import AskTree
from regrove.node.process.budget import SECOND
from regrove.node.process.channel import input_frame, plain
from regrove.node.process.control_server import Request
from regrove.node.process.manager_events import DrainAsked, ReviveAsked, StopAsked
from regrove.node.process.status import resident_bytes, status_shape
from regrove.records import dataclass, field

if TYPE_CHECKING:
    from regrove.node.process.manager import Manager

CORES_LIMIT_NS: Final = 2 * SECOND  # a core that does not answer by then is named as missing


@dataclass(slots=True)
class _Query:
    """A `tree` or `links` under way: the cores that still owe their rows."""

    request: Request
    rows_name: str
    waiting: dict[int, None]
    missing: list[dict[str, Any]]
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)


class Commands:
    """Answers one request after the other; only `tree` and `links` wait, for the cores."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._queries: dict[int, _Query] = {}
        self._last = 0

    def take(self, request: Request) -> None:
        """Answer `request`, now or when the cores have."""
        manager = self._manager
        state = manager.state
        match request.command:
            case "ping":
                own = {"node": manager.config.name, "incarnation": manager.incarnation}
                request.reply({**own, "pid": os.getpid(), "state": state.state})
            case "status":
                request.reply(
                    status_shape(state, manager.crew.vitals, resident_bytes, manager.zygote.pid, manager.pinning.cpus)
                )
            case "members":
                request.reply(state.members.shape())
            case "call-info":
                request.reply(manager.call_info())
            case "config":
                request.reply({"values": plain(manager.resolved.rows())})
            case "events":
                request.follow()
            case "stop":
                self._stop(request)
            case "drain":
                manager.put(DrainAsked("regrove drain"))
                request.reply({"draining": True})
            case "leave":
                manager.put(DrainAsked("regrove leave", leave=True))
                request.reply({"leaving": True, "limit": manager.config.drain_limit})
            case "revive":
                self._revive(request)
            case "logs":
                manager.log_tail.serve(request)
            case "tree":
                self._ask_cores(request, "rows", lambda number: input_frame(AskTree(number)))
            case "links":
                self._ask_cores(request, "links", lambda number: ["links", number])
            case other:
                request.refuse(f"{other} is not served here", "use the regrove the node was started with")

    def rows_arrived(self, number: int, core: int, rows: list[Any]) -> None:
        """A core's rows."""
        query = self._queries.get(number)
        if query is None or core not in query.waiting:
            return
        del query.waiting[core]
        slot = self._manager.state.cores[core]
        query.rows[core] = {"core": core, "incarnation": slot.incarnation, query.rows_name: rows}
        if not query.waiting:
            self._finish(number)

    def _stop(self, request: Request) -> None:
        now = bool(request.arguments.get("now", False))
        limit = 0.0 if now else self._manager.config.drain_limit
        request.reply({"stopping": True, "limit": limit})
        self._manager.put(StopAsked("regrove stop --now" if now else "regrove stop", now=now))

    def _revive(self, request: Request) -> None:
        cores = self._manager.state.cores
        core = request.arguments.get("core")
        if core is not None and not (type(core) is int and 0 <= core < len(cores)):
            request.refuse(f"there is no core {core!r}", f"this node's cores are 0 to {len(cores) - 1}")
            return
        asked = [slot for slot in cores if core in (None, slot.core)]
        quarantined = [slot.core for slot in asked if slot.state == "quarantined"]
        if core is not None and not quarantined:
            request.refuse(f"core {core} is {asked[0].state}, not quarantined", "see `regrove status`")
            return
        request.reply({"revived": quarantined})
        self._manager.put(ReviveAsked(core))

    def _ask_cores(self, request: Request, rows_name: str, frame: Callable[[int], list[Any]]) -> None:
        self._last += 1
        number = self._last
        waiting: dict[int, None] = {}
        missing: list[dict[str, Any]] = []
        for slot in self._manager.state.cores:
            if slot.state in ("starting", "up", "stopping"):
                waiting[slot.core] = None
                self._manager.crew.send(slot.core, frame(number))
            else:
                why = f"{slot.state}, last exit: {slot.last_exit}" if slot.last_exit else slot.state
                missing.append({"core": slot.core, "why": why})
        self._queries[number] = _Query(request, rows_name, waiting, missing)
        if waiting:
            self._manager.poller.alarm(CORES_LIMIT_NS, lambda: self._finish(number))
        else:
            self._finish(number)

    def _finish(self, number: int) -> None:
        query = self._queries.pop(number, None)
        if query is None:
            return
        late = [{"core": core, "why": "did not answer within 2 s"} for core in query.waiting]
        cores = [query.rows[core] for core in sorted(query.rows)]
        missing = sorted([*query.missing, *late], key=lambda row: int(row["core"]))
        query.request.reply({"node": self._manager.config.name, "cores": cores, "missing": missing})
