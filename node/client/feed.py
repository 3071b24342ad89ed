"""Where a client's directory comes from: the `call-info` of a manager, over its control socket or its --listen.

On this machine `ControlFeed` asks for it at once, and again whenever the manager reports an event or somebody wants a
fresh one. Over tcp the manager sends it, and each change of it, on the link (`ListenFeed`). When the manager ends both
try again until it is back, since a node may be restarted under a client.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, Final, Protocol

from regrove.node.cluster.wire import CALL_INFO, PlaneError, decode_call_info
from regrove.node.process.control import connect_unix
from regrove.node.process.framing import FrameReader, FramingError, pack
from regrove.transport.base import Peer
from regrove.transport.events import DialRefused, Items, LinkEvent, LinkLost, LinkUp, PeerSilent
from regrove.transport.links import LinkTable

MS: Final = 1_000_000
SETTLE: Final = 10 * MS  # ns after an event until the directory is asked for: many events, one question
RETRY_MIN: Final = 50 * MS  # ns between two tries to reach a manager that is not there
RETRY_MAX: Final = 1_000 * MS
REFUSED: Final = "refused by "  # how a link table begins the reason of a REFUSED
_EVENTS_ID: Final = 1


class Feed(Protocol):
    """What the bridge takes directories from."""

    problem: str
    refused: bool  # the node said no, and will say no again

    def fds(self) -> tuple[int, ...]:
        """File descriptors to wait on for reading."""

    def deadline(self) -> int | None:
        """Ns of the next try, or None."""

    def refresh(self) -> None:
        """Ask for a fresh directory; `poll` brings it."""

    def take(self, event: LinkEvent) -> bool:
        """Take what a link reported; True when it was the manager's and nobody else's business."""

    def poll(self, now: int) -> list[dict[str, Any]]:
        """Take what has come: directories, oldest first."""

    def close(self) -> None:
        """Let go of the manager."""


class ControlFeed:
    """The directory of a node of this machine, by its control socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem = "its manager has not answered yet"
        self.refused = False
        self._socket: socket.socket | None = None
        self._reader = FrameReader()
        self._turned_away = ""  # why the manager hangs up on us
        self._last = _EVENTS_ID
        self._asked = 0  # the request under way, 0 for none
        self._again = False
        self._due: int | None = None  # when an event leads to a question
        self._retry = RETRY_MIN
        self._next_try: int | None = 0

    def fds(self) -> tuple[int, ...]:
        """The socket, when there is one."""
        return () if self._socket is None else (self._socket.fileno(),)

    def deadline(self) -> int | None:
        """When the manager is looked for again, or asked because of an event."""
        return self._next_try if self._socket is None else self._due

    def refresh(self) -> None:
        """Ask now, or once more after the answer that is under way: it may be older than the wish."""
        if self._socket is None:
            self._next_try = 0
        elif self._asked:
            self._again = True
        else:
            self._ask()

    def take(self, event: LinkEvent) -> bool:
        """The control socket is no link."""
        return False

    def poll(self, now: int) -> list[dict[str, Any]]:
        """Connect when it is time, read what has come, and return the directories in it."""
        if self._socket is None and self._next_try is not None and now >= self._next_try:
            self._connect(now)
        infos: list[dict[str, Any]] = []
        for frame in self._read(now):
            self._frame(frame, infos, now)
        if self._due is not None and now >= self._due and self._socket is not None:
            self._due = None
            self.refresh()
        return infos

    def close(self) -> None:
        """Close the socket for good."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._next_try = None

    def _connect(self, now: int) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        connection.settimeout(1.0)  # a unix connect ends at once, except while the backlog is full
        try:
            connect_unix(connection, self.path)
        except OSError as problem:
            connection.close()
            self._lost(now, f"nothing answers at {self.path} ({problem.strerror or problem})")
            return
        connection.setblocking(False)
        self._socket = connection
        self._next_try = None
        self._reader = FrameReader()
        self._turned_away = ""
        self._asked = 0
        self._again = False
        self._send({"id": _EVENTS_ID, "command": "events"})
        self._ask()

    def _ask(self) -> None:
        self._last += 1
        self._asked = self._last
        self._again = False
        self._send({"id": self._asked, "command": "call-info"})

    def _send(self, frame: dict[str, object]) -> None:
        assert self._socket is not None
        try:
            self._socket.send(pack(frame))  # some bytes into an empty buffer: all or an error
        except OSError as problem:
            self.problem = f"its manager does not listen ({problem.strerror})"

    def _read(self, now: int) -> list[Any]:
        frames: list[Any] = []
        while self._socket is not None:
            try:
                data = self._socket.recv(262144)
                frames += self._reader.feed(data)
            except BlockingIOError:
                break
            except (OSError, FramingError) as problem:
                self._lost(now, str(problem))
                break
            if not data:
                self._lost(now, "its manager has ended")
        return frames

    def _frame(self, frame: Any, infos: list[dict[str, Any]], now: int) -> None:
        if not isinstance(frame, dict):
            return
        if frame.get("id") == self._asked and self._asked:
            self._asked = 0
            if isinstance(frame.get("reply"), dict):
                self.problem = ""
                self._retry = RETRY_MIN
                infos.append(frame["reply"])
            else:
                self.problem = str(frame.get("refused", "its manager gave no directory"))
            if self._again and self._socket is not None:
                self._ask()
        elif "refused" in frame and "regrove" in frame:  # in its hello: it hangs up on us
            self._turned_away = self.problem = f"{frame['refused']}; {frame.get('mend', '')}"
        elif "event" in frame and self._due is None:
            self._due = now + SETTLE

    def _lost(self, now: int, problem: str) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self.problem = self._turned_away or problem
        self._next_try = now + self._retry
        self._retry = min(self._retry * 2, RETRY_MAX)


class ListenFeed:
    """The directory of a node reached at its --listen: the manager sends it on the link, whole at each change."""

    def __init__(self, links: LinkTable, endpoint: str, key: str) -> None:
        self.problem = "nobody has answered yet"
        self.refused = False
        self._links = links
        self._endpoint = endpoint
        self._key = key
        self._manager: Peer = links.dial(endpoint, key)
        self._last: dict[str, Any] | None = None
        self._fresh: list[dict[str, Any]] = []

    def fds(self) -> tuple[int, ...]:
        """The link has no descriptor of its own."""
        return ()

    def deadline(self) -> int | None:
        """The link table keeps its own times."""
        return None

    def refresh(self) -> None:
        """What came last is what there is: changes are sent at once."""
        if self._last is not None and not self.problem:
            self._fresh.append(self._last)

    def take(self, event: LinkEvent) -> bool:
        """Take what the link to the manager reports."""
        match event:
            case LinkUp(peer=peer, dialled=self._manager):
                self._manager = peer
            case Items(peer=self._manager, items=items):
                for item in items:
                    self._item(item)
            case LinkLost(peer=self._manager, reason=reason):
                self.problem = reason
                self.refused = reason.startswith(REFUSED)
            case PeerSilent(peer=self._manager):
                self._links.forget(self._manager, "silent")  # whoever answers there next may be a newer life
                self._manager = self._links.dial(self._endpoint, self._key)
            case DialRefused():
                self.problem = event.reason
            case _:
                return False
        return True

    def poll(self, _now: int) -> list[dict[str, Any]]:
        """Take the directories that came."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def close(self) -> None:
        """The link table says goodbye."""

    def _item(self, item: Any) -> None:
        match item:
            case (int(kind), bytes(payload)) if kind == CALL_INFO:
                try:
                    self._last = decode_call_info(payload)
                except PlaneError as problem:
                    self.problem = str(problem)
                    return
                self.problem = ""
                self.refused = False
                self._fresh.append(self._last)
