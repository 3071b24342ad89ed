"""The edge of one core: serves the I/O waits of its isolates (`ports.IoPort`) in the core's own poller.

What can be done at once is done in `submit` (the kernel is asked before anything is waited for); the rest ends in
callbacks of `Poller.wait`. Both only write to the board; `collect` hands over what has ended. When `submit` has left
something to collect, the next `Poller.wait` does not sleep.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, assert_never

from regrove.node.core.effects import (
    Accept,
    Close,
    Connect,
    IoWait,
    Listen,
    ListFiles,
    Offload,
    Open,
    Read,
    Remove,
    Rename,
    Sync,
    Truncate,
    Write,
)
from regrove.node.core.errors import InvalidBounds
from regrove.node.core.ports import IoCancel, IoCommand, IoDone, IoRelease, IoRequest
from regrove.node.core.reasons import NotOwner, OsError
from regrove.node.io.board import Board
from regrove.node.io.crew import Crew, Wake
from regrove.node.io.doors import Dialler, Doorman
from regrove.node.io.files import Files
from regrove.node.io.folder import DataFolder
from regrove.node.io.keeping import Keeper, NoKeeper
from regrove.node.io.names import Resolver
from regrove.node.io.offload import ThreadOffload
from regrove.node.io.poller import Poller
from regrove.node.io.process_offload import ProcessOffload
from regrove.node.io.table import AcceptWaits, AnyStream, HandleTable, unsaid
from regrove.node.io.worker_process import FreshWorker, StartWorker
from regrove.records import dataclass, fields

CLOSE_LIMIT_S: Final = 2.0  # what a closing edge waits for a file operation that is under way


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """Bounds of one edge, each an int of at least 1; names and defaults are those of `Bounds` where it has them.

    `streams` counts connections and files, open or being opened. `file_queue` bounds the Renames, Removes and
    ListFiles under way; operations on an open file are bounded by one of each kind.
    """

    streams: int = 10_000
    listeners: int = 1_024
    accept_backlog: int = 1_024
    offload_threads: int = 4
    offload_processes: int = 2
    offload_queue: int = 64
    file_threads: int = 2
    file_queue: int = 1_024

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not int or value < 1:
                raise InvalidBounds(f"EdgeLimits({field.name}={value!r}): a bound is an int of at least 1")


@dataclass(frozen=True, slots=True)
class EdgeStatistics:
    """A moment of an edge: counts of what is open, under way and waiting; `accept_pauses` since it was made."""

    streams: int
    listeners: int
    pending: int
    accept_pauses: int
    threads_busy: int
    threads_waiting: int
    processes_busy: int
    processes_waiting: int
    files_busy: int
    files_waiting: int


class Edge:
    """Serves `IoCommand`s. Files live under `data_folder`, made with mode 0700 when first needed.

    `other_folders` are ones the operator has named: absolute paths below them are served too. `keeper` holds listening
    sockets beyond the life of this process (none: they end with it), `start_worker` starts the processes of Offload.
    `accept_waits` is told each time that connections wait at a port because something has run out.
    """

    __slots__ = (
        "_board",
        "_dialler",
        "_doorman",
        "_file_crew",
        "_files",
        "_poller",
        "_processes",
        "_serve",
        "_streams",
        "_table",
        "_thread_crew",
        "_threads",
        "_wake",
    )

    def __init__(
        self,
        poller: Poller,
        data_folder: Path | str,
        limits: EdgeLimits | None = None,
        other_folders: Sequence[Path | str] = (),
        keeper: Keeper | None = None,
        start_worker: StartWorker = FreshWorker,
        accept_waits: AcceptWaits = unsaid,
    ) -> None:
        keeper = keeper or NoKeeper()
        limits = limits or EdgeLimits()
        self._poller = poller
        self._board = board = Board()
        self._wake = Wake(poller)
        self._table = HandleTable(board, poller, keeper, limits.streams, accept_waits)
        self._streams = self._table.streams
        self._thread_crew = Crew("offload", limits.offload_threads, self._wake)
        self._threads = ThreadOffload(board, self._thread_crew, limits.offload_queue)
        self._processes = ProcessOffload(board, poller, limits.offload_processes, limits.offload_queue, start_worker)
        self._file_crew = Crew("files", limits.file_threads, self._wake)
        folder = DataFolder(Path(data_folder), [Path(other) for other in other_folders])
        self._files = Files(board, self._file_crew, self._table, folder, limits.file_queue)
        resolver = Resolver(board, self._threads)
        self._dialler = Dialler(board, poller, self._table, resolver)
        self._doorman = Doorman(board, self._table, resolver, keeper, limits.listeners, limits.accept_backlog)
        self._serve: dict[type[IoWait], Callable[[IoRequest, Any], None]] = {
            Read: self._refuse,
            Write: self._refuse,
            Close: self._close,
            Sync: self._on_stream,
            Truncate: self._on_stream,
            Accept: self._accept,
            Listen: lambda request, wait: self._doorman.listen(request.token, wait),
            Connect: lambda request, wait: self._dialler.connect(request.token, wait),
            Open: lambda request, wait: self._files.open(request.token, wait),
            Rename: lambda request, wait: self._files.rename(request.token, wait.old, wait.new),
            Remove: lambda request, wait: self._files.remove(request.token, wait.path),
            ListFiles: lambda request, wait: self._files.names(request.token, wait.path),
            Offload: self._offload,
        }

    def submit(self, commands: list[IoCommand]) -> None:
        """Begin what a pass asked for (`ports.IoPort.submit`)."""
        serve = self._serve
        streams = self._streams
        for command in commands:
            if isinstance(command, IoRequest):
                wait = command.wait
                # The two that make the load of a server are not sent through the table.
                if isinstance(wait, Read) and (stream := streams.get(command.handle)) is not None:
                    stream.read(command.token, wait.limit)
                elif isinstance(wait, Write) and (stream := streams.get(command.handle)) is not None:
                    stream.write(command.token, wait.data)
                else:
                    serve[type(wait)](command, wait)
            elif isinstance(command, IoCancel):
                self._cancel(command.token)
            elif isinstance(command, IoRelease):
                self._table.release(command.handle, None)
            else:
                assert_never(command)
        if self._board.done:
            self._poller.prompt()

    def collect(self) -> list[IoDone]:
        """Take what has ended, in order (`ports.IoPort.collect`)."""
        board = self._board
        done = board.done
        if done:
            board.done = []
            board.opened.clear()
        return done

    def statistics(self) -> EdgeStatistics:
        """Count what is open, under way and waiting."""
        return EdgeStatistics(
            streams=self._table.places,
            listeners=len(self._table.listeners),
            pending=len(self._board.pending),
            accept_pauses=self._table.pauses(),
            threads_busy=self._thread_crew.busy,
            threads_waiting=len(self._thread_crew.waiting),
            processes_busy=self._processes.busy,
            processes_waiting=self._processes.waiting,
            files_busy=self._file_crew.busy,
            files_waiting=len(self._file_crew.waiting),
        )

    def close(self) -> None:
        """Close everything without an answer: sockets and workers now, files after what is under way (2 s at most)."""
        for token in list(self._board.pending):
            self._cancel(token)
        for number in [*self._table.listeners, *self._table.streams]:
            self._table.release(number, None)
        self._processes.close()
        self._wake.drain(self._file_crew, CLOSE_LIMIT_S)
        self._file_crew.close(CLOSE_LIMIT_S)
        self._thread_crew.close(CLOSE_LIMIT_S)
        self._wake.close()
        self._board.done.clear()

    def _on_stream(self, request: IoRequest, wait: Sync | Truncate) -> None:
        stream: AnyStream | None = self._streams.get(request.handle)
        if stream is None:
            self._refuse(request, wait)
        elif isinstance(wait, Sync):
            stream.sync(request.token)
        else:
            stream.truncate(request.token, wait.length)

    def _accept(self, request: IoRequest, wait: Accept) -> None:
        listener = self._table.listeners.get(request.handle)
        if listener is None:
            self._refuse(request, wait)
        else:
            listener.accept(request.token)

    def _close(self, request: IoRequest, wait: Close) -> None:
        if not self._table.release(request.handle, request.token):
            self._refuse(request, wait)

    def _refuse(self, request: IoRequest, wait: IoWait) -> None:
        """Answer a request on a handle that is closed, or of the other kind."""
        number = request.handle
        verb = type(wait).__name__
        if number in self._streams:
            self._board.answer(request.token, OsError("EINVAL", f"{verb} takes a listener, this is a stream"))
        elif number in self._table.listeners:
            self._board.answer(request.token, OsError("EINVAL", f"{verb} takes a stream, this is a listener"))
        else:
            self._board.answer(request.token, NotOwner())

    def _offload(self, request: IoRequest, wait: Offload) -> None:
        if wait.where == "thread":
            self._threads.submit(request.token, wait)
        else:
            self._processes.submit(request.token, wait)

    def _cancel(self, token: int) -> None:
        holder = self._board.pending.pop(token, None)
        if holder is not None:
            holder.cancel(token)
        elif self._board.done:
            self._undo(token)

    def _undo(self, token: int) -> None:
        """Take back an end that was not collected: close what it opened, give back what it read."""
        done = next((done for done in self._board.done if done.token == token), None)
        if done is None:
            return
        self._board.done.remove(done)
        number = self._board.opened.pop(token, None)
        if number is not None:
            self._table.release(number, None)
        elif isinstance(done.result, bytes):
            for stream in self._streams.values():
                if stream.last_read == token:
                    stream.take_back(done.result)
                    return
