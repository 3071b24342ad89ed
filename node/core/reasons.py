"""Why an outcome failed, beyond the exit reasons of `supervisor.reasons` (isolates.md, Effects)."""

from __future__ import annotations

from regrove.records import dataclass
from regrove.supervisor.reasons import Reason


@dataclass(frozen=True, slots=True)
class Timeout(Reason):
    """The deadline of the wait passed."""


@dataclass(frozen=True, slots=True)
class NoReply(Reason):
    """The request was handled and its handler neither replied nor kept the caller."""


@dataclass(frozen=True, slots=True)
class MailboxFull(Reason):
    """The target's mailbox is at its capacity."""


@dataclass(frozen=True, slots=True)
class LinkFull(Reason):
    """The link to the target's core has no credit left, or no room for one more big message."""


@dataclass(frozen=True, slots=True)
class PoolExhausted(Reason):
    """The target core's message pool is at its bound."""


@dataclass(frozen=True, slots=True)
class TooLarge(Reason):
    """The message is longer on the wire than `Bounds.message_bytes` (16 MiB), or than its receiver takes."""


@dataclass(frozen=True, slots=True)
class Unreachable(Reason):
    """No link to the target's core can be had; the message has not left."""


@dataclass(frozen=True, slots=True)
class SelfCall(Reason):
    """An isolate called itself, which could never be answered."""


@dataclass(frozen=True, slots=True)
class Busy(Reason):
    """The bounded pool or inbox that would serve this is full: try again later."""


@dataclass(frozen=True, slots=True)
class NotOwner(Reason):
    """The stream or listener belongs to another isolate, or is closed."""


@dataclass(frozen=True, slots=True)
class Raised(Reason):
    """The offloaded function raised: its type and text."""

    type: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class OsError(Reason):
    """The operating system refused: `name` is the errno's name (`ECONNREFUSED`, `ENOSPC`), `text` says on what."""

    name: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Undecodable(Reason):
    """The receiving core could not decode the message; `problem` names the field."""

    problem: str = ""


@dataclass(frozen=True, slots=True)
class Unknown(Reason):
    """The link ended before the message was acknowledged: it may or may not have been taken."""


@dataclass(frozen=True, slots=True)
class Cancelled(Reason):
    """The wait was cancelled by its owner."""
