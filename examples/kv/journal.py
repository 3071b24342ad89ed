"""Journal: the append-only file of one core. One operation at a time; the rest waits in its mailbox.

An Append is answered once its records are in the file and, with `sync`, on the disk. A full disk is an answer
(Refused), and what was written of it is cut off again. After a failed fsync nobody knows what is on the disk: the log
is set aside as suspect and the core ends; its next life writes the log anew from what reads back.
"""

from __future__ import annotations

from typing import Any, Final

from examples.kv import files
from examples.kv.generations import NEW, SUSPECT
from examples.kv.loading import Loading
from examples.kv.log import HEADER_SIZE, Encoder, Header
from examples.kv.messages import (
    Append,
    Begin,
    Chunk,
    Committed,
    Finish,
    Flush,
    Load,
    Prepared,
    Refused,
    Serve,
    Settled,
    Stored,
)
from regrove import (
    DONE,
    RECEIVE,
    Busy,
    Call,
    Close,
    Context,
    Crash,
    Effect,
    Failed,
    Name,
    Open,
    Opened,
    Reason,
    Remove,
    Rename,
    Renamed,
    Replied,
    Reply,
    Sleep,
    Stream,
    Sync,
    Synced,
    Truncate,
    Truncated,
    Write,
    Written,
)

DELTA_LIMIT: Final = 64 * 1024 * 1024  # bytes appended while a new log is written; past it the attempt is given up
SYNC_PERIOD: Final = 1.0  # seconds, without `sync`: Redis, `appendfsync everysec`
KEEPER_PAUSE: Final = 0.05  # seconds before core 0 is asked again


