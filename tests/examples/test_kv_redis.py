"""kv beside a real redis-server: the same conversation, the same bytes."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.conversations import CONVERSATIONS
from tests.examples.servers import LIMIT, kv_node, say
from tests.ports import free_port

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed"),
]


@pytest.fixture(scope="module")
def kv(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with kv_node(tmp_path_factory.mktemp("kv")) as (_, port):
        yield port


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    folder: Path = tmp_path_factory.mktemp("redis")
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + LIMIT
            while True:
                try:
                    assert say(port, b"PING\r\n").startswith(b"+PONG")
                    break
                except ConnectionRefusedError:
                    assert time.monotonic() < until, "redis-server does not start"
                    time.sleep(0.02)
            yield port
        finally:
            process.terminate()


@pytest.mark.parametrize("about", CONVERSATIONS)
def test_kv_answers_what_redis_answers(kv: int, redis_server: int, about: str) -> None:
    for port in (kv, redis_server):
        say(port, b"FLUSHALL\r\n")
    assert say(kv, CONVERSATIONS[about]) == say(redis_server, CONVERSATIONS[about])
