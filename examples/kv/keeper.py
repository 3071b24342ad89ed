"""Keeper: on core 0, commits a new generation of logs once every core of this run has its own on the disk."""

from __future__ import annotations

from typing import Any

from examples.kv.generations import MANIFEST, NEW, Generation, leftovers
from examples.kv.messages import Committed, Prepared, Settled
from regrove import (
    RECEIVE,
    Caller,
    Close,
    Context,
    Crash,
    Effect,
    Failed,
    Isolate,
    Listed,
    ListFiles,
    Open,
    Opened,
    Remove,
    Rename,
    Renamed,
    Stream,
    Sync,
    Synced,
    Write,
    Written,
)


class Keeper(Isolate):
    """Writes the manifest (generations.py says when), then removes the logs that no longer count."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.committed = 0  # the generation this life committed
        self.next = Generation(0, 0)
        self.waiting: dict[int, Caller] = {}
        self.stream: Stream | None = None
        self.remove: list[str] = []

    def handle(self, ctx: Context, message: Any) -> Effect:
        match message:
            case Prepared(generation, core):
                return self._prepared(ctx, generation, core)
            case Settled(generation, cores):
                self.next = Generation(generation, cores)
                return ListFiles(self.folder, then=self._listed)
            case _:
                return Crash(f"the keeper has no use for {message!r}")

    def _prepared(self, ctx: Context, generation: int, core: int) -> Effect:
        caller = ctx.caller
        if caller is None:
            return RECEIVE
        if generation == self.committed:
            ctx.reply(caller, Committed(generation))
            return RECEIVE
        if generation != self.next.number:
            self.next = Generation(generation, ctx.place.cores)
            self.waiting.clear()
        self.waiting[core] = caller
        if len(self.waiting) < ctx.place.cores:
            return RECEIVE
        return Open(self._path(MANIFEST + NEW), "w", timeout=None, then=self._opened)

    def _path(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def _opened(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Opened):
            return self._failed(outcome)
        self.stream = outcome.stream
        return Write(outcome.stream, self.next.encode(), timeout=None, then=self._written)

    def _written(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Written):
            return self._failed(outcome)
        return Sync(outcome.stream, timeout=None, then=self._synced)

    def _synced(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Synced):
            return self._failed(outcome)
        return Close(outcome.stream, timeout=None, then=self._closed)

    def _closed(self, ctx: Context, outcome: Any) -> Effect:
        return Rename(self._path(MANIFEST + NEW), self._path(MANIFEST), timeout=None, then=self._renamed)

    def _renamed(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Renamed):
            return self._failed(outcome)
        self.committed = self.next.number
        for caller in self.waiting.values():
            ctx.reply(caller, Committed(self.committed))
        self.waiting.clear()
        ctx.log.info("kv: generation committed", generation=self.committed, cores=self.next.cores)
        return RECEIVE

    def _failed(self, outcome: Any) -> Effect:
        problem = outcome.reason if isinstance(outcome, Failed) else outcome
        return Crash(f"{self._path(MANIFEST)} cannot be written: {problem}; free space or mend the disk, then restart")

    # --- what no longer counts -------------------------------------------------------------------------------------

    def _listed(self, ctx: Context, outcome: Any) -> Effect:
        if isinstance(outcome, Listed):
            self.remove = leftovers(outcome.names, self.next)
        return self._remove_next(ctx, outcome)

    def _remove_next(self, ctx: Context, outcome: Any) -> Effect:
        if not self.remove:
            return RECEIVE
        # One that cannot be removed is taken for nothing at the next start either: it stays a leftover.
        return Remove(self._path(self.remove.pop()), timeout=None, then=self._remove_next)
