"""The port: bytes between two ends, and nothing else. Real over ZeroMQ (`zeromq.py`), simulated (`simulated.py`).

    listen(endpoint)  -> the endpoint as bound             Handler.on_session(session, inbound, user_id)
    open(endpoint)    -> session                           Handler.on_frames(session, frames)
    try_send(session, frame) -> taken                      Handler.on_writable(session)
    close(session)                                         Handler.on_closed(session, reason)

One session is one connection: numbered once, never reused, never reconnected. Frames of one session arrive whole, in
order, at most once; those of two sessions in any order. What is above it (credit, hello, sequence, refusals) lives in
`links.py` and is the same over every transport.

The rules of a loop around it:
- The handler is called from `poll()` only, never from the other methods.
- A session that was closed here calls nothing any more; frames that still arrive for it are dropped and counted.
- Before each sleep, after the last `try_send`, ask `pending()`; True means: do not sleep, `poll()` again. (The FD of a
  ZeroMQ socket is edge-triggered, and a send may swallow its edge.)
- The end that was dialled may hear late that its peer is gone: at the latest when it sends (`try_send` is False, then
  `on_closed`). The end that dialled hears of it without sending, except for a silent network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

Peer: TypeAlias = tuple[str, int, int, int]  # node, node incarnation, core (-1: the manager), core incarnation


class TransportError(Exception):
    """An endpoint that cannot be listened on or opened; the text says which, why, and how to mend it."""


class Handler(Protocol):
    """What a transport calls, from `poll()` only."""

    def on_session(self, session: int, inbound: bool, user_id: str) -> None:
        """A session is usable: somebody dialled us (`inbound`), or the one we opened is through.

        `user_id` is the public key (Z85) the other end proved to hold, or "" where nothing is proved (ipc, insecure).
        """

    def on_frames(self, session: int, frames: Sequence[bytes]) -> None:
        """These frames arrived, in order."""

    def on_writable(self, session: int) -> None:
        """A session whose `try_send` said False may take frames again."""

    def on_closed(self, session: int, reason: str) -> None:
        """The session ended without `close()` here; every frame that had arrived was handed over before."""


class Transport(Protocol):
    """One end of many sessions: what a core, a manager or a client owns exactly one of."""

    def attach(self, handler: Handler) -> None:
        """Give the handler; once, before anything else."""

    def listen(self, endpoint: str) -> str:
        """Take connections at `endpoint` (`tcp://host:port`, port 0 = any free one; `ipc://path`; `sim://name`).

        Returns the endpoint to dial. Raises TransportError when it is taken, malformed or not allowed.
        """

    def open(self, endpoint: str, server_key: str = "") -> int:
        """Begin a connection and return its session at once; what follows is told to the handler.

        `server_key` is the public key (Z85) the other end must hold. Raises TransportError for a malformed endpoint.
        """

    def try_send(self, session: int, frame: bytes) -> bool:
        """Hand over one frame. False: not taken (`on_writable` or `on_closed` follows). Never blocks."""

    def close(self, session: int) -> None:
        """End a session, at once and silently; a number that is no session any more is ignored."""

    def poll(self) -> bool:
        """Hand what has arrived to the handler, up to a cap. True: there is more, call again before sleeping."""

    def pending(self) -> bool:
        """Whether something has arrived: asked last before a sleep."""

    def fds(self) -> tuple[int, ...]:
        """File descriptors to wait on for reading; empty where there are none."""

    def destroy(self, linger: float = 0.0) -> None:
        """Close everything; frames taken before may still leave for `linger` seconds. Idempotent."""
