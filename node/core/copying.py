"""What a local send delivers: a value that shares nothing mutable with the sender's, and its charge to the pool.

The charge is 64 bytes and what the value holds: 8 for a number, the length of a text (code points) or of bytes, 8 more
for each place in a container, 64 for each message inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from regrove.node.core.address import Address
from regrove.node.core.kinds import ADDRESS_CHARGE, NUMBER_CHARGE
from regrove.node.core.tables import DEPTH_LIMIT, MESSAGE_CHARGE, NUMBERS, TABLES, TEXTS, Refused, Split, Traits, adopt
from regrove.node.core.unsendable import explain


def take(value: object, depth: int) -> tuple[Any, int]:
    """Give a value that shares no mutable state with `value`, and its weight; raises Refused."""
    cls = type(value)
    if cls in NUMBERS:
        return value, NUMBER_CHARGE
    if cls in TEXTS:
        return value, len(value)  # type: ignore[arg-type]
    if depth > DEPTH_LIMIT:
        raise Refused
    handler = TABLES.take.get(cls)
    if handler is None:
        adopt(cls)
        handler = TABLES.take[cls]
    return handler(value, depth)


def _weigh_plain(items: Any, count: int) -> int | None:
    """Weigh items that are all numbers or all texts without a look at each; None when they are neither."""
    if NUMBERS.issuperset(map(type, items)):
        return 2 * NUMBER_CHARGE * count
    if TEXTS.issuperset(map(type, items)):
        return NUMBER_CHARGE * count + sum(map(len, items))
    return None


def _take_items(items: Iterable[Any], depth: int) -> tuple[list[Any], int]:
    out = []
    weight = 0
    for item in items:
        taken, more = take(item, depth + 1)
        out.append(taken)
        weight += more + NUMBER_CHARGE
    return out, weight


def _take_list(value: list[Any], depth: int) -> tuple[list[Any], int]:
    weight = _weigh_plain(value, len(value))
    if weight is not None:
        return value[:], weight
    return _take_items(value, depth)


def _take_tuple(value: tuple[Any, ...], depth: int) -> tuple[tuple[Any, ...], int]:
    weight = _weigh_plain(value, len(value))
    if weight is not None:
        return value, weight
    out, weight = _take_items(value, depth)
    same = all(new is old for new, old in zip(out, value, strict=True))
    return (value if same else tuple(out)), weight


def _take_dict(value: dict[Any, Any], depth: int) -> tuple[dict[Any, Any], int]:
    keys, key_weight = _take_items(value, depth)
    items, item_weight = _take_items(value.values(), depth)
    return dict(zip(keys, items, strict=True)), key_weight + item_weight


def take_fields(value: Any, depth: int, split: Split, join: Callable[..., Any]) -> tuple[Any, int]:
    """Take a value field by field; the value itself when nothing in it had to be copied."""
    fields = split(value)
    weight = MESSAGE_CHARGE
    out = []
    same = True
    for field in fields:
        taken, more = take(field, depth + 1)
        same = same and taken is field
        weight += more
        out.append(taken)
    return (value if same else join(*out)), weight


def prepare(value: Any) -> tuple[Any, int]:
    """Give what a local send delivers, sharing no mutable state with `value`, and its charge in bytes of the pool.

    Raises UnsendableValue, naming the place, for what does not travel.
    """
    cls = type(value)
    fixed = TABLES.fixed.get(cls)
    if fixed is not None:
        return value, fixed
    try:
        taken, weight = take(value, 0)
    except (Refused, RecursionError):
        raise explain(value) from None
    return taken, (weight if cls in TABLES.splits else weight + MESSAGE_CHARGE)


TABLES.take.update({list: _take_list, tuple: _take_tuple, dict: _take_dict})
TABLES.take[Address] = lambda value, _depth: (value, ADDRESS_CHARGE)
for scalar in (type(None), bool, int, float):
    TABLES.charge(scalar, MESSAGE_CHARGE + NUMBER_CHARGE)
for varying in (str, bytes, list, tuple, dict):
    TABLES.charge(varying, None)
TABLES.charge(Address, MESSAGE_CHARGE + ADDRESS_CHARGE)
TABLES.traits.update(dict.fromkeys((type(None), bool, int, float), Traits(True, NUMBER_CHARGE, False)))
TABLES.traits.update(dict.fromkeys((str, bytes), Traits(True, None, False)))
TABLES.traits[Address] = Traits(True, ADDRESS_CHARGE, False)
