"""What an exit does: which children a crash stops and starts, as pure functions (OTP `supervisor`, strategies)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol, TypeAlias

from regrove.records import dataclass
from regrove.supervisor.reasons import is_clean
from regrove.supervisor.spec import AutoShutdown, Restart, Strategy

Verdict: TypeAlias = Literal["restart", "keep", "remove"]


class Member(Protocol):
    """What a strategy must know of a child."""

    @property
    def key(self) -> int:
        """Its number, the same in all its lives."""

    @property
    def alive(self) -> bool:
        """Whether it has a life that would have to be stopped."""

    @property
    def temporary(self) -> bool:
        """Whether it is never started again."""


@dataclass(frozen=True, slots=True)
class RestartPlan:
    """`stops` are in stopping order; a temporary among them is dropped. Then `starts`, in start order."""

    stops: tuple[int, ...]
    starts: tuple[int, ...]


def verdict(restart: Restart, reason: object) -> Verdict:
    """Tell what a spontaneous exit does: the table of supervision.md 3."""
    match restart:
        case "permanent":
            return "restart"
        case "transient":
            return "keep" if is_clean(reason) else "restart"
        case "temporary":
            return "remove"


def restart_plan(strategy: Strategy, key: int, members: Iterable[Member]) -> RestartPlan:
    """Plan the restart of `key`, which does not run, among all `members` in start order."""
    match strategy:
        case "one_for_one":
            return RestartPlan((), (key,))
        case "one_for_all":
            return _plan_of(list(members))
        case "rest_for_one":
            return _plan_of(_from(key, members))


def shuts_down(auto_shutdown: AutoShutdown, significant: bool, others: Iterable[tuple[bool, bool]]) -> bool:
    """Tell whether the end of a child that is not restarted ends its supervisor.

    `others`: (significant, running or restarting) of the children that are left.
    """
    if not significant:
        return False
    match auto_shutdown:
        case "never":
            return False
        case "any_significant":
            return True
        case "all_significant":
            return not any(counts and held for counts, held in others)


def _from(key: int, members: Iterable[Member]) -> list[Member]:
    later: list[Member] = []
    for member in members:
        if later or member.key == key:
            later.append(member)
    return later


def _plan_of(members: list[Member]) -> RestartPlan:
    stops = tuple(member.key for member in reversed(members) if member.alive)
    starts = tuple(member.key for member in members if not member.temporary)
    return RestartPlan(stops, starts)
