"""What a link table tells: verdicts of a post, and the events of one `receive`. The closed union is LinkEvent."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final, TypeAlias

from regrove.records import dataclass, field
from regrove.transport.base import Peer
from regrove.transport.handshake import Identity
from regrove.transport.runs import Run
from regrove.transport.wire import Item

ABSENT: Final = "nobody answers"  # how the reason of a DialRefused ends that may pass by itself


class Verdict(IntEnum):
    """What became of a post, told at once."""

    OK = 0  # on the link: it will be acknowledged, refused, lost or unknown, and counted as such
    LINK_FULL = 1  # the window, or the budget of big messages, is used up: `Room` follows
    UNREACHABLE = 2  # no such peer, or its link is down at this moment
    TOO_LARGE = 3  # the payload is over the message limit of the settings, or of the peer


@dataclass(slots=True)  # made once a frame: frozen would cost three times as much
class Items:
    """Items arrived from `peer` in one frame, a tuple or a `Run`; the first has sequence `first`, the others count on.

    Refuse one with `LinkTable.refuse(peer, session, sequence, reason)`. Not `framed`: a big message that became whole,
    what was held behind it, or what came while big ones were under way.
    """

    peer: Peer
    session: int
    first: int
    items: tuple[Item, ...] | Run
    framed: bool = True


@dataclass(frozen=True, slots=True)
class LinkUp:
    """What is posted to `peer` now leaves: a new session, to be told of monitors and links again.

    `dialled` is the stand-in that `LinkTable.dial` gave, now replaced by `peer`. `info` is what its WELCOME carried.
    `rights` are what the allow-list gives the key (member, observer, client). `skew` says what differs in application,
    version or schema, "" when nothing does.
    """

    peer: Peer
    role: str
    identity: Identity
    info: Mapping[str, Any] = field(default_factory=dict)
    dialled: Peer | None = None
    rights: str = "member"
    skew: str = ""


@dataclass(frozen=True, slots=True)
class LinkLost:
    """The session to `peer` ended, or a dial failed; a LinkUp, PeerSilent (once) or a `forget` follows.

    No `Room` comes for a link that was lost: its LinkUp says so.

    `count` user items were not acknowledged: they are unknown until `Resolved`; `unacknowledged` are the tokens among
    them. `never_left_count` items never left this process (UNREACHABLE); `never_left` are the tokens among those.
    """

    peer: Peer
    reason: str
    unacknowledged: tuple[object, ...] = ()
    count: int = 0
    never_left: tuple[object, ...] = ()
    never_left_count: int = 0


@dataclass(frozen=True, slots=True)
class Resolved:
    """The unknown items of an earlier session are known now: `taken` arrived, `lost` never did."""

    peer: Peer
    taken: int
    lost: int
    lost_notifies: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """The peer took item `sequence` and refused it; `notify` is the token it was posted with, None without one."""

    peer: Peer
    notify: object
    reason: bytes
    sequence: int


@dataclass(frozen=True, slots=True)
class Room:
    """A post to `peer` that was told LINK_FULL may be tried again. Once for each time the link was full."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class PeerSilent:
    """No session to `peer` came back within the limit (2 s), or a newer life of it spoke. Told once."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class DialRefused:
    """Somebody dialled and was refused here, or sent what is no frame of ours; for the log."""

    who: str
    reason: str


LinkEvent: TypeAlias = Items | LinkUp | LinkLost | Resolved | Refused | Room | PeerSilent | DialRefused


@dataclass(frozen=True, slots=True)
class LinkStatistics:
    """One link in figures. At any instant sent = acknowledged + lost + unknown + in_flight + waiting, exactly.

    `refused` is the part of `acknowledged` the peer took and refused; `received` counts user items from the peer and
    `received_refused` those refused here. Signals are counted apart. `bulk_bytes` of big messages were posted and are
    not known to be whole; `received_torn` counts those, signals included, whose session ended before they were.
    """

    peer: Peer
    state: str
    role: str
    sent: int
    acknowledged: int
    refused: int
    lost: int
    unknown: int
    in_flight: int
    waiting: int
    signals: int
    received: int
    received_signals: int
    received_refused: int
    received_torn: int
    bulk_bytes: int
    sessions: int
    credit_messages: int
    credit_bytes: int
    skew: str
