"""What a request of the API comes to, decided from the children as they are; nothing is changed here."""

from __future__ import annotations

from typing import TypeAlias

from regrove.records import dataclass
from regrove.supervisor.reasons import Reason
from regrove.supervisor.requests import (
    AlreadyPresent,
    AlreadyStarted,
    ChildInfo,
    CountChildren,
    Counts,
    DeleteChild,
    GetSpec,
    InvalidSpec,
    MaxChildren,
    NotFound,
    RestartChild,
    Restarting,
    Running,
    StartChild,
    TerminateChild,
    UnknownRequest,
    WhichChildren,
)
from regrove.supervisor.rules import SpecError, check_significant_children
from regrove.supervisor.slots import Slot, Slots
from regrove.supervisor.spec import AnySpec, Child, DynamicSupervisor, Supervisor, kind_of


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer at once."""

    value: object


@dataclass(frozen=True, slots=True)
class Add:
    """Append a child and start it."""

    spec: AnySpec


@dataclass(frozen=True, slots=True)
class Start:
    """Start a child that is listed."""

    slot: Slot


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop a child."""

    slot: Slot


@dataclass(frozen=True, slots=True)
class Delete:
    """Forget a child."""

    slot: Slot


Decision: TypeAlias = Reply | Add | Start | Stop | Delete


def decide(owner: Supervisor | DynamicSupervisor, slots: Slots, request: object) -> Decision:
    """Say what `request` comes to; an unknown one is answered too."""
    match request:
        case StartChild(spec):
            refused = start_refusal(owner, slots, spec)
            return Add(spec) if refused is None else Reply(refused)
        case TerminateChild(child):
            slot = slots.find(child)
            return Reply(NotFound()) if slot is None else Stop(slot)
        case GetSpec(child):
            slot = slots.find(child)
            return Reply(NotFound() if slot is None else slot.spec)
        case WhichChildren():
            return Reply(tuple(_info(slot) for slot in slots))
        case CountChildren():
            return Reply(_count(slots))
        case RestartChild() | DeleteChild() if isinstance(owner, DynamicSupervisor):
            what = type(request).__name__
            return Reply(UnknownRequest(f"dynamic supervisor {owner.id!r} has no {what}: its ended children are gone"))
        case RestartChild(id):
            return _of_stopped(slots, id, Start)
        case DeleteChild(id):
            return _of_stopped(slots, id, Delete)
        case _:
            return Reply(UnknownRequest(_unknown(owner, request)))


def start_refusal(owner: Supervisor | DynamicSupervisor, slots: Slots, spec: object) -> Reason | None:
    """Tell why `spec` cannot be added, or None."""
    if type(spec) is not Child or spec.significant:
        problem = _problem(owner, spec)
        if problem is not None:
            return InvalidSpec(problem)
    if isinstance(owner, DynamicSupervisor):
        return MaxChildren(owner.max_children) if len(slots) >= owner.max_children else None
    present = slots.find(getattr(spec, "id", None))
    if present is None:
        return None
    return AlreadyStarted(present.address) if present.alive else AlreadyPresent()


def _problem(owner: Supervisor | DynamicSupervisor, spec: object) -> str | None:
    if not isinstance(spec, Child | Supervisor | DynamicSupervisor):
        return f"StartChild takes a Child, a Supervisor or a DynamicSupervisor, got {type(spec).__name__}"
    if not spec.significant:
        return None
    auto_shutdown = owner.auto_shutdown if isinstance(owner, Supervisor) else "never"
    try:
        check_significant_children(f"supervisor {owner.id!r}", auto_shutdown, (spec,))
    except SpecError as error:
        return str(error)
    return None


def _of_stopped(slots: Slots, id: object, then: type[Start] | type[Delete]) -> Decision:
    slot = slots.find(id) if isinstance(id, str) else None
    if slot is None:
        return Reply(NotFound())
    if slot.state == "restarting":
        return Reply(Restarting())
    return Reply(Running()) if slot.alive else then(slot)


def _info(slot: Slot) -> ChildInfo:
    address = "restarting" if slot.state == "restarting" else slot.row().address
    return ChildInfo(slot.spec.id, address, kind_of(slot.spec))


def _count(slots: Slots) -> Counts:
    kinds = [kind_of(slot.spec) for slot in slots]
    active = sum(1 for slot in slots if slot.alive)
    return Counts(len(kinds), active, kinds.count("supervisor"), kinds.count("worker"))


def _unknown(owner: Supervisor | DynamicSupervisor, request: object) -> str:
    served = "StartChild, RestartChild, TerminateChild, DeleteChild, WhichChildren, CountChildren and GetSpec"
    return f"supervisor {owner.id!r} serves {served}, got {type(request).__name__}"
