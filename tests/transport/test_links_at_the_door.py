"""Who may open a session, as whom, and what ends one: refusals, impostors, cheats."""

from __future__ import annotations

from dataclasses import replace

import pytest

from regrove.transport import wire
from regrove.transport.base import Peer
from regrove.transport.contract import Recorder
from regrove.transport.contract_links import Node, Stage, draw_of
from regrove.transport.events import DialRefused, Items, LinkLost, LinkUp, PeerSilent
from regrove.transport.greeting import Admission
from regrove.transport.handshake import Hello, Identity, hello_body, judge, show
from regrove.transport.link import LinkSettings
from regrove.transport.links import LinkTable
from regrove.transport.wire import Encoder
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


def test_more_peers_than_links_max_are_refused_until_a_silent_client_makes_place(world: SimulatedWorld) -> None:
    stage = Stage(world, replace(SETTINGS, links_max=2))
    core = stage.node("core")
    clients = [stage.client(name) for name in ("x", "y", "z")]
    for client in clients[:2]:
        client.table.dial(core.endpoint)
    stage.until(lambda: len(core.heard(LinkUp)) == 2, "two clients")
    clients[2].table.dial(core.endpoint)
    stage.until(lambda: clients[2].heard(LinkLost), "the refusal of the third")
    assert "links_max = 2" in clients[2].heard(LinkLost)[0].reason
    stage.kill(clients[0])
    stage.until(lambda: core.heard(PeerSilent), "the silence of the first")
    stage.until(lambda: clients[2].heard(LinkUp), "place for the third")
    assert len(core.table.statistics()) == 3


def test_the_newer_session_of_one_life_wins_and_the_older_is_told(world: SimulatedWorld) -> None:
    """Two tables that claim to be one core: what a stuck process and its double would do."""
    stage, a, b = linked(world)
    double = stage.node("a2", Identity("test", a.peer))
    stage.introduce(double, b)
    double.table._dials = 10
    double.table.post(b.peer, (1, b"from the double"))
    stage.until(lambda: a.heard(LinkLost), "the older session's end")
    assert "a newer session of yours replaced this one" in a.heard(LinkLost)[0].reason
    stage.until(b.items, "the newer session's item")


def test_a_key_that_is_retired_loses_its_sessions(world: SimulatedWorld) -> None:
    retired: list[str] = []

    def admit(user_id: str, _identity: Identity) -> Admission:
        return Admission("key: retired" if user_id in retired else "", "member")

    network = world.network
    transport = network.endpoint("b")
    endpoint = transport.listen("sim://b")
    peer: Peer = ("b", 1, 0, 1)
    table = LinkTable(transport, Identity("test", peer), draw_of("b"), SETTINGS, admit=admit)
    stage = Stage(world, SETTINGS)
    a = stage.node("a")
    world.ends["a"].user_id = "the key of a"
    a.table.learn(peer, endpoint)
    a.table.post(peer, (1, b"hello"))

    def turn() -> None:
        stage.turn()
        transport.poll()
        events.extend(table.receive(world.now()))
        table.flush(world.now())

    events: list[object] = []
    while not any(isinstance(event, Items) for event in events):
        turn()
    retired.append("the key of a")
    table.readmit(world.now())
    while not a.heard(LinkLost):
        turn()
    assert "key: retired" in a.heard(LinkLost)[0].reason
    while not any(isinstance(event, DialRefused) for event in events):
        turn()


@pytest.mark.parametrize(
    ("peer", "role", "problem"),
    [
        (("a", 1, 0, 1), "core", "is a.1/0.1, not b.1/0.1"),
        (("b", 1, 0, 2), "core", "is b.1/0.2, not b.1/0.1"),
        (("client:b", 1, 0, 1), "client", "of role client, which cannot be"),
        (("client:b", 1, 0, 1), "core", "of role core, which cannot be"),
        (("me", 1, 0, 1), "core", "is myself"),
    ],
)
def test_one_who_answers_under_a_wrong_name_is_not_taken_for_the_peer(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch, peer: Peer, role: str, problem: str
) -> None:
    monkeypatch.setattr("regrove.transport.greeting.judge", lambda *_: "")  # it lets in whoever comes
    stage = Stage(world, SETTINGS)
    me = stage.node("me")
    impostor = stage.node("impostor", Identity("test", peer, role=role))
    me.table.learn(("b", 1, 0, 1), impostor.endpoint)
    me.table.post(("b", 1, 0, 1), (1, b"secret"))
    stage.until(lambda: me.heard(LinkLost), "the end of the dial")
    said = me.heard(LinkLost)[0].reason
    assert problem in said
    assert not impostor.items()


def test_the_key_that_was_dialled_must_be_bound_to_the_name_that_answers(world: SimulatedWorld) -> None:
    def admit(user_id: str, identity: Identity) -> Admission:
        return Admission("" if (user_id, identity.peer[0]) == ("key of b", "b") else "key: not yours")

    transport = world.end("me")
    me = LinkTable(transport, Identity("test", ("me", 1, 0, 1)), draw_of("me"), SETTINGS, admit=admit)
    stage = Stage(world, SETTINGS)
    nodes = [stage.node("b"), stage.node("c")]
    ups: list[LinkUp] = []
    losts: list[LinkLost] = []
    for node in nodes:
        me.dial(node.endpoint, "key of b")
    while len(ups) + len(losts) < 2:
        stage.turn()
        transport.poll()
        events = me.receive(world.now())
        ups += [event for event in events if isinstance(event, LinkUp)]
        losts += [event for event in events if isinstance(event, LinkLost)]
        me.flush(world.now())
    assert [up.peer for up in ups] == [nodes[0].peer]
    assert losts[0].reason == "sim://c: key: not yours"


