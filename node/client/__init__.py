"""The blocking bridge for ordinary programs: `connect` to a running cluster, `start` a node of one's own.

Each name is imported at its first use: a command that only looks at a node, and an application on a core, never pay
for sockets they do not open.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from regrove.node.client.asynchronous import AsyncCluster as AsyncCluster
    from regrove.node.client.asynchronous import connect_async as connect_async
    from regrove.node.client.cluster import Cluster as Cluster
    from regrove.node.client.cluster import connect as connect
    from regrove.node.client.errors import CallFailed as CallFailed
    from regrove.node.client.errors import CallTimeout as CallTimeout
    from regrove.node.client.errors import ClientClosed as ClientClosed
    from regrove.node.client.errors import NodeDidNotStart as NodeDidNotStart
    from regrove.node.client.errors import NoNode as NoNode
    from regrove.node.client.errors import NotConnected as NotConnected
    from regrove.node.client.errors import SupervisorRefused as SupervisorRefused
    from regrove.node.client.errors import UsedAfterFork as UsedAfterFork
    from regrove.node.client.starting import StartedNode as StartedNode
    from regrove.node.client.starting import start as start
    from regrove.node.client.supervising import SupervisorClient as SupervisorClient

_HOMES: Final = {
    "AsyncCluster": "asynchronous",
    "CallFailed": "errors",
    "CallTimeout": "errors",
    "ClientClosed": "errors",
    "Cluster": "cluster",
    "NoNode": "errors",
    "NodeDidNotStart": "errors",
    "NotConnected": "errors",
    "StartedNode": "starting",
    "SupervisorClient": "supervising",
    "SupervisorRefused": "errors",
    "UsedAfterFork": "errors",
    "connect": "cluster",
    "connect_async": "asynchronous",
    "start": "starting",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
