"""Text for people: aligned columns, sizes, durations, trees. Plain strings in, lines out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Align `rows` under `headings`; the last column is not padded. None shows as `-`."""
    shown = [list(headings)] + [["-" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in shown) for column in range(len(headings))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown]


def size(count: object) -> str:
    """A number of bytes in the unit people read, such as `30.5 MiB`."""
    if not isinstance(count, int | float):
        return "-"
    value = float(count)
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("the last unit takes every value")


def plural(count: int, word: str) -> str:
    """`1 core`, `2 cores`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def status_lines(status: Mapping[str, Any]) -> list[str]:
    """`regrove status` for people: the node, each core, and why a core is not, or is no longer, what it was."""
    lines = [f"{status['node']} is {status['state']}  (manager pid {status['manager']['pid']})"]
    rows = [
        (
            core["core"],
            core["state"],
            core["pid"],
            core["restarts"],
            core["isolates"],
            size(core["rss"]),
        )
        for core in status["cores"]
    ]
    lines += [f"  {line}" for line in table(("core", "state", "pid", "restarts", "isolates", "memory"), rows)]
    for core in status["cores"]:
        if core["last_exit"]:
            lines.append(f"  core {core['core']}: the life before ended because {show_exit(core['last_exit'])}")
    return lines


def show_exit(last: object) -> str:
    """Why a core's former life ended, in one line."""
    if not isinstance(last, Mapping):
        return str(last)
    return ", ".join(f"{key} {value}" for key, value in last.items() if value not in (None, ""))


def tree_lines(node: str, cores: Sequence[Mapping[str, Any]]) -> list[str]:
    """`regrove tree` for people: one indented line for each supervisor and isolate of each core."""
    lines = [node]
    for core in cores:
        lines.append(f"  core {core['core']}")
        for row in core["rows"]:
            path = str(row.get("path", row.get("id", "?")))
            indent = "    " + "  " * path.count("/")
            lines.append(f"{indent}{path.rpartition('/')[2]}{_row_details(row)}")
    return lines


def _row_details(row: Mapping[str, Any]) -> str:
    parts = [str(row[key]) for key in ("kind", "state") if row.get(key)]
    if row.get("name"):
        parts.append(f"name={row['name']}")
    parts += [f"{key}={row[key]}" for key in ("strategy", "incarnation", "mailbox", "handled") if row.get(key)]
    return f"  {'  '.join(parts)}" if parts else ""
