"""The children of one supervisor: a slot each, found by key, id or address in constant time, in start order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

from regrove.records import dataclass
from regrove.supervisor.intensity import Intensity
from regrove.supervisor.spec import OWN_PERIOD, AnySpec

SlotState: TypeAlias = Literal["running", "starting", "restarting", "stopping", "stopped"]


@dataclass(frozen=True, slots=True)
class Row:
    """One child as others see it; `restarts` are the restarts of this child, `last_reason` why its last life ended."""

    key: int
    id: str
    spec: AnySpec
    address: object | None
    state: SlotState
    restarts: int
    last_reason: object | None


@dataclass(frozen=True, slots=True)
class Pending:
    """A Retry that is on its way.

    `delayed`: it comes after a delay, or when the child's place is there, and can be taken back. `counted`: what it
    does was counted when the child ended.
    """

    token: int
    delayed: bool
    counted: bool


class Pace:
    """What a child with a backoff or an intensity of its own is judged by."""

    __slots__ = ("began_ns", "failures", "window")

    def __init__(self, window: Intensity | None) -> None:
        self.window = window
        self.failures = 0  # in a row, for the backoff
        self.began_ns = 0  # when the present life had started


class Past:
    """What a child has once a life of it is over, or that was paced from the beginning."""

    __slots__ = ("last_reason", "pace", "restarts", "retry")

    def __init__(self, pace: Pace | None) -> None:
        self.pace = pace
        self.retry: Pending | None = None
        self.restarts = 0
        self.last_reason: object | None = None


class Slot:
    """One child in all its lives. `address` is of the present life, or of the last one; most have no `past`.

    `life` is the driver's: what it knows of the present life. Nothing here looks at it.
    """

    __slots__ = ("address", "key", "life", "past", "spec", "state")

    def __init__(self, key: int, spec: AnySpec) -> None:
        self.key = key
        self.spec = spec
        self.state: SlotState = "stopped"
        self.address: object | None = None
        self.life: Any = None
        self.past: Past | None = None
        own = spec.own_intensity
        if own is not None:
            self.past = Past(Pace(Intensity(own, OWN_PERIOD if spec.own_period is None else spec.own_period)))
        elif spec.backoff is not None:
            self.past = Past(Pace(None))

    def own_past(self) -> Past:
        """The record of what was, made now if need be."""
        if self.past is None:
            self.past = Past(None)
        return self.past

    @property
    def pace(self) -> Pace | None:
        """What it is judged by, with a backoff or an intensity of its own."""
        return None if self.past is None else self.past.pace

    @property
    def retry(self) -> Pending | None:
        """The retry that is on its way."""
        return None if self.past is None else self.past.retry

    @retry.setter
    def retry(self, value: Pending | None) -> None:
        self.own_past().retry = value

    @property
    def restarts(self) -> int:
        """How often it was restarted."""
        return 0 if self.past is None else self.past.restarts

    @restarts.setter
    def restarts(self, value: int) -> None:
        self.own_past().restarts = value

    @property
    def last_reason(self) -> object | None:
        """Why its last life ended."""
        return None if self.past is None else self.past.last_reason

    @last_reason.setter
    def last_reason(self, value: object | None) -> None:
        self.own_past().last_reason = value

    @property
    def alive(self) -> bool:
        """Whether it has a life: running, or in its `start`, or on its way out."""
        return self.state in ("running", "starting", "stopping")

    @property
    def window(self) -> Intensity | None:
        """The intensity of its own."""
        pace = self.pace
        return None if pace is None else pace.window

    def lives(self, now_ns: int) -> None:
        """A life of it has started."""
        self.state = "running"
        past = self.past
        if past is not None and past.pace is not None:
            past.pace.began_ns = now_ns

    @property
    def temporary(self) -> bool:
        """Whether it is never started again."""
        return self.spec.restart == "temporary"

    @property
    def held(self) -> bool:
        """Whether it runs or is about to."""
        return self.state != "stopped"

    def row(self) -> Row:
        """Show it to others."""
        address = self.address if self.state in ("running", "stopping") else None
        return Row(self.key, self.spec.id, self.spec, address, self.state, self.restarts, self.last_reason)

    def __repr__(self) -> str:
        return f"<child {self.key} {self.spec.id!r} {self.state}>"


class Slots:
    """All children in start order; a dynamic supervisor's are not found by id."""

    __slots__ = ("_by_address", "_by_id", "_by_key", "_dynamic", "_next", "get")

    def __init__(self, dynamic: bool) -> None:
        self._dynamic = dynamic
        self._next = 1
        self._by_key: dict[int, Slot] = {}
        self.get = self._by_key.get  # find a child by key: the dict's own method, because it is asked for each exit
        self._by_id: dict[str, Slot] = {}
        self._by_address: dict[object, Slot] | None = None  # made when somebody asks: most are never asked for so

    def add(self, spec: AnySpec) -> Slot:
        """Append a child; its key is never given again."""
        key = self._next
        self._next = key + 1
        self._by_key[key] = slot = Slot(key, spec)
        if not self._dynamic:
            self._by_id[spec.id] = slot
        return slot

    def add_running(self, spec: AnySpec, address: object) -> Slot:
        """Append a child that runs already."""
        slot = self.add(spec)
        slot.state = "running"
        slot.address = address
        if self._by_address is not None:
            self._by_address[address] = slot
        return slot

    def remove(self, slot: Slot) -> None:
        """Forget a child and its spec; a retry that is still on its way finds it stopped."""
        slot.state = "stopped"
        del self._by_key[slot.key]
        if not self._dynamic:
            del self._by_id[slot.spec.id]
        self.unplace(slot)

    def place(self, slot: Slot, address: object) -> None:
        """Note where the child's new life is."""
        if self._by_address is not None:
            self.unplace(slot)
            self._by_address[address] = slot
        slot.address = address

    def unplace(self, slot: Slot) -> None:
        """Forget where the child was."""
        if slot.address is not None:
            if self._by_address is not None:
                self._by_address.pop(slot.address, None)
            slot.address = None

    def __getitem__(self, key: int) -> Slot:
        return self._by_key[key]

    def __contains__(self, key: int) -> bool:
        return key in self._by_key

    def find(self, child: object) -> Slot | None:
        """Find a child by id or by address: the present one, or the last one while it is restarting."""
        if isinstance(child, str):
            return self._by_id.get(child)
        try:
            return self._addresses().get(child)
        except TypeError:  # an unhashable value from afar is nobody's address
            return None

    def _addresses(self) -> dict[object, Slot]:
        if self._by_address is None:
            self._by_address = {slot.address: slot for slot in self if slot.address is not None}
        return self._by_address

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._by_key.values())

    def backwards(self) -> Iterator[Slot]:
        """Yield the children in stopping order."""
        return reversed(self._by_key.values())