class Journal(Loading):
    """`sync`: each Append is synced before it is answered; else the file is synced each second."""

    mailbox_capacity = 1024

    def __init__(self, folder: str, core: int, cores: int, sync: bool) -> None:
        super().__init__(folder, core, cores)
        self.sync = sync
        self.encoder = Encoder(0, 0)
        self.length = 0  # bytes of the log that count
        self.dirty = False  # written since the last sync
        self.problem = ""  # why the operation in hand did not work
        self.records: tuple[bytes, ...] = ()  # of the Append in hand
        self.added = 0
        self.fresh: Stream | None = None  # a new log being written
        self.fresh_encoder = Encoder(0, 0)
        self.fresh_length = 0
        self.delta: list[bytes] | None = None  # appended meanwhile; None: nothing is being written anew
        self.delta_bytes = 0

    def found(self, ctx: Context) -> Effect:
        return RECEIVE

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Append(records):
                return self._append(records)
            case Load():
                return self.load()
            case Serve():
                return self._serve(ctx)
            case Begin():
                return self._begin()
            case Chunk(records):
                return self._chunk(records)
            case Finish():
                return self._finish()
            case Flush():
                if self.dirty and self.stream is not None:
                    return Sync(self.stream, timeout=None, then=self._flushed)
                return RECEIVE
            case _:
                return Crash(f"the journal has no use for {message!r}")

    def stop(self, ctx: Context, reason: Reason) -> Effect:
        if not self.dirty or self.stream is None:
            return DONE
        return Sync(self.stream, timeout=None, then=self._stopped)

    def _stopped(self, ctx: Context, outcome: Any) -> Effect:
        if isinstance(outcome, Synced):
            return DONE
        if isinstance(outcome, Failed) and isinstance(
            outcome.reason, Busy
        ):  # the sync that the stop interrupted is still under way
            return Sleep(0.01, then=self._stop_again)
        return self._suspect(outcome)

    def _stop_again(self, ctx: Context, outcome: Any) -> Effect:
        assert self.stream is not None
        return Sync(self.stream, timeout=None, then=self._stopped)

    # --- ready to append -------------------------------------------------------------------------------------------

    def _serve(self, ctx: Context) -> Effect:
        if not self.sync:
            ctx.send_every(SYNC_PERIOD, Flush())
        if self.rewrite:
            return self._prepared(ctx) if self.resharded else self._settled(ctx)
        return Open(self.path(self.log), "a", timeout=None, then=self._reopened)

    def _reopened(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Opened):
            return Crash(files.unusable(self.path(self.log), outcome))
        header = self.reader.header
        assert header is not None
        self.stream = outcome.stream
        self.length = self.end.length
        self.encoder = Encoder(header.salt, self.end.sequence)
        return Truncate(outcome.stream, self.end.length, timeout=None, then=self._tail_cut)

    def _tail_cut(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Truncated):
            return Crash(files.unusable(self.path(self.log), outcome))
        # What the last life wrote and did not sync counts from here on, so it has to be on the disk.
        return Sync(outcome.stream, timeout=None, then=self._tail_synced)

    def _tail_synced(self, ctx: Context, outcome: Any) -> Effect:
        return self._settled(ctx) if isinstance(outcome, Synced) else self._suspect(outcome)

    def _prepared(self, ctx: Context) -> Effect:
        question = Prepared(self.target.number, self.core)
        return Call(Name("keeper", core=0), question, timeout=None, then=self._committed)

    def _committed(self, ctx: Context, outcome: Any) -> Effect:
        if isinstance(outcome, Replied) and isinstance(outcome.value, Committed):
            self.current = self.target
            return self._settled(ctx)
        return Sleep(KEEPER_PAUSE, then=self._ask_again)  # core 0 is restarting: its next life counts afresh

    def _ask_again(self, ctx: Context, outcome: Any) -> Effect:
        return self._prepared(ctx)

    def _settled(self, ctx: Context) -> Effect:
        self.rewrite = False
        if self.core == 0:
            ctx.send("keeper", Settled(self.current.number, self.cores))
        return Reply(Stored(self.length))

    # --- appending -------------------------------------------------------------------------------------------------

    def _append(self, records: tuple[bytes, ...]) -> Effect:
        assert self.stream is not None
        data = self.encoder.encode(list(records))
        self.records = records
        self.added = len(data)
        return Write(self.stream, data, timeout=None, then=self._appended)

    def _appended(self, ctx: Context, outcome: Any) -> Effect:
        if isinstance(outcome, Written):
            self.dirty = True
            return Sync(outcome.stream, timeout=None, then=self._append_synced) if self.sync else self._done()
        assert self.stream is not None
        if not files.is_full(outcome):
            return self._suspect(outcome)
        self.encoder.sequence -= len(self.records)
        self.records = ()
        self.problem = files.problem_of(outcome)
        return Truncate(self.stream, self.length, timeout=None, then=self._cut_back)

    def _append_synced(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Synced):
            return self._suspect(outcome)
        self.dirty = False
        return self._done()

    def _done(self) -> Effect:
        self.length += self.added
        if self.delta is not None:
            self.delta += self.records
            self.delta_bytes += self.added
        self.records = ()
        return Reply(Stored(self.length))

    def _cut_back(self, ctx: Context, outcome: Any) -> Effect:
        return Reply(Refused(self.problem)) if isinstance(outcome, Truncated) else self._suspect(outcome)

    def _flushed(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Synced):
            return self._suspect(outcome)
        self.dirty = False
        return RECEIVE

    def _suspect(self, outcome: Any) -> Effect:
        self.problem = f"{self.path(self.log)} cannot be synced: {files.problem_of(outcome)}"
        log = self.path(self.log)
        return Rename(log, log + SUSPECT, timeout=5, then=self._give_up)

    def _give_up(self, ctx: Context, outcome: Any) -> Effect:
        return Crash(f"{self.problem}. What it holds is not known, so this core is replaced; mend the disk")

    # --- a new log -------------------------------------------------------------------------------------------------

    def _begin(self) -> Effect:
        return Open(self.path(self.log + NEW), "w", timeout=None, then=self._fresh_opened)

    def _fresh_opened(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Opened):
            return self._fresh_failed(outcome)
        self.fresh = outcome.stream
        header = Header(self.core, self.cores, self.target.number, ctx.random.getrandbits(32))
        self.fresh_encoder = Encoder(header.salt, header.sequence)
        self.fresh_length = HEADER_SIZE
        self.delta = []
        self.delta_bytes = 0
        return Write(outcome.stream, header.encode(), timeout=None, then=self._fresh_written)

    def _chunk(self, records: tuple[bytes, ...]) -> Effect:
        if self.fresh is None or self.delta_bytes > DELTA_LIMIT:
            return self._fresh_failed("too much was written meanwhile")
        data = self.fresh_encoder.encode(list(records))
        self.fresh_length += len(data)
        return Write(self.fresh, data, timeout=None, then=self._fresh_written)

    def _fresh_written(self, ctx: Context, outcome: Any) -> Effect:
        return Reply(Stored(self.length)) if isinstance(outcome, Written) else self._fresh_failed(outcome)

    def _finish(self) -> Effect:
        if self.fresh is None or self.delta is None:
            return Reply(Refused("no new log is being written"))
        data = self.fresh_encoder.encode(self.delta)
        self.fresh_length += len(data)
        return Write(self.fresh, data, timeout=None, then=self._fresh_whole)

    def _fresh_whole(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Written):
            return self._fresh_failed(outcome)
        return Sync(outcome.stream, timeout=None, then=self._fresh_synced)

    def _fresh_synced(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Synced):
            return Crash(f"{self.path(self.log + NEW)} cannot be synced: {files.problem_of(outcome)}; mend the disk")
        log = self.path(self.log)
        return Rename(log + NEW, log, timeout=None, then=self._renamed)

    def _renamed(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Renamed):
            return Crash(files.unusable(self.path(self.log), outcome))
        old, self.stream = self.stream, self.fresh
        self.encoder = self.fresh_encoder
        self.length = self.fresh_length
        self.dirty = False
        self.fresh = None
        self.delta = None
        if old is not None:
            return Close(old, timeout=None, then=self._old_closed)
        if self.log + SUSPECT in self.names:
            return Remove(self.path(self.log + SUSPECT), timeout=None, then=self._old_closed)
        return Reply(Stored(self.length))

    def _old_closed(self, ctx: Context, outcome: Any) -> Effect:
        return Reply(Stored(self.length))

    def _fresh_failed(self, outcome: Any) -> Effect:
        """Give the new log up; the one in use is as it was."""
        self.problem = files.problem_of(outcome)
        self.delta = None
        fresh, self.fresh = self.fresh, None
        if fresh is None:
            return Reply(Refused(self.problem))
        return Close(fresh, timeout=None, then=self._fresh_closed)

    def _fresh_closed(self, ctx: Context, outcome: Any) -> Effect:
        return Remove(self.path(self.log + NEW), timeout=None, then=self._fresh_removed)

    def _fresh_removed(self, ctx: Context, outcome: Any) -> Effect:
        return Reply(Refused(self.problem))
