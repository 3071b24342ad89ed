"""Managers that join each other, over the simulated network: who dials whom, and what they hear of each other."""

from __future__ import annotations

from regrove.node.cluster.views import NodeView
from regrove.node.process.manager_events import Event, Note, PeerLost, PeerTold
from regrove.node.process.peering import REDIAL_NS, Peering
from regrove.transport.handshake import Identity
from regrove.transport.link import MS, SECOND, LinkSettings
from regrove.transport.links import LinkTable
from regrove.transport.simulated import SimulatedNetwork


class Manager:
    """The links of one manager, and what it was told."""

    def __init__(
        self, network: SimulatedNetwork, name: str, incarnation: int, joins: tuple[str, ...], says: str = ""
    ) -> None:
        transport = network.endpoint(f"{name}.{incarnation}")
        address = f"tcp://{name}:1"
        identity = Identity("test", (name, incarnation, -1, incarnation), "manager")
        self.table = LinkTable(
            transport, identity, lambda kind, ordinal: hash((incarnation, ordinal, len(kind))) & 0xFFFFFFFF,
            LinkSettings(idle=None), advertise={"tcp": address},
        )  # fmt: skip
        transport.listen(address)
        self.events: list[Event] = []
        self.notes: list[Note] = []
        view = NodeView(name, incarnation, says or f"{name}:1")
        self.peering = Peering(
            transport, self.table, joins, "", self.events.append, self.notes.append, lambda: iter([view]), dict
        )
        self.redials_from(0)

    def redials_from(self, now: int) -> None:
        """Peering reads the time of the machine where it begins to redial: here it is virtual."""
        if self.peering._redial_at is not None:
            self.peering._redial_at = now

    @property
    def met(self) -> set[int]:
        told = [event.item for event in self.events if isinstance(event, PeerTold)]
        return {item.incarnation for item in told if isinstance(item, NodeView)}

    @property
    def lost(self) -> list[PeerLost]:
        return [event for event in self.events if isinstance(event, PeerLost)]


def run(network: SimulatedNetwork, managers: list[Manager], until: int) -> None:
    for now in range(network.now, until, MS):
        network.advance(now)
        for manager in managers:
            manager.peering.receive(now)
            manager.peering.flush(now)


def test_nodes_that_list_each_other_join_once_and_lose_each_other_never() -> None:
    network = SimulatedNetwork()
    one, other = Manager(network, "a", 1, ("b:1", "a:1")), Manager(network, "b", 2, ("a:1", "b:1"))
    run(network, [one, other], 5 * SECOND)
    assert (one.met, other.met) == ({2}, {1})
    assert (one.lost, other.lost) == ([], [])


def test_a_node_that_ends_and_comes_back_is_lost_and_its_next_life_is_not() -> None:
    network = SimulatedNetwork()
    one, other = Manager(network, "a", 1, ("b:1",)), Manager(network, "b", 2, ("a:1",))
    run(network, [one, other], 3 * SECOND)
    network.crash("b.2")
    run(network, [one], 6 * SECOND + REDIAL_NS // 2)
    third = Manager(network, "b", 3, ("a:1",))
    third.redials_from(network.now)
    run(network, [one, third], 16 * SECOND)
    assert (one.met, third.met) == ({2, 3}, {1})
    assert ({lost.incarnation for lost in one.lost}, third.lost) == ({2}, [])


def test_a_node_that_starts_later_is_not_dialled_by_address_again_once_it_has_dialled() -> None:
    network = SimulatedNetwork()
    one = Manager(network, "a", 1, ("b:1",))
    run(network, [one], 2 * SECOND + REDIAL_NS // 2)
    other = Manager(network, "b", 2, ("a:1",))
    other.redials_from(network.now)
    run(network, [one, other], 10 * SECOND)
    assert (one.met, other.met) == ({2}, {1})
    assert (one.lost, other.lost) == ([], [])


def test_two_nodes_that_advertise_one_address_are_told_once_to_whom_they_join() -> None:
    network = SimulatedNetwork()
    one = Manager(network, "a", 1, ())
    managers = [one, Manager(network, "b", 2, ("a:1",)), Manager(network, "c", 3, ("a:1",), says="b:1")]
    run(network, managers, 5 * SECOND)
    told = [(note.level, note.event, note.fields["nodes"]) for note in one.notes if note.level == "warning"]
    assert told == [("warning", "two nodes, one address", ["b", "c"])]


def test_a_node_that_takes_the_address_of_one_that_is_gone_is_no_trouble() -> None:
    network = SimulatedNetwork()
    one, other = Manager(network, "a", 1, ()), Manager(network, "b", 2, ("a:1",))
    run(network, [one, other], 3 * SECOND)
    network.crash("b.2")
    run(network, [one], 4 * SECOND)
    heir = Manager(network, "c", 3, ("a:1",), says="b:1")
    heir.redials_from(network.now)
    run(network, [one, heir], 8 * SECOND)
    assert one.met == {2, 3}
    assert [note.event for note in one.notes if note.level == "warning"] == []


def test_a_node_that_is_told_of_again_and_again_while_it_joins_is_never_lost() -> None:
    for told_at in range(40):  # in ms after it begins to join
        network = SimulatedNetwork()
        one, other = Manager(network, "a", 1, ()), Manager(network, "b", 2, ("a:1",))
        run(network, [one, other], SECOND)
        third = Manager(network, "c", 3, ("a:1", "b:1"))
        third.redials_from(network.now)
        begin = network.now
        while network.now < begin + SECOND:
            unmet = 3 not in other.met
            run(network, [one, other, third], network.now + 2 * MS)
            if unmet and network.now >= begin + told_at * MS:
                other.peering.dial("c:1")  # as membership asks, a little late, for whom it has not met
        assert (other.met, third.met) == ({1, 3}, {1, 2}), told_at
        assert (one.lost, other.lost, third.lost) == ([], [], []), told_at
