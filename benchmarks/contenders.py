"""Who can be measured here, and one measurement: a fresh process that prints `name value` lines."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parent / "regrove_peer.erl"
LIBRARIES = ("pykka", "thespian", "xoscar", "ray")
LIMIT_S = 120.0
READY_S = 10.0
COOKIE = "regrove-bench"

Command = list[str]


class Failed(Exception):
    """A measurement that gave no figures; the text says why."""


def libraries() -> list[str]:
    """The actor libraries this interpreter can import."""
    return [name for name in LIBRARIES if importlib.util.find_spec(name) is not None]


def python(module: str, *arguments: object) -> Command:
    return [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]


def measure(
    command: Command, environment: dict[str, str] | None = None, folder: Path | None = None
) -> dict[str, float]:
    """Run one process to its end, in `folder`. Raises Failed."""
    try:
        ran = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            env=environment,
            stdin=subprocess.DEVNULL,
            cwd=folder,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"no end within {LIMIT_S:.0f} s") from None
    lines = [line.split() for line in ran.stdout.splitlines()]
    figures = {line[0]: float(line[1]) for line in lines if len(line) == 2 and line[1][:1].isdigit()}
    if ran.returncode or not figures:
        words = (ran.stderr or ran.stdout).strip().splitlines()
        raise Failed(words[-1][:200] if words else f"exit code {ran.returncode} and not a word")
    return figures


def cold(command: Command, environment: dict[str, str] | None = None, folder: Path | None = None) -> dict[str, float]:
    """The time from here to the first answer it prints."""
    begin = time.monotonic()
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        env=environment,
        cwd=folder,
    ) as child:
        assert child.stdout is not None
        ready, _, _ = select.select([child.stdout], [], [], LIMIT_S)
        first = child.stdout.readline() if ready else b""
        spent = time.monotonic() - begin
        if not first:
            child.kill()
            raise Failed("no answer")
        child.communicate(timeout=LIMIT_S)
    return {"ms": spent * 1e3}


class Erlang:
    """`erl` on one scheduler with our module compiled into `folder`, and a second node where that works."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "ERL_CRASH_DUMP": os.devnull}
        self.far = ""
        self.why_alone = "not tried"
        ran = subprocess.run(
            ["erlc", "-o", str(folder), str(SOURCE)], check=False, capture_output=True, text=True, timeout=LIMIT_S
        )
        if ran.returncode:
            raise Failed(f"erlc: {(ran.stdout or ran.stderr).strip()[:200]}")

    @staticmethod
    def found() -> bool:
        return shutil.which("erl") is not None and shutil.which("erlc") is not None

    def command(self, *arguments: object, flags: tuple[str, ...] = ()) -> Command:
        base = ["erl", "+S", "1", "+P", "1000000", "-noshell", "-pa", str(self.folder), *flags]
        return [*base, "-run", "regrove_peer", "main", *map(str, arguments)]

    def named(self, name: str) -> tuple[str, ...]:
        return ("-start_epmd", "false", "-name", f"{name}@127.0.0.1", "-setcookie", COOKIE)

    @contextlib.contextmanager
    def other_node(self) -> Iterator[None]:
        """A second node over loopback, with a port mapper of our own on a port of its own; both end with the block."""
        with contextlib.ExitStack() as stack:
            try:
                self._begin(stack)
            except (OSError, Failed) as problem:
                self.why_alone = str(problem)
            yield
        self.far = ""

    def _begin(self, stack: contextlib.ExitStack) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = str(probe.getsockname()[1])
        self.environment["ERL_EPMD_PORT"] = port
        mapper = subprocess.Popen(["epmd", "-port", port, "-address", "127.0.0.1"], stderr=subprocess.DEVNULL)
        stack.callback(_end, mapper)
        deadline = time.monotonic() + READY_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(port)), 1.0):
                break
            if time.monotonic() > deadline:
                raise Failed("epmd did not listen")
            time.sleep(0.02)
        node = subprocess.Popen(
            self.command("serve", 1, flags=self.named("far")),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self.environment,
        )
        stack.callback(_end, node)
        assert node.stdout is not None
        ready, _, _ = select.select([node.stdout], [], [], READY_S)
        if not ready or node.stdout.readline().strip() != b"ready":
            raise Failed("the other Erlang node did not start")
        self.far = "far@127.0.0.1"

    def between(self, workload: str, size: int, *rest: object) -> dict[str, float]:
        if not self.far:
            raise Failed(f"one Erlang node only: {self.why_alone}")
        return measure(self.command(workload, size, self.far, *rest, flags=self.named("near")), self.environment)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    process.wait()


def machine() -> str:
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    return f"CPython {platform.python_version()}, {os.cpu_count()} cores, load average {load}"
