"""Our own values that travel: addresses, names, callers and every reason. Imported once, by the core and the client."""

from __future__ import annotations

import dataclasses
import sys
from types import ModuleType
from typing import Any

from regrove.node.core import reasons
from regrove.node.core.address import Caller, Home, Name
from regrove.node.core.kinds import ADDRESS_CHARGE
from regrove.node.core.shapes import Shape, add_custom, install
from regrove.node.core.tables import Tag, Traits
from regrove.supervisor import reasons as exit_reasons


def register_value(cls: type, name: str, tag: object = None) -> None:
    """Let one of our frozen dataclasses or NamedTuples travel, field by field, as `name` (`tag` is shorter).

    Annotations that travel are checked on arrival; the others are left to the class's constructor.
    """
    if dataclasses.is_dataclass(cls):
        fields = [field for field in dataclasses.fields(cls) if field.init]
        annotations: dict[str, Any] = {field.name: field.type for field in fields}
        defaults = {field.name: field.default for field in fields if field.default is not dataclasses.MISSING}
    else:
        annotations = dict(cls.__annotations__)
        defaults = dict(getattr(cls, "_field_defaults", {}))
    scope = vars(sys.modules[cls.__module__])
    install(Shape(cls, name, name if tag is None else tag, annotations, defaults, (scope, {}), lenient=True))


def register_reasons(module: ModuleType) -> None:
    """Register every reason that `module` defines."""
    for cls in list(vars(module).values()):
        if isinstance(cls, type) and cls.__module__ == module.__name__ and dataclasses.is_dataclass(cls):
            register_value(cls, f"regrove:{cls.__name__}")


def _register_all() -> None:
    register_value(Home, "regrove:Home", int(Tag.HOME))
    register_value(Name, "regrove:Name", int(Tag.NAME))
    add_custom(
        Caller,
        int(Tag.CALLER),
        split=lambda caller: (caller.home, caller.token),  # the deadline is of the clock of this core
        join=_caller,
        traits=Traits(immutable=True, size=ADDRESS_CHARGE, callers=True),
        name="regrove:Caller",
    )
    register_reasons(exit_reasons)
    register_reasons(reasons)


def _caller(home: object, token: object) -> Caller:
    if type(home) is not Home or type(token) is not int:
        raise ValueError("not a caller: home, token")
    return Caller(home, token)


_register_all()
