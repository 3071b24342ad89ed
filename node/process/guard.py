"""One runtime per process, and no blocking call inside a handler: both are refused at the call, with the mend.

A process that drives a core (or a simulation) marks itself with `claim`; `enter` and `leave` bracket the callbacks, so
that `refuse_inside_handler` can tell a blocking client call apart from one of an ordinary program.
"""

from __future__ import annotations

import sys
import threading
from types import FrameType

from regrove.node.core.errors import Misuse
from regrove.records import dataclass


class NodeAlreadyRunning(Misuse):
    """This process runs a node already; `first` is where it was started (`file:line`)."""

    def __init__(self, what: str, first: str) -> None:
        self.first = first
        super().__init__(
            f"this process already runs {what}, started at {first}; one process runs one: "
            "end that one first, or start another process (`regrove up APP -n 3`, regrove.start)"
        )


class BlockingCallInHandler(Misuse):
    """A blocking call was made where it would stop a whole core."""

    def __init__(self, call: str, instead: str) -> None:
        super().__init__(f"{call} blocks, and inside a handler that would stop every isolate of this core; {instead}")


@dataclass(slots=True)
class Claim:
    """The mark a runtime leaves on its process; `release` takes it back."""

    what: str
    site: str
    thread: int

    def release(self) -> None:
        """Let another runtime start in this process. Idempotent."""
        if _held.claim is self:
            _held.claim = None


class _Held:
    """What this process runs: state of the process itself, which is what the guard is about."""

    __slots__ = ("claim", "lock")

    def __init__(self) -> None:
        self.claim: Claim | None = None
        self.lock = threading.Lock()


_held = _Held()


def claim(what: str, depth: int = 1) -> Claim:
    """Mark this process as running `what` (`core 0 of one@here`); raises NodeAlreadyRunning when it is marked.

    `depth` is how many frames above the caller the user's own line is.
    """
    with _held.lock:
        if _held.claim is not None:
            raise NodeAlreadyRunning(_held.claim.what, _held.claim.site)
        made = Claim(what, _site(sys._getframe(1), depth), threading.get_ident())
        _held.claim = made
        return made


def refuse_second() -> None:
    """Raise NodeAlreadyRunning in a process that runs a core or a manager."""
    if _held.claim is not None:
        raise NodeAlreadyRunning(_held.claim.what, _held.claim.site)


def running() -> str | None:
    """What this process runs, or None."""
    return _held.claim.what if _held.claim is not None else None


def refuse_inside_handler(call: str, instead: str = "return Call(to, request) from the handler") -> None:
    """Raise BlockingCallInHandler when the calling thread is the one that drives this process's core."""
    held = _held.claim
    if held is not None and held.thread == threading.get_ident():
        raise BlockingCallInHandler(call, instead)


def _site(frame: FrameType, depth: int) -> str:
    at: FrameType = frame
    for _ in range(depth):
        if at.f_back is None:
            break
        at = at.f_back
    return f"{at.f_code.co_filename}:{at.f_lineno}"
