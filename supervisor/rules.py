"""The rules a spec must keep, one check each: a valid value passes, anything else raises `SpecError` with the mend."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard

if TYPE_CHECKING:
    from regrove.supervisor.spec import AnySpec


class SpecError(ValueError):
    """A spec that breaks a rule: `owner` (kind and id), `field`, `value`, `rule`, and how to mend it."""

    def __init__(self, owner: str, field: str, value: object, rule: str, mend: str) -> None:
        self.owner = owner
        self.field = field
        self.value = value
        self.rule = rule
        self.mend = mend
        super().__init__(f"{owner}: {field} = {_shown(value)} is refused: {rule}; {mend}")


def check_id(kind: str, value: object) -> str:
    """Check an id and return the owner's words for every later error: `child 'a'`."""
    if not isinstance(value, str):
        _refuse(f"{kind} {_shown(value)}", "id", value, "an id must be a text", "write e.g. id='counter'")
    owner = f"{kind} {value!r}"
    if not value or not value.isprintable():
        _refuse(owner, "id", value, "an id must not be empty and must be printable", "write e.g. id='counter'")
    if "/" in value:
        rule = "an id must not hold '/', which separates the ids of a path"
        _refuse(owner, "id", value, rule, f"write e.g. {value.replace('/', '-')!r}")
    return owner


def check_callable(owner: str, value: object) -> None:
    """Check a factory: called at every start, so that each life begins afresh."""
    if not callable(value):
        rule = "a factory must be callable: it builds a fresh isolate at every start"
        _refuse(owner, "factory", value, rule, "give the class and its arguments, e.g. Child('a', Counter, 10)")


def check_kwargs(owner: str, value: object) -> dict[str, Any]:
    """Check keyword arguments and return a copy that nobody else holds."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        rule = "keyword arguments must be a mapping with texts as keys"
        _refuse(owner, "kwargs", value, rule, "write e.g. kwargs={'first': 10}")
    return dict(value)


def check_choice(owner: str, field: str, value: object, choices: tuple[str, ...]) -> None:
    """Check a word against the words allowed."""
    if not isinstance(value, str) or value not in choices:
        _refuse(owner, field, value, f"{field} must be one of {', '.join(choices)}", f"write {field}={choices[0]!r}")


def check_shutdown(owner: str, value: object) -> None:
    """Check how long a stop may take."""
    if value in ("brutal_kill", "infinity") or (_is_seconds(value) and value >= 0):
        return
    rule = "shutdown must be 'brutal_kill', seconds >= 0, or 'infinity'"
    _refuse(owner, "shutdown", value, rule, "write e.g. shutdown=5.0")


def check_flag(owner: str, field: str, value: object) -> None:
    """Check a yes or no."""
    if not isinstance(value, bool):
        _refuse(owner, field, value, f"{field} must be True or False", f"write {field}=True")


def check_significant(owner: str, significant: object, restart: object) -> None:
    """Check that a significant child can end without being restarted."""
    if significant and restart == "permanent":
        rule = "a permanent child is always restarted, so its end can never be significant"
        _refuse(owner, "significant", significant, rule, "write restart='transient' or restart='temporary'")


def check_name(owner: str, value: object, field: str = "name") -> None:
    """Check a registered name or a node's name."""
    if value is not None and not (isinstance(value, str) and value):
        _refuse(owner, field, value, f"{field} must be None or a text that is not empty", f"write e.g. {field}='a'")


def check_index(owner: str, field: str, value: object) -> None:
    """Check the number of a core."""
    if value is not None and not (_is_int(value) and value >= 0):
        _refuse(owner, field, value, f"{field} must be None or a whole number >= 0", f"write e.g. {field}=0")


def check_count(owner: str, field: str, value: object) -> None:
    """Check a whole number >= 0; a bool is not one."""
    if not (_is_int(value) and value >= 0):
        _refuse(owner, field, value, f"{field} must be a whole number >= 0", f"write e.g. {field}=1")


