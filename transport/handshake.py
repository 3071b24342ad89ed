"""Who speaks: HELLO, WELCOME, REFUSED and BYE as values, and the rules by which a HELLO is refused. Pure.

    dialler                         answerer
      HELLO (who, wire range)  ->   judge(): a reason, or ""
                               <-   REFUSED(reason)                     both sides show the reason
                               <-   WELCOME(who, wire, grant, taken)    the session is up
      BATCH, RUN ...           ->
                               <-   GRANT ...
      BYE(reason)             <->   either side, the last frame

Refused: another cluster, wire ranges that do not meet, a dead incarnation, a key that is not bound to the name or does
not allow the role. Application versions and schema digests never refuse: they are shown as version skew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from regrove.records import dataclass, field
from regrove.transport.base import Peer
from regrove.transport.credit import OPENING, Window
from regrove.transport.wire import INLINE_BYTES_MAX, SEQUENCE_MAX, TRANSFERS_MAX, VERSION, VERSION_MIN, WireError

ROLES: Final = ("core", "client", "manager")
CLIENT_PREFIX: Final = "client:"  # of the node names of outside programs
STAND_IN_PREFIX: Final = "@"  # of the stand-ins for peers that are not known yet
NAME_BYTES_MAX: Final = 512
PIECES: Final = "pieces"  # the feature: big messages in pieces, on a session of their own
RUNS: Final = "runs"  # the feature: items that differ in their payloads alone may travel as a RUN
PARTS: Final = "parts"  # the feature: the place of a big message may say where its blobs are
OPENING_MAX: Final = Window(4096, 8 * 1024 * 1024)  # what an answerer with smaller windows takes all the same, once
SESSIONS_MAX: Final = 64  # previous sessions named in one HELLO or WELCOME

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who one end is, in every HELLO and WELCOME it writes. `digest` is the schema digest of its messages."""

    cluster: str
    peer: Peer
    role: str = "core"
    application: str = ""
    version: str = ""
    digest: str = ""
    features: tuple[str, ...] = ()
    wire_min: int = VERSION_MIN
    wire_max: int = VERSION

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"role is one of {', '.join(ROLES)}, got {self.role!r}")
        if not self.cluster or not self.peer[0]:
            raise ValueError("an identity needs the name of a cluster and of a node")

    def skew(self, other: Identity) -> str:
        """What differs in application, version or schema, as a text; "" when nothing does."""
        parts = [
            f"{name} {mine or 'none'} here, {theirs or 'none'} there"
            for name, mine, theirs in (
                ("application", self.application, other.application),
                ("version", self.version, other.version),
                ("schema", self.digest, other.digest),
            )
            if mine != theirs
        ]
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Hello:
    """The dialler's first frame.

    `dial` counts the sessions it dialled in its life, so that the newer of two HELLOs is known. `asks` names its
    sessions to you whose end left messages unknown; `taken` says of your sessions that ended here the last sequence
    taken from each. `opening` (messages, bytes) is what it may have sent before your first grant arrives; `grant` is
    what a duplex dialler lets you send back on this session, each payload of at most `message_max` bytes. `bulk` is
    (payload, budget): what it takes in pieces, in bytes a message and at once; (0, 0) nothing. `gaps` names the big
    messages of your ended sessions that were not whole, below the last sequences in `taken`.
    `endpoint` and `key` are where it can be dialled, "" for one that cannot. `to` is whom it means to reach, None where
    it only knows an address.
    """

    identity: Identity
    dial: int
    duplex: bool = False
    opening: tuple[int, int] = (OPENING.messages, OPENING.size)
    grant: tuple[int, int] = (0, 0)
    message_max: int = INLINE_BYTES_MAX
    asks: tuple[int, ...] = ()
    taken: Mapping[int, int] = field(default_factory=dict)
    endpoint: str = ""
    key: str = ""
    bulk: tuple[int, int] = (0, 0)
    gaps: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    to: Peer | None = None

    @property
    def takes(self) -> tuple[int, int]:
        """What may be sent to it in pieces: `bulk` if it has the feature."""
        return self.bulk if PIECES in self.identity.features else (0, 0)


