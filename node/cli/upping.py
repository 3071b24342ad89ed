"""`regrove up`: several nodes of this machine as children of one command, each line behind its node's name."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Mapping
from types import FrameType
from typing import IO, Any

import click

from regrove.node.cli.failing import FAILED, complain, let_go_of_stdout
from regrove.node.process.configuration import NodeConfig, resolve
from regrove.node.process.launch import Launched, NodeFailed, NodeUnwanted, Patience, launch
from regrove.node.process.machine import usable_cores
from regrove.node.process.signals import Insistence


class Cluster:
    """The nodes of one `regrove up`. The first one listens where the others join."""

    def __init__(self, app: str, nodes: int, name: str, settings: Mapping[str, str], flags: Mapping[str, Any]) -> None:
        self._app = app
        self._names = [f"{name}{number}@localhost" for number in range(1, nodes + 1)]
        self._settings = dict(settings)
        self._flags = dict(flags)
        self._width = max(len(name.partition("@")[0]) for name in self._names)
        self._nodes: list[Launched] = []
        self._readers: list[threading.Thread] = []
        self._asked = 0  # 1: it was asked to stop, 2: at once
        self._insistence = Insistence()
        # A descriptor, because a signal may come to another thread than the main one (two at once, or one to a stopped
        # process): nothing but its byte wakes the main one then. The handler only notes it: an exception out of it
        # could come between the start of a node and its being written down, a lock in it deadlocks within its own wait.
        self._changed, self._changes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> int:
        """Start the nodes one after the other, wait until all have ended, and answer the worst exit code."""
        signal.set_wakeup_fd(self._changes, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:  # as in the background of a script
                signal.signal(number, self._on_signal)
        join: list[str] = []
        try:
            for name in self._names:
                if self._asked:
                    break
                self._nodes.append(self._start(name, join))
                join = [self._nodes[0].listen]
        except NodeFailed as problem:
            self._stop()
            self._wait()
            return complain(str(problem), problem.code or FAILED)
        except NodeUnwanted:
            pass  # `_wait` stops the others
        if not self._asked:
            names = ", ".join(self._names)
            self._say("up", f"{names} are up; try `regrove members --node {self._names[0]}`; Ctrl-C stops them")
        return self._wait()

    def _start(self, name: str, join: list[str]) -> Launched:
        config = self._config(name, join)
        reading, writing = os.pipe()
        reader = threading.Thread(target=self._copy, args=(name, os.fdopen(reading, errors="replace")), daemon=True)
        reader.start()  # first, so that a node that says much before it is up never waits for us
        self._readers.append(reader)
        with os.fdopen(writing, "wb") as target:
            node = launch(config, stderr=target, stdout=target, patience=Patience(self._changed, self._wanted_no_more))
        threading.Thread(target=self._watch, args=(node,), daemon=True).start()
        return node

    def _config(self, name: str, join: list[str]) -> NodeConfig:
        cores = self._flags.get("cores") or max(1, usable_cores() // len(self._names))
        console = "console" if sys.stdout.isatty() else "json"
        flags = {
            **self._flags,
            "app": self._app,
            "name": name,
            "cores": cores,
            "listen": "127.0.0.1:0",
            "join": join,
            "settings": self._settings,
            "log_format": self._flags.get("log_format") or console,
        }
        return resolve(flags).config

    def _copy(self, name: str, stream: IO[str]) -> None:
        short = name.partition("@")[0]
        with stream:
            for line in stream:
                self._say(short, line.rstrip("\n"))

    def _say(self, who: str, text: str) -> None:
        try:
            click.echo(f"{who.ljust(self._width)} | {text}")
        except OSError:  # nobody reads it any more: the nodes run on, and must be read from all the same
            let_go_of_stdout()

    def _watch(self, node: Launched) -> None:
        node.process.wait()
        os.write(self._changes, b"\0")

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = 2 if self._insistence.again(time.monotonic_ns()) else 1

    def _wanted_no_more(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            os.read(self._changed, 4096)
        return self._asked > 0

    def _wait(self) -> int:
        stopping = 0
        while any(node.process.poll() is None for node in self._nodes):
            if self._asked > stopping:
                stopping = self._asked
                self._stop(now=stopping > 1)
            select.select([self._changed], [], [])
            os.read(self._changed, 4096)
        for thread in self._readers:
            thread.join(1.0)
        return max((abs(node.process.wait()) for node in self._nodes), default=0)

    def _stop(self, now: bool = False) -> None:
        for node in self._nodes:
            if now:
                node.process.kill()
            else:
                node.lifeline.close()  # the manager leaves in order when its parent's end closes
