"""The directory over a control socket: asked once, again after events, and again after the manager came back."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regrove.node.client.feed import ControlFeed
from regrove.node.process.framing import FrameReader, pack

INFO = {"node": "n@h", "incarnation": 1, "cores": [], "names": []}


class Manager:
    """A control socket that answers what a test says, and keeps what it was asked."""

    def __init__(self, path: Path) -> None:
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        self.listener.listen()
        self.connection: socket.socket | None = None
        self.reader = FrameReader()

    def accept(self) -> None:
        self.connection, _ = self.listener.accept()
        self.connection.settimeout(30)
        self.say({"regrove": "control", "version": 1, "node": "n@h", "incarnation": 1, "pid": 1})

    def say(self, *frames: dict[str, Any]) -> None:
        assert self.connection is not None
        self.connection.sendall(b"".join(pack(frame) for frame in frames))

    def asked(self, count: int) -> list[dict[str, Any]]:
        """The next requests, waited for."""
        assert self.connection is not None
        frames: list[dict[str, Any]] = []
        while len(frames) < count:
            frames += self.reader.feed(self.connection.recv(65536))
        return frames

    def silent(self) -> bool:
        """Whether nothing more was asked."""
        assert self.connection is not None
        return not select.select([self.connection], [], [], 0)[0]

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self.listener.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "control")
    yield made
    made.close()


@pytest.fixture
def feed(tmp_path: Path, manager: Manager) -> Iterator[ControlFeed]:
    made = ControlFeed(tmp_path / "control")
    assert made.poll(0) == []
    manager.accept()
    yield made
    made.close()


def read(feed: ControlFeed, count: int, now: int = 0) -> list[dict[str, Any]]:
    """Poll until so many directories came."""
    deadline = time.monotonic() + 30
    infos: list[dict[str, Any]] = []
    while len(infos) < count:
        assert time.monotonic() < deadline
        select.select(feed.fds(), [], [], 1)
        infos += feed.poll(now)
    return infos


def test_it_follows_events_and_asks_for_the_directory_at_once(feed: ControlFeed, manager: Manager) -> None:
    events, info = manager.asked(2)
    assert (events["command"], info["command"]) == ("events", "call-info")
    manager.say({"id": events["id"], "reply": {"following": True}}, {"id": info["id"], "reply": INFO})
    assert read(feed, 1) == [INFO]
    assert feed.problem == ""


def test_many_events_lead_to_one_question_a_little_later(feed: ControlFeed, manager: Manager) -> None:
    events, info = manager.asked(2)
    manager.say({"id": info["id"], "reply": INFO})
    read(feed, 1)
    manager.say(*({"id": events["id"], "event": {"event": "names changed"}} for _ in range(50)))
    deadline = time.monotonic() + 30
    while feed.deadline() is None:
        assert time.monotonic() < deadline
        select.select(feed.fds(), [], [], 1)
        feed.poll(1_000)
    due = feed.deadline()
    assert due is not None
    assert manager.silent()
    feed.poll(due)
    (again,) = manager.asked(1)
    assert again["command"] == "call-info"
    assert feed.deadline() is None
    assert manager.silent()


def test_a_wish_during_a_question_is_asked_again_after_its_answer(feed: ControlFeed, manager: Manager) -> None:
    _, info = manager.asked(2)
    feed.refresh()
    feed.refresh()
    assert manager.silent()
    manager.say({"id": info["id"], "reply": INFO})
    assert read(feed, 1) == [INFO]
    (again,) = manager.asked(1)
    assert again["command"] == "call-info"
    assert manager.silent()


def test_a_manager_that_refuses_is_the_problem(feed: ControlFeed, manager: Manager) -> None:
    _, info = manager.asked(2)
    manager.say({"id": info["id"], "refused": "not now", "mend": "later"})
    deadline = time.monotonic() + 30
    while feed.problem != "not now":
        assert time.monotonic() < deadline
        select.select(feed.fds(), [], [], 1)
        assert feed.poll(0) == []


def test_a_manager_that_ends_is_looked_for_again_with_growing_pauses(
    feed: ControlFeed, manager: Manager, tmp_path: Path
) -> None:
    manager.close()
    (tmp_path / "control").unlink()
    deadline = time.monotonic() + 30
    while feed.fds():
        assert time.monotonic() < deadline
        select.select(feed.fds(), [], [], 1)
        feed.poll(0)
    pauses = []
    now = 0
    for _ in range(7):
        due = feed.deadline()
        assert due is not None
        pauses.append((due - now) // 1_000_000)
        now = due
        assert feed.poll(now) == []
    assert pauses == [50, 100, 200, 400, 800, 1000, 1000]
    assert "nothing answers at" in feed.problem
    again = Manager(tmp_path / "control")
    due = feed.deadline()
    assert due is not None
    feed.poll(due)
    again.accept()
    info = again.asked(2)[1]
    again.say({"id": info["id"], "reply": INFO})
    assert read(feed, 1) == [INFO]
    again.close()


@pytest.mark.parametrize("garbage", [b"\xff" * 8, b"\x00\x00\x00\x01\xc1", pack(5), pack([1, 2]), pack({"id": []})])
def test_garbage_ends_the_connection_or_is_passed_over(feed: ControlFeed, manager: Manager, garbage: bytes) -> None:
    assert manager.connection is not None
    manager.asked(2)
    manager.connection.sendall(garbage)
    manager.connection.close()
    deadline = time.monotonic() + 30
    while feed.fds():
        assert time.monotonic() < deadline
        select.select(feed.fds(), [], [], 1)
        assert feed.poll(0) == []
    assert feed.deadline() is not None
