"""One core as an operating-system process: forked by the zygote, or started as a fresh Python (this module, two FDs).

A child of the manager either way, with two descriptors: its ends of the pipe and of the hands. It dies with its
manager: by the parent's death signal, by the pipe's end, and because it checks its parent after arming the first.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NoReturn

from regrove.node.core.application import Application
from regrove.node.core.bounds import Bounds
from regrove.node.core.core import Core, CoreSettings
from regrove.node.core.errors import Misuse
from regrove.node.core.messages import schema_digest
from regrove.node.core.page import Words, own_words
from regrove.node.core.randomness import key_of, mix
from regrove.node.core.tables import TABLES
from regrove.node.io.edge import Edge, EdgeLimits
from regrove.node.io.poller import Poller
from regrove.node.process import guard, stacks
from regrove.node.process.boot import EXIT_FAILED, EXIT_ORPHANED, EXIT_REFUSED, BootParameters
from regrove.node.process.children import NODE_SIGNALS, PR_SET_PDEATHSIG, prctl
from regrove.node.process.core_log import AcceptWarnings, CoreLog
from regrove.node.process.core_loop import CoreLoop, LogLevel
from regrove.node.process.descriptors import Hands, OnMessage
from regrove.node.process.fork import reseed
from regrove.node.process.framing import pack, read_frame
from regrove.node.process.keeping import CoreKeeper, read_offers
from regrove.node.process.keyring import shared
from regrove.node.process.loading import load_application
from regrove.node.process.logs import Line
from regrove.node.process.machine import raise_descriptor_limit
from regrove.node.process.own_pages import own_pages
from regrove.node.process.page import open_page, write_chart
from regrove.node.process.peeking import chart_of
from regrove.node.process.pinning import pin
from regrove.node.process.pipe import Pipe
from regrove.node.process.worker_forks import ForkedWorkers
from regrove.records import replace
from regrove.supervisor.spec import Supervisor
from regrove.transport.base import TransportError
from regrove.transport.handshake import Identity
from regrove.transport.keys import KeyPair
from regrove.transport.link import LinkSettings
from regrove.transport.links import LinkTable
from regrove.transport.zeromq import ZeromqSettings, ZeromqTransport


def serve_forked(_manager: int, given: list[int]) -> int:
    """Run a core in a process that the zygote has just forked."""
    reseed()
    return main(*given)


def serve_ahead(manager: int, given: list[int]) -> int:
    """The same in one that has time before its boot frame comes."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    own_pages()
    return serve_forked(manager, given)


def main(descriptor: int, hands: int) -> int:
    """Run a core until it ends; returns the exit code of the process."""
    for number in NODE_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, NODE_SIGNALS)
    connection = socket.socket(fileno=descriptor)
    connection.set_inheritable(False)
    passing = socket.socket(fileno=hands)
    passing.set_inheritable(False)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    raise_descriptor_limit()
    parameters = _read_boot(connection)
    if parameters is None or os.getppid() != parameters.manager_pid:
        return EXIT_ORPHANED
    guard.claim(f"core {parameters.core} of {parameters.config.name}")
    watched = let_be_watched(parameters)
    try:
        application, tree = _load(parameters)
    except Misuse as problem:
        connection.sendall(pack(["reported", "refused", str(problem)]))
        return EXIT_REFUSED
    except (Exception, SystemExit) as problem:
        text = f"tree(place) of the application raised {type(problem).__name__}: {problem} ({_site(problem)})"
        connection.sendall(pack(["reported", "refused", text]))
        return EXIT_REFUSED
    try:
        return _drive(parameters, application, tree, connection, passing, watched)
    except TransportError as problem:
        connection.setblocking(True)
        connection.sendall(pack(["reported", "failed", str(problem)]))
        return EXIT_FAILED


def _read_boot(connection: socket.socket) -> BootParameters | None:
    """The first frame; None when the manager went away before it wrote it.

    However long it takes: a manager that is stopped or gets no CPU writes it when it goes on, and one that ends closes
    the pipe.
    """
    try:
        frame = read_frame(connection)
    except OSError:
        return None
    return None if frame is None else BootParameters.from_plain(frame[1])


def let_be_watched(parameters: BootParameters) -> tuple[Words, str]:
    """Answer the manager's watchdog: a page it sees, and stacks when it asks; else why it sees nothing (no /proc)."""
    try:
        stacks.arm(parameters.manager_pid, parameters.dumps)
        return open_page(parameters.manager_pid, parameters.pages, parameters.core), ""
    except OSError as problem:
        return own_words(), str(problem)


def _load(parameters: BootParameters) -> tuple[Application, Supervisor]:
    """The application and its tree on this core; raises Misuse, or whatever its own code raises."""
    config = parameters.config
    application = load_application(config.app, config.import_path)
    settings = core_settings(parameters, application.bounds, 0, own_words())
    application.bounds.check_memory(config.cores - 1, config.memory)
    return application, application.build(settings.place)


def core_settings(parameters: BootParameters, bounds: Bounds, seed: int, words: Words) -> CoreSettings:
    """Who this core is."""
    config = parameters.config
    return CoreSettings(
        home=parameters.home,
        cores=config.cores,
        role=config.role_of(parameters.core),
        settings=MappingProxyType(dict(config.settings)),
        bounds=bounds,
        seed=seed,
        words=words,
    )


