"""kv on real nodes, spoken to by clients nobody here wrote: redis-cli, redis-benchmark and redis-py."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import regrove
from examples.kv.generations import decode_manifest
from examples.kv.resp import bulks
from regrove import key_to_core
from tests.examples.servers import LIMIT, kv_node, say

pytestmark = pytest.mark.processes
needs_cli = pytest.mark.skipif(shutil.which("redis-cli") is None, reason="redis-cli is not installed")
needs_benchmark = pytest.mark.skipif(shutil.which("redis-benchmark") is None, reason="redis-benchmark is not installed")


@pytest.fixture(scope="module")
def kv(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with kv_node(tmp_path_factory.mktemp("kv")) as (_, port):
        yield port


def client(port: int, **options: Any) -> redis.Redis:
    """A client that never asks twice by itself."""
    return redis.Redis(port=port, retry=Retry(NoBackoff(), 0), socket_timeout=LIMIT, **options)


def cli(port: int, *words: str) -> str:
    done = subprocess.run(
        ["redis-cli", "-p", str(port), *words], capture_output=True, text=True, timeout=LIMIT, check=False
    )
    return (done.stdout + done.stderr).strip()


@needs_cli
def test_redis_cli_gets_an_answer_to_every_command(kv: int) -> None:
    script = [
        ("FLUSHALL", "OK"),
        ("PING", "PONG"),
        ("ECHO hello", "hello"),
        ("SET a 1", "OK"),
        ("SET a 2 NX", ""),
        ("SET b 2 XX", ""),
        ("SET b 2 EX 100", "OK"),
        ("TTL b", "100"),
        ("SET c 3 PX 100000", "OK"),
        ("GET a", "1"),
        ("GET nope", ""),
        ("EXISTS a b nope", "2"),
        ("INCR a", "2"),
        ("DECR a", "1"),
        ("INCRBY a 10", "11"),
        ("DECRBY a 1", "10"),
        ("MSET x 1 y 2 z 3", "OK"),
        ("MGET x y nope z", "1\n2\n\n3"),
        ("EXPIRE x 50", "1"),
        ("TTL x", "50"),
        ("DBSIZE", "6"),
        ("DEL x y", "2"),
        ("CONFIG GET save", "save"),
        ("SELECT 0", "OK"),
        ("COMMAND COUNT", "37"),
        ("INCR", "ERR wrong number of arguments for 'incr' command"),
        ("NOPE", "ERR unknown command 'NOPE', with args beginning with:"),
    ]
    assert [(line, cli(kv, *line.split())) for line, _ in script] == script
    assert "db0:keys=4,expires=2" in cli(kv, "INFO")
    assert cli(kv, "COMMAND", "DOCS", "get").startswith("get\nsummary\n")
    assert sorted(cli(kv, "--scan").split()) == ["a", "b", "c", "z"]
    assert cli(kv, "FLUSHALL") == "OK"


@needs_benchmark
def test_redis_benchmark_ends_without_an_error(kv: int, request: pytest.FixtureRequest) -> None:
    count = "100000" if request.config.getoption("--long") else "20000"
    tests = ["-t", "ping,set,get,incr,mset", "-n", count, "-c", "50", "-P", "16", "-r", "100000", "--csv"]
    done = subprocess.run(
        ["redis-benchmark", "-p", str(kv), *tests], capture_output=True, text=True, timeout=300, check=False
    )
    names = [line.split('"')[1] for line in done.stdout.splitlines() if line.startswith('"')]
    assert names == ["test", "PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"]
    assert "rror" not in done.stdout + done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize(("protocol", "transaction"), [(2, False), (3, True)])
def test_redis_py_connects_and_pipelines(kv: int, protocol: int, transaction: bool) -> None:
    with client(kv, protocol=protocol, decode_responses=True) as one:
        one.flushall()
        pipe = one.pipeline(transaction=transaction)
        for number in range(500):
            pipe.set(f"key-{number}", number)
            pipe.incr("count")
        answers = pipe.execute()
        assert answers[::2] == [True] * 500
        assert answers[1::2] == list(range(1, 501))
        assert one.mget([f"key-{number}" for number in range(500)]) == [str(number) for number in range(500)]
        assert one.get("nope") is None
        assert sorted(one.scan_iter(match="key-1*", count=30)) == sorted(
            f"key-{number}" for number in range(500) if str(number).startswith("1")
        )
        assert one.info("keyspace")["db0"]["keys"] == 501
        assert one.dbsize() == 501
        assert one.config_get("save") == {"save": ""}
        assert one.delete(*[f"key-{number}" for number in range(500)]) == 500


def test_keys_expire_and_are_removed(kv: int) -> None:
    with client(kv) as one:
        one.flushall()
        one.set("brief", "x", px=80)
        assert 0 < int(one.pttl("brief")) <= 80
        wait_until(lambda: one.get("brief") is None, "a key outlives its deadline")
        wait_until(lambda: one.dbsize() == 0, "an expired key is never removed")
        assert one.ttl("brief") == -2


def test_a_slow_reader_stops_itself_and_nobody_else(kv: int) -> None:
    with client(kv) as other, socket.create_connection(("127.0.0.1", kv), timeout=LIMIT) as slow:
        other.set("big", b"x" * 1_000_000)
        slow.sendall(bulks([b"GET", b"big"]) * 60)  # 60 MB of answers that nobody reads yet
        assert other.incr("small") == 1
        received = 0
        while received < 60 * 1_000_012:
            piece = slow.recv(1 << 20)
            assert piece
            received += len(piece)
        assert received == 60 * 1_000_012
        other.flushall()


def test_garbage_gets_one_error_and_the_node_keeps_serving(kv: int) -> None:
    for seed in range(60):
        noise = bytes((seed * 7919 + position * position * 104729) % 256 for position in range(400))
        with socket.create_connection(("127.0.0.1", kv), timeout=LIMIT) as stream:
            stream.sendall(noise + b"\r\n*1\r\nx\r\n")
            answer = b""
            while piece := stream.recv(65536):
                answer += piece
        lines = answer.split(b"\r\n")[:-1]
        assert lines[-1].startswith(b"-ERR Protocol error: ")
        assert sum(line.startswith(b"-ERR Protocol error") for line in lines) == 1
    assert say(kv, b"PING\r\n") == b"+PONG\r\n"


def test_a_value_over_the_limit_is_refused_and_the_connection_closed(kv: int) -> None:
    with socket.create_connection(("127.0.0.1", kv), timeout=LIMIT) as stream:
        stream.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1048577\r\n")
        answer = b""
        while piece := stream.recv(65536):
            answer += piece
    assert answer == b"-ERR Protocol error: invalid bulk length\r\n"


# --- what is killed comes back -------------------------------------------------------------------------------------


class Recorder:
    """A client that counts up its own keys, writes down what it was told, and says so to who waits on `heard`."""

    def __init__(self, port: int, core: int, number: int, heard: threading.Condition) -> None:
        self.heard = heard
        self.core = core
        while True:  # the kernel spreads connections over the cores; the id tells where this one is
            self.redis = client(port, protocol=2, single_connection_client=True)
            if self.redis.client_id() % 2 == core:
                break
            self.redis.close()
        self.keys = [f"{number}-{core}-{index}" for index in range(20)]
        self.told: list[tuple[float, str, str]] = []
        self.last: dict[str, int] = dict.fromkeys(self.keys, 0)
        self.unknown: Counter[str] = Counter()
        self.acknowledged: Counter[str] = Counter()
        self.lost = ""

    def work(self, stopped: threading.Event) -> None:
        while not stopped.is_set() and not self.lost:
            for key in self.keys:
                self.ask(key)
                with self.heard:
                    self.heard.notify_all()
                if self.lost:
                    break

    def ask(self, key: str) -> None:
        try:
            value = self.redis.incr(key)
        except redis.ResponseError as problem:
            self.told.append((time.monotonic(), key, str(problem)))
            self.unknown[key] += "outcome" in str(problem)
        except (redis.ConnectionError, redis.TimeoutError) as problem:
            self.unknown[key] += 1
            self.lost = repr(problem)
        else:
            assert value > self.last[key]
            self.last[key] = value
            self.acknowledged[key] += 1
            self.told.append((time.monotonic(), key, "ok"))


def wait_for(heard: threading.Condition, condition: Callable[[], object], what: str) -> None:
    """Wait until it holds, looking again whenever a client was told something."""
    with heard:
        assert heard.wait_for(condition, 30.0), what


def wait_until(condition: Callable[[], object], what: str) -> None:
    until = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.01)


@pytest.mark.parametrize("dead", [0, 1])
def test_a_killed_core_takes_its_own_connections_and_no_acknowledged_key(tmp_path: Path, dead: int) -> None:
    with kv_node(tmp_path, sync="true") as (node, port):
        heard = threading.Condition()
        recorders = [Recorder(port, core, number, heard) for core in (1 - dead, dead) for number in range(2)]
        stopped = threading.Event()
        threads = [threading.Thread(target=recorder.work, args=(stopped,)) for recorder in recorders]
        for thread in threads:
            thread.start()
        wait_for(
            heard,
            lambda: all(sum(each.acknowledged.values()) > 40 for each in recorders),
            "the clients do not get on",
        )
        killed = time.monotonic()
        node.kill_core(dead)
        survivors = recorders[:2]
        wait_for(heard, lambda: any(text != "ok" for each in survivors for _, _, text in each.told), "nobody noticed")
        node.wait_until(
            lambda status: status["cores"][dead]["restarts"] == 1 and status["cores"][dead]["state"] == "up"
        )
        back = time.monotonic()
        wait_for(
            heard,
            lambda: all(
                any(at > back and text == "ok" and key_to_core(key, 2) == dead for at, key, text in each.told)
                for each in survivors
            ),
            "the keys of the killed core do not come back",
        )
        stopped.set()
        for thread in threads:
            thread.join()
        assert [bool(each.lost) for each in recorders] == [False, False, True, True]
        for each in survivors:
            for at, key, text in each.told:
                if text != "ok":
                    assert key_to_core(key, 2) == dead
                    assert at >= killed
                    assert f"core {dead}" in text
        with client(port) as one:
            for recorder in recorders:
                for key in recorder.keys:
                    value = int(one.get(key) or 0)
                    acknowledged = recorder.acknowledged[key]
                    assert acknowledged <= value <= acknowledged + recorder.unknown[key], key
        core = node.status()["cores"][dead]
        assert core["incarnation"] == 2
        assert "SIGKILL" in core["last_exit"]


def test_what_was_acknowledged_in_sync_mode_survives_a_kill_of_the_whole_node(tmp_path: Path) -> None:
    with kv_node(tmp_path, sync="true") as (node, port):
        acknowledged: list[int] = []
        enough = threading.Event()

        def write() -> None:
            with client(port) as one:
                try:
                    for number in range(1_000_000):
                        one.set(f"key-{number}", number)
                        acknowledged.append(number)
                        if len(acknowledged) > 200:
                            enough.set()
                except redis.ConnectionError:
                    return

        thread = threading.Thread(target=write)
        thread.start()
        assert enough.wait(30.0), "no write is acknowledged"
        os.kill(node.manager_pid, signal.SIGKILL)
        thread.join()
    with kv_node(tmp_path, sync="true") as (_, port), client(port) as one:
        values = one.mget([f"key-{number}" for number in acknowledged])
        assert values == [b"%d" % number for number in acknowledged]


def test_an_orderly_stop_keeps_everything_without_sync(tmp_path: Path) -> None:
    with kv_node(tmp_path) as (_, port), client(port) as one:
        one.mset({f"key-{number}": number for number in range(1_000)})
        one.expire("key-0", 1_000)
    with kv_node(tmp_path) as (_, port), client(port) as one:
        assert one.dbsize() == 1_000
        assert 900 < one.ttl("key-0") <= 1_000


def test_keys_follow_the_number_of_cores(tmp_path: Path) -> None:
    keys = {f"key-{number}": f"{number}" for number in range(500)}
    generations: list[int] = []
    for cores in (2, 3, 1, 1):
        with kv_node(tmp_path, cores, sync="true") as (_, port), client(port, decode_responses=True) as one:
            if not generations:
                one.mset(keys)
            assert one.dbsize() == 500
            assert one.mget(list(keys)) == list(keys.values())
            one.set("key-7", cores)
            keys["key-7"] = f"{cores}"
            generations.append(decode_manifest((tmp_path / "kv" / "manifest").read_bytes()).number)
    assert generations == [1, 2, 3, 3]
    assert sorted(path.name for path in (tmp_path / "kv").iterdir()) == ["3.0of1.log", "manifest"]


# --- what cannot be started is refused -----------------------------------------------------------------------------


def refusal(tmp_path: Path, cores: int = 1, **settings: object) -> str:
    with pytest.raises(regrove.RegroveError) as caught, kv_node(tmp_path, cores, **settings):
        pass
    return str(caught.value)


def test_a_torn_tail_is_cut_and_damage_before_it_refuses_the_start(tmp_path: Path) -> None:
    log = tmp_path / "kv" / "1.0of1.log"
    with kv_node(tmp_path, 1, sync="true") as (_, port), client(port) as one:
        for number in range(50):
            one.set(f"key-{number}", number)
    whole = log.read_bytes()
    log.write_bytes(whole + whole[40:55])
    with kv_node(tmp_path, 1, sync="true") as (_, port), client(port) as one:
        assert one.dbsize() == 50
    assert log.read_bytes() == whole
    log.write_bytes(whole[:200] + bytes([whole[200] ^ 4]) + whole[201:])
    text = refusal(tmp_path)
    assert "kv/1.0of1.log is damaged at byte" in text
    assert "truncate -s" in text
    log.write_bytes(whole)
    (tmp_path / "kv" / "manifest").unlink()
    assert "kv/manifest is missing, yet kv/1.0of1.log holds records" in refusal(tmp_path)


def test_a_bad_setting_refuses_the_start_with_one_sentence(tmp_path: Path) -> None:
    assert "port='x' is no whole number from 0 to 65535; write --set port=6380" in refusal(tmp_path, port="x")
    assert "sync='perhaps' is neither true nor false" in refusal(tmp_path, sync="perhaps")


def test_a_port_in_use_refuses_the_start(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port 127.0.0.1:{port} is in use; stop who has it" in refusal(tmp_path, port=port)


def test_a_folder_the_operator_names_may_be_anywhere(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere" / "logs"
    with kv_node(tmp_path / "data", dir=str(folder), sync="true") as (_, port), client(port) as one:
        one.set("a", 1)
    assert sorted(path.name for path in folder.iterdir()) == ["1.0of2.log", "1.1of2.log", "manifest"]
