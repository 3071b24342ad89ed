"""Files under the data folder: each operation on a file thread, those of one file in the order they were asked for.

A stream's position moves on the core's thread, when an operation's end is taken, so a cancelled Read has taken nothing.
A Write that fails half-way at the end of a file is cut back to where it began: a torn append is never left silently.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from regrove.node.core.effects import Open
from regrove.node.core.reasons import Busy, OsError
from regrove.node.io.board import NO_TOKEN, Board, os_error
from regrove.node.io.crew import Crew, Job
from regrove.node.io.folder import DataFolder
from regrove.records import dataclass

READ_BYTES: Final = 16 * 1024 * 1024  # what one Read of a file takes at most, whatever its limit


class Places(Protocol):
    """What Files needs of the handle table: the bound on streams, and where an open file goes."""

    def has_room(self) -> bool:
        """Tell whether one more stream may be opened."""

    def no_room(self, action: str) -> OsError:
        """The refusal at the bound."""

    def take_place(self) -> None:
        """Reserve a place."""

    def give_place(self) -> None:
        """Give it back."""

    def next_handle(self) -> int:
        """A fresh handle."""

    def add_file(self, stream: FileStream) -> None:
        """Take an open file in, by its handle."""


@dataclass(slots=True)
class Operation:
    """One operation of a file: `run()` on a thread, `done(result)` on the core's. `token` is None once unwanted."""

    kind: str
    token: int | None
    run: Callable[[], object]
    done: Callable[[object, bool], object]


