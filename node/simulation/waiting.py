"""Who waits for whom in a world, and who can never go on: deadlocks, named.

An isolate that waits for an answer (`Call`, `CallAll`), for room (`Push`) or for a ticket (`Await`) can go on when the
one it waits for can: a Call when its target can, a CallAll when all of them can, an Await when any of them can. Whoever
takes mail, sleeps, or waits for I/O or a timer can go on by itself. The rest is a deadlock, until a timeout breaks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from regrove.node.core.address import Address, Home, Name
from regrove.node.core.effects import Await, Call, CallAll, Push, Wait
from regrove.node.core.isolate import OUTCOME, STOP, Cell, Request
from regrove.node.simulation.cores import SimulatedCore
from regrove.node.simulation.finding import cells

if TYPE_CHECKING:
    from regrove.node.simulation.world import World

Key = tuple[str, int, int, int]  # node, core, slot, generation


@dataclass(frozen=True, slots=True)
class Waiting:
    """One isolate that waits for others: `kind` is call, calls, capacity or tickets, `site` the user's file:line."""

    key: Key
    place: str
    path: str
    kind: str
    site: str
    targets: tuple[Key, ...]
    any: bool = False  # one of the targets is enough

    def __str__(self) -> str:
        return f"{self.place} {self.path} ({self.kind} at {self.site})"


@dataclass(frozen=True, slots=True)
class Deadlock:
    """Isolates each of which waits for the next, and the last for the first."""

    circle: tuple[Waiting, ...]

    def __str__(self) -> str:
        first = self.circle[0]
        return f"deadlock: {' -> '.join(map(str, self.circle))} -> {first.place} {first.path}"


def waits(world: World) -> dict[Key, Waiting]:
    """Everyone that waits for other isolates now, by node, core and slot."""
    found: dict[Key, Waiting] = {}
    for node in world.nodes:
        for place in node.cores:
            for cell in cells(place):
                row = _waiting(world, place, cell)
                if row is not None:
                    found[row.key] = row
    return found


def deadlocks(world: World) -> list[Deadlock]:
    """The circles of isolates that cannot go on, each once, beginning at its lowest place."""
    stuck = _stuck(waits(world))
    circles = []
    told: dict[Key, None] = {}
    for key in stuck:
        path: dict[Key, None] = {}
        while key not in path and key not in told:
            path[key] = None
            key = next(target for target in stuck[key].targets if target in stuck)
        told.update(path)
        if key in path:
            steps = list(path)
            circles.append(Deadlock(tuple(stuck[step] for step in steps[steps.index(key) :])))
    return circles


def _stuck(rows: dict[Key, Waiting]) -> dict[Key, Waiting]:
    """Take away whoever can go on until nobody is left who can."""
    stuck = dict(rows)
    while True:
        free = [key for key, row in stuck.items() if _goes_on(row, stuck)]
        if not free:
            return stuck
        for key in free:
            del stuck[key]


def _goes_on(row: Waiting, stuck: dict[Key, Waiting]) -> bool:
    able = (target not in stuck for target in row.targets)
    return any(able) if row.any else all(able)


def _waiting(world: World, place: SimulatedCore, cell: Cell) -> Waiting | None:
    wait = cell.wait
    if wait is None or cell.flags & (OUTCOME | STOP):
        return None
    match wait:
        case Call():
            kind, owed = "call", [(wait.to, cell.wait_token)]
        case CallAll():
            kind, owed = "calls", _unanswered(place, cell)
        case Push():
            kind, owed = "capacity", [(wait.to, cell.wait_token)]
        case Await():
            kind, owed = "tickets", _awaited(place, cell, wait)
        case _:
            return None
    targets = [_holder(world, place, to, token) for to, token in owed]
    known = tuple(_key(target.address) for target in targets if target is not None)
    if not known or len(known) < len(targets):
        return None  # a timer or I/O is among them, or something is on its way: it can go on
    return Waiting(_key(cell.address), place.short, cell.path, kind, wait.site, known, any=type(wait) is Await)


def _key(address: Address) -> Key:
    return (address.node, address.core, address.slot, address.generation)


def _unanswered(place: SimulatedCore, cell: Cell) -> list[tuple[Any, int]]:
    assert place.life is not None
    debts = place.life.core.calls.debts.values()
    parts = [debt for debt in debts if debt.group is not None and debt.group[0] == cell.wait_token]
    return [(_target(debt.wait), debt.token) for debt in parts]


def _awaited(place: SimulatedCore, cell: Cell, wait: Await) -> list[tuple[Any, int]]:
    """What the tickets wait for; None for one that is no call: a timer, I/O, a monitor."""
    assert place.life is not None
    debts = place.life.core.calls.debts
    tokens = [ticket.token for ticket in wait.tickets]
    if not tokens:  # for anything that is owed to it
        tokens = [token for table in (cell.debts, cell.timers, cell.monitors) for token in table or ()]
    owed = [(debts.get(token), token) for token in tokens]
    return [(None if debt is None else _target(debt.wait), token) for debt, token in owed]


def _target(wait: Wait) -> Any:
    return wait.to if isinstance(wait, Call | Push) else None


def _holder(world: World, place: SimulatedCore, to: Any, token: int) -> Cell | None:
    """The isolate that has the request, or the push in its line; None while that is on its way, or was handed on."""
    if to is None or place.life is None:
        return None
    core = place.life.core
    where = core.registry.resolve(to if isinstance(to, Address | Name) else Name(str(to)))
    target = _far(world, *where) if isinstance(where, tuple) else where
    if not isinstance(target, Cell):
        return None
    caller = (core.home, token)
    requests = [entry[2] for entry in target.mailbox or () if type(entry[2]) is Request]
    if target.request is not None:
        requests.append(target.request)
    if any(request.caller[:2] == caller for request in requests) or caller in (target.kept or ()):
        return target
    far = isinstance(where, tuple)
    pushes = (waiter for waiter in target.waiters or () if waiter.token == token)
    return target if any(waiter.peer == (core.home if far else None) for waiter in pushes) else None


def _far(world: World, home: Home, slot: int | str, generation: int) -> Cell | None:
    for node in world.nodes:
        for core in node.cores:
            if node.name == home.node and core.index == home.core and core.life is not None and not core.life.dead:
                return core.life.core.registry.local(slot, generation)
    return None
