"""What every transport must pass, as plain functions over a `World` that makes ends of one kind.

    for check in PORT_CHECKS + LINK_CHECKS:    # LINK_CHECKS are in contract_links.py
        check(world)                           # a fresh world each time; raises AssertionError saying what failed

tests/transport runs it over simulated, ipc, tcp and tcp with CURVE, so that the simulated transport never allows what
ZeroMQ cannot do, or forbids what it can.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from regrove.transport.base import Transport, TransportError

SLEEP_NS: Final = 1_000_000_000  # a sleep that lasts so long was not woken
LIMIT_NS: Final = 10_000_000_000  # what is waited for in the real worlds, ten times what a loaded machine needs


class World(Protocol):
    """One kind of transport, its clock and its way of waiting."""

    kind: str
    stealable: bool  # whether an endpoint can be bound again after its owner is gone (tcp and simulated, not ipc)

    def end(self, name: str) -> Transport:
        """A new end."""

    def listen(self, name: str, endpoint: str = "") -> str:
        """Let the end `name` listen, at `endpoint` if one is given; the endpoint to dial."""

    def key(self, name: str) -> str:
        """The public key to dial `name` with, "" where there are none."""

    def kill(self, name: str) -> None:
        """End it as kill -9 does: nothing is said, what it had not sent is gone."""

    def now(self) -> int:
        """ns."""

    def wait(self, transports: Sequence[Transport], until: int) -> None:
        """Sleep until one of them has something, or until the instant `until`; may return early."""


class Recorder:
    """A handler that writes down what it hears."""

    def __init__(self) -> None:
        self.opened: list[tuple[int, str]] = []  # (inbound session, user id)
        self.through: list[int] = []
        self.frames: list[tuple[int, bytes]] = []
        self.closed: list[tuple[int, str]] = []

    def on_session(self, session: int, inbound: bool, user_id: str) -> None:
        """Write it down."""
        if inbound:
            self.opened.append((session, user_id))
        else:
            self.through.append(session)

    def on_frames(self, session: int, frames: Sequence[bytes]) -> None:
        """Write them down."""
        self.frames.extend((session, frame) for frame in frames)

    def on_writable(self, session: int) -> None:
        """Nothing: the checks send again by themselves."""

    def on_closed(self, session: int, reason: str) -> None:
        """Write it down."""
        self.closed.append((session, reason))


class Bench:
    """Two ends of a world with recorders, turned until something holds."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ends: dict[str, tuple[Transport, Recorder]] = {}

    def end(self, name: str) -> tuple[Transport, Recorder]:
        """A new end with its recorder."""
        transport, recorder = self.world.end(name), Recorder()
        transport.attach(recorder)
        self.ends[name] = (transport, recorder)
        return transport, recorder

    def until(self, holds: Callable[[], bool], what: str, limit: int = LIMIT_NS) -> None:
        """Turn until `holds`; fails naming `what` after the limit, or when a sleep was not woken by what arrived.

        The turns are those of a real loop: ask `pending` last, sleep on the descriptors, poll once.
        """
        world = self.world
        end = world.now() + limit
        while not holds():
            assert world.now() < end, f"{world.kind}: not within {limit / 1e9:.1f} s: {what}"
            transports = [transport for transport, _ in self.ends.values()]
            asked = [transport.pending() for transport in transports]  # every one: any() would stop at the first
            before, heard = world.now(), self._heard()
            if not any(asked):
                world.wait(transports, before + SLEEP_NS)
            slept = world.now() - before >= SLEEP_NS
            for transport in transports:
                transport.poll()
            assert not slept or heard == self._heard(), f"{world.kind}: slept over what had arrived, before {what}"

    def _heard(self) -> int:
        return sum(
            len(recorder.opened) + len(recorder.through) + len(recorder.frames) + len(recorder.closed)
            for _, recorder in self.ends.values()
        )

    def kill(self, name: str) -> None:
        """End one."""
        del self.ends[name]
        self.world.kill(name)

    def connected(self) -> tuple[Transport, Recorder, int, Transport, Recorder, int]:
        """Two ends with a session from "a" to "b" that both use: transport, recorder and session of each."""
        ours, heard = self.end("a")
        theirs, heard_there = self.end("b")
        session = ours.open(self.world.listen("b"), self.world.key("b"))
        assert ours.try_send(session, b"first"), "a session takes frames as soon as it was opened"
        self.until(lambda: bool(heard_there.frames), "the first frame")
        assert [frame for _, frame in heard_there.frames] == [b"first"]
        inbound = heard_there.frames[0][0]
        assert [opened for opened, _ in heard_there.opened] == [inbound], "a session is announced before its frames"
        heard_there.frames.clear()
        return ours, heard, session, theirs, heard_there, inbound


