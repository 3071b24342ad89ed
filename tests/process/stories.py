"""The manager's decisions as stories: short words for events, actions and states."""

from __future__ import annotations

from typing import TypeVar

from regrove.node.cluster.views import CoreView, NodeView
from regrove.node.process.budget import SECOND, RestartBudget
from regrove.node.process.core_slot import ManagerSettings
from regrove.node.process.manager_events import (
    Action,
    Begin,
    CoreBound,
    CoreStarted,
    Note,
    PeerTold,
    Share,
)
from regrove.node.process.manager_state import ManagerState

T = TypeVar("T")
NODE = "one@here"
OTHER = "two@there"


def manager(cores: int = 2, limit: int = 3) -> ManagerState:
    return ManagerState(ManagerSettings(NODE, 7, cores, RestartBudget(limit, 30 * SECOND)))


def home(core: int, incarnation: int = 1) -> tuple[str, int, int, int]:
    return (NODE, 7, core, incarnation)


def bound(core: int, incarnation: int = 1, remote: str = "") -> CoreBound:
    return CoreBound(core, incarnation, f"ipc://{core}.{incarnation}", remote)


def quiet(actions: list[Action]) -> list[Action]:
    """Actions without the lines for the log."""
    return [action for action in actions if not isinstance(action, Note)]


def of(actions: list[Action], kind: type[T]) -> list[T]:
    return [action for action in actions if isinstance(action, kind)]


def booted(cores: int = 2, limit: int = 3, remote: bool = False) -> ManagerState:
    state = manager(cores, limit)
    state.decide(0, Begin())
    for core in range(cores):
        state.decide(0, bound(core, remote=f"tcp://h:{core}" if remote else ""))
    for core in range(cores):
        state.decide(0, CoreStarted(core, 1))
    assert state.state == "up"
    return state


def of_view(share: Share) -> NodeView:
    assert isinstance(share.item, NodeView)
    return share.item


def peer_view(incarnation: int = 1, cores: int = 1, life: int = 1, leaving: bool = False) -> PeerTold:
    rows = tuple(CoreView(core, life, f"tcp://there:{core}", "KEY") for core in range(cores))
    return PeerTold(NodeView(OTHER, incarnation, "there:1", rows, (), leaving))


def seen(state: ManagerState) -> str:
    """The state as text, behind mypy's back: it takes a property for a constant."""
    return state.state


def notes(actions: list[Action]) -> list[tuple[str, str]]:
    return [(note.level, note.event) for note in of(actions, Note)]
