"""Every bound of one core, with its default and why; `check_memory` refuses what cannot fit (isolates.md, Bounds)."""

from __future__ import annotations

from regrove.node.core.errors import InvalidBounds
from regrove.records import dataclass, fields
from regrove.transport.credit import Window
from regrove.transport.link import LinkSettings
from regrove.transport.wire import INLINE_BYTES_MAX

MIB = 1024 * 1024
ISOLATE_BYTES = 1_024  # an idle isolate, measured below that by benchmarks/
TIMER_BYTES = 200
STREAM_BYTES = 2_048
BASE_BYTES = 64 * MIB  # the interpreter with the application imported


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of one core. Counts unless the name says `bytes` or `ms`; every hit is counted in `Core.counters`.

    `remote_children` are those its supervisors have on other cores, `guests` those it hosts for others. `lease_ms`: how
    long such a child runs on after its supervisor's core was last heard of.
    """

    isolates: int = 100_000
    pool_messages: int = 1_000_000
    pool_bytes: int = 256 * MIB
    link_messages: int = 4_096
    link_bytes: int = 8 * MIB
    opening_messages: int = 256
    opening_bytes: int = 1 * MIB
    message_bytes: int = 16 * MIB
    bulk_bytes: int = 32 * MIB
    timers: int = 100_000
    tickets: int = 64
    monitors: int = 1_024
    streams: int = 10_000
    accept_backlog: int = 1_024
    offload_threads: int = 4
    offload_processes: int = 2
    offload_queue: int = 64
    supervisor_requests: int = 64
    remote_children: int = 1_000
    guests: int = 1_000
    lease_ms: int = 5_000
    names: int = 65_536
    groups: int = 65_536
    members: int = 65_536
    links: int = 256
    turn_budget: int = 32
    pass_budget: int = 4_096
    log_lines: int = 10_000

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not int or value < 1:
                raise InvalidBounds(f"Bounds({field.name}={value!r}): a bound is an int of at least 1")
        if self.message_bytes > self.bulk_bytes:
            raise InvalidBounds(
                f"Bounds(message_bytes={self.message_bytes}) is over bulk_bytes={self.bulk_bytes}: "
                "such a message could never be under way; raise bulk_bytes or lower message_bytes"
            )
        if self.opening_messages > self.link_messages or self.opening_bytes > self.link_bytes:
            raise InvalidBounds(
                "the opening window of a link is part of its window: opening_messages <= link_messages "
                f"({self.opening_messages}, {self.link_messages}), opening_bytes <= link_bytes "
                f"({self.opening_bytes}, {self.link_bytes})"
            )

    def memory(self, peers: int) -> dict[str, int]:
        """Bytes each part may take at its bound, with `peers` other cores linked both ways."""
        return {
            "interpreter": BASE_BYTES,
            "isolates": self.isolates * ISOLATE_BYTES,
            "pool": self.pool_bytes,
            "links": 2 * min(peers, self.links) * self.link_bytes,
            "big messages": 3 * min(peers, self.links) * self.bulk_bytes,  # in; mail out; answers out
            "timers": self.timers * TIMER_BYTES,
            "streams": self.streams * STREAM_BYTES,
        }

    def link_settings(self) -> LinkSettings:
        """The limits of the links of a core with these bounds."""
        return LinkSettings(
            opening=Window(self.opening_messages, self.opening_bytes),
            window=Window(self.link_messages, self.link_bytes),
            message_max=self.message_bytes,
            inline_max=min(INLINE_BYTES_MAX, max(1, self.link_bytes // 2)),
            bulk=self.bulk_bytes,
            links_max=self.links,
        )

    def check_memory(self, peers: int, limit: int | None) -> None:
        """Raise InvalidBounds, with the sum, when the bounds together exceed `limit` bytes (None: no limit)."""
        parts = self.memory(peers)
        total = sum(parts.values())
        if limit is None or total <= limit:
            return
        sums = " + ".join(f"{name} {count / MIB:.0f} MiB" for name, count in parts.items())
        raise InvalidBounds(
            f"the bounds do not fit the memory limit of {limit / MIB:.0f} MiB a core: {sums} = {total / MIB:.0f} MiB; "
            "lower the largest bound in Application(bounds=Bounds(...)) or raise the limit"
        )