class FileStream:
    """An open file. At most one operation of a kind waits or runs; `position` is where Read and Write go on."""

    __slots__ = (
        "_board",
        "_crew",
        "_folder",
        "_folder_synced",
        "_gone",
        "_operations",
        "_running",
        "_sync_error",
        "fd",
        "handle",
        "last_read",
        "mode",
        "path",
        "position",
    )

    def __init__(
        self,
        handle: int,
        fd: int,
        wait: Open,
        board: Board,
        crew: Crew,
        folder: DataFolder,
        gone: Callable[[], None],
    ) -> None:
        self.handle = handle
        self.fd = fd
        self.path = wait.path
        self.mode = wait.mode
        self.position = 0
        self.last_read = NO_TOKEN
        self._board = board
        self._crew = crew
        self._folder = folder
        self._gone = gone
        self._operations: deque[Operation] = deque()
        self._running: Operation | None = None
        self._folder_synced = wait.mode == "r"
        self._sync_error: OsError | None = None

    def read(self, token: int, limit: int) -> None:
        """Begin a Read of at most `limit` bytes (and 16 MiB); empty at the end of the file."""
        if self.mode not in ("r", "r+"):
            self._wrong_mode(token, "read", "'r' or 'r+'")
            return
        self._ask("read", token, lambda: os.pread(self.fd, min(limit, READ_BYTES), self.position), self._did_read)

    def write(self, token: int, data: bytes) -> None:
        """Begin a Write of all of `data`: at the end in mode `a`, else at the position."""
        if self.mode == "r":
            self._wrong_mode(token, "write", "'w', 'a' or 'r+'")
            return
        self._ask("write", token, lambda: write_all(self.fd, self.mode, self.position, data), self._did_write)

    def sync(self, token: int) -> None:
        """Begin a Sync; the first one makes the file's entry in its folder durable too.

        After a failed one every later Sync of this stream fails: the kernel has forgotten what it could not write.
        """
        self._ask("sync", token, self._sync_now, self._did_sync)

    def truncate(self, token: int, length: int) -> None:
        """Begin a Truncate to `length` bytes; writing goes on from there."""
        if self.mode == "r":
            self._wrong_mode(token, "truncate", "'w', 'a' or 'r+'")
            return
        self._ask("truncate", token, lambda: cut(self.fd, length), self._did_truncate)

    def close(self, token: int | None) -> None:
        """Close behind what was asked for before; without a token what has not begun is dropped."""
        if token is None:
            for operation in self._operations:
                if operation.token is not None:
                    self._board.drop(operation.token)
            self._operations.clear()
            if self._running is not None and self._running.token is not None:
                self._board.drop(self._running.token)
                self._running.token = None
        self._ask("close", token, lambda: os.close(self.fd), self._did_close)

    def cancel(self, token: int) -> None:
        """Take out an operation that has not begun; one under way, and a close, end without an answer."""
        if self._running is not None and self._running.token == token:
            self._running.token = None
            return
        for operation in self._operations:
            if operation.token == token:
                if operation.kind == "close":  # nobody else will close it
                    operation.token = None
                else:
                    self._operations.remove(operation)
                return

    def take_back(self, data: bytes) -> None:
        """Undo a Read that was cancelled between its end and its collection."""
        self.position -= len(data)
        self.last_read = NO_TOKEN

    def _ask(
        self,
        kind: str,
        token: int | None,
        run: Callable[[], object],
        done: Callable[[object, bool], object],
    ) -> None:
        if token is not None:
            if any(operation.kind == kind for operation in self._operations) or self._is_running(kind):
                self._board.answer(token, Busy())
                return
            self._board.pending[token] = self
        self._operations.append(Operation(kind, token, run, done))
        self._next()

    def _is_running(self, kind: str) -> bool:
        return self._running is not None and self._running.kind == kind and self._running.token is not None

    def _next(self) -> None:
        if self._running is None and self._operations:
            operation = self._running = self._operations.popleft()
            action = f"{operation.kind} {self.path!r}"
            self._crew.submit(lambda: guarded(action, operation.run), self._ended)

    def _ended(self, result: object) -> None:
        operation = self._running
        assert operation is not None
        self._running = None
        token = operation.token
        answer = operation.done(result, token is not None)
        if token is not None:
            if operation.kind == "read":
                self.last_read = token
            self._board.end(token, answer)
        self._next()

    def _did_read(self, result: object, wanted: bool) -> object:
        if wanted and isinstance(result, bytes):
            self.position += len(result)
        return result

    def _did_write(self, result: object, wanted: bool) -> object:
        if not isinstance(result, int):
            return result
        self.position = result
        return None

    def _sync_now(self) -> None:
        os.fsync(self.fd)
        if not self._folder_synced:
            self._folder.sync_folder_of(self.path)

    def _did_sync(self, result: object, wanted: bool) -> object:
        if self._sync_error is not None:
            return OsError(self._sync_error.name, f"{self._sync_error.text} (an earlier Sync of this stream failed)")
        if isinstance(result, OsError):
            self._sync_error = result
            return result
        self._folder_synced = True
        return None

    def _did_truncate(self, result: object, wanted: bool) -> object:
        if not isinstance(result, int):
            return result
        self.position = result
        return None

    def _did_close(self, result: object, wanted: bool) -> object:
        self._gone()
        return result

    def _wrong_mode(self, token: int, action: str, modes: str) -> None:
        text = f"{action} {self.path!r}: it was opened with mode {self.mode!r}; open it with mode {modes}"
        self._board.answer(token, OsError("EBADF", text))

    def __repr__(self) -> str:
        return f"<file stream {self.handle} {self.path!r} {self.mode} position={self.position}>"