@dataclass(frozen=True, slots=True)
class Welcome:
    """The answer that opens a session: `taken` answers `asks`; `info` is free (a manager's lists its cores).

    No payload over `message_max` bytes is taken in one frame; `bulk` and `gaps` are as in a HELLO.
    """

    identity: Identity
    wire: int
    grant: tuple[int, int]
    message_max: int = INLINE_BYTES_MAX
    taken: Mapping[int, int] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    bulk: tuple[int, int] = (0, 0)
    gaps: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    @property
    def takes(self) -> tuple[int, int]:
        """What may be sent to it in pieces: `bulk` if it has the feature."""
        return self.bulk if PIECES in self.identity.features else (0, 0)


def wire_common(mine: Identity, theirs: Identity) -> int | None:
    """The highest wire version both write and read, or None."""
    highest = min(mine.wire_max, theirs.wire_max)
    return highest if highest >= max(mine.wire_min, theirs.wire_min) else None


def judge(mine: Identity, hello: Hello, dead: bool, proof: str) -> str:
    """Why this HELLO is refused, or "" when it is welcome.

    `dead`: that incarnation is known to be over. `proof`: what the allow-list holds against the key, "" for nothing.
    """
    theirs = hello.identity
    if theirs.cluster != mine.cluster:
        return f"other cluster: {theirs.cluster!r} dialled {mine.cluster!r}; give both the same --cluster"
    if wire_common(mine, theirs) is None:
        return (
            f"wire versions do not meet: {theirs.wire_min} to {theirs.wire_max} dialled "
            f"{mine.wire_min} to {mine.wire_max}; upgrade the older end"
        )
    if proof:
        return proof
    if theirs.peer == mine.peer:
        return "that is myself"
    if dead:
        return f"dead incarnation: {show(theirs.peer)} was declared over; it must start again with a newer one"
    if hello.opening[0] > OPENING_MAX.messages or hello.opening[1] > OPENING_MAX.size:
        return f"opening window {hello.opening} is over {OPENING_MAX.messages} messages or {OPENING_MAX.size} bytes"
    if hello.to is not None and hello.to != mine.peer:
        mend = "" if hello.to[0] == mine.peer[0] else "; where both run, give each its own `advertise` (or `listen`)"
        return f"{show(hello.to)} was dialled, and this is {show(mine.peer)}{mend}"
    return misfit(theirs, hello.duplex)


def misfit(theirs: Identity, duplex: bool) -> str:
    """What does not fit together in an identity: no outside program may take a core's or a manager's place."""
    node, _, core, _ = theirs.peer
    is_client = theirs.role == "client"
    if is_client != node.startswith(CLIENT_PREFIX) or node.startswith(STAND_IN_PREFIX):
        return (
            f"role: a {theirs.role} may not be called {node!r}; clients, and only they, are called {CLIENT_PREFIX}..."
        )
    if not is_client and (theirs.role == "manager") != (core < 0):
        return f"role: a {theirs.role} may not be core {core}; managers, and only they, are core -1"
    if is_client != duplex:
        return f"role: a {theirs.role} {'may not' if duplex else 'must'} ask for answers on its own session"
    return ""


def show(peer: Peer) -> str:
    """A peer for people: `name@host.3/1.2`, a manager `name@host.3`."""
    node, node_incarnation, core, core_incarnation = peer
    life = f"{node}.{node_incarnation}"
    return life if core < 0 else f"{life}/{core}.{core_incarnation}"


def hello_body(hello: Hello) -> dict[str, Any]:
    """The body of a HELLO frame."""
    return {
        **_identity_body(hello.identity),
        "dial": hello.dial,
        "duplex": hello.duplex,
        "opening": list(hello.opening),
        "grant": list(hello.grant),
        "message_max": hello.message_max,
        "asks": list(hello.asks),
        "taken": [[nonce, last] for nonce, last in hello.taken.items()],
        "endpoint": hello.endpoint,
        "key": hello.key,
        **_pieces_body(hello),
        **({} if hello.to is None else {"to": list(hello.to)}),
    }


