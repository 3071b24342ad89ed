"""Acceptor: on every core, listens on the one port and gives each connection an isolate of its own."""

from __future__ import annotations

from typing import Any, Final

from examples.kv.connection import Connection
from examples.kv.settings import Settings
from regrove import (
    DONE,
    Accept,
    Accepted,
    Child,
    Close,
    Closed,
    Context,
    Crash,
    Effect,
    Failed,
    Isolate,
    Listen,
    Listener,
    Listening,
    OsError,
    Sleep,
    Slept,
    Stream,
    Write,
)

PAUSE: Final = 0.1  # seconds after an accept that failed, such as for want of descriptors
FULL: Final = b"-ERR max number of clients reached\r\n"


class Acceptor(Isolate):
    """Its `start` ends once the port is listened on."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.listener: Listener | None = None
        self.number = 0
        self.refused: Stream | None = None

    def start(self, ctx: Context) -> Effect:
        return Listen(self.settings.host, self.settings.port, shared=True, then=self._listening)

    def _listening(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Listening):
            return Crash(self._unusable(outcome))
        self.listener = outcome.listener
        ctx.log.info("kv: listening", host=outcome.listener.host, port=outcome.listener.port)
        return Accept(outcome.listener)

    def _unusable(self, outcome: Any) -> str:
        reason = outcome.reason if isinstance(outcome, Failed) else outcome
        where = f"{self.settings.host}:{self.settings.port}"
        if isinstance(reason, OsError) and reason.name == "EADDRINUSE":
            return f"port {where} is in use; stop who has it or give another one with --set port=N"
        return f"kv cannot listen on {where}: {reason}; give --set host=ADDRESS port=N"

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Accepted(stream, peer):
                return self._accepted(ctx, stream, peer)
            case Closed() | Slept():
                return self._accept()
            case Failed(reason):
                ctx.log.warning("kv: accept failed", reason=str(reason))
                return Sleep(PAUSE)
            case _:
                return Crash(f"the acceptor has no use for {message!r}")

    def _accept(self) -> Effect:
        return DONE if self.listener is None else Accept(self.listener)

    def _accepted(self, ctx: Context, stream: Stream, peer: str) -> Effect:
        self.number += 1
        number = self.number * ctx.place.cores + ctx.place.core
        child = Child(
            f"client-{number}",
            Connection,
            *(stream, number, peer, self.settings.sync, self.settings.max_value),
            restart="temporary",
            shutdown=1.0,
        )
        if ctx.spawn(child, under="connections"):
            return self._accept()
        self.refused = stream
        return Write(stream, FULL, timeout=1.0, then=self._refuse)

    def _refuse(self, ctx: Context, outcome: Any) -> Effect:
        return self._accept() if self.refused is None else Close(self.refused)
