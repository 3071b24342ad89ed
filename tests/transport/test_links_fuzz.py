"""Whatever bytes come on a session in any state, a link table raises nothing and its other links go on."""

from __future__ import annotations

from random import Random

import pytest

from regrove.transport import wire
from regrove.transport.contract import Recorder
from regrove.transport.contract_links import Stage
from regrove.transport.events import DialRefused, LinkLost, Verdict
from regrove.transport.handshake import Hello, Identity, Welcome, hello_body, welcome_body
from regrove.transport.link import LinkSettings
from regrove.transport.wire import Encoder
from tests.transport.conftest import SimulatedWorld

NONCE = 77


def mutated(random: Random, frame: bytes) -> bytes:
    """A frame with a few bytes of its body changed, cut or doubled; the header mostly stays right."""
    data = bytearray(frame)
    for _ in range(random.choice([0, 0, 0, 1, 1, 2, 5])):
        at = random.randrange(0 if random.random() < 0.1 else min(wire.HEADER_BYTES, len(data) - 1), len(data))
        match random.randrange(4):
            case 0:
                data[at] = random.randrange(256)
            case 1:
                data[at] ^= 1 << random.randrange(8)
            case 2:
                data[at:at] = data[at : at + random.randrange(9)]
            case 3:
                del data[at : at + random.randrange(1, 4)]
        if len(data) < 2:
            break
    return bytes(data)


def client_frames(random: Random) -> list[bytes]:
    """What a client may say: a HELLO, items, grants for what it was sent, a goodbye."""
    encoder = Encoder()
    identity = Identity("test", ("client:v", 1, 0, 0), role="client")
    grants = [[random.randrange(6), 9_000, 1 << 24, [[1, b"no"]] if random.random() < 0.3 else []] for _ in range(3)]
    frames = [encoder.frame(wire.HELLO, NONCE, 0, hello_body(Hello(identity, 1, duplex=True, grant=(99, 1 << 20))))]
    frames += [encoder.batch(NONCE, 1 + at, [encoder.item((1, at, b"item"))]) for at in range(random.randrange(4))]
    frames += [encoder.frame(wire.GRANT, NONCE, 0, grant) for grant in grants]
    frames += [encoder.frame(wire.BYE, NONCE, 0, {"reason": "done"})]
    return frames


@pytest.mark.parametrize("block", range(4))
def test_a_core_survives_whatever_a_client_sends(block: int) -> None:
    reached = {"refused": 0, "taken": 0}
    for seed in range(block * 150, (block + 1) * 150):
        random = Random(seed)
        stage = Stage(SimulatedWorld(), LinkSettings())
        core, friend = stage.pair()
        friend.table.post(core.peer, (1, b"before"))
        stage.until(core.items, "the friend's item")
        vandal = stage.world.end("vandal")
        vandal.attach(Recorder())
        session = vandal.open(core.endpoint)
        for at, frame in enumerate(client_frames(random)):
            vandal.try_send(session, frame if at == 0 and random.random() < 0.8 else mutated(random, frame))
            for _ in range(3):
                stage.turn()
            for number in range(5):
                core.table.post(("client:v", 1, 0, 0), (1, number, b""), number)
        for _ in range(10):
            stage.turn()
        reached["refused"] += len(core.heard(DialRefused))
        reached["taken"] += len(core.items()) - 1
        before = len(core.items())
        assert friend.table.post(core.peer, (1, b"after")) is Verdict.OK
        stage.until(lambda core=core, before=before: len(core.items()) > before, "the friend")  # type: ignore[misc]
        assert not friend.heard(LinkLost)
    assert min(reached.values()) > 40, reached


@pytest.mark.parametrize("block", range(4))
def test_a_dialler_survives_whatever_answers(block: int) -> None:
    """The one dialled may be anybody: its WELCOME, grants, refusals and goodbyes are as little trusted."""
    reached = {"lost": 0, "up": 0}
    for seed in range(block * 150, (block + 1) * 150):
        random = Random(seed)
        stage = Stage(SimulatedWorld(), LinkSettings())
        a = stage.node("a")
        answerer, heard = stage.world.end("v"), Recorder()
        answerer.attach(heard)
        you = Identity("test", ("v", 1, 0, 1))
        a.table.learn(you.peer, stage.world.listen("v"))
        for number in range(100):
            a.table.post(you.peer, (1, number, b""), number)
        for _ in range(200):
            stage.turn()
            answerer.poll()
            if heard.frames:
                break
        session, hello = heard.frames[0]
        nonce = wire.HEADER.unpack_from(hello)[3]
        encoder = Encoder()
        welcome = encoder.frame(wire.WELCOME, nonce, 0, welcome_body(Welcome(you, 1, (4096, 1 << 23))))
        frames = [welcome if random.random() < 0.7 else mutated(random, welcome)]
        frames += [
            mutated(random, encoder.frame(wire.GRANT, nonce, 0, [random.choice([64, 100, 30]), 5_000, 1 << 24, []]))
            for _ in range(3)
        ]
        frames += [mutated(random, encoder.frame(wire.REFUSED, nonce, 0, {"reason": "no"}))]
        for frame in frames:
            answerer.try_send(session, frame)
            for _ in range(3):
                stage.turn()  # balances the books each time
            reached["up"] += a.table.statistics()[0].state == "up"
        reached["lost"] += bool(a.heard(LinkLost))
    assert min(reached.values()) > 40, reached
