"""The API of a running supervisor: requests to its address, and the values it answers with (OTP `supervisor`).

| request | when done | when refused |
|---|---|---|
| StartChild | address; None: ignored | AlreadyStarted, AlreadyPresent, InvalidSpec, StartFailed, MaxChildren |
| RestartChild | address; None: ignored | Running, Restarting, NotFound, StartFailed |
| TerminateChild | True | NotFound |
| DeleteChild | True | Running, Restarting, NotFound |
| WhichChildren, CountChildren | tuple of ChildInfo, Counts | |
| GetSpec | the spec with its defaults | NotFound |

Every answer is a value sent as the reply; a refusal is a reason by class (`Refusal`, or `StartFailed`), so that it can
stand wherever a reason may. A `DynamicSupervisor` has no RestartChild and DeleteChild: they answer `UnknownRequest`.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from regrove.records import dataclass
from regrove.supervisor.reasons import Reason
from regrove.supervisor.spec import AnySpec


@dataclass(frozen=True, slots=True)
class StartChild:
    """Add `spec` at the end and start it."""

    spec: AnySpec


@dataclass(frozen=True, slots=True)
class RestartChild:
    """Start a child that is listed and not running; it keeps its position."""

    id: str


@dataclass(frozen=True, slots=True)
class TerminateChild:
    """Stop a child, by id or address; also right when it does not run, and it cancels a restart under way."""

    child: object


@dataclass(frozen=True, slots=True)
class DeleteChild:
    """Forget the spec of a child that does not run."""

    id: str


@dataclass(frozen=True, slots=True)
class WhichChildren:
    """List the children in start order."""


@dataclass(frozen=True, slots=True)
class CountChildren:
    """Count the children."""


@dataclass(frozen=True, slots=True)
class GetSpec:
    """Give the spec of a child, by id or address."""

    child: object


@dataclass(frozen=True, slots=True)
class ChildInfo:
    """One row of `WhichChildren`: `address` is "restarting" while it is being brought back, None when not running."""

    id: str
    address: object
    kind: Literal["worker", "supervisor"]


@dataclass(frozen=True, slots=True)
class Counts:
    """The answer to `CountChildren`: listed, running, and listed by kind."""

    specs: int
    active: int
    supervisors: int
    workers: int


class Refusal(Reason):
    """Base of the answers that say a request was not done."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class AlreadyStarted(Refusal):
    """A child with this id runs."""

    address: object


@dataclass(frozen=True, slots=True)
class AlreadyPresent(Refusal):
    """A child with this id is listed and does not run: `RestartChild` or `DeleteChild` it."""


@dataclass(frozen=True, slots=True)
class Running(Refusal):
    """The child runs: `TerminateChild` it first."""


@dataclass(frozen=True, slots=True)
class Restarting(Refusal):
    """The child is being brought back: `TerminateChild` cancels that."""


@dataclass(frozen=True, slots=True)
class NotFound(Refusal):
    """No child of this supervisor has this id or address."""


@dataclass(frozen=True, slots=True)
class MaxChildren(Refusal):
    """The dynamic supervisor has `limit` children, restarting ones included."""

    limit: int


@dataclass(frozen=True, slots=True)
class InvalidSpec(Refusal):
    """The spec cannot stand under this supervisor; the text names field, value, rule and mend."""

    text: str


@dataclass(frozen=True, slots=True)
class UnknownRequest(Refusal):
    """Not a request this supervisor serves; the text says what came and which there are."""

    text: str


@dataclass(frozen=True, slots=True)
class CalledInStart(Refusal):
    """A child called a supervisor that waits for the child's own `start`: answered by the core, it would never end."""


@dataclass(frozen=True, slots=True)
class Stopping(Refusal):
    """The supervisor is about to end and takes no more children."""


SupervisorRequest: TypeAlias = (
    StartChild | RestartChild | TerminateChild | DeleteChild | WhichChildren | CountChildren | GetSpec
)
