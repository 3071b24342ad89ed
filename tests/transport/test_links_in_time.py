"""What a link table does as time passes, on virtual time: redials, silence, quiet grants, idle links, limits."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from regrove.transport.contract import Recorder
from regrove.transport.contract_links import Node, Stage, draw_of
from regrove.transport.credit import Window
from regrove.transport.events import DialRefused, Items, LinkLost, LinkUp, PeerSilent, Refused, Resolved, Room, Verdict
from regrove.transport.link import MS, SECOND, LinkSettings
from regrove.transport.simulated import LOSE, Key
from regrove.transport.wire import WireLimits
from tests.transport.conftest import SimulatedWorld

SETTINGS = LinkSettings()


@pytest.fixture
def world() -> SimulatedWorld:
    return SimulatedWorld()


def linked(world: SimulatedWorld, settings: LinkSettings = SETTINGS) -> tuple[Stage, Node, Node]:
    """Two cores with the link from a to b up and everything acknowledged."""
    stage = Stage(world, settings)
    a, b = stage.pair()
    a.table.post(b.peer, (1, b"first"))
    stage.until(lambda: a.table.statistics()[0].acknowledged == 1, "the first item")
    a.events.clear()
    b.events.clear()
    return stage, a, b


def turn_for(stage: Stage, span: int) -> None:
    end = stage.world.now() + span
    while stage.world.now() < end:
        stage.turn()


def break_link(world: SimulatedWorld, a: Node, b: Node) -> None:
    for connection in world.network.connections(a.name, b.name):
        world.network.reset(connection)


def test_a_lost_link_is_redialled_within_the_backoff(world: SimulatedWorld) -> None:
    stage, a, b = linked(world)
    lost_at = world.now()
    break_link(world, a, b)
    stage.until(lambda: a.heard(LinkUp), "the redial")
    assert world.now() - lost_at <= SETTINGS.redial_min + 5 * MS
    assert [type(event) for event in a.events] == [LinkLost, LinkUp]


def test_while_a_link_is_down_posts_are_told_unreachable(world: SimulatedWorld) -> None:
    _, a, b = linked(world)
    break_link(world, a, b)
    a.turn()
    assert a.table.post(b.peer, (1, b"now")) is Verdict.UNREACHABLE
    assert not a.table.signal(b.peer, (17,))


def test_redials_back_off_to_two_seconds_with_jitter(world: SimulatedWorld) -> None:
    stage, a, b = linked(world)
    stage.kill(b)
    dialled: list[int] = []
    open_ = a.transport.open

    def spy(endpoint: str, server_key: str = "") -> int:
        dialled.append(world.now())
        a.table._links[b.peer].wanted = True  # somebody keeps asking
        return open_(endpoint, server_key)

    a.transport.open = spy  # type: ignore[method-assign]
    turn_for(stage, 60 * SECOND)
    gaps = [late - early for early, late in pairwise(dialled)]
    assert all(gap <= 2 * SECOND + 25 * MS for gap in gaps)
    assert 30 <= len(gaps) <= 200
    assert len({gap // (10 * MS) for gap in gaps[8:]}) > 10, "the delays are spread"


def test_two_owners_do_not_redial_in_step() -> None:
    delays = {draw_of(f"core {number}")("redial/x", 1) % (50 * MS) for number in range(20)}
    assert len(delays) == 20


def test_a_peer_is_silent_after_two_seconds_and_told_once(world: SimulatedWorld) -> None:
    stage, a, b = linked(world)
    stage.kill(b)
    stage.until(lambda: a.heard(LinkLost), "the loss")
    lost_at = world.now()
    stage.until(lambda: a.heard(PeerSilent), "the silence")
    assert 2 * SECOND <= world.now() - lost_at <= 2 * SECOND + 25 * MS
    turn_for(stage, 20 * SECOND)
    assert len(a.heard(PeerSilent)) == 1


def test_a_peer_that_comes_back_in_time_is_never_silent(world: SimulatedWorld) -> None:
    stage, a, b = linked(world)
    break_link(world, a, b)
    turn_for(stage, 5 * SECOND)
    assert not a.heard(PeerSilent)


def test_an_unwanted_link_that_stays_silent_is_not_dialled_for_ever(world: SimulatedWorld) -> None:
    stage, a, b = linked(world)
    stage.kill(b)
    turn_for(stage, 10 * SECOND)
    assert a.table.statistics()[0].state == "cold"
    assert a.table.deadline() is None
    a.events.clear()
    assert a.table.post(b.peer, (1, b"again")) is Verdict.OK, "the next post dials"
    stage.until(lambda: a.heard(LinkLost), "its failure")
    assert a.heard(LinkLost)[-1].never_left_count == 1


def test_a_peer_that_is_learnt_again_is_dialled_at_once(world: SimulatedWorld) -> None:
    stage, a, b = linked(world)
    break_link(world, a, b)
    a.turn()
    before = world.now()
    stage.introduce(a, b)
    stage.until(lambda: a.heard(LinkUp), "the link")
    assert world.now() - before < 3 * MS


def test_no_welcome_within_a_second_fails_the_dial(world: SimulatedWorld) -> None:
    stage = Stage(world, SETTINGS)
    a, b = stage.pair()
    world.network.cut("a", "b")
    a.table.post(b.peer, (1, b"hello"), "token")
    before = world.now()
    stage.until(lambda: a.heard(LinkLost), "the failed dial")
    assert SECOND <= world.now() - before <= SECOND + 25 * MS
    assert a.heard(LinkLost)[0].reason == "no WELCOME from sim://b within 1000 ms"
    assert a.heard(LinkLost)[0].never_left == ("token",)
    world.network.heal("a", "b")
    stage.until(lambda: a.heard(LinkUp), "the redial")
    assert b.items() == [], "what was given back as never left is not delivered behind its back"


def test_what_is_in_flight_over_a_cut_arrives_after_it_heals(world: SimulatedWorld) -> None:
    stage, a, b = linked(world)
    world.network.cut("a", "b")
    for number in range(10):
        a.table.post(b.peer, (1, number, b""))
    turn_for(stage, 30 * SECOND)
    assert not b.items()
    assert a.table.statistics()[0].in_flight == 10
    world.network.heal("a", "b")
    stage.until(lambda: len(b.items()) == 10, "the items")
    assert not a.heard(LinkLost)


def test_a_single_item_is_acknowledged_after_the_quiet_time(world: SimulatedWorld) -> None:
    stage, a, b = linked(world)
    a.table.post(b.peer, (1, b"one"))
    stage.until(b.items, "the item")
    taken_at = world.now()
    stage.until(lambda: a.table.statistics()[0].acknowledged == 2, "the acknowledgement")
    assert 100 * MS <= world.now() - taken_at <= 102 * MS


def test_a_trickle_is_acknowledged_at_least_that_often(world: SimulatedWorld) -> None:
    stage, a, b = linked(world)
    worst = 0
    for _ in range(200):
        a.table.post(b.peer, (1, b"drop"))
        turn_for(stage, 3 * MS)
        worst = max(worst, a.table.statistics()[0].in_flight)
    assert worst <= 20


def test_an_idle_table_has_no_deadline_before_the_idle_limit(world: SimulatedWorld) -> None:
    stage, a, b = linked(world)
    turn_for(stage, 100 * MS)
    deadline = a.table.deadline()
    assert deadline is not None
    assert deadline - world.now() > 200 * SECOND
    assert b.table.deadline() is None


def test_an_idle_link_is_closed_after_five_minutes_and_reopened_by_a_post(world: SimulatedWorld) -> None:
    stage, a, b = linked(world)
    world.wait([], world.now() + 299 * SECOND)
    stage.turn()
    assert a.table.statistics()[0].state == "up"
    turn_for(stage, 2 * SECOND)
    assert a.table.statistics()[0].state == "cold"
    assert not a.heard(LinkLost)
    assert not b.heard(LinkLost)
    a.table.post(b.peer, (1, b"again"))
    stage.until(b.items, "the item")
    assert b.items() == [(1, b"again")]


def test_a_link_in_use_and_a_link_without_the_limit_stay_open(world: SimulatedWorld) -> None:
    stage, a, b = linked(world, replace(SETTINGS, idle=SECOND))
    for _ in range(40):
        a.table.post(b.peer, (1, b"tick"))
        turn_for(stage, 100 * MS)
    assert a.table.statistics()[0].sessions == 1
    for_ever = SimulatedWorld()
    stage, a, _ = linked(for_ever, replace(SETTINGS, idle=None))
    for_ever.wait([], for_ever.now() + 10_000 * SECOND)
    turn_for(stage, SECOND)
    assert a.table.statistics()[0].state == "up"


def test_a_connection_that_says_no_hello_is_told_off(world: SimulatedWorld) -> None:
    stage = Stage(world, SETTINGS)
    b = stage.node("b")
    mute, heard = world.end("mute"), Recorder()
    mute.attach(heard)
    mute.open(b.endpoint)
    turn_for(stage, 3 * SECOND)
    mute.poll()
    assert b"no HELLO came in time" in heard.frames[0][1]
    assert not b.table._sessions


def test_a_gap_in_the_sequence_ends_the_session_and_nothing_is_taken_behind_it(world: SimulatedWorld) -> None:
    stage, a, b = linked(world)
    lost: list[Key] = []

    def lose_once(key: Key) -> int:
        if key.source == "a" and not lost:
            lost.append(key)
            return LOSE
        return 0

    world.network.fate = lose_once
    for batch in range(3):
        for number in range(64):
            a.table.post(b.peer, (1, batch * 64 + number, b""), batch * 64 + number)
    stage.until(lambda: a.heard(Resolved), "the resolution")
    assert "gap: sequence 66 came where 2 was expected" in b.heard(DialRefused)[0].reason
    assert b.items() == []
    assert a.heard(Resolved) == [Resolved(b.peer, 0, 192, tuple(range(192)))]


def test_one_who_sends_more_than_was_granted_is_cut(world: SimulatedWorld) -> None:
    stage, a, b = linked(world)
    out = a.table._links[b.peer].out
    assert out is not None
    out.raise_to(10**9, 1 << 40)
    for number in range(5_000):
        assert a.table.post(b.peer, (1, number, b"")) is Verdict.OK
    a.table.flush(world.now())
    world.network.advance(world.now() + SECOND)  # b polls nothing in between: the whole lot arrives under one grant
    stage.until(lambda: b.heard(DialRefused), "the end of patience")
    assert "under a grant of" in b.heard(DialRefused)[0].reason
    assert 4000 < len(b.items()) <= 4096


def test_ends_with_different_windows_understand_each_other(world: SimulatedWorld) -> None:
    """A receiver with a smaller window takes the sender's opening all the same, and what it grants is exact."""
    tiny = replace(SETTINGS, window=Window(16, 4_000), opening=Window(4, 1_000), message_max=2_000)
    stage = Stage(world, SETTINGS)
    a = stage.node("a")
    stage.settings = tiny
    b = stage.node("b")
    stage.introduce(a, b)
    for number in range(SETTINGS.opening.messages):
        assert a.table.post(b.peer, (1, number, b"")) is Verdict.OK
    stage.until(lambda: a.table.statistics()[0].acknowledged == 256, "the opening to be taken")
    assert not a.heard(LinkLost)
    assert not b.heard(DialRefused)
    sent = 0
    while a.table.post(b.peer, (1, sent, b"")) is Verdict.OK:
        sent += 1
    assert sent == 16
    stage.until(lambda: len(b.items()) == 272, "the window")


