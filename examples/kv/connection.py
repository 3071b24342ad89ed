"""Connection: one client. It reads, plans a round, asks the shards, writes the answers, and only then reads on.

So a client that does not read its answers is not read either, and what a connection holds is bounded by one read and
one round. A call that failed after it had left is never repeated: its commands are answered UNKNOWN.
"""

from __future__ import annotations

from typing import Any, Final

from examples.kv.handshake import Session
from examples.kv.messages import Answers, Declined, Work
from examples.kv.resp import Command, Parser
from examples.kv.rounds import Round
from regrove import (
    DONE,
    Call,
    CallAll,
    Context,
    Effect,
    Failed,
    Gathered,
    Isolate,
    LinkFull,
    MailboxFull,
    Name,
    NoProcess,
    Outcome,
    PoolExhausted,
    Read,
    Reason,
    Received,
    Replied,
    Stream,
    TooLarge,
    Unreachable,
    Write,
    Written,
    key_to_core,
)

READ_BYTES: Final = 64 * 1024
WRITE_LIMIT: Final = 300.0  # seconds a client may take to read one answer
CALL_LIMIT: Final = 5.0  # seconds a shard may take
LINGER: Final = 0.05  # seconds of silence before a connection that broke the protocol is closed
LINGER_READS: Final = 64
NOT_LEFT: Final = (NoProcess, Unreachable, MailboxFull, LinkFull, PoolExhausted, TooLarge)


class Connection(Isolate):
    """Serves `stream` until its client closes it, quits or breaks the protocol."""

    def __init__(self, stream: Stream, number: int, peer: str, sync: bool, max_value: int) -> None:
        self.stream = stream
        self.parser = Parser(max_value)
        self.session = Session(number, peer, sync=sync)
        self.pending: list[Command] = []  # parsed, for the next rounds
        self.round: Round | None = None
        self.asked: list[int] = []  # the cores of the calls under way
        self.lingered = 0

    def start(self, ctx: Context) -> Effect:
        return Read(self.stream, READ_BYTES, timeout=None)

    def handle(self, ctx: Context, message: Any) -> Effect:
        return self._read(ctx, message) if isinstance(message, Received) else DONE

    def _read(self, ctx: Context, outcome: Outcome) -> Effect:
        if not isinstance(outcome, Received) or not outcome.data:
            return DONE
        self.pending = self.parser.feed(outcome.data)
        return self._next(ctx)

    def _next(self, ctx: Context) -> Effect:
        """Begin a round with what is parsed; with nothing left, read on, or answer a broken protocol."""
        if not self.pending:
            if self.parser.error is not None:
                self.session.closing = True
                return self._write(self.parser.error)
            return Read(self.stream, READ_BYTES, timeout=None, then=self._read)
        cores = ctx.place.cores
        self.round = Round(self.session, cores, lambda key: key_to_core(key, cores))
        taken = self.round.plan(self.pending)
        self.pending = [] if self.session.closing else self.pending[taken:]
        return self._ask(ctx)

    def _ask(self, ctx: Context) -> Effect:
        """Ask the shards, or write what is whole already."""
        assert self.round is not None
        shares = self.round.next_shares()
        if not shares:
            return self._write(self.round.ready())
        self.asked = [core for core, _ in shares]
        calls = [Call(Name("shard", core=core), Work(tuple(share.commands))) for core, share in shares]
        if len(calls) == 1:
            call = calls[0]
            return Call(call.to, call.request, timeout=CALL_LIMIT, then=self._answered)
        return CallAll(calls, timeout=CALL_LIMIT, then=self._gathered)

    def _gathered(self, ctx: Context, outcome: Outcome) -> Effect:
        outcomes = outcome.outcomes if isinstance(outcome, Gathered) else [outcome] * len(self.asked)
        for core, each in zip(self.asked, outcomes, strict=True):
            self._take(core, each)
        return self._go_on(ctx)

    def _answered(self, ctx: Context, outcome: Outcome) -> Effect:
        self._take(self.asked[0], outcome)
        return self._go_on(ctx)

    def _take(self, core: int, outcome: Outcome) -> None:
        assert self.round is not None
        match outcome:
            case Replied(Answers(replies)) if replies:
                self.round.answered(core, replies)
            case Replied(Declined(problem)):
                self.round.failed(core, problem, may_have_run=False)
            case Failed(reason):
                self.round.failed(core, _problem(reason), not isinstance(reason, NOT_LEFT))
            case _:
                self.round.failed(core, f"answered {outcome!r}", may_have_run=True)

    def _go_on(self, ctx: Context) -> Effect:
        assert self.round is not None
        answers = self.round.ready()
        return self._write(answers) if answers else self._ask(ctx)

    def _write(self, data: bytes) -> Effect:
        return Write(self.stream, data, timeout=WRITE_LIMIT, then=self._written)

    def _written(self, ctx: Context, outcome: Outcome) -> Effect:
        if not isinstance(outcome, Written):
            return DONE
        if self.round is not None and self.round.shares:
            return self._ask(ctx)
        self.round = None
        if self.session.closing and not self.pending:
            return self._linger(ctx, outcome) if self.parser.error is not None else DONE
        return self._next(ctx)

    def _linger(self, ctx: Context, outcome: Outcome) -> Effect:
        """Throw away what still comes: closing on unread bytes resets, and the client would lose our last line."""
        self.lingered += 1
        if self.lingered > LINGER_READS or isinstance(outcome, Failed) or outcome == Received(b"", self.stream):
            return DONE
        return Read(self.stream, READ_BYTES, timeout=LINGER, then=self._linger)


def _problem(reason: Reason) -> str:
    """What a failed call says of its core, for a client."""
    match reason:
        case NoProcess():
            return "is starting"
        case Unreachable():
            return "cannot be reached"
        case MailboxFull() | LinkFull() | PoolExhausted():
            return "has too much to do"
        case TooLarge():
            return "cannot be sent that much at once"
        case _:
            return f"was lost ({type(reason).__name__})"