def check_frames_arrive_whole_and_in_order(world: World) -> None:
    """Sizes from one byte to 100 KiB, more than a poll takes at once."""
    bench = Bench(world)
    ours, _, session, _, there, inbound = bench.connected()
    frames = [bytes([number % 251]) * (1 + number * 37 % 700) for number in range(1_000)] + [b"x" * 102_400]
    for frame in frames:
        assert ours.try_send(session, frame)
    bench.until(lambda: len(there.frames) >= len(frames), "all frames")
    assert there.frames == [(inbound, frame) for frame in frames]


def check_a_session_carries_frames_both_ways(world: World) -> None:
    """What the dialled end answers comes back on the same session, to nobody else."""
    bench = Bench(world)
    _, heard, session, theirs, _, inbound = bench.connected()
    for number in range(300):
        assert theirs.try_send(inbound, b"%d" % number)
    bench.until(lambda: len(heard.frames) >= 300, "all answers")
    assert heard.frames == [(session, b"%d" % number) for number in range(300)]
    assert heard.through == [session]


def check_sessions_are_kept_apart(world: World) -> None:
    """Two diallers of one listener: each frame and each answer belongs to one session."""
    bench = Bench(world)
    first, heard_first = bench.end("a")
    second, heard_second = bench.end("c")
    theirs, there = bench.end("b")
    endpoint = world.listen("b")
    sessions = [end.open(endpoint, world.key("b")) for end in (first, second)]
    assert first.try_send(sessions[0], b"from a")
    assert second.try_send(sessions[1], b"from c")
    bench.until(lambda: len(there.frames) == 2, "both frames")
    by_text = {frame: session for session, frame in there.frames}
    assert len({*by_text.values()}) == 2
    assert theirs.try_send(by_text[b"from a"], b"to a")
    assert theirs.try_send(by_text[b"from c"], b"to c")
    bench.until(lambda: bool(heard_first.frames and heard_second.frames), "both answers")
    assert heard_first.frames == [(sessions[0], b"to a")]
    assert heard_second.frames == [(sessions[1], b"to c")]


def check_the_dialler_hears_that_the_other_end_was_killed(world: World) -> None:
    """Once, with a reason, without sending."""
    bench = Bench(world)
    ours, heard, session, *_ = bench.connected()
    bench.kill("b")
    bench.until(lambda: bool(heard.closed), "the loss")
    assert [closed for closed, _ in heard.closed] == [session]
    assert heard.closed[0][1], "a loss has a reason"
    assert not ours.try_send(session, b"late")


def check_the_dialled_end_hears_that_the_dialler_was_killed(world: World) -> None:
    """At the latest when it sends; once."""
    bench = Bench(world)
    *_, theirs, there, inbound = bench.connected()
    bench.kill("a")
    bench.until(lambda: bool(there.closed) or not theirs.try_send(inbound, b"?"), "a refused send or the loss")
    bench.until(lambda: bool(there.closed), "the loss")
    assert [closed for closed, _ in there.closed] == [inbound]
    assert not theirs.try_send(inbound, b"late")


def check_what_was_sent_before_a_close_by_the_peer_is_handed_over_first(world: World) -> None:
    """Frames that arrived come before the end of their session."""
    bench = Bench(world)
    ours, _, session, _, there, inbound = bench.connected()
    ours.try_send(session, b"second")
    bench.until(lambda: bool(there.frames), "the second frame")
    ours.close(session)
    bench.until(lambda: bool(there.closed), "the end")
    assert there.frames == [(inbound, b"second")]


def check_dialling_nobody_is_told_as_closed(world: World) -> None:
    """An endpoint whose owner is gone."""
    bench = Bench(world)
    bench.end("b")
    endpoint = world.listen("b")
    bench.kill("b")
    ours, heard = bench.end("a")
    session = ours.open(endpoint, world.key("b"))
    ours.try_send(session, b"hello")
    bench.until(lambda: bool(heard.closed), "the refusal")
    assert [closed for closed, _ in heard.closed] == [session]


def check_a_closed_session_is_silent_and_never_reused(world: World) -> None:
    """close() tells nobody here, twice is once, and the next session has another number."""
    bench = Bench(world)
    ours, heard, session, _, there, _ = bench.connected()
    ours.close(session)
    ours.close(session)
    assert not ours.try_send(session, b"late")
    bench.end("c")
    again = ours.open(world.listen("c"), world.key("c"))
    assert again != session
    bench.until(lambda: bool(there.closed), "the end at the other side")
    assert not heard.closed


