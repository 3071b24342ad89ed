"""What a class tells the compiler (`REGROVE_COMPILE=1`, setup.py); at run time nothing needs it. Never compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

__all__ = ["Unjudged", "mypyc_attr"]

Unjudged: TypeAlias = Any  # what a user handed over and nobody looked at yet: a type here would be a bare TypeError

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:

    def mypyc_attr(**_settings: bool) -> Any:
        """Mark a class for mypyc; here it stays what it is."""
        return lambda cls: cls
