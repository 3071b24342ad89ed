"""Things an isolate holds and that never travel: tickets, timers, streams, listeners."""

from __future__ import annotations


class Ticket:
    """The right to one outcome; it comes back as the outcome's `.ticket`. Equal by identity of the debt."""

    __slots__ = ("token",)

    def __init__(self, token: int) -> None:
        self.token = token

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ticket) and other.token == self.token

    def __hash__(self) -> int:
        return hash(self.token)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.token})"


class Timer(Ticket):
    """A message to come; `ctx.cancel(timer)` answers whether it was still to come."""

    __slots__ = ()


class Stream:
    """An open connection or file of one isolate, by the number its core's I/O edge gave it."""

    __slots__ = ("handle", "kind")

    def __init__(self, handle: int, kind: str) -> None:
        self.handle = handle
        self.kind = kind  # "tcp" or "file"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and other.handle == self.handle

    def __hash__(self) -> int:
        return hash(self.handle)

    def __repr__(self) -> str:
        return f"<{self.kind} stream {self.handle}>"


class Listener:
    """A listening socket of one isolate; `host` and `port` as bound."""

    __slots__ = ("handle", "host", "port")

    def __init__(self, handle: int, host: str, port: int) -> None:
        self.handle = handle
        self.host = host
        self.port = port

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Listener) and other.handle == self.handle

    def __hash__(self) -> int:
        return hash(self.handle)

    def __repr__(self) -> str:
        return f"<listener {self.host}:{self.port}>"