def test_the_smaller_message_limit_of_the_two_ends_holds(world: SimulatedWorld) -> None:
    small = replace(SETTINGS, message_max=1_000)
    stage = Stage(world, SETTINGS)
    a = stage.node("a")
    stage.settings = small
    b, client = stage.node("b"), stage.client("x")
    stage.introduce(a, b)
    client.table.dial(a.endpoint)
    a.table.post(b.peer, (1, b"hello"))
    stage.until(lambda: len(a.heard(LinkUp)) == 2, "both links")
    for peer in (b.peer, client.peer):
        assert a.table.post(peer, (1, bytes(1_001))) is Verdict.TOO_LARGE
        assert not a.table.signal(peer, (17, bytes(1_001)))
        assert a.table.post(peer, (1, bytes(1_000))) is Verdict.OK
    stage.until(lambda: len(b.items()) == 2 and client.items(), "what fits")
    break_link(world, a, b)
    stage.until(lambda: len(a.heard(LinkUp)) == 3, "the redial")
    assert a.table.post(b.peer, (1, bytes(1_001))) is Verdict.TOO_LARGE


def test_room_is_told_once_for_each_time_the_link_was_full(world: SimulatedWorld) -> None:
    stage, a, b = linked(
        world, replace(SETTINGS, window=Window(64, 1 << 20), opening=Window(8, 1 << 10), message_max=512)
    )
    for _ in range(3):
        while a.table.post(b.peer, (1, b"")) is Verdict.OK:
            pass
        assert a.table.post(b.peer, (1, b"")) is Verdict.LINK_FULL
        before = len(a.heard(Room))
        turn_for(stage, 100 * MS)
        assert len(a.heard(Room)) == before + 1
    turn_for(stage, SECOND)
    assert len(a.heard(Room)) == 3


