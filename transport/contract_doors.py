"""Who is let in and who is not, over every transport: the third part of the contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from regrove.transport.contract import World
from regrove.transport.contract_links import Stage
from regrove.transport.events import DialRefused, LinkLost, LinkUp, PeerSilent, Verdict
from regrove.transport.handshake import Identity


def check_another_cluster_is_refused_and_both_sides_say_so(world: World) -> None:
    """The reason names both clusters."""
    stage = Stage(world)
    a = stage.node("a", Identity("blue", ("a", 1, 0, 1)))
    b = stage.node("b", Identity("green", ("b", 1, 0, 1)))
    stage.introduce(a, b)
    assert a.table.post(b.peer, (1, b"hello"), "token") is Verdict.OK
    stage.until(lambda: a.heard(LinkLost), "the refusal")
    lost = a.heard(LinkLost)[0]
    assert "'blue'" in lost.reason
    assert "'green'" in lost.reason
    assert lost.never_left == ("token",)
    refused = b.heard(DialRefused)[0]
    assert refused.who == "a.1/0.1"
    assert "'blue'" in refused.reason
    assert not b.items()


def check_wire_versions_that_do_not_meet_are_refused(world: World) -> None:
    """By both sides' words, whatever else the newer one says."""
    stage = Stage(world)
    a = stage.node("a", Identity("test", ("a", 1, 0, 1), wire_min=7, wire_max=9))
    b = stage.node("b")
    stage.introduce(a, b)
    a.table.post(b.peer, (1, b"hello"))
    stage.until(lambda: a.heard(LinkLost) and b.heard(DialRefused), "the refusal")
    assert "wire versions do not meet: 7 to 9 dialled 1 to 1" in a.heard(LinkLost)[0].reason
    assert "wire versions do not meet" in b.heard(DialRefused)[0].reason


def check_versions_and_schemas_are_told_and_never_refused(world: World) -> None:
    """They show as skew on both sides."""
    stage = Stage(world)
    a = stage.node("a", Identity("test", ("a", 1, 0, 1), application="bank", version="1.0", digest="abc"))
    b = stage.node("b", Identity("test", ("b", 1, 0, 1), application="bank", version="1.1", digest="abd"))
    stage.introduce(a, b)
    a.table.post(b.peer, (1, b"hello"))
    stage.until(lambda: a.heard(LinkUp) and b.items(), "the link")
    expected = "version 1.0 here, 1.1 there; schema abc here, abd there"
    assert a.heard(LinkUp)[0].skew == a.table.statistics()[0].skew == expected
    assert b.table.statistics()[0].skew == "version 1.1 here, 1.0 there; schema abd here, abc there"


def check_a_dead_incarnation_is_refused_and_its_frames_are_dropped(world: World) -> None:
    """One that was declared over must start again with a newer one."""
    stage = Stage(world)
    a, b = stage.pair()
    a.table.post(b.peer, (1, b"alive"))
    stage.until(lambda: len(b.items()) == 1, "the link")
    b.table.forget(a.peer, "declared over")
    a.table.post(b.peer, (1, b"dead"))
    stage.until(lambda: any("dead incarnation" in lost.reason for lost in a.heard(LinkLost)), "the refusal")
    assert len(b.items()) == 1
    newer = stage.node("a2", Identity("test", ("a", 1, 0, 2)))
    stage.introduce(newer, b)
    newer.table.post(b.peer, (1, b"newer"))
    stage.until(lambda: len(b.items()) == 2, "the newer life")
    assert b.items()[1] == (1, b"newer")


def check_a_newer_life_ends_the_older_one(world: World) -> None:
    """Its HELLO is enough; what was owed to the older life is told as lost, and the older one as silent."""
    stage = Stage(world)
    a, b = stage.pair()
    b.table.post(a.peer, (1, b"to the older"))
    stage.until(lambda: len(a.items()) == 1, "the link")
    newer = stage.node("a2", Identity("test", ("a", 1, 0, 2)))
    stage.introduce(newer, b)
    newer.table.post(b.peer, (1, b"newer"))
    stage.until(lambda: len(b.items()) == 1, "the newer life")
    assert PeerSilent(a.peer) in b.events
    assert b.table.post(a.peer, (1, b"late")) is Verdict.UNREACHABLE
    assert not b.table.learn(a.peer, a.endpoint, world.key("a"))
    assert b.table.post(newer.peer, (1, b"welcome")) is Verdict.OK
    stage.until(newer.items, "the way back, by the endpoint its HELLO named")


