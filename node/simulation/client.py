"""The client inside a simulated world: the decisions of the real one (`client.desk`) over a simulated link.

It stands outside the nodes, where no cut reaches it, and is connected to the lowest node that lives. `call` lets time
pass until the answer is there; `begin` asks and goes on, for tests that keep several requests under way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from regrove.node.client.desk import Answer, Desk
from regrove.node.client.directory import Directory
from regrove.node.client.errors import CallFailed, CallTimeout
from regrove.node.client.supervising import SupervisorClient
from regrove.node.core.address import Address, Home, Name
from regrove.node.core.messages import check, decode, payload_of
from regrove.node.core.sent import STALE, UNREACHABLE, Sent
from regrove.node.simulation.clock import SECOND, passing
from regrove.node.simulation.driver import CLUSTER
from regrove.node.simulation.ends import SimulatedTransport
from regrove.node.simulation.hiding import ours
from regrove.node.simulation.seeds import key_of
from regrove.node.simulation.tracing import TracedLinks
from regrove.transport.handshake import Identity
from regrove.transport.link import LinkSettings

if TYPE_CHECKING:
    from regrove.node.simulation.node import SimulatedNode
    from regrove.node.simulation.world import World

__tracebackhide__ = ours  # of pytest

Target = Address | Name | str
Drive = Callable[[Callable[[], bool], int], bool]  # let time pass until the condition holds, at most up to that instant
HOME: Final = Home("client:test@sim", 1, 0, 1)
TIMEOUT: Final = 5.0


class Asked:
    """A request under way. `done` once it is answered or has failed; `value` then gives the answer or raises."""

    def __init__(self, target: Target, timeout: float, deadline: int) -> None:
        self.target = target
        self.timeout = timeout
        self.deadline = deadline
        self.answer: Answer | None = None
        self.expired = False

    @property
    def done(self) -> bool:
        """Whether it is over."""
        return self.answer is not None or self.expired

    @property
    def value(self) -> Any:
        """The answer. Raises CallFailed or CallTimeout."""
        answer = self.answer
        if answer is None:
            raise CallTimeout(self.target, self.timeout)
        if answer.payload is None:
            raise CallFailed(answer.reason, self.target)
        return decode(answer.payload)

    @property
    def reason(self) -> object:
        """Why there is no answer; None when there is one or it is still to come."""
        return None if self.answer is None else self.answer.reason


class SimulatedClient:
    """An ordinary program beside the cluster: `call`, `send`, `supervisor` as `regrove.connect` gives them."""

    def __init__(self, world: World, drive: Drive) -> None:
        self._world = world
        self._drive = drive
        key = key_of(world.seed, "client")
        self._transport = SimulatedTransport(world.network, "", "client", self._wake)
        application = world.application
        identity = Identity(CLUSTER, HOME, "client", application.name, application.version)
        self._links = TracedLinks(
            self._transport, identity, lambda kind, ordinal: key_of(key, kind, ordinal), LinkSettings()
        )
        self._links.note = self._note
        self._links.arrivals = {}  # nothing of the client is traced
        self._desk = Desk(self._links, Directory(local=True))
        self._told: list[tuple[str, int, int]] = []  # how far the managers were when they were last read
        self._open: dict[int, Asked] = {}
        self._pass_at: int | None = None

    # --- what a test asks ---

    def call(self, target: Target, request: object, timeout: float = TIMEOUT) -> Any:
        """Ask, let time pass and return the answer. Raises CallFailed, CallTimeout."""
        clock = self._world.clock
        deadline = clock.now + passing(timeout)
        doing = self._world.trace.doing(clock.now, "call", target, request)
        asked = self.begin(target, request, timeout)
        self._drive(lambda: asked.done, deadline)
        answer = asked.answer
        if answer is not None and answer.elsewhere and clock.now < deadline:
            asked = self.begin(target, request, timeout)  # nothing ran: the place was wrong, not the request
            self._drive(lambda: asked.done, deadline)
        try:
            value = asked.value
        except CallFailed as error:
            doing.end(clock.now, error)
            raise
        doing.end(clock.now, value)
        return value

    def begin(self, target: Target, request: object, timeout: float = TIMEOUT) -> Asked:
        """Ask without waiting."""
        now = self._world.clock.now
        left = passing(timeout)
        asked = Asked(target, left / SECOND, now + left)
        check(request)
        payload = payload_of(request)
        self.refresh()
        token = self._desk.call(target, payload, left)
        self._open[token] = asked
        self._world.clock.at(asked.deadline, 0, self._expire, token)
        self._settle()
        self._wake()
        return asked

    def send(self, target: Target, message: object) -> Sent:
        """Send and be told at once what the link said; falsy unless OK."""
        check(message)
        payload = payload_of(message)
        self.refresh()
        sent = self._desk.send(target, payload)
        if sent in (STALE, UNREACHABLE):
            self.refresh()
            sent = self._desk.send(target, payload)
        now = self._world.clock.now
        self._world.trace.doing(now, "send", target, message).end(now, sent)
        self._wake()
        return sent

    def supervisor(self, target: Target) -> SupervisorClient:
        """The API of a supervisor as methods; `target` is its name or address."""
        return SupervisorClient(self.call, target)

    def whereis(self, name: str | Name) -> Name | None:
        """The name pinned to the node and the lowest core that hold it now, or None."""
        self.refresh()
        return self._desk.directory.holder(Name(name) if isinstance(name, str) else name)

    @property
    def under_way(self) -> int:
        """Requests that have no answer yet."""
        return len(self._open)

    @property
    def unsettled(self) -> int:
        """Messages it has sent that no core has acknowledged yet."""
        return sum(row.in_flight + row.waiting + bool(row.bulk_bytes) for row in self._links.statistics())

    def refresh(self) -> None:
        """Read the directory of the lowest node that lives."""
        nodes = [node for node in self._world.nodes if node.alive]
        told = [(node.name, node.incarnation, node.decided) for node in nodes]
        if nodes and (told != self._told or self._desk.directory.outdated):
            self._told = told
            rows = [_row(node) for node in nodes]
            self._desk.update({**rows[0], "cluster": CLUSTER, "nodes": rows[1:]})

    # --- its own loop ---

    def _note(self, kind: str, text: str) -> int:
        return self._world.note("client", kind, text)

    def _wake(self) -> None:
        self._due(self._world.clock.now)

    def _due(self, time: int) -> None:
        if self._pass_at is None or time < self._pass_at:
            self._pass_at = time
            self._world.clock.at(time, 0, self._pass, time)

    def _pass(self, time: int) -> None:
        if self._pass_at != time:
            return
        self._pass_at = None
        self._transport.poll()
        if self._desk.take(self._links.receive(time)):
            self.refresh()
        self._settle()
        self._links.flush(time)
        deadline = self._links.deadline()
        if self._transport.pending():
            self._due(time)
        elif deadline is not None:
            self._due(max(deadline, time))

    def _settle(self) -> None:
        answers, self._desk.answers = self._desk.answers, []
        for answer in answers:
            asked = self._open.pop(answer.token, None)
            if asked is not None:
                asked.answer = answer

    def _expire(self, token: int) -> None:
        asked = self._open.pop(token, None)
        if asked is not None:
            asked.expired = True
            self._desk.give_up(token)

    def close(self) -> None:
        """Say goodbye."""
        self._links.goodbye("the test is over", self._world.clock.now)
        self._transport.destroy()


def _row(node: SimulatedNode) -> dict[str, Any]:
    """What `call-info` says of one node (`node/process/control.py`)."""
    state = node.state
    assert state is not None
    cores = [
        {"core": slot.core, "incarnation": slot.incarnation, "endpoint": slot.endpoint, "remote": slot.remote}
        for slot in state.cores
        if slot.bound
    ]
    names = [[name, row.core] for row in state.shared_names() for name in row.names]
    return {"node": node.name, "incarnation": node.incarnation, "cores": cores, "names": names}