def check_seconds(owner: str, field: str, value: object, mend: str) -> None:
    """Check a span that must be longer than nothing."""
    if not (_is_seconds(value) and value > 0):
        _refuse(owner, field, value, f"{field} must be seconds > 0", mend)


def check_at_least(owner: str, field: str, value: object, least: float, mend: str) -> None:
    """Check a number against its least value."""
    if not (_is_seconds(value) and value >= least):
        _refuse(owner, field, value, f"{field} must be a number >= {least:g}", mend)


def check_fraction(owner: str, field: str, value: object) -> None:
    """Check a part of a whole."""
    if not (_is_seconds(value) and 0 <= value <= 1):
        _refuse(owner, field, value, f"{field} must be a number from 0 to 1", f"write e.g. {field}=0.2")


def check_own_limits(owner: str, restart: object, backoff: object, intensity: object, period: object) -> None:
    """Check what a child says of its own restarts: a temporary one has none, and a window needs both its sides."""
    if intensity is not None:
        check_count(owner, "own_intensity", intensity)
    if period is not None:
        check_seconds(owner, "own_period", period, "the window of own_intensity, e.g. own_period=60.0")
        if intensity is None:
            rule = "own_period is the window of own_intensity, which is not given"
            _refuse(owner, "own_period", period, rule, "write e.g. own_intensity=3 beside it")
    for field, value in (("backoff", backoff), ("own_intensity", intensity)):
        if value is not None and restart == "temporary":
            rule = f"a temporary child is never restarted, so its {field} would never be used"
            _refuse(owner, field, value, rule, "write restart='permanent' or restart='transient', or leave it out")


def check_kind(owner: str, field: str, value: object, kind: type, mend: str) -> None:
    """Check an optional value that has a class of its own."""
    if value is not None and not isinstance(value, kind):
        _refuse(owner, field, value, f"{field} must be None or a {kind.__name__}", mend)


def check_together(owner: str, value: object, strategy: object) -> None:
    """Check that only children that do not depend on each other are stopped together."""
    check_flag(owner, "stop_together", value)
    if value and strategy != "one_for_one":
        rule = f"under {strategy} children depend on those before them, so they stop one at a time"
        _refuse(owner, "stop_together", value, rule, "write strategy='one_for_one', or stop_together=False")


def check_children(owner: str, path: str, value: object, kinds: tuple[type[Any], ...]) -> tuple[AnySpec, ...]:
    """Check a list of children below `path`: specs only, ids unique."""
    if isinstance(value, kinds) or not isinstance(value, list | tuple):
        _refuse(owner, "children", value, "children must be a list of specs", "write [Child('a', Worker), ...]")
    first: dict[str, int] = {}
    for position, child in enumerate(value):
        if not isinstance(child, kinds):
            rule = "a child must be a Child, a Supervisor or a DynamicSupervisor"
            _refuse(owner, f"children[{position}]", child, rule, "wrap it: Child('a', Worker, argument)")
        if child.id in first:
            both = f"children[{first[child.id]}] and children[{position}] would both be {f'{path}/{child.id}'!r}"
            rule = f"ids must be unique below a supervisor, and {both}"
            _refuse(owner, "children", child.id, rule, "give one of them another id")
        first[child.id] = position
    return tuple(value)


def check_significant_children(owner: str, auto_shutdown: str, children: tuple[AnySpec, ...]) -> None:
    """Check that somebody listens to the end of a significant child."""
    if auto_shutdown != "never":
        return
    for child in children:
        if child.significant:
            rule = f"{owner} has auto_shutdown='never', so nothing would come of a significant child's end"
            mend = "write auto_shutdown='any_significant' there, or significant=False here"
            _refuse(f"child {child.id!r}", "significant", True, rule, mend)


def _refuse(owner: str, field: str, value: object, rule: str, mend: str) -> NoReturn:
    raise SpecError(owner, field, value, rule, mend)


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_seconds(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _shown(value: object) -> str:
    """Show a value shortly: an error about a spec must not print a whole tree or a megabyte."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
