"""The API of a running supervisor as methods (supervision.md 9): each is one call to the supervisor's address.

A supervisor without a name is reached by its path, as `regrove tree` shows it (`root/workers`): each method walks down
from the root supervisor, so that it reaches whoever is there now.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from regrove.node.client.errors import CallFailed, SupervisorRefused
from regrove.node.core.address import Address
from regrove.supervisor.reasons import NoProcess, StartFailed
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
ROOT: Final = (0, 1)  # slot and generation of the root supervisor: the first isolate of every life of a core


class SupervisorClient:
    """One supervisor, by name or address. Errors of the API raise `SupervisorRefused`, whose `.error` says what.

    `timeout` of every method is in seconds; the call itself may fail as any call does (`CallFailed`, `CallTimeout`).
    """

    def __init__(self, ask: Ask, target: object, roots: Callable[[], list[Address]] | None = None) -> None:
        self._ask = ask
        self.target = target
        self._roots = roots  # given for a path: where it begins, core by core

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
        began = time.monotonic()
        target = self.target if self._roots is None else self._find(self._roots(), timeout)
        answer = self._ask(target, request, max(0.0, timeout - (time.monotonic() - began)))
        if isinstance(answer, Refusal | StartFailed):
            raise SupervisorRefused(operation, self.target, answer)
        return answer

    def _find(self, roots: list[Address], timeout: float) -> Address:
        """The supervisor at the path now, on the lowest core that has it."""
        deadline = time.monotonic() + timeout
        steps = [step for step in str(self.target).split("/")[1:] if step]
        for root in roots:
            found = self._walk(root, steps, deadline)
            if found is not None:
                return found
        raise CallFailed(NoProcess(), self.target)

    def _walk(self, at: Address, steps: list[str], deadline: float) -> Address | None:
        for step in steps:
            children = self._ask(at, WhichChildren(), max(0.0, deadline - time.monotonic()))
            fits = [child.address for child in children if child.id == step and child.kind == "supervisor"]
            if not fits or not isinstance(fits[0], Address):
                return None
            at = fits[0]
        return at
