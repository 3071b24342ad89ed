"""What managers write on their control links: `NodeView`, `CoreNames` and call-info as items of a link [pure].

Items are (kind, payload). Views and names are posted, under credit; call-info goes to clients as a signal. Bytes that
are none of ours raise PlaneError and are refused alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgpack

from regrove.node.cluster.views import CoreNames, CoreView, MemberView, NodeView, Shared
from regrove.node.core.errors import RegroveError

NODE_VIEW: Final = 1
CORE_NAMES: Final = 2
TELL_ALL: Final = 3  # asks the manager it goes to for its view and names; empty
CALL_INFO: Final = 32  # signals start at 16; 32 leaves room for those of the cores
CORES_MAX: Final = 1024
MEMBERS_MAX: Final = 4096
TEXT_MAX: Final = 512


class PlaneError(RegroveError):
    """A control item that is not one of ours."""


def encode_shared(item: Shared) -> tuple[int, bytes]:
    """One item of a control link."""
    if isinstance(item, NodeView):
        cores = [[core.core, core.incarnation, core.endpoint, core.key] for core in item.cores]
        members = [[member.node, member.incarnation, member.address] for member in item.members]
        body = [item.node, item.incarnation, item.address, cores, members, item.leaving]
        return (NODE_VIEW, msgpack.packb(body))
    names = [item.node, item.node_incarnation, item.core, item.core_incarnation, item.names, item.groups]
    return (CORE_NAMES, msgpack.packb(names))


def decode_shared(item: tuple[Any, ...]) -> Shared:
    """The inverse; raises PlaneError naming what is wrong."""
    match item:
        case (1, bytes(payload)):
            return _node_view(_unpack(payload))
        case (2, bytes(payload)):
            return _core_names(_unpack(payload))
        case _:
            raise PlaneError(f"an item of kind {item[0] if item else None!r} is none of a manager's")


def encode_call_info(info: Mapping[str, Any]) -> tuple[int, bytes]:
    """The signal that tells a client where the cores are."""
    return (CALL_INFO, msgpack.packb(dict(info)))


def decode_call_info(payload: bytes) -> dict[str, Any]:
    """The shape of `call-info` (process/control.py); raises PlaneError."""
    info = _unpack(payload)
    if not isinstance(info, dict) or not {"node", "incarnation", "cores", "names"} <= info.keys():
        raise PlaneError("call-info is a table with node, incarnation, cores and names")
    return info


def _unpack(payload: bytes) -> Any:
    try:
        return msgpack.unpackb(payload, raw=False, strict_map_key=True)
    except (ValueError, msgpack.exceptions.UnpackException) as problem:
        raise PlaneError(f"{len(payload)} bytes that are not msgpack: {problem}") from problem


def _node_view(body: Any) -> NodeView:
    match body:
        case [str(node), int(incarnation), str(address), [*cores], [*members], bool(leaving)]:
            if len(cores) > CORES_MAX or len(members) > MEMBERS_MAX:
                raise PlaneError(f"a node view has at most {CORES_MAX} cores and {MEMBERS_MAX} members")
            return NodeView(
                _text(node),
                incarnation,
                _text(address),
                tuple(_core_view(core) for core in cores),
                tuple(_member_view(member) for member in members),
                leaving,
            )
        case _:
            raise PlaneError("a node view is node, incarnation, address, cores, members and leaving")


def _core_view(body: Any) -> CoreView:
    match body:
        case [int(core), int(incarnation), str(endpoint), str(key)] if 0 <= core < CORES_MAX:
            return CoreView(core, incarnation, _text(endpoint), _text(key))
        case _:
            raise PlaneError("a core in a node view is core, incarnation, endpoint and key")


def _member_view(body: Any) -> MemberView:
    match body:
        case [str(node), int(incarnation), str(address)]:
            return MemberView(_text(node), incarnation, _text(address))
        case _:
            raise PlaneError("a member in a node view is node, incarnation and address")


def _core_names(body: Any) -> CoreNames:
    match body:
        case [str(node), int(incarnation), int(core), int(life), [*names], [*groups]] if 0 <= core < CORES_MAX:
            if not all(isinstance(name, str) for name in names):
                raise PlaneError("the names of a core are texts")
            return CoreNames(_text(node), incarnation, core, life, tuple(names), tuple(map(_group, groups)))
        case _:
            raise PlaneError("the names of a core are node, core, their incarnations, names and groups")


def _group(body: Any) -> tuple[str, tuple[tuple[int, int], ...]]:
    match body:
        case [str(name), [*members]]:
            return (name, tuple(_place(member) for member in members))
        case _:
            raise PlaneError("a group is its name and its members")


def _place(body: Any) -> tuple[int, int]:
    match body:
        case [int(slot), int(generation)]:
            return (slot, generation)
        case _:
            raise PlaneError("a member of a group is slot and generation")


def _text(value: str) -> str:
    if len(value) > TEXT_MAX:
        raise PlaneError(f"a text of {len(value)} characters is over the limit of {TEXT_MAX}")
    return value
