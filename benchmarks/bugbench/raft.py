"""A small replicated store: one Raft member a node, its records on the node's disk. The decisions are `raft_core`'s.

`Get` and `Put` go to the name `raft` of any node; who does not lead says who does (`Elsewhere`). Nothing leaves a
member before the records it rests on are synced; meanwhile its mail waits.
"""

from __future__ import annotations

from typing import Any, Final

from benchmarks.bugbench.raft_core import DONE, ELSEWHERE, Answer, Packet, Raft, Record
from benchmarks.bugbench.raft_disk import decoded, encoded
from regrove import (
    RECEIVE,
    Application,
    Caller,
    Child,
    Context,
    Crash,
    Effect,
    Failed,
    Isolate,
    Name,
    Open,
    Opened,
    OsError,
    Place,
    Read,
    Received,
    Stream,
    Supervisor,
    Sync,
    Synced,
    Truncate,
    Truncated,
    Write,
    Written,
    message,
)

FILE: Final = "raft.log"
READ_BYTES: Final = 256 * 1024


@message(name="raft:AskVote")
class AskVote:
    source: int
    term: int
    last: int
    last_term: int


@message(name="raft:Vote")
class Vote:
    source: int
    term: int
    granted: bool


@message(name="raft:Append")
class Append:
    source: int
    term: int
    before: int
    before_term: int
    entries: tuple[tuple[int, int, int], ...]
    commit: int
    round_: int


@message(name="raft:Appended")
class Appended:
    source: int
    term: int
    matches: bool
    index: int
    round_: int


@message(name="raft:Wake")
class Wake:
    pass


@message(name="raft:Put")
class Put:
    key: int
    value: int


@message(name="raft:Get")
class Get:
    key: int


@message(name="raft:Value")
class Value:
    value: int | None


@message(name="raft:Elsewhere")
class Elsewhere:
    leader: int


@message(name="raft:Lost")
class Lost:
    pass


PACKETS: Final = {"ask_vote": AskVote, "vote": Vote, "append": Append, "appended": Appended}


class Member(Isolate):
    """One member. `flaw` is one of `raft_core.FLAWS`, or none."""

    mailbox_capacity = 1024

    def __init__(self, own: int, members: int, flaw: str) -> None:
        self.own = own
        self.members = members
        self.flaw = flaw
        self.names = [Name("raft", f"n{other}@sim") for other in range(members)]
        self.raft: Raft | None = None  # until its records are read
        self.file: Stream | None = None
        self.read = b""
        self.armed = 0  # when the timer under way strikes, in ns
        self.packets: list[Packet] = []  # leave once the records are synced
        self.answers: list[Answer] = []

    # --- an earlier life's records ---------------------------------------------------------------------------------

    def start(self, ctx: Context) -> Effect:
        return Open(FILE, "r+", then=self._opened)

    def _opened(self, ctx: Context, outcome: Any) -> Effect:
        match outcome:
            case Opened(stream):
                self.file = stream
                return Read(stream, READ_BYTES, then=self._got)
            case Failed(OsError("ENOENT")):
                return Open(FILE, "a", then=self._made)
        return self._broken(outcome)

    def _made(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Opened):
            return self._broken(outcome)
        self.file = outcome.stream
        return self._begin(ctx, [])

    def _got(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Received):
            return self._broken(outcome)
        if outcome.data:
            self.read += outcome.data
            return Read(outcome.stream, READ_BYTES, then=self._got)
        _, length = decoded(self.read)
        return Truncate(outcome.stream, length, then=self._cut)

    def _cut(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Truncated):
            return self._broken(outcome)
        return self._begin(ctx, decoded(self.read)[0])

    def _begin(self, ctx: Context, records: list[Record]) -> Effect:
        self.read = b""
        self.raft = Raft(self.own, self.members, ctx.random.getrandbits(32), ctx.now(), records, self.flaw)
        return self._carry_out(ctx, self.raft)

    def _broken(self, outcome: Any) -> Effect:
        return Crash(f"raft cannot use {FILE}: {outcome!r}")

    # --- what comes ------------------------------------------------------------------------------------------------

    def handle(self, ctx: Context, message: Any) -> Effect:
        raft = self.raft
        assert raft is not None  # mail waits until start has ended
        now = ctx.now()
        match message:
            case Append(source, term, before, before_term, entries, commit, round_):
                raft.append(now, source, term, before, before_term, entries, commit, round_)
            case Appended(source, term, matches, index, round_):
                raft.appended(now, source, term, matches, index, round_)
            case Wake():
                self.armed = 0
                raft.wake(now)
            case AskVote(source, term, last, last_term):
                raft.ask_vote(now, source, term, last, last_term)
            case Vote(source, term, granted):
                raft.vote(now, source, term, granted)
            case Put(key, value):
                raft.write(now, ctx.caller, key, value)
            case Get(key):
                raft.read(now, ctx.caller, key)
        return self._carry_out(ctx, raft)

    # --- what follows ----------------------------------------------------------------------------------------------

    def _carry_out(self, ctx: Context, raft: Raft) -> Effect:
        if not self.armed or raft.deadline < self.armed:
            self.armed = raft.deadline  # one that was armed for later strikes for nothing
            ctx.send_after((raft.deadline - ctx.now()) / 1e9, Wake())
        records, self.packets, self.answers = raft.take()
        if not records:
            return self._release(ctx)
        assert self.file is not None
        return Write(self.file, encoded(records), then=self._written)

    def _written(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Written):
            return self._broken(outcome)
        return Sync(outcome.stream, then=self._synced)

    def _synced(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Synced):
            return self._broken(outcome)
        if ctx.buggify("ends before it sends"):
            return Crash("buggify: what it rests on is kept, and never sent")
        self._release(ctx)
        if ctx.buggify("ends after it sent"):
            return Crash("buggify: all is kept and sent")
        return RECEIVE

    def _release(self, ctx: Context) -> Effect:
        for to, kind, fields in self.packets:
            ctx.send(self.names[to], PACKETS[kind](*fields))
        for token, status, value in self.answers:
            self._answer(ctx, token, status, value)
        return RECEIVE

    def _answer(self, ctx: Context, token: Caller, status: str, value: int | None) -> None:
        if status == DONE:
            ctx.reply(token, Value(value))
        elif status == ELSEWHERE:
            ctx.reply(token, Elsewhere(-1 if value is None else value))
        else:
            ctx.reply(token, Lost())


def application(members: int = 5, flaw: str = "") -> Application:
    """A cluster of `members` nodes; `flaw` is one of `raft_core.FLAWS`, or none."""

    def tree(place: Place) -> Supervisor:
        own = int(place.node[1:].partition("@")[0])
        member = Child("member", Member, own, members, flaw, name="raft")
        return Supervisor("root", [member], intensity=1000, period=1.0)

    return Application("raft", tree=tree)


app = application()
