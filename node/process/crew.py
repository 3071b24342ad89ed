"""The core processes of a manager: their pipes, vitals and endpoints."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regrove.node.io.poller import Poller
from regrove.node.process.boot import BootParameters
from regrove.node.process.children import Children
from regrove.node.process.configuration import NodeConfig
from regrove.node.process.pipe import Pipe
from regrove.node.process.status import Vitals
from regrove.transport.endpoints import ipc_endpoint
from regrove.transport.keys import KeyPair


@dataclass(frozen=True, slots=True)
class CrewSettings:
    """What every core of the node is started with."""

    config: NodeConfig
    folder: Path
    short_folder: Path | None
    node_incarnation: int
    keys: KeyPair | None


class CoreCrew:
    """Spawns cores and carries frames. `on_frame(core, incarnation, frame)`, `on_failed(core, incarnation, why)`."""

    def __init__(
        self,
        settings: CrewSettings,
        children: Children,
        poller: Poller,
        on_frame: Callable[[int, int, Any], None],
        on_failed: Callable[[int, int, str], None],
    ) -> None:
        self._settings = settings
        self._children = children
        self._poller = poller
        self._on_frame = on_frame
        self._on_failed = on_failed
        self._pipes: dict[int, Pipe] = {}
        self._sockets: dict[int, str] = {}
        self.vitals: dict[int, Vitals] = {}

    def spawn(self, core: int, incarnation: int) -> None:
        """Start a life of a core; a failure to start is told as its end."""
        self._bury(core)
        parameters = self._parameters(core, incarnation)
        try:
            child, connection = self._children.spawn(core, incarnation)
        except OSError as problem:
            self._on_failed(core, incarnation, f"could not be started: {problem.strerror}")
            return
        self._sockets[core] = parameters.endpoint.removeprefix("ipc://")
        self.vitals[core] = Vitals(child.pid)
        pipe = Pipe(connection, self._poller, lambda frame: self._on_frame(core, incarnation, frame), _let_pass)
        self._pipes[core] = pipe
        pipe.send(["boot", parameters.plain()])

    def send(self, core: int, frame: list[Any]) -> None:
        """Send to a core; to one that is gone: nothing."""
        pipe = self._pipes.get(core)
        if pipe is not None:
            pipe.send(frame)

    def send_all(self, frame: list[Any]) -> None:
        """Send to every core."""
        for pipe in self._pipes.values():
            pipe.send(frame)

    def drain(self, core: int) -> None:
        """Take what a core that has ended had still written, and forget its sockets."""
        pipe = self._pipes.get(core)
        if pipe is not None:
            pipe.drain()
        self._bury(core)

    def beat(self, core: int, beat: dict[str, Any]) -> None:
        """Counters of a core."""
        vitals = self.vitals.get(core)
        if vitals is not None:
            vitals.beat = beat
            vitals.isolates = int(beat.get("isolates", 0))

    def close(self) -> None:
        """Close every pipe, remove every socket file."""
        for core in list(self._pipes):
            self._bury(core)

    def _bury(self, core: int) -> None:
        pipe = self._pipes.pop(core, None)
        if pipe is not None:
            pipe.close()
        path = self._sockets.pop(core, None)
        if path is not None:
            with contextlib.suppress(OSError):
                os.unlink(path)

    def _parameters(self, core: int, incarnation: int) -> BootParameters:
        config, keys = self._settings.config, self._settings.keys
        listen = advertise = ""
        if config.listen:
            host = config.listen.rpartition(":")[0]
            port = config.data_ports[0] + core if config.data_ports is not None else 0
            listen = f"tcp://{host}:{port}"
            advertise = config.advertise.rpartition(":")[0]
        return BootParameters(
            config=config,
            core=core,
            incarnation=incarnation,
            node_incarnation=self._settings.node_incarnation,
            manager_pid=os.getpid(),
            endpoint=self._endpoint(core, incarnation),
            listen=listen,
            advertise=advertise,
            public_key=keys.public if keys is not None else "",
            secret_key=keys.secret if keys is not None else "",
        )

    def _endpoint(self, core: int, incarnation: int) -> str:
        """Named by core and incarnation, never bound twice; the node's own incarnation guards against a left-over."""
        name = f"core-{core}.{self._settings.node_incarnation}.{incarnation}"
        return ipc_endpoint(self._settings.folder, name, self._settings.short_folder)


def _let_pass(_why: str) -> None:
    """The end of a core is told by its pidfd, with the status; its pipe only ends earlier or later."""
