"""What a wait ends with: the counterparts of `effects.py`. A ticketed one carries its `.ticket`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from regrove.node.core.address import Address
from regrove.node.core.effects import Wait
from regrove.node.core.handles import Listener, Stream, Ticket
from regrove.records import dataclass, field
from regrove.supervisor.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Base of all outcomes; `ticket` is None for a returned wait."""

    ticket: Ticket | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Failed(Outcome):
    """The wait `of` ended with `reason` instead of its outcome."""

    reason: Reason
    of: Wait | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Replied(Outcome):
    """Of Call: the answer."""

    value: object


# An outcome is frozen for its isolate. The runtime writes through the slots: a third of the time, once a request.
set_ticket: Final[Callable[[Any, Ticket | None], None]] = Outcome.__dict__["ticket"].__set__
_set_value: Final[Callable[[Any, object], None]] = Replied.__dict__["value"].__set__
_new: Final = object.__new__


def replied(value: object, ticket: Ticket | None) -> Replied:
    """Make `Replied(value, ticket=ticket)`."""
    outcome = _new(Replied)
    _set_value(outcome, value)
    set_ticket(outcome, ticket)
    return outcome


@dataclass(frozen=True, slots=True)
class Gathered(Outcome):
    """Of CallAll: a `Replied` or `Failed` for each call, in order."""

    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class Pushed(Outcome):
    """Of Push: the message is in the mailbox."""


@dataclass(frozen=True, slots=True)
class Slept(Outcome):
    """Of Sleep."""


@dataclass(frozen=True, slots=True)
class Returned(Outcome):
    """Of Offload: what the function returned."""

    value: object


@dataclass(frozen=True, slots=True)
class Listening(Outcome):
    """Of Listen."""

    listener: Listener


@dataclass(frozen=True, slots=True)
class Accepted(Outcome):
    """Of Accept: the connection and the other end as `host:port`."""

    stream: Stream
    peer: str


@dataclass(frozen=True, slots=True)
class Connected(Outcome):
    """Of Connect."""

    stream: Stream


@dataclass(frozen=True, slots=True)
class Received(Outcome):
    """Of Read: at least one byte, or none at the end of the stream."""

    data: bytes
    stream: Stream


@dataclass(frozen=True, slots=True)
class Written(Outcome):
    """Of Write: the kernel has all of it."""

    stream: Stream


@dataclass(frozen=True, slots=True)
class Closed(Outcome):
    """Of Close."""

    stream: Stream | Listener


@dataclass(frozen=True, slots=True)
class Opened(Outcome):
    """Of Open."""

    stream: Stream


@dataclass(frozen=True, slots=True)
class Synced(Outcome):
    """Of Sync: it is on the disk."""

    stream: Stream


@dataclass(frozen=True, slots=True)
class Truncated(Outcome):
    """Of Truncate."""

    stream: Stream


@dataclass(frozen=True, slots=True)
class Renamed(Outcome):
    """Of Rename: `path` is the new one."""

    path: str


@dataclass(frozen=True, slots=True)
class Removed(Outcome):
    """Of Remove."""

    path: str


@dataclass(frozen=True, slots=True)
class Listed(Outcome):
    """Of ListFiles: sorted names."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Down:
    """A monitored isolate ended, or never ran (`NoProcess`), or its core cannot be reached (`NoConnection`)."""

    ticket: Ticket
    address: Address | None
    reason: Reason


@dataclass(frozen=True, slots=True)
class Exit:
    """A linked isolate ended, or sent an exit signal, and this one traps exits."""

    address: Address
    reason: Reason


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A message sent with `notify=token` was refused after `send` had answered OK."""

    to: object
    reason: Reason
    token: object


@dataclass(frozen=True, slots=True)
class Given:
    """Another isolate of this core passed a stream on with `ctx.give`."""

    stream: Stream
