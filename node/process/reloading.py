"""SIGHUP: the configuration file is read again, and what can be changed while a node runs is changed.

Flags and variables stay what they were when the node was started, and win over the file as ever. A file that cannot be
used as a whole changes nothing. Each key that another value was found for is one line in the log: changed, or read at a
start only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from regrove.node.process.budget import SECOND
from regrove.node.process.channel import plain
from regrove.node.process.configuration import ConfigError, Resolved
from regrove.node.process.folders import FolderError
from regrove.node.process.keyring import read_keys
from regrove.node.process.logs import LEVELS
from regrove.node.process.manager_events import Note
from regrove.records import dataclass, replace

if TYPE_CHECKING:
    from regrove.node.process.manager import Manager

# What a running node takes up. The rest is in processes, sockets and folders that a start has made.
LIVE: Final = (
    "core_restarts",
    "debug",
    "drain_limit",
    "log_format",
    "log_level",
    "memory",
    "quarantine",
    "stall_kill",
    "start_kill",
)


@dataclass(frozen=True, slots=True)
class Change:
    """A key with another value in the file than the node runs with; `live`: it is taken up."""

    key: str
    running: Any
    found: Any
    origin: str
    live: bool


def changes(running: Resolved, found: Resolved) -> list[Change]:
    """What of `found` differs and came, or had come, from the file: the machine's own defaults are not looked at."""
    old, new = running.config.plain(), found.config.plain()
    file = str(running.file)
    out = []
    for key in old:
        before, after = (one.origins.get(key, "default") for one in (running, found))
        if old[key] != new[key] and any(file in origin.split(" over ") for origin in (before, after)):
            out.append(Change(key, old[key], new[key], after, key in LIVE))
    return out


def taken_up(running: Resolved, found: list[Change]) -> Resolved:
    """What runs from now on: `running` with the live ones of `found`."""
    live = {change.key: change.found for change in found if change.live}
    origins: Mapping[str, str] = {**running.origins, **{change.key: change.origin for change in found if change.live}}
    return replace(running, config=replace(running.config, **live), origins=origins)


def reload(manager: Manager) -> None:
    """Read the file again and take up what can be; everything is told in the log."""
    running = manager.resolved
    if running.again is None or running.file is None:
        text = "it was started without a file (--config); flags and variables are what they were at its start"
        manager.note(Note("info", "nothing to reload", {"why": text}))
        return
    try:
        found = changes(running, running.again())
    except ConfigError as problem:
        manager.note(Note("error", "reload refused", {"problem": str(problem)}))
        return
    _take_up(manager, taken_up(running, found))
    for change in found:
        manager.note(_told(change))
    if _other_keys(manager):
        fields: dict[str, object] = {
            "key": "keys",
            "why": "the key file holds another pair; a start of every node takes it up",
        }
        manager.note(Note("warning", "configuration needs a restart", fields))
    live = sum(change.live for change in found)
    manager.note(Note("info", "reloaded", {"file": str(running.file), "changed": live, "not": len(found) - live}))
    manager.log_level = manager.config.log_level


def _take_up(manager: Manager, resolved: Resolved) -> None:
    config = resolved.config
    manager.resolved = resolved
    manager.config = config
    state = manager.state
    state.settings = replace(
        state.settings,
        budget=config.budget,
        drain_limit=int(config.drain_limit * SECOND),
        start_limit=config.start_limit,
        quarantine=config.policy,
    )
    state.zygote.start_limit = config.start_limit
    manager.watchdog.limit(config.stall_limit)
    manager.log.style(config.log_format)
    manager.crew.reconfigure(config)
    manager.crew.send_all(["level", config.log_level])
    # Until all is told the more talkative of the two levels holds.
    manager.log_level = min(manager.log_level, config.log_level, key=LEVELS.__getitem__)


def _told(change: Change) -> Note:
    fields: dict[str, object] = {"key": change.key, "value": plain(change.found), "from": change.origin}
    if change.live:
        return Note("info", "configuration changed", {**fields, "before": plain(change.running)})
    return Note("warning", "configuration needs a restart", {**fields, "running": plain(change.running)})


def _other_keys(manager: Manager) -> bool:
    """Tell whether the file of keys holds another pair than the node runs with."""
    config = manager.config
    if not config.keys or manager.crew.keys is None:
        return False
    try:
        return read_keys(Path(config.keys)) != manager.crew.keys
    except FolderError:
        return True
