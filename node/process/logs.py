"""The one log stream of a node: cores send their lines to the manager, a thread of the manager writes them.

A line is a dict: `at` (ns since the epoch), `level`, `event`, and what is bound to the logger. JSON lines, or text for
people when the stream is a terminal. The queue is bounded: what does not fit is dropped and counted, the count is
logged, and neither a core nor the manager ever waits for a slow disk or a full pipe.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import IO, Any, Final

from regrove.node.process.channel import plain

QUEUE_LINES: Final = 10_000
LEVELS: Final[Mapping[str, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
TRACEBACK_CHARS_MAX: Final = 16_384
TEXT_CHARS_MAX: Final = 8_192  # of one field
FINGERPRINTS_MAX: Final = 1_024  # places in the code that fail; past it tracebacks are whole each time

Line = dict[str, Any]


class LogWriter:
    """Writes lines to `stream` from a thread of its own; `put` never blocks. `close` waits a moment for the rest."""

    def __init__(self, stream: IO[str], style: str = "auto", limit: int = QUEUE_LINES) -> None:
        self.dropped = 0
        self.written = 0
        self._stream = stream
        self._render = renderer(style, stream)
        self._queue: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
        self._limit = limit
        self._reported = 0
        self._thread = threading.Thread(target=self._run, name="regrove-log", daemon=True)
        self._thread.start()

    def style(self, style: str) -> None:
        """Write what comes from now on in another style."""
        self._render = renderer(style, self._stream)

    def put(self, line: Line) -> bool:
        """Queue a line; False when it was dropped, which is counted and told in the stream once there is room."""
        if self._queue.qsize() >= self._limit:
            self.dropped += 1
            return False
        if self.dropped > self._reported:
            fields = {"lines": self.dropped - self._reported, "limit": self._limit}
            self._reported = self.dropped
            self._queue.put({"at": time.time_ns(), "level": "warning", "event": "log lines dropped", **fields})
        self._queue.put(line)
        return True

    def close(self, limit: float = 2.0) -> bool:
        """Write what is queued, at most `limit` seconds; False when the stream took no more."""
        self._queue.put(None)
        self._thread.join(limit)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (line := self._queue.get()) is not None:
            try:
                self._stream.write(self._render(line) + "\n")
                if self._queue.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                self.dropped += 1  # nobody reads the stream any more; the node goes on
            else:
                self.written += 1

    def __repr__(self) -> str:
        return f"<log writer: {self.written} written, {self._queue.qsize()} waiting, {self.dropped} dropped>"


class Tracebacks:
    """Each traceback is written whole once a node; after that its lines say how often it came, over all cores."""

    def __init__(self, limit: int = FINGERPRINTS_MAX) -> None:
        self._seen: dict[int, int] = {}
        self._limit = limit

    def fold(self, line: Line) -> Line:
        """The line as it is to be written."""
        text = line.get("traceback")
        if not isinstance(text, str):
            return line
        fingerprint = hash(tuple(row for row in text.splitlines() if row.lstrip().startswith("File ")))
        count = self._seen.get(fingerprint, 0) + 1
        if count > 1 or len(self._seen) < self._limit:
            self._seen[fingerprint] = count
        if count == 1:
            return line
        return {**{key: value for key, value in line.items() if key != "traceback"}, "tracebacks_like_this": count}


def renderer(style: str, stream: IO[str]) -> Callable[[Line], str]:
    """Turn lines into text: `json`, `console`, or `auto` (console on a terminal)."""
    if style == "auto":
        style = "console" if stream.isatty() else "json"
    return console_text if style == "console" else json_text


def json_text(line: Line) -> str:
    """One JSON object: `at` as UTC text, then level, event and the rest."""
    fields = {"at": _utc(line.get("at")), "level": line.get("level", "info"), "event": line.get("event", "")}
    fields.update((key, value) for key, value in line.items() if key not in fields)
    return json.dumps(plain(fields), ensure_ascii=False)


def console_text(line: Line) -> str:
    """One line for people; a traceback follows indented."""
    rest = {key: value for key, value in line.items() if key not in ("at", "level", "event", "traceback")}
    pairs = " ".join(f"{key}={_shown(value)}" for key, value in rest.items())
    clock = _utc(line.get("at"))[11:23]
    text = f"{clock} {line.get('level', 'info'):<7} {line.get('event', '')}  {pairs}".rstrip()
    trace = line.get("traceback")
    return text if not trace else text + "\n" + "\n".join(f"    {row}" for row in str(trace).splitlines())


def fields_of(event: MutableMapping[str, Any]) -> Line:
    """Make the fields of a line plain; `exc_info` (an exception, a triple, or True) becomes `traceback`."""
    found = event.pop("exc_info", None)
    error = found[1] if isinstance(found, tuple) else sys.exc_info()[1] if found is True else found
    fields: Line = {str(key): _clipped(value) for key, value in event.items()}
    if isinstance(error, BaseException):
        text = "".join(traceback.format_exception(error)).rstrip()
        fields["traceback"] = text if len(text) <= TRACEBACK_CHARS_MAX else f"... {text[-TRACEBACK_CHARS_MAX:]}"
    return fields


def _clipped(value: object) -> Any:
    """Plain, and short enough that ten thousand waiting lines fit in memory."""
    found = plain(value)
    if isinstance(found, str):
        return found if len(found) <= TEXT_CHARS_MAX else f"{found[:TEXT_CHARS_MAX]}... ({len(found)} characters)"
    if isinstance(found, list | dict):
        text = json.dumps(found, ensure_ascii=False)
        return found if len(text) <= TEXT_CHARS_MAX else f"{text[:TEXT_CHARS_MAX]}... ({len(text)} characters)"
    return found


def _shown(value: object) -> str:
    if isinstance(value, str) and value and not any(c.isspace() or c in '"=' for c in value):
        return value
    return json.dumps(plain(value), ensure_ascii=False)


def _utc(at: object) -> str:
    if not isinstance(at, int):
        return ""
    moment = datetime.fromtimestamp(at // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at % 1_000_000_000 // 1000:06d}Z"
