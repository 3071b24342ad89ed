"""The edge of a core: sockets, files and worker threads as effects.

`Poller` is where the core sleeps, `Edge` serves what its isolates ask of the world (`ports.IoPort`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regrove.node.io.edge import Edge, EdgeLimits, EdgeStatistics
    from regrove.node.io.poller import Poller

__all__ = ["Edge", "EdgeLimits", "EdgeStatistics", "Poller"]


def __getattr__(name: str) -> Any:
    # At first use: a worker process starts through this package, and needs none of these.
    if name == "Poller":
        from regrove.node.io.poller import Poller

        return Poller
    if name in __all__:
        from regrove.node.io import edge

        return getattr(edge, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
