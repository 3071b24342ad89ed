"""The owner's side of children on other cores: what their supervisor decided, told to the core that hosts them.

To its supervisor such a child is like any other: it starts, ends, is asked to stop and killed. What is different is
here: its core may not be there (the start is `unplaced` and waits), and may fall silent (the child is lost when its
lease is over). `hosting.py` has the signals.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from regrove.node.core import hosting
from regrove.node.core.address import Address, Home
from regrove.node.core.errors import UnsendableValue
from regrove.node.core.hosting import MARGIN, MILLI, TELL_AGAIN
from regrove.node.core.messages import encode
from regrove.node.core.reasons import Busy
from regrove.node.core.timers import HOSTING, RETRY, TimerRecord
from regrove.supervisor import events as ev
from regrove.supervisor.reasons import CoreDown, Ignored, Killed, NoConnection, Reason
from regrove.supervisor.requests import InvalidSpec
from regrove.supervisor.spec import Child

if TYPE_CHECKING:
    from regrove.node.core.core import Core
    from regrove.node.core.supervisor_node import SupervisorNode
    from regrove.supervisor.slots import Slot

WAITING: Final = 0  # for its core, at the first start of its supervisor
HOSTED: Final = 1  # its core was told
UP: Final = 2
ABOVE_MAX: Final = 64  # supervisors above a child that its core is told of
LEAVING_RETRY: Final = 1_000 * MILLI  # ns between two tries on a core that is about to leave


class RemoteChild:
    """One life of one child on another core."""

    __slots__ = (
        "address",
        "home",
        "killed",
        "life",
        "node",
        "payload",
        "place",
        "slot",
        "state",
        "stop_reason",
        "timer",
        "told",
    )
    supervising = None  # only workers live on other cores
    flags = 0

    def __init__(self, life: int, node: SupervisorNode, slot: Slot, place: tuple[str, int], payload: bytes) -> None:
        self.life = life
        self.node = node
        self.slot = slot
        self.place = place
        self.payload = payload
        self.home: Home | None = None
        self.state = WAITING
        self.address: Address | None = None
        self.stop_reason: Reason | None = None
        self.killed = False
        self.told = False  # the present session has, or will, tell its core all there is to tell
        self.timer: TimerRecord | None = None

    @property
    def key(self) -> int:
        """Its number among the children of its supervisor."""
        return self.slot.key


class Host:
    """One life of a core that hosts children of ours, and when it would have to be taken for lost."""

    __slots__ = ("again", "children", "home", "lapse")

    def __init__(self, home: Home) -> None:
        self.home = home
        self.children: dict[int, RemoteChild] = {}
        self.lapse: TimerRecord | None = None
        self.again: TimerRecord | None = None


class RemoteChildren:
    """All children that supervisors of this core have on others."""

    __slots__ = ("_awaiting", "_hosts", "_life", "_silent", "_waiting", "core", "count", "lease")

    def __init__(self, core: Core) -> None:
        self.core = core
        self.lease = core.bounds.lease_ms * MILLI
        self.count = 0
        self._life = 0
        self._hosts: dict[Home, Host] = {}
        self._silent: dict[Home, bool] = {}  # lost, and no answer since; True: the present session carries a question
        self._waiting: dict[tuple[str, int], dict[int, RemoteChild]] = {}
        self._awaiting: dict[tuple[str, int], dict[tuple[SupervisorNode, int], None]] = {}

    def place_of(self, spec: object) -> tuple[str, int] | None:
        """The node and core a child belongs on, when it is not this one; `node` alone means its core 0."""
        home = self.core.home
        if not isinstance(spec, Child) or (spec.core is None and spec.node is None):
            return None
        node = home.node if spec.node is None else spec.node
        core = (home.core if node == home.node else 0) if spec.core is None else spec.core
        return None if (node, core) == (home.node, home.core) else (node, core)

    # --- what its supervisor decides -------------------------------------------------------------------------------

    def start(
        self, node: SupervisorNode, slot: Slot, spec: Child, arguments: tuple[Any, ...], place: tuple[str, int]
    ) -> None:
        """Begin a life of a child at `place`; what comes of it enters its supervisor's inbox."""
        bounds = self.core.bounds
        payload = self._payload(node, spec, arguments)
        if isinstance(payload, Reason) or self.count >= bounds.remote_children:
            if not isinstance(payload, Reason):
                self.core.counters.bounds_reached += 1
            self.core.supervising.post(
                node, ev.ChildStartFailed(slot.key, payload if isinstance(payload, Reason) else Busy())
            )
            return
        self._life += 1
        child = RemoteChild(self._life, node, slot, place, payload)
        node.born(slot, child)
        self.count += 1
        home = self.core.registry.home_of(*place)
        if home is not None and home not in self._silent:
            self._host(child, home)
        elif node.up or home is not None:
            self._end(child, ev.ChildStartFailed(slot.key, NoConnection(), unplaced=True))
        else:  # the first start of a tree: its cores and nodes may be as young as itself
            record = TimerRecord(HOSTING, self.lease, 0, None, partial(self._gave_up, child))
            child.timer = self.core.timers.ask(record)
            self._waiting.setdefault(place, {})[child.life] = child

    def _gave_up(self, child: RemoteChild, _: TimerRecord) -> None:
        self._unwait(child)
        self._end(child, ev.ChildStartFailed(child.key, NoConnection(), unplaced=True))

    def _unwait(self, child: RemoteChild) -> None:
        waiting = self._waiting.get(child.place, {})
        waiting.pop(child.life, None)
        if not waiting:
            self._waiting.pop(child.place, None)
        if child.timer is not None:
            self.core.timers.cancel(child.timer)
            child.timer = None

    def _payload(self, node: SupervisorNode, spec: Child, arguments: tuple[Any, ...]) -> bytes | Reason:
        sent = Child(
            spec.id,
            spec.factory,
            *arguments,
            kwargs=spec.kwargs,
            name=spec.name,
            restart=spec.restart,
            shutdown=spec.shutdown,
            significant=spec.significant,
        )
        try:
            payload = encode((f"{node.cell.path}/{spec.id}", sent, _busy_above(node)))
        except UnsendableValue as error:
            return InvalidSpec(f"child {spec.id!r} cannot be sent to the core it belongs on: {error}"[:1_000])
        if len(payload) <= hosting.SPEC_BYTES_MAX:
            return payload
        return InvalidSpec(
            f"child {spec.id!r} takes {len(payload)} bytes on the way to its core, over {hosting.SPEC_BYTES_MAX}: "
            "give it what to ask for instead of the data"
        )

    def _host(self, child: RemoteChild, home: Home) -> None:
        child.home = home
        child.state = HOSTED
        host = self._hosts.get(home)
        if host is None:
            host = self._hosts[home] = Host(home)
            self._renew(host)
            self._tell_again_later(host)
        host.children[child.life] = child
        self._tell(child)

    def ask_stop(self, child: RemoteChild, reason: Reason) -> None:
        """Ask it to stop; its own core runs `stop`."""
        child.stop_reason = reason
        if child.state == WAITING:
            self._unwait(child)
            self._end(child, ev.ChildStartFailed(child.key, reason))
        else:
            child.told &= self._signal(child, (hosting.STOP, child.life, self.core.links.packed(reason)))

    def kill(self, child: RemoteChild) -> None:
        """End it without a callback."""
        child.killed = True
        if child.state == WAITING:
            self._unwait(child)
            self._end(child, ev.ChildStartFailed(child.key, Killed()))
        else:
            child.told &= self._signal(child, (hosting.KILL, child.life))

    def await_place(self, node: SupervisorNode, token: int, key: int) -> None:
        """Post `Retry(token)` when the core that child `key` belongs on is there."""
        row = node.machine.child(key)
        place = None if row is None else self.place_of(row.spec)
        assert place is not None, "only a child of another core waits for its place"
        home = self.core.registry.home_of(*place)
        if home is not None and home not in self._silent:  # it is about to leave, and may think better of it
            node.limits[token] = self.core.timers.ask(TimerRecord(RETRY, LEAVING_RETRY, token, None, node))
        self._awaiting.setdefault(place, {})[node, token] = None
        node.places[token] = place

    def retry_dropped(self, node: SupervisorNode, token: int) -> None:
        """Nobody waits for that place any more."""
        place = node.places.pop(token, None)
        if place is not None:
            awaiting = self._awaiting.get(place, {})
            awaiting.pop((node, token), None)
            if not awaiting:
                self._awaiting.pop(place, None)

    # --- what is told to the host ----------------------------------------------------------------------------------

    def _signal(self, child: RemoteChild, item: tuple[Any, ...]) -> bool:
        assert child.home is not None
        return self.core.links.signal(child.home, item)

    def _tell(self, child: RemoteChild) -> None:
        """Tell all that its core has to know of it and may not: once a session, which loses nothing while it lasts."""
        child.told = True
        if child.state == HOSTED:
            child.told &= self._signal(child, (hosting.HOST, child.life, child.payload))
        if child.stop_reason is not None:
            child.told &= self._signal(child, (hosting.STOP, child.life, self.core.links.packed(child.stop_reason)))
        if child.killed:
            child.told &= self._signal(child, (hosting.KILL, child.life))

    def _tell_again_later(self, host: Host) -> None:
        record = TimerRecord(HOSTING, self.lease // TELL_AGAIN, 0, None, partial(self._tell_again, host))
        host.again = self.core.timers.ask(record)

    def _tell_again(self, host: Host, _: TimerRecord) -> None:
        self._tell_again_later(host)
        for child in host.children.values():
            if not child.told:
                self._tell(child)

    def _renew(self, host: Host) -> None:
        """The lease counts from the end of this pass, when what was signalled has left."""
        if host.lapse is not None:
            self.core.timers.cancel(host.lapse)
        delay = self.lease + self.lease // MARGIN
        host.lapse = self.core.timers.ask(TimerRecord(HOSTING, delay, 0, None, partial(self._lost, host)))

    # --- what the host tells ---------------------------------------------------------------------------------------

    def asked(self, home: Home, life: int, time: int) -> None:
        """A core asks for a lease: to begin `life`, or (0) for all of ours that it hosts."""
        self.heard(home)
        host = self._hosts.get(home)
        child = None if host is None else host.children.get(life)
        if host is not None and (life == 0 or (child is not None and not child.killed)):
            self._renew(host)
            self.core.links.signal(home, (hosting.LEASE, life, time, self.lease))
        elif life:
            self.core.links.signal(home, (hosting.KILL, life))

    def hosted(self, home: Home, life: int, slot: int, generation: int) -> None:
        """A child's start succeeded there."""
        host = self._hosts.get(home)
        child = None if host is None else host.children.get(life)
        if child is None:
            self.core.links.signal(home, (hosting.KILL, life))
        elif child.state != UP:
            child.state = UP
            child.payload = b""
            child.address = Address(home, slot, generation)
            self.core.supervising.post(child.node, ev.ChildStarted(child.key, child.address))

    def ended(self, home: Home, life: int, how: int, at: tuple[int, int], reason: Reason) -> None:
        """A life is over there; life 0 answers a probe."""
        if life == 0:
            self.answered(home)
            return
        self.heard(home)
        self.core.links.signal(home, (hosting.FORGET, life))
        host = self._hosts.get(home)
        child = None if host is None else host.children.get(life)
        if child is not None:
            if how == hosting.OVER:
                self.hosted(home, life, *at)  # should that have been lost on the way
            self._over(child, how, reason)

    def _over(self, child: RemoteChild, how: int, reason: Reason) -> None:
        if how == hosting.OVER or child.state == UP:
            self._end(child, ev.ChildEnded(child.key, reason))
        elif how == hosting.IGNORED or isinstance(reason, Ignored):
            self._end(child, ev.ChildIgnored(child.key))
        else:
            self._end(child, ev.ChildStartFailed(child.key, reason, unplaced=how == hosting.UNPLACED))

    def _end(self, child: RemoteChild, event: ev.ChildStartFailed | ev.ChildIgnored | ev.ChildEnded) -> None:
        self.count -= 1
        host = None if child.home is None else self._hosts.get(child.home)
        if host is not None:
            host.children.pop(child.life, None)
            if not host.children:
                self._drop(host)
        self.core.supervising.remote_ended(child, event)

    def _drop(self, host: Host) -> None:
        del self._hosts[host.home]
        for record in (host.lapse, host.again):
            if record is not None:
                self.core.timers.cancel(record)

    # --- cores come and go -----------------------------------------------------------------------------------------

    def heard(self, home: Home) -> None:
        """Something came from a core. Whether it also hears us, a question tells."""
        if self._silent.get(home) is False:
            self._silent[home] = self.core.links.signal(home, hosting.PROBE)

    def answered(self, home: Home) -> None:
        """A core that was lost answers: who waits for it goes on."""
        if self._silent.pop(home, None) is not None:
            self._place_is_there(home)

    def learned(self, home: Home) -> None:
        """A core lives."""
        for child in list(self._waiting.get((home.node, home.core), {}).values()):
            self._unwait(child)
            self._host(child, home)
        self._place_is_there(home)

    def _place_is_there(self, home: Home) -> None:
        for node, token in list(self._awaiting.get((home.node, home.core), {})):
            record = node.limits.pop(token, None)
            if record is not None:
                self.core.timers.cancel(record)
            self.retry_dropped(node, token)
            self.core.supervising.post(node, ev.Retry(token))

    def peer_back(self, home: Home) -> None:
        """A new session: what was under way may be lost."""
        if home in self._silent:
            self._silent[home] = False
            self.heard(home)
        host = self._hosts.get(home)
        for child in () if host is None else host.children.values():
            self._tell(child)

    def peer_gone(self, home: Home, reason: Reason) -> None:
        """A core is said to be gone. `CoreDown` is certain; after anything else its lease has to run out first."""
        self._silent.pop(home, None)
        host = self._hosts.get(home)
        if host is not None and isinstance(reason, CoreDown):
            self._lose(host, reason)

    def _lost(self, host: Host, _: TimerRecord) -> None:
        """No question for a lease came for longer than one lasts: whatever ran there was killed by its own core."""
        if self.core.registry.home_of(host.home.node, host.home.core) == host.home:
            self._silent[host.home] = False
            self.heard(host.home)
        self._lose(host, NoConnection())

    def _lose(self, host: Host, reason: Reason) -> None:
        self._drop(host)
        for child in list(host.children.values()):
            if child.state == UP:
                self._end(child, ev.ChildEnded(child.key, reason))
            else:
                unplaced = not child.killed and child.stop_reason is None
                self._end(child, ev.ChildStartFailed(child.key, reason, unplaced=unplaced))


def _busy_above(node: SupervisorNode) -> list[int | str]:
    """The supervisors, by slot and name, that wait for this start: a call to one from inside it has no answer."""
    busy: list[int | str] = []
    above: SupervisorNode | None = node
    while above is not None and len(busy) < 2 * ABOVE_MAX:
        if not above.machine.accepting:
            busy += [above.cell.address.slot, *(above.cell.names or ())]
        above = above.cell.parent
    return busy
