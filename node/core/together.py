"""Frames whose items are delivered together: what a busy link carries. Whatever is mixed goes item by item, as ever."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count as counting
from itertools import repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from regrove.node.core import remote
from regrove.node.core.address import Caller, Home
from regrove.node.core.isolate import Cell, Entry, Request
from regrove.node.core.mailbox import put_all
from regrove.node.core.messages import decode_all, decode_array
from regrove.transport.runs import Run

if TYPE_CHECKING:
    from regrove.node.core.core import Core
    from regrove.node.core.remote import Links

_FOUR: Final = frozenset((4,))
_ASKED: Final = frozenset((2, 16))  # remote.CALL and remote.REPLY
_INTS: Final = frozenset((int,))
_BYTES: Final = frozenset((bytes,))
_THREE: Final = frozenset((3,))
_SIX: Final = frozenset((6,))
_KIND: Final = itemgetter(0)
_TOKEN: Final = itemgetter(1)
_PAYLOAD: Final = itemgetter(-1)
_make_caller: Final = tuple.__new__  # a third of the time of Caller(...), once a request


def deliver(links: Links, home: Home, session: int, first: int, items: tuple[Any, ...] | Run) -> bool:
    """Deliver the items of one frame together; False: nothing was done."""
    if isinstance(items, Run):
        return _run(links.core, items)
    return _sends(links.core, items) or _calls_and_replies(links, home, session, first, items)


def _sends(core: Core, items: tuple[Any, ...]) -> bool:
    """Deliver a batch of nothing but sends to one isolate that has room for all; False: nothing was done.

    That is what a busy link carries; it costs a quarter of looking at each item. Every other batch, and whatever
    is to be refused, goes item by item.
    """
    if not _FOUR.issuperset(map(len, items)):
        return False
    kinds, slots, generations, payloads = zip(*items, strict=True)
    slot, generation, count = slots[0], generations[0], len(items)
    if kinds.count(remote.SEND) != count or slots.count(slot) != count or generations.count(generation) != count:
        return False
    if type(slot) is not int or type(generation) is not int:
        return False
    charges = [64 + length for length in map(len, payloads)]
    cell = _with_room(core, slot, generation, count, sum(charges))
    if cell is None:
        return False
    values = decode_all(payloads)
    if values is None:
        return False
    _remember(core, values, payloads)
    put_all(core, cell, zip(values, charges, repeat(None), repeat(core.event)), count, sum(charges))
    return True


def _run(core: Core, run: Run) -> bool:
    """Deliver a run of sends; False: nothing was done."""
    fields, lengths = run.fields, run.lengths
    if len(fields) != 3 or fields[0] != remote.SEND or type(fields[1]) not in (int, str) or type(fields[2]) is not int:
        return False
    count = len(lengths)
    charge = run.size + 64 * count
    cell = _with_room(core, fields[1], fields[2], count, charge)
    if cell is None:
        return False
    values = decode_array(run.values)
    if values is None:
        return False
    if core.crossing is not None:
        for value, payload in zip(values, run.payloads, strict=True):
            core.crossing.remember(value, payload)
    if lengths.count(lengths[0]) == count:
        charges: Iterable[int] = repeat(64 + lengths[0])
    else:
        charges = [64 + length for length in lengths]
    put_all(core, cell, zip(values, charges, repeat(None), repeat(core.event)), count, charge)
    return True


def _remember(core: Core, values: Iterable[Any], payloads: Iterable[bytes]) -> None:
    """Keep the bytes of what will be handled, where somebody wants them then."""
    crossing = core.crossing
    if crossing is not None:
        for value, payload in zip(values, payloads, strict=True):
            crossing.remember(value, payload)


def _with_room(core: Core, slot: int | str, generation: int, count: int, charge: int) -> Cell | None:
    """The isolate there, when it takes `count` messages of `charge` bytes together without another look."""
    cell = core.registry.local(slot, generation)
    if cell is None or cell.supervising is not None or cell.waiters or cell.queued + count > cell.capacity:
        return None
    if core.pool_messages + count > core.bounds.pool_messages or not core.pool_has_room(charge):
        return None
    return cell


def _calls_and_replies(links: Links, home: Home, session: int, first: int, items: tuple[Any, ...]) -> bool:
    """Take a batch of nothing but calls and answers, whose payloads are unpacked together; False: nothing was done.

    What is malformed, or asks a supervisor, goes the slow way in its turn.
    """
    if not _ASKED.issuperset(map(_KIND, items)):
        return False
    payloads = list(map(_PAYLOAD, items))
    if frozenset(map(type, payloads)) != _BYTES:
        return False
    values = decode_all(payloads)
    if values is None:
        return False
    core = links.core
    kinds = list(map(_KIND, items))
    if kinds.count(kinds[0]) == len(kinds):
        if kinds[0] == remote.CALL:
            if _calls(core, home, items, values):
                return True
        elif _THREE.issuperset(map(len, items)):
            tokens = list(map(_TOKEN, items))
            if _INTS.issuperset(map(type, tokens)):
                _remember(core, values, payloads)
                core.calls.replied_all(tokens, values)
                return True
    for sequence, item, value in zip(counting(first), items, values, strict=False):
        if not _INTS.issuperset(map(type, item[1:-1])):
            links.item(home, session, sequence, item)
        elif item[0] == remote.REPLY and len(item) == 3:
            if core.crossing is not None:
                core.crossing.remember(value, item[2])
            core.calls.replied(item[1], value)
        elif item[0] == remote.CALL and len(item) == 6:
            cell = core.registry.local(item[1], item[2])
            if cell is None or cell.supervising is not None:
                links.item(home, session, sequence, item)
                continue
            if core.crossing is not None:
                core.crossing.remember(value, item[5])
            refused = links.called(home, cell, item, value)
            if refused is not None:
                links.refuse(home, session, sequence, refused)
        else:
            links.item(home, session, sequence, item)
    return True


def _calls(core: Core, home: Home, items: tuple[Any, ...], values: list[Any]) -> bool:
    """Put calls to one isolate that has room for all into its mailbox; False: nothing was done."""
    if not _SIX.issuperset(map(len, items)):
        return False
    _, slots, generations, tokens, lefts, payloads = zip(*items, strict=True)
    slot, generation, count = slots[0], generations[0], len(items)
    if slots.count(slot) != count or generations.count(generation) != count or type(slot) is not int:
        return False
    if type(generation) is not int or not _INTS.issuperset(map(type, tokens + lefts)):
        return False
    charges = [64 + length for length in map(len, payloads)]
    cell = _with_room(core, slot, generation, count, sum(charges))
    if cell is None:
        return False
    _remember(core, values, payloads)
    now, event = core.now, core.event
    entries: list[Entry] = []
    for value, charge, token, left in zip(values, charges, tokens, lefts, strict=True):
        deadline = None if left < 0 else now + left
        request = Request(_make_caller(Caller, (home, token, deadline)), deadline)
        entries.append((value, charge, request, event))
    put_all(core, cell, entries, count, sum(charges))
    return True
