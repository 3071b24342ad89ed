"""Real nodes for the tests: started in the foreground as `regrove start` does, watched by their log, always ended."""

from __future__ import annotations

import array
import fcntl
import json
import os
import queue
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from regrove.node.process.control import ControlClient

DEADLINE = 30.0  # seconds; a verdict, not a measurement: what is waited for takes well under one

START = """
import fcntl, json, sys, termios
from regrove.node.process.configuration import ConfigError, resolve
from regrove.node.process.manager_process import run
if sys.stdin.isatty():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
try:
    flags = json.loads(sys.argv[1])
    resolved = resolve(flags, file=flags.pop("config_file", None))
except ConfigError as problem:
    sys.exit(f"regrove: {problem}")
sys.exit(run(resolved))
"""

APP = '''
from regrove.node.core.application import Application
from regrove.node.core.address import Name
from regrove.node.core.effects import RECEIVE, Call, Crash, Reply, Sleep
from regrove.node.core.isolate import Isolate
from regrove.node.core.messages import message
from regrove.node.core.outcomes import Replied
from regrove.supervisor.spec import Child, Supervisor

@message
class Ask:
    text: str

@message
class Tick:
    pass

class Echo(Isolate):
    def handle(self, ctx, message):
        match message:
            case Ask(text):
                return Reply(f"{text} from {ctx.place.node} core {ctx.place.core}")
        return RECEIVE

class Asker(Isolate):
    """Asks again and again, and logs each answer."""
    def __init__(self, to):
        self.to = to
    def start(self, ctx):
        ctx.send_every(0.02, Tick())
        return RECEIVE
    def handle(self, ctx, message):
        match message:
            case Tick():
                return Call(self.to, Ask("hello"), timeout=1)
            case Replied(value):
                ctx.log.info("answered", value=value)
            case other:
                ctx.log.info("unanswered", reason=str(getattr(other, "reason", other)))
        return RECEIVE

def tree(place):
    children = [Child("echo", Echo, name="echo")]
    asks = place.settings.get("asks")
    if asks and place.core == 0:
        node, _, core = asks.partition("/")
        to = Name("echo", node=node or None, core=int(core) if core else None)
        children.append(Child("asker", Asker, to))
    return Supervisor("root", children)

app = Application("demo", tree=tree)
'''


class RunningNode:
    """A node in the foreground; `lines` are its log lines so far."""

    def __init__(self, process: subprocess.Popen[str], name: str, runtime: Path) -> None:
        self.process = process
        self.name = name
        self.runtime = runtime
        self.lines: list[dict[str, Any]] = []
        self.rest: list[str] = []  # what is no log line: the sentence of an error
        self._muted = False
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._queue.put(line)
            if self._muted:
                break
        self._queue.put(None)

    def mute(self) -> None:
        """Read its log no more."""
        self._muted = True
        self._reader.join(DEADLINE)

    def unread(self) -> int:
        """Bytes that wait in the pipe of its log."""
        assert self.process.stderr is not None
        found = array.array("i", [0])
        fcntl.ioctl(self.process.stderr.fileno(), termios.FIONREAD, found)
        return found[0]

    def wait_line(self, event: str, **fields: Any) -> dict[str, Any]:
        """The next log line of that event with those fields; fails after DEADLINE or when the node ends."""
        limit = time.monotonic() + DEADLINE
        while True:
            line = self._next(limit)
            if line is None:
                raise AssertionError(f"no {event!r} {fields} from {self.name}: {self.lines[-20:]} {self.rest}")
            if line.get("event") == event and all(line.get(key) == value for key, value in fields.items()):
                return line

    def _next(self, limit: float) -> dict[str, Any] | None:
        while True:
            try:
                text = self._queue.get(timeout=max(limit - time.monotonic(), 0.001))
            except queue.Empty:
                return None
            if text is None:
                return None
            if text.startswith("{"):
                line: dict[str, Any] = json.loads(text)
                self.lines.append(line)
                return line
            self.rest.append(text)

    def control(self) -> ControlClient:
        return ControlClient(self.runtime / self.name / "control", DEADLINE)

    def status(self) -> dict[str, Any]:
        with self.control() as control:
            found: dict[str, Any] = control.ask("status")
            return found

    def core_pids(self) -> list[int]:
        return [core["pid"] for core in self.status()["cores"] if core["pid"] is not None]

    def wait(self) -> int:
        """The exit code, and everything it wrote."""
        code = self.process.wait(DEADLINE)
        while self._next(time.monotonic() + DEADLINE) is not None:
            pass
        return code

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        for stream in (self.process.stderr, self.process.stdout):
            if stream is not None:
                stream.close()


StartNode = Callable[..., RunningNode]


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[StartNode]:
    """`start_node(name, **flags)`: a node of this test's own folders, ended with the test.

    `terminal` is one of its own; `inside` a network namespace it runs in.
    """
    nodes: list[RunningNode] = []
    (tmp_path / "demo.py").write_text(APP)
    environ = {key: value for key, value in os.environ.items() if not key.startswith("REGROVE_")}
    environ |= {"REGROVE_STATE_DIR": str(tmp_path / "state"), "REGROVE_RUNTIME_DIR": str(tmp_path / "run")}

    def start(
        name: str = "one@localhost", terminal: int = subprocess.DEVNULL, inside: str = "", **flags: Any
    ) -> RunningNode:
        given = {"app": "demo:app", "name": name, "cores": 2, "log_format": "json", **flags}
        process = subprocess.Popen(
            [*(("ip", "netns", "exec", inside) if inside else ()), sys.executable, "-c", START, json.dumps(given)],
            cwd=tmp_path,
            env=environ,
            stdin=terminal,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        node = RunningNode(process, name, tmp_path / "run")
        nodes.append(node)
        return node

    yield start
    for node in nodes:
        node.end()


def pidfds(pids: list[int]) -> list[int]:
    return [os.pidfd_open(pid) for pid in pids]


def signal_node(node: RunningNode, number: signal.Signals) -> None:
    node.process.send_signal(number)
