"""A manager as a process: in the foreground (`regrove start`: `run`), or launched by a program (`serve`).

Whatever keeps a node from starting is one sentence with its mend on standard error, and the exit code: 64 for what is
wrong with the command line, the configuration or the application, 1 for what is wrong with the machine.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from regrove.node.core.errors import RegroveError
from regrove.node.core.randomness import key_of, mix
from regrove.node.io.poller import Poller
from regrove.node.process import guard
from regrove.node.process.configuration import ConfigError, NodeConfig, Resolved
from regrove.node.process.crew import CoreCrew, CrewSettings
from regrove.node.process.folders import RuntimeFolder, private_folder, short_folder
from regrove.node.process.framing import pack
from regrove.node.process.keyring import loopback_keys, read_keys, shared
from regrove.node.process.logs import LogWriter
from regrove.node.process.machine import raise_descriptor_limit
from regrove.node.process.manager import Manager
from regrove.node.process.manager_events import Finish
from regrove.node.process.manager_state import EXIT_FAILED, EXIT_USAGE
from regrove.node.process.peering import Peering
from regrove.node.process.pipe import Pipe
from regrove.node.process.zygote_client import Started, fork_zygote
from regrove.records import dataclass
from regrove.transport.base import TransportError
from regrove.transport.credit import Window
from regrove.transport.handshake import Identity
from regrove.transport.keys import KeyPair
from regrove.transport.link import LinkSettings
from regrove.transport.links import LinkTable
from regrove.transport.zeromq import ZeromqSettings, ZeromqTransport

NAMES_BYTES_MAX: Final = 16 * 1024 * 1024  # 65 536 names and groups of one core, each of 100 characters, fit twice
PLANE: Final = LinkSettings(
    window=Window(4096, 2 * NAMES_BYTES_MAX + 1024 * 1024),
    message_max=NAMES_BYTES_MAX,
    inline_max=NAMES_BYTES_MAX,
    idle=None,
)


def run(resolved: Resolved, *, stderr: IO[str] | None = None, on_up: Callable[[str, str], None] | None = None) -> int:
    """Run a node in this process until it ends; returns the exit code. Errors are printed, not raised.

    `on_up(name, listen)` is called once, when every tree has started; it must not block.
    """
    config = resolved.config
    zygote = None if guard.running() else fork_zygote(config.app, config.import_path, [])
    return _run(resolved, sys.stderr if stderr is None else stderr, None, on_up, zygote)


def serve(config: NodeConfig, parent: socket.socket, zygote: Started | None) -> int:
    """Run a node for the program at the other end of `parent`, whose closing ends it; `zygote` was forked for it."""
    origins = dict.fromkeys(config.plain(), "the program that started it")
    return _run(Resolved(config, origins), sys.stderr, parent, None, zygote)


def _run(
    resolved: Resolved,
    stream: IO[str],
    parent: socket.socket | None,
    on_up: Callable[[str, str], None] | None,
    zygote: Started | None,
) -> int:
    """The whole life of a node; whatever stops it from starting becomes a Finish."""
    config = resolved.config
    mark: guard.Claim | None = None
    raise_descriptor_limit()
    log = LogWriter(stream, config.log_format)
    runtime = RuntimeFolder(Path(config.runtime_dir), config.name)
    try:
        mark = guard.claim(f"the manager of {config.name}", depth=2)
        runtime.claim()
        finish = _manage(resolved, runtime, log, parent, on_up, zygote)
    except ConfigError as problem:
        finish = Finish(EXIT_USAGE, str(problem))
    except (RegroveError, TransportError, OSError) as problem:
        finish = Finish(EXIT_FAILED, str(problem))
    finally:
        if zygote is not None:
            zygote.end()
        runtime.release()
        if mark is not None:
            mark.release()
    if parent is not None and finish.code != 0:
        _tell(parent, {"failed": finish.why})
    if not log.close():
        # Nobody reads our standard error: neither a last sentence nor the interpreter's own flush would ever end.
        os._exit(finish.code)
    if finish.code != 0:
        stream.write(f"regrove: {finish.why}\n")
        stream.flush()
    return finish.code


def _manage(
    resolved: Resolved,
    runtime: RuntimeFolder,
    log: LogWriter,
    parent: socket.socket | None,
    on_up: Callable[[str, str], None] | None,
    zygote: Started | None,
) -> Finish:
    config = resolved.config
    private_folder(Path(config.state_dir), "state folder")
    keys = _keys(config)
    incarnation = runtime.next_incarnation(time.time_ns() // 1_000_000)
    plane = _open_plane(config, incarnation, keys) if config.listen else None
    poller = Poller()
    try:
        address = plane.address if plane is not None else ""
        manager = Manager(resolved, runtime.folder, incarnation, address, poller, log, zygote)
        if on_up is not None:
            manager.on_ready = lambda: on_up(config.name, address)
        if parent is not None:
            lifeline = Pipe(parent.dup(), poller, _ignore, manager.lifeline_cut)
            manager.on_ready = lambda: lifeline.send({"ready": {"incarnation": incarnation, "listen": address}})
        settings = CrewSettings(
            config,
            runtime.folder.path,
            short_folder(runtime.folder.path),
            incarnation,
            keys,
            manager.pages,
            manager.pinning.cpus,
        )
        crew = CoreCrew(
            settings, manager.children, manager.zygote, poller, manager.core_said, manager.core_failed, manager.put
        )
        manager.attach(crew, _peering(plane, config, keys, manager, poller) if plane is not None else None)
        return manager.run()
    finally:
        poller.close()


@dataclass(frozen=True, slots=True)
class _Plane:
    """The sockets of the control plane, bound; `address` is HOST:PORT as others dial it."""

    transport: ZeromqTransport
    table: LinkTable
    address: str


def _open_plane(config: NodeConfig, incarnation: int, keys: KeyPair | None) -> _Plane:
    """Bind `--listen`; raises TransportError."""
    transport = ZeromqTransport(ZeromqSettings(PLANE.limits), shared(keys) if keys is not None else None)
    try:
        bound = transport.listen(f"tcp://{config.listen}")
    except TransportError:
        transport.destroy()
        raise
    address = bound.removeprefix("tcp://")
    if config.advertise:
        host, _, port = config.advertise.rpartition(":")
        address = f"{host}:{port if port != '0' else address.rpartition(':')[2]}"
    seed = int.from_bytes(os.urandom(8), "little")
    table = LinkTable(
        transport,
        Identity(cluster=config.cluster, peer=(config.name, incarnation, -1, 0), role="manager"),
        lambda kind, ordinal: mix(key_of(seed, kind), ordinal),
        PLANE,
        advertise={"tcp": f"tcp://{address}"},
        key=keys.public if keys is not None else "",
    )
    return _Plane(transport, table, address)


def _peering(plane: _Plane, config: NodeConfig, keys: KeyPair | None, manager: Manager, poller: Poller) -> Peering:
    for descriptor in plane.transport.fds():
        poller.register(descriptor, select.EPOLLIN, _nothing)
    return Peering(
        plane.transport,
        plane.table,
        tuple(address for address in config.join if address != plane.address),
        keys.public if keys is not None else "",
        manager.put,
        manager.note,
        manager.greeting,
        manager.call_info,
    )


def _keys(config: NodeConfig) -> KeyPair | None:
    """The pair of this node's tcp, or None when there is no tcp or it is in the clear; raises FolderError."""
    if not config.listen or config.insecure:
        return None
    return read_keys(Path(config.keys)) if config.keys else loopback_keys()


def _tell(parent: socket.socket, value: dict[str, object]) -> None:
    parent.settimeout(1.0)
    with contextlib.suppress(OSError):
        parent.sendall(pack(value))


def _ignore(_frame: object) -> None:
    """The program that started a node says nothing more after the configuration."""


def _nothing(_events: int) -> None:
    """The transport is polled in every pass; its descriptors only end the sleep."""
