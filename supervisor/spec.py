"""What is to be supervised and how: child specs and supervisor specs, valid from birth (OTP `supervisor`, sup_flags).

A spec is an immutable value; whatever it says that breaks a rule of supervision raises `SpecError` before anything
starts, and the text names the owner, the field, the value, the rule and the mend. A supervisor may stand wherever a
child may and carries its own child options. Nothing here recurses over a tree: 1 000 levels compare, hash and print.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, Union

from regrove.records import dataclass, field
from regrove.supervisor.backoff import Backoff
from regrove.supervisor.rules import (
    SpecError,
    check_callable,
    check_children,
    check_choice,
    check_count,
    check_flag,
    check_id,
    check_index,
    check_kind,
    check_kwargs,
    check_name,
    check_own_limits,
    check_seconds,
    check_shutdown,
    check_significant,
    check_significant_children,
    check_together,
)

Restart: TypeAlias = Literal["permanent", "transient", "temporary"]
Strategy: TypeAlias = Literal["one_for_one", "one_for_all", "rest_for_one"]
AutoShutdown: TypeAlias = Literal["never", "any_significant", "all_significant"]
ShutdownLimit: TypeAlias = float | Literal["brutal_kill", "infinity"]
AnySpec: TypeAlias = Union["Child", "Supervisor", "DynamicSupervisor"]

PERMANENT: Final = "permanent"
RESTARTS: Final = (PERMANENT, "transient", "temporary")
STRATEGIES: Final = ("one_for_one", "one_for_all", "rest_for_one")
AUTO_SHUTDOWNS: Final = ("never", "any_significant", "all_significant")
WORKER_SHUTDOWN: Final = 5.0  # seconds, as OTP gives a worker
OWN_PERIOD: Final = 5.0  # seconds, the default of a supervisor's period
MAX_CHILDREN: Final = 10_000


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Child:
    """A worker: `factory(*args, **kwargs)` builds a fresh isolate at every start.

    `shutdown`: "brutal_kill", seconds >= 0, or "infinity". `start_timeout`: seconds > 0, None waits for ever.
    `core` and `node` place it elsewhere. `backoff` delays its restarts; `own_intensity` restarts in `own_period`
    seconds (5.0) are its own window, beside its supervisor's. Raises `SpecError`.
    """

    id: str
    factory: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(hash=False)
    name: str | None
    restart: Restart
    shutdown: ShutdownLimit
    significant: bool
    start_timeout: float | None
    core: int | None
    node: str | None
    backoff: Backoff | None
    own_intensity: int | None
    own_period: float | None

    def __init__(
        self,
        id: str,
        factory: Callable[..., Any],
        *args: Any,
        kwargs: Mapping[str, Any] | None = None,
        name: str | None = None,
        restart: Restart = "permanent",
        shutdown: ShutdownLimit = WORKER_SHUTDOWN,
        significant: bool = False,
        start_timeout: float | None = None,
        core: int | None = None,
        node: str | None = None,
        backoff: Backoff | None = None,
        own_intensity: int | None = None,
        own_period: float | None = None,
    ) -> None:
        owner = check_id("child", id)
        check_callable(owner, factory)
        check_name(owner, name)
        # The defaults themselves pass: a tree of thousands is built anew in each life of a core.
        if restart is not PERMANENT or shutdown is not WORKER_SHUTDOWN or significant is not False:
            _check_child_options(owner, restart, shutdown, significant)
        if backoff is not None or own_intensity is not None or own_period is not None:
            _check_own(owner, restart, backoff, own_intensity, own_period)
        if start_timeout is not None:
            check_seconds(owner, "start_timeout", start_timeout, "None for no limit, or e.g. start_timeout=10.0")
        if core is not None or node is not None:
            check_index(owner, "core", core)
            check_name(owner, node, "node")
        put = object.__setattr__
        put(self, "id", id)
        put(self, "factory", factory)
        put(self, "args", args)
        put(self, "kwargs", check_kwargs(owner, kwargs))
        put(self, "name", name)
        put(self, "restart", restart)
        put(self, "shutdown", shutdown)
        put(self, "significant", significant)
        put(self, "start_timeout", start_timeout)
        put(self, "core", core)
        put(self, "node", node)
        put(self, "backoff", backoff)
        put(self, "own_intensity", own_intensity)
        put(self, "own_period", own_period)

    def __repr__(self) -> str:
        factory = getattr(self.factory, "__qualname__", type(self.factory).__qualname__)
        return f"Child({self.id!r}, {factory}, {self.restart})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Supervisor:
    """A supervisor of children that start in list order; `period` in seconds > 0, `intensity` restarts in it.

    As a child of another supervisor it goes by `restart`, `shutdown` (default "infinity"), `significant`, `backoff`
    and `own_intensity` in `own_period`. `shutdown_budget`: seconds its whole stop may take, whatever its children's
    limits are. `stop_together`: its children, one_for_one, are stopped all at once. Raises `SpecError`.
    """

    id: str
    children: Sequence[AnySpec] = ()
    strategy: Strategy = "one_for_one"
    intensity: int = 1
    period: float = 5.0
    auto_shutdown: AutoShutdown = "never"
    restart: Restart = "permanent"
    shutdown: ShutdownLimit = "infinity"
    significant: bool = False
    name: str | None = None
    backoff: Backoff | None = None
    own_intensity: int | None = None
    own_period: float | None = None
    shutdown_budget: float | None = None
    stop_together: bool = False

    def __post_init__(self) -> None:
        owner = check_id("supervisor", self.id)
        check_choice(owner, "strategy", self.strategy, STRATEGIES)
        check_together(owner, self.stop_together, self.strategy)
        _check_supervisor_options(owner, self)
        check_choice(owner, "auto_shutdown", self.auto_shutdown, AUTO_SHUTDOWNS)
        children = check_children(owner, self.id, self.children, (Child, Supervisor, DynamicSupervisor))
        check_significant_children(owner, self.auto_shutdown, children)
        object.__setattr__(self, "children", children)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Supervisor) and _same_tree(self, other))

    def __hash__(self) -> int:
        return hash(_own_fields(self))

    def __repr__(self) -> str:
        return f"Supervisor({self.id!r}, {len(self.children)} children, {self.strategy})"


@dataclass(frozen=True, slots=True, repr=False)
class DynamicSupervisor:
    """A supervisor of children started at run time, one_for_one; they are known by address, their ids may repeat.

    `extra_arguments` come before each child's own. Source: Elixir's `DynamicSupervisor`. Raises `SpecError`.
    """

    id: str
    max_children: int = MAX_CHILDREN
    extra_arguments: tuple[Any, ...] = ()
    intensity: int = 1
    period: float = 5.0
    restart: Restart = "permanent"
    shutdown: ShutdownLimit = "infinity"
    significant: bool = False
    name: str | None = None
    backoff: Backoff | None = None
    own_intensity: int | None = None
    own_period: float | None = None
    shutdown_budget: float | None = None

    def __post_init__(self) -> None:
        owner = check_id("dynamic supervisor", self.id)
        check_count(owner, "max_children", self.max_children)
        _check_supervisor_options(owner, self)
        if not isinstance(self.extra_arguments, tuple | list):
            rule = "a tuple of the arguments that come before each child's own"
            raise SpecError(owner, "extra_arguments", self.extra_arguments, rule, "write extra_arguments=(value,)")
        object.__setattr__(self, "extra_arguments", tuple(self.extra_arguments))

    def __repr__(self) -> str:
        return f"DynamicSupervisor({self.id!r}, max_children={self.max_children})"


def kind_of(spec: AnySpec) -> Literal["worker", "supervisor"]:
    """Tell a worker's spec from a supervisor's."""
    return "worker" if isinstance(spec, Child) else "supervisor"


def start_timeout_of(spec: AnySpec) -> float | None:
    """Give the seconds a start may take; a supervisor's start has no limit of its own."""
    return spec.start_timeout if isinstance(spec, Child) else None