def check_garbage_ends_its_own_session_only(world: World) -> None:
    """Whatever the bytes: the sender is told off and cut, everybody else goes on."""
    stage = Stage(world)
    a, b = stage.pair()
    a.table.post(b.peer, (1, b"before"))
    stage.until(lambda: len(b.items()) == 1, "the link")

    class Deaf:
        def on_session(self, session: int, inbound: bool, user_id: str) -> None: ...
        def on_frames(self, session: int, frames: object) -> None: ...
        def on_writable(self, session: int) -> None: ...
        def on_closed(self, session: int, reason: str) -> None: ...

    vandal = world.end("vandal")
    vandal.attach(Deaf())
    for data in (b"", b"\0", b"GET / HTTP/1.1\r\n\r\n", b"RG\x01\x04" + b"\0" * 16, b"RG\x01\x01" + b"\xff" * 40):
        session = vandal.open(b.endpoint, world.key("b"))
        assert vandal.try_send(session, data)
        assert vandal.try_send(session, data)
    stage.until(lambda: b.table.garbage == 5, "five told off")
    assert len(b.heard(DialRefused)) == 5
    a.table.post(b.peer, (1, b"after"))
    stage.until(lambda: len(b.items()) == 2, "the other link")
    assert not a.heard(LinkLost)


def check_a_client_is_answered_on_its_own_session(world: World) -> None:
    """It dials an endpoint, learns who is there, and gets items and signals back under the credit it gave."""
    stage = Stage(world)
    core, client = stage.node("core"), stage.client("x")
    door = client.table.dial(core.endpoint, world.key("core"))
    assert client.table.post(door, (2, b"question"), "asked") is Verdict.OK
    stage.until(lambda: core.items() and client.heard(LinkUp), "the question")
    up = client.heard(LinkUp)[0]
    assert (up.peer, up.dialled, up.role) == (core.peer, door, "core")
    assert up.info == {"cores": (core.endpoint,)}
    assert core.heard(LinkUp)[0].role == "client"
    assert core.table.signal(client.peer, (17, b"answer"))
    sent = 0
    while core.table.post(client.peer, (1, sent, b"")) is Verdict.OK:
        sent += 1
    assert sent == stage.settings.window.messages
    stage.until(lambda: len(client.items()) == sent + 1, "the answers")
    assert client.items()[0] == (17, b"answer")
    assert client.table.post(core.peer, (2, b"again")) is Verdict.OK
    stage.until(lambda: len(core.items()) == 2, "the second question")


def check_an_outside_program_cannot_take_the_place_of_a_core(world: World) -> None:
    """Whatever life it claims: the link to the real one goes on."""
    stage = Stage(world)
    a, b = stage.pair()
    b.table.post(a.peer, (1, b"one"))
    stage.until(a.items, "the link")
    claim = Identity("test", (a.peer[0], 99, 0, 99), role="client")
    vandal = stage.node("vandal", claim, listens=False)
    stage.introduce(vandal, b)
    vandal.table.post(b.peer, (1, b"I am a"))
    stage.until(lambda: b.heard(DialRefused), "the refusal")
    assert "may not be called" in b.heard(DialRefused)[0].reason
    assert b.table.post(a.peer, (1, b"two")) is Verdict.OK
    stage.until(lambda: len(a.items()) == 2, "the link to the real one")
    assert not b.items()


def check_a_client_that_is_killed_is_lost_then_silent_then_unknown(world: World) -> None:
    """Nobody dials it; its row is gone and its figures are kept."""
    stage = Stage(world)
    core, client = stage.node("core"), stage.client("x")
    client.table.dial(core.endpoint, world.key("core"))
    stage.until(lambda: core.heard(LinkUp), "the client")
    stage.kill(client)
    for _ in range(3):
        core.table.post(client.peer, (1, b"into the void"))
        core.turn()
    stage.until(lambda: core.heard(LinkLost), "the loss")
    stage.until(lambda: core.heard(PeerSilent), "the silence")
    assert core.table.post(client.peer, (1, b"late")) is Verdict.UNREACHABLE
    stage.until(lambda: len(core.table.statistics()) == 1, "the row to be closed")
    assert [row.peer for row in core.table.statistics()] == [("", 0, 0, 0)]


def check_a_client_whose_session_breaks_comes_back(world: World) -> None:
    """The same life of it, on a new session, and what was unknown is resolved both ways."""
    stage = Stage(world)
    core, client = stage.node("core"), stage.client("x")
    client.table.dial(core.endpoint, world.key("core"))
    stage.until(lambda: core.heard(LinkUp) and client.heard(LinkUp), "the client")
    for number in range(50):
        client.table.post(core.peer, (1, number, b""))
        core.table.post(client.peer, (1, number, b""))
    client.table.flush(world.now())
    core.table.flush(world.now())
    (session,) = client.table._sessions.values()
    client.table._drop(session, "given up by the check", world.now())
    stage.until(lambda: len(client.heard(LinkUp)) == 2 and len(core.heard(LinkUp)) == 2, "the second session")
    stage.until(lambda: not core.table.statistics()[0].unknown + client.table.statistics()[0].unknown, "resolution")
    assert core.table.statistics()[0].acknowledged == len(client.items())
    assert client.table.statistics()[0].acknowledged == len(core.items())


