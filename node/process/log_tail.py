"""The last lines of a node's log in memory, and those who follow it over the control socket.

Kept beside the stream and not read back from it: the stream may be a pipe, a terminal or blocked.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from regrove.node.process.control_server import Request
from regrove.node.process.logs import LEVELS, Line
from regrove.records import dataclass

KEPT_LINES: Final = 1_000
FOLLOWERS_MAX: Final = 64


@dataclass(slots=True, eq=False)
class _Follower:
    request: Request
    least: int


class LogTail:
    """Keeps the last `limit` lines and serves `regrove logs`."""

    def __init__(self, limit: int = KEPT_LINES) -> None:
        self._lines: deque[Line] = deque(maxlen=limit)
        self._followers: list[_Follower] = []

    def put(self, line: Line) -> None:
        """Keep a line and tell those who follow."""
        self._lines.append(line)
        if self._followers:
            level = LEVELS.get(str(line.get("level")), 0)
            for follower in list(self._followers):
                if follower.request.gone:
                    self._followers.remove(follower)
                elif level >= follower.least:
                    follower.request.push(line)

    def serve(self, request: Request) -> None:
        """Answer `logs`: the last lines, and with `follow` all that come."""
        level, last = str(request.arguments.get("level", "debug")), request.arguments.get("last", KEPT_LINES)
        if level not in LEVELS or type(last) is not int or last < 0:
            request.refuse("logs takes a level and a number of lines", f"a level is one of {', '.join(LEVELS)}")
            return
        self._followers = [follower for follower in self._followers if not follower.request.gone]
        follow = bool(request.arguments.get("follow", False))
        if follow and len(self._followers) >= FOLLOWERS_MAX:
            request.refuse(f"{FOLLOWERS_MAX} others follow the log already", "end one of them")
            return
        least = LEVELS[level]
        lines = [line for line in self._lines if LEVELS.get(str(line.get("level")), 0) >= least]
        lines = lines[max(len(lines) - last, 0) :]
        request.reply({"lines": len(lines)})
        for line in lines:
            request.send_event(line)
        if follow:
            self._followers.append(_Follower(request, least))