def welcome_body(welcome: Welcome) -> dict[str, Any]:
    """The body of a WELCOME frame."""
    return {
        **_identity_body(welcome.identity),
        "wire": welcome.wire,
        "grant": list(welcome.grant),
        "message_max": welcome.message_max,
        "taken": [[nonce, last] for nonce, last in welcome.taken.items()],
        "info": dict(welcome.info),
        **_pieces_body(welcome),
    }


def _pieces_body(said: Hello | Welcome) -> dict[str, Any]:
    """What only those who know of pieces write."""
    body: dict[str, Any] = {}
    if said.bulk != (0, 0):
        body["bulk"] = list(said.bulk)
    if said.gaps:
        body["gaps"] = [[nonce, list(gaps)] for nonce, gaps in said.gaps.items()]
    return body


def reason_body(reason: str) -> dict[str, Any]:
    """The body of a REFUSED or BYE frame."""
    return {"reason": reason[:NAME_BYTES_MAX]}


def read_hello(body: Mapping[str, Any]) -> Hello:
    """The HELLO in a decoded body. Raises WireError naming the field."""
    return Hello(
        identity=_read_identity("HELLO", body),
        dial=_number("HELLO", body, "dial"),
        duplex=_field("HELLO", body, "duplex", bool),
        opening=_pair("HELLO", body, "opening"),
        grant=_pair("HELLO", body, "grant"),
        message_max=_message_max("HELLO", body),
        asks=_numbers("HELLO", body, "asks"),
        taken=_table("HELLO", body, "taken"),
        endpoint=_text("HELLO", body, "endpoint"),
        key=_text("HELLO", body, "key"),
        bulk=_pair("HELLO", body, "bulk") if "bulk" in body else (0, 0),
        gaps=_gaps("HELLO", body),
        to=_peer("HELLO", body, "to") if "to" in body else None,
    )


def read_welcome(body: Mapping[str, Any]) -> Welcome:
    """The WELCOME in a decoded body. Raises WireError naming the field."""
    info = _field("WELCOME", body, "info", dict)
    if not all(type(name) is str for name in info):
        raise WireError("WELCOME: the keys of 'info' are texts")
    return Welcome(
        identity=_read_identity("WELCOME", body),
        wire=_number("WELCOME", body, "wire"),
        grant=_pair("WELCOME", body, "grant"),
        message_max=_message_max("WELCOME", body),
        taken=_table("WELCOME", body, "taken"),
        info=info,
        bulk=_pair("WELCOME", body, "bulk") if "bulk" in body else (0, 0),
        gaps=_gaps("WELCOME", body),
    )


def read_reason(frame: str, body: Mapping[str, Any]) -> str:
    """The reason in a decoded REFUSED or BYE, printable. Raises WireError when there is none."""
    text = _text(frame, body, "reason")
    return "".join(character if character.isprintable() else "?" for character in text)


def _identity_body(identity: Identity) -> dict[str, Any]:
    return {
        "cluster": identity.cluster,
        "peer": list(identity.peer),
        "role": identity.role,
        "application": identity.application,
        "version": identity.version,
        "digest": identity.digest,
        "features": list(identity.features),
        "wire_min": identity.wire_min,
        "wire_max": identity.wire_max,
    }


def _read_identity(frame: str, body: Mapping[str, Any]) -> Identity:
    peer = _peer(frame, body, "peer")
    features = _field(frame, body, "features", tuple)
    if not all(type(feature) is str for feature in features):
        raise WireError(f"{frame}: 'features' are texts")
    role = _text(frame, body, "role")
    if role not in ROLES:
        raise WireError(f"{frame}: 'role' is one of {', '.join(ROLES)}, got {role!r}")
    cluster = _text(frame, body, "cluster")
    if not cluster:
        raise WireError(f"{frame}: 'cluster' is empty")
    return Identity(
        cluster=cluster,
        peer=peer,
        role=role,
        application=_text(frame, body, "application"),
        version=_text(frame, body, "version"),
        digest=_text(frame, body, "digest"),
        features=features,
        wire_min=_number(frame, body, "wire_min"),
        wire_max=_number(frame, body, "wire_max"),
    )


