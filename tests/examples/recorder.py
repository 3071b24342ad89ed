"""Recording clients of a simulated kv, and what must hold of everything they were told.

Each client owns keys it writes once, and all share some counters. A write is acknowledged, refused (it never
happened: TRYAGAIN, MISCONF) or unknown (UNKNOWN, or its connection was lost); reads must agree with that at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from examples.kv.resp import bulks
from regrove.testing import OutsideStream, Simulation

PORT = 6380
COUNTERS = 4
ANSWER_LIMIT = 9_000_000_000  # ns a client waits for an answer before it gives its connection up
REFUSALS = ("TRYAGAIN", "MISCONF")


@dataclass(slots=True)
class Operation:
    """One command of a client. `state` is "open", "ok", "refused" or "unknown"; `value` what it was answered."""

    words: list[bytes]
    client: int
    invoked: int
    state: str = "open"
    answered: int = 0
    value: Any = None

    @property
    def name(self) -> bytes:
        return self.words[0]


@dataclass(slots=True)
class Problem(Exception):
    """An answer of a kind that is never given."""

    text: str


def replies(data: bytes) -> Iterator[tuple[Any, int]]:
    """Yield each whole reply in `data` with where it ends. Errors come as `Problem`."""
    position = 0
    while (found := reply(data, position)) is not None:
        value, position = found
        yield value, position


def reply(data: bytes, position: int) -> tuple[Any, int] | None:
    """Read one reply; None when it is not whole."""
    stop = data.find(b"\r\n", position)
    if stop < 0:
        return None
    kind, text = data[position : position + 1], data[position + 1 : stop]
    position = stop + 2
    match kind:
        case b"+":
            return text, position
        case b"-":
            return Problem(text.decode()), position
        case b":":
            return int(text), position
        case b"$":
            return _bulk(data, position, int(text))
        case _:
            return _array(data, position, int(text))


def _bulk(data: bytes, position: int, length: int) -> tuple[Any, int] | None:
    if length < 0:
        return None, position
    if position + length + 2 > len(data):
        return None
    return data[position : position + length], position + length + 2


def _array(data: bytes, position: int, count: int) -> tuple[Any, int] | None:
    items: list[Any] = []
    for _ in range(count):
        found = reply(data, position)
        if found is None:
            return None
        items.append(found[0])
        position = found[1]
    return items, position


class Client:
    """Sends commands one pipeline after the other, over one connection at a time."""

    def __init__(self, sim: Simulation, number: int, seed: int, think: int) -> None:
        self.sim = sim
        self.number = number
        self.random = Random(f"{seed}/{number}")
        self.think = think  # ns between two pipelines, at most
        self.history: list[Operation] = []
        self.open: list[Operation] = []
        self.stream: OutsideStream | None = None
        self.written: list[bytes] = []  # own keys whose SET was acknowledged
        self.made = 0
        self.stopped = False
        self.buffer = b""
        self.turn = 0

    def begin(self) -> None:
        self._after(self.random.randrange(self.think), self._next)

    def _after(self, delay: int, action: Callable[[], None]) -> None:
        clock = self.sim.world.clock
        clock.at(clock.now + delay, self.number, lambda _: action())

    # --- one pipeline ----------------------------------------------------------------------------------------------

    def _next(self) -> None:
        if self.stopped:
            return
        if self.stream is None or self.stream.over:
            self.stream = self.sim.connect(PORT, node=0)
            self.stream.on_bytes = self._arrived
            self.buffer = b""
        self.open = [self._operation() for _ in range(self.random.choice((1, 1, 1, 2, 5)))]
        self.history += self.open
        self.turn += 1
        turn = self.turn
        self._after(ANSWER_LIMIT, lambda: self._waited(turn))
        self.stream.send(b"".join(bulks(operation.words) for operation in self.open))

    def _operation(self) -> Operation:
        random = self.random
        kind = random.randrange(10)
        if kind < 3 or (kind > 6 and not self.written):
            words = [b"SET", self._fresh(), b"%d" % random.getrandbits(30), *random.choice(([], [], [b"EX", b"9999"]))]
        elif kind < 5:
            words = [b"INCR", b"counter-%d" % random.randrange(COUNTERS)]
        elif kind == 5:
            words = [b"MSET"]
            for _ in range(3):
                words += [self._fresh(), b"%d" % random.getrandbits(30)]
        elif kind == 6:
            words = [b"GET", b"counter-%d" % random.randrange(COUNTERS)]
        elif kind < 9:
            words = [b"MGET", *(random.choice(self.written) for _ in range(3))]
        else:
            key = self.written.pop(random.randrange(len(self.written)))
            words = [b"DEL", key]
        return Operation(words, self.number, self.sim.now)

    def _fresh(self) -> bytes:
        self.made += 1
        return b"own-%d-%d" % (self.number, self.made)

    def _arrived(self, stream: OutsideStream) -> None:
        if stream is not self.stream:
            return
        self.buffer += stream.take()
        end = 0
        for value, stop in replies(self.buffer):
            end = stop
            if not self.open:
                raise AssertionError(f"client {self.number} was answered more than it asked: {value!r}")
            self._answered(self.open.pop(0), value)
        self.buffer = self.buffer[end:]
        if stream.over and self.open:
            self._lost()
        elif not self.open and end:
            self.turn += 1
            self._after(self.random.randrange(self.think), self._next)

    def _answered(self, operation: Operation, value: Any) -> None:
        operation.answered = self.sim.now
        operation.value = value
        if not isinstance(value, Problem):
            operation.state = "ok"
            self._keep(operation)
        elif value.text.startswith(REFUSALS):
            operation.state = "refused"
        elif value.text.startswith("UNKNOWN"):
            operation.state = "unknown"
        else:
            raise AssertionError(f"{operation.words} was answered {value.text!r}")

    def _keep(self, operation: Operation) -> None:
        if operation.name == b"SET":
            self.written.append(operation.words[1])
        elif operation.name == b"MSET":
            self.written += operation.words[1::2]

    def _lost(self) -> None:
        for operation in self.open:
            operation.state = "unknown"
            operation.answered = self.sim.now
        self.open = []
        self.turn += 1
        self._after(self.random.randrange(1, 10) * 20_000_000, self._next)

    def _waited(self, turn: int) -> None:
        if turn == self.turn and self.open and self.stream is not None:
            self.stream.reset()
            self._lost()


# --- what must hold ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Verdict:
    """Counts of what the clients were told; `check` raises AssertionError for a contradiction."""

    operations: list[Operation]
    may: dict[bytes, set[bytes | None]] = field(default_factory=dict)  # an own key's possible values
    counts: dict[str, int] = field(default_factory=dict)

    def check(self) -> None:
        for operation in self.operations:
            self.counts[operation.state] = self.counts.get(operation.state, 0) + 1
        for client in dict.fromkeys(operation.client for operation in self.operations):
            for operation in self.operations:
                if operation.client == client:
                    self._own(operation)
        for number in range(COUNTERS):
            check_counter(b"counter-%d" % number, self.operations)

    def _own(self, operation: Operation) -> None:
        words = operation.words
        if operation.name in (b"SET", b"MSET"):
            words = words[:3] if operation.name == b"SET" else words
            for key, value in zip(words[1::2], words[2::2], strict=True):
                self.may[key] = {None} if operation.state == "refused" else {value}
                if operation.state not in ("ok", "refused"):
                    self.may[key].add(None)
        elif operation.name == b"DEL":
            if operation.state == "ok":
                assert operation.value == 1, f"{words} was answered {operation.value}: {self._story(words[1])}"
                self.may[words[1]] = {None}
            elif operation.state != "refused":
                self.may[words[1]] |= {None}
        elif operation.name == b"MGET" and operation.state == "ok":
            for key, value in zip(words[1:], operation.value, strict=True):
                self.seen(key, value)

    def seen(self, key: bytes, value: bytes | None) -> None:
        """Judge one read of an own key."""
        assert value in self.may[key], f"{key!r} is {value!r}, possible: {self.may[key]}: {self._story(key)}"

    def _story(self, key: bytes) -> str:
        lines = [operation for operation in self.operations if key in operation.words]
        return "\n".join(["", *(f"  {operation}" for operation in lines)])


def check_counter(key: bytes, operations: list[Operation]) -> None:
    """No increment is lost or done twice, and nobody who comes later sees less."""
    mine = [operation for operation in operations if key in operation.words]
    adds = [operation for operation in mine if operation.name == b"INCR" and operation.state == "ok"]
    values = [operation.value for operation in adds]
    assert len(set(values)) == len(values), f"{key!r}: one value was given to two increments: {sorted(values)}"
    told = [operation for operation in mine if operation.state == "ok"]
    for later in told:
        for earlier in told:
            if earlier.answered < later.invoked:
                low = number_of(earlier)
                assert number_of(later) >= low + (later.name == b"INCR"), f"{key!r} went back: {earlier} then {later}"


def number_of(operation: Operation) -> int:
    return int(operation.value or 0)


def check_final(key: bytes, value: bytes | None, operations: list[Operation]) -> None:
    """Judge what a counter is in the end."""
    adds = [operation for operation in operations if operation.words == [b"INCR", key]]
    low = sum(operation.state == "ok" for operation in adds)
    high = low + sum(operation.state == "unknown" for operation in adds)
    assert low <= int(value or 0) <= high, f"{key!r} is {value!r}: {low} increments acknowledged, {high - low} unknown"