def walk(spec: AnySpec) -> Iterator[tuple[str, AnySpec]]:
    """Yield each spec of the tree with its path (`root/workers/a`), in start order."""
    waiting: list[tuple[str, AnySpec]] = [(spec.id, spec)]
    while waiting:
        path, node = waiting.pop()
        yield path, node
        if isinstance(node, Supervisor):
            waiting += [(f"{path}/{child.id}", child) for child in reversed(node.children)]


def validate_tree(spec: object) -> Supervisor:
    """Check what only a whole tree shows: its top is a `Supervisor`, and no registered name is given twice on a core.

    Raises `SpecError` with both paths.
    """
    if not isinstance(spec, Supervisor):
        rule = "the top of a tree must be a Supervisor"
        raise SpecError("the tree", "root", spec, rule, "return Supervisor('root', [Child(...), ...]) from tree(place)")
    if _names_differ(spec):
        return spec
    holders: dict[tuple[str, int | None, str | None], str] = {}
    for path, node in walk(spec):
        if node.name is None:
            continue
        place = (node.core, node.node) if isinstance(node, Child) else (None, None)
        first = holders.setdefault((node.name, *place), path)
        if first != path:
            rule = f"a name is unique on its core, and {first!r} registers it too"
            raise SpecError(f"child {path!r}", "name", node.name, rule, "give one of the two another name")
    return spec


