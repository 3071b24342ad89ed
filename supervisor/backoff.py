"""How long a child waits before it is started again: exponential, with jitter, off unless a spec asks for it.

Pure: the jitter comes from a draw that is given. Source: the usual capped exponential backoff; ours, beyond OTP.
"""

from __future__ import annotations

from regrove.records import dataclass
from regrove.supervisor.rules import check_at_least, check_fraction, check_seconds

OWNER = "backoff"


@dataclass(frozen=True, slots=True)
class Backoff:
    """Wait `first` seconds after a crash, `factor` times longer after each that follows, at most `limit` seconds.

    `jitter` (0 to 1) is the part of a delay that is drawn: 0.2 waits 80 to 100 % of it. A life of `reset` seconds
    (None: `limit`) was a healthy one: the next delay is `first` again. Raises `SpecError`.
    """

    first: float = 0.1
    factor: float = 2.0
    limit: float = 30.0
    jitter: float = 0.2
    reset: float | None = None

    def __post_init__(self) -> None:
        check_seconds(OWNER, "first", self.first, "the delay after the first crash, e.g. first=0.1")
        check_at_least(OWNER, "factor", self.factor, 1, "each delay is that many times the one before, e.g. factor=2.0")
        check_at_least(OWNER, "limit", self.limit, self.first, "no delay is longer, e.g. limit=30.0; it covers first")
        check_fraction(OWNER, "jitter", self.jitter)
        if self.reset is not None:
            check_seconds(OWNER, "reset", self.reset, "None for limit, or e.g. reset=60.0")

    @property
    def reset_seconds(self) -> float:
        """The length of a life after which the delays begin again."""
        return self.limit if self.reset is None else self.reset

    def delay(self, failures: int, draw: float) -> float:
        """Give the seconds to wait after so many failures in a row (>= 1). `draw`: uniform in [0, 1)."""
        try:
            whole = min(self.limit, self.first * self.factor ** (failures - 1))
        except OverflowError:
            whole = self.limit
        return float(whole * (1.0 - self.jitter * draw))
