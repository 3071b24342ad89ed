"""The edge of a core: sockets, files and worker threads as effects.

`Poller` is where the core sleeps, `Edge` serves what its isolates ask of the world (`ports.IoPort`).
"""

from regrove.node.io.edge import Edge, EdgeLimits, EdgeStatistics
from regrove.node.io.poller import Poller

__all__ = ["Edge", "EdgeLimits", "EdgeStatistics", "Poller"]
