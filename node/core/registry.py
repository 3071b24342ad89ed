"""Names and groups: what is registered on this core, and what the other cores are known to hold.

A name is unique on its core. The cores of a node, and joined nodes, replicate registrations on the control path;
look-up is local and may be stale, so a message to a name is resolved by the core that receives it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from regrove.node.core.address import Address, Home, Name
from regrove.node.core.compiling import Unjudged
from regrove.node.core.errors import BoundReached, Misuse
from regrove.node.core.isolate import ENDED, Cell
from regrove.node.core.ports import NamesChanged
from regrove.node.core.sent import STALE, UNREACHABLE, Sent

if TYPE_CHECKING:
    from regrove.node.core.core import Core
    from regrove.node.core.route import Route

NAME_BYTES_MAX: Final = 1_024  # of a name or a group

# A cell of ours; (home, slot or name, generation) of another core; or why there is nothing to send to.
Where: TypeAlias = "Cell | tuple[Home, int | str, int] | Sent"


class Registry:
    """Names and groups of one core, and its copy of what others hold."""

    __slots__ = ("_far_groups", "_far_names", "_found", "_groups", "_homes", "_names", "changed", "core", "routes")

    def __init__(self, core: Core) -> None:
        self.core = core
        self._names: dict[str, Cell] = {}
        self._groups: dict[str, dict[Cell, None]] = {}
        self._homes: dict[tuple[str, int], Home] = {}  # the present life of each known core
        self._found: dict[tuple[str, str], Home | None] = {}  # who holds a name of a node, until anything changes
        self.routes: dict[Name | str, Route] = {}  # to names that isolates of other cores hold, until anything changes
        self._far_names: dict[tuple[str, int], dict[str, None]] = {}
        self._far_groups: dict[tuple[str, int], dict[str, tuple[tuple[int, int], ...]]] = {}
        self.changed = False

    # --- resolving -------------------------------------------------------------------------------------------------

    def resolve(self, to: Unjudged) -> Where:
        """Find where a target is now. Raises Misuse for what is no address, name or string."""
        if type(to) is Address:
            cell = to.cell
            if cell is not None and cell.state != ENDED and cell.address.home is self.core.home:
                return cell
            return self._resolve_address(to)
        if isinstance(to, str):
            here = self._names.get(to)
            return self._resolve_name(Name(to)) if here is None else here
        if type(to) is Name:
            _check_name(to)
            return self._resolve_name(to)
        raise _no_target(to)

    def check_target(self, to: Unjudged) -> None:
        """Raise Misuse, as `resolve` would later, for what is no target."""
        if not isinstance(to, Address):
            _check_name(Name(to) if isinstance(to, str) else to)

    def _resolve_address(self, to: Address) -> Where:
        home = to.home
        core = self.core
        if home == core.home:
            cell = self.local(to.slot, to.generation)
            to.cell = cell  # None too: who keeps the address of a dead isolate does not keep its cell
            return STALE if cell is None else cell
        if home.node == core.home.node and home.core == core.home.core:
            return STALE
        known = self._homes.get((home.node, home.core))
        if known == home or core.links.is_client(home):
            return (home, to.slot, to.generation)
        return UNREACHABLE if known is None else STALE

    def _resolve_name(self, name: Name) -> Where:
        home = self.core.home
        node = home.node if name.node is None else name.node
        if node == home.node and name.core in (None, home.core):
            cell = self._names.get(name.name)
            if cell is not None:
                return cell
            if name.core is not None:
                return STALE
        holder = self._holder(node, name)
        if holder is None:
            known = node == home.node or any(key[0] == node for key in self._homes)
            return STALE if known else UNREACHABLE
        # Only a pinned core is asked without knowing that it holds the name: what cannot be a name does not leave.
        return STALE if name.core is not None and _problem_of(name.name) else (holder, name.name, 0)

    def _holder(self, node: str, name: Name) -> Home | None:
        if name.core is not None:
            return self._homes.get((node, name.core))
        key = (node, name.name)
        if key in self._found:
            return self._found[key]
        holders = [place for place, names in self._far_names.items() if place[0] == node and name.name in names]
        homes = [self._homes[place] for place in sorted(holders) if place in self._homes]
        if len(self._found) >= self.core.bounds.names:
            self._found.clear()
        found = self._found[key] = homes[0] if homes else None
        return found

    def local(self, slot: int | str, generation: int) -> Cell | None:
        """The live cell of this core by slot and generation, or by name."""
        if isinstance(slot, str):
            return self._names.get(slot)
        cells = self.core.cells
        if not 0 <= slot < len(cells):
            return None
        cell = cells[slot]
        if cell is None or cell.address.generation != generation or cell.state == ENDED:
            return None
        return cell

    # --- names -----------------------------------------------------------------------------------------------------

    def register(self, cell: Cell, name: Unjudged) -> bool:
        """Give `cell` a name; False when another isolate of this core holds it. Raises BoundReached."""
        if problem := _problem_of(name):
            raise Misuse(f"a name is {problem}, got {name!r:.200}")
        holder = self._names.get(name)
        if holder is not None:
            return holder is cell
        if len(self._names) >= self.core.bounds.names:
            self.core.counters.bounds_reached += 1
            raise BoundReached("names", self.core.bounds.names, "let isolates that hold unused names end")
        self._names[name] = cell
        self.routes.clear()  # a name of this node is ours first
        own = cell.own()
        if own.names is None:
            own.names = [name]
        else:
            own.names.append(name)
        self.changed = True
        return True

    @property
    def has_room(self) -> bool:
        """Tell whether one more name fits `Bounds.names`."""
        return len(self._names) < self.core.bounds.names

    def holder(self, name: str) -> Address | None:
        """The address of the isolate of this core that holds a name."""
        cell = self._names.get(name)
        return None if cell is None else cell.address

    def whereis(self, name: Unjudged) -> Address | None:
        """The address behind a name, when its holder is on this core. Raises Misuse for what is no name."""
        _check_name(name)
        cell = self._names.get(name.name) if self._resolve_is_here(name) else None
        return None if cell is None else cell.address

    def _resolve_is_here(self, name: Name) -> bool:
        home = self.core.home
        return name.node in (None, home.node) and name.core in (None, home.core)

    # --- groups ----------------------------------------------------------------------------------------------------

    def join(self, cell: Cell, group: Unjudged) -> None:
        """Become a member of `group`; joining twice is joining once. Raises BoundReached."""
        if problem := _problem_of(group):
            raise Misuse(f"a group is {problem}, got {group!r:.200}")
        bounds = self.core.bounds
        members = self._groups.get(group)
        if members is not None and cell in members:
            return
        if members is not None and len(members) >= bounds.members:
            self.core.counters.bounds_reached += 1
            raise BoundReached("members", bounds.members, f"split the group {group!r}")
        if members is None:
            if len(self._groups) >= bounds.groups:
                self.core.counters.bounds_reached += 1
                raise BoundReached("groups", bounds.groups, "leave groups that are no longer used")
            members = self._groups[group] = {}
        members[cell] = None
        if cell.groups is None:
            cell.groups = []
        cell.groups.append(group)
        self.changed = True

    def leave(self, cell: Cell, group: Unjudged) -> None:
        """Stop being a member."""
        if not isinstance(group, str):
            raise Misuse(f"a group is a non-empty str, got {group!r:.200}")
        if cell.groups is not None and group in cell.groups:
            cell.groups.remove(group)
            self._drop_member(cell, group)

    def _drop_member(self, cell: Cell, group: str) -> None:
        members = self._groups.get(group, {})
        members.pop(cell, None)
        if not members:
            self._groups.pop(group, None)
        self.changed = True

    def members(self, group: Unjudged) -> list[Address]:
        """Members on this core in order of joining, then on other cores in order of node and core."""
        if not isinstance(group, str):
            raise Misuse(f"a group is a non-empty str, got {group!r:.200}")
        found = [cell.address for cell in self._groups.get(group, ())]
        for key in sorted(self._far_groups):
            home = self._homes.get(key)
            if home is not None:
                found.extend(Address(home, *place) for place in self._far_groups[key].get(group, ()))
        return found

    def release(self, cell: Cell) -> None:
        """Take an ended isolate's names and memberships back, before anybody hears of its end."""
        for name in cell.names or ():
            del self._names[name]
            self.changed = True
        for group in cell.groups or ():
            self._drop_member(cell, group)
        cell.names = cell.groups = None

    # --- replication -----------------------------------------------------------------------------------------------

    def changes(self) -> NamesChanged | None:
        """What the manager is to be told, once a pass, when anything changed."""
        if not self.changed:
            return None
        self.changed = False
        groups = tuple(
            (group, tuple((cell.address.slot, cell.address.generation) for cell in members))
            for group, members in self._groups.items()
        )
        return NamesChanged(self.core.home.node, self.core.home.core, tuple(self._names), groups)

    def learn_names(self, change: NamesChanged) -> None:
        """Another core's registrations, whole."""
        key = (change.node, change.core)
        self._forget_found()
        self._far_names[key] = dict.fromkeys(change.names)
        self._far_groups[key] = dict(change.groups)

    def _forget_found(self) -> None:
        self._found.clear()
        self.routes.clear()

    def learn_core(self, home: Home) -> Home | None:
        """A core lives; answers the older life that this one replaces."""
        key = (home.node, home.core)
        older = self._homes.get(key)
        if older == home:
            return None
        self._forget_found()
        self._homes[key] = home
        if older is not None:
            self._far_names.pop(key, None)
            self._far_groups.pop(key, None)
        return older

    def forget_core(self, home: Home) -> None:
        """That life of a core is over."""
        key = (home.node, home.core)
        if self._homes.get(key) == home:
            self._forget_found()
            del self._homes[key]
            self._far_names.pop(key, None)
            self._far_groups.pop(key, None)

    def home_of(self, node: str, core: int) -> Home | None:
        """The present life of a core, if it is known."""
        return self._homes.get((node, core))


def _no_target(to: object) -> Misuse:
    return Misuse(f"a message goes to an Address, a Name(str, node=str, core=int) or a str, got {to!r:.200}")


def _check_name(name: object) -> None:
    if type(name) is not Name:
        raise _no_target(name)
    parts: tuple[Unjudged, ...] = tuple(name)
    word, node, core = parts
    if not (
        isinstance(word, str) and (node is None or isinstance(node, str)) and (core is None or isinstance(core, int))
    ):
        raise _no_target(name)


def _problem_of(name: object) -> str:
    """Say what a name or a group has to be, when `name` is not: it has to fit beside a message on the wire."""
    if not isinstance(name, str) or not name:
        return "a non-empty str"
    if len(name) <= NAME_BYTES_MAX and name.isascii():
        return ""
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return "a str without lone surrogates"
    return "" if length <= NAME_BYTES_MAX else f"at most {NAME_BYTES_MAX} bytes of UTF-8"
