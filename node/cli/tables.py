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
    words = {"child": "children"}
    return f"{count} {word}" if count == 1 else f"{count} {words.get(word, word + 's')}"


def status_lines(status: Mapping[str, Any]) -> list[str]:
    """`regrove status` for people: the node, each core, and why a core is not, or is no longer, what it was."""
    lines = [f"{status['node']} is {status['state']} (manager pid {status['manager']['pid']})"]
    headings = ("core", "state", "pid", "restarts", "isolates", "memory")
    rows = [(*(core[key] for key in headings[:-1]), size(core["rss"])) for core in status["cores"]]
    lines += [f"  {line}" for line in table(headings, rows)]
    lines += [f"  core {core['core']} {_history(core)}" for core in status["cores"] if core["last_exit"]]
    lines += [f"  core {core['core']} {text}" for core in status["cores"] for text in _troubles(core)]
    if any(core.get("cpu") is not None for core in status["cores"]):
        pinned = ", ".join(f"{core['core']} to {core['cpu']}" for core in status["cores"])
        lines.append(f"  cores are pinned to CPUs: {pinned}")
    return lines


def left_text(left: Mapping[str, int]) -> str:
    """What a draining core still has: `nothing`, or `1 request, 2 streams`."""
    words = {"requests": "request", "streams": "stream", "queued": "queued message"}
    parts = [plural(left[key], word) for key, word in words.items() if left[key]]
    return ", ".join(parts) or "nothing"


def _troubles(core: Mapping[str, Any]) -> list[str]:
    """What is left of a core that drains, and what the watchdog says of it now."""
    found = [f"has left {left_text(core['left'])}"] if core.get("left") else []
    if core.get("stalled"):
        found.append(f"stands still at {core['stalled']}")
    if core.get("starved"):
        found.append(f"gets too little CPU: it waited for one during {core['starved']:.0%} of the last second")
    if core.get("stopped"):
        found.append("is stopped (SIGSTOP, or a debugger)")
    if core.get("slow"):
        found.append(f"was held by a slow handler {plural(core['slow'], 'time')}; the log names the lines")
    return found


def _history(core: Mapping[str, Any]) -> str:
    if core["state"] == "quarantined":
        return f"is quarantined after {plural(core['restarts'], 'restart')}: {core['last_exit']}"
    if core["restarts"]:
        return f"was restarted {plural(core['restarts'], 'time')}; the last life before this one: {core['last_exit']}"
    return f"ended: {core['last_exit']}"


def tree_lines(node: str, cores: Sequence[Mapping[str, Any]]) -> list[str]:
    """`regrove tree` for people: one indented line for each supervisor and isolate of each core."""
    lines = [node]
    for core in cores:
        lines.append(f"  core {core['core']}")
        names = [_row_name(row) for row in core["rows"]]
        width = max(map(len, names), default=0)
        for name, row in zip(names, core["rows"], strict=True):
            lines.append(f"    {name.ljust(width)}  {_row_details(row)}")
    return lines


def link_lines(cores: Sequence[Mapping[str, Any]]) -> list[str]:
    """`regrove links` for people; the last row of a core sums the links that have ended."""
    counts = ("sent", "acknowledged", "refused", "lost", "unknown", "in_flight", "waiting", "received")
    rows = []
    for core in cores:
        for link in core["links"]:
            ended = not link["peer"]
            if ended and not (link["sent"] or link["received"]):
                continue
            place = ("(ended)", None, None) if ended else (link["peer"], link["state"], link["credit_messages"])
            rows.append((core["core"], *place, *(link[key] for key in counts)))
    return table(("core", "peer", "state", "credit", *(key.replace("_", " ") for key in counts)), rows)


def _indent(path: str) -> int:
    return 2 * path.count("/")


def _leaf(path: str) -> str:
    return path.rpartition("/")[2]


def _row_name(row: Mapping[str, Any]) -> str:
    if "guest_of" in row:  # its supervisor is on another core: no part of the tree of this one
        return f"({row['owner_path']})"
    return f"{' ' * _indent(row['path'])}{_leaf(row['path'])}"


def _row_details(row: Mapping[str, Any]) -> str:
    if row["kind"] == "supervisor":
        parts = [str(row["strategy"]), f"{row['running']} of {plural(row['children'], 'child')} running"]
        parts += [f"{plural(row['restarts_total'], 'restart')} of its children"] if row["restarts_total"] else []
    else:
        kind = row.get("type") or ("on " + row["elsewhere"] if row.get("elsewhere") else "not running")
        parts = [str(kind), str(row["state"])]
        parts += [f"guest of {row['guest_of']}"] if row.get("guest_of") else []
        parts += [f"waits for {row['waits_for']} at {row['blocked_at']}"] if row.get("waits_for") else []
        parts += [f"{row['handled']} handled"] if "handled" in row else []
        parts += [f"{row['refused']} refused"] if row.get("refused") else []
        parts += [f"{row['mailbox']} of {row['capacity']} in its mailbox"] if row.get("mailbox") else []
    if row.get("restarts"):
        left = f", {row['restarts_left']} left in its window" if "restarts_left" in row else ""
        parts.append(f"{plural(row['restarts'], 'restart')}{left}")
    parts += [f"last ended: {row['last_reason']}"] if row.get("last_reason") else []
    return ", ".join(parts)
