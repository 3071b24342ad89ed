"""The chat: rooms across cores, names, clients that read slowly, a core that ends; simulated, and with real sockets."""

from __future__ import annotations

import socket
import time

import pytest

import regrove
from examples import chat
from regrove.testing import OutsideStream, Simulation
from tests.examples.servers import LIMIT
from tests.ports import free_port

PORT = 7009


def enter(sim: Simulation, nick: str, room: str = "", core: int | None = None) -> OutsideStream:
    """A client with a name, in a room once its line comes back."""
    stream = sim.connect(PORT, core=core)
    stream.send(nick.encode() + b"\n")
    assert stream.read_until(b"your name?\n")
    assert f"* hello {nick}; ".encode() in stream.read_until(b"your room\n")
    if room:
        stream.send(f"/join {room}\n".encode())
        assert stream.read_until(b"\n") == f"* you are in {room}\n".encode()
        sim.settle()  # other cores know it now
    return stream


def line(stream: OutsideStream) -> str:
    return stream.read_until(b"\n").decode()


def test_what_is_said_reaches_all_others_in_the_room_on_every_core() -> None:
    with Simulation(chat.app, cores=3, seed=1) as sim:
        ann, bob, cid = (enter(sim, nick, "tea", core) for core, nick in enumerate(("ann", "bob", "cid")))
        dan = enter(sim, "dan", "coffee", 0)
        assert (line(ann), line(ann), line(bob)) == ("* bob has come\n", "* cid has come\n", "* cid has come\n")
        ann.send(b"hello\nall\r\n")
        for stream in (bob, cid):
            assert (line(stream), line(stream)) == ("<ann> hello\n", "<ann> all\n")
        ann.send(b"/who\n")
        assert line(ann) == "* 3 in tea\n"
        sim.run("1s")
        assert (ann.take(), dan.take()) == (b"", b"")


def test_who_leaves_or_goes_hears_no_more_and_the_others_hear_of_it() -> None:
    with Simulation(chat.app, cores=2) as sim:
        ann, bob, cid = enter(sim, "ann", "tea", 0), enter(sim, "bob", "tea", 1), enter(sim, "cid", "tea", 1)
        ann.take()
        bob.take()
        bob.send(b"/leave\n")
        assert line(bob) == "* you are in no room\n"
        assert line(ann) == "* bob has left\n"
        cid.close()
        assert line(ann) == "* cid has left\n"
        ann.send(b"anyone?\n")
        sim.run("1s")
        assert bob.take() == b""
        bob.send(b"hello\n")
        assert line(bob) == chat.HELP + "\n"
        bob.send(b"/quit\n")
        assert line(bob) == "* goodbye; you are out\n"
        sim.until(lambda: len(sim.isolates(chat.Guest)) == 1)
        sim.until(lambda: bob.state == "ended")


def test_a_name_is_had_once_on_all_cores_and_is_free_again_afterwards() -> None:
    with Simulation(chat.app, cores=2) as sim:
        ann, bob = enter(sim, "ann", "tea", 0), enter(sim, "bob", "tea", 1)
        sim.settle()
        ann.take()
        bob.send(b"/nick ann\n/nick a/b\n/nick bea\n")
        assert (line(bob), line(bob)) == (
            "* ann is taken or no name, take another\n",
            "* a/b is taken or no name, take another\n",
        )
        assert line(bob).startswith("* hello bea; ")
        assert line(ann) == "* bob is bea now\n"
        ann.close()
        sim.settle()
        bob.take()
        bob.send(b"/nick ann\n")
        assert line(bob).startswith("* hello ann; ")


class Sloth(regrove.Isolate):
    """A client that joins the room and reads nothing until it is told to."""

    def __init__(self) -> None:
        self.got = b""
        self.over = False

    def start(self, ctx: regrove.Context) -> regrove.Effect:
        return regrove.Connect("127.0.0.1", PORT)

    def handle(self, ctx: regrove.Context, message: object) -> regrove.Effect:
        match message:
            case regrove.Connected(stream):
                self.stream = stream
                return regrove.Write(stream, b"slow\n/join tea\n")
            case regrove.Received(data) if data:
                self.got += data
                return regrove.Read(self.stream, timeout=None)
            case regrove.Received() | regrove.Failed():
                self.over = True
            case "read":
                return regrove.Read(self.stream, timeout=None)
        return regrove.RECEIVE


