"""Every type that travels: one table by class, one by what stands on the wire; filled by decorators.

The one module-level table of the core: a class is registered where it is defined, before any core exists.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from regrove.node.core.errors import Misuse
from regrove.node.core.kinds import NUMBER_CHARGE

if TYPE_CHECKING:
    from regrove.node.core.shapes import Shape

MESSAGE_CHARGE: Final = 64  # bytes charged for any message, before what it holds
DEPTH_LIMIT: Final = 64  # containers and messages inside one another; deeper data is a mistake or a cycle
ITEMS_LIMIT: Final = 1_000_000  # elements of one container: a forged header may not ask for more

NUMBERS: Final = frozenset((type(None), bool, int, float))
TEXTS: Final = frozenset((str, bytes))
SCALARS: Final = NUMBERS | TEXTS
SMALL: Final = NUMBERS | {str}  # scalars no value of which travels apart

Lower: TypeAlias = Callable[[Any, int], object]
Build: TypeAlias = Callable[[list[Any], int], object]
Take: TypeAlias = Callable[[Any, int], tuple[Any, int]]
Split: TypeAlias = Callable[[Any], tuple[object, ...]]


class Tag(enum.IntEnum):
    """What an array on the wire is; names of messages stand in the same place."""

    LIST = 0
    TUPLE = 1
    ENUM = 2
    ADDRESS = 3
    PAIRS = 4  # a dict whose keys are not all plain
    HOME = 5
    NAME = 6
    CALLER = 7


class Refused(Exception):
    """A value does not travel; where is found afterwards, by the slow walk."""


class Apart:
    """What `lower` gives for bytes of 64 KiB and more: they need not be copied into the encoding."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class Broken(Exception):
    """Bytes are not a message; `path` is collected from the inside out."""

    def __init__(self, problem: str, *path: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = list(path)


class Traits(NamedTuple):
    """What is decided once for a class: passes by reference, constant weight or None, may hold a `Caller`."""

    immutable: bool
    size: int | None
    callers: bool


PLAIN_TRAITS: Final = Traits(immutable=True, size=NUMBER_CHARGE, callers=False)


class Tables:
    """Every type that travels, by class and by what stands on the wire. Filled by decorators; the only such table."""

    def __init__(self) -> None:
        self.lower: dict[type, Lower] = {}
        self.take: dict[type, Take] = {}
        self.build: dict[object, Build] = {}
        self.fixed: dict[type, int] = {}  # immutable classes whose charge is a constant
        # For the hot path, to which a miss is dear: that, and 0 for all others; and 0 for every class.
        self.charges: dict[type, int] = {}
        self.uncharged: dict[type, int] = {}
        self.classes: dict[object, type] = {}  # by wire name, for clashes and replacement
        self.names: dict[type, str] = {}  # the root of a path in an error
        self.splits: dict[type, Split] = {}  # a value's fields, for the walks
        self.fields: dict[type, tuple[str, ...]] = {}  # their names
        self.traits: dict[type, Traits] = {}
        self.shapes: dict[type, Shape] = {}

    def claim(self, cls: type, tag: object) -> None:
        """Take a place on the wire. Raises Misuse when another class has it; the same one defined again replaces it."""
        old = self.classes.get(tag)
        if old is not None and old is not cls:
            if (old.__module__, old.__qualname__) != (cls.__module__, cls.__qualname__):
                raise Misuse(
                    f"the wire name {tag!r} is taken by {old.__module__}.{old.__qualname__}: give "
                    f"{cls.__module__}.{cls.__qualname__} another one with @message(name=...)"
                )
            self.forget(old)
        self.classes[tag] = cls

    def charge(self, cls: type, size: int | None) -> None:
        """Keep what every message of `cls` is charged; None: it depends on the message."""
        if size is not None:
            self.fixed[cls] = size
        self.charges[cls] = size or 0
        self.uncharged[cls] = 0

    def forget(self, cls: type) -> None:
        """Drop a class that was defined again: its values travel no more, as none could arrive as what it was."""
        tables: list[dict[type, Any]] = [self.lower, self.take, self.fixed, self.charges, self.uncharged]
        for table in (*tables, self.splits, self.fields, self.traits, self.shapes):
            table.pop(cls, None)

    def withdraw(self, cls: type, tag: object) -> None:
        """Undo a registration that turned out to be wrong."""
        self.forget(cls)
        self.names.pop(cls, None)
        self.classes.pop(tag, None)
        self.build.pop(tag, None)


TABLES: Final = Tables()


def adopt(cls: type) -> None:
    """Make room for a class first seen now: an enum. Raises Refused for everything else."""
    if not issubclass(cls, enum.Enum) or cls in TABLES.names:
        raise Refused
    add_enum(cls)


def add_enum(cls: type[enum.Enum]) -> None:
    """Let members of `cls` travel as (`module:Class`, member); a flag travels as its number."""
    if cls in TABLES.names:
        return
    name = f"{cls.__module__}:{cls.__qualname__}"
    TABLES.claim(cls, (Tag.ENUM, name))
    is_flag = issubclass(cls, enum.Flag)
    TABLES.lower[cls] = lambda member, _depth: (2, name, member.value if is_flag else member.name)
    TABLES.take[cls] = lambda member, _depth: (member, NUMBER_CHARGE)
    TABLES.charge(cls, MESSAGE_CHARGE + NUMBER_CHARGE)
    TABLES.names[cls] = name
    TABLES.traits[cls] = PLAIN_TRAITS
