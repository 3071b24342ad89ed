"""Is a history linearizable (Herlihy and Wing): can each operation be given one instant between its beginning and its
end so that a sequential model answers the same?

The history is walked once (Lowe, "Testing for linearizability", just-in-time). Kept are all configurations that are
still possible: a state of the model, and which of the operations under way have had their instant already. An
operation gets its instant when its end forces it, others before it only where that helps. Keys are judged one by one
(linearizability is local). What ended as `info`, or never, may have its instant at any time or not at all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from typing import Any, Final

from regrove.node.core.errors import Misuse, RegroveError
from regrove.node.simulation.clock import written
from regrove.node.simulation.foresight import Foresight, foresight, taken_of
from regrove.node.simulation.hiding import ours
from regrove.node.simulation.history import FAIL, OK, History, Operation
from regrove.node.simulation.models import REFUSED, UNKNOWN, Model

__tracebackhide__ = ours  # of pytest

STEPS: Final = 20_000_000  # of the model, for one key: some ten seconds
COMPARISONS: Final = 8  # of what is possible take as long as one step
SHOWN: Final = 12  # operations of each sort in an explanation
RECENT: Final = 5

Configuration = tuple[Hashable, int]  # a state, and a bit for each operation under way that has had its instant


class NotLinearizable(AssertionError):
    """No order of a key's operations gives these answers; `operation` is the first that fits nowhere."""

    def __init__(self, key: Hashable, operation: Operation, states: list[Hashable], open_: list[Operation]) -> None:
        self.key = key
        self.operation = operation
        self.states = states
        self.open = open_
        self.recent: list[Operation] = []
        super().__init__(operation)

    def __str__(self) -> str:
        where = "the history" if self.key is None else f"the history of key {self.key!r}"
        lines = [f"{where} is not linearizable: nothing explains", f"  {self.operation!r}"]
        lines.append(f"possible before it: {_some([repr(state) for state in self.states])}")
        if self.open:
            lines.append("under way with it:")
            lines += [f"  {operation!r}" for operation in self.open[:SHOWN]]
            lines += [f"  ... and {len(self.open) - SHOWN} more"] if len(self.open) > SHOWN else []
        if self.recent:
            lines.append("ended last before it:")
            lines += [f"  {operation!r}" for operation in self.recent]
        return "\n".join(lines)


class TooManyOrders(RegroveError):
    """The check gave up: too many operations of one key overlap, or ended as `info`."""

    def __init__(self, key: Hashable, steps: int, time: int) -> None:
        super().__init__(
            f"whether key {key!r} is linearizable was not decided within {steps} steps (given up at operations of "
            f"{written(time)}): use more keys, fewer processes a key, or fewer operations whose outcome is unknown"
        )


def linearizable(history: History | Iterable[Operation], model: Model, *, steps: int = STEPS) -> None:
    """Check every key of a history against `model`. Raises NotLinearizable, TooManyOrders, Misuse (unknown names)."""
    if isinstance(model, type) or not hasattr(model, "step"):
        raise Misuse(f"linearizable takes a model, an object such as Register(), got {model!r:.100}")
    keys: dict[Hashable, list[Operation]] = {}
    for operation in history:
        if not isinstance(operation, Operation):
            raise Misuse(f"linearizable takes a history or its operations, got {operation!r:.100} among them")
        keys.setdefault(operation.key, []).append(operation)
    for key, operations in keys.items():
        _judge(key, model, operations, steps)


