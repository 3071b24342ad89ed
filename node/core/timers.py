"""The timers of one core: a heap of (due, order, record). Armed by `finish`, fired by the next passes, never early."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from regrove.node.core.isolate import Cell

_T = TypeVar("_T", bound="Timed")

# What a due record means; `Core._fire` is the one place that acts on it.
DEADLINE: Final = 1  # the wait or ticket `token` failed with Timeout
SLEPT: Final = 2  # the Sleep `token` is over
MESSAGE: Final = 3  # deliver `data` = (target, message) for the isolate `cell`
LIMIT: Final = 4  # a supervisor's limit: `data` = the supervising node
RETRY: Final = 5  # a supervisor's delayed retry: likewise
START: Final = 6  # `cell` did not finish its start in time
HOSTING: Final = 7  # call `data` with the record: leases of children on other cores


class Timed:
    """What `Timers` keeps; `alive` False means cancelled or fired. A debt is the record of its own deadline."""

    __slots__ = ("alive", "delay", "due", "kind", "token")
    alive: bool
    delay: int  # ns from the end of the pass that asked
    due: int
    kind: int
    token: int


class TimerRecord(Timed):
    """One timer of its own; `period` in ns repeats it."""

    __slots__ = ("cell", "data", "period", "queued")

    def __init__(self, kind: int, delay: int, token: int, cell: Cell | None, data: Any = None) -> None:
        self.kind = kind
        self.delay = delay
        self.token = token
        self.cell = cell
        self.data = data
        self.due = 0
        self.period = 0
        self.alive = True
        self.queued = False  # the last firing of a repeating timer is still in the mailbox


class Timers:
    """Records waiting to be armed, and the heap of armed ones."""

    __slots__ = ("_dead", "_order", "asked", "heap")

    def __init__(self) -> None:
        self.asked: list[Timed] = []
        self.heap: list[tuple[int, int, Timed]] = []
        self._order = 0
        self._dead = 0

    def __len__(self) -> int:
        return len(self.heap) + len(self.asked) - self._dead

    def ask(self, record: _T) -> _T:
        """Have `record` armed at the end of this pass."""
        self.asked.append(record)
        return record

    def at(self, due: int, record: TimerRecord) -> TimerRecord:
        """Arm `record` for an instant, whenever this pass ends."""
        record.due = due
        self._order += 1
        heappush(self.heap, (due, self._order, record))
        return record

    def cancel(self, record: Timed) -> bool:
        """Take it back; answers whether it was still to come."""
        if not record.alive:
            return False
        record.alive = False
        self.cancelled(1)
        return True

    def cancelled(self, count: int) -> None:
        """So many records were taken back: they are not `alive` any more."""
        self._dead += count
        if self._dead > 1_000 and self._dead * 2 > len(self.heap) + len(self.asked):
            self._sweep()

    def arm(self, now: int) -> None:
        """Arm what the pass asked for: delays count from `now`, the end of the pass."""
        asked = self.asked
        if not asked:
            return
        heap = self.heap
        order = self._order
        for record in asked:
            if record.alive:
                order += 1
                record.due = now + record.delay
                heappush(heap, (record.due, order, record))
            else:
                self._dead -= 1
        self._order = order
        asked.clear()

    def due(self, now: int) -> list[Timed]:
        """Take what is due at `now`, in order of time, then of arming."""
        heap = self.heap
        fired: list[Timed] = []
        while heap and heap[0][0] <= now:
            record = heappop(heap)[2]
            if record.alive:
                record.alive = False
                fired.append(record)
            else:
                self._dead -= 1
        return fired

    def due_by(self, now: int) -> bool:
        """Tell whether a pass at `now` has timers to look at."""
        heap = self.heap
        return bool(self.asked) or (bool(heap) and heap[0][0] <= now)

    def again(self, record: TimerRecord, now: int) -> None:
        """Arm the next turn of a repeating record, one period after the last was due; missed turns are skipped."""
        record.alive = True
        record.due += record.period
        if record.due <= now:
            record.due = now + record.period
        self._order += 1
        heappush(self.heap, (record.due, self._order, record))

    def next(self) -> int | None:
        """When the next one is due, or None."""
        heap = self.heap
        while heap and not heap[0][2].alive:
            heappop(heap)
            self._dead -= 1
        return heap[0][0] if heap else None

    def _sweep(self) -> None:
        self.heap = [entry for entry in self.heap if entry[2].alive]
        self.asked = [record for record in self.asked if record.alive]
        heapify(self.heap)
        self._dead = 0