def check_who_says_goodbye_is_lost_with_that_reason(world: World) -> None:
    """What was posted before is delivered, and a HELLO after it is refused."""
    stage = Stage(world)
    a, b = stage.pair()
    a.table.post(b.peer, (1, b"hello"))
    b.table.post(a.peer, (1, b"hello"))
    stage.until(lambda: a.items() and b.items(), "the links")
    b.table.post(a.peer, (1, b"last words"))
    b.table.goodbye("leaving for good", world.now())
    stage.until(lambda: len(a.items()) == 2, "the last words")
    stage.until(lambda: a.heard(LinkLost), "the goodbye")
    assert "leaving for good" in a.heard(LinkLost)[0].reason
    stage.until(lambda: any("leaving" in refused.reason for refused in b.heard(DialRefused)), "the refused redial")
    assert b.table.post(a.peer, (1, b"late")) is Verdict.UNREACHABLE


def check_dialling_oneself_is_noticed(world: World) -> None:
    """`--join` addresses may be one's own."""
    stage = Stage(world)
    a = stage.node("a")
    door = a.table.dial(a.endpoint, world.key("a"))
    stage.until(lambda: a.heard(LinkLost), "the refusal")
    assert "myself" in a.heard(LinkLost)[0].reason
    a.table.forget(door, "that was me")
    a.turn()
    assert a.table.post(door, (1, b"late")) is Verdict.UNREACHABLE


def check_who_is_dialled_by_the_address_of_another_keeps_the_link_it_has(world: World) -> None:
    """Who has a wrong address is refused there, and what stands between the two others goes on."""
    stage = Stage(world)
    a, b = stage.pair()
    c = stage.node("c")
    assert a.table.learn(c.peer, b.endpoint, world.key("b"))
    a.table.post(b.peer, (1, b"one"))
    stage.until(b.items, "the link")
    a.table.post(c.peer, (1, b"lost"), "token")
    stage.until(lambda: a.heard(LinkLost) and b.heard(DialRefused), "the refusal")
    (lost,) = a.heard(LinkLost)
    assert (lost.peer, lost.never_left) == (c.peer, ("token",))
    assert "c.1/0.1 was dialled, and this is b.1/0.1; where both run, give each its own `advertise`" in lost.reason
    a.table.post(b.peer, (1, b"two"))
    stage.until(lambda: len(b.items()) == 2, "the next item")
    assert [event.peer for event in a.heard(LinkUp)] == [b.peer]


def check_an_earlier_life_that_is_dialled_is_refused_and_is_no_trouble_of_who_answers(world: World) -> None:
    """Who starts again is dialled under its last life for a while: nothing is wrong there, and nothing is to be set."""
    stage = Stage(world)
    a, b = stage.node("a"), stage.node("b")
    before = (b.peer[0], b.peer[1], b.peer[2], b.peer[3] - 1)
    assert a.table.learn(before, b.endpoint, world.key("b"))
    a.table.post(before, (1, b"lost"), "token")
    stage.until(lambda: a.heard(LinkLost), "the refusal")
    (lost,) = a.heard(LinkLost)
    assert (lost.peer, lost.never_left) == (before, ("token",))
    assert lost.reason == f"refused by {b.endpoint}: b.1/0.0 was dialled, and this is b.1/0.1"
    assert not b.heard(DialRefused)


def check_an_answer_finds_its_way_to_a_peer_that_was_never_announced(world: World) -> None:
    """HELLO names the endpoint where its sender is dialled."""
    stage = Stage(world)
    a, b = stage.node("a"), stage.node("b")
    stage.introduce(a, b)
    a.table.post(b.peer, (2, b"question"))
    stage.until(b.items, "the question")
    assert b.table.signal(a.peer, (17, b"answer"))
    stage.until(a.items, "the answer")
    assert a.items() == [(17, b"answer")]


DOOR_CHECKS: Final[tuple[Callable[[World], None], ...]] = (
    check_another_cluster_is_refused_and_both_sides_say_so,
    check_wire_versions_that_do_not_meet_are_refused,
    check_versions_and_schemas_are_told_and_never_refused,
    check_a_dead_incarnation_is_refused_and_its_frames_are_dropped,
    check_a_newer_life_ends_the_older_one,
    check_garbage_ends_its_own_session_only,
    check_a_client_is_answered_on_its_own_session,
    check_an_outside_program_cannot_take_the_place_of_a_core,
    check_a_client_that_is_killed_is_lost_then_silent_then_unknown,
    check_a_client_whose_session_breaks_comes_back,
    check_who_says_goodbye_is_lost_with_that_reason,
    check_dialling_oneself_is_noticed,
    check_who_is_dialled_by_the_address_of_another_keeps_the_link_it_has,
    check_an_earlier_life_that_is_dialled_is_refused_and_is_no_trouble_of_who_answers,
    check_an_answer_finds_its_way_to_a_peer_that_was_never_announced,
)