def _names_differ(spec: Supervisor) -> bool:
    """Tell whether no registered name is given twice; paths are put together only where one is."""
    seen: set[tuple[str, int | None, str | None]] = set()
    count = 0
    waiting: list[AnySpec] = [spec]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Child):
            if node.name is not None:
                count += 1
                seen.add((node.name, node.core, node.node))
            continue
        if node.name is not None:
            count += 1
            seen.add((node.name, None, None))
        if isinstance(node, Supervisor):
            waiting += node.children
    return len(seen) == count


def _check_child_options(owner: str, restart: object, shutdown: object, significant: object) -> None:
    check_choice(owner, "restart", restart, RESTARTS)
    check_shutdown(owner, shutdown)
    check_flag(owner, "significant", significant)
    check_significant(owner, significant, restart)


def _check_own(owner: str, restart: object, backoff: object, intensity: object, period: object) -> None:
    check_kind(owner, "backoff", backoff, Backoff, "write e.g. backoff=Backoff(first=0.1)")
    check_own_limits(owner, restart, backoff, intensity, period)


def _check_supervisor_options(owner: str, spec: Supervisor | DynamicSupervisor) -> None:
    check_count(owner, "intensity", spec.intensity)
    check_seconds(owner, "period", spec.period, "the window of the restart intensity, e.g. period=5.0")
    _check_child_options(owner, spec.restart, spec.shutdown, spec.significant)
    _check_own(owner, spec.restart, spec.backoff, spec.own_intensity, spec.own_period)
    if spec.shutdown_budget is not None:
        check_seconds(owner, "shutdown_budget", spec.shutdown_budget, "None for no limit, or e.g. shutdown_budget=20.0")
    check_name(owner, spec.name)


def _own_fields(spec: Supervisor) -> tuple[object, ...]:
    return (
        spec.id,
        len(spec.children),
        spec.strategy,
        spec.intensity,
        spec.period,
        spec.auto_shutdown,
        spec.restart,
        spec.shutdown,
        spec.significant,
        spec.name,
        spec.backoff,
        spec.own_intensity,
        spec.own_period,
        spec.shutdown_budget,
        spec.stop_together,
    )


def _same_tree(one: Supervisor, two: Supervisor) -> bool:
    """Compare without recursion: a generated `==` ends at Python's recursion limit in a deep tree."""
    waiting: list[tuple[AnySpec, AnySpec]] = [(one, two)]
    while waiting:
        left, right = waiting.pop()
        if left is right:
            continue
        if not (isinstance(left, Supervisor) and isinstance(right, Supervisor)):
            if left != right:
                return False
        elif _own_fields(left) != _own_fields(right):
            return False
        else:
            waiting += zip(left.children, right.children, strict=True)
    return True