def _drive(
    parameters: BootParameters,
    application: Application,
    tree: Supervisor,
    connection: socket.socket,
    passing: socket.socket,
    watched: tuple[Words, str],
) -> int:
    words, unwatched = watched
    config, bounds = parameters.config, application.bounds
    poller = Poller()
    keys = KeyPair(parameters.public_key, parameters.secret_key) if parameters.public_key else None
    links_of = link_settings(bounds)
    sockets = ZeromqSettings(links_of.limits, receive_frames=2 * bounds.link_messages)
    transport = ZeromqTransport(sockets, shared(keys) if keys is not None else None)
    endpoints, remote = _listen(parameters, transport)
    seed = int.from_bytes(os.urandom(8), "little")
    identity = Identity(
        cluster=config.cluster,
        peer=parameters.home,
        application=application.name,
        version=application.version,
        digest=_digest(),
    )
    links = LinkTable(
        transport,
        identity,
        lambda kind, ordinal: mix(key_of(seed, kind), ordinal),
        links_of,
        advertise=endpoints,
        key=parameters.public_key,
    )
    workers = ForkedWorkers()
    keeper = CoreKeeper(read_offers(passing, parameters.offers))
    level = LogLevel(config.log_level)
    lines = _Lines()
    own = {"node": config.name, "core": parameters.core, "life": parameters.incarnation}
    logger = CoreLog(lines.send, lambda: level.name, time.time_ns, own)
    waits = AcceptWarnings(logger, time.monotonic).say
    edge = Edge(poller, config.data_dir, edge_limits(bounds), config.named_folders, keeper, workers.start, waits)
    settings = replace(core_settings(parameters, bounds, seed, words), heard=level.hears)
    core = Core(settings, tree, links, logger)
    chart = None if unwatched else chart_of(core)
    if chart is not None:
        write_chart(words, chart)
    loop = CoreLoop(core, edge, transport, links, poller, level)
    pipe = Pipe(connection, poller, loop.on_frame, loop.on_manager_gone)
    hands = Hands(passing, poller, _first(workers.heard, keeper.heard), _nothing)
    keeper.attach(hands)
    workers.attach(hands)
    lines.pipe = pipe
    loop.attach(pipe)
    if unwatched:
        logger.warning("core is not watched", problem=unwatched, mend="mount /proc where the node runs")
    pipe.send(["bound", parameters.endpoint, remote, parameters.public_key, application.name, application.version])
    pin(parameters.cpu)  # after the I/O thread of ZeroMQ was made: it may run elsewhere
    try:
        return loop.run()
    finally:
        hands.close()
        keeper.close()
        edge.close()


def _first(*takers: Callable[[Any, list[int]], bool]) -> OnMessage:
    """Give each message of the hands to the first that takes it."""

    def take(message: Any, given: list[int]) -> None:
        any(taker(message, given) for taker in takers)

    return take


def _nothing() -> None:
    """The pipe tells of the manager's end."""


def _listen(parameters: BootParameters, transport: ZeromqTransport) -> tuple[Mapping[str, str], str]:
    """Bind; returns what peers dial by scheme, and the tcp endpoint by itself. Raises TransportError."""
    endpoints = {"ipc": transport.listen(parameters.endpoint)}
    remote = ""
    if parameters.listen:
        remote = transport.listen(parameters.listen)
        if parameters.advertise:
            remote = f"tcp://{parameters.advertise}:{remote.rpartition(':')[2]}"
        endpoints["tcp"] = remote
    return endpoints, remote


def link_settings(bounds: Bounds) -> LinkSettings:
    """The limits of a core's links."""
    return bounds.link_settings()


def named_folders(settings: Iterable[tuple[str, str]]) -> list[str]:
    """The folders the operator named in the settings (`--set dir=/srv/kv`): files may live there too."""
    return [value for _, value in settings if value.startswith("/")]


def edge_limits(bounds: Bounds) -> EdgeLimits:
    """The limits of a core's I/O."""
    return EdgeLimits(
        streams=bounds.streams,
        accept_backlog=bounds.accept_backlog,
        offload_threads=bounds.offload_threads,
        offload_processes=bounds.offload_processes,
        offload_queue=bounds.offload_queue,
    )


class _Lines:
    """Log lines on their way to the manager: dropped and counted while too much waits in the pipe."""

    __slots__ = ("dropped", "pipe")

    def __init__(self) -> None:
        self.pipe: Pipe | None = None
        self.dropped = 0

    def send(self, line: Line) -> None:
        if self.pipe is None:
            return
        if self.dropped:
            gap: dict[str, Any] = {"at": line["at"], "level": "warning", "event": "log lines dropped"}
            gap |= {"lines": self.dropped, "node": line.get("node"), "core": line.get("core")}
            if self.pipe.send_spare(["log", gap]):
                self.dropped = 0
        if not self.pipe.send_spare(["log", line]):
            self.dropped += 1


def _digest() -> str:
    """The schema digest of every message class the application has brought along."""
    classes = [cls for cls, shape in TABLES.shapes.items() if not shape.lenient]
    return f"{schema_digest(classes):016x}"


def _site(error: BaseException) -> str:
    trace = error.__traceback__
    if trace is None:
        return "unknown place"
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


def _exit(code: int) -> NoReturn:
    """End without the interpreter's own end, which would wait for threads that are stuck in offloaded functions."""
    with contextlib.suppress(Exception):  # whatever the application has put there: nothing may keep this from ending
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _exit(main(int(sys.argv[1]), int(sys.argv[2])))
