"""What must hold of a Raft at all times, and what its clients do: for every simulator alike, with the standard library.

Election safety: at most one leader a term. Log matching: an entry of an index and a term is the same everywhere, and so
is the term of the entry before it. State machine safety: what one member has committed at an index, all commit.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Final

from benchmarks.bugbench.raft_core import DONE, ELSEWHERE, LEADER, NOBODY, Entry, Raft

KEYS: Final = 3
PUT: Final = "put"
GET: Final = "get"


class Unsafe(AssertionError):
    """A safety property of Raft does not hold; the text says which, where."""


class Watch:
    """Looks at the members again and again, and remembers what it saw of all their lives."""

    def __init__(self) -> None:
        self.leaders: dict[int, int] = {}  # by term
        self.committed: list[Entry] = [(0, NOBODY, 0)]
        self._entries: dict[tuple[int, int], tuple[int, int, int]] = {}  # by index and term: key, value, term before
        self._seen: dict[int, tuple[Raft, int, Entry, int]] = {}  # the life, how long its log was, its end, committed

    def look(self, members: Iterable[Raft]) -> bool:
        """Look at those that are up. Raises Unsafe."""
        for raft in members:
            if raft.role is LEADER and self.leaders.setdefault(raft.term, raft.own) != raft.own:
                raise Unsafe(f"members {self.leaders[raft.term]} and {raft.own} both led term {raft.term}")
            length, committed = len(raft.log), raft.commit
            seen = self._seen.get(raft.own)
            if seen is None or seen[0] is not raft or length < seen[1] or raft.log[seen[1] - 1] != seen[2]:
                self._look_into_log(raft, 1, length)
                self._look_at_committed(raft, 1)
            elif length > seen[1] or committed > seen[3]:
                self._look_into_log(raft, seen[1], length)
                self._look_at_committed(raft, seen[3] + 1)
            else:
                continue
            self._seen[raft.own] = (raft, length, raft.log[-1], committed)
        return True

    def _look_into_log(self, raft: Raft, first: int, length: int) -> None:
        for index in range(first, length):
            term, key, value = raft.log[index]
            entry = (key, value, raft.log[index - 1][0])
            other = self._entries.setdefault((index, term), entry)
            if other != entry:
                raise Unsafe(
                    f"member {raft.own} has {entry} (key, value, term before) at index {index} of term {term}, where "
                    f"another has {other}"
                )

    def _look_at_committed(self, raft: Raft, first: int) -> None:
        for index in range(first, min(raft.commit + 1, len(raft.log))):
            if index == len(self.committed):
                self.committed.append(raft.log[index])
            elif self.committed[index] != raft.log[index]:
                raise Unsafe(
                    f"member {raft.own} has committed {raft.log[index]} at index {index}, where "
                    f"{self.committed[index]} was committed before"
                )


class Script:
    """What one client asks, and of whom: puts of new values and gets, of a few keys."""

    def __init__(self, seed: int, client: int, members: int) -> None:
        self._random = Random(seed << 8 | client)
        self._members = members
        self._client = client
        self._asked = 0
        self.member = client % members
        self.done = 0

    def next(self) -> tuple[str, int, int]:
        """The next request: its name, key and value."""
        self._asked += 1
        name = GET if self._random.random() < 0.5 else PUT
        return name, self._random.randrange(KEYS), self._asked << 8 | self._client

    def told(self, status: str, value: int | None) -> None:
        """How it ended, so that the next one goes to the leader. `status` is one of raft_core's, or another word."""
        if status == DONE:
            self.done += 1
        elif status == ELSEWHERE and value is not None and value != NOBODY:
            self.member = value
        else:
            self.member = (self.member + 1) % self._members
