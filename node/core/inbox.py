"""A supervisor's inbox: events in order of arrival, and the few a busy machine takes ahead of the others, each O(1).

While a machine runs a start or stop of its own it takes only what it awaits (`Machine.awaits`). Three kinds of events
can be that: answers to its start and ends it waits for, seen when they arrive (`urgent`); limits and a stop with a
budget, which may already be waiting (`pressing`); the end of a child that had died before it was asked to stop, which
the core brings forward when it finds nobody to ask (`bring_forward`).

The commonest that come are kept apart while nothing else waits, without an event made for them: that the start of a
child restarted at once succeeded (`begun`), and that a running child ended (`ended`).

A retry has its place from the moment it is asked for, and is not taken in the same pass: what came later waits with it.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from regrove.node.core.isolate import Cell
from regrove.supervisor.events import ChildEnded, ChildStarted, Event, LimitReached, Retry, StopAsked
from regrove.supervisor.machine import Machine
from regrove.supervisor.reasons import Reason


class Inbox:
    """What waits at one supervisor."""

    __slots__ = ("_ended", "_events", "_held", "_machine", "_order", "_pressing", "_urgent", "begun", "ended")

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._events: OrderedDict[int, Event] = OrderedDict()
        self._ended: dict[int, int] = {}  # the place of each waiting ChildEnded, by the child's key
        self._pressing: OrderedDict[int, Event] = OrderedDict()
        self._urgent: deque[Event] = deque()
        self._held = 0  # the place of the first retry of this pass
        self._order = 0
        self.begun: Cell | None = None
        self.ended: tuple[int, Reason] | None = None

    def __bool__(self) -> bool:
        return bool(self._events or self._urgent or self.begun is not None or self.ended is not None)

    def put_begun(self, cell: Cell) -> None:
        """Enter the success of the start that runs."""
        if self or not self._machine.restarting_one:
            self.put(ChildStarted(cell.key, cell.address))
        else:
            self.begun = cell

    def put_ended(self, key: int, reason: Reason) -> None:
        """Enter the end of a child whose start had succeeded."""
        if self._events or self._urgent or self.ended is not None:
            self.put(ChildEnded(key, reason))
        elif self.begun is not None or self._machine.accepting:
            self.ended = (key, reason)
        else:
            self.put(ChildEnded(key, reason))

    def put(self, event: Event) -> None:
        """Enter an event behind what waits, or ahead of it if a busy machine awaits just this."""
        if self.begun is not None or self.ended is not None:
            self._join()
        self._enter(event)

    def _join(self) -> None:
        """What was kept apart waits among the others now."""
        begun, ended = self.begun, self.ended
        self.begun = self.ended = None
        if begun is not None:
            self._enter(ChildStarted(begun.key, begun.address))
        if ended is not None:
            self._enter(ChildEnded(*ended))

    def _enter(self, event: Event) -> None:
        if not self._machine.accepting and self._machine.awaits(event):
            self._urgent.append(event)
            return
        self._order += 1
        self._events[self._order] = event
        if isinstance(event, ChildEnded):
            self._ended[event.key] = self._order
        elif isinstance(event, LimitReached | StopAsked):
            self._pressing[self._order] = event

    def hold(self, retry: Retry) -> None:
        """Enter a retry that is not to be taken before `release`."""
        self.put(retry)
        self._held = self._held or self._order

    def release(self) -> None:
        """The next pass has begun."""
        self._held = 0

    def bring_forward(self, key: int) -> None:
        """The end of child `key` already waits, and the machine has just begun to wait for it."""
        self._join()
        place = self._ended.pop(key, None)
        if place is not None:
            self._urgent.append(self._events.pop(place))

    def take(self) -> Event | None:
        """Give the machine its next event, or None while it has to wait for another."""
        self._join()
        machine = self._machine
        if self._urgent and machine.awaits(self._urgent[0]):
            return self._urgent.popleft()
        if machine.accepting:
            place = next(iter(self._events), 0)
            return None if place == 0 or place == self._held else self._forget(place)
        for place, event in self._pressing.items():
            if machine.awaits(event):
                return self._forget(place)
        return None

    def _forget(self, place: int) -> Event:
        event = self._events.pop(place)
        self._pressing.pop(place, None)
        if isinstance(event, ChildEnded) and self._ended.get(event.key) == place:
            del self._ended[event.key]
        return event

    def clear(self) -> None:
        """Drop everything: the supervisor was killed."""
        self.begun = self.ended = None
        self._events.clear()
        self._ended.clear()
        self._pressing.clear()
        self._urgent.clear()
