"""Which rows of a run its story shows: at most so many, chosen by what they tell, in the order they happened.

First what the test did last (a read with what was sent for it) and what came of it, then fired faults and the times a
checker names with what happened around them, and what names a text that the failure quotes, then the causes of the last
event, what was out of the ordinary, and the end. What repeats at one interval (a tick) or many times at one instant is
one row, and so is what the test did again and again between two faults; where not all fits, so is what came again and
again at no interval, but for the last few of it, and ticks and how isolates started give way to the rest. How nodes
started is told where there is room.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from regrove.node.core.messages import decode
from regrove.node.simulation.clock import SECOND, written
from regrove.node.simulation.history import Operation
from regrove.node.simulation.trace import ANSWER, Aside, Doing, Event, Trace, shortly
from regrove.node.simulation.violation import text_of

if TYPE_CHECKING:
    from regrove.node.simulation.cores import SimulatedCore
    from regrove.node.simulation.node import SimulatedNode
    from regrove.node.simulation.world import World

LINES: Final = 40
CAUSES: Final = 12
RARE: Final = 16
DOINGS: Final = 12
FAULTS: Final = 10
ASIDES: Final = 6
NAMED: Final = 4  # texts that a failure quotes
NAMING_FIRST: Final = 4  # of the rows that name them
NAMING_LAST: Final = 6
READS: Final = 4  # after one send, so many are shown with it
REGULAR: Final = 4  # so many at one interval are one row
LAST: Final = 3  # of what comes again and again, so many are rows of their own
ORDINARY: Final = ("handle", "outcome", "continue")
ANSWERS: Final = ("outcome",)
DULL: Final = ("frame", "supervise")
STARTS: Final = ("start", "started")
STRUCK: Final = ("fault-", "heal-", "test-")

_QUOTED: Final = re.compile(r"(?<![\w])'([^'\\]{1,40})'")

Kin = tuple[str, str, str, str]  # what is alike: node, path, kind and text
Place = tuple[int, int, int]  # in a story: after which event, before (0) or behind (1) it, and the order among these


class Rows:
    """The rows of one run, in their order; `most` of them are chosen."""

    def __init__(self, trace: Trace, most: int = LINES) -> None:
        self._trace = trace
        self._most = most
        self._told: dict[Place, Event | Doing | list[Event] | list[Doing]] = {}
        self._chosen: dict[Place, None] = {}
        self._ticks: dict[Place, None] = {}  # rows of what repeats at one interval
        self._of: dict[int, Place] = {}  # by an event's sequence, where it is told: alone, or among others
        self._events = [event for event in trace if event.kind not in DULL]
        self._singles: list[Place] = []  # what stands for itself, in order
        self._times: list[int] = []
        self._doings: list[Place] = []
        self._asides: dict[Place, int] = {}  # when each was
        self._words = _Words(trace)
        self._begin = 0  # up to this event the world started
        self._exchange: dict[Place, list[Place]] = {}  # a send on a stream and the reads behind it, by each of them
        self._take(self._events, list(trace.doings))

    def _take(self, events: list[Event], doings: list[Doing]) -> None:
        folded = _folded(events)
        self._ticks = {(group[-1].sequence, 0, 0): None for group in folded.values()}
        folded |= _at_once([event for event in events if event.sequence not in folded])
        for event in events:
            among = folded.get(event.sequence)
            place = (event.sequence if among is None else among[-1].sequence, 0, 0)
            self._of[event.sequence] = place
            if among is None:
                self._told[place] = event
            else:
                self._told[place] = among
        groups = _done_again(doings, [event.sequence for event in events if event.kind.startswith(STRUCK)])
        for number, group in enumerate(groups):
            place = (group[-1].sequence, 1, number)
            self._told[place] = group if len(group) > 1 else group[0]
            self._doings.append(place)
        self._take_asides(list(self._trace.asides))
        self._exchange = _exchanges(zip(self._doings, (group[-1].verb for group in groups), strict=True))
        first = next((event.sequence for event in events if event.kind.startswith(STRUCK)), self._trace.sequence)
        telling = [event for event in events if event.kind not in STARTS or event.sequence > first]
        single = [((event.sequence, 0, 0), event.time) for event in telling if event.sequence not in folded]
        single += zip(self._doings, (group[-1].time for group in groups), strict=True)
        single += self._asides.items()
        for place, time in sorted(single):
            self._singles.append(place)
            self._times.append(time)

    def _take_asides(self, asides: list[Aside]) -> None:
        for number, group in enumerate(_done_again(asides, [])):
            place = (group[-1].sequence, 0, 1 + number)  # behind its event, and before what the test did then
            self._told[place] = group if len(group) > 1 else group[0]
            self._asides[place] = group[-1].time

    # --- choosing ---

    def choose(self, times: Iterable[int], named: Sequence[str] = ()) -> list[str]:
        """Choose rows for a story; `times` (ns) and `named`, texts, are those that the failure names."""
        for place in reversed(self._doings[-DOINGS:]):
            self._add(place)
        if self._doings:
            self._around(self._singles.index(self._doings[-1]), 2, 5)
        struck = [event for event in self._events if event.kind.startswith(STRUCK)]
        self._events_of(reversed(struck[-FAULTS:]))
        for place in reversed(list(self._asides)[-ASIDES:]):
            self._add(place)
        for time in times:
            self._around(bisect_left(self._times, time), 3, 3)
        naming = self._naming(named)
        for place in [*naming[:NAMING_FIRST], *naming[NAMING_FIRST:][-NAMING_LAST:]]:
            self._add(place)
        for event in struck[-FAULTS // 2 :]:
            self._around(self._singles.index(self._of[event.sequence]), 1, 2)
            before = bisect_left(self._doings, (event.sequence, 0, 0))
            if before and not event.kind.startswith("heal-"):
                self._add(self._doings[before - 1])
        if self._events:
            self._events_of(reversed(self._trace.causes(self._events[-1].sequence, CAUSES)))
        # How a world started is not out of the ordinary: what comes before the first fault, and what the test did.
        begin = min([event.sequence for event in struck[:1]] + [place[0] for place in self._doings[:1]], default=0)
        self._begin = begin
        usual = (*ORDINARY, *STARTS)
        rare = [event for event in self._events if event.kind not in usual and event.sequence > begin]
        rows = list(dict.fromkeys(self._of[event.sequence] for event in reversed(rare)))
        for place in rows[:RARE]:
            self._add(place)
        self._fill()
        for place in reversed(self._doings):
            self._add(place)
        self._events_of(event for event in reversed(self._events) if self._of_start(event))
        if not self._events:
            return [*map(str, list(self._trace)[-self._most :])]
        return [self._words.of(self._told[place]) for place in sorted(self._chosen)]

    def _naming(self, texts: Sequence[str]) -> list[Place]:
        """What names one of these texts, in order: messages, answers, and what the test did."""
        if not texts:
            return []
        found = []
        for place, row in self._told.items():
            words = row.words if isinstance(row, Doing) else self._words.naming(row, texts)
            if any(repr(text) in words for text in texts):
                found.append(place)
        return sorted(found)

    def _add(self, place: Place) -> None:
        together = [each for each in self._exchange.get(place, (place,)) if each not in self._chosen]
        if len(self._chosen) + len(together) <= self._most:
            self._chosen.update(dict.fromkeys(together))

    def _events_of(self, events: Iterable[Event]) -> None:
        for event in events:
            if len(self._chosen) >= self._most:
                return
            place = self._of.get(event.sequence)
            if place is None:  # a dull one, among causes
                place = (event.sequence, 0, 0)
                self._told[place] = event
            self._add(place)

    def _fill(self) -> None:
        """The end of the run; of what is alike in it the last few, and one row for all before."""
        left = [
            event
            for event in self._events
            if self._of[event.sequence] not in self._chosen and not self._of_start(event)
        ]
        if len({self._of[event.sequence]: None for event in left}) <= self._most - len(self._chosen):
            self._events_of(left)
            return
        seen: dict[Kin, int] = {}
        before: dict[Kin, list[Event]] = {}
        for place in dict.fromkeys(self._of[event.sequence] for event in self._events):
            if place in self._chosen:
                key = _kin(self._events_at(place)[-1])
                seen[key] = seen.get(key, 0) + 1
        for place in sorted(dict.fromkeys(self._of[event.sequence] for event in reversed(left)), key=self._gives_way):
            events = self._events_at(place)
            key = _kin(events[-1])
            if place in self._ticks or seen.get(key, 0) < LAST:  # a tick is one row already
                seen[key] = seen.get(key, 0) + 1
                self._add(place)
            elif key in before:
                before[key] += events[::-1]
            elif len(self._chosen) < self._most:
                before[key] = events[::-1]
                self._add(place)
        for group in before.values():
            if len(group) > 1:
                self._told[self._of[group[0].sequence]] = group[::-1]

    def _gives_way(self, place: Place) -> bool:
        return place in self._ticks or self._events_at(place)[-1].kind in STARTS

    def _of_start(self, event: Event) -> bool:
        """Whether it tells how nodes and cores of the world started."""
        return event.sequence <= self._begin and not event.path

    def _events_at(self, place: Place) -> list[Event]:
        row = self._told[place]
        return [each for each in (row if isinstance(row, list) else [row]) if isinstance(each, Event)]

    def _around(self, index: int, before: int, behind: int) -> None:
        for place in self._singles[max(index - before, 0) : index + behind + 1]:
            self._add(place)


def _exchanges(doings: Iterable[tuple[Place, str]]) -> dict[Place, list[Place]]:
    """For what the test did on streams: the send and the reads that belong to it, by the place of each."""
    exchanges: dict[Place, list[Place]] = {}
    last: dict[str, list[Place]] = {}
    for place, verb in doings:
        stream, _, what = verb.rpartition(".")
        if stream and what == "send":
            last[stream] = exchanges[place] = [place]
        elif stream in last and what in ("read", "read_until"):
            if len(last[stream]) <= READS:
                last[stream].append(place)
                exchanges[place] = last[stream]
            else:
                exchanges[place] = [last[stream][0], place]
    return exchanges


def _kin(event: Event) -> Kin:
    return event.node, event.path, event.kind, event.text


def _folded(events: Iterable[Event]) -> dict[int, list[Event]]:
    """For each event that repeats at one interval, by its sequence, all of them."""
    alike: dict[tuple[str, str, str, str, bool], list[Event]] = {}  # a timer's by themselves: it has no cause
    for event in events:
        if not event.kind.startswith(STRUCK):
            key = (event.node, event.path, event.kind, event.text, event.parent == 0)
            alike.setdefault(key, []).append(event)
    regular = [group for group in alike.values() if len(group) >= REGULAR and _interval(group)]
    return {event.sequence: group for group in regular for event in group}


def _at_once(events: Iterable[Event]) -> dict[int, list[Event]]:
    """For each event that comes many times at one instant, by its sequence, all of them."""
    alike: dict[tuple[int, Kin], list[Event]] = {}
    for event in events:
        if not event.kind.startswith(STRUCK):
            alike.setdefault((event.time, _kin(event)), []).append(event)
    return {event.sequence: group for group in alike.values() if len(group) >= REGULAR for event in group}


def _done_again(doings: Sequence[Doing], struck: Sequence[int]) -> list[list[Doing]]:
    """What the test did, in order; what it did alike in a row, with no fault in between, together."""
    groups: list[list[Doing]] = []
    alike: tuple[str, int] | None = None
    for doing in doings:
        at_once = doing.ended in (None, doing.time)
        kind = (doing.words, bisect_right(struck, doing.sequence)) if at_once else None
        if kind is not None and kind == alike:
            groups[-1].append(doing)
        else:
            groups.append([doing])
        alike = kind
    told: list[list[Doing]] = []
    for group in groups:
        told += [group] if len(group) >= REGULAR else [[doing] for doing in group]
    return told


def _interval(group: Sequence[Event | Doing]) -> int:
    """The interval in ns at which these repeat; 0 when they do so at none."""
    gaps = [later.time - earlier.time for earlier, later in pairwise(group)]
    usual = sorted(gaps)[len(gaps) // 2]
    close = sum(abs(gap - usual) * 50 <= usual for gap in gaps)
    return usual if close * 5 >= len(gaps) * 4 else 0


class _Words:
    """Rows in words: of one message or answer what it holds, of many alike their class."""

    def __init__(self, trace: Trace) -> None:
        self._said = trace.given()

    def of(self, row: Event | Doing | list[Event] | list[Doing]) -> str:
        if isinstance(row, list):
            return _together(row)
        return str(row._replace(text=self.text_of(row)) if isinstance(row, Event) else row)

    def naming(self, row: object, texts: Sequence[str]) -> str:
        """The words of a single event that may name one of these texts, else none: most are not decoded for it."""
        if not isinstance(row, Event):
            return ""
        payload = self._said.get(row.sequence, b"")
        quoted = (text.encode(errors="surrogatepass") for text in texts)
        return self.text_of(row) if any(text in payload for text in quoted) else ""

    def text_of(self, event: Event) -> str:
        """The class of what an event was given, and what that holds where it is known."""
        payload = self._said.get(event.sequence)
        if payload is None:
            return event.text
        try:
            value = decode(payload)
        except Exception:  # of a class that is not there any more
            return event.text
        words = shortly(value, ANSWER)
        if event.kind in ANSWERS:
            return f"{event.text} {words}"
        return event.text if words == f"{event.text}()" else words


def _together(group: Sequence[Event | Doing]) -> str:
    if group[0].time == group[-1].time:
        return f"{group[-1]} x{len(group)}, at once"
    interval = f"{_interval(group) / SECOND:.3f}".rstrip("0").rstrip(".")
    often = f"each {interval}s" if interval != "0" else "now and then"
    return f"{group[-1]} x{len(group)}, {often} since {written(group[0].time)}"


def told_rows(world: World, error: BaseException) -> list[str]:
    """The rows of a story, at most 40; who is stopped at the end and what a cut holds are the last of them."""
    standing = [*_stopped(world)[:3], *_holding(world)[:3]]
    return [*Rows(world.trace, LINES - len(standing)).choose(times_of(error), named_by(error)), *standing]


def _stopped(world: World) -> list[str]:
    places: list[SimulatedNode | SimulatedCore] = []
    for node in world.nodes:
        places += [node, *node.cores]
    return [
        f"{place.short}: stopped by a pause since {written(place.stopped_at)}{_wait(place)}"
        for place in places
        if place.pauses and place.alive
    ]


def _wait(place: SimulatedNode | SimulatedCore) -> str:
    count = place.waiting
    return f", {count} input{'s wait' if count > 1 else ' waits'}" if count else ""


def _holding(world: World) -> list[str]:
    return [
        f"{source}>{target}: {count} frame{'s' if count > 1 else ''} held by a cut"
        for source, target, count in world.network.holding()
    ]


def times_of(error: BaseException) -> list[int]:
    """When the operation that a failure names began and ended, in ns."""
    operation: Any = getattr(error, "operation", None)
    if not isinstance(operation, Operation):
        return []
    return [time for time in (operation.invoked, operation.answered) if time is not None]


def named_by(error: BaseException) -> list[str]:
    """The texts that a failure's own words quote, such as a key; pytest's account of an assert is not among them."""
    words = next(iter(text_of(error).splitlines()), "")
    if words.startswith("assert "):
        return []
    quoted = _QUOTED.findall(words)
    operation = getattr(error, "operation", None)
    if isinstance(operation, Operation):
        quoted += [value for value in (operation.key, operation.given) if isinstance(value, str)]
    return [text for text in dict.fromkeys(quoted) if text][:NAMED]
