"""The logs that a simulated world writes: for people, outside every digest."""

from __future__ import annotations

import traceback
from collections import deque
from typing import Any, Final

from regrove.node.simulation.clock import Clock

LOG_LINES: Final = 2_000


class Log:
    """The logger of a simulated world: keeps the last lines, prints nothing. Bound fields as in structlog."""

    def __init__(self, clock: Clock, lines: deque[dict[str, Any]] | None = None, **bound: Any) -> None:
        self._clock = clock
        self._bound = bound
        self.lines: deque[dict[str, Any]] = deque(maxlen=LOG_LINES) if lines is None else lines

    def bind(self, **fields: Any) -> Log:
        """Give a logger that adds `fields` to each line."""
        return Log(self._clock, self.lines, **{**self._bound, **fields})

    def new(self, **fields: Any) -> Log:
        """Give a logger with `fields` only."""
        return Log(self._clock, self.lines, **fields)

    @property
    def trouble(self) -> str:
        """The last warning or error in words, "" for none."""
        line = next((line for line in reversed(self.lines) if line["level"] in ("warning", "error")), None)
        if line is None:
            return ""
        core = f"/{line['core']}" if "core" in line else ""
        reason = f": {line['reason']}" if "reason" in line else ""
        return f"{line.get('node', '')}{core} {line['event']}{reason}".lstrip()

    def debug(self, event: str, *args: Any, **fields: Any) -> None:
        """Keep a line."""
        self._keep("debug", event, args, fields)

    def info(self, event: str, *args: Any, **fields: Any) -> None:
        """Keep a line."""
        self._keep("info", event, args, fields)

    def warning(self, event: str, *args: Any, **fields: Any) -> None:
        """Keep a line."""
        self._keep("warning", event, args, fields)

    def error(self, event: str, *args: Any, **fields: Any) -> None:
        """Keep a line."""
        self._keep("error", event, args, fields)

    def critical(self, event: str, *args: Any, **fields: Any) -> None:
        """Keep a line."""
        self._keep("critical", event, args, fields)

    msg = info
    warn = warning
    fatal = critical
    exception = error

    def _keep(self, level: str, event: str, args: tuple[Any, ...], fields: dict[str, Any]) -> None:
        line = {"time": self._clock.now, "level": level, "event": event, **self._bound, **fields}
        if args:
            line["arguments"] = args
        error = line.pop("exc_info", None)
        if isinstance(error, BaseException):
            line["traceback"] = "".join(traceback.format_exception(error))
        self.lines.append(line)
