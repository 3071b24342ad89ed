"""`regrove.connect`: a running cluster for ordinary programs; plain blocking calls, no event loop, thread-safe.

    with regrove.connect("shop@here") as cluster:                # or "tcp://host:port", or nothing: the only local node
        total = cluster.call("ledger", Total(), timeout=2)

A call ends in time with the answer or with an error that says whose end failed. After a core was replaced the next call
finds the new one; a call under way then fails with NoConnection, since it may have run.
"""

from __future__ import annotations

import os
import time
import weakref
from types import TracebackType
from typing import Any, Final, TypeAlias

from regrove.node.client.bridge import Bridge
from regrove.node.client.desk import Answer
from regrove.node.client.dialling import dial
from regrove.node.client.errors import CallFailed, CallTimeout, NotConnected
from regrove.node.client.supervising import ROOT, SupervisorClient
from regrove.node.core.address import Address, Home, Name
from regrove.node.core.errors import DecodeError, Misuse
from regrove.node.core.messages import decode, payload_of
from regrove.node.core.reasons import Undecodable, Unreachable
from regrove.node.core.sent import LINK_FULL, STALE, UNREACHABLE, Sent
from regrove.node.process.guard import refuse_inside_handler
from regrove.supervisor.reasons import NoProcess
from regrove.transport.parts import Payload

Target: TypeAlias = Address | Name | str

CONNECT_TIMEOUT: Final = 5.0
TIMEOUT_MAX: Final = 86_400.0 * 365
STEP: Final = 5.0  # seconds for what is no call: a send, a look-up


class Cluster:
    """A connection to a cluster through one of its nodes; made by `connect`. Use it from any thread of this process."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._closer = weakref.finalize(self, bridge.close)

    @property
    def node(self) -> str:
        """The node it is connected to."""
        return str(self._bridge.inspect(lambda desk: desk.directory.node, _deadline(STEP)))

    def call(self, target: Target, request: object, timeout: float = 5.0) -> Any:
        """Ask and wait for the answer, `timeout` seconds at most.

        `target`: an Address, a Name or a text; a name is the lowest core of the connected node that holds it, unless
        `Name(node=, core=)` pins it. While the link is full the call waits for room, within its time. Raises CallFailed
        (`.reason`, `.end`), CallTimeout, UnsendableValue or Misuse.
        """
        refuse_inside_handler("cluster.call")
        deadline = _deadline(timeout)
        payload = payload_of(request)
        answer = self._bridge.call(target, payload, deadline)
        if answer is not None and answer.elsewhere and self._fresh(deadline):
            answer = self._bridge.call(target, payload, deadline)  # nothing ran: the place was wrong, not the request
        if answer is not None and answer.elsewhere and isinstance(answer.reason, NoProcess):
            answer = self._search(target, payload, deadline, answer)
        if answer is None:
            raise CallTimeout(target, timeout)
        if answer.payload is None:
            raise CallFailed(answer.reason, target, self._detail(answer.reason))
        try:
            return decode(answer.payload)
        except DecodeError as problem:
            raise CallFailed(Undecodable(f"the answer: {problem}"), target) from problem

    def send(self, target: Target, message: object) -> Sent:
        """Send and be told at once what the link said; falsy unless OK. What happens later is counted by the core."""
        refuse_inside_handler("cluster.send", "call ctx.send(to, message) there")
        deadline = _deadline(STEP)
        payload = payload_of(message)
        sent = self._bridge.send(target, payload, deadline)
        if sent in (STALE, UNREACHABLE) and self._fresh(deadline):
            sent = self._bridge.send(target, payload, deadline)
        return LINK_FULL if sent is None else sent

    def whereis(self, name: str | Name) -> Name | None:
        """The name pinned to the node and the lowest core that hold it now, or None; usable wherever a target is."""
        refuse_inside_handler("cluster.whereis", "call ctx.whereis(name) there")
        wanted = Name(name) if isinstance(name, str) else name
        self._fresh(_deadline(STEP))
        found: Name | None = self._bridge.inspect(lambda desk: desk.directory.holder(wanted), _deadline(STEP))
        return found

    def members(self) -> tuple[str, ...]:
        """The nodes of the cluster by name, the connected one first."""
        refuse_inside_handler("cluster.members")
        self._fresh(_deadline(STEP))
        nodes: tuple[str, ...] = self._bridge.inspect(lambda desk: desk.directory.nodes(), _deadline(STEP))
        return nodes

    def supervisor(self, target: Target, core: int | None = None) -> SupervisorClient:
        """The API of a supervisor as methods; `target` is its name, its address or its path (`root/workers`).

        A path is looked for on every core of the connected node, the lowest first, or on `core` alone.
        """
        if isinstance(target, str) and "/" in target:
            return SupervisorClient(self.call, target, lambda: self._roots(core))
        return SupervisorClient(self.call, Name(target, core=core) if isinstance(target, str) else target)

    def close(self) -> None:
        """Say goodbye; calls under way fail with ClientClosed. Idempotent."""
        self._closer.detach()
        self._bridge.close()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<cluster by {self._bridge.name}>"

    def _search(self, target: Target, payload: Payload, deadline: float, answer: Answer) -> Answer | None:
        """Ask core by core for a name nobody is known to hold: it may be younger than what the manager has heard."""
        name = Name(target) if isinstance(target, str) else target
        if not isinstance(name, Name) or name.core is not None:
            return answer
        homes: list[Home] = self._bridge.inspect(lambda desk: desk.directory.homes(name.node), deadline) or []
        for home in homes:
            found = self._bridge.call(Name(name.name, home.node, home.core), payload, deadline)
            if found is None or not found.elsewhere:
                return found
        return answer

    def _roots(self, core: int | None) -> list[Address]:
        self._fresh(_deadline(STEP))
        homes: list[Home] = self._bridge.inspect(lambda desk: desk.directory.homes(), _deadline(STEP)) or []
        return [Address(home, *ROOT) for home in homes if core in (None, home.core)]

    def _fresh(self, deadline: float) -> bool:
        return self._bridge.refresh(min(deadline, time.monotonic() + STEP))

    def _detail(self, reason: object) -> str:
        return self._bridge.problem if isinstance(reason, Unreachable) else ""


def connect(
    where: str | os.PathLike[str] | None = None,
    *,
    timeout: float = CONNECT_TIMEOUT,
    cluster: str | None = None,
    keys: str | None = None,
    insecure: bool = False,
) -> Cluster:
    """Connect to a cluster: `tcp://host:port` (a node's --listen), a node's name, or nothing for the only local node.

    For tcp: `cluster`, its name when it is not the default; `keys`, the key file of its nodes (not needed on
    loopback); `insecure`, when they run with --insecure. Raises NoNode, NotConnected after `timeout` s, or Misuse.
    """
    refuse_inside_handler("regrove.connect", "isolates of the cluster are reached by name: Call(Name(...), request)")
    deadline = _deadline(timeout)
    bridge = dial(where, timeout, cluster, keys, insecure)
    try:
        if not bridge.refresh(deadline):
            raise NotConnected(
                bridge.name, f"{bridge.problem} (waited {timeout:g} s)", "see whether the node runs: `regrove status`"
            )
    except BaseException:
        bridge.close()
        raise
    return Cluster(bridge)


def _deadline(timeout: float) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 <= timeout <= TIMEOUT_MAX:
        raise Misuse(f"timeout is seconds from 0 to a year: every call of a program has a deadline; got {timeout!r}")
    return time.monotonic() + timeout
