"""The API of a running supervisor as methods (supervision.md 9): each is one call to the supervisor's address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from regrove.node.client.errors import SupervisorRefused
from regrove.node.core.address import Address
from regrove.supervisor.reasons import StartFailed
from regrove.supervisor.requests import (
    ChildInfo,
    CountChildren,
    Counts,
    DeleteChild,
    GetSpec,
    Refusal,
    RestartChild,
    StartChild,
    TerminateChild,
    WhichChildren,
)
from regrove.supervisor.spec import AnySpec

Ask: TypeAlias = Callable[[Any, object, float], Any]  # (target, request, timeout) -> answer


class SupervisorClient:
    """One supervisor, by name or address. Errors of the API raise `SupervisorRefused`, whose `.error` says what.

    `timeout` of every method is in seconds; the call itself may fail as any call does (`CallFailed`, `CallTimeout`).
    """

    def __init__(self, ask: Ask, target: object) -> None:
        self._ask = ask
        self.target = target

    def start_child(self, spec: AnySpec, timeout: float = 5.0) -> Address | None:
        """Add a child at the end and start it; its address, or None when its `start` ignored."""
        address: Address | None = self._do("start_child", StartChild(spec), timeout)
        return address

    def restart_child(self, child: str, timeout: float = 5.0) -> Address | None:
        """Start a child that is listed and does not run; its address, or None when its `start` ignored."""
        address: Address | None = self._do("restart_child", RestartChild(child), timeout)
        return address

    def terminate_child(self, child: str | Address, timeout: float = 5.0) -> None:
        """Stop a child, by id or address; its spec stays unless it is temporary."""
        self._do("terminate_child", TerminateChild(child), timeout)

    def delete_child(self, child: str, timeout: float = 5.0) -> None:
        """Forget the spec of a child that does not run."""
        self._do("delete_child", DeleteChild(child), timeout)

    def which_children(self, timeout: float = 5.0) -> tuple[ChildInfo, ...]:
        """The children in start order."""
        children: tuple[ChildInfo, ...] = self._do("which_children", WhichChildren(), timeout)
        return children

    def count_children(self, timeout: float = 5.0) -> Counts:
        """How many are listed, run, are supervisors, are workers."""
        counts: Counts = self._do("count_children", CountChildren(), timeout)
        return counts

    def get_spec(self, child: str | Address, timeout: float = 5.0) -> Any:
        """The spec of a child with its defaults."""
        return self._do("get_spec", GetSpec(child), timeout)

    def __repr__(self) -> str:
        return f"<supervisor {self.target!r}>"

    def _do(self, operation: str, request: object, timeout: float) -> Any:
        answer = self._ask(self.target, request, timeout)
        if isinstance(answer, Refusal | StartFailed):
            raise SupervisorRefused(operation, self.target, answer)
        return answer
