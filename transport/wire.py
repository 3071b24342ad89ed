"""The frames of a link, as bytes. Golden files for each wire version are in tests/transport/golden.

    offset  size  field (big-endian)
    0       2     magic "RG"
    2       1     wire version the frame is written in
    3       1     frame type; with IGNORABLE set, one who does not know it skips the frame
    4       8     session nonce, drawn by the one who dialled
    12      8     sequence of the first item (BATCH), else 0
    20            body: one msgpack value

HELLO, WELCOME, REFUSED and BYE keep this header in every version, and their bodies are maps whose unknown keys are
skipped, so that two versions that do not meet can say so. No pickle, no ext types. Every limit below is checked before
memory is spent on what it bounds; whatever is wrong with received bytes is a WireError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from gc import get_referents
from operator import itemgetter
from struct import Struct
from typing import Any, Final, NamedTuple, TypeAlias

import msgpack

from regrove.records import dataclass
from regrove.transport.parts import BLOB_BYTES
from regrove.transport.runs import RUN_ITEMS_MAX, RUN_OPENS, VALUES_OPEN, Heading, Run

MAGIC: Final = b"RG"
VERSION: Final = 1  # the wire version written; also the highest understood
VERSION_MIN: Final = 1  # the lowest understood: N talks with N-1, and 1 is the first

HELLO: Final = 1
WELCOME: Final = 2
REFUSED: Final = 3
BATCH: Final = 4
GRANT: Final = 5
BYE: Final = 6
ORDERED: Final = 7  # a BATCH with a source beside each item, and with places of big messages
BULK: Final = 8  # opens the bulk session of the session named by the nonce
PIECE: Final = 9  # a part of the big message whose place has the sequence in the header
TAKEN: Final = 10  # bytes of pieces taken so far on a bulk session
RUN: Final = 11  # user items that differ in their payloads alone (runs.py); for those who have the feature
IGNORABLE: Final = 0x80
FRAME_NAMES: Final[Mapping[int, str]] = {
    HELLO: "HELLO",
    WELCOME: "WELCOME",
    REFUSED: "REFUSED",
    BATCH: "BATCH",
    GRANT: "GRANT",
    BYE: "BYE",
    ORDERED: "ORDERED",
    BULK: "BULK",
    PIECE: "PIECE",
    TAKEN: "TAKEN",
    RUN: "RUN",
}

SIGNAL: Final = 16  # item kinds below are credited user items whose last element is the payload

HEADER: Final = Struct(">2sBBQQ")
HEADER_BYTES: Final = HEADER.size
SEQUENCE_MAX: Final = 2**63  # at a million messages a second, 292 000 years

BATCH_ITEMS_MAX: Final = 64
BATCH_BYTES_MAX: Final = 32 * 1024  # payload bytes after which a batch is closed; one larger item travels alone
INLINE_BYTES_MAX: Final = 64 * 1024 + 512  # a larger payload travels in pieces: 64 KiB and what encoding adds to it
MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024  # the payload limit unless set
TRANSFERS_MAX: Final = 1024  # big messages of one sender that are not yet handed over
ENVELOPE_BYTES_MAX: Final = 16 * 1024  # what an item may hold beside its payload: addresses, names, numbers
DEPTH_MAX: Final = 8  # containers inside one another, the frame's own array and the item included
STRING_BYTES_MAX: Final = ENVELOPE_BYTES_MAX
ARRAY_ITEMS_MAX: Final = 4096
MAP_ITEMS_MAX: Final = 1024

Item: TypeAlias = tuple[Any, ...]
Written: TypeAlias = Any  # a frame under way: bytes; in a simulated world often what remembers what is in it
Read: TypeAlias = Any  # a `Frame`, or what is read like one

_TIMELESS: Final = frozenset((HELLO, WELCOME, REFUSED, BYE))  # understood whatever version they are written in
ARRAYS: Final = (*(bytes((0x90 | count,)) for count in range(16)), *(b"\xdc\0%c" % count for count in range(16, 65)))
BINS: Final = tuple(b"\xc4%c" % length for length in range(256))  # before bytes of msgpack, by their length
_make_frame: Final = tuple.__new__  # a third of the time of Frame(...), once a frame
_TUPLE: Final = frozenset((tuple,))
_INT: Final = frozenset((int,))
_FLAT: Final = frozenset((int, str, bytes, type(None), bool, float))
_BYTES: Final = frozenset((bytes,))
_FIRST: Final = itemgetter(0)
_LAST: Final = itemgetter(-1)


class WireError(Exception):
    """Received bytes that are no frame of ours; the text says what is wrong and where."""


class Frame(NamedTuple):
    """One decoded frame; `body` is plain data of tuples, dicts, str, bytes, int, float, bool and None."""

    version: int
    type: int
    nonce: int
    first: int
    body: Any


@dataclass(frozen=True, slots=True)
class WireLimits:
    """What a frame may weigh: `message_max` bytes of payload or piece, with the envelopes of a batch `frame_max`."""

    message_max: int = INLINE_BYTES_MAX

    @property
    def frame_max(self) -> int:
        """The largest frame in bytes; the transport drops the sender of a larger one (ZMQ_MAXMSGSIZE)."""
        return self.message_max + BATCH_BYTES_MAX + BATCH_ITEMS_MAX * ENVELOPE_BYTES_MAX


def piece_bytes(frame: bytes) -> int:
    """How long a PIECE is; 0 for any other frame."""
    return len(frame) if len(frame) > HEADER_BYTES and frame[3] == PIECE else 0


class Encoder:
    """Writes frames; owns one reused msgpack Packer, so it belongs to one thread.

    `item(fields)` are the bytes of one item; raises as `frame` does.
    """

    __slots__ = ("item",)

    def __init__(self) -> None:
        self.item: Callable[[Item], bytes] = msgpack.Packer(use_bin_type=True, autoreset=True).pack

    def frame(self, type_: int, nonce: int, first: int, body: Any, version: int = VERSION) -> Written:
        """One frame as bytes. Raises TypeError, ValueError or OverflowError for a body that is not plain data."""
        return HEADER.pack(MAGIC, version, type_, nonce, first) + self.item(body)

    def batch(self, nonce: int, first: int, items: list[bytes], lone: Item | None = None) -> Written:
        """A BATCH of items, each as `item` wrote it, with sequences from `first` on; `lone`: the only one, or None."""
        return b"".join((HEADER.pack(MAGIC, VERSION, BATCH, nonce, first), ARRAYS[len(items)], *items))

    def ordered(self, nonce: int, first: int, rows: list[bytes]) -> Written:
        """An ORDERED batch of rows (source, length, item), each as `item` wrote it."""
        return b"".join((HEADER.pack(MAGIC, VERSION, ORDERED, nonce, first), ARRAYS[len(rows)], *rows))

    def run(self, nonce: int, first: int, heading: Heading, payloads: list[bytes]) -> Written:
        """A RUN of the items that begin with `heading`, with sequences from `first` on."""
        shared = b"\x92" + heading.fields + self.item(list(map(len, payloads)))  # type: ignore[arg-type]
        parts = (
            HEADER.pack(MAGIC, VERSION, RUN, nonce, first), RUN_OPENS, len(shared).to_bytes(4, "big"), shared,
            VALUES_OPEN, len(payloads).to_bytes(4, "big"),
        )  # fmt: skip
        return b"".join((*parts, *payloads))

    def heading(self, fields: Item) -> Heading:
        """What all user items that begin with these fields have in common."""
        return Heading(self.head(fields), self.item(fields))

    def piece(self, nonce: int, sequence: int, offset: int, length: int, data: memoryview) -> bytes:
        """A PIECE: as `frame` would write it, with one copy of the data instead of three."""
        size = len(data)
        if size < 256:
            head = BINS[size]
        elif size < 65_536:
            head = b"\xc5" + size.to_bytes(2, "big")
        else:
            head = b"\xc6" + size.to_bytes(4, "big")
        header = HEADER.pack(MAGIC, VERSION, PIECE, nonce, sequence)
        return b"".join((header, self.head((offset, length)), head, data))

    def head(self, fields: Item) -> bytes:
        """What all user items that begin with these fields have in common: `joined` adds the payload."""
        return self.item((*fields, b""))[:-2]


class Decoder:
    """Reads frames within `limits`."""

    __slots__ = ("_frame_max", "_limits", "_options")

    def __init__(self, limits: WireLimits) -> None:
        self._limits = limits
        self._frame_max = limits.frame_max
        self._options: dict[str, Any] = {
            "use_list": False,
            "raw": False,
            "strict_map_key": True,
            "max_bin_len": limits.message_max,
            "max_str_len": STRING_BYTES_MAX,
            "max_array_len": ARRAY_ITEMS_MAX,
            "max_map_len": MAP_ITEMS_MAX,
            "max_ext_len": 0,
        }

    def frame(self, data: Written) -> Read:
        """The frame in `data`, or None for an unknown one that may be skipped. Raises WireError, and nothing else."""
        size = len(data)
        if size < HEADER_BYTES:
            raise WireError(f"a frame has a header of {HEADER_BYTES} bytes, got {size} bytes")
        if size > self._frame_max:
            raise WireError(f"a frame has at most {self._frame_max} bytes, got {size}")
        magic, version, type_, nonce, first = HEADER.unpack_from(data)
        if magic != MAGIC:
            raise WireError(f"a frame begins with {MAGIC!r}, got {magic!r}")
        if type_ not in FRAME_NAMES:
            if type_ & IGNORABLE:
                return None
            raise WireError(f"unknown frame type {type_} in wire version {version}")
        if type_ not in _TIMELESS and not VERSION_MIN <= version <= VERSION:
            raise WireError(f"wire version {version} is outside of {VERSION_MIN} to {VERSION}")
        if first > SEQUENCE_MAX:
            raise WireError(f"sequence {first} is out of range")
        return _make_frame(Frame, (version, type_, nonce, first, self._body(data, type_)))

    def _unpack(self, data: memoryview, type_: int) -> Any:
        try:
            return msgpack.unpackb(data, **self._options)
        except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
            raise WireError(f"the body of {FRAME_NAMES[type_]} is not plain msgpack: {error}") from None

    def _run(self, data: bytes) -> Run:
        begin = HEADER_BYTES + 6
        if data[HEADER_BYTES : begin - 4] != RUN_OPENS or len(data) < begin:
            raise WireError("a RUN is an array of a size in 32 bits, what its items share, and their payloads")
        end = begin + int.from_bytes(data[begin - 4 : begin], "big")
        shared = self._unpack(memoryview(data)[begin:end], RUN)
        if type(shared) is not tuple or len(shared) != 2 or type(shared[0]) is not tuple:
            raise WireError("what the items of a RUN share are their first fields and the lengths of their payloads")
        fields, lengths = shared
        if not fields or type(fields[0]) is not int or fields[0] >= SIGNAL:
            raise WireError("the fields of a RUN begin with the kind of a user item")
        _check_depth((fields,), "RUN")
        if type(lengths) is not tuple or not 0 < len(lengths) <= RUN_ITEMS_MAX:
            raise WireError(f"a RUN has 1 to {RUN_ITEMS_MAX} items")
        limit = self._limits.message_max
        if frozenset(map(type, lengths)) != _INT or min(lengths) < 0 or max(lengths) > limit:
            raise WireError(f"the lengths of the payloads of a RUN are numbers up to {limit}")
        if data[end : end + 5] != VALUES_OPEN + len(lengths).to_bytes(4, "big"):
            raise WireError(f"the payloads of a RUN are an array of {len(lengths)}, its length in 32 bits")
        if end + 5 + sum(lengths) != len(data):
            raise WireError(f"the payloads of a RUN have {len(data) - end - 5} bytes, of {sum(lengths)} said before")
        return Run(fields, lengths, data, end)

    def _body(self, data: bytes, type_: int) -> Any:
        if type_ == RUN:
            return self._run(data)
        body = self._unpack(memoryview(data)[HEADER_BYTES:], type_)
        if type_ == BATCH:
            _check_batch(body)
        elif type_ == GRANT:
            _check_grant(body)
        elif type_ == PIECE:
            _check_piece(body)
        elif type_ == ORDERED:
            _check_ordered(body)
        elif type_ == TAKEN:
            _check_numbers(body, 1, "a TAKEN is an array of one number")
        else:
            if type(body) is not dict:
                raise WireError(f"the body of {FRAME_NAMES[type_]} is a map, got {type(body).__name__}")
            _check_depth((body,), FRAME_NAMES[type_])
        return body


def _check_batch(items: Any) -> None:
    if type(items) is not tuple or not 0 < len(items) <= BATCH_ITEMS_MAX:
        raise WireError(f"a BATCH is an array of 1 to {BATCH_ITEMS_MAX} items")
    if len(items) == 1 and _is_flat(items[0]):
        return
    # each line below runs at C speed over the whole batch: a loop in Python would cost five times as much
    if frozenset(map(type, items)) != _TUPLE:
        raise WireError("an item of a BATCH is an array that begins with its kind")
    if not all(items) or frozenset(map(type, map(_FIRST, items))) != _INT:
        raise WireError("an item of a BATCH begins with its kind, an int")
    _check_depth(items, "BATCH")


def _is_flat(item: Any) -> bool:
    """Whether it is an item with no container in it."""
    return type(item) is tuple and item != () and type(item[0]) is int and _FLAT.issuperset(map(type, item))


def joined(head: bytes, payload: bytes) -> bytes:
    """A user item as `Encoder.item` would write it, in a third of the time. The payload has less than 64 KiB."""
    length = len(payload)
    if length < 256:
        return head + BINS[length] + payload
    return head + b"\xc5" + length.to_bytes(2, "big") + payload


def payloads(items: tuple[Item, ...]) -> list[bytes]:
    """The payloads of the user items among checked items. Raises WireError for one that does not end with bytes."""
    if max(map(_FIRST, items)) < SIGNAL:
        found = list(map(_LAST, items))
    else:
        found = [item[-1] for item in items if item[0] < SIGNAL]
        if not found:
            return found
    if frozenset(map(type, found)) != _BYTES:
        raise WireError("a user item ends with its payload as bytes")
    return found


def _check_grant(body: Any) -> None:
    if type(body) is not tuple or len(body) < 4:
        raise WireError("a GRANT is an array of taken, messages, bytes and refusals")
    if not all(type(number) is int and 0 <= number <= SEQUENCE_MAX for number in body[:3]):
        raise WireError("a GRANT begins with three sequence numbers")
    if type(body[3]) is not tuple:
        raise WireError("the refusals of a GRANT are an array")
    for refusal in body[3]:
        if type(refusal) is not tuple or len(refusal) != 2:
            raise WireError("a refusal is an array of sequence and reason")
        if type(refusal[0]) is not int or type(refusal[1]) is not bytes:
            raise WireError("a refusal is an int and bytes")
    if len(body) > 4:
        if type(body[4]) is not tuple or len(body[4]) > TRANSFERS_MAX:
            raise WireError(f"a GRANT names at most {TRANSFERS_MAX} big messages that are not whole")
        _check_numbers(body[4], len(body[4]), "the big messages of a GRANT are sequence numbers")


def _check_ordered(rows: Any) -> None:
    if type(rows) is not tuple or not 0 < len(rows) <= BATCH_ITEMS_MAX:
        raise WireError(f"an ORDERED is an array of 1 to {BATCH_ITEMS_MAX} rows")
    for row in rows:
        if type(row) is not tuple or len(row) != 3:
            raise WireError("a row of an ORDERED is an array of source, length and item")
        if type(row[1]) is tuple:
            _check_numbers(row[:1], 1, "a row of an ORDERED begins with a source and a length")
            _check_lengths(row[1])
        else:
            _check_numbers(row[:2], 2, "a row of an ORDERED begins with a source and a length")
        if type(row[2]) is not tuple:
            raise WireError("a row of an ORDERED ends with an item")
        if row[1] and (len(row[2]) < 2 or row[2][-1] != b""):
            raise WireError("the place of a big message is an item that ends with empty bytes")
    _check_batch(tuple([row[2] for row in rows]))


def _check_lengths(lengths: tuple[Any, ...]) -> None:
    _check_numbers(lengths, len(lengths), "the lengths of the parts of a big message are numbers")
    if len(lengths) < 2 or not all(lengths):
        raise WireError("the parts of a big message are at least two, and none is empty")
    if min(lengths[1::2]) < BLOB_BYTES:
        raise WireError(f"every second part of a big message has at least {BLOB_BYTES} bytes")


def _check_piece(body: Any) -> None:
    if type(body) is not tuple or len(body) != 3 or type(body[2]) is not bytes or not body[2]:
        raise WireError("a PIECE is an array of offset, length and bytes")
    _check_numbers(body[:2], 2, "a PIECE begins with its offset and the length of the whole")


def _check_numbers(values: Any, count: int, rule: str) -> None:
    if type(values) is not tuple or len(values) != count:
        raise WireError(rule)
    if not all(type(value) is int and 0 <= value <= SEQUENCE_MAX for value in values):
        raise WireError(rule)


def _check_depth(level: Any, what: str) -> None:
    """Walk the containers breadth first. `gc.get_referents` opens all of a level in one C call, 10 x a Python loop.

    It gives the parts of tuples and dicts and nothing for plain values; an ext type refers to its class, and so on
    without an end, which is refused as too deep.
    """
    for _ in range(DEPTH_MAX):
        level = get_referents(*level)
        if not level:
            return
    raise WireError(f"{what} nests containers more than {DEPTH_MAX} deep, or holds an ext type")
