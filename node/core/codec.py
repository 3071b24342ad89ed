"""Values to bytes and back.

On the wire a value is one msgpack object. None, bool, int, float, str and bytes are themselves. Every other value is an
array whose first element says what it is: a small int for what is built in (`Tag`), the wire name for a message:
`["bank:Add", 5]`. A dict with plain keys is a map. Nothing else is accepted, and
nothing that the wire names is imported.

Bytes of 64 KiB and more are not copied where they need not be: `payload_of` leaves them as they are, between the
stretches of encoding around them, and `decode` takes them as they are. Put together both are what `encode` gives.

Depth is limited, so a cycle or a hostile nesting ends in an error of ours; msgpack's C code sees only
plain values.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Collection, Sequence
from operator import itemgetter
from typing import Any, Final

import msgpack

from regrove.node.core.address import Address, Home
from regrove.node.core.errors import DecodeError
from regrove.node.core.tables import (
    DEPTH_LIMIT,
    ITEMS_LIMIT,
    SCALARS,
    SMALL,
    TABLES,
    TEXTS,
    Apart,
    Broken,
    Refused,
    Tag,
    adopt,
)
from regrove.node.core.unsendable import explain
from regrove.transport.parts import BLOB_BYTES, Parts, Payload

_make_home: Final = tuple.__new__  # half the time of Home(...), on the path of every request
_lowers: Final = TABLES.lower
_builds: Final = TABLES.build
_pack: Final = msgpack.Packer(use_bin_type=True).pack
_unpack: Final = msgpack.unpackb
_LIST: Final = frozenset((list,))
_FIRST: Final = itemgetter(0)
BLOB: Final = 1  # the ext type that stands for a blob while its message is unpacked


# Values to bytes


def encode(value: object) -> bytes:
    """Give the bytes of `value`. Raises UnsendableValue, naming the place, for what does not travel."""
    return bytes(payload_of(value))


def payload_of(value: object) -> Payload:
    """Give what a link carries for `value`: its bytes, in parts when there are large ones in it. Raises as `encode`."""
    cls = type(value)
    try:
        if cls in SMALL:
            lowered = value
        else:
            handler = _lowers.get(cls)  # `lower`, once more: it is asked for each message that travels
            lowered = lower(value, 0) if handler is None else handler(value, 0)
        try:
            data: bytes = _pack(lowered)
        except TypeError:  # so the common case asks nothing: msgpack knows no Apart
            return _in_parts(lowered)
    except (Refused, OverflowError, UnicodeEncodeError, RecursionError):
        raise explain(value) from None
    return data


def _in_parts(lowered: object) -> Payload:
    parts: list[bytes] = []

    def part(found: object) -> None:
        if type(found) is not Apart:
            raise Refused  # an int of over 64 bits: with a `default` msgpack asks that
        stretch = packer.bytes()[len(parts) > 0 :] + _blob_head(found.data)
        parts.extend((stretch, found.data))
        packer.reset()  # what is returned here, None, stands before the next stretch

    packer = msgpack.Packer(use_bin_type=True, autoreset=False, default=part)
    packer.pack(lowered)
    rest = packer.bytes()[1:]
    return Parts((*parts, rest) if rest else tuple(parts))


def _blob_head(blob: bytes) -> bytes:
    return b"\xc6" + len(blob).to_bytes(4, "big")


def lower(value: object, depth: int) -> object:
    """Give what msgpack packs for `value`; raises Refused."""
    cls = type(value)
    if cls in SMALL:
        return value
    if cls is bytes:
        return value if len(value) < BLOB_BYTES else Apart(value)  # type: ignore[arg-type]
    if depth > DEPTH_LIMIT:
        raise Refused
    handler = _lowers.get(cls)
    if handler is None:
        adopt(cls)
        handler = _lowers[cls]
    return handler(value, depth)


def _are_plain(items: Collection[Any]) -> bool:
    """Whether all are scalars, and no bytes among them so many that they travel apart."""
    kinds = set(map(type, items))
    if bytes not in kinds or not kinds <= SCALARS:
        return kinds <= SCALARS
    if kinds <= TEXTS:  # a long one at C speed; a long text is looked at once more
        return max(map(len, items)) < BLOB_BYTES
    return max([len(item) for item in items if type(item) is bytes]) < BLOB_BYTES


def _lower_items(tag: int, items: Collection[Any], count: int, depth: int) -> object:
    if count > ITEMS_LIMIT:
        raise Refused
    if _are_plain(items):
        return (tag, *items)
    return (tag, *[lower(item, depth + 1) for item in items])


def _lower_list(value: list[Any], depth: int) -> object:
    return _lower_items(0, value, len(value), depth)


def _lower_tuple(value: tuple[Any, ...], depth: int) -> object:
    return _lower_items(1, value, len(value), depth)


def _lower_dict(value: dict[Any, Any], depth: int) -> object:
    if len(value) > ITEMS_LIMIT // 2:
        raise Refused
    plain = _are_plain(value.values())
    if SCALARS.issuperset(map(type, value)):  # as a key, bytes of any size are in line
        return value if plain else {key: lower(item, depth + 1) for key, item in value.items()}
    flat: list[object] = [int(Tag.PAIRS)]
    for key, item in value.items():
        flat += (lower(key, depth + 1), lower(item, depth + 1))
    return flat


def _lower_address(value: Address, _depth: int) -> object:
    return (3, *value.home, value.slot, value.generation)


# Bytes to values


def decode(data: Payload) -> Any:
    """Give the value of `data`. Raises DecodeError, and nothing else, when it is none of ours."""
    wire: Any = None
    try:
        if type(data) is Parts:
            wire = _read_parts(data.parts)
        else:
            wire = _unpack(data, strict_map_key=False, max_array_len=ITEMS_LIMIT + 1, max_map_len=ITEMS_LIMIT)
        if type(wire) in SMALL:
            return wire
        build = _builds.get(wire[0]) if type(wire) is list and wire and type(wire[0]) is str else None
        return raise_value(wire, 0) if build is None else build(wire, 0)
    except Broken as broken:
        raise DecodeError(_root(wire) + "".join(reversed(broken.path)), broken.problem) from None
    except (ValueError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise DecodeError(_root(wire), f"not msgpack of ours: {type(error).__name__}: {error}") from None


def _read_parts(parts: Sequence[bytes]) -> Any:
    """Unpack the stretches, with an ext in the place of each blob that names it."""
    blobs = parts[1::2]
    joined = []
    for number, stretch in enumerate(parts[::2]):
        if number == len(blobs):
            joined.append(stretch)
        elif stretch[-5:] != _blob_head(blobs[number]):
            raise ValueError(f"blob {number} does not stand where its length is")
        else:
            joined += (stretch[:-5], b"\xd6%c" % BLOB, number.to_bytes(4, "big"))
    left = iter(enumerate(blobs))

    def blob(code: int, data: bytes) -> bytes:
        found = next(left, None)
        if found is None or code != BLOB or data != found[0].to_bytes(4, "big"):
            raise ValueError("an ext is no blob of this message")
        return found[1]

    wire = _unpack(
        b"".join(joined),
        strict_map_key=False,
        max_array_len=ITEMS_LIMIT + 1,
        max_map_len=ITEMS_LIMIT,
        ext_hook=blob,
    )
    if next(left, None) is not None:
        raise ValueError("a blob stands nowhere in its message")
    return wire


def decode_all(batch: Sequence[Payload]) -> list[Any] | None:
    """Give the values of many messages in one go; None when one is broken, or in parts: `decode` then says why.

    They are read as the items of one array. A peer that cuts its messages across each other could pass them off as
    others of its own, sent to the same isolates, which it might have sent in the first place.
    """
    try:
        data = b"".join((b"\xdd", len(batch).to_bytes(4, "big"), *batch))  # type: ignore[arg-type]  # in parts: TypeError
    except TypeError:
        return None
    return decode_array(data)


def decode_array(data: bytes | memoryview) -> list[Any] | None:
    """Give the values of many messages that stand as one array; None as `decode_all`."""
    try:
        wires: list[Any] = _unpack(data, strict_map_key=False, max_array_len=ITEMS_LIMIT + 1, max_map_len=ITEMS_LIMIT)
        kinds = frozenset(map(type, wires))
        if SCALARS.issuperset(kinds):
            return wires
        if kinds == _LIST and all(wires):
            tag = wires[0][0]
            build = _builds.get(tag) if type(tag) is str else None
            if build is not None and frozenset(map(_FIRST, wires)) == {tag}:  # what busy isolates send
                return [build(wire, 0) for wire in wires]
        return [raise_value(wire, 0) for wire in wires]
    except (Broken, ValueError, TypeError, OverflowError, RecursionError, MemoryError):
        return None


def _root(wire: Any) -> str:
    """Name the class a path begins at."""
    return wire[0][:200] if type(wire) is list and wire and type(wire[0]) is str else "message"


def raise_value(wire: Any, depth: int) -> object:
    """Give the value that was lowered to `wire`; raises Broken."""
    cls = type(wire)
    if cls in SCALARS:
        return wire
    if depth > DEPTH_LIMIT:
        raise Broken(f"nested deeper than {DEPTH_LIMIT}")
    if cls is list:
        tag = wire[0] if wire else None
        build = _builds.get(tag) if type(tag) is str or type(tag) is int else None
        if build is None:
            raise Broken(_unknown(tag))
        return build(wire, depth)
    if cls is dict:
        return _raise_dict(wire, depth)
    raise Broken(f"a msgpack {cls.__name__} stands for nothing here")


def _unknown(tag: object) -> str:
    if type(tag) is str:
        return f"no class is registered as {tag[:200]!r} here: import its module, or is that application older?"
    return f"an array begins with {str(tag)[:50]!r} instead of a tag or a wire name"


def raise_items(wire: list[Any], depth: int) -> list[Any]:
    """Raise what follows the tag of an array."""
    if SCALARS.issuperset(map(type, wire)):
        return wire[1:]
    out: list[Any] = []
    try:
        for item in wire[1:]:
            out.append(raise_value(item, depth + 1))  # len(out) is the place of a failure
    except Broken as broken:
        broken.path.append(f"[{len(out)}]")
        raise
    return out


def _raise_tuple(wire: list[Any], depth: int) -> tuple[Any, ...]:
    return tuple(raise_items(wire, depth))


def _raise_dict(wire: dict[Any, Any], depth: int) -> dict[Any, Any]:
    if not SCALARS.issuperset(map(type, wire)):
        raise Broken("a key of a map is not plain")
    if SCALARS.issuperset(map(type, wire.values())):
        return wire
    out = {}
    for key, item in wire.items():
        try:
            out[key] = raise_value(item, depth + 1)
        except Broken as broken:
            broken.path.append(f"[{key!r}]"[:200])
            raise
    return out


def _raise_pairs(wire: list[Any], depth: int) -> dict[Any, Any]:
    flat = raise_items(wire, depth)
    if len(flat) % 2:
        raise Broken("a key without a value")
    return dict(zip(flat[::2], flat[1::2], strict=True))  # an unhashable key is a TypeError, which decode names


def _raise_address(wire: list[Any], _depth: int) -> Address:
    if len(wire) == 7:
        _, node, node_life, core, core_life, slot, generation = wire
        ints = type(node_life) is type(core) is type(core_life) is type(slot) is type(generation) is int
        if ints and type(node) is str:
            return Address(_make_home(Home, (node, node_life, core, core_life)), slot, generation)
    raise Broken("not an address: node, node incarnation, core, core incarnation, slot, generation")


# Enums go by name, and arrive in the class of that name when it is loaded


def _raise_enum(wire: list[Any], _depth: int) -> enum.Enum:
    if len(wire) != 3 or type(wire[1]) is not str or type(wire[2]) not in (str, int):
        raise Broken("not an enum member: class, member")
    cls = TABLES.classes.get((Tag.ENUM, wire[1])) or _loaded_enum(wire[1])
    if cls is None or not issubclass(cls, enum.Enum):
        raise Broken(f"no enum {wire[1][:200]!r} is loaded here")
    if issubclass(cls, enum.Flag) and type(wire[2]) is int:
        try:
            return cls(wire[2])
        except ValueError as error:
            raise Broken(str(error)) from None
    member = cls.__members__.get(wire[2])
    if member is None:
        raise Broken(f"{cls.__qualname__} has no member {str(wire[2])[:200]!r}")
    return member


def _loaded_enum(name: str) -> type[enum.Enum] | None:
    """Find an enum in a module that is loaded already: reads plain dicts only, imports and calls nothing."""
    module, _, qualname = name.partition(":")
    found: object = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return found if isinstance(found, type) and issubclass(found, enum.Enum) else None


TABLES.lower.update({list: _lower_list, tuple: _lower_tuple, dict: _lower_dict, Address: _lower_address})
TABLES.build.update({0: raise_items, 1: _raise_tuple, 2: _raise_enum, 3: _raise_address, 4: _raise_pairs})
TABLES.names[Address] = "regrove:Address"