class Files:
    """Serves Open, Rename, Remove and ListFiles."""

    __slots__ = ("_board", "_crew", "_folder", "_jobs", "_places", "_queue")

    def __init__(self, board: Board, crew: Crew, places: Places, folder: DataFolder, queue: int) -> None:
        self._board = board
        self._crew = crew
        self._folder = folder
        self._queue = queue
        self._places = places
        self._jobs: dict[int, tuple[Job, bool]] = {}

    def open(self, token: int, wait: Open) -> None:
        """Begin an Open; its place is taken now."""
        if not self._places.has_room():
            self._board.answer(token, self._places.no_room(f"open {wait.path!r}"))
            return
        self._places.take_place()
        self._begin(
            token,
            lambda: guarded(f"open {wait.path!r}", lambda: self._folder.open_file(wait.path, wait.mode)),
            lambda fd: self._opened(token, wait, fd),
            opens=True,
        )

    def rename(self, token: int, old: str, new: str) -> None:
        """Begin a Rename."""
        self._path_job(token, f"rename {old!r} to {new!r}", lambda: self._folder.rename(old, new))

    def remove(self, token: int, path: str) -> None:
        """Begin a Remove."""
        self._path_job(token, f"remove {path!r}", lambda: self._folder.remove(path))

    def names(self, token: int, path: str) -> None:
        """Begin a ListFiles."""
        self._path_job(token, f"list {path!r}", lambda: self._folder.names(path))

    def cancel(self, token: int) -> None:
        """Drop what has not begun; an Open under way is closed when it ends."""
        job, opens = self._jobs[token]
        if job.started:
            return
        self._crew.cancel(job)
        del self._jobs[token]
        if opens:
            self._places.give_place()

    def _path_job(self, token: int, action: str, run: Callable[[], object]) -> None:
        if len(self._jobs) >= self._queue:
            self._board.answer(token, Busy())
            return
        self._begin(token, lambda: guarded(action, run), lambda result: self._board.end(token, result), opens=False)

    def _begin(self, token: int, run: Callable[[], object], done: Callable[[object], object], *, opens: bool) -> None:
        self._board.pending[token] = self

        def ended(result: object) -> None:
            del self._jobs[token]
            done(result)

        self._jobs[token] = (self._crew.submit(run, ended), opens)

    def _opened(self, token: int, wait: Open, fd: object) -> None:
        if not isinstance(fd, int):
            self._board.end(token, fd)
            self._places.give_place()
            return
        number = self._places.next_handle()
        stream = FileStream(number, fd, wait, self._board, self._crew, self._folder, self._places.give_place)
        if token not in self._board.pending:
            stream.close(None)
            return
        self._places.add_file(stream)
        self._board.opened[token] = number
        self._board.end(token, number)


def guarded(action: str, run: Callable[[], object]) -> object:
    """Run on a file thread: what the system refuses is a result like any other."""
    try:
        return run()
    except OSError as error:
        return os_error(error, action)
    except MemoryError:
        return OsError("ENOMEM", f"{action}: out of memory")
    except BaseException as error:
        # A worker thread must not die with a request in its hands: the isolate gets the text of our own mistake.
        return OsError("EIO", f"{action}: {type(error).__name__}: {error}")


def write_all(fd: int, mode: str, position: int, data: bytes) -> int:
    """Write all of `data` and return the position behind it.

    Raises OSError whose text says how much of it is in the file; at the end of the file nothing of it stays.
    """
    size = os.fstat(fd).st_size
    begin = size if mode == "a" else position
    written = 0
    rest = memoryview(data)
    try:
        while rest:
            count = os.write(fd, rest) if mode == "a" else os.pwrite(fd, rest, begin + written)
            written += count
            rest = rest[count:]
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; {_undo(fd, begin, size, written, len(data))}") from None
    return begin + written


def cut(fd: int, length: int) -> int:
    """Cut the file to `length` bytes (a shorter one is filled with zeros, POSIX `ftruncate`) and return the length."""
    os.ftruncate(fd, length)
    return length


def _undo(fd: int, begin: int, size: int, written: int, wanted: int) -> str:
    part = f"{written} of {wanted} bytes were written"
    if not written:
        return part
    try:
        # Only our own bytes at the very end may be cut: anybody's bytes behind them would go too.
        if begin == size and os.fstat(fd).st_size == begin + written:
            os.ftruncate(fd, begin)
            return f"{part}, cut back to where they began at {begin}"
    except OSError as error:
        return f"{part} and stay in the file at {begin}, cutting them back failed: {error.strerror}"
    return f"{part} and stay in the file at {begin}"
