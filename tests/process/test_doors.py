"""Bad input at the doors of a running node: one clear answer, and the node keeps serving."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from regrove.node.process.control import (
    ControlClient,
    ControlError,
    ControlRefused,
    ControlTimeout,
    NodeNotRunning,
    connect_unix,
)
from regrove.node.process.framing import FrameReader, pack

if TYPE_CHECKING:
    from tests.process.conftest import RunningNode

    StartNode = Callable[..., RunningNode]
else:
    StartNode = Callable[..., Any]


def raw(node: RunningNode) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30.0)
    connect_unix(connection, node.runtime / node.name / "control")
    return connection


@pytest.mark.processes
def test_garbage_on_the_control_socket_closes_that_connection_only(start_node: StartNode) -> None:
    node = start_node(cores=1)
    node.wait_line("node up")
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", pack([1, 2]), pack({"id": "x"}), b"\xff" * 1000, os.urandom(5000)):
        with raw(node) as connection:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
    assert node.status()["state"] == "up"


@pytest.mark.processes
def test_an_unknown_command_is_refused_with_those_there_are(start_node: StartNode) -> None:
    node = start_node(cores=1)
    node.wait_line("node up")
    with node.control() as control:
        with pytest.raises(ControlRefused, match="this node knows no command 'dance'; use one of ping, status"):
            control.ask("dance")
        assert control.ask("ping")["state"] == "up"
        assert control.ask("config")["values"][0] == {"key": "app", "value": "demo:app", "origin": "APP"}


@pytest.mark.processes
def test_followers_see_what_happens_until_the_node_ends(start_node: StartNode) -> None:
    node = start_node(cores=1)
    node.wait_line("node up")
    with node.control() as follower, node.control() as control:
        events = follower.events()
        control.ask("stop")
        names = [event["event"] for event in events]
    assert names[0] == "node stopping"
    assert names[-1] == "core ended"


@pytest.mark.processes
def test_the_control_socket_is_for_its_user_only(start_node: StartNode) -> None:
    node = start_node(cores=1)
    node.wait_line("node up")
    folder = node.runtime / node.name
    assert (folder / "control").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.processes
@pytest.mark.parametrize("insecure", [False, True], ids=["keys", "in the clear"])
def test_garbage_on_the_listen_port_harms_nobody(start_node: StartNode, insecure: bool) -> None:
    node = start_node(cores=1, listen="127.0.0.1:0", insecure=insecure)
    node.wait_line("node up")
    with node.control() as control:
        info = control.ask("call-info")
        own = control.ask("members")["members"][0]["address"]
    for endpoint in (own, info["cores"][0]["remote"].removeprefix("tcp://")):
        host, _, port = endpoint.rpartition(":")
        for garbage in (b"PING\r\n" * 100, os.urandom(4096), b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f" + b"x" * 100):
            with socket.create_connection((host, int(port)), 30.0) as connection:
                connection.sendall(garbage)
    second = start_node("two@localhost", cores=1, join=[own], insecure=insecure, settings={"asks": "one@localhost"})
    second.wait_line("answered", value="hello from one@localhost core 0")


@pytest.mark.processes
def test_a_node_of_another_cluster_is_refused_and_both_say_so(start_node: StartNode) -> None:
    first = start_node(cores=1, listen="127.0.0.1:0", cluster="shop")
    first.wait_line("node up")
    with first.control() as control:
        address = control.ask("members")["members"][0]["address"]
    second = start_node("two@localhost", cores=1, join=[address], cluster="bank")
    assert "other cluster" in second.wait_line("join waits", address=address, level="warning")["reason"]
    assert "other cluster: 'bank' dialled 'shop'" in first.wait_line("link refused")["reason"]
    assert first.status()["state"] == "up"


@pytest.mark.processes
def test_a_node_with_other_keys_is_kept_out(start_node: StartNode, tmp_path: Path) -> None:
    from regrove.transport.keys import store_pair
    from regrove.transport.zeromq import make_pair

    store_pair(make_pair(), tmp_path / "other.key")
    first = start_node(cores=1, listen="127.0.0.1:0")
    first.wait_line("node up")
    with first.control() as control:
        address = control.ask("members")["members"][0]["address"]
    second = start_node("two@localhost", cores=1, join=[address], keys=str(tmp_path / "other.key"))
    assert second.wait_line("join waits", address=address, level="warning")["reason"]
    with first.control() as control:
        assert len(control.ask("members")["members"]) == 1


def test_no_control_socket_means_the_node_is_not_running(tmp_path: Path) -> None:
    with pytest.raises(NodeNotRunning, match=r"node one@h is not running: there is no .*regrove start"):
        ControlClient(tmp_path / "one@h" / "control")


def listening(tmp_path: Path) -> socket.socket:
    (tmp_path / "one@h").mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "one@h" / "control"))
    return listener


def test_a_socket_left_behind_means_the_node_is_not_running(tmp_path: Path) -> None:
    listening(tmp_path).close()
    with pytest.raises(NodeNotRunning, match=r"left .* behind"):
        ControlClient(tmp_path / "one@h" / "control")


def test_a_manager_that_says_nothing_is_a_timeout_that_names_the_node(tmp_path: Path) -> None:
    with listening(tmp_path) as listener:
        listener.listen()
        with pytest.raises(ControlTimeout, match=r"node one@h did not answer `hello` within 0\.01 s"):
            ControlClient(tmp_path / "one@h" / "control", 0.01)


@pytest.mark.parametrize(
    ("first", "problem"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n", "is not the control socket of a regrove node"),
        (pack({"hello": 1}), "is not the control socket of a regrove node"),
        (pack([1]), "not a control frame"),
        (pack({"regrove": "control", "version": 99, "node": "one@h"}), "speaks control version 99"),
    ],
    ids=["ssh", "other map", "list", "other version"],
)
def test_a_stranger_at_the_socket_is_recognised(tmp_path: Path, first: bytes, problem: str) -> None:
    with listening(tmp_path) as listener:
        listener.listen()
        import threading

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(first)
                connection.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ControlError, match=problem):
            ControlClient(tmp_path / "one@h" / "control", 30.0)
        thread.join()


def test_a_manager_that_ends_in_the_middle_is_told_apart_from_a_silent_one(tmp_path: Path) -> None:
    import threading

    with listening(tmp_path) as listener:
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(
                    pack({"regrove": "control", "version": 1, "node": "one@h", "incarnation": 5, "pid": 1})
                )
                FrameReader().feed(connection.recv(1000))

        thread = threading.Thread(target=serve)
        thread.start()
        with (
            ControlClient(tmp_path / "one@h" / "control", 30.0) as control,
            pytest.raises(NodeNotRunning, match="ended while it was spoken to"),
        ):
            control.ask("status")
        thread.join()