def check_frames_for_a_session_closed_here_are_dropped(world: World) -> None:
    """A peer that dialled cannot be cut, only not listened to."""
    bench = Bench(world)
    ours, _, session, theirs, there, inbound = bench.connected()
    theirs.close(inbound)
    for _ in range(10):
        ours.try_send(session, b"unheard")
    _, elsewhere = bench.end("c")
    marker = ours.open(world.listen("c"), world.key("c"))
    ours.try_send(marker, b"marker")
    bench.until(lambda: bool(elsewhere.frames), "a later frame elsewhere")
    assert not there.frames
    assert not there.closed


def check_a_successor_hears_nothing_that_was_meant_for_the_dead(world: World) -> None:
    """Plain ZeroMQ reconnects and hands what is queued to whoever binds next; a session must not."""
    if not world.stealable:
        return
    bench = Bench(world)
    ours, heard = bench.end("a")
    bench.end("b")
    endpoint = world.listen("b")
    session = ours.open(endpoint, world.key("b"))
    ours.try_send(session, b"first")
    bench.until(lambda: bool(bench.ends["b"][1].frames), "the first frame")
    bench.kill("b")
    for number in range(100):
        ours.try_send(session, b"for the dead %d" % number)
    _, successor = bench.end("b")
    assert world.listen("b", endpoint) == endpoint
    bench.until(lambda: bool(heard.closed), "the loss")
    fresh = ours.open(endpoint, world.key("b"))
    ours.try_send(fresh, b"for the successor")
    bench.until(lambda: bool(successor.frames), "the first frame of the new session")
    assert [frame for _, frame in successor.frames] == [b"for the successor"]


def check_an_endpoint_is_bound_once(world: World) -> None:
    """A second bind says what is wrong."""
    bench = Bench(world)
    bench.end("b")
    endpoint = world.listen("b")
    other, _ = bench.end("c")
    said = ""
    try:
        other.listen(endpoint)
    except TransportError as problem:
        said = str(problem)
    assert endpoint.rpartition("/")[2] in said, f"{world.kind}: a second bind of {endpoint} was not refused: {said!r}"


def check_a_malformed_endpoint_is_refused(world: World) -> None:
    """With TransportError, by both verbs."""
    bench = Bench(world)
    ours, _ = bench.end("a")
    for endpoint in ("", "nonsense", "somewhere:80"):
        for verb in (ours.listen, ours.open):
            try:
                verb(endpoint)
            except TransportError:
                continue
            raise AssertionError(f"{world.kind}: {endpoint!r} was not refused")


def check_nobody_sleeps_on_what_has_arrived(world: World) -> None:
    """A thousand turns of ping-pong in which a sleep that is not woken would last a second: none may."""
    bench = Bench(world)
    ours, heard, session, theirs, there, inbound = bench.connected()
    ours.try_send(session, b"ping")
    turns = 0
    while turns < 1_000:
        asked = [ours.pending(), theirs.pending()]
        if not any(asked):
            before = world.now()
            world.wait((ours, theirs), before + SLEEP_NS)
            assert world.now() - before < SLEEP_NS, f"{world.kind}: slept over a frame in turn {turns}"
        ours.poll()
        theirs.poll()
        if there.frames:
            there.frames.clear()
            assert theirs.try_send(inbound, b"pong")
        if heard.frames:
            heard.frames.clear()
            turns += 1
            assert ours.try_send(session, b"ping")


PORT_CHECKS: Final[tuple[Callable[[World], None], ...]] = (
    check_frames_arrive_whole_and_in_order,
    check_a_session_carries_frames_both_ways,
    check_sessions_are_kept_apart,
    check_the_dialler_hears_that_the_other_end_was_killed,
    check_the_dialled_end_hears_that_the_dialler_was_killed,
    check_what_was_sent_before_a_close_by_the_peer_is_handed_over_first,
    check_dialling_nobody_is_told_as_closed,
    check_a_closed_session_is_silent_and_never_reused,
    check_frames_for_a_session_closed_here_are_dropped,
    check_a_successor_hears_nothing_that_was_meant_for_the_dead,
    check_an_endpoint_is_bound_once,
    check_a_malformed_endpoint_is_refused,
    check_nobody_sleeps_on_what_has_arrived,
)
