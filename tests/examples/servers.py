"""Real kv nodes and raw clients for the tests."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import regrove
from tests.ports import free_port

ROOT = Path(__file__).parent.parent.parent
SILENCE = 0.15  # seconds after which an answer is taken for whole, where no end can be told
LIMIT = 10.0  # seconds any single answer may take


@contextmanager
def kv_node(data: Path, cores: int = 2, **settings: object) -> Iterator[tuple[Any, int]]:
    """Start examples.kv and give the node and its port."""
    port = free_port()
    with regrove.start("examples.kv:app", cores=cores, data=data, settings={"port": port, **settings}) as node:
        yield node, port


def say(port: int, data: bytes) -> bytes:
    """Send bytes and return what is answered until a mark comes back or the connection ends (`<EOF>`)."""
    mark = b"the-end-of-it"
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as stream:
        try:
            stream.sendall(data + b"\r\nECHO %b\r\n" % mark)
        except ConnectionError:
            answer = b""
        try:
            while mark not in answer:
                piece = stream.recv(65536)
                if not piece:
                    return answer + b"<EOF>"
                answer += piece
        except ConnectionResetError:
            return answer + b"<EOF>"
    return re.sub(rb"id\r\n:\d+", b"id\r\n:N", answer[: answer.rindex(b"$13\r\n")])
