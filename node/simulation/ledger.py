"""What a test still has to assert: the plugin opens a page for each test, a Playbook enters itself."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final, Protocol


class Owing(Protocol):
    """Something that has to be asserted before its test ends."""

    def debt(self) -> str | None:
        """Say what was not asserted, or None."""


PAGE: Final[ContextVar[list[Owing] | None]] = ContextVar("regrove_ledger", default=None)


def enter(owing: Owing) -> None:
    """Have the test at hand, if there is one, fail when `owing` is still owing at its end."""
    page = PAGE.get()
    if page is not None:
        page.append(owing)
