"""How much a sender may still put on a link: cumulative limits in messages and bytes, granted by the receiver.

Limits only rise and both ends count from 0 at the start of a session, so a grant that is late, or said twice, changes
nothing (as in HTTP/2 and QUIC, which count the same way). The sender stops after exactly the window; a receiver that
is sent more than it granted ends the session. Pure.
"""

from __future__ import annotations

from typing import Final

from regrove.records import dataclass

OVERHEAD_BYTES: Final = 64  # what a message costs beside its payload, so that empty ones are bounded too


class CreditError(Exception):
    """The sender put more on the link than it was granted; the text has both figures."""


@dataclass(frozen=True, slots=True)
class Window:
    """What may be under way at once: `messages`, and `size` in bytes (payload + OVERHEAD_BYTES each)."""

    messages: int
    size: int


OPENING: Final = Window(256, 1024 * 1024)  # before WELCOME; the first grant includes it
WINDOW: Final = Window(4096, 8 * 1024 * 1024)


class SendCredit:
    """The sender's side: `take` until it says False."""

    __slots__ = ("limit_messages", "limit_size", "messages", "size")

    def __init__(self, limit: Window) -> None:
        self.messages = 0
        self.size = 0
        self.limit_messages = limit.messages
        self.limit_size = limit.size

    def take(self, cost: int) -> bool:
        """Take credit for one message of `cost` bytes, or say that the link is full."""
        size = self.size + cost
        if self.messages >= self.limit_messages or size > self.limit_size:
            return False
        self.messages += 1
        self.size = size
        return True

    def raise_to(self, messages: int, size: int) -> bool:
        """Hear a grant; limits never fall. Returns whether there is more than before."""
        more = messages > self.limit_messages or size > self.limit_size
        self.limit_messages = max(self.limit_messages, messages)
        self.limit_size = max(self.limit_size, size)
        return more


class ReceiveCredit:
    """The receiver's side: counts what was taken and says what to grant next."""

    __slots__ = (
        "_granted_messages", "_granted_size", "_window_messages", "_window_size", "held_messages", "held_size",
        "messages", "size",
    )  # fmt: skip

    def __init__(self, window: Window, opening: Window) -> None:
        self._window_messages = window.messages
        self._window_size = window.size
        self._granted_messages = max(window.messages, opening.messages)  # what came before the first grant is in it
        self._granted_size = max(window.size, opening.size)
        self.messages = 0
        self.size = 0
        self.held_messages = 0  # taken, but held behind a big message: not granted anew before they go on
        self.held_size = 0

    def took(self, messages: int, size: int) -> None:
        """Count what arrived. Raises CreditError when it is more than was granted."""
        self.messages += messages
        self.size += size
        if self.messages > self._granted_messages:
            raise CreditError(f"message {self.messages} came under a grant of {self._granted_messages} messages")
        if self.size > self._granted_size:
            raise CreditError(f"byte {self.size} came under a grant of {self._granted_size} bytes")

    @property
    def due(self) -> bool:
        """Whether half a window was used since the last grant."""
        return (
            self._granted_messages - self.messages <= self._window_messages // 2
            or self._granted_size - self.size <= self._window_size // 2
        )

    def grant(self) -> tuple[int, int]:
        """Grant a whole window beyond what was taken and is not held: the new limits in messages and bytes."""
        messages = self.messages + self._window_messages - self.held_messages
        size = self.size + self._window_size - self.held_size
        if messages > self._granted_messages:
            self._granted_messages = messages
        if size > self._granted_size:
            self._granted_size = size
        return self._granted_messages, self._granted_size