def test_many_refusals_in_one_pass_all_reach_the_sender(world: SimulatedWorld) -> None:
    stage, a, b = linked(world)
    for number in range(1_000):
        a.table.post(b.peer, (1, number, b""), number)
    stage.until(lambda: len(b.items()) == 1_000, "the items")
    for event in b.heard(Items):
        for at in range(len(event.items)):
            b.table.refuse(a.peer, event.session, event.first + at, b"full" * 1_000)
    stage.until(lambda: len(a.heard(Refused)) == 1_000, "the refusals")
    assert [refused.notify for refused in a.heard(Refused)] == list(range(1_000))
    assert not a.heard(LinkLost)


def test_a_refusal_of_what_was_never_taken_is_nothing_and_an_overlong_reason_is_an_error(world: SimulatedWorld) -> None:
    stage, a, b = linked(world)
    a.table.post(b.peer, (1, b"item"))
    stage.until(b.items, "the item")
    session = b.heard(Items)[0].session
    for sequence in (0, -1, 3, 10**9):
        b.table.refuse(a.peer, session, sequence, b"no")
    b.table.refuse(a.peer, 999, 1, b"no")
    b.table.refuse(("somebody", 1, 0, 1), session, 1, b"no")
    turn_for(stage, 100 * MS)
    assert not a.heard(Refused)
    assert b.table.statistics()[0].received_refused == 0
    with pytest.raises(ValueError, match="at most 16384 bytes"):
        b.table.refuse(a.peer, session, 1, bytes(16_385))