def _peer(frame: str, body: Mapping[str, Any], name: str) -> Peer:
    peer = _field(frame, body, name, tuple)
    if len(peer) != 4 or [type(part) for part in peer] != [str, int, int, int] or not peer[0]:
        raise WireError(f"{frame}: {name!r} is a node's name and three ints, got {peer!r}")
    if peer[1] < 0 or peer[2] < -1 or peer[3] < 0:
        raise WireError(f"{frame}: {name!r} has an incarnation below 0 or a core below -1: {peer!r}")
    if len(peer[0]) > NAME_BYTES_MAX:
        raise WireError(f"{frame}: a node's name has at most {NAME_BYTES_MAX} characters")
    return peer


def _field(frame: str, body: Mapping[str, Any], name: str, kind: type[_T]) -> _T:
    value = body.get(name)
    if type(value) is not kind:
        raise WireError(f"{frame}: field {name!r} is {kind.__name__}, got {type(value).__name__}")
    return value


def _text(frame: str, body: Mapping[str, Any], name: str) -> str:
    value = _field(frame, body, name, str)
    if len(value) > NAME_BYTES_MAX:
        raise WireError(f"{frame}: field {name!r} has at most {NAME_BYTES_MAX} characters, got {len(value)}")
    return value


def _number(frame: str, body: Mapping[str, Any], name: str) -> int:
    value = _field(frame, body, name, int)
    if not 0 <= value <= SEQUENCE_MAX:
        raise WireError(f"{frame}: field {name!r} is out of range: {value}")
    return value


def _message_max(frame: str, body: Mapping[str, Any]) -> int:
    value = _number(frame, body, "message_max")
    if not value:  # no piece would ever bring a big message nearer to its end
        raise WireError(f"{frame}: field 'message_max' is at least 1")
    return value


def _numbers(frame: str, body: Mapping[str, Any], name: str) -> tuple[int, ...]:
    values = _field(frame, body, name, tuple)
    if len(values) > SESSIONS_MAX or not all(type(value) is int and 0 <= value < 2**64 for value in values):
        raise WireError(f"{frame}: field {name!r} is at most {SESSIONS_MAX} numbers of 64 bits")
    return values


def _pair(frame: str, body: Mapping[str, Any], name: str) -> tuple[int, int]:
    values = _numbers(frame, body, name)
    if len(values) != 2:
        raise WireError(f"{frame}: field {name!r} is two numbers, got {len(values)}")
    return values[0], values[1]


def _table(frame: str, body: Mapping[str, Any], name: str) -> dict[int, int]:
    rows = _field(frame, body, name, tuple)
    if len(rows) > SESSIONS_MAX:
        raise WireError(f"{frame}: field {name!r} names at most {SESSIONS_MAX} sessions")
    table: dict[int, int] = {}
    for row in rows:
        if type(row) is not tuple or [type(part) for part in row] != [int, int] or row[0] < 0 or row[1] < 0:
            raise WireError(f"{frame}: field {name!r} is pairs of session and sequence")
        table[row[0]] = row[1]
    return table


def _gaps(frame: str, body: Mapping[str, Any]) -> dict[int, tuple[int, ...]]:
    if "gaps" not in body:
        return {}
    rows = _field(frame, body, "gaps", tuple)
    if len(rows) > SESSIONS_MAX:
        raise WireError(f"{frame}: field 'gaps' names at most {SESSIONS_MAX} sessions")
    table: dict[int, tuple[int, ...]] = {}
    for row in rows:
        if type(row) is not tuple or [type(part) for part in row] != [int, tuple] or row[0] < 0:
            raise WireError(f"{frame}: field 'gaps' is pairs of session and sequences")
        if len(row[1]) > TRANSFERS_MAX or not all(type(value) is int and value > 0 for value in row[1]):
            raise WireError(f"{frame}: field 'gaps' names at most {TRANSFERS_MAX} sequences of a session")
        table[row[0]] = row[1]
    return table
