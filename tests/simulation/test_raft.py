"""The Raft of bugbench elects, replicates and stays safe under faults; each of its mistakes is found, its twin is not.

Two mistakes need a long chain of events: they are led through it by hand here, and by seeds in `--long` campaigns.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.bugbench.catalogue import Bug, bugs
from benchmarks.bugbench.raft import Elsewhere, Get, Member, Put, Value, app
from benchmarks.bugbench.raft_core import FLAWS, LEADER, OLD_TERM_BY_COUNT, VOTE_FORGOTTEN, Raft, Record
from benchmarks.bugbench.raft_disk import decoded, encoded
from benchmarks.bugbench.raft_trial import check
from benchmarks.bugbench.raft_watch import Unsafe, Watch
from benchmarks.simulators.on_bare import run_beats, run_raft
from regrove import Name
from regrove.testing import NotLinearizable, Simulation

ELECTION = {"ask_vote", "vote"}
SEEDS = 25  # within which each of the three is found that need no long chain


class Members:
    """Members whose packets, crashes and times are given by hand."""

    def __init__(self, count: int, flaw: str) -> None:
        self.count = count
        self.flaw = flaw
        self.disks: list[list[Record]] = [[] for _ in range(count)]
        self.members = [self._born(own) for own in range(count)]
        self.watch = Watch()

    def _born(self, own: int) -> Raft:
        return Raft(own, self.count, own, 0, self.disks[own], self.flaw)

    def crash(self, own: int) -> None:
        self.members[own] = self._born(own)

    def stand(self, own: int, among: set[int]) -> None:
        self.members[own].wake(self.members[own].deadline)
        self.talk(among, ELECTION)

    def beat(self, own: int, among: set[int]) -> None:
        self.members[own].wake(self.members[own].deadline)
        self.talk(among)

    def talk(self, among: set[int], kinds: set[str] | None = None) -> None:
        """Let those talk until they are quiet; what goes to others, or is of other kinds, is lost."""
        busy = True
        while busy:
            busy = False
            for own in sorted(among):
                records, packets, _ = self.members[own].take()
                self.disks[own] += records
                for to, kind, fields in packets:
                    if to in among and (kinds is None or kind in kinds):
                        getattr(self.members[to], kind)(0, *fields)
                        busy = True
            self.watch.look(self.members)

    def leads(self, own: int) -> bool:
        return self.members[own].role == LEADER


def figure_8(flaw: str) -> Members:
    everybody = Members(5, flaw)
    everybody.stand(0, {0, 1, 2, 3, 4})
    everybody.beat(0, {0, 1, 2, 3, 4})
    everybody.members[0].write(0, "e", 1, 1)
    everybody.talk({0, 1})  # the entry reaches a minority, and its leader ends
    everybody.crash(0)
    everybody.stand(4, {2, 3, 4})
    everybody.members[4].write(0, "f", 1, 2)
    everybody.talk({4})  # the other entry reaches nobody
    everybody.crash(4)
    while not everybody.leads(0):
        everybody.stand(0, {0, 1, 2, 3})
    everybody.beat(0, {0, 1, 2})  # a majority has the first entry
    everybody.crash(0)
    for _ in range(3):
        everybody.stand(4, {2, 3, 4})
    everybody.beat(4, {2, 3, 4})
    return everybody


def two_candidates(flaw: str) -> Members:
    everybody = Members(3, flaw)
    for own in (0, 1):
        everybody.stand(own, {own})  # what it asks is lost
    for own in (0, 1):
        everybody.stand(own, {own, 2})
        everybody.crash(2)
    return everybody


def test_the_programs_that_peers_run_do_work_and_repeat() -> None:
    assert run_raft(1) == run_raft(1) > 30  # of at most 50
    assert run_beats(2, 1) == run_beats(2, 1) > 1_000


def test_one_leads_and_all_know_who() -> None:
    with Simulation(app, nodes=5) as sim:
        sim.run("1s")
        rafts = [member.raft for member in sim.isolates(Member) if member.raft is not None]
        leaders = [raft.own for raft in rafts if raft.role == LEADER]
        assert len(leaders) == 1
        assert [raft.leader for raft in rafts] == leaders * 5


def test_what_the_leader_acknowledged_outlives_a_power_loss_of_all() -> None:
    with Simulation(app, nodes=5) as sim:
        sim.run("1s")
        leader = next(member.own for member in sim.isolates(Member) if member.raft and member.raft.role == LEADER)
        put = sim.call(Name("raft", f"n{leader}@sim"), Put(1, 5))
        told = sim.call(Name("raft", f"n{(leader + 1) % 5}@sim"), Get(1))
        for node in sim.nodes:
            sim.crash(node)
        for node in sim.nodes:
            sim.restart(node)
        sim.run("2s")
        again = next(member.own for member in sim.isolates(Member) if member.raft and member.raft.role == LEADER)
        assert put == Value(5)
        assert told == Elsewhere(leader)
        assert sim.call(Name("raft", f"n{again}@sim"), Get(1)) == Value(5)


def test_records_before_a_torn_end_are_read_back() -> None:
    records: list[Record] = [("vote", 3, 1), ("entry", 1, 3, -1, 0), ("entry", 2, 3, 0, 7)]
    whole = encoded(records)
    assert decoded(whole) == (records, len(whole))
    for length in range(len(whole)):
        kept, used = decoded(whole[:length])
        assert kept == records[: whole[:length].count(b"\n")]
        assert used == len(encoded(kept))


def test_a_vote_that_is_not_kept_lets_two_lead_a_term() -> None:
    with pytest.raises(Unsafe, match="both led term 2"):
        two_candidates(VOTE_FORGOTTEN)
    everybody = two_candidates("")
    assert [everybody.leads(own) for own in range(3)] == [True, False, False]


def test_an_old_entry_that_is_committed_by_count_is_overwritten() -> None:
    with pytest.raises(Unsafe, match="committed"):
        figure_8(OLD_TERM_BY_COUNT)
    everybody = figure_8("")
    assert not everybody.leads(4)
    assert max(member.commit for member in everybody.members) > 0


def violation_within(bug: Bug, seeds: range) -> type[BaseException] | None:
    for seed in seeds:
        try:
            with bug.world(True, seed, bug.under("swarm", seed)) as sim:
                bug.check(sim)
        except (Unsafe, NotLinearizable) as error:
            return type(error)
    return None


@pytest.mark.parametrize(
    ("name", "violation"),
    [("raft-stale-term", Unsafe), ("raft-log-unchecked", Unsafe), ("raft-stale-read", NotLinearizable)],
)
def test_seeds_find_the_mistake(name: str, violation: type[BaseException]) -> None:
    (bug,) = bugs([name])
    assert violation_within(bug, range(SEEDS)) is violation


def test_the_raft_is_safe_under_faults(campaign: Callable[..., range]) -> None:
    twins = bugs([f"raft-{flaw}" for flaw in FLAWS])
    committed = 0
    for seed in campaign("raft twins", short=5, long=10_000):
        bug = twins[seed % len(twins)]
        with bug.world(False, seed, bug.under("swarm", seed)) as sim:
            check("3s", sim)
            committed += max((member.raft.commit for member in sim.isolates(Member) if member.raft), default=0)
    assert committed > 0
