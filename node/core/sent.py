"""What `send` answers. Not compiled: a compiled class cannot make the members of an Enum that is an int."""

from __future__ import annotations

from enum import Enum
from typing import Final

from regrove.node.core.reasons import LinkFull, MailboxFull, PoolExhausted, TooLarge, Unreachable
from regrove.supervisor.reasons import NoProcess, Reason


class Sent(int, Enum):
    """What `send` answers at once; falsy unless OK. An int for that alone, which asks no Python code: of no value."""

    OK = "OK"
    MAILBOX_FULL = "MAILBOX_FULL"
    POOL_EXHAUSTED = "POOL_EXHAUSTED"
    LINK_FULL = "LINK_FULL"
    STALE = "STALE"
    UNREACHABLE = "UNREACHABLE"
    TOO_LARGE = "TOO_LARGE"

    def __new__(cls, word: str) -> Sent:
        """1 for OK, else 0."""
        sent = int.__new__(cls, word == "OK")
        sent._value_ = word
        return sent

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other

    __hash__ = Enum.__hash__

    def __repr__(self) -> str:
        return f"<Sent.{self.name}: {self.value!r}>"

    @property
    def reason(self) -> Reason:
        """The same as the reason of a failed wait."""
        return _REASONS[self]


OK: Final = Sent.OK
MAILBOX_FULL: Final = Sent.MAILBOX_FULL
POOL_EXHAUSTED: Final = Sent.POOL_EXHAUSTED
LINK_FULL: Final = Sent.LINK_FULL
STALE: Final = Sent.STALE
UNREACHABLE: Final = Sent.UNREACHABLE
TOO_LARGE: Final = Sent.TOO_LARGE

_REASONS: Final[dict[Sent, Reason]] = {
    MAILBOX_FULL: MailboxFull(),
    POOL_EXHAUSTED: PoolExhausted(),
    LINK_FULL: LinkFull(),
    STALE: NoProcess(),
    UNREACHABLE: Unreachable(),
    TOO_LARGE: TooLarge(),
}
