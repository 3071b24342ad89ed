"""Our own values that travel: addresses, names, callers, every reason, and the requests and answers of supervisors.

Importing this module registers them, once; `messages.py` does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from regrove.node.core import reasons
from regrove.node.core.address import Caller, Home, Name
from regrove.node.core.isolate import Isolate
from regrove.node.core.kinds import ADDRESS_CHARGE
from regrove.node.core.shapes import OPEN_TRAITS, Shape, add_custom, install
from regrove.node.core.tables import Tag, Traits
from regrove.records import MISSING, fields, is_dataclass
from regrove.supervisor import reasons as exit_reasons
from regrove.supervisor import requests
from regrove.supervisor.backoff import Backoff
from regrove.supervisor.spec import Child, DynamicSupervisor, Supervisor

OWN_LIMITS = ("backoff", "own_intensity", "own_period")  # sent when they are given: older peers do not know them
CHILD_OPTIONS = ("name", "restart", "shutdown", "significant", "start_timeout", "core", "node", *OWN_LIMITS)


def register_value(cls: type, name: str, tag: object = None) -> None:
    """Let one of our frozen dataclasses or NamedTuples travel, field by field, as `name` (`tag` is shorter).

    Annotations that travel are checked on arrival; the others are left to the class's constructor.
    """
    if is_dataclass(cls):
        own = [field for field in fields(cls) if field.init]
        annotations: dict[str, Any] = {field.name: field.type for field in own}
        defaults = {field.name: field.default for field in own if field.default is not MISSING}
    else:
        annotations = dict(cls.__annotations__)
        defaults = dict(getattr(cls, "_field_defaults", {}))
    scope = vars(sys.modules[cls.__module__])
    install(Shape(cls, name, name if tag is None else tag, annotations, defaults, (scope, {}), lenient=True))


def register_values(module: ModuleType) -> None:
    """Register every dataclass that `module` defines."""
    for cls in list(vars(module).values()):
        if isinstance(cls, type) and cls.__module__ == module.__name__ and is_dataclass(cls):
            register_value(cls, f"regrove:{cls.__name__}")


def _register_all() -> None:
    register_value(Home, "regrove:Home", int(Tag.HOME))
    register_value(Name, "regrove:Name", int(Tag.NAME))
    add_custom(
        Caller,
        int(Tag.CALLER),
        fields=("home", "token"),
        split=lambda caller: (caller.home, caller.token),  # the deadline is of the clock of this core
        join=_caller,
        traits=Traits(immutable=True, size=ADDRESS_CHARGE, callers=True),
        name="regrove:Caller",
    )
    register_values(exit_reasons)
    register_values(reasons)
    add_custom(
        Child,
        "regrove:Child",
        fields=("id", "factory", "args", "kwargs", "options"),
        split=_split_child,
        join=_child,
        traits=OPEN_TRAITS,
        name="regrove:Child",
    )
    register_value(Backoff, "regrove:Backoff")
    register_value(Supervisor, "regrove:Supervisor")
    register_value(DynamicSupervisor, "regrove:DynamicSupervisor")
    register_values(requests)


def _caller(home: object, token: object) -> Caller:
    if type(home) is not Home or type(token) is not int:
        raise ValueError("not a caller: home, token")
    return Caller(home, token)


# A child's factory travels by name when it is a class of isolates, and is found again among the modules that are
# loaded. Nothing else is called because a peer named it.


def _split_child(child: Child) -> tuple[object, ...]:
    factory = _name_of(child.factory) or child.factory  # one without a name does not travel, and is named in the error
    options = {
        option: value
        for option in CHILD_OPTIONS
        if (value := getattr(child, option)) is not None or option not in OWN_LIMITS
    }
    return (child.id, factory, child.args, dict(child.kwargs), options)


def _child(
    id: str, factory: object, args: tuple[object, ...], kwargs: dict[str, Any], options: dict[str, Any]
) -> Child:
    return Child(id, _factory(factory), *args, kwargs=kwargs, **options)


def _name_of(factory: object) -> str | None:
    name = f"{getattr(factory, '__module__', '')}:{getattr(factory, '__qualname__', '')}"
    return name if _loaded(name) is factory else None


def _factory(name: object) -> Callable[..., Any]:
    found = _loaded(name) if isinstance(name, str) else None
    if found is None:
        raise ValueError(
            f"no class of isolates {str(name)[:200]!r} is loaded here: import its module, as the sender did"
        )
    return found


def _loaded(name: str) -> type[Isolate] | None:
    """Find what `module:qualname` names: reads plain dicts only, imports and calls nothing."""
    module, _, qualname = name.partition(":")
    found: object = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return found if isinstance(found, type) and issubclass(found, Isolate) else None


_register_all()
