"""Sequential specifications: what a system answers when its operations come one after the other.

A model is an object with `initial` (a hashable state) and `step(state, name, given, taken) -> state`, or `REFUSED` when
that answer cannot be given in that state. `taken` is `UNKNOWN` for an operation that nobody heard the end of. A step
must depend on its arguments alone. `looks(name, given, taken)` tells which answers can change no state, whatever it is
(a read, a compare-and-set that failed): the checker need not try them in every order.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final, Protocol, TypeAlias

from regrove.node.core.errors import Misuse


class Sign:
    """A word of its own: equal to nothing but itself."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


REFUSED: Final = Sign("REFUSED")
UNKNOWN: Final = Sign("UNKNOWN")

State: TypeAlias = Hashable


class Model(Protocol):
    """A sequential specification."""

    @property
    def initial(self) -> State:
        """The state before the first operation."""

    def step(self, state: Any, name: str, given: Any, taken: Any) -> State:
        """The state after an operation, or REFUSED."""

    def looks(self, name: str, given: Any, taken: Any) -> bool:
        """Whether an operation with that answer leaves every state as it is; False when in doubt."""


class Register:
    """One value: `read` -> value, `write` value, `cas` (old, new) -> whether it was old."""

    def __init__(self, initial: Hashable = None) -> None:
        self.initial: State = initial

    def step(self, state: Any, name: str, given: Any, taken: Any) -> State:
        """See the class."""
        match name:
            case "read":
                return state if taken is UNKNOWN or taken == state else REFUSED
            case "write":
                return _hashable(given)
            case "cas":
                old, new = given
                swapped = state == old
                if taken is not UNKNOWN and bool(taken) != swapped:
                    return REFUSED
                return _hashable(new) if swapped else state
        raise _no_operation(self, name, "read, write, cas")

    def looks(self, name: str, given: Any, taken: Any) -> bool:
        """A read, or a cas that found another value."""
        return name == "read" or (name == "cas" and taken is not UNKNOWN and not taken)

    def minds(self, name: str, given: Any, taken: Any) -> tuple[Hashable, ...]:
        """A read the value it gave, a cas the old value."""
        if name == "cas":
            return (given[0],)
        return (taken,) if name == "read" and taken is not UNKNOWN else ()

    def needs(self, name: str, given: Any, taken: Any) -> tuple[Hashable, ...]:
        """A read the value it gave, a cas that swapped the old value."""
        if name == "cas":
            return (given[0],) if taken is not UNKNOWN and taken else ()
        return (taken,) if name == "read" and taken is not UNKNOWN else ()

    def makes(self, name: str, given: Any, taken: Any) -> tuple[Hashable, ...]:
        """A write its value, a cas that may have swapped the new one."""
        if name == "cas":
            return (given[1],) if taken is UNKNOWN or taken else ()
        return (given,) if name == "write" else ()


class Counter:
    """A number: `add` amount -> the sum after it (None: not told), `read` -> the sum."""

    def __init__(self, initial: int = 0) -> None:
        self.initial: State = initial

    def step(self, state: Any, name: str, given: Any, taken: Any) -> State:
        """See the class."""
        match name:
            case "read":
                return state if taken is UNKNOWN or taken == state else REFUSED
            case "add":
                after = state + given
                return after if taken is UNKNOWN or taken is None or taken == after else REFUSED
        raise _no_operation(self, name, "add, read")

    def looks(self, name: str, given: Any, taken: Any) -> bool:
        """A read."""
        return name == "read"


class Queue:
    """First in, first out: `put` value, `take` -> the oldest value, None when it is empty."""

    initial: State = ()

    def step(self, state: Any, name: str, given: Any, taken: Any) -> State:
        """See the class."""
        match name:
            case "put":
                return (*state, _hashable(given))
            case "take":
                first = state[0] if state else None
                return state[1:] if taken is UNKNOWN or taken == first else REFUSED
        raise _no_operation(self, name, "put, take")

    def looks(self, name: str, given: Any, taken: Any) -> bool:
        """A take that found nothing."""
        return name == "take" and taken is None


class Mutex:
    """A lock: `acquire` -> whether it was free, `release` -> whether it was held by that process (`given`)."""

    initial: State = None

    def step(self, state: Any, name: str, given: Any, taken: Any) -> State:
        """See the class; `given` is who asks."""
        match name:
            case "acquire":
                after = _hashable(given) if state is None else state
                done = state is None
            case "release":
                done = state is not None and state == given
                after = None if done else state
            case _:
                raise _no_operation(self, name, "acquire, release")
        return after if taken is UNKNOWN or bool(taken) == done else REFUSED

    def looks(self, name: str, given: Any, taken: Any) -> bool:
        """An acquire or a release that was refused."""
        return taken is not UNKNOWN and not taken


def _hashable(value: Any) -> Hashable:
    try:
        hash(value)
    except TypeError:
        raise Misuse(f"a model's state has to be hashable, got {value!r:.100}: record a tuple or a repr") from None
    return value  # type: ignore[no-any-return]


def _no_operation(model: object, name: str, known: str) -> Misuse:
    return Misuse(f"{type(model).__name__} knows {known}; the history has {name!r}: record those, or write a model")
