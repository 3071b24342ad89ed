"""Raft (Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm") as decisions only.

No clock, socket, disk or library: the simulator of regrove and those of its peers run this same file. Whoever drives it
calls a method for what has come and then `take()`s what follows: `records` to have on the disk before anything else
leaves, then `packets` to send as (to, kind, fields), then `answers` to clients as (token, status, value). It calls
`wake(now)` no later than `deadline`, which moves. All times are integer ns of one clock that never goes back.

The state machine is a register per key. An entry is (term, key, value), a leader's first one has no key. Writes go
through the log; a read is answered once a majority has acknowledged a round begun after it (the paper's section 8).
Left out: snapshots, membership changes, pre-vote.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

FOLLOWER: Final = "follower"
CANDIDATE: Final = "candidate"
LEADER: Final = "leader"

DONE: Final = "done"
ELSEWHERE: Final = "elsewhere"  # not asked of the leader: nothing was done; the value is who leads, or -1
LOST: Final = "lost"  # the leader was deposed meanwhile: a write may still happen

HEARTBEAT: Final = 50_000_000
PATIENCE: Final = (150_000_000, 300_000_000)  # between them a follower stands for election
BATCH: Final = 8  # entries in one append

NOBODY: Final = -1
NO_KEY: Final = -1

VOTE_FORGOTTEN: Final = "vote-forgotten"  # the term is kept on disk, whom it voted for is not
OLD_TERM_BY_COUNT: Final = "old-term-by-count"  # no entry opens a term, and older ones commit once a majority has them
STALE_TERM: Final = "stale-term"  # the term of a message is taken over when it is an older one, too
LOG_UNCHECKED: Final = "log-unchecked"  # a vote is given without a look at the candidate's log
STALE_READ: Final = "stale-read"  # who thinks it leads answers reads at once
FLAWS: Final = (VOTE_FORGOTTEN, OLD_TERM_BY_COUNT, STALE_TERM, LOG_UNCHECKED, STALE_READ)

Entry = tuple[int, int, int]
Record = tuple[Any, ...]  # ("vote", term, voted) or ("entry", index, term, key, value)
Packet = tuple[int, str, tuple[Any, ...]]
Answer = tuple[Any, str, int | None]
Taken = tuple[list[Record], list[Packet], list[Answer]]


class Raft:
    """One member of `members`. `records` are what its earlier lives kept; `flaw` is one of FLAWS, or none."""

    def __init__(
        self, own: int, members: int, seed: int, now: int, records: list[Record] | None = None, flaw: str = ""
    ) -> None:
        self.own = own
        self.others = tuple(other for other in range(members) if other != own)
        self.majority = members // 2 + 1
        self.flaw = flaw
        self.term = 0
        self.voted = NOBODY
        self.log: list[Entry] = [(0, NO_KEY, 0)]
        for record in records or ():
            self._restore(record)
        self.role = FOLLOWER
        self.leader = NOBODY
        self.commit = 0
        self.state: dict[int, int] = {}
        self._random = Random(seed)
        self._patience = self._random.randint(*PATIENCE)
        self.deadline = now + self._patience
        self._votes: set[int] = set()
        self._next: dict[int, int] = {}
        self._matched: dict[int, int] = {}
        self._round = 0  # of appends; an answer tells which one it answers
        self._heard: dict[int, int] = {}
        self._writes: dict[int, Any] = {}  # token by index
        self._reads: list[tuple[int, int, Any]] = []  # (round, key, token)
        self._records: list[Record] = []
        self._packets: list[Packet] = []
        self._answers: list[Answer] = []

    def take(self) -> Taken:
        """What is to be kept, then sent, then answered since the last time."""
        taken = self._records, self._packets, self._answers
        self._records, self._packets, self._answers = [], [], []
        return taken

    # --- time and clients ------------------------------------------------------------------------------------------

    def wake(self, now: int) -> None:
        """The deadline may have come."""
        if now < self.deadline:
            return
        if self.role is LEADER:
            self._broadcast(now)
        else:
            self._stand(now)

    def write(self, now: int, token: Any, key: int, value: int) -> None:
        """A client asks for `key` to be `value`."""
        if self.role is not LEADER:
            self._answers.append((token, ELSEWHERE, self.leader))
            return
        self._writes[self._append((self.term, key, value))] = token
        self._broadcast(now)

    def read(self, now: int, token: Any, key: int) -> None:
        """A client asks for the value of `key`; None when it has none."""
        if self.role is not LEADER:
            self._answers.append((token, ELSEWHERE, self.leader))
        elif self.flaw == STALE_READ:
            self._answers.append((token, DONE, self.state.get(key)))
        else:
            self._reads.append((self._round + 1, key, token))
            self._broadcast(now)

    # --- elections -------------------------------------------------------------------------------------------------

    def _stand(self, now: int) -> None:
        self.role = CANDIDATE
        self.leader = NOBODY
        self.term += 1
        self._vote(self.own)
        self._votes = {self.own}
        self._patience = self._random.randint(*PATIENCE)
        self.deadline = now + self._patience
        last = len(self.log) - 1
        for other in self.others:
            self._packets.append((other, "ask_vote", (self.own, self.term, last, self.log[last][0])))

    def ask_vote(self, now: int, source: int, term: int, last: int, last_term: int) -> None:
        """A candidate asks for this member's vote; `last` and `last_term` tell how far its log goes."""
        self._meet(now, term)
        granted = term == self.term and self.voted in (NOBODY, source) and self._is_fresh(last, last_term)
        if granted:
            self.deadline = now + self._patience
            if self.voted == NOBODY:
                self._vote(source)
        self._packets.append((source, "vote", (self.own, self.term, granted)))

    def _is_fresh(self, last: int, last_term: int) -> bool:
        if self.flaw == LOG_UNCHECKED:
            return True
        own = len(self.log) - 1
        return (last_term, last) >= (self.log[own][0], own)

    def _vote(self, candidate: int) -> None:
        self.voted = candidate
        self._records.append(("vote", self.term, NOBODY if self.flaw == VOTE_FORGOTTEN else candidate))

    def vote(self, now: int, source: int, term: int, granted: bool) -> None:
        """A member gives its vote, or does not."""
        self._meet(now, term)
        if self.role is not CANDIDATE or term != self.term or not granted:
            return
        self._votes.add(source)
        if len(self._votes) >= self.majority:
            self._lead(now)

    def _lead(self, now: int) -> None:
        self.role = LEADER
        self.leader = self.own
        self._next = dict.fromkeys(self.others, len(self.log))
        self._matched = dict.fromkeys(self.others, 0)
        self._heard = dict.fromkeys(self.others, 0)
        if self.flaw != OLD_TERM_BY_COUNT:
            self._append((self.term, NO_KEY, 0))
        self._broadcast(now)

    def _meet(self, now: int, term: int) -> None:
        """A message of another term has come: who is behind follows."""
        if term > self.term or (self.flaw == STALE_TERM and term != self.term):
            self.term = term
            self._vote(NOBODY)
            self._follow(now)

    def _follow(self, now: int) -> None:
        if self.role is LEADER:
            self.deadline = now + self._patience
            self._answers += [(token, LOST, None) for token in self._writes.values()]
            self._answers += [(token, LOST, None) for _, _, token in self._reads]
            self._writes, self._reads = {}, []
        self.role = FOLLOWER
        self.leader = NOBODY

    # --- the log, as its leader ------------------------------------------------------------------------------------

    def _append(self, entry: Entry) -> int:
        index = len(self.log)
        self.log.append(entry)
        self._records.append(("entry", index, *entry))
        return index

    def _broadcast(self, now: int) -> None:
        self._round += 1
        self.deadline = now + HEARTBEAT
        for other in self.others:
            self._send_append(other)

    def _send_append(self, other: int) -> None:
        first = self._next[other]
        before = first - 1
        entries = tuple(self.log[first : first + BATCH])
        fields = (self.own, self.term, before, self.log[before][0], entries, self.commit, self._round)
        self._packets.append((other, "append", fields))

    def appended(self, now: int, source: int, term: int, matches: bool, index: int, round_: int) -> None:
        """A follower's log matches up to `index`; or it does not match, and `index` is where to go on."""
        self._meet(now, term)
        if self.role is not LEADER or term != self.term:
            return
        self._heard[source] = max(self._heard[source], round_)
        if matches:
            self._matched[source] = max(self._matched[source], index)
            self._next[source] = self._matched[source] + 1
            self._advance()
        elif index > self._matched[source]:
            self._next[source] = min(self._next[source], index)
        if self._next[source] < len(self.log) and (not matches or index >= self._next[source] - 1):
            self._send_append(source)
        if self._reads:
            self._answer_reads()

    def _advance(self) -> None:
        """Commit what a majority has, if the last of it is of this term (the paper's section 5.4.2)."""
        everywhere = sorted([*self._matched.values(), len(self.log) - 1])[-self.majority]
        if everywhere > self.commit and (self.log[everywhere][0] == self.term or self.flaw == OLD_TERM_BY_COUNT):
            self._apply(everywhere)

    def _answer_reads(self) -> None:
        if self.log[self.commit][0] != self.term:
            return  # it may not know yet how far its predecessors had committed
        confirmed = sorted([*self._heard.values(), self._round])[-self.majority]
        self._answers += [(token, DONE, self.state.get(key)) for began, key, token in self._reads if began <= confirmed]
        self._reads = [read for read in self._reads if read[0] > confirmed]

    # --- the log, as a follower ------------------------------------------------------------------------------------

    def append(
        self,
        now: int,
        source: int,
        term: int,
        before: int,
        before_term: int,
        entries: tuple[Entry, ...],
        commit: int,
        round_: int,
    ) -> None:
        """The leader's entries behind index `before`, and how far it has committed."""
        self._meet(now, term)
        if term < self.term:
            self._packets.append((source, "appended", (self.own, self.term, False, 0, round_)))
            return
        if self.role is not FOLLOWER:
            self._follow(now)
        self.leader = source
        self.deadline = now + self._patience
        if before >= len(self.log) or self.log[before][0] != before_term:
            going_on = min(before, len(self.log))
            self._packets.append((source, "appended", (self.own, self.term, False, going_on, round_)))
            return
        for index, entry in enumerate(entries, before + 1):
            self._overwrite(index, entry)
        matched = before + len(entries)
        self._packets.append((source, "appended", (self.own, self.term, True, matched, round_)))
        if min(commit, matched) > self.commit:
            self._apply(min(commit, matched))

    def _overwrite(self, index: int, entry: Entry) -> None:
        if index < len(self.log):
            if self.log[index][0] == entry[0]:
                return
            del self.log[index:]
        self._append(entry)

    def _apply(self, commit: int) -> None:
        for index in range(self.commit + 1, commit + 1):
            _, key, value = self.log[index]
            if key != NO_KEY:
                self.state[key] = value
            if index in self._writes:
                self._answers.append((self._writes.pop(index), DONE, value))
        self.commit = commit

    # --- an earlier life -------------------------------------------------------------------------------------------

    def _restore(self, record: Record) -> None:
        match record:
            case ("vote", term, voted):
                self.term, self.voted = term, voted
            case ("entry", index, *entry):
                del self.log[index:]
                self.log.append(tuple(entry))
