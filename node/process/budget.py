"""How often a core may be replaced before it is quarantined, and how long quarantine lasts [pure].

`core_restarts = "3/30s"`: three replacements in any 30 s are made at once, a fourth end quarantines. Quarantine is
retried after 5 s, doubling to 5 min, each with up to half of itself more (jitter), so that cores do not retry together.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

from regrove.node.core.errors import Misuse
from regrove.records import dataclass

SECOND: Final = 1_000_000_000  # ns
RETRY_FIRST: Final = 5 * SECOND
RETRY_LAST: Final = 300 * SECOND
Policy: TypeAlias = Literal["retry", "stay", "exit"]  # what becomes of a core over its budget

_UNITS: Final = {"ms": SECOND // 1000, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND}
_BUDGET: Final = re.compile(r"(\d{1,6})/(\d{1,9})(ms|s|m|h)")


@dataclass(frozen=True, slots=True)
class RestartBudget:
    """At most `limit` replacements within `period` ns."""

    limit: int = 3
    period: int = 30 * SECOND

    @classmethod
    def parse(cls, text: str) -> RestartBudget:
        """Read `COUNT/PERIOD` such as `3/30s` (ms, s, m or h); raises Misuse."""
        found = _BUDGET.fullmatch(text)
        if found is None or int(found[2]) == 0:
            raise Misuse(f"expected COUNT/PERIOD such as 3/30s or 10/5m, got {text!r}")
        return cls(int(found[1]), int(found[2]) * _UNITS[found[3]])

    def spent(self, times: list[int], now: int) -> list[int]:
        """The replacements in `times` that still count at `now`; as in OTP one exactly `period` old still counts."""
        return [at for at in times if now - at <= self.period]


def quarantine_delay(strikes: int, draw: int) -> int:
    """Ns until the retry of the given number (from 1), lengthened by the 64-bit `draw` of up to half of itself."""
    base = min(RETRY_FIRST << min(strikes - 1, 16), RETRY_LAST)
    return base + draw % (base // 2 + 1)
