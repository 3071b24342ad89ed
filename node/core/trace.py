"""What a core tells a tracer: one vocabulary for simulated and live cores. A real node runs without one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from regrove.node.core.address import Home

if TYPE_CHECKING:
    from regrove.node.core.isolate import Cell


class Tracer(Protocol):
    """Gets each event as it happens and answers its number, which becomes the cause of what the event leads to.

    `cause` is the number of the event that led to this one, 0 for none.
    """

    def handle(self, now: int, cell: Cell, message: Any, cause: int) -> int:
        """A message is about to be handled."""

    def callback(self, now: int, cell: Cell, kind: str, argument: Any, cause: int) -> int:
        """Another callback is about to run: kind is `outcome`, `stop` or `continue`."""

    def start(self, now: int, cell: Cell, cause: int) -> int:
        """The constructor and `start` are about to run."""

    def frame(self, now: int, peer: Home, items: Iterable[Any]) -> int:
        """Items arrived on a link."""

    def event(self, now: int, cell: Cell, kind: str, detail: str | None, cause: int) -> int:
        """Something happened to an isolate or supervisor: `started`, `end` (detail: class of the reason), ..."""
