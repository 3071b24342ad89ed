"""What a client knows of a cluster [pure]: the lives of its cores, where to dial them, and who holds which name.

It is fed with the `call-info` of a manager (`node/process/control.py`) and answers where a target is now. What it says
of names may be stale: the core that receives a request resolves the name again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from regrove.node.core.address import Address, Home, Name
from regrove.node.core.errors import Misuse
from regrove.node.core.sent import STALE, UNREACHABLE, Sent
from regrove.records import dataclass

# Where to send: the core, the slot or name there, the generation (0 for a name); or why there is nothing to send to.
Where: TypeAlias = tuple[Home, int | str, int] | Sent


@dataclass(frozen=True, slots=True)
class Door:
    """Where a life of a core is dialled; `key` is its public CURVE key (Z85), or empty."""

    home: Home
    endpoint: str
    key: str = ""


class Directory:
    """The cores and names of the node a client is connected to, and of the nodes joined to it."""

    __slots__ = ("_absent", "_holders", "_info", "_local", "application", "doors", "incarnation", "node")

    def __init__(self, local: bool) -> None:
        self._local = local  # dial the ipc endpoints of the node itself
        self._info: Mapping[str, Any] | None = None  # what was taken last, while all of it stands
        self.node = ""
        self.incarnation = 0
        self.application = ""
        self.doors: dict[tuple[str, int], Door] = {}
        self._holders: dict[tuple[str, str], tuple[int, ...]] = {}  # (node, name) -> cores, lowest first
        self._absent: dict[tuple[str, int], frozenset[str]] = {}  # names of cores that are on their way back

    def update(self, info: Mapping[str, Any]) -> tuple[list[Door], list[Home]]:
        """Take a whole `call-info`; answers the lives to learn and those that are over."""
        if info == self._info:
            return [], []
        self._info = info
        self.node = str(info["node"])
        self.incarnation = int(info["incarnation"])
        self.application = str(info.get("application", ""))
        doors: dict[tuple[str, int], Door] = {}
        holders: dict[tuple[str, str], list[int]] = {}
        for row in (info, *info.get("nodes", ())):
            own = row is info
            for door in _doors(row, "endpoint" if own and self._local else "remote"):
                doors[(door.home.node, door.home.core)] = door
            for name, core in row.get("names", ()):
                holders.setdefault((str(row["node"]), str(name)), []).append(int(core))
        older = self.doors
        self.doors = doors
        self._absent = self._missing(holders)
        self._holders = {key: tuple(sorted(cores)) for key, cores in holders.items()}
        learned = [door for key, door in doors.items() if older.get(key) != door]
        gone = [door.home for key, door in older.items() if key not in doors or doors[key].home != door.home]
        return learned, gone

    def _missing(self, holders: Mapping[tuple[str, str], list[int]]) -> dict[tuple[str, int], frozenset[str]]:
        """The names of cores that held some and now hold none: a core that is being replaced, whose tree starts."""
        now = {(node, core) for (node, _), cores in holders.items() for core in cores}
        before: dict[tuple[str, int], frozenset[str]] = dict(self._absent)
        for (node, name), cores in self._holders.items():
            for core in cores:
                before[(node, core)] = before.get((node, core), frozenset()) | {name}
        return {place: names for place, names in before.items() if place not in now}

    @property
    def outdated(self) -> bool:
        """Whether an update may tell more than the last one, even where it says the same."""
        return self._info is None

    def drop(self, home: Home) -> None:
        """That life of a core does not answer any more: nothing is sent to it until an update names a newer one."""
        door = self.doors.get((home.node, home.core))
        if door is not None and door.home == home:
            del self.doors[(home.node, home.core)]
            self._info = None

    def nodes(self) -> tuple[str, ...]:
        """The known nodes by name, the connected one first."""
        others = dict.fromkeys(node for node, _ in self.doors if node != self.node)
        return (self.node, *sorted(others))

    def homes(self, node: str | None = None) -> list[Home]:
        """The present lives of the cores of a node (None: the connected one), lowest first."""
        full = self._full(node)
        return sorted(door.home for (name, _), door in self.doors.items() if name == full)

    def resolve(self, target: object) -> Where:
        """Find where `target` is now. Raises Misuse for what is no address, name or text."""
        match target:
            case Address():
                return self._address(target)
            case Name():
                return self._name(target)
            case str():
                return self._name(Name(target))
            case _:
                raise Misuse(f"a message goes to an Address, a Name or a text, got {target!r}")

    def holder(self, name: Name) -> Name | None:
        """The name pinned to the node and the lowest core that hold it, or None."""
        node = self._full(name.node)
        cores = self._cores(node, name)
        return Name(name.name, node, cores[0]) if cores else None

    def _address(self, target: Address) -> Where:
        door = self.doors.get((target.node, target.core))
        if door is None:
            return UNREACHABLE
        return (door.home, target.slot, target.generation) if door.home == target.home else STALE

    def _name(self, target: Name) -> Where:
        node = self._full(target.node)
        if target.core is not None:
            door = self.doors.get((node, target.core))
            return UNREACHABLE if door is None else (door.home, target.name, 0)
        cores = self._cores(node, target)
        if not cores:
            held = (node, target.name) in self._holders or any(
                place[0] == node and target.name in names for place, names in self._absent.items()
            )
            return UNREACHABLE if held or node not in self.nodes() else STALE
        return (self.doors[(node, cores[0])].home, target.name, 0)

    def _cores(self, node: str, name: Name) -> list[int]:
        cores = self._holders.get((node, name.name), ())
        return [core for core in cores if (node, core) in self.doors and name.core in (None, core)]

    def _full(self, node: str | None) -> str:
        """A node may be named without its host, when that is unique."""
        if node is None:
            return self.node
        fits = [known for known in self.nodes() if known == node or known.partition("@")[0] == node]
        return fits[0] if len(fits) == 1 else node


def _doors(row: Mapping[str, Any], field: str) -> Iterable[Door]:
    for core in row.get("cores", ()):
        endpoint = str(core.get(field) or core.get("remote") or "")
        if endpoint:
            home = Home(str(row["node"]), int(row["incarnation"]), int(core["core"]), int(core["incarnation"]))
            key = "" if field == "endpoint" else str(core.get("key") or "")
            yield Door(home, endpoint, key)
