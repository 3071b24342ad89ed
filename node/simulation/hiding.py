"""Which frames pytest leaves out of a traceback: ours, where the failure is told in the words of the test.

A module says `__tracebackhide__ = ours`; `pytest --full-trace` shows them all the same.
"""

from __future__ import annotations

from typing import Any

from regrove.node.core.errors import RegroveError


def ours(info: Any) -> bool:
    """Whether what was raised is a failure that we tell of, not one inside of us."""
    return isinstance(info.value, AssertionError | RegroveError | LookupError)
