"""Listening sockets that survive their core: kept, handed over, claimed, given up, shut while a core is stalled."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from regrove.node.io.poller import Poller
from regrove.node.process.budget import SECOND
from regrove.node.process.descriptors import Hands, close_all, pair
from regrove.node.process.keeping import CoreKeeper, read_offers
from regrove.node.process.listeners_kept import KEPT_MAX, ListenerKeeper
from regrove.node.process.manager_events import CoreResumed, CoreStalled, DivertListeners
from tests.process.stories import booted, of

LIMIT_NS = 20_000_000_000


class Life:
    """A core's life beside its manager, in one process: what either says is heard when `talk` is called."""

    def __init__(self, manager: Manager, core: int) -> None:
        ours, theirs = pair()
        self.core = core
        self.manager = manager
        self.hands = Hands(ours, manager.poller, self._heard, _nothing)
        offers = manager.keeper.hand_over(core, self.hands)
        self.keeper = CoreKeeper(read_offers(theirs, offers))
        self.own = Hands(theirs, manager.poller, lambda m, fds: _taken(self.keeper.heard(m, fds)), _nothing)
        self.keeper.attach(self.own)
        self.sockets: list[socket.socket] = []

    def _heard(self, message: object, descriptors: list[int]) -> None:
        assert self.manager.keeper.take(self.core, message, descriptors)

    def listen(self, number: int, port: int = 0, shared: bool = True) -> tuple[socket.socket, bool]:
        """As the edge does it; tells whether the socket is one of the life before."""
        sock = self.keeper.take("127.0.0.1", port, shared)
        taken = sock is not None
        if sock is None:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
            sock.bind(("127.0.0.1", port))
            sock.listen(8)
            sock.setblocking(False)
        self.keeper.kept(number, "127.0.0.1", port, shared, sock)
        self.sockets.append(sock)
        self.manager.talk()
        return sock, taken

    def die(self) -> None:
        """As SIGKILL: everything of it is closed by the kernel, nothing is said."""
        for sock in self.sockets:
            sock.close()
        self.keeper.close()
        self.own.close()
        self.manager.talk()
        self.hands.close()


class Manager:
    def __init__(self) -> None:
        self.poller = Poller()
        self.keeper = ListenerKeeper(self.poller)

    def talk(self) -> None:
        for _ in range(20):
            self.poller.wait(0)

    def close(self) -> None:
        self.keeper.close_all()
        self.poller.close()


def _taken(taken: bool) -> None:
    assert taken


def _nothing() -> None:
    pass


@pytest.fixture
def manager() -> Iterator[Manager]:
    made = Manager()
    yield made
    made.close()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def refused(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


def test_a_connection_that_waits_when_the_core_dies_is_accepted_by_its_replacement(manager: Manager) -> None:
    life = Life(manager, 0)
    port = life.listen(1)[0].getsockname()[1]
    waiting = socket.create_connection(("127.0.0.1", port))
    life.die()
    later = socket.create_connection(("127.0.0.1", port))
    second = Life(manager, 0)
    sock, taken = second.listen(1)
    assert taken
    for client in (waiting, later):
        accepted, _ = sock.accept()
        accepted.sendall(b"hello")
        assert client.recv(5) == b"hello"
        accepted.close()
        client.close()
    second.die()


def test_sockets_of_one_place_are_handed_over_in_the_order_they_were_opened(manager: Manager) -> None:
    life = Life(manager, 0)
    names = [life.listen(number)[0].getsockname() for number in (1, 2, 3)]
    life.die()
    second = Life(manager, 0)
    assert [second.listen(number)[0].getsockname() for number in (7, 8, 9)] == names
    second.die()


def test_a_listener_closed_by_its_isolate_leaves_no_port_open(manager: Manager) -> None:
    life = Life(manager, 0)
    sock, _ = life.listen(1)
    port = sock.getsockname()[1]
    life.keeper.closed(1)
    sock.close()
    manager.talk()
    assert manager.keeper.count(0) == 0
    assert refused(port)
    life.die()


def test_a_socket_that_the_replacement_does_not_claim_is_closed_after_a_grace(manager: Manager) -> None:
    life = Life(manager, 0)
    port = life.listen(1)[0].getsockname()[1]
    life.die()
    second = Life(manager, 0)
    manager.keeper.started(0, second.hands)
    limit = time.monotonic_ns() + LIMIT_NS
    while manager.keeper.count(0):
        manager.poller.wait(LIMIT_NS)
        assert time.monotonic_ns() < limit
    manager.talk()  # the core closes its copies too
    assert refused(port)
    second.die()


def test_what_a_life_that_died_early_did_not_claim_is_offered_to_the_next(manager: Manager) -> None:
    life = Life(manager, 0)
    name = life.listen(1)[0].getsockname()
    life.die()
    Life(manager, 0).die()
    third = Life(manager, 0)
    assert third.listen(1)[0].getsockname() == name
    third.die()


def test_more_sockets_than_the_bound_are_not_kept_and_counted(manager: Manager) -> None:
    life = Life(manager, 0)
    for number in range(KEPT_MAX + 2):
        life.listen(number)
    assert manager.keeper.count(0) == KEPT_MAX
    assert manager.keeper.refused == 2
    life.die()


def test_new_connections_go_to_the_other_cores_while_one_is_stalled_and_come_back_when_it_resumes(
    manager: Manager,
) -> None:
    port = free_port()
    stalled, busy = Life(manager, 0), Life(manager, 1)
    mine, other = stalled.listen(1, port)[0], busy.listen(1, port)[0]
    assert manager.keeper.stall(0) == 1
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
    for _ in clients:
        other.accept()[0].close()
    with pytest.raises(BlockingIOError):
        other.accept()
    assert manager.keeper.resume(0) == 1
    assert mine.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    for client in clients:
        client.close()
    stalled.die()
    busy.die()


def test_a_stall_diverts_new_connections_once_and_the_core_that_goes_on_gets_them_again() -> None:
    state = booted()
    stalls = CoreStalled(1, 1, SECOND, "shop.py:7")
    assert of(state.decide(SECOND, stalls), DivertListeners) == [DivertListeners(1, away=True)]
    assert of(state.decide(2 * SECOND, stalls), DivertListeners) == []
    resumed = state.decide(3 * SECOND, CoreResumed(1, 1, 2 * SECOND))
    assert of(resumed, DivertListeners) == [DivertListeners(1, away=False)]


def test_a_stalled_core_that_listens_alone_keeps_its_backlog(manager: Manager) -> None:
    life = Life(manager, 0)
    port = free_port()
    life.listen(1, port)
    assert manager.keeper.stall(0) == 0
    assert not refused(port)
    life.die()


def test_a_core_that_was_shut_while_stalled_listens_again_in_its_next_life(manager: Manager) -> None:
    port = free_port()
    stalled, other = Life(manager, 0), Life(manager, 1)
    stalled.listen(1, port)
    other.listen(1, port)
    assert manager.keeper.stall(0) == 1
    stalled.die()
    second = Life(manager, 0)
    sock, taken = second.listen(1, port)
    assert taken
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    second.die()
    other.die()


def test_closing_a_core_for_good_closes_all_its_ports(manager: Manager) -> None:
    life = Life(manager, 0)
    port = life.listen(1)[0].getsockname()[1]
    life.die()
    manager.keeper.close(0)
    assert refused(port)


def test_nonsense_is_not_taken(manager: Manager) -> None:
    left, right = pair()
    assert not manager.keeper.take(0, ["listen", "one"], [left.detach()])
    close_all([right.detach()])
