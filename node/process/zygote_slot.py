"""The zygote as the manager's decisions see it: when it is started, what it is good for, when it is given up [pure].

    starting --ZygoteUp--> up | unfit       unfit: what the application left behind does not survive a fork
    up --ForkFailed(silent), ZygoteSilent--> silent   a request was not answered in time; a late answer leads back to up
    any --ZygoteEnded--> lost               started again, at once when it had lived for a while
    any --ZygoteRefused--> lost             the application's files have changed and cannot be imported any more

While it is not up, cores are started as fresh Pythons: slower, and `status` says so. Only the boot waits for it.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, assert_never

from regrove.node.process.budget import SECOND
from regrove.node.process.manager_events import (
    Action,
    ForkFailed,
    KillZygote,
    Note,
    SpawnKind,
    SpawnZygote,
    ZygoteAnswered,
    ZygoteEnded,
    ZygoteRefused,
    ZygoteSilent,
    ZygoteUp,
)

LONG_LIFE: Final = 30 * SECOND  # one that lived so long is replaced at once
RETRY_FIRST: Final = SECOND // 2
RETRY_LAST: Final = 60 * SECOND
SILENT_LIMIT: Final = 30 * SECOND  # stopped or stuck for so long: killed, as a stopped core is

ZygoteState: TypeAlias = Literal["off", "starting", "up", "unfit", "silent", "lost"]
ZygoteEvent: TypeAlias = ZygoteUp | ZygoteRefused | ZygoteEnded | ZygoteAnswered | ZygoteSilent | ForkFailed


class ZygoteSlot:
    """The zygote over all its lives. `deadline` is when `tick` is due; `why` says in words what it is not up for."""

    __slots__ = ("_failures", "_first", "_refusal", "_started_at", "deadline", "lives", "start_limit", "state", "why")

    def __init__(self, wanted: bool, start_limit: int | None) -> None:
        self.state: ZygoteState = "off"
        self.why = ""
        self.deadline: int | None = None
        self.lives = 0
        self._first = wanted
        self.start_limit = start_limit
        self._started_at = 0
        self._failures = 0
        self._refusal = ""

    @property
    def awaited(self) -> bool:
        """Tell whether cores wait for it: at boot, so that the application is imported once."""
        return self._first

    @property
    def kind(self) -> SpawnKind:
        """How a core is started now."""
        return "fork" if self.state == "up" else "fresh"

    def begin(self, now: int, out: list[Action]) -> None:
        """Start a life of it."""
        self.lives += 1
        self.state = "starting"
        self.why = "it imports the application"
        self._started_at = now
        self.deadline = None if self.start_limit is None else now + self.start_limit
        out.append(SpawnZygote())

    def take(self, now: int, event: ZygoteEvent, ending: bool, out: list[Action]) -> None:
        """Follow what happened to it; `ending`: the node stops, so it is not started again."""
        match event:
            case ZygoteUp():
                self._up(event, out)
            case ZygoteAnswered():
                if self.state == "silent":
                    self._back(out)
            case ZygoteSilent(why):
                self._silent(now, why, out)
            case ForkFailed(_, _, why, silent):
                if silent:
                    self._silent(now, why, out)
            case ZygoteEnded(how):
                self._ended(now, how, ending, out)
            case ZygoteRefused(text):
                self._first = False
                self._refusal = text
                out.append(Note("error", "zygote refused the application", {"reason": text}))
            case _:
                assert_never(event)

    def tick(self, now: int, out: list[Action]) -> None:
        """Act on the deadline."""
        if self.deadline is None or self.deadline > now:
            return
        self.deadline = None
        if self.state == "lost":
            self.begin(now, out)
        elif self.state in ("starting", "silent"):
            out.append(KillZygote(look=self.state == "starting"))

    def _silent(self, now: int, why: str, out: list[Action]) -> None:
        if self.state == "up":
            self.state, self.why, self.deadline = "silent", why, now + SILENT_LIMIT
            out.append(Note("warning", "zygote silent", {"reason": why}))

    def _up(self, event: ZygoteUp, out: list[Action]) -> None:
        self._first = False
        self.deadline = None
        if event.threads:
            said: dict[str, object] = {"threads": list(event.threads)}
            out.append(Note("warning", "threads of the application are not in forked cores", said))
        if event.unforkable:
            self.state = "unfit"
            self.why = f"the application's import left {', '.join(event.unforkable)}, which does not survive a fork"
            out.append(Note("warning", "zygote unfit, cores are started as fresh processes", {"reason": self.why}))
        else:
            self._back(out)

    def _back(self, out: list[Action]) -> None:
        self.state, self.why, self.deadline = "up", "", None
        out.append(Note("info" if self.lives > 1 else "debug", "zygote up", {"life": self.lives}))

    def _ended(self, now: int, how: str, ending: bool, out: list[Action]) -> None:
        self._first = False
        if self.state == "lost" or ending:
            return
        self._failures = 0 if now - self._started_at > LONG_LIFE else self._failures + 1
        delay = 0 if self._failures == 0 else min(RETRY_FIRST << min(self._failures - 1, 16), RETRY_LAST)
        self.why = self._refusal or (f"it was {how}" if how.startswith("killed") else f"it {how}")
        self._refusal = ""
        self.state = "lost"
        self.deadline = now + delay
        out.append(Note("warning", "zygote lost", {"reason": self.why, "retry_s": round(delay / SECOND, 3)}))
