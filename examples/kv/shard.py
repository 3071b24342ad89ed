"""Shard: the keys of one core, `key_to_core(key, cores) == core`. It answers Work and has its changes logged.

With `sync` a group of batches is run, logged and synced before any of them is answered; what comes meanwhile waits
for the next group, except reads of keys the group did not touch. What the disk refused is taken back. Without `sync`
answers do not wait; once the disk is full, writes are refused until it takes what is left over.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from examples.kv.engine import Engine, misconf
from examples.kv.messages import (
    Answers,
    Append,
    Begin,
    Chunk,
    Declined,
    Finish,
    Load,
    Piece,
    Refused,
    Serve,
    Stored,
    Tick,
    Work,
)
from regrove import (
    DONE,
    RECEIVE,
    Call,
    Caller,
    Context,
    Crash,
    Effect,
    Failed,
    Isolate,
    Reason,
    Replied,
    Reply,
    Ticket,
    key_to_core,
)

TICK: Final = 0.1  # seconds; Redis' active expiry runs at 10 Hz
SWEEP: Final = 256  # keys removed in one tick
SWEEP_PAUSE: Final = 0.002  # seconds until the next one when there were more
GROUP: Final = 2048  # commands of one group
QUEUE_LIMIT: Final = 64 * 1024 * 1024  # bytes of commands that wait for their group
BACKLOG_LIMIT: Final = 8 * 1024 * 1024  # bytes not written yet, without sync, before commands wait
SNAPSHOT: Final = 256 * 1024  # bytes of one Chunk
COMPACT_FROM: Final = 4 * 1024 * 1024  # bytes of a log that is never written anew
COMPACT_RATIO: Final = 3  # a log this many times as long as what it holds is
RECORD: Final = 40  # bytes a key takes in the log beside itself and its value, at most


class Copy:
    """A new log being written: the step under way, and how far it is."""

    __slots__ = ("complete", "cursor", "finishing", "ticket")

    def __init__(self, ticket: Ticket) -> None:
        self.ticket: Ticket | None = ticket
        self.cursor = 0
        self.complete = False  # every key of the snapshot has been written
        self.finishing = False


class Shard(Isolate):
    """Its `start` loads the log, so it takes no Work before all its keys are there."""

    mailbox_capacity = 16_384

    def __init__(self, core: int, cores: int, sync: bool) -> None:
        self.core = core
        self.cores = cores
        self.sync = sync
        self.engine = Engine()
        self.rewrite = False
        self.queue: deque[tuple[Caller, Work, int]] = deque()
        self.queued = 0  # bytes in `queue`
        self.held: list[tuple[Caller, Work, tuple[bytes, ...]]] = []  # run, and not on the disk yet
        self.flushing: Ticket | None = None
        self.records: tuple[bytes, ...] = ()  # under way to the disk
        self.refused: bytes | None = None  # what writes are answered, while the disk is full
        self.full = False  # the log has been told that the disk is full
        self.took = False  # it has taken a group since
        self.stopping = False
        self.cursor = 0  # of the snapshot a resharded start writes
        self.copy: Copy | None = None
        self.compact_from = COMPACT_FROM

    # --- loading ---------------------------------------------------------------------------------------------------

    def start(self, ctx: Context) -> Effect:
        home = ctx.self.home
        self.engine = Engine(self.core, self.cores, home.node_incarnation + home.core_incarnation)
        return Call("journal", Load(), timeout=None, then=self._loaded)

    def _loaded(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Replied) or not isinstance(outcome.value, Piece):
            return Crash(f"the journal did not load: {outcome}")
        piece = outcome.value
        store = self.engine.store
        for record in piece.records:
            store.replay(record)
        if not piece.last:
            return Call("journal", Load(), timeout=None, then=self._loaded)
        if not piece.rewrite:
            return Call("journal", Serve(), timeout=None, then=self._ready)
        for key in list(store.values):
            if key_to_core(key, self.cores) != self.core:
                store.remove(key)
        store.take_changes()
        return Call("journal", Begin(), timeout=None, then=self._rewrite)

    def _rewrite(self, ctx: Context, outcome: Any) -> Effect:
        problem = self._problem(outcome)
        if problem is not None:
            return Crash(problem)
        records, self.cursor = self.engine.store.snapshot(self.cursor, SNAPSHOT)
        then = self._rewrite if self.cursor else self._rewritten
        return Call("journal", Chunk(records), timeout=None, then=then)

    def _rewritten(self, ctx: Context, outcome: Any) -> Effect:
        problem = self._problem(outcome)
        if problem is not None:
            return Crash(problem)
        return Call("journal", Finish(), timeout=None, then=self._serve)

    def _serve(self, ctx: Context, outcome: Any) -> Effect:
        problem = self._problem(outcome)
        if problem is not None:
            return Crash(problem)
        return Call("journal", Serve(), timeout=None, then=self._ready)

    def _ready(self, ctx: Context, outcome: Any) -> Effect:
        problem = self._problem(outcome)
        if problem is not None:
            return Crash(problem)
        ctx.send_every(TICK, Tick())
        return RECEIVE

    @staticmethod
    def _problem(outcome: Any) -> str | None:
        match outcome:
            case Replied(Stored()):
                return None
            case Replied(Refused(problem)):
                return f"the log cannot be written: {problem}; mend that, or give another folder with --set dir=PATH"
            case _:
                return f"the journal failed: {outcome}"

    # --- commands --------------------------------------------------------------------------------------------------

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Work():
                return self._work(ctx, message)
            case Replied(value):
                return self._answered(ctx, message.ticket, value)
            case Tick():
                self._tick(ctx)
                return RECEIVE
            case Failed():
                return Crash(f"the journal failed: {message.reason}")
            case _:
                return Crash(f"a shard has no use for {message!r}")

    def _work(self, ctx: Context, work: Work) -> Effect:
        if self.stopping:
            return Reply(Declined("is stopping"))
        if self.flushing is not None and (self.sync or self.engine.store.changed_bytes > BACKLOG_LIMIT):
            return self._wait(ctx, work)
        now = self.engine.clock(ctx.wall_time())
        if not self.sync:
            replies = self.engine.run(work.commands, now, self.refused)
            self._flush(ctx)
            return Reply(Answers(replies))
        self.engine.store.begin()
        replies = self.engine.run(work.commands, now)
        if not self.engine.store.changes:
            self.engine.store.commit()
            return Reply(Answers(replies))
        caller = ctx.caller
        if caller is not None:
            self.held.append((caller, work, replies))
        self._flush(ctx)
        return RECEIVE

    def _wait(self, ctx: Context, work: Work) -> Effect:
        """Put a batch behind the group under way, unless it depends on nothing in it."""
        if self.engine.is_clean_read(work.commands):
            return Reply(Answers(self.engine.run(work.commands, self.engine.clock(ctx.wall_time()))))
        size = sum(sum(map(len, words)) for words in work.commands)
        if self.queued + size > QUEUE_LIMIT:
            return Reply(Declined("has too much to do"))
        caller = ctx.caller
        if caller is not None:
            self.queue.append((caller, work, size))
            self.queued += size
        return RECEIVE

    def _next_group(self, ctx: Context) -> None:
        """Run what has waited, at most about GROUP commands and BACKLOG_LIMIT bytes, and begin to log it."""
        store = self.engine.store
        now = self.engine.clock(ctx.wall_time())
        if self.sync:
            store.begin()
        commands = 0
        while self.queue and commands < GROUP and store.changed_bytes < BACKLOG_LIMIT:
            caller, work, size = self.queue.popleft()
            self.queued -= size
            commands += len(work.commands)
            replies = self.engine.run(work.commands, now, self.refused)
            if self.sync:
                self.held.append((caller, work, replies))
            else:
                ctx.reply(caller, Answers(replies))
        if store.changes:
            self._flush(ctx)
        else:
            self._release(ctx)

    def _flush(self, ctx: Context, again: bool = False) -> None:
        """Have what changed logged unless something is under way; a full disk is tried `again` by the tick only."""
        store = self.engine.store
        if store.changes and self.flushing is None and (again or self.refused is None):
            self.records = store.take_changes()
            self.flushing = ctx.request("journal", Append(self.records), timeout=None)

    def _release(self, ctx: Context) -> None:
        """Answer what was held for the disk."""
        self.engine.store.commit()
        for caller, _, replies in self.held:
            ctx.reply(caller, Answers(replies))
        self.held.clear()

    # --- answers of the journal ------------------------------------------------------------------------------------

    def _answered(self, ctx: Context, ticket: Ticket | None, value: Any) -> Effect:
        if self.copy is not None and ticket == self.copy.ticket:
            self._copied(value)
        elif isinstance(value, Stored):
            self.flushing = None
            self.records = ()
            self.refused = None
            self.took = True
            self._release(ctx)
            self._compact(ctx, value.length)
        else:
            self.flushing = None
            self._take_back(ctx, value.problem)
        if self.flushing is None:
            self._copy_on(ctx)
            self._go_on(ctx)
        return DONE if self._is_over() else RECEIVE

    def _go_on(self, ctx: Context) -> None:
        while self.queue and self.flushing is None:
            self._next_group(ctx)
        self._flush(ctx)

    def _take_back(self, ctx: Context, problem: str) -> None:
        """The disk is full: nothing of the group has happened."""
        self.took = False
        if not self.full:
            self.full = True
            ctx.log.error("kv: writes are refused", reason=problem, mend="make room: they go on by themselves")
        store = self.engine.store
        refusal = misconf(problem)
        if not self.sync:
            store.put_back(self.records)
            self.refused = refusal
            return
        store.roll_back()
        now = self.engine.clock(ctx.wall_time())
        for caller, work, _ in self.held:
            ctx.reply(caller, Answers(self.engine.run(work.commands, now, refusal)))
        self.held.clear()

    def _tick(self, ctx: Context) -> None:
        if self.full and self.took:  # said here, not at each group: a disk that is nearly full takes the small ones
            self.full = False
            ctx.log.info("kv: writes are taken again")
        if self.flushing is not None:
            return
        store = self.engine.store
        if self.refused is not None:
            self._flush(ctx, again=True)
            return
        if self.sync:
            store.begin()
        removed = store.sweep(self.engine.clock(ctx.wall_time()), SWEEP)
        if removed == SWEEP:
            ctx.send_after(SWEEP_PAUSE, Tick())
        if store.changes:
            self._flush(ctx)
        elif self.sync:
            store.commit()

    # --- a new log, once the old one is much longer than what it holds ---------------------------------------------

    def _compact(self, ctx: Context, length: int) -> None:
        store = self.engine.store
        if self.copy is not None or length < self.compact_from or self.stopping:
            return
        if length > COMPACT_RATIO * (store.bytes + RECORD * len(store)):
            self.copy = Copy(ctx.request("journal", Begin(), timeout=None))

    def _copied(self, value: Any) -> None:
        assert self.copy is not None
        self.copy.ticket = None
        if isinstance(value, Refused):
            self.copy = None
            self.compact_from *= 2
        elif self.copy.finishing:
            self.copy = None
            self.compact_from = COMPACT_FROM

    def _copy_on(self, ctx: Context) -> None:
        """Take the next step, between two groups: what is copied then is on the disk, or will be in both logs."""
        copy = self.copy
        if copy is None or copy.ticket is not None:
            return
        if copy.complete:
            copy.finishing = True
            copy.ticket = ctx.request("journal", Finish(), timeout=None)
            return
        records, copy.cursor = self.engine.store.snapshot(copy.cursor, SNAPSHOT)
        copy.complete = copy.cursor == 0
        copy.ticket = ctx.request("journal", Chunk(records), timeout=None)

    # --- stopping --------------------------------------------------------------------------------------------------

    def stop(self, ctx: Context, reason: Reason) -> Effect:
        self.stopping = True
        self._go_on(ctx)
        if self.refused is not None:
            ctx.log.error("kv: the disk is full, what was not logged is lost", records=len(self.engine.store.changes))
        return DONE if self._is_over() else RECEIVE

    def _is_over(self) -> bool:
        return self.stopping and self.flushing is None and not self.queue
