"""Where an isolate is: values that name one life of one isolate, or a name to be looked up.

An `Address` never answers for another life: restart of the isolate (generation), of its core or of its node
(incarnations) makes every older address stale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from regrove.node.core.isolate import Cell
    from regrove.node.core.route import Route


class Home(NamedTuple):
    """One life of one core: `name@host`, the node's incarnation, the core's index and its incarnation."""

    node: str
    node_incarnation: int
    core: int
    core_incarnation: int

    def __str__(self) -> str:
        return f"{self.node}.{self.node_incarnation}/{self.core}.{self.core_incarnation}"


class Address:
    """One life of one isolate. Equal and hashed by value; `cell` and `route` are a core's short cuts and no part of it.

    `cell` is set by the core that owns the isolate, `route` by one that sends to it over a link.
    """

    __slots__ = ("cell", "generation", "home", "route", "slot")

    def __init__(self, home: Home, slot: int, generation: int) -> None:
        self.home = home
        self.slot = slot
        self.generation = generation
        self.cell: Cell | None = None
        self.route: Route | None = None

    @property
    def node(self) -> str:
        """The node's name, `name@host`."""
        return self.home.node

    @property
    def core(self) -> int:
        """The core's index on its node."""
        return self.home.core

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Address):
            return NotImplemented
        return self.slot == other.slot and self.generation == other.generation and self.home == other.home

    def __hash__(self) -> int:
        return hash((self.home, self.slot, self.generation))

    def __repr__(self) -> str:
        return f"<{self.home}/{self.slot}.{self.generation}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return (Address, (self.home, self.slot, self.generation))


class Name(NamedTuple):
    """A registered name: this core's holder, else the lowest core of this node that holds it; `node`, `core` pin it."""

    name: str
    node: str | None = None
    core: int | None = None


class Caller(NamedTuple):
    """Who waits for an answer: may be kept, sent on, and answered by another isolate. `token` is never reused.

    `deadline` is in ns of the clock of the core that holds the value; it crosses links as the time left.
    """

    home: Home
    token: int
    deadline: int | None = None
