"""The blocking bridge for ordinary programs: `connect` to a running cluster, `start` a node of one's own.

Imported by `regrove` at the first use of one of these names, so that an application on a core never pays for it.
"""

from __future__ import annotations

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
