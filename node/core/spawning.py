"""`ctx.spawn`: a child on this core at once, under a supervisor of this core."""

from __future__ import annotations

from types import BuiltinFunctionType, FunctionType
from typing import TYPE_CHECKING, Any, Final

from regrove.node.core.address import Address
from regrove.node.core.errors import Misuse
from regrove.node.core.handles import Listener, Stream
from regrove.node.core.isolate import Cell
from regrove.node.core.vocabulary import CHILD_OPTIONS
from regrove.records import dataclass
from regrove.supervisor.reasons import NoProcess, Reason
from regrove.supervisor.requests import InvalidSpec
from regrove.supervisor.spec import Child

if TYPE_CHECKING:
    from regrove.node.core.core import Core
    from regrove.node.core.effects import Target
    from regrove.node.core.supervisor_node import SupervisorNode


GUEST: Final = (
    "this isolate's supervisor lives on another core, and spawn starts on this one: name a supervisor of this core "
    "with spawn(child, under=...), or call that supervisor with StartChild(child)"
)


@dataclass(frozen=True, slots=True)
class SpawnRefused:
    """No child was started, because of `reason`; falsy."""

    reason: Reason

    def __bool__(self) -> bool:
        return False


def spawn(core: Core, cell: Cell, child: Child, under: Target | None) -> Address | SpawnRefused:
    """Reserve the slot, hand streams over, and have the child's start be its first turn."""
    if not isinstance(child, Child):
        raise Misuse(f"spawn takes a Child(id, factory, ...), got {child!r}")
    node = _supervisor_named(core, under) if under is not None else cell.parent or SpawnRefused(InvalidSpec(GUEST))
    if isinstance(node, SpawnRefused):
        return node
    refused = node.machine.refusal(child)
    if refused is not None:
        return SpawnRefused(refused)
    if not child.args and not child.kwargs:
        made = core.supervising.births.adopt(node, child)
        return SpawnRefused(made) if isinstance(made, Reason) else made.address
    streams = [value for value in child.args if isinstance(value, Stream | Listener)]
    for stream in streams:
        if child.restart != "temporary":
            raise Misuse(
                f"{stream!r} can only pass to a child with restart='temporary', {child.id!r} is {child.restart}"
            )
        if not core.io.may_pass(cell, stream):
            raise Misuse(f"{stream!r} is not this isolate's to pass on, or a Read or Write is under way on it")
    child = _own(core, cell, child)
    made = core.supervising.births.adopt(node, child)
    if isinstance(made, Reason):
        return SpawnRefused(made)
    for stream in streams:
        core.io.pass_on(stream, made)
    return made.address


def _supervisor_named(core: Core, under: Target) -> SupervisorNode | SpawnRefused:
    where = core.registry.resolve(under)
    if not isinstance(where, Cell):
        return SpawnRefused(NoProcess())
    if where.supervising is None:
        raise Misuse(f"spawn(under={under!r}): that is no supervisor; name one with DynamicSupervisor(..., name=...)")
    return where.supervising


def _own(core: Core, cell: Cell, child: Child) -> Child:
    """The spec as its supervisor keeps it: no life of the child shares what the spawner may change."""
    args = (_argument(core, cell, value) for value in child.args)
    kwargs = {name: _argument(core, cell, value) for name, value in child.kwargs.items()}
    options = {option: getattr(child, option) for option in CHILD_OPTIONS}
    return Child(child.id, child.factory, *args, kwargs=kwargs, **options)


def _argument(core: Core, cell: Cell, value: Any) -> Any:
    if isinstance(value, Stream | Listener | type | FunctionType | BuiltinFunctionType):
        return value
    return core.prepare(cell, value)[0]
