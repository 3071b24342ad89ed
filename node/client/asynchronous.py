"""`regrove.connect_async`: the blocking client for asyncio, each call on a thread of the loop's executor."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from regrove.node.client.cluster import CONNECT_TIMEOUT, Cluster, Target, connect
from regrove.node.client.supervising import SupervisorClient
from regrove.node.core.address import Name
from regrove.node.core.errors import Misuse
from regrove.node.core.sent import Sent

P = ParamSpec("P")
T = TypeVar("T")


async def _on_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    import asyncio  # 60 ms that other programs, and the command line, need not wait for

    return await asyncio.to_thread(function, *args, **kwargs)


class AsyncCluster:
    """A `Cluster` for asyncio: the same methods as coroutines, each on a thread of the loop's executor."""

    def __init__(self, make: Callable[[], Cluster]) -> None:
        self._make = make
        self._cluster: Cluster | None = None

    async def call(self, target: Target, request: object, timeout: float = 5.0) -> Any:
        """See `Cluster.call`."""
        return await _on_thread(self._connected.call, target, request, timeout)

    async def send(self, target: Target, message: object) -> Sent:
        """See `Cluster.send`."""
        return await _on_thread(self._connected.send, target, message)

    async def whereis(self, name: str | Name) -> Name | None:
        """See `Cluster.whereis`."""
        return await _on_thread(self._connected.whereis, name)

    async def members(self) -> tuple[str, ...]:
        """See `Cluster.members`."""
        return await _on_thread(self._connected.members)

    def supervisor(self, target: Target, core: int | None = None) -> SupervisorClient:
        """The blocking methods of a supervisor: await them with asyncio.to_thread."""
        return self._connected.supervisor(target, core)

    async def close(self) -> None:
        """See `Cluster.close`."""
        if self._cluster is not None:
            await _on_thread(self._cluster.close)

    async def __aenter__(self) -> AsyncCluster:
        self._cluster = await _on_thread(self._make)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def _connected(self) -> Cluster:
        if self._cluster is None:
            raise Misuse("not connected: write `async with regrove.connect_async(...) as cluster:`")
        return self._cluster


def connect_async(
    where: str | os.PathLike[str] | None = None,
    *,
    timeout: float = CONNECT_TIMEOUT,
    cluster: str | None = None,
    keys: str | None = None,
    insecure: bool = False,
) -> AsyncCluster:
    """`connect` for asyncio: `async with regrove.connect_async() as cluster: await cluster.call(...)`."""
    return AsyncCluster(lambda: connect(where, timeout=timeout, cluster=cluster, keys=keys, insecure=insecure))
