"""Who a core is: what a driver says of it once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from regrove.node.core.address import Home
from regrove.node.core.application import Place
from regrove.node.core.bounds import Bounds
from regrove.node.core.page import Words, own_words
from regrove.records import dataclass, field
from regrove.transport.parts import Payload


def _always(_level: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class CoreSettings:
    """Who this core is. `strict` (simulation): each message crosses the codec, checked; `seed` feeds `ctx.random`.

    `words`: where it writes that it goes on (`page.py`).
    """

    home: Home
    cores: int = 1
    role: str = ""
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    bounds: Bounds = Bounds()
    seed: int = 0
    strict: bool = False
    buggify: Callable[[str, str], bool] | None = None
    sometimes: Callable[[str, bool], None] | None = None
    words: Words = field(default_factory=own_words)
    known: dict[Payload, Any] = field(default_factory=dict)  # `Strict.known`, one for all cores of a world
    heard: Callable[[str], bool] = _always  # whether log lines of this level are kept; others are not put together
    start_fault: Callable[[str], None] | None = None  # gets the path of each isolate about to start; may raise

    @property
    def place(self) -> Place:
        """What `tree(place)` and `ctx.place` see."""
        return Place(self.home.node, self.home.core, self.cores, self.role, MappingProxyType(dict(self.settings)))