def tree(place: regrove.Place) -> regrove.Supervisor:
    children: list[regrove.Child | regrove.DynamicSupervisor] = [*chat.children]
    if place.core == 0:
        children.append(regrove.Child("sloth", Sloth, name="sloth"))
    return regrove.Supervisor("root", children)


def guest_of(sim: Simulation, nick: str) -> chat.Guest | None:
    return next((guest for guest in sim.isolates(chat.Guest) if guest.nick == nick), None)


def talk(sim: Simulation, speaker: OutsideStream, listener: OutsideStream, count: int) -> None:
    """`count` long lines; the listener hears each of them, in order, whatever becomes of others."""
    said = [f"{number:06d} {'x' * 400}" for number in range(count)]
    speaker.send("".join(f"{each}\n" for each in said).encode())
    for each in said:
        heard = line(listener)
        assert (heard if heard != "* slow has left\n" else line(listener)) == f"<ann> {each}\n"


def test_a_slow_reader_is_told_and_out_and_the_others_hear_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "PATIENCE", 3600.0)
    monkeypatch.setattr(chat, "PACE", 0.001)
    with Simulation(regrove.Application("chat", tree=tree), cores=2) as sim:
        ann, bob = enter(sim, "ann", "tea", 0), enter(sim, "bob", "tea", 1)
        sim.until(lambda: (guest := guest_of(sim, "slow")) is not None and guest.room == "tea")
        sim.settle()
        ann.take()
        bob.take()
        talk(sim, ann, bob, 1500)  # 600 kB: more than two windows and the outbox
        slow = guest_of(sim, "slow")
        assert slow is not None
        assert (slow.leaving, slow.room, slow.outbox) == (True, "", [b"* you read too slowly; you are out\n"])
        (sloth,) = sim.isolates(Sloth)
        sim.send("sloth", "read")
        sim.until(lambda: sloth.over)
        rows = sloth.got.decode().splitlines()
        assert rows[-1] == "* you read too slowly; you are out"
        assert all(len(row) == len("<ann> 000000 ") + 400 for row in rows[-50:-1])  # whole lines to the last
        assert guest_of(sim, "slow") is None


def test_who_does_not_take_a_piece_in_time_is_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "OUTBOX", 1 << 30)
    monkeypatch.setattr(chat, "PACE", 0.001)
    with Simulation(regrove.Application("chat", tree=tree), cores=2) as sim:
        ann, bob = enter(sim, "ann", "tea", 0), enter(sim, "bob", "tea", 1)
        sim.until(lambda: (guest := guest_of(sim, "slow")) is not None and guest.room == "tea")
        sim.settle()
        ann.take()
        bob.take()
        talk(sim, ann, bob, 1500)
        sim.run(chat.PATIENCE)
        assert guest_of(sim, "slow") is None
        assert b"* slow has left\n" in bob.take() + ann.take()
        talk(sim, ann, bob, 10)


@pytest.mark.parametrize("core", [0, 1])
def test_a_full_mailbox_is_told_to_its_owner(core: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat.Guest, "mailbox_capacity", 1)
    with Simulation(chat.app, cores=2) as sim:
        ann, bob = enter(sim, "ann", "tea", 0), enter(sim, "bob", "tea", 0)
        full = enter(sim, "full", "tea", core)
        ann.take()
        bob.take()
        place = sim.nodes[0].cores[core]
        sim.pause(place)
        ann.send(b"one\n")
        bob.send(b"two\n")  # both are in front of it before it has its turn
        sim.run("1s")
        sim.resume(place)
        sim.until(lambda: full.over)
        assert full.take() in [
            f"<{nick}> {text}\n* too much waits for you; you are out\n".encode()
            for nick, text in (("ann", "one"), ("bob", "two"))
        ]
        assert guest_of(sim, "full") is None
        if core == 1:  # on core 0 the mailboxes of the speakers, for one message as well, may be full of each other
            assert sorted(ann.take().splitlines()[-2:]) == [b"* full has left", b"<bob> two"]
            assert sorted(bob.take().splitlines()[-2:]) == [b"* full has left", b"<ann> one"]


