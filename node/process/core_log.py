"""The logger of a core: structlog's bound logger by its methods, without the 0.1 s that structlog takes to import.

What the methods here do not cover is asked of a structlog logger with the same fields, made at that moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from regrove.node.core.reasons import OsError
from regrove.node.process.logs import LEVELS, Line, fields_of

AGAIN_S: Final = 60.0
_MENDS: Final = {"EMFILE": "raise `ulimit -n` (LimitNOFILE) or the bound it names", "ENFILE": "raise fs.file-max"}
_LEVEL_NAMES = {"warn": "warning", "exception": "error", "fatal": "critical", "msg": "info"}


class CoreLog:
    """Give `send` a line of plain values for what is at or above `level()`, which is asked each time."""

    __slots__ = ("_bound", "_clock", "_level", "_send")

    def __init__(
        self, send: Callable[[Line], None], level: Callable[[], str], clock: Callable[[], int], bound: Mapping[str, Any]
    ) -> None:
        self._send = send
        self._level = level
        self._clock = clock
        self._bound = bound

    # -- what is bound ------------------------------------------------------------------------------------------------

    def bind(self, **fields: Any) -> CoreLog:
        """A logger that adds `fields` to each line."""
        return self.new(**{**self._bound, **fields})

    def new(self, **fields: Any) -> CoreLog:
        """A logger with `fields` only."""
        return CoreLog(self._send, self._level, self._clock, fields)

    def unbind(self, *keys: str) -> CoreLog:
        """A logger without those fields; raises KeyError for one that is not bound."""
        left = dict(self._bound)
        for key in keys:
            del left[key]
        return self.new(**left)

    def try_unbind(self, *keys: str) -> CoreLog:
        """A logger without those fields, bound or not."""
        return self.new(**{key: value for key, value in self._bound.items() if key not in keys})

    # -- lines --------------------------------------------------------------------------------------------------------

    def debug(self, event: Any = None, *args: Any, **fields: Any) -> None:
        """A line of that level."""
        self._say("debug", event, args, fields)

    def info(self, event: Any = None, *args: Any, **fields: Any) -> None:
        """A line of that level."""
        self._say("info", event, args, fields)

    def warning(self, event: Any = None, *args: Any, **fields: Any) -> None:
        """A line of that level."""
        self._say("warning", event, args, fields)

    def error(self, event: Any = None, *args: Any, **fields: Any) -> None:
        """A line of that level; `exc_info` is an exception, a triple, or True."""
        self._say("error", event, args, fields)

    def critical(self, event: Any = None, *args: Any, **fields: Any) -> None:
        """A line of that level."""
        self._say("critical", event, args, fields)

    msg = info
    warn = warning
    fatal = critical
    exception = error

    def _say(self, level: str, event: Any, args: tuple[Any, ...], fields: dict[str, Any]) -> None:
        if LEVELS.get(level, LEVELS["info"]) < LEVELS.get(self._level(), LEVELS["info"]):
            return
        said = {**self._bound, **fields}
        if args:
            said["positional_args"] = args
        line: Line = {"at": self._clock(), "level": level, "event": "" if event is None else str(event)}
        line.update(fields_of(said))
        self._send(line)

    # -- the rest of structlog ----------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"a core's logger has no {name}")
        return getattr(self._of_structlog(), name)

    def _of_structlog(self) -> Any:
        import structlog

        def deliver(_logger: Any, method: str, said: Any) -> Any:
            event = said.pop("event", None)
            self.new()._say(_LEVEL_NAMES.get(method, method), event, (), said)
            raise structlog.DropEvent

        # Not None, for which structlog would take standard output: the application may have closed that.
        wrapped = structlog.wrap_logger(self._send, processors=[deliver], wrapper_class=structlog.BoundLogger)
        return wrapped.bind(**self._bound)

    def __repr__(self) -> str:
        return f"<log of a core, bound: {dict(self._bound)}>"


class AcceptWarnings:
    """Says that clients wait at a port unserved, at most once a minute and port: it is met at each try."""

    __slots__ = ("_clock", "_log", "_next")

    def __init__(self, log: CoreLog, clock: Callable[[], float]) -> None:
        self._log = log
        self._clock = clock
        self._next: dict[str, float] = {}

    def say(self, where: str, reason: OsError) -> None:
        """Log it unless it has just been logged."""
        now = self._clock()
        if now >= self._next.get(where, now):
            self._next[where] = now + AGAIN_S
            self._log.warning("connections wait", port=where, reason=reason.text, mend=_MENDS.get(reason.name, ""))
