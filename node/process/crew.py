"""The core processes of a manager: their pipes, vitals and endpoints."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from regrove.node.io.poller import Poller
from regrove.node.process.birth import Birth
from regrove.node.process.boot import BootParameters
from regrove.node.process.children import Child, Children
from regrove.node.process.configuration import NodeConfig
from regrove.node.process.descriptors import Hands
from regrove.node.process.listeners_kept import ListenerKeeper
from regrove.node.process.manager_events import Event, ForkFailed, SpawnKind, ZygoteSilent
from regrove.node.process.page import Pages
from regrove.node.process.pipe import Pipe
from regrove.node.process.spare import Spare
from regrove.node.process.status import Vitals
from regrove.node.process.worker_forks import WorkerWards
from regrove.node.process.zygote_client import ZygoteClient
from regrove.records import dataclass, replace
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
    pages: Pages
    cpus: tuple[int, ...] | None  # the CPU of each core, when they are pinned


class CoreCrew:
    """Spawns cores and carries frames. `on_frame(core, incarnation, frame)`, `on_failed(core, incarnation, why)`."""

    def __init__(
        self,
        settings: CrewSettings,
        children: Children,
        zygote: ZygoteClient,
        poller: Poller,
        on_frame: Callable[[int, int, Any], None],
        on_failed: Callable[[int, int, str], None],
        on_event: Callable[[Event], None],
    ) -> None:
        self._settings = settings
        self._children = children
        self._zygote = zygote
        self._poller = poller
        self._on_frame = on_frame
        self._on_failed = on_failed
        self._on_event = on_event
        self._births: dict[int, Birth] = {}  # being forked
        self._hands: dict[int, Hands] = {}
        self.spare = Spare(children, zygote, poller, lambda why: on_event(ZygoteSilent(why)))
        self.listeners = ListenerKeeper(poller)
        self.workers = WorkerWards(poller, children, zygote)
        self._pipes: dict[int, Pipe] = {}
        self._sockets: dict[int, str] = {}
        self.vitals: dict[int, Vitals] = {}

    def spawn(self, core: int, incarnation: int, kind: SpawnKind) -> None:
        """Start a life of a core; a failure to start is told as its end, one to fork by itself."""
        self._bury(core)
        self._settings.pages.clear(core)
        ahead = self.spare.take(core, incarnation)
        if ahead is not None:
            self._born(*ahead)
            return
        try:
            birth = Birth(core, incarnation)
        except OSError as problem:
            self._on_failed(core, incarnation, f"could not be started: {problem.strerror}")
            return
        if kind == "fork":
            self._births[core] = birth
            birth.request = self._zygote.fork(
                "fork",
                birth.theirs,
                lambda pid, pidfd: self._forked(birth, pid, pidfd),
                lambda why, silent: self._not_forked(birth, why, silent),
            )
            return
        try:
            child = self._children.spawn(core, incarnation, birth.theirs)
        except OSError as problem:
            birth.close()
            self._on_failed(core, incarnation, f"could not be started: {problem.strerror}")
            return
        self._born(birth, child)

    def kill(self, core: int) -> None:
        """End the process of a core, or give up the one that is being forked; either is told as its end."""
        birth = self._births.pop(core, None)
        if birth is None:
            self._children.kill(core)
            return
        self._zygote.forget(birth.request)
        birth.close()
        self._on_failed(core, birth.incarnation, "was given up while it was being forked")

    def _forked(self, birth: Birth, pid: int, pidfd: int) -> None:
        del self._births[birth.core]
        self._born(birth, self._children.adopt(birth.core, birth.incarnation, pid, pidfd))

    def _not_forked(self, birth: Birth, why: str, silent: bool) -> None:
        self._births.pop(birth.core, None)
        birth.close()  # one that is forked all the same finds nobody here, and ends
        self._on_event(ForkFailed(birth.core, birth.incarnation, why, silent))

    def _born(self, birth: Birth, child: Child) -> None:
        core, incarnation = birth.core, birth.incarnation
        birth.let_go()
        self._hands[core] = Hands(birth.hands, self._poller, lambda m, fds: self._handed(core, m, fds), _nothing)
        offers = self.listeners.hand_over(core, self._hands[core])
        parameters = self._parameters(core, incarnation, offers)
        self._sockets[core] = parameters.endpoint.removeprefix("ipc://")
        self.vitals[core] = Vitals(child.pid)
        pipe = Pipe(birth.pipe, self._poller, lambda frame: self._on_frame(core, incarnation, frame), _let_pass)
        self._pipes[core] = pipe
        pipe.send(["boot", parameters.plain()])

    @property
    def keys(self) -> KeyPair | None:
        """The pair of the node's tcp, if it has one."""
        return self._settings.keys

    def reconfigure(self, config: NodeConfig) -> None:
        """Start cores with this from now on.

        Their bounds are held against the memory limit of the start: one that was lowered refuses no replacement.
        """
        config = replace(config, memory=self._settings.config.memory)
        self._settings = replace(self._settings, config=config)

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
        hands = self._hands.get(core)
        if hands is not None:
            hands.drain()
        self.workers.kill(core)
        pipe = self._pipes.get(core)
        if pipe is not None:
            pipe.drain()
        self._bury(core)

    def started(self, core: int) -> None:
        """The core's tree has started."""
        hands = self._hands.get(core)
        if hands is not None:
            self.listeners.started(core, hands)
        self.spare.soon()

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
        while self._births:
            self._births.popitem()[1].close()
        self.spare.discard()
        self.listeners.close_all()
        self.workers.close()

    def _bury(self, core: int) -> None:
        pipe = self._pipes.pop(core, None)
        if pipe is not None:
            pipe.close()
        hands = self._hands.pop(core, None)
        if hands is not None:
            hands.close()
        self.vitals.pop(core, None)  # its pid may be another process's by now
        path = self._sockets.pop(core, None)
        if path is not None:
            with contextlib.suppress(OSError):
                os.unlink(path)

    def _handed(self, core: int, message: Any, descriptors: list[int]) -> None:
        taken = self.workers.take(core, self._hands[core], message, descriptors)
        if not taken and not self.listeners.take(core, message, descriptors):
            self._children.kill(core)  # nonsense

    def _parameters(self, core: int, incarnation: int, offers: int) -> BootParameters:
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
            offers=offers,
            pages=self._settings.pages.fd,
            dumps=self._settings.pages.dumps[core],
            cpu=-1 if self._settings.cpus is None else self._settings.cpus[core],
        )

    def _endpoint(self, core: int, incarnation: int) -> str:
        """Named by core and incarnation, never bound twice; the node's own incarnation guards against a left-over."""
        name = f"core-{core}.{self._settings.node_incarnation}.{incarnation}"
        return ipc_endpoint(self._settings.folder, name, self._settings.short_folder)


def _nothing() -> None:
    """As with its pipe: its pidfd tells of a core's end."""


def _let_pass(_why: str) -> None:
    """The end of a core is told by its pidfd, with the status; its pipe only ends earlier or later."""