def test_the_end_of_a_core_ends_its_clients_only() -> None:
    with Simulation(chat.app, cores=2) as sim:
        ann, bob, cid = enter(sim, "ann", "tea", 0), enter(sim, "bob", "tea", 0), enter(sim, "cid", "tea", 1)
        sim.crash(sim.nodes[0].cores[1])
        sim.until(lambda: cid.over)
        ann.take()
        bob.take()
        ann.send(b"still here\n/who\n")
        assert line(bob) == "<ann> still here\n"
        assert line(ann) == "* 2 in tea\n"
        sim.until(lambda: sim.find("root/door", core=1))
        sim.settle()  # its door is open
        dan = enter(sim, "cid", "tea", 1)
        ann.send(b"hello again\n")
        assert line(dan) == "<ann> hello again\n"


@pytest.mark.parametrize("text", [b"x" * (chat.LINE + 1), b"x" * (chat.LINE + 1) + b"\n", b"x" * 100_000])
def test_a_line_without_end_is_told_and_out(text: bytes) -> None:
    with Simulation(chat.app) as sim:
        ann = enter(sim, "ann", "tea")
        ann.send(text)
        assert line(ann) == f"* a line has at most {chat.LINE} bytes; you are out\n"
        sim.until(lambda: ann.over)


def test_a_flood_of_lines_goes_at_the_pace_and_drops_nobody() -> None:
    with Simulation(chat.app, cores=2) as sim:
        ann, bob = enter(sim, "ann", "tea", 0), enter(sim, "bob", "tea", 1)
        began = sim.now
        ann.send(b"a\n" * 2000)
        assert [line(bob) for _ in range(2000)] == ["<ann> a\n"] * 2000
        assert sim.now - began >= 1999 * chat.PACE * 1e9


def test_what_is_no_text_reaches_nobody_as_such() -> None:
    with Simulation(chat.app) as sim:
        ann, bob = enter(sim, "ann", "tea"), enter(sim, "bob", "tea")
        ann.send(b"\x1b[2J\xff\x00bell\x07\n\n   \n")
        ann.send("grün ☕\n".encode())
        assert (line(bob), line(bob)) == ("<ann> [2J\ufffdbell\n", "<ann> grün ☕\n")


def hear(stream: socket.socket, text: str) -> str:
    """Read until `text` came; answers all that came."""
    heard = b""
    while text.encode() not in heard:
        piece = stream.recv(65536)
        assert piece, heard
        heard += piece
    return heard.decode()


@pytest.mark.processes
def test_two_real_sockets_talk() -> None:
    port = free_port()
    with (
        regrove.start("examples.chat:app", cores=2, settings={"port": port}),
        socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as ann,
        socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as bob,
    ):
        for stream, nick in ((ann, "ann"), (bob, "bob")):
            stream.sendall(f"{nick}\n/join tea\n".encode())
            hear(stream, "* you are in tea\n")
        until = time.monotonic() + LIMIT
        heard = ""
        while "* 2 in tea\n" not in heard:  # until bob's core knows of ann, wherever the kernel put the two
            assert time.monotonic() < until
            bob.sendall(b"/who\n")
            heard = hear(bob, " in tea\n")
        bob.sendall(b"hello\n")
        hear(ann, "<bob> hello\n")
        ann.sendall(b"hi\n/quit\n")
        hear(bob, "<ann> hi\n* ann has left\n")
        hear(ann, "* goodbye; you are out\n")
        assert ann.recv(1) == b""