def test_a_payload_that_is_no_bytes_or_nothing_is_the_callers_error(world: SimulatedWorld) -> None:
    _, a, b = linked(world)
    with pytest.raises(TypeError):
        a.table.post(b.peer, (1, 5))
    assert a.table.post(("nobody", 1, 0, 1), (1, b"")) is Verdict.UNREACHABLE
    assert not a.table.signal(("nobody", 1, 0, 1), (17,))


def test_forgetting_tells_of_what_was_under_way_and_keeps_the_books(world: SimulatedWorld) -> None:
    stage, a, b = linked(world)
    for number in range(70):
        a.table.post(b.peer, (1, number, b""), number)
    a.table.flush(world.now())
    a.table.post(b.peer, (1, 70, b""), 70)
    a.table.forget(b.peer, "declared over")
    a.turn()
    (lost,) = a.heard(LinkLost)
    assert (lost.unacknowledged, lost.never_left) == (tuple(range(70)), (70,))
    (sums,) = a.table.statistics()
    assert (sums.sent, sums.acknowledged, sums.unknown, sums.lost) == (72, 1, 70, 1)
    assert a.table.deadline() is None
    stage.until(lambda: b.heard(LinkLost) or not b.table._inbound, "the goodbye")


def test_the_limits_of_the_frames_follow_from_the_message_limit() -> None:
    assert LinkSettings(message_max=1_000).limits == WireLimits(1_000)
    assert WireLimits(1_000).frame_max == 1_000 + 32 * 1024 + 64 * 16 * 1024


def test_what_a_full_transport_did_not_take_of_a_grant_is_told_when_it_has_room(world: SimulatedWorld) -> None:
    stage, a, b = linked(world)
    for number in range(3):
        a.table.post(b.peer, (1, b"%d" % number), number)
    stage.until(lambda: b.heard(Items), "the items")
    arrived = next(event for event in b.events if isinstance(event, Items))
    b.table.refuse(a.peer, arrived.session, arrived.first + 1, b"no")
    send = b.table._try_send
    full: list[int] = []

    def refuse(session: int, frame: object) -> bool:
        full.append(session)
        return False

    b.table._try_send = refuse
    turn_for(stage, 5 * SETTINGS.quiet)
    assert full
    b.table._try_send = send
    assert (a.table.statistics()[0].acknowledged, a.heard(Refused)) == (1, [])
    b.table.on_writable(full[0])
    stage.until(lambda: a.heard(Refused), "the refusal")
    assert [(event.notify, event.reason) for event in a.events if isinstance(event, Refused)] == [(1, b"no")]
    assert a.table.statistics()[0].acknowledged == 4