def _judge(key: Hashable, model: Model, operations: list[Operation], steps: int) -> None:
    ahead = foresight(model, operations)
    try:
        _Search(key, model, steps, ahead).walk(operations)
    except NotLinearizable as told:
        if ahead is None:
            raise
        try:  # without looking ahead it names the first that fits nowhere, and what was possible then
            _Search(key, model, steps // 100).walk(operations)
        except TooManyOrders:
            raise told from None


class _Search:
    """The walk over the operations of one key."""

    def __init__(self, key: Hashable, model: Model, steps: int, ahead: Foresight | None = None) -> None:
        self._key = key
        self._model = model
        self._limit = self._left = steps
        self._ahead = ahead
        first = model.initial if ahead is None else ahead.blur(model.initial)
        self._configurations: set[Configuration] = {(first, 0)}
        self._under_way: dict[int, Operation] = {}  # by bit
        self._looks: dict[int, Operation] = {}  # those that change no state
        self._ended = 0  # bits of operations whose end is known
        self._free: list[int] = []
        self._bits: dict[int, int] = {}  # the bit of an operation, by its beginning
        # Bits of operations that differ in nothing: the one that ends first may as well have its instant first.
        self._alike: dict[Hashable, list[int]] = {}

    def walk(self, operations: list[Operation]) -> None:
        events: list[tuple[int, Operation, bool]] = []
        for operation in operations:
            if operation.state == FAIL:
                continue
            events.append((operation.began, operation, False))
            if operation.state == OK:
                assert operation.ended is not None
                events.append((operation.ended, operation, True))
        recent: deque[Operation] = deque(maxlen=RECENT)
        for _, operation, ends in sorted(events, key=lambda event: event[0]):
            if not ends:
                self._begin(operation)
                continue
            try:
                self._end(operation)
            except NotLinearizable as violation:
                violation.recent = list(recent)
                raise
            recent.append(operation)

    # --- an operation begins ---------------------------------------------------------------------------------------

    def _begin(self, operation: Operation) -> None:
        known = operation.state == OK
        looks = self._model.looks(operation.name, operation.given, operation.taken if known else UNKNOWN)
        if looks and not known:
            if self._ahead is not None:
                self._ahead.begins(operation, 0)
            return  # it changed nothing, and nobody knows what it saw
        bit = self._free.pop() if self._free else 1 << (len(self._under_way))
        self._under_way[bit] = operation
        self._bits[operation.began] = bit
        if self._ahead is not None:
            self._ahead.begins(operation, bit)
        if known:
            self._ended |= bit
        if looks:
            self._looks[bit] = operation
            self._configurations = {self._with_looks(*each) for each in self._configurations}
        else:
            self._join_alike(operation, bit)

    def _join_alike(self, operation: Operation, bit: int) -> None:
        word: Hashable = (operation.name, operation.given, taken_of(operation))
        try:
            alike = self._alike.setdefault(word if self._ahead is None else self._ahead.alike(operation), [])
        except TypeError:  # it cannot be looked up: it stands for itself
            alike = self._alike.setdefault(operation.began, [])
        alike.append(bit)
        alike.sort(key=lambda each: _end_of(self._under_way[each]))

    def _forget(self) -> None:
        """A value is minded by nobody any more: what differed in it alone is alike now."""
        ahead = self._ahead
        assert ahead is not None
        self._alike.clear()
        for bit, operation in self._under_way.items():
            if bit not in self._looks:
                self._join_alike(operation, bit)
        kept = _Minimal(self._ended)
        for state, done in self._configurations:
            kept.add((ahead.blur(state), self._in_turn(done)))
        self._configurations = set(kept.configurations())

    def _in_turn(self, done: int) -> int:
        """The same many of operations that never end and are alike now, the oldest ones."""
        for alike in self._alike.values():
            if alike[0] & self._ended:
                continue  # the one that has its instant may have had it before another one began
            count = sum(bool(done & bit) for bit in alike)
            for place, bit in enumerate(alike):
                done = done | bit if place < count else done & ~bit
        return done

    def _with_looks(self, state: Hashable, done: int) -> Configuration:
        """Give an instant to each look that this state answers right: no later one could be better."""
        for bit, operation in self._looks.items():
            if not done & bit and self._step(state, operation) is not REFUSED:
                done |= bit
        return state, done

    # --- an operation ends -----------------------------------------------------------------------------------------

    def _end(self, operation: Operation) -> None:
        bit = self._bits.pop(operation.began)
        kept = _Minimal(self._ended)
        for configuration in self._configurations:
            if configuration[1] & bit:
                kept.add(configuration)
        waiting = [each for each in self._configurations if not each[1] & bit]
        if waiting:
            self._reach(bit, waiting, kept)
        if not kept.found:
            states = list({state: None for state, _ in sorted(self._configurations, key=repr)})
            others = [other for other in self._under_way.values() if other is not operation]
            raise NotLinearizable(self._key, operation, states, others)
        del self._under_way[bit]
        self._looks.pop(bit, None)
        self._ended &= ~bit
        self._free.append(bit)
        self._configurations = {(state, done & ~bit) for state, done in kept.configurations()}
        for word, alike in self._alike.items():
            if bit in alike:
                alike.remove(bit)
                if not alike:
                    del self._alike[word]
                break
        if self._ahead is not None and self._ahead.ends(operation, bit):
            self._forget()

    def _reach(self, bit: int, waiting: list[Configuration], kept: _Minimal) -> None:
        """Find every configuration in which the operation of `bit` has had its instant, fewest `info` ones first."""
        seen = _Minimal(self._ended)
        frontier = [each for each in waiting if seen.add(each)]
        while frontier:
            found: list[Configuration] = []
            for state, done in frontier:
                self._extend(state, done, bit, kept, found, seen)
                self._spend((seen.compare() + kept.compare()) // COMPARISONS)
            frontier = found

    def _extend(
        self, state: Hashable, done: int, bit: int, kept: _Minimal, found: list[Configuration], seen: _Minimal
    ) -> None:
        ahead = self._ahead
        for alike in self._alike.values():
            other = next((each for each in alike if not done & each), 0)
            if not other:
                continue
            after = self._step(state, self._under_way[other])
            if after is REFUSED or (after == state and not self._ended & other):
                continue
            if ahead is not None:
                after = ahead.blur(after)
                if after != state and ahead.dead(state, done | other):
                    continue
                if not self._ended & other and ahead.in_vain(state, after):
                    continue
            reached = self._with_looks(after, done | other)
            if reached[1] & bit:
                kept.add(reached)
            elif seen.add(reached):
                found.append(reached)

    def _step(self, state: Hashable, operation: Operation) -> Any:
        self._spend(1, operation.invoked)
        taken = operation.taken if operation.state == OK else UNKNOWN
        return self._model.step(state, operation.name, operation.given, taken)

    def _spend(self, steps: int, time: int = 0) -> None:
        self._left -= steps
        if self._left < 0:
            raise TooManyOrders(self._key, self._limit, time or max(each.invoked for each in self._under_way.values()))


def _end_of(operation: Operation) -> tuple[bool, int]:
    """When it ends, for a sort: what never does is last, in the order of their beginnings."""
    ended = operation.ended if operation.state == OK else None
    return ended is None, operation.began if ended is None else ended


class _Minimal:
    """A set of configurations without those that another one makes superfluous.

    Of two with one state and the same instants given among the operations whose end is known, the one that has used
    fewer of the `info` operations can do all that the other can: an `info` operation never has to happen.
    """

    __slots__ = ("_compared", "_ended", "found")

    def __init__(self, ended: int) -> None:
        self._compared = 0
        self._ended = ended
        self.found: dict[Configuration, list[int]] = {}

    def add(self, configuration: Configuration) -> bool:
        """Take it in; False when it is superfluous."""
        state, done = configuration
        key = (state, done & self._ended)
        used = done & ~self._ended
        there = self.found.get(key)
        if there is None:
            self.found[key] = [used]
            return True
        self._compared += len(there)
        if any(not other & ~used for other in there):
            return False
        self.found[key] = [other for other in there if used & ~other]
        self.found[key].append(used)
        return True

    def compare(self) -> int:
        """How many comparisons there were since this was asked last."""
        compared, self._compared = self._compared, 0
        return compared

    def configurations(self) -> Iterable[Configuration]:
        """What is in it."""
        return [(state, done | used) for (state, done), sets in self.found.items() for used in sets]


def _some(texts: list[str]) -> str:
    return ", ".join(texts[:SHOWN]) + (f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else "")
