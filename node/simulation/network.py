"""The simulated network: the twin of `transport/zeromq.py` under the same port, for all cores of a world.

A session is one connection. Frames of one direction arrive in order; one that meets a cut or a hold waits with all
behind it, as tcp keeps it, until healed or released. In the `faithful` profile a loss is a reset: the connection ends
and all that was under way on it is gone, because that is what ZeroMQ over tcp can do; in the `hostile` profile the
frame alone is gone. When a process dies its connections end: of what it had sent a keyed part still arrives, the end
that dialled hears at once, the one that was dialled a little later. What silence ends is told by `silence.py`.
One keyed draw a frame; its lane is (kind, source core, target core), so other links change nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappush
from typing import Final

from regrove.node.simulation.clock import MILLISECOND, Clock
from regrove.node.simulation.ends import SCHEME, Cause, Connection, Half, SimulatedTransport, Way
from regrove.node.simulation.latencies import INSIDE, OUTSIDE
from regrove.node.simulation.packets import data_of
from regrove.node.simulation.plan import (
    CLOG,
    DELAY,
    DUPLICATE,
    FRAME_KINDS,
    FRAME_LIMIT,
    IN_FLIGHT,
    LOSS,
    PROFILES,
    REORDER,
    SPIKE,
    Plan,
)
from regrove.node.simulation.seeds import SLICE, SLICE_BITS, Draws, Lane, mix, slice_of
from regrove.node.simulation.silence import Silence
from regrove.transport.base import TransportError
from regrove.transport.wire import Written

DIAL_AGAIN: Final = 200 * MILLISECOND  # a connect that meets a cut is tried again, as tcp repeats its SYN
ANYWHERE: Final = ""  # in place of a source: whatever comes to a core
OVERTAKES: Final = FRAME_KINDS.index(REORDER)
_push: Final = heappush  # found faster in compiled code
HEARS_LATE: Final = 20 * MILLISECOND  # the most by which the dialled end hears later that its peer is gone


class Network:
    """All links of one world. `emit(time, parent, way, frame)` notes an arrival and returns its sequence."""

    def __init__(self, clock: Clock, draws: Draws, plan: Plan, profile: str) -> None:
        assert profile in PROFILES
        self.clock = clock
        self.plan = plan
        self._rows = plan.rows  # the plan's own, which it changes in place, as the next
        self._marked = plan.frames
        self.hostile = profile == "hostile"
        self.limits: dict[str, dict[tuple[str, str], list[int]]] = {
            what: {} for what in (DELAY, CLOG, IN_FLIGHT, FRAME_LIMIT)
        }  # by kind of fault, from a place to a place, the strengths of those that stand
        self._delays, self._clogs, self.caps, self._sizes = self.limits.values()
        self.held: dict[tuple[str, str], int] = {}  # frames, and connects, that met a cut, by its ends
        self.squeezed: dict[tuple[str, tuple[str, str]], int] = {}  # frames that met a limit, by its kind and ends
        self.frames = 0
        self.lost = 0
        self.resets = 0
        self.emit: Callable[[Way, Written, Cause], int] = _no_event
        self._draws = draws
        self._doors: dict[str, SimulatedTransport] = {}
        self._cuts: dict[tuple[str, str], int] = {}
        self._ways: dict[Way, None] = {}
        self.silence = Silence(self, clock, draws)
        self._arriving = self._arrive
        self.carry: Callable[[Way, Written, Cause], None] = self._carry  # a search listens there, as at `emit`

    # --- places and cuts: a place is a node or a core ---

    def open_between(self, source: SimulatedTransport, target: SimulatedTransport) -> bool:
        """Whether a frame may pass from one core to another now."""
        cuts = self._cuts
        return not cuts or ((source.node, target.node) not in cuts and (source.core, target.core) not in cuts)

    def path_open(self, source: str, target: str) -> bool:
        """Whether bytes may pass from one node to another now; the world outside reaches every node."""
        return (source, target) not in self._cuts

    def cut(self, source: str, target: str, for_ever: bool = False) -> None:
        """Stop what goes from a place to a place. Cuts add up: each needs its own `heal`.

        After a while both ends of a connection between machines give up, unless it may stand `for_ever`.
        """
        self._cuts[(source, target)] = self._cuts.get((source, target), 0) + 1
        if not for_ever:
            self.silence.begins(source, target)

    def heal(self, source: str, target: str, for_ever: bool = False) -> None:
        """Undo one cut, as it was made; what waited sets out again once the last one is gone."""
        if not for_ever:
            self.silence.ends(source, target)
        left = self._cuts.get((source, target), 0) - 1
        if left > 0:
            self._cuts[(source, target)] = left
            return
        self._cuts.pop((source, target), None)
        self.silence.again(source, target)
        for way in list(self._ways):
            if way.stuck and not way.unheard and self.open_between(way.source.owner, way.target.owner):
                way.stuck = False
                way.unclogged()
                for frame in way.wire:
                    self._set_out(way, frame, way.draws.next())

    def _hold(self, source: SimulatedTransport, target: SimulatedTransport, frames: int) -> None:
        for ends in ((source.node, target.node), (source.core, target.core)):
            if ends in self._cuts:
                self.held[ends] = self.held.get(ends, 0) + frames

    def held_between(self, ends: list[tuple[str, str]]) -> int:
        """How many frames, and connects, met a cut there so far."""
        return sum(self.held.get(pair, 0) for pair in ends)

    def holding(self) -> list[tuple[str, str, int]]:
        """From which core to which one frames are held now, and how many."""
        found: dict[tuple[str, str], int] = {}
        for way in self._ways:
            if way.stuck and way.wire and not way.unheard:
                ends = (way.source.owner.core, way.target.owner.core)
                found[ends] = found.get(ends, 0) + len(way.wire)
        return [(*ends, count) for ends, count in found.items()]

    def under_way(self, source: str, target: str) -> list[bytes]:
        """Return the frames between two places that have not arrived, in order for each connection."""
        return [data_of(frame) for way in self._between(source, target) for frame in way.wire]

    def _between(self, source: str, target: str) -> Iterator[Way]:
        for way in list(self._ways):
            near, far = way.source.owner, way.target.owner
            if source in (near.node, near.core) and target in (far.node, far.core):
                yield way

    def connections(self, source: str, target: str) -> list[Connection]:
        """Return the connections from a place to a place, and those that are over but for what is still under way."""
        return [way.connection for way in self._between(source, target)]

    def strike(self, source: str, target: str) -> int | None:
        """Lose what is under way from a place to a place: by resets, in the hostile profile the frames alone.

        Returns how many frames that lost, None when no connection stands between them.
        """
        ways = [way for way in self._between(source, target) if not way.connection.over]
        if not ways:
            return None
        if not self.hostile:
            return self.reset_between(source, target)
        lost = sum(way.lose() for way in ways)
        self.lost += lost
        for way in ways:
            if way.wanting:
                self._room(way)
        return lost

    def reset_between(self, source: str, target: str) -> int:
        """Reset every connection that carries frames from a place to a place; return how many frames that lost."""
        before = self.lost
        for way in self._between(source, target):
            if not way.connection.over:
                self.reset(way.connection)
        return self.lost - before

    @property
    def quiet(self) -> bool:
        """Whether no frame is under way."""
        return not any(way.wire for way in self._ways)

    # --- listening and dialling ---

    def listen(self, endpoint: str, door: SimulatedTransport) -> None:
        """Bind a name. Raises TransportError."""
        if not endpoint.startswith(SCHEME) or len(endpoint) == len(SCHEME):
            raise TransportError(f"{endpoint!r} is no endpoint of a simulated world: write sim://name")
        if endpoint in self._doors:
            raise TransportError(f"{endpoint} is in use: an endpoint is bound once, by one life of one core")
        self._doors[endpoint] = door

    def unlisten(self, endpoint: str, door: SimulatedTransport) -> None:
        """Free a name."""
        if self._doors.get(endpoint) is door:
            del self._doors[endpoint]

    def dial(self, half: Half, endpoint: str) -> None:
        """Let a connect reach its target."""
        half.connection.near = half
        lane = self._draws.lane("dial", half.owner.core, endpoint.partition(".")[0])
        draw = lane.next()
        self.clock.at(self.clock.now + INSIDE.pick(draw), draw, self._reach, (half, endpoint, lane))

    def _reach(self, call: tuple[Half, str, Lane]) -> None:
        half, endpoint, lane = call
        if not half.open or half.owner.dead:
            return
        draw = lane.next()
        door = self._doors.get(endpoint)
        if door is None:
            if self.silence.dark(endpoint[len(SCHEME) :].partition("/")[0]):
                self.clock.at(self.clock.now + DIAL_AGAIN, draw, self._reach, call)
                return
            half.connection.over = True
            half.owner.arrived(half, None, f"refused: nobody listens at {endpoint}", 0)
            return
        source = half.owner
        if not (self.open_between(source, door) and self.open_between(door, source)):
            self._hold(source, door, 1)
            self._hold(door, source, 1)
            self.clock.at(self.clock.now + DIAL_AGAIN, draw, self._reach, call)
            return
        self._join(half, door)
        self.clock.at(self.clock.now + half.out.latency.pick(draw), draw, self._through, half)

    def _join(self, near: Half, door: SimulatedTransport) -> None:
        connection = near.connection
        far = connection.far = door._half(connection)
        source = near.owner
        table = INSIDE if source.node == door.node else OUTSIDE
        out = self._draws.lane("frame.out", source.core, door.core)
        back = self._draws.lane("frame.back", door.core, source.core)
        connection.out = near.out = Way(connection, near, far, out, table)
        connection.back = far.out = Way(connection, far, near, back, table)
        self._ways[near.out] = self._ways[far.out] = None
        far.early = None
        door.arrived(far, None, "in", 0)

    def _through(self, half: Half) -> None:
        if half.open and not half.connection.over:
            early, half.early = half.early or [], None
            for frame in early:
                self.carry(half.out, frame, half.owner.cause_now)
            half.owner.arrived(half, None, "out", 0)

    # --- frames ---

    def _carry(self, way: Way, frame: Written, parent: Cause) -> None:
        """Send a frame on its way; here the noise strikes."""
        self.frames += 1
        draws = way.draws
        draw = draws.next()
        extra = 0
        if self._rows or self._marked:
            what, strength = self._fate(way, draw)
            if what == LOSS:
                self._lose(way)
                return
            if what == SPIKE:
                extra = strength
            elif what == DUPLICATE:
                way.wire.append(frame)
                way.parents.append(parent)
                if not way.stuck:
                    self._set_out(way, frame, mix(draw))
            elif what == REORDER and way.wire:
                way.wire.insert(len(way.wire) - 1, frame)
                way.parents.insert(len(way.parents) - 1, parent)
                if not way.stuck:
                    self._set_out(way, frame, draw)
                return
        if self._sizes and self._too_large(way, frame):
            return
        way.wire.append(frame)
        way.parents.append(parent)
        if way.stuck:
            self._hold(way.source.owner, way.target.owner, 1)
            return
        if self._delays or self._clogs:
            self._set_out(way, frame, draw, extra)
            return
        clock, latency = self.clock, way.latency
        row = draws.row  # `Distribution.pick`, written out as `Clock.at` below: one a frame
        time = clock.now + latency.low[row] + ((latency.span[row] * draws.fine) >> SLICE_BITS) + extra
        if time <= way.latest:
            time = way.latest + 1
        way.latest = time
        clock.sequence = sequence = clock.sequence + 1
        _push(clock.heap, (time, draw, sequence, self._arriving, way))

    def _fate(self, way: Way, draw: int) -> tuple[str, int]:
        """What the noise, or an entry of the plan for this one frame, does to it, and how strongly."""
        plan = self.plan
        if self._marked:
            entry = self._marked.get(f"{way.name}#{way.draws.ordinal}")
            if entry is not None and not (entry.what == REORDER and not way.wire):
                counts = plan.count(entry.what)
                counts.fired += 1
                counts.affected += entry.what != LOSS  # what a loss takes along is counted where it is done
                return entry.what, entry.strength
        low = way.draws.low
        for noise, number, numerator, denominator in self._rows:
            own = draw
            if number:  # each kind by a draw of its own: none moves another
                if number == OVERTAKES and not way.wire:
                    continue  # there is nothing to overtake
                own = mix(draw + number)
                low = own & SLICE
            if low * denominator < numerator:
                what = noise.what
                strength = slice_of(own, 1) * noise.strength >> SLICE_BITS
                counts = plan.strike(what, f"{way.name}#{way.draws.ordinal}", self.clock.now, strength)
                counts.affected += what != LOSS
                return what, strength
        return "", 0

    def _lose(self, way: Way) -> None:
        before = self.lost
        self.lost += 1
        way.missing = True
        if not self.hostile:
            self.reset(way.connection)
        self.plan.count(LOSS).affected += self.lost - before

    def _set_out(self, way: Way, frame: Written, draw: int, extra: int = 0) -> None:
        now = self.clock.now
        time = now + way.latency.pick(draw) + extra
        if self._delays and (delays := self._standing(DELAY, way)):
            self._met(DELAY, way)
            time += sum(delays)
        clogged = bool(self._clogs) and (rates := self._standing(CLOG, way))
        if clogged:
            self._met(CLOG, way)
            begin = max(now, way.free_at)
            way.free_at = begin + len(data_of(frame)) * 1_000_000_000 // max(min(rates), 1)
            time += way.free_at - now
        if time <= way.latest:
            time = way.latest + 1
        way.latest = time
        if clogged:
            way.clogged += 1
            self.clock.at(time, draw, self._passed, (way, way.era))
        else:
            self.clock.at(time, draw, self._arrive, way)

    # --- limits of links ---

    def delay(self, way: Way) -> int:
        """By how many ns the delays that stand now make a way slower."""
        return sum(self._standing(DELAY, way)) if self.limits[DELAY] else 0

    def _standing(self, what: str, way: Way) -> list[int]:
        table = self.limits[what]
        return [strength for pair in _pairs(way) for strength in table.get(pair, ())]

    def _met(self, what: str, way: Way) -> None:
        table = self.limits[what]
        for pair in _pairs(way):
            if pair in table:
                self.squeezed[what, pair] = self.squeezed.get((what, pair), 0) + 1

    def squeezed_between(self, what: str, pairs: list[tuple[str, str]]) -> int:
        """How many frames met limits of a kind there so far."""
        return sum(self.squeezed.get((what, pair), 0) for pair in pairs)

    def _passed(self, passage: tuple[Way, int]) -> None:
        """A frame has come through a clog, unless that was cleared before."""
        way, era = passage
        if way.era == era:
            way.clogged -= 1
            self._arrive(way)

    def full(self, way: Way) -> bool:
        """Whether a capped link takes no more now; its sender then hears when it does."""
        if not self.caps:
            return False
        caps = self._standing(IN_FLIGHT, way)
        if not caps or len(way.wire) < max(min(caps), 1):
            return False
        self._met(IN_FLIGHT, way)
        way.wanting = True
        return True

    def relieved(self, what: str, source: str, target: str) -> None:
        """A limit has gone: who waits for room may try again, and what queued in a clog goes on at the rate now."""
        for way in self._between(source, target):
            if what == IN_FLIGHT and way.wanting:
                self._room(way)
            if what == CLOG and way.clogged and not way.stuck:
                queued = list(way.wire)[-way.clogged :]
                way.latest = way.free_at = self.clock.now
                way.unclogged()
                for frame in queued:
                    self._set_out(way, frame, self._draws.draw("unclog", way.source.owner.core, way.target.owner.core))

    def _room(self, way: Way) -> None:
        way.wanting = False
        if way.source.open:
            way.source.owner.arrived(way.source, None, "room", 0)

    def _too_large(self, way: Way, frame: Written) -> bool:
        sizes = self._standing(FRAME_LIMIT, way)
        if not sizes or len(data_of(frame)) <= min(sizes):
            return False
        self._met(FRAME_LIMIT, way)
        self.lost += 1
        self.reset(way.connection)
        return True

    def _arrive(self, way: Way) -> None:
        if not way.wire or way.stuck:
            return
        if self._cuts and not self.open_between(way.source.owner, way.target.owner):
            way.stuck = True
            self._hold(way.source.owner, way.target.owner, len(way.wire))
            return
        wire = way.wire
        frame = wire.popleft()
        event = self.emit(way, frame, way.parents.popleft())
        if way.wanting:
            self._room(way)
        if way.connection.over and not wire:
            self._ways.pop(way, None)
        owner = way.target.owner
        if not owner.dead and not owner.frame_came(way, frame, event):
            owner.inbox.append((way.target, frame, "", event))
            owner.wake()

    # --- ends ---

    def reset(self, connection: Connection) -> None:
        """End a connection and lose all that is under way on it; both ends hear of it."""
        if connection.over:
            return
        connection.over = True
        self.resets += 1
        for way in (connection.out, connection.back):
            self._drop(way)
            self._tell_end(way.target, "connection reset", way.draws.next())

    def mend(self, nodes: tuple[str, ...]) -> None:
        """Reset connections of these nodes and clients where a frame is missing: unless one follows, nobody notices."""
        ends = (*nodes, "")  # a client is on no node
        for way in list(self._ways):
            if way.missing and way.source.owner.node in ends and way.target.owner.node in ends:
                self.reset(way.connection)

    def finish(self, half: Half, why: str) -> None:
        """An end was closed: what it had sent arrives before its peer hears of it, what was under way to it is lost."""
        connection = half.connection
        if connection.over:
            return
        connection.over = True
        if not hasattr(half, "out"):
            return  # the connect had not come through
        peer = connection.far if half is connection.near else connection.near
        self._drop(peer.out)
        if half.out.unheard:
            self._drop(half.out)
        self._tell_end(peer, why, half.out.draws.next())

    def cut_off(self, half: Half) -> None:
        """The process at this end is gone."""
        if not half.connection.over and hasattr(half, "out"):
            self.keep_a_part(half.out)
        self.finish(half, "connection reset by the peer")

    def keep_a_part(self, way: Way) -> None:
        """Of what a process that is gone had sent, a keyed part still arrives."""
        self.lost += way.lose(slice_of(way.draws.next(), 0) * (len(way.wire) + 1) >> SLICE_BITS)

    def time_out(self, connection: Connection, why: str) -> None:
        """End a connection whose ends do not hear each other; where one end had closed it, what was still under way."""
        over, connection.over = connection.over, True
        for way in (connection.out, connection.back):
            self._drop(way)
            if not over:
                self.clock.at(self.clock.now, way.draws.next(), self._ended, (way.target, why))

    def _drop(self, way: Way) -> None:
        self.lost += way.lose()
        self._ways.pop(way, None)

    def _tell_end(self, half: Half, why: str, draw: int) -> None:
        way = half.connection.out if half is half.connection.far else half.connection.back
        time = max(self.clock.now + way.latency.pick(draw), way.latest + 1)
        if half is half.connection.far:
            time += slice_of(draw, 0) * HEARS_LATE >> SLICE_BITS
        self.clock.at(time, draw, self._ended, (half, why))

    def _ended(self, end: tuple[Half, str]) -> None:
        half, why = end
        way = half.connection.out if half is half.connection.far else half.connection.back
        if way.stuck and way.wire:
            self.clock.at(self.clock.now + DIAL_AGAIN, way.draws.next(), self._ended, end)
            return
        self._ways.pop(way, None)
        if half.open:
            half.owner.arrived(half, None, why, 0)


def _pairs(way: Way) -> tuple[tuple[str, str], ...]:
    near, far = way.source.owner, way.target.owner
    return (near.node, far.node), (near.core, far.core), (ANYWHERE, far.core)


def _no_event(_way: Way, _frame: Written, _parent: Cause) -> int:
    return 0
