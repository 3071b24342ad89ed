"""Children on other cores behind cuts and standstills: the old one is dead before a new one may start."""

from __future__ import annotations

import pytest

from regrove import (
    NoConnection,
    StartChild,
    StartFailed,
    WhichChildren,
)
from tests.core.elsewhere import (
    GUEST,
    LEASE,
    ask,
    cut,
    elsewhere,
    lives,
    row_of,
    worker,
)


@pytest.mark.parametrize("ways", ["both", "to the host", "to the owner"])
def test_behind_a_cut_the_old_one_is_dead_before_a_new_one_may_start(ways: str) -> None:
    pair = elsewhere(worker(), intensity=9)
    a, b = pair.a.name, pair.b.name
    cut(pair, *{"both": [(a, b), (b, a)], "to the host": [(a, b)], "to the owner": [(b, a)]}[ways])
    row = row_of(pair)
    assert row.state == "running"
    ended_at = lost_at = None
    for _ in range(80):
        pair.run(0.1)
        row = row_of(pair)
        ended_at = pair.now if ended_at is None and not lives(pair.b) else ended_at
        lost_at = pair.now if lost_at is None and row.state != "running" else lost_at
    assert ended_at is not None
    assert lost_at is not None
    assert ended_at <= lost_at
    assert not lives(pair.b)
    pair.network.heal_all()
    pair.run(12.0)
    row = row_of(pair)
    assert (row.state, row.address) == ("running", pair.b.address(GUEST))
    assert pair.b.core.guests.count == 1


def test_what_an_owner_behind_a_cut_never_hears_of_is_not_kept_for_ever() -> None:
    pair = elsewhere(worker(), intensity=9)
    cut(pair, (pair.a.name, pair.b.name), (pair.b.name, pair.a.name))
    pair.run(6.0)
    assert pair.b.core.guests.count == 1  # its end is still to be told
    pair.run(11.0)
    assert pair.b.core.guests.count == 0
    pair.network.heal_all()
    pair.run(6.0)
    assert row_of(pair).address == pair.b.address(GUEST)


def test_a_short_cut_disturbs_nobody() -> None:
    pair = elsewhere(worker())
    old = pair.b.address(GUEST)
    cut(pair, (pair.a.name, pair.b.name), (pair.b.name, pair.a.name))
    pair.run(2.5)
    pair.network.heal_all()
    pair.run(8.0)
    assert pair.b.address(GUEST) == old
    assert ask(pair, WhichChildren())[0].address == old


def test_an_end_that_was_lost_with_the_link_is_told_again() -> None:
    pair = elsewhere(worker(), intensity=9)
    old = pair.b.address(GUEST)
    cut(pair, (pair.b.name, pair.a.name))
    pair.tell(pair.b, GUEST, "crash")
    pair.run(1.0)
    for connection in pair.network.connections(pair.b.name, pair.a.name):
        pair.network.reset(connection)
    pair.network.heal_all()
    pair.run(4.0)
    assert pair.b.address(GUEST) != old
    assert ask(pair, WhichChildren())[0].address == pair.b.address(GUEST)


def test_a_host_that_stood_still_longer_than_the_lease_runs_nothing_of_it_any_more() -> None:
    pair = elsewhere(worker(), intensity=9)
    guest = pair.b.isolate(GUEST)
    assert pair.b.core.inject(pair.b.address(GUEST), "late")
    frozen = pair.hosts.pop(1)
    pair.run(LEASE + 0.5)
    row = row_of(pair)
    assert (row.state, row.last_reason) == ("restarting", NoConnection())
    pair.hosts[1] = frozen
    pair.run(0.3)
    assert "late" not in guest.seen
    assert pair.b.isolate(GUEST) is not guest


def test_a_start_that_arrives_after_its_owner_gave_up_runs_nothing() -> None:
    pair = elsewhere()
    frozen = pair.hosts.pop(1)
    given = ask(pair, StartChild(worker()), seconds=LEASE + 1.0)
    assert given == StartFailed("w", NoConnection())
    pair.hosts[1] = frozen
    pair.run(0.5)
    assert not lives(pair.b)
    assert pair.b.core.guests.count == 0


def test_a_lease_of_no_length_does_not_keep_its_host_busy() -> None:
    """The shortest one that an owner may be told to give is a millisecond; its host asks five times in one."""
    pair = elsewhere(worker())
    core = pair.b.core
    owner = next(iter(core.guests)).owner
    core.guests.lease(owner.home, 0, core.now, 0)
    assert owner.lease == 1_000_000
