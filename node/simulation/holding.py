"""What is held between two places, for inspection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from regrove.node.core.messages import decode
from regrove.node.simulation.hiding import ours
from regrove.transport.wire import BATCH, ORDERED, RUN, SIGNAL, Decoder, WireLimits

if TYPE_CHECKING:
    from regrove.node.simulation.world import World

__tracebackhide__ = ours  # of pytest


class Held:
    """The frames held from a place to a place, in order."""

    def __init__(self, world: World, source: str, target: str, pairs: list[tuple[str, str]]) -> None:
        self._world = world
        self._pairs = pairs
        self._source = source
        self._target = target
        self._active = False

    def begin(self) -> None:
        """Hold from now on."""
        self._active = True
        self._world.note(f"{self._source}>{self._target}", "test-hold")
        for pair in self._pairs:
            self._world.network.cut(*pair, for_ever=True)

    def release(self) -> None:
        """Let everything go on its way, in order. Idempotent."""
        if self._active:
            self._active = False
            self._world.note(f"{self._source}>{self._target}", "test-release")
            for pair in self._pairs:
                self._world.network.heal(*pair, for_ever=True)

    @property
    def frames(self) -> list[bytes]:
        """The frames as they are on the wire."""
        return self._world.network.under_way(self._source, self._target)

    @property
    def messages(self) -> list[Any]:
        """The messages of isolates among what is held, decoded, in order."""
        decoder = Decoder(WireLimits())
        found: list[Any] = []
        for data in self.frames:
            frame = decoder.frame(data)
            if frame is not None and frame.type in (BATCH, RUN):
                found.extend(decode(item[-1]) for item in frame.body if item[0] < SIGNAL)
            elif frame is not None and frame.type == ORDERED:  # big messages themselves are in pieces
                found.extend(decode(item[-1]) for _, length, item in frame.body if not length and item[0] < SIGNAL)
        return found

    def __repr__(self) -> str:
        return f"<held {self._source} > {self._target}: {len(self.frames)} frames>"
