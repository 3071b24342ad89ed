"""What a manager and a core say to each other over the core's inherited socketpair, as plain lists.

    manager -> core                                        core -> manager
      boot, {...}                  first, once               bound, endpoint, remote, key      sockets are bound
      peer, home, endpoint, key                              started                           the tree runs
      gone, home, reason                                     named, names, groups              the whole lists
      names, node, core, names, groups                       reported, kind, text              why it is about to end
      go, cores                                              tree, request, rows
      stop, limit, reason                                    log, {...}                        may be dropped
      tree, request                                          beat, {...}                       counters
      links, request                                         links, request, rows
      level, name                                            left, requests, streams, queued   while it drains
      drain

Reasons travel as their class's name and a text: the manager holds no user code and could not decode more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, assert_never

from regrove.node.core.ports import AskTree, ControlInput, DrainCore, NamesChanged, PeerCore, PeerGone, StopCore
from regrove.node.process.framing import FramingError
from regrove.supervisor.reasons import CoreDown, NoConnection, Reason, Shutdown

DEPTH_MAX: Final = 12  # containers inside one another in a row for people; deeper ones become their repr


def input_frame(item: ControlInput) -> list[Any]:
    """Encode a control input of a core."""
    match item:
        case PeerCore():
            return ["peer", item.home, item.endpoint, item.key]
        case PeerGone():
            return ["gone", item.home, reason_frame(item.reason)]
        case NamesChanged():
            return ["names", item.node, item.core, item.names, item.groups]
        case StopCore():
            return ["stop", item.limit, reason_frame(item.reason)]
        case DrainCore():
            return ["drain"]
        case AskTree():
            return ["tree", item.request]
        case _:
            assert_never(item)


def read_input(frame: list[Any]) -> ControlInput | None:
    """Decode a control input; None for the frames that are the driver's own (`boot`, `go`, `level`, `links`)."""
    match frame:
        case ["peer", home, endpoint, key]:
            return PeerCore(_home(home), endpoint, key)
        case ["gone", home, reason]:
            return PeerGone(_home(home), read_reason(reason))
        case ["names", node, core, names, groups]:
            return NamesChanged(node, core, tuple(names), read_groups(groups))
        case ["stop", limit, reason]:
            return StopCore(limit, read_reason(reason))
        case ["drain"]:
            return DrainCore()
        case ["tree", request]:
            return AskTree(request)
        case ["boot" | "go" | "level" | "links", *_]:
            return None
        case _:
            raise FramingError(f"a core was sent {frame!r}, which it does not know")


def reason_frame(reason: Reason) -> list[Any]:
    """Encode the reasons a manager gives."""
    match reason:
        case CoreDown(detail):
            return ["CoreDown", str(detail)]
        case Shutdown(detail):
            return ["Shutdown", None if detail is None else str(detail)]
        case NoConnection():
            return ["NoConnection", None]
        case _:
            raise FramingError(f"a manager does not give the reason {reason!r}")


def read_reason(frame: list[Any]) -> Reason:
    """Decode a reason; an unknown one is NoConnection, the most careful."""
    match frame:
        case ["CoreDown", detail]:
            return CoreDown(detail)
        case ["Shutdown", detail]:
            return Shutdown(detail)
        case _:
            return NoConnection()


def read_groups(frame: list[Any]) -> tuple[tuple[str, tuple[tuple[int, int], ...]], ...]:
    """Group members as `NamesChanged` holds them."""
    return tuple((name, tuple((slot, generation) for slot, generation in members)) for name, members in frame)


def plain(value: object, depth: int = 0) -> Any:
    """Make `value` fit for a frame or for JSON: what is not plain becomes its repr."""
    if value is None or isinstance(value, bool | int | float | str):
        return value if not isinstance(value, int) or -(2**63) <= value < 2**63 else str(value)
    if depth < DEPTH_MAX:
        if isinstance(value, Mapping):
            return {str(key): plain(part, depth + 1) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [plain(part, depth + 1) for part in value]
    try:
        return repr(value)
    except Exception as problem:
        return f"<{type(value).__name__} whose repr raised {type(problem).__name__}>"


def _home(frame: list[Any]) -> tuple[str, int, int, int]:
    node, node_incarnation, core, core_incarnation = frame
    return (node, node_incarnation, core, core_incarnation)
