"""What is still to come for a model whose state is one value: which values anybody will tell apart, or must see.

A value that no operation will tell apart from others any more is as good as any of those (`blur`), and a configuration
that has left a value behind which somebody must still find, and nobody can bring back, explains nothing (`dead`). Both
change no verdict; they keep what is possible small where many operations overlap or have an unknown outcome.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Any, Final, Protocol, runtime_checkable

from regrove.node.simulation.history import FAIL, OK, Operation
from regrove.node.simulation.models import UNKNOWN, Sign

OTHER: Final = Sign("(a value that nobody tells apart)")


@runtime_checkable
class OneValue(Protocol):
    """A model whose state is one value that operations read and replace, such as `Register`."""

    def minds(self, name: str, given: Any, taken: Any) -> tuple[Hashable, ...]:
        """The values on which it depends what the operation does or answers."""

    def needs(self, name: str, given: Any, taken: Any) -> tuple[Hashable, ...]:
        """The one value at which the operation can have answered that, when there is only one."""

    def makes(self, name: str, given: Any, taken: Any) -> tuple[Hashable, ...]:
        """The one value that it may leave behind, when it may change anything."""


class Foresight:
    """What the operations of one key that have not ended yet mind, need and make. Bits are those of the search."""

    def __init__(self, model: OneValue, operations: list[Operation]) -> None:
        self._model = model
        self._minding: Counter[Hashable] = Counter()  # operations that have not ended, by a value they mind
        self._wanting: Counter[Hashable] = Counter()  # those that need it
        self._steps: dict[tuple[Hashable, Hashable], None] = {}  # from what to what one that may happen leads
        self._needing: Counter[Hashable] = Counter()  # those that have not begun
        self._making: Counter[Hashable] = Counter()
        self._needed_by: dict[Hashable, int] = {}  # bits of those under way
        self._made_by: dict[Hashable, int] = {}
        for operation in operations:
            if operation.state == FAIL:
                continue
            taken = taken_of(operation)
            minds, makes, needs = (
                each(operation.name, operation.given, taken) for each in (model.minds, model.makes, model.needs)
            )
            self._needing.update(needs)
            self._making.update(makes)
            if operation.state == OK:
                self._minding.update(minds)
                self._wanting.update(needs)
            else:
                self._steps.update(dict.fromkeys((old, new) for old in minds for new in makes))
        self._minded = self._leading_to(self._minding)
        self._wanted = self._leading_to(self._wanting)

    def _leading_to(self, counted: Counter[Hashable]) -> dict[Hashable, None]:
        """The values that are counted, and those from which what may happen leads to one of them."""
        found = dict.fromkeys(value for value, count in counted.items() if count)
        while more := [old for old, new in self._steps if new in found and old not in found]:
            found.update(dict.fromkeys(more))
        return found

    def begins(self, operation: Operation, bit: int) -> None:
        """An operation is under way from now on, under that bit (0: the search leaves it out)."""
        taken = taken_of(operation)
        for value in self._model.needs(operation.name, operation.given, taken):
            self._needing[value] -= 1
            self._needed_by[value] = self._needed_by.get(value, 0) | bit
        for value in self._model.makes(operation.name, operation.given, taken):
            self._making[value] -= 1
            self._made_by[value] = self._made_by.get(value, 0) | bit

    def ends(self, operation: Operation, bit: int) -> bool:
        """An operation has ended; True when a value is minded by nobody from now on."""
        taken = taken_of(operation)
        idle = False
        for value in self._model.needs(operation.name, operation.given, taken):
            self._needed_by[value] &= ~bit
            self._wanting[value] -= 1
            idle = idle or not self._wanting[value]
        if idle:
            self._wanted = self._leading_to(self._wanting)
        for value in self._model.makes(operation.name, operation.given, taken):
            self._made_by[value] &= ~bit
        forgotten = False
        for value in self._model.minds(operation.name, operation.given, taken):
            self._minding[value] -= 1
            forgotten = forgotten or not self._minding[value]
        if forgotten:
            self._minded = self._leading_to(self._minding)
        return forgotten

    def blur(self, value: Hashable) -> Hashable:
        """The value, or OTHER when nobody tells it from any other that nobody minds."""
        return value if value in self._minded else OTHER

    def in_vain(self, before: Hashable, after: Hashable) -> bool:
        """Whether what need not happen leads nowhere that anybody needs, from where nothing is in the way."""
        return before is OTHER and after not in self._wanted

    def alike(self, operation: Operation) -> Hashable:
        """What is the same for operations that do the same from now on."""
        taken = taken_of(operation)
        made = self._model.makes(operation.name, operation.given, taken)
        return (
            operation.name,
            self._model.minds(operation.name, operation.given, taken),
            tuple(map(self.blur, made)),
            taken,
        )

    def dead(self, left: Hashable, done: int) -> bool:
        """Whether somebody must still find the value that was left behind, and nobody can bring it back."""
        needed = self._needing[left] or self._needed_by.get(left, 0) & ~done
        return bool(needed) and not self._making[left] and not self._made_by.get(left, 0) & ~done


def foresight(model: object, operations: list[Operation]) -> Foresight | None:
    """Look ahead, where the model allows that and every value can be looked up."""
    if not isinstance(model, OneValue):
        return None
    try:
        return Foresight(model, operations)
    except (
        TypeError,
        ValueError,
        LookupError,
    ):  # a value that cannot be looked up, or an operation that the model does not know
        return None


def taken_of(operation: Operation) -> Any:
    """What it answered; UNKNOWN when nobody knows."""
    return operation.taken if operation.state == OK else UNKNOWN