@pytest.mark.parametrize(
    ("hello", "dead", "reason"),
    [
        ({}, False, ""),
        ({"cluster": "blue"}, False, "other cluster: 'blue' dialled 'test'"),
        ({"wire_min": 2, "wire_max": 3}, False, "wire versions do not meet: 2 to 3 dialled 1 to 1"),
        ({"wire_min": 1, "wire_max": 3}, False, ""),
        ({"peer": ("me", 1, 0, 1)}, False, "that is myself"),
        ({}, True, "dead incarnation: you.1/0.1"),
        ({"role": "client"}, False, "role: a client may not be called 'you'"),
        ({"role": "client", "peer": ("client:x", 1, 0, 1)}, False, "role: a client must ask for answers"),
        ({"peer": ("client:x", 1, 0, 1)}, False, "role: a core may not be called 'client:x'"),
        ({"peer": ("@tcp://x:1", 1, 0, 1)}, False, "role: a core may not be called '@tcp://x:1'"),
        ({"peer": ("you", 1, -1, 1)}, False, "role: a core may not be core -1"),
        ({"role": "manager"}, False, "role: a manager may not be core 0"),
        ({"role": "manager", "peer": ("you", 1, -1, 1)}, False, ""),
        ({"opening": (4_097, 1)}, False, "opening window"),
        ({"opening": (1, 9_000_000)}, False, "opening window"),
        ({"application": "other", "version": "9", "digest": "x"}, False, ""),
    ],
)
def test_who_is_refused_and_why(hello: dict[str, object], dead: bool, reason: str) -> None:
    me = Identity("test", ("me", 1, 0, 1))
    hello = {"cluster": "test", "peer": ("you", 1, 0, 1), **hello}
    opening = hello.pop("opening", (256, 1_000_000))
    said_hello = Hello(Identity(**hello), 1, opening=opening)  # type: ignore[arg-type]
    said = judge(me, said_hello, dead, "")
    assert said.startswith(reason) if reason else said == ""
    assert judge(me, said_hello, dead, "key: unknown") != ""


def test_a_core_may_not_ask_for_answers_on_its_own_session() -> None:
    me, you = Identity("test", ("me", 1, 0, 1)), Identity("test", ("you", 1, 0, 1))
    assert judge(me, Hello(you, 1, duplex=True), False, "").startswith("role: a core may not")


def test_peers_are_shown_to_people_with_their_lives() -> None:
    assert show(("shop@north", 17, 2, 3)) == "shop@north.17/2.3"
    assert show(("shop@north", 17, -1, 1)) == "shop@north.17"


def test_a_second_hello_and_frames_before_any_are_told_off(world: SimulatedWorld) -> None:
    stage = Stage(world, SETTINGS)
    b = stage.node("b")
    encoder = Encoder()
    hello = encoder.frame(wire.HELLO, 5, 0, hello_body(Hello(Identity("test", ("v", 1, 0, 1)), 1)))
    grant = encoder.frame(wire.GRANT, 5, 0, [0, 1, 1, []])
    batch = encoder.batch(5, 1, [encoder.item((1, b"x"))])
    other = encoder.batch(6, 1, [encoder.item((1, b"x"))])
    welcome = encoder.frame(wire.WELCOME, 5, 0, {})
    refused = encoder.frame(wire.REFUSED, 5, 0, {"reason": "no"})
    cases = [
        ([hello, hello], "in the middle of a session"),
        ([batch], "no WELCOME was given"),
        ([hello, other], "a frame of session 6 came on session 5"),
        ([hello, grant], "a session that sends nothing"),
        ([hello, welcome], "did not dial"),
        ([hello, refused], "from the one who dialled"),
    ]
    for number, (frames, problem) in enumerate(cases):
        vandal = world.end(f"vandal {number}")
        vandal.attach(Recorder())
        session = vandal.open(b.endpoint)
        for frame in frames:
            vandal.try_send(session, frame)
        stage.until(lambda number=number: len(b.heard(DialRefused)) > number, problem)  # type: ignore[misc]
        assert problem in b.heard(DialRefused)[number].reason
        vandal.destroy()


def test_an_acknowledgement_that_cannot_be_true_ends_the_session(world: SimulatedWorld) -> None:
    for taken, refusals in ((1_000, []), (40, []), (65, [(66, b"x")])):
        stage, a, b = linked(SimulatedWorld())
        for number in range(128):
            a.table.post(b.peer, (1, number, b""))
        a.table.flush(stage.world.now())
        session = next(iter(b.table._inbound.values()))
        frame = Encoder().frame(wire.GRANT, session.nonce, 0, [taken, 5_000, 1 << 24, refusals])
        assert b.transport.try_send(session.number, frame)
        stage.until(lambda a=a: a.heard(DialRefused), "the end of the session")  # type: ignore[misc]
        assert "sequence" in a.heard(DialRefused)[0].reason
