"""Simpler plans than one that fails, which may fail too: what the shrinker tries where taking away is not enough.

Pure: the same plan gives the same candidates, in the same order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Final, TypeAlias

from regrove.node.simulation.clock import MILLISECOND
from regrove.node.simulation.plan import CUT, SHAPES, Fault, Noise
from regrove.node.simulation.seeds import SLICE_BITS, Draws, Ratio, below, holds, key_of, mix, slice_of

Entries: TypeAlias = "tuple[Fault | Noise, ...]"
CHANGED: Final = Ratio(1, 2)  # of the entries that stay in a plan by chance
NODE: Final = re.compile(r"n\d+")
SHORT: Final = (2, 4, 8)  # what part of a run the faults of a plan drawn afresh are within
MANY: Final = 16  # of them at most


def grouped(plan: Entries) -> Iterator[Entries]:
    """The plan without all entries of one kind, or all at one place; the largest group first."""
    groups: dict[tuple[str, str], list[int]] = {}
    for number, entry in enumerate(plan):
        groups.setdefault(("what", entry.what), []).append(number)
        for node in _nodes(entry):
            groups.setdefault(("where", node), []).append(number)
    seen: dict[tuple[int, ...], None] = {}
    for numbers in sorted(groups.values(), key=lambda group: -len(group)):
        if 1 < len(numbers) < len(plan) and tuple(numbers) not in seen:
            seen[tuple(numbers)] = None
            yield tuple(entry for number, entry in enumerate(plan) if number not in numbers)


def _nodes(entry: Fault | Noise) -> list[str]:
    if isinstance(entry, Noise) or "#" in entry.where:
        return []
    words = entry.where.partition(":")[0].replace("<>", ">").split(">")
    return list(dict.fromkeys(word.partition("/")[0] for word in words))


def joined(plan: Entries) -> Iterator[Entries]:
    """The plan with one entry for several: faults of a kind at a place, from the first to the last; cuts of a node."""
    groups: dict[tuple[str, str], list[Fault]] = {}
    for entry in plan:
        if isinstance(entry, Fault) and entry.lasts and "#" not in entry.where:
            groups.setdefault((entry.what, entry.where), []).append(entry)
            if entry.what == CUT:
                for node in _nodes(entry) if "/" not in entry.where else ():
                    groups.setdefault((CUT, f"{node}<>*"), []).append(entry)
    for (_, where), group in sorted(groups.items(), key=lambda item: -len(item[1])):
        if len(group) > 1:
            yield _with_one(plan, group, where)


def _with_one(plan: Entries, group: list[Fault], where: str) -> Entries:
    begin = min(fault.at for fault in group)
    end = max(fault.at + fault.lasts for fault in group)
    strongest = max(group, key=lambda fault: abs(fault.strength)).strength
    first, *rest = group
    one = replace(first, where=where, at=begin, lasts=end - begin, strength=strongest)
    kept = (one if entry is first else entry for entry in plan if not any(entry is other for other in rest))
    return tuple(sorted(kept, key=_when))


def by_chance(plan: Entries, pool: Entries, most: int) -> Iterator[Entries]:
    """So many drawn plans of fewer entries, each as it was, or longer, or a little earlier or later, or at any time.

    They come from `plan`, rather many of it, and each second time from `pool`, what it was shrunk from, rather few.
    """
    draws = Draws(key_of(*map(str, plan)))
    for attempt in range(most):
        source = pool if attempt % 2 else plan
        sizes = [1 + below(draws.at(attempt, "size", side), len(plan) - 1) for side in ("", "again")]
        size = min(sizes) if attempt % 2 else max(sizes)
        ranks = [draws.at(attempt, "which", str(number)) for number in range(len(source))]
        kept = sorted(sorted(range(len(source)), key=ranks.__getitem__)[:size])
        end = max((entry.at + entry.lasts for entry in source if isinstance(entry, Fault)), default=0)
        changed = [_changed(source[number], draws.at(attempt, "how", str(number)), end) for number in kept]
        yield tuple(sorted(changed, key=_when))


def afresh(plan: Entries, pool: Entries, at: int) -> Iterator[tuple[Entries, int]]:
    """Drawn plans of fewer faults of the kinds in `pool`, at any of its places, within a part of `at` (ns).

    Each with the instant (ns) by which it must fail. A rare coincidence needs faults close to each other, but not all
    that led to it; and so short a run costs little. It does not end.
    """
    draws = Draws(key_of("afresh", *map(str, plan)))
    kinds: dict[str, list[Fault]] = {}
    for entry in pool:
        if isinstance(entry, Fault) and "#" not in entry.where:
            kinds.setdefault(entry.what, []).append(entry)
    names = list(kinds)
    nodes = sorted(dict.fromkeys(node for entry in pool for node in _nodes(entry) if node != "*"))
    noise = [entry for entry in pool if isinstance(entry, Noise)]
    most = min(len(plan) - 1, MANY)
    for attempt in count() if names else ():
        shape, size = draws.at(attempt, "shape"), draws.at(attempt, "size")
        within = max(at // SHORT[slice_of(shape, 0) * len(SHORT) >> 20], 1)
        drawn = []
        for number in range(1 + max(below(size, most), below(mix(size), most))):
            which = draws.at(attempt, "which", str(number))
            faults = kinds[names[slice_of(which, 0) * len(names) >> SLICE_BITS]]
            fault = faults[slice_of(which, 1) * len(faults) >> SLICE_BITS]
            ranks = {node: draws.at(attempt, "where", f"{number} {node}") for node in nodes}
            where = _renamed(fault.where, dict(zip(nodes, sorted(nodes, key=ranks.__getitem__), strict=True)))
            drawn.append(replace(fault, where=where, at=below(mix(which), within)))
        found = (*(noise if slice_of(shape, 1) & 1 else ()), *sorted(drawn, key=_when))
        yield found, within + within // 4


def _renamed(where: str, names: dict[str, str]) -> str:
    place, colon, path = where.partition(":")
    return NODE.sub(lambda found: names.get(found[0], found[0]), place) + colon + path


def _when(entry: Fault | Noise) -> int:
    return -1 if isinstance(entry, Noise) else entry.at


def _changed(entry: Fault | Noise, draw: int, end: int) -> Fault | Noise:
    if isinstance(entry, Noise) or "#" in entry.where or not holds(draw, 0, CHANGED):
        return entry
    how = draw >> 62
    if how >= 2 and SHAPES[entry.what].lasts:
        return replace(entry, lasts=entry.lasts << 1 + (slice_of(draw, 1) & 3))
    if how & 1:
        return replace(entry, at=end * slice_of(draw, 2) >> SLICE_BITS)
    near = MILLISECOND << (slice_of(draw, 1) & 7)  # up to 128 ms
    return replace(entry, at=max(entry.at - near + (2 * near * slice_of(draw, 2) >> SLICE_BITS), 0))
