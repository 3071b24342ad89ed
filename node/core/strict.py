"""What a simulated core does with each message: it crosses the real codec once and is held against its annotations.

On a real core an immutable message passes by reference and nothing checks it; here what does not survive the wire, or
holds what its annotation forbids, fails in the first test. What was crossed is remembered until it is handled, so that
a tracer need not encode it again.
"""

from __future__ import annotations

from typing import Any, Final

from regrove.node.core.codec import decode, payload_of
from regrove.node.core.copying import prepare
from regrove.node.core.inspection import check
from regrove.node.core.tables import TABLES
from regrove.transport.parts import Payload

REMEMBERED: Final = 10_000  # messages that wait to be handled; beyond it they are encoded again when traced
DECODED: Final = 64  # each so many-th plain message is decoded although it is known what that gives


class Strict:
    """The codec of one core's messages, crossed and checked.

    `known` are values by their bytes, for all cores of a world: a message whose fields are plain values of the types
    annotated never changes and arrives as it was, so the value itself stands for what decoding its bytes would give.
    """

    __slots__ = ("_bytes", "_count", "_fixed", "_fresh", "_last", "known")

    def __init__(self, known: dict[Payload, Any]) -> None:
        self.known = known
        self._count = 0
        self._fixed = TABLES.fixed
        self._fresh: dict[int, tuple[object, Payload]] = {}  # by identity, which the value held here keeps its own
        self._last: object = self  # an immutable message sent to several is checked and encoded once
        self._bytes: Payload = b""

    def encoded(self, value: Any) -> Payload:
        """Check and encode. Raises Misuse, UnsendableValue."""
        if value is self._last:
            return self._bytes
        shape = TABLES.shapes.get(type(value))
        if shape is None or shape.plain is None or not shape.plain(value):
            check(value)
            payload = payload_of(value)
            if type(value) in self._fixed:
                self._last, self._bytes = value, payload
            return payload
        payload = payload_of(value)
        if type(payload) is bytes:
            self._last, self._bytes = value, payload
            self._know(value, payload)
        return payload

    def _know(self, value: object, payload: bytes) -> None:
        known = self.known
        self._count = count = self._count + 1
        if count % DECODED:
            if len(known) >= REMEMBERED:
                known.clear()
            known[payload] = value
        else:
            known.pop(payload, None)

    def arrived(self, payload: Payload) -> Any:
        """Decode what a link brought; decoding holds it against its annotations. Raises DecodeError."""
        value = self.known.get(payload) if type(payload) is bytes else None
        if value is None:
            value = decode(payload)
        self.remember(value, payload)
        return value

    def remember(self, value: object, payload: Payload) -> None:
        """Keep the bytes of a message until it is handled."""
        if len(self._fresh) >= REMEMBERED:
            self._fresh.clear()
        self._fresh[id(value)] = (value, payload)

    def prepare(self, value: Any) -> tuple[Any, int]:
        """Give what another isolate of this core gets, with its charge. Raises Misuse, UnsendableValue."""
        charge = self._fixed.get(type(value))
        arrived = self.arrived(self.encoded(value))
        return arrived, prepare(value)[1] if charge is None else charge

    def taken(self, value: object) -> Payload | None:
        """Give the bytes of a message that is about to be handled, once; None when they are not known."""
        found = self._fresh.pop(id(value), None)
        return found[1] if found is not None and found[0] is value else None
