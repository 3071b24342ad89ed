"""The records of a link table: one `Link` per peer, one `Session` per connection, and their figures. Pure."""

from __future__ import annotations

from enum import Enum
from typing import Final

from regrove.records import dataclass
from regrove.transport.base import Peer
from regrove.transport.credit import OPENING, OVERHEAD_BYTES, WINDOW, Window
from regrove.transport.ended import Ended
from regrove.transport.events import LinkStatistics
from regrove.transport.handshake import OPENING_MAX, Identity
from regrove.transport.incoming import Incoming
from regrove.transport.session import Outgoing
from regrove.transport.wire import INLINE_BYTES_MAX, MESSAGE_BYTES_MAX, SEQUENCE_MAX, WireLimits

MS: Final = 1_000_000
SECOND: Final = 1_000 * MS
BULK_BYTES_MAX: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Limits of a link table, times in ns.

    `idle` None keeps links open for ever (managers). `message_max` is the payload limit in bytes. What is over
    `inline_max` travels in pieces; of those `bulk` bytes are under way at once, in each direction of a link.
    """

    opening: Window = OPENING
    window: Window = WINDOW
    message_max: int = MESSAGE_BYTES_MAX
    inline_max: int = INLINE_BYTES_MAX
    bulk: int = BULK_BYTES_MAX
    stall_limit: int = 10 * SECOND  # a session whose big message has no piece for so long is over
    welcome_limit: int = 1 * SECOND
    hello_limit: int = 2 * SECOND
    silent_limit: int = 2 * SECOND
    remember: int = 60 * SECOND  # how long a silent client may still come back and resolve what is unknown
    redial_min: int = 50 * MS
    redial_max: int = 2 * SECOND
    quiet: int = 100 * MS  # what was taken is acknowledged at the latest after this
    idle: int | None = 300 * SECOND
    links_max: int = 4096  # peers known at once; more HELLOs are refused

    def __post_init__(self) -> None:
        if self.opening.messages > self.window.messages or self.opening.size > self.window.size:
            raise ValueError(f"the opening window {self.opening} is larger than the window {self.window}")
        if self.opening.messages > OPENING_MAX.messages or self.opening.size > OPENING_MAX.size:
            raise ValueError(f"the opening window {self.opening} is larger than any peer takes: {OPENING_MAX}")
        if not 0 < self.message_max <= self.bulk:
            raise ValueError(
                f"message_max = {self.message_max} must be 1 to {self.bulk}, the bytes of big messages under way: "
                "raise bulk, or send less at a time"
            )
        if not 0 < self.inline <= self.window.size // 2:
            raise ValueError(
                f"inline_max = {self.inline_max} must be 1 to {self.window.size // 2}, half the byte window: "
                "raise the window, or have more travel in pieces"
            )
        if self.window.size < self.inline + OVERHEAD_BYTES or not 0 < self.redial_min <= self.redial_max:
            raise ValueError("redial_min is more than 0 and at most redial_max")

    @property
    def inline(self) -> int:
        """The largest payload that travels in a batch, and the largest piece, in bytes."""
        return min(self.inline_max, self.message_max)

    @property
    def limits(self) -> WireLimits:
        """The limits of the frames."""
        return WireLimits(self.inline)


class State(Enum):
    """Of the session a link sends on."""

    COLD = "cold"  # none, and none wanted yet: the first post dials
    OPENING = "opening"  # dialled, no WELCOME yet: posts wait under the opening window
    UP = "up"
    DOWN = "down"  # lost: posts are UNREACHABLE until the redial


class Link:
    """What is known of one peer: where it is, the session to it, and what became of everything posted."""

    __slots__ = (
        "acknowledged",
        "attempts",
        "bulk",
        "bulk_at",
        "dials",
        "dirty",
        "endpoint",
        "forget_at",
        "idle_at",
        "key",
        "lost",
        "message_max",
        "out",
        "parts",
        "peer",
        "received",
        "received_refused",
        "received_signals",
        "received_torn",
        "redial_at",
        "refused",
        "role",
        "runs",
        "sent",
        "session",
        "sessions",
        "signals",
        "silent_at",
        "silent_told",
        "skew",
        "state",
        "told",
        "unknown",
        "unresolved",
        "used_at",
        "wanted",
        "welcome_at",
    )

    def __init__(self, peer: Peer, endpoint: str, key: str, role: str) -> None:
        self.peer = peer
        self.message_max = SEQUENCE_MAX  # what the peer takes, as its last WELCOME or HELLO said
        self.bulk = (SEQUENCE_MAX, SEQUENCE_MAX)  # what it takes in pieces: of one message, and at once
        self.runs = False  # whether it takes runs
        self.parts = False  # whether it takes places that say where the blobs are
        self.endpoint = endpoint  # "" for one that cannot be dialled: a client
        self.key = key
        self.role = role
        self.state = State.COLD
        self.session: Session | None = None  # the one it sends on
        self.out: Outgoing | None = None  # set while OPENING and UP, and from the first post while COLD
        self.unresolved: list[Ended] = []  # ended sessions with unknown items, oldest first
        self.skew = ""
        self.dirty = False
        self.wanted = False  # a post was turned away since the last dial
        self.attempts = 0  # failed dials in a row
        self.dials = 0
        self.sessions = 0
        self.used_at = 0
        self.welcome_at: int | None = None
        self.redial_at: int | None = None
        self.silent_at: int | None = None
        self.idle_at: int | None = None
        self.forget_at: int | None = None
        self.bulk_at: int | None = None  # more pieces may be written then
        self.silent_told = False
        self.told = ""  # the reason of the last LinkLost: the same one of an idle redial is not told again
        # sums over the sessions that ended; the live session's are in `out`
        self.sent = 0
        self.acknowledged = 0
        self.refused = 0
        self.lost = 0
        self.unknown = 0
        self.signals = 0
        self.received = 0
        self.received_signals = 0
        self.received_refused = 0
        self.received_torn = 0

    def __repr__(self) -> str:
        return f"<Link {self.peer} {self.state.value} {self.endpoint or 'inbound'}>"

    def close_books(self, ended: Ended, sent: int, signals: int) -> None:
        """Add the figures of a sending half that ended."""
        self.sent += sent
        self.signals += signals
        self.acknowledged += ended.acknowledged
        self.lost += ended.never_left_count
        self.unknown += ended.unknown

    def add_books(self, other: Link) -> None:
        """Add the sums of another link, whose live session must have ended."""
        self.sent += other.sent
        self.acknowledged += other.acknowledged
        self.refused += other.refused
        self.lost += other.lost
        self.unknown += other.unknown
        self.signals += other.signals
        self.received += other.received
        self.received_signals += other.received_signals
        self.received_refused += other.received_refused
        self.received_torn += other.received_torn
        self.sessions += other.sessions

    def statistics(self, into: Incoming | None) -> LinkStatistics:
        """The figures now; `into` is the live half that receives from the peer."""
        out = self.out
        written = out.written if out is not None else 0
        messages = out.messages if out is not None else 0
        acknowledged = out.acknowledged if out is not None else 0
        return LinkStatistics(
            peer=self.peer,
            state=self.state.value,
            role=self.role,
            sent=self.sent + messages,
            acknowledged=self.acknowledged + acknowledged,
            refused=self.refused,
            lost=self.lost,
            unknown=self.unknown,
            in_flight=written - acknowledged,
            waiting=messages - written,
            signals=self.signals + (out.signals if out is not None else 0),
            received=self.received + (into.messages if into is not None else 0),
            received_signals=self.received_signals + (into.signals if into is not None else 0),
            received_refused=self.received_refused,
            received_torn=self.received_torn,
            bulk_bytes=out.bulk.size if out is not None and out.bulk is not None else 0,
            sessions=self.sessions,
            credit_messages=out.credit.limit_messages - out.messages if out is not None else 0,
            credit_bytes=out.credit.limit_size - out.size if out is not None else 0,
            skew=self.skew,
        )


class Session:
    """One connection: dialled by us (`link` from the start) or by a peer (`peer` once its HELLO was welcome)."""

    __slots__ = (
        "asked",
        "bulk",
        "dial",
        "grant_late",
        "heard_at",
        "identity",
        "inbound",
        "into",
        "link",
        "main",
        "nonce",
        "number",
        "peer",
        "piece_at",
        "rights",
        "role",
        "stall_at",
        "told",
        "up",
        "user_id",
    )

    def __init__(self, number: int, inbound: bool, user_id: str, link: Link | None, now: int) -> None:
        self.number = number
        self.inbound = inbound
        self.user_id = user_id
        self.link = link  # whose sending half uses this session, None on a plain inbound one
        self.peer: Peer | None = link.peer if link is not None else None
        self.role = ""
        self.rights = "member"
        self.identity: Identity | None = None  # as its HELLO said
        self.nonce = 0
        self.dial = 0
        self.asked: tuple[int, ...] = ()  # the ended sessions its HELLO asked about
        self.told: tuple[int, ...] = ()  # the ended sessions its HELLO told about
        self.grant_late = False  # in the list of those to be granted at the next flush
        self.up = False
        self.into: Incoming | None = None
        self.bulk: Session | None = None  # the session of its pieces
        self.main: Session | None = None  # of a bulk session: the one whose pieces it carries
        self.piece_at = 0  # when the last piece came
        self.stall_at: int | None = None  # when that is looked at
        self.heard_at = now

    def __repr__(self) -> str:
        way = "inbound" if self.inbound else "outbound"
        return f"<Session {self.number} {way} {self.peer} {'up' if self.up else 'opening'}>"
