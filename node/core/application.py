"""What a user hands to a node: an Application, whose tree is built once on every core."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from zlib import crc32

from regrove.node.core.bounds import Bounds
from regrove.node.core.errors import Misuse
from regrove.records import dataclass, field
from regrove.supervisor.spec import DynamicSupervisor, Supervisor, validate_tree


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tree is built: the node's name, this core's index, the number of cores, the role, the settings."""

    node: str
    core: int
    cores: int
    role: str = ""
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Application:
    """A name and `tree(place) -> Supervisor`, called once on every core. `bounds` apply to each core.

    `version` is shown when nodes of different versions meet; it never refuses.
    """

    name: str
    tree: Callable[[Place], Supervisor]
    bounds: Bounds = Bounds()
    version: str = "0"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise Misuse(f"Application(name, tree=...): name is a non-empty string, got {self.name!r}")
        if not callable(self.tree):
            raise Misuse(f"Application({self.name!r}): tree is a function of place, got {self.tree!r}")
        if not isinstance(self.bounds, Bounds):
            raise Misuse(f"Application({self.name!r}): bounds is a Bounds(...), got {self.bounds!r}")

    def build(self, place: Place) -> Supervisor:
        """Build the tree for `place`; raises Misuse when `tree` returns anything but a Supervisor, and SpecError."""
        root = self.tree(place)
        if isinstance(root, DynamicSupervisor) or not isinstance(root, Supervisor):
            raise Misuse(
                f"the tree of application {self.name!r} is {root!r}; "
                'return Supervisor("root", [Child(...), ...]) from tree(place)'
            )
        return validate_tree(root)


def key_to_core(key: str | bytes | int, cores: int) -> int:
    """Place a key on one of `cores` cores: the same answer in every process, on every machine and Python.

    CRC-32 of the key's bytes (of an int: two's complement, little-endian): cheap, and stable where `hash()` is not.
    """
    if cores < 1:
        raise Misuse(f"key_to_core(key, cores): cores is at least 1, got {cores!r}")
    if isinstance(key, int):
        data = key.to_bytes(key.bit_length() // 8 + 1, "little", signed=True)
    else:
        data = key.encode() if isinstance(key, str) else key
    return crc32(data) % cores
