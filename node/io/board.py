"""Which requests are under way and which have ended: the ledger that every part of the edge writes to.

A token is pending with its holder until it ends, once; an end for a token that is not pending (cancelled, released) is
dropped here, so no completion can reach anybody who does not wait for it.
"""

from __future__ import annotations

import errno
import os
from typing import Final, Protocol

from regrove.node.core.ports import IoDone
from regrove.node.core.reasons import NotOwner, OsError

NO_TOKEN: Final = -1  # tokens are never negative
# What a request under way on a stream or listener ends with when its owner closes that.
CLOSED: Final = NotOwner()


class Holder(Protocol):
    """What a pending request is with: a stream, a listener, a connect, a file, a pool."""

    def cancel(self, token: int) -> None:
        """Stop working for `token`, which is not pending any more, and undo what can be undone."""


class Board:
    """`pending`: token -> holder. `done`: ends not collected yet. `opened`: token -> handle of those in `done`."""

    __slots__ = ("done", "opened", "pending")

    def __init__(self) -> None:
        self.pending: dict[int, Holder] = {}
        self.done: list[IoDone] = []
        self.opened: dict[int, int] = {}

    def answer(self, token: int, result: object) -> None:
        """End a request that was never pending (served or refused at once)."""
        self.done.append(IoDone(token, result))

    def end(self, token: int, result: object) -> bool:
        """End a pending request; False and nothing else when nobody waits for it any more."""
        if self.pending.pop(token, None) is None:
            return False
        self.done.append(IoDone(token, result))
        return True

    def drop(self, token: int) -> None:
        """Forget a pending request without an answer."""
        self.pending.pop(token, None)


def os_error(error: OSError, action: str) -> OsError:
    """Say as a reason what the operating system refused: the errno's name, and `action` with its text."""
    number = error.errno or errno.EIO
    return OsError(errno.errorcode.get(number, f"E{number}"), f"{action}: {error.strerror or os.strerror(number)}")
