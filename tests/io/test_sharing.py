"""A shared port is shared by the cores of one node only."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from regrove.node.core.reasons import OsError
from regrove.node.io.listeners import open_listener
from regrove.node.io.sharing import stranger_on

LISTEN = """
import socket, sys
sock = socket.socket()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
sock.bind((sys.argv[1], int(sys.argv[2])))
sock.listen()
print(sock.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_another_process_shares_is_in_use_and_the_process_is_named(host: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LISTEN, host, "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        answer = open_listener(f"127.0.0.1:{port}", (socket.AF_INET, ("127.0.0.1", port)), True, 8)
        other.communicate()
    assert isinstance(answer, OsError)
    assert answer.name == "EADDRINUSE"
    assert str(other.pid) in answer.text


def test_listeners_of_this_process_share_a_port() -> None:
    first = open_listener("127.0.0.1:0", (socket.AF_INET, ("127.0.0.1", 0)), True, 8)
    assert isinstance(first, socket.socket)
    port = first.getsockname()[1]
    second = open_listener("there", (socket.AF_INET, ("127.0.0.1", port)), True, 8)
    assert isinstance(second, socket.socket)
    assert stranger_on(second) is None
    first.close()
    second.close()


def test_a_free_port_has_no_stranger() -> None:
    with socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        sock.listen()
        assert stranger_on(sock) is None
