"""From what the user wrote to a running bridge: which manager to ask, who we are, which keys we hold.

A node of this machine is found by its runtime folder, asked over its control socket, and its cores are dialled by ipc.
`tcp://host:port` dials a node's --listen, which names the cores' tcp endpoints.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from regrove.node.client.bridge import Bridge, random_bits
from regrove.node.client.desk import Desk
from regrove.node.client.directory import Directory
from regrove.node.client.discovery import control_path
from regrove.node.client.errors import NotConnected
from regrove.node.client.feed import ControlFeed, ListenFeed
from regrove.node.core import remote
from regrove.node.core.address import Home
from regrove.node.core.errors import Misuse
from regrove.node.process import values
from regrove.node.process.configuration import is_loopback
from regrove.node.process.control import ControlClient, ControlError
from regrove.node.process.keyring import loopback_keys, read_keys, shared
from regrove.transport.handshake import Identity
from regrove.transport.keys import KeyPair
from regrove.transport.links import LinkTable

if TYPE_CHECKING:
    from regrove.transport.zeromq import ZeromqTransport

CLUSTER: Final = "regrove"  # the default of `regrove start --cluster`
TCP: Final = "tcp://"


def dial(
    where: str | os.PathLike[str] | None, timeout: float, cluster: str | None, keys: str | None, insecure: bool
) -> Bridge:
    """Begin a connection; raises NoNode, NotConnected, FolderError, or Misuse for what is no place."""
    if isinstance(where, str) and where.startswith(TCP):
        return _dial_listen(where, cluster or CLUSTER, keys, insecure)
    if where is None or (isinstance(where, str) and "/" not in where):
        return _dial_local(control_path(where), timeout)
    if isinstance(where, str | os.PathLike):
        return _dial_local(Path(where), timeout)
    raise Misuse(
        f"connect takes tcp://host:port, a node's name, the path of a control socket, or nothing; got {where!r}"
    )


def _dial_local(control: Path, timeout: float) -> Bridge:
    try:
        with ControlClient(control, timeout) as manager:
            info: dict[str, Any] = manager.ask("call-info")
            config = {row["key"]: row["value"] for row in manager.ask("config")["values"]}
    except ControlError as problem:
        raise NotConnected(str(control), str(problem), "see `regrove status`") from None
    transport = _transport(_keys_of(config))
    links = _links(transport, str(info["cluster"]))
    return Bridge(str(info["node"]), ControlFeed(control), Desk(links, Directory(local=True)), links, transport)


def _keys_of(config: dict[str, Any]) -> KeyPair | None:
    """The keys of a node of this user, to reach the nodes that joined it; none while it has no tcp at all."""
    if not config.get("listen") or config.get("insecure"):
        return None
    if config.get("keys"):
        return read_keys(Path(config["keys"]))
    return loopback_keys()


def _dial_listen(where: str, cluster: str, keys: str | None, insecure: bool) -> Bridge:
    try:
        address = values.address(where)
    except values.BadValue as problem:
        raise Misuse(f"{where!r} cannot be dialled: {problem.rule}; write for example tcp://127.0.0.1:7400") from None
    pair = None
    if keys is not None:
        pair = read_keys(Path(keys))
    elif is_loopback(address):
        pair = None if insecure else loopback_keys()
    elif not insecure:
        raise Misuse(
            f"{address} is beyond this machine, where nodes are spoken to with keys; give keys=FILE (the file its "
            "nodes were started with), or insecure=True when they run with --insecure"
        )
    transport = _transport(pair)
    links = _links(transport, cluster)
    feed = ListenFeed(links, f"{TCP}{address}", "" if pair is None else pair.public)
    return Bridge(f"{TCP}{address}", feed, Desk(links, Directory(local=False)), links, transport)


def client_home() -> Home:
    """A name of our own that no other program has: the host and the pid are for people, the rest is drawn."""
    name = f"{remote.CLIENT_PREFIX}{os.getpid()}-{secrets.token_hex(4)}@{socket.gethostname()}"
    return Home(name, time.time_ns() // 1_000_000, 0, 1)


def _links(transport: ZeromqTransport, cluster: str) -> LinkTable:
    return LinkTable(transport, Identity(cluster, client_home(), "client"), random_bits)


def _transport(keys: KeyPair | None) -> ZeromqTransport:
    from regrove.transport.zeromq import ZeromqTransport  # zmq only where a socket is opened

    return ZeromqTransport(curve=None if keys is None else shared(keys))
