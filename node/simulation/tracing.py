"""What a simulated core, and its links, tell the trace."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from heapq import heappush
from typing import Any, Final
from zlib import crc32

from regrove.node.core.address import Home
from regrove.node.core.isolate import Cell
from regrove.node.core.messages import decode, payload_of
from regrove.node.core.outcomes import Down, Exit, Failed, Outcome, Replied, Undelivered
from regrove.node.core.sent import Sent
from regrove.node.simulation.clock import Clock
from regrove.node.simulation.ends import Way
from regrove.node.simulation.packets import Packet, PacketDecoder, PacketEncoder
from regrove.node.simulation.trace import BATCH as FRESH
from regrove.node.simulation.trace import GIVEN, Text, Trace
from regrove.supervisor.reasons import Reason
from regrove.transport.base import Transport
from regrove.transport.credit import CreditError
from regrove.transport.events import DialRefused, Items, LinkEvent, LinkLost, Resolved
from regrove.transport.handshake import Identity
from regrove.transport.lifecycle import Draw
from regrove.transport.link import LinkSettings
from regrove.transport.links import LinkTable
from regrove.transport.parts import Payload, parts_of
from regrove.transport.wire import BATCH, RUN, WireError, Written

TELLING: Final = (Failed, Down, Exit, Undelivered)  # each has a reason
REPLIED: Final = crc32(Replied.__name__.encode())
PATHS: Final = 1_000  # of isolates that handled something, kept by a core's tracer
_push: Final = heappush  # found faster in compiled code, as the next
_crc32: Final = crc32
_WORDS: Final = {type(sent.reason).__name__: sent.value for sent in Sent if sent is not Sent.OK}


def digest_of(value: object) -> int:
    """Digest what a callback gets: codec bytes where it travels, class names where it holds what never does."""
    if isinstance(value, Outcome):
        return _digest_of_parts(value)
    encoded = _encoded(value)
    return _digest_of_parts(value) if encoded is None else _crc(encoded)


def _crc(payload: Payload, digest: int = 0) -> int:
    for part in parts_of(payload):
        digest = _crc32(part, digest)
    return digest


def _encoded(value: object) -> Payload | None:
    try:
        return payload_of(value)
    except Exception:
        return None


def _digest_of_parts(value: object) -> int:
    digest = crc32(type(value).__name__.encode())
    for name in ("value", "data", "reason", "path", "names", "outcomes", "peer"):
        part = getattr(value, name, None)
        if isinstance(part, Reason):
            digest = crc32(type(part).__name__.encode(), digest)
        elif isinstance(part, bytes):
            digest = crc32(part, digest)
        elif isinstance(part, tuple) and part and isinstance(part[0], Outcome):
            for outcome in part:
                digest = crc32(b"%d" % _digest_of_parts(outcome), digest)
        elif part is not None and (encoded := _encoded(part)) is not None:
            digest = _crc(encoded, digest)
    return digest


class CoreTracer:
    """The `Tracer` of one core, over all its lives."""

    __slots__ = ("_clock", "_paths", "_trace", "arrivals", "bytes_of", "place")

    def __init__(self, trace: Trace, clock: Clock, place: str) -> None:
        self._trace = trace
        self._clock = clock
        self._paths: dict[Cell, str] = {}
        self.place = place
        self.bytes_of: Callable[[object], Payload | None] = _unknown  # of a message, where the core still has them
        self.arrivals: dict[tuple[str, int], deque[int]] = {}  # events of batches that wait to be read, by peer

    def begin(self, bytes_of: Callable[[object], Payload | None]) -> None:
        """Another life of the core begins; nothing of the one before is kept."""
        self.bytes_of = bytes_of
        self._paths.clear()

    def handle(self, now: int, cell: Cell, message: Any, cause: int) -> int:
        """A message is about to be handled."""
        payload = self.bytes_of(message)
        if payload is None:
            payload = None if isinstance(message, Outcome) else _encoded(message)
        digest = _digest_of_parts(message) if payload is None else _crc(payload)
        text: Text = payload if type(payload) is bytes and len(payload) <= GIVEN else _name_of(message)
        return self._trace.emit(self._clock.now, cause, self.place, cell.path, cell.incarnation, "handle", digest, text)

    def taken(self, cell: Cell, message: object, payload: bytes, cause: int) -> int:
        """`handle` of a message whose bytes are at hand."""
        trace = self._trace
        trace.sequence = sequence = trace.sequence + 1
        path = self._paths.get(cell)
        if path is None:
            if len(self._paths) >= PATHS:
                self._paths.clear()
            path = self._paths[cell] = cell.path
        trace.fresh.append(
            (self._clock.now, sequence, cause, self.place, path, cell.incarnation, "handle", _crc32(payload))
        )
        trace.texts.append(payload if len(payload) <= GIVEN else type(message).__name__)
        return sequence

    def callback(self, now: int, cell: Cell, kind: str, argument: Any, cause: int) -> int:
        """Another callback is about to run."""
        answer = _answer(argument)
        digest = digest_of(argument) if answer is None else _crc32(answer, REPLIED)
        name = _name_of(argument)
        text: Text = name if answer is None or len(answer) > GIVEN else (name, answer)
        return self._trace.emit(self._clock.now, cause, self.place, cell.path, cell.incarnation, kind, digest, text)

    def start(self, now: int, cell: Cell, cause: int) -> int:
        """The constructor and `start` are about to run."""
        return self._trace.emit(self._clock.now, cause, self.place, cell.path, cell.incarnation, "start", 0)

    def frame(self, now: int, peer: Home, items: Iterable[Any]) -> int:
        """Items arrived on a link: the arrival of their frame is their cause."""
        waiting = self.arrivals.get((peer.node, peer.core))
        return waiting.popleft() if waiting else 0

    def event(self, now: int, cell: Cell, kind: str, detail: str | None, cause: int) -> int:
        """Something happened to an isolate or supervisor."""
        text = detail or ""
        digest = crc32(text.encode())
        return self._trace.emit(self._clock.now, cause, self.place, cell.path, cell.incarnation, kind, digest, text)

    def note(self, kind: str, text: str = "", cause: int = 0, path: str = "") -> int:
        """Something happened to the core itself; the text is a word or two and is digested."""
        return self._trace.emit(self._clock.now, cause, self.place, path, 0, kind, crc32(text.encode()), text)


def _answer(argument: Any) -> bytes | None:
    """The bytes of an answer that is digested as these."""
    if type(argument) is not Replied:
        return None
    value = argument.value
    if value is None or isinstance(value, Reason | bytes | tuple):
        return None
    payload = _encoded(value)
    return payload if type(payload) is bytes else None


def _name_of(argument: Any) -> str:
    """Its class, and of what tells of an end the class of the reason; for people, in no digest."""
    name = type(argument).__name__
    return f"{name} {type(argument.reason).__name__}" if type(argument) in TELLING else name


def _unknown(_message: object) -> Payload | None:
    return None


class FrameTracer:
    """Notes each frame that arrives in the world; `arrivals` are those of the tracers of its cores, by place."""

    __slots__ = ("_arrivals", "_clock", "_trace")

    def __init__(self, trace: Trace, clock: Clock, arrivals: dict[str, dict[tuple[str, int], deque[int]]]) -> None:
        self._trace = trace
        self._clock = clock
        self._arrivals = arrivals

    def frame(self, way: Way, frame: Written, parent: int) -> int:
        """A frame arrives on `way`; the event of one that holds messages waits for the core to read it."""
        source, target = way.source.owner, way.target.owner
        if type(frame) is Packet:
            digest, batch = frame.digest, frame.type == BATCH
        else:
            digest, batch = crc32(frame), frame[3] == BATCH or frame[3] == RUN
        trace = self._trace
        trace.sequence = event = trace.sequence + 1  # `emit`, written out: one a frame
        trace.fresh.append((self._clock.now, event, parent, target.core, source.core, 0, "frame", digest))
        trace.texts.append("")
        if len(trace.fresh) >= FRESH:
            trace.absorb()
        if batch:
            arrivals = way.arrivals
            if arrivals is None:
                known = self._arrivals.get(target.core)
                if known is None or not source.node:
                    arrivals = way.arrivals = deque(maxlen=0)  # the client traces nothing, nor is it a peer
                else:
                    arrivals = way.arrivals = known.setdefault((source.node, source.index), deque())
            arrivals.append(event)
        return event


class TracedLinks(LinkTable):
    """A link table of a simulated world: it writes packets, and notes in the trace what reached nobody."""

    def __init__(
        self,
        transport: Transport,
        identity: Identity,
        draw: Draw,
        settings: LinkSettings,
        advertise: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(transport, identity, draw, settings, advertise=advertise)
        self._encoder = PacketEncoder()
        self._decoder = PacketDecoder(self.settings.limits)
        self.arrivals: dict[tuple[str, int], deque[int]] | None = None  # of the tracer; a client's links have none

    note: Callable[[str, str], int]

    def refuse(self, peer: tuple[str, int, int, int], session: int, sequence: int, reason: bytes) -> None:
        """Tell the sender that an item was not taken."""
        super().refuse(peer, session, sequence, reason)
        name = type(decode(reason)).__name__
        self.note("undelivered", f"{_WORDS.get(name, name.upper())} from {peer[0]}/{peer[2]}")

    def take(self, number: int, packet: Packet, now: int) -> bool:
        """Take one packet at once, as `poll` and `receive` do; whether `receive` then has something to give."""
        session = self._sessions.get(number)
        if session is None:
            self.dropped += 1
            return False
        session.heard_at = now
        try:
            self._frame(session, packet, now)
        except (WireError, CreditError) as error:
            self.garbage += 1
            self._events.append(DialRefused(self._who(session), str(error)))
            self._drop(session, str(error), now)
        return bool(self._events)

    def take_one(self, number: int, packet: Packet, now: int, size: int) -> bool:
        """Take a BATCH of one message of `size` bytes, when nothing else is to be told; False: nothing was done."""
        session = self._sessions.get(number)
        if session is None or packet.nonce != session.nonce or self._events or self._inbox or session.main is not None:
            return False
        into, timers = session.into, self._timers
        if into is None or not session.up or (timers and timers[0][0] <= now):
            return False
        if not into.only(packet.first, size):  # last: it has taken the message when it holds
            return False
        session.heard_at = now
        if into.grant_at is None:
            into.grant_at = at = now + self._quiet
            self._armed += 1
            _push(timers, (at, self._armed, "grant", session))
        return True

    @property
    def owes(self) -> bool:
        """Whether `flush` has something to write."""
        return bool(self._dirty or self._granting)

    def receive(self, now: int) -> list[LinkEvent]:
        """Take what happened since the last call."""
        if self._inbox or (self._timers and self._timers[0][0] <= now):
            events = super().receive(now)
        else:
            events, self._events = self._events, []
        met: dict[tuple[str, int], int] = {}
        for event in events:
            if type(event) is not Items:
                self._note(event)
                continue
            peer = (event.peer[0], event.peer[2])
            at = met[peer] = met.get(peer, -1) + 1
            if (
                not event.framed and self.arrivals is not None
            ):  # what was put together, or held, has no arrival of its own
                self.arrivals.setdefault(peer, deque()).insert(at, 0)
        return events

    def _note(self, event: LinkEvent) -> None:
        if isinstance(event, LinkLost):
            for word, count in (("UNKNOWN", event.count), ("UNREACHABLE", event.never_left_count)):
                for _ in range(count):
                    self.note("undelivered", f"{word} to {event.peer[0]}/{event.peer[2]}")
        elif isinstance(event, Resolved):
            for _ in range(event.lost):
                self.note("undelivered", f"LOST to {event.peer[0]}/{event.peer[2]}")

    def happened(self, now: int) -> bool:
        """Whether the core must hear of something; what that is the next `receive` gives."""
        if self._inbox or (self._timers and self._timers[0][0] <= now):
            self._events = super().receive(now)
        return bool(self._events)
