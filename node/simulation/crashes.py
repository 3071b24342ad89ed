"""What a story says of the isolates that crashed: why, where, how often; and the newest traceback."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from regrove.node.simulation.clock import written
from regrove.node.simulation.cores import InjectedFault
from regrove.node.simulation.log import Log

KINDS: Final = 4  # so many are told, the newest ones
TRACEBACK: Final = 16  # lines of its end
WIDE: Final = 300
PLANNED: Final = f"{InjectedFault.__name__}: "  # the plan has them already


@dataclass(slots=True)
class _Kind:
    """Crashes of one isolate, by its path, at one line."""

    last: dict[str, Any]
    times: int = 0
    traceback: str = ""

    def __str__(self) -> str:
        line = self.last
        site = str(line.get("site", "")).rpartition("/")[2]
        where = f"{line['node']}/{line['core']} {line['path']}{f' at {site}' if site else ''}"
        often = f" x{self.times}" if self.times > 1 else ""
        return f"  {written(line['time'])} {where}: {line['reason']}{often}"


def told_crashes(log: Log) -> list[str]:
    """The kinds of crashes that the log still has, oldest first; without those that the plan asked for."""
    kinds: dict[tuple[str, str, str], _Kind] = {}
    for line in log.lines:
        if line["event"] != "crashed" or line["reason"].startswith(PLANNED):
            continue
        key = (line["path"], line["site"], line["reason"].partition(":")[0])
        kind = kinds.pop(key, None) or _Kind(line)
        kind.last = line
        kind.times += 1
        kind.traceback = line.get("traceback", kind.traceback)
        kinds[key] = kind
    told = list(kinds.values())[-KINDS:]
    if not told:
        return []
    left = len(kinds) - len(told)
    lines = [f"crashes (the last of each kind{f'; {left} older kinds left out' if left else ''}):", *map(str, told)]
    traceback = next((kind.traceback for kind in reversed(told) if kind.traceback), "")
    return [*map(_short, lines), *(f"  | {_short(row)}" for row in _end(traceback.rstrip().splitlines()))]


def _end(rows: list[str]) -> list[str]:
    """The first and last of many rows."""
    left = len(rows) - 4 - TRACEBACK
    return [*rows[:4], f"... {left} lines ...", *rows[-TRACEBACK:]] if left > 1 else rows


def _short(line: str) -> str:
    return line if len(line) <= WIDE else f"{line[: WIDE - 3]}..."
