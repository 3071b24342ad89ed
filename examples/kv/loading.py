"""How a journal begins: which logs count, and reading them record by record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from examples.kv import files
from examples.kv.generations import MANIFEST, NEW, SUSPECT, Generation, decode_manifest, generation_of, source
from examples.kv.log import HEADER_SIZE, Damaged, End, Reader
from examples.kv.messages import Piece
from regrove import (
    Close,
    Context,
    Crash,
    Effect,
    Isolate,
    Listed,
    ListFiles,
    Open,
    Opened,
    Read,
    Received,
    Reply,
    Stream,
)

READ_BYTES: Final = 256 * 1024

Then = Callable[[Any, Any], Effect]


class Loading(Isolate):
    """The part of a journal that runs before its shard serves. `found` is called once it is known which logs count."""

    def __init__(self, folder: str, core: int, cores: int) -> None:
        self.folder = folder
        self.core = core
        self.cores = cores
        self.names: tuple[str, ...] = ()
        self.current = Generation(0, 0)  # what the manifest names; 0 cores: nothing yet
        self.sources: list[str] = []
        self.rewrite = False  # the shard writes all its keys anew before it serves
        self.end = End(0, 0, 0)  # of the log that is gone on with
        self.reader = Reader()
        self.source = ""
        self.stream: Stream | None = None

    def path(self, name: str) -> str:
        """Return the path of a file of the folder."""
        return f"{self.folder}/{name}"

    @property
    def resharded(self) -> bool:
        """Tell whether the number of cores changed, or nothing was there."""
        return self.current.cores != self.cores

    @property
    def target(self) -> Generation:
        """The generation this run writes."""
        return self.current.after(self.cores) if self.resharded else self.current

    @property
    def log(self) -> str:
        """The name of this core's log."""
        return self.target.log(self.core)

    # --- which logs count ------------------------------------------------------------------------------------------

    def start(self, ctx: Context) -> Effect:
        return ListFiles(self.folder, timeout=None, then=self._listed)

    def _listed(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Listed):
            return Crash(files.unusable(self.folder, outcome))
        self.names = outcome.names
        if MANIFEST in self.names:
            self.source = MANIFEST
            return Open(self.path(MANIFEST), "r", timeout=None, then=self._manifest_opened)
        self.sources = [name for name in self.names if generation_of(name) and not name.endswith(NEW)]
        return self._look_into_next(ctx, None)

    def _manifest_opened(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Opened):
            return Crash(files.unusable(self.path(MANIFEST), outcome))
        return Read(outcome.stream, 4096, timeout=None, then=self._manifest_read)

    def _manifest_read(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Received):
            return Crash(files.unusable(self.path(MANIFEST), outcome))
        try:
            self.current = decode_manifest(outcome.data)
        except ValueError as problem:
            return Crash(files.bad_manifest(self.path(MANIFEST), str(problem)))
        return Close(outcome.stream, timeout=None, then=self._decide)

    def _look_into_next(self, ctx: Context, outcome: Any) -> Effect:
        """Without a manifest only logs without records may lie around: a first start that ended early left them."""
        if not self.sources:
            return self._decide(ctx, None)
        self.source = self.sources.pop()
        return Open(self.path(self.source), "r", timeout=None, then=self._look_opened)

    def _look_opened(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Opened):
            return Crash(files.unusable(self.path(self.source), outcome))
        return Read(outcome.stream, HEADER_SIZE + 1, timeout=None, then=self._look_read)

    def _look_read(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Received):
            return Crash(files.unusable(self.path(self.source), outcome))
        if len(outcome.data) > HEADER_SIZE:
            return Crash(files.no_manifest(self.path(MANIFEST), self.path(self.source)))
        return Close(outcome.stream, timeout=None, then=self._look_into_next)

    def _decide(self, ctx: Context, outcome: Any) -> Effect:
        if self.resharded:
            self.sources = [source(self.names, log) for log in self.current.logs()]
            self.rewrite = True
        else:
            self.sources = [source(self.names, self.current.log(self.core))]
            self.rewrite = self.sources[0].endswith(SUSPECT)
        self.sources.reverse()
        return self.found(ctx)

    def found(self, ctx: Context) -> Effect:
        """Go on once it is known which logs are to be read."""
        raise NotImplementedError

    # --- reading them ----------------------------------------------------------------------------------------------

    def load(self) -> Effect:
        """Answer Load."""
        if self.stream is not None:
            return Read(self.stream, READ_BYTES, timeout=None, then=self._read)
        if not self.sources:
            return Reply(Piece((), last=True, rewrite=self.rewrite))
        self.source = self.sources.pop()
        self.reader = Reader()
        return Open(self.path(self.source), "r", timeout=None, then=self._opened)

    def _opened(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Opened):
            return Crash(files.unusable(self.path(self.source), outcome))
        self.stream = outcome.stream
        return Read(outcome.stream, READ_BYTES, timeout=None, then=self._read)

    def _read(self, ctx: Context, outcome: Any) -> Effect:
        if not isinstance(outcome, Received):
            return Crash(files.unusable(self.path(self.source), outcome))
        try:
            if outcome.data:
                return Reply(Piece(tuple(self.reader.feed(outcome.data))))
            self.end = self.reader.finish()
            self._check_owner()
        except Damaged as problem:
            return Crash(files.damaged(self.path(self.source), problem))
        if self.end.torn:
            ctx.log.warning("kv: a torn tail is cut", file=self.path(self.source), at=self.end.length, of=self.end.torn)
        self.stream = None
        return Close(outcome.stream, timeout=None, then=self._source_closed)

    def _source_closed(self, ctx: Context, outcome: Any) -> Effect:
        return Reply(Piece(()))

    def _check_owner(self) -> None:
        """A log that was copied over another one's name is refused."""
        header = self.reader.header
        assert header is not None
        if (header.generation, header.cores) != (self.current.number, self.current.cores) or (
            self.source.removesuffix(SUSPECT) != self.current.log(header.core)
        ):
            raise Damaged(0, f"its header says generation {header.generation}, core {header.core} of {header.cores}")
