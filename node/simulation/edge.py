"""The simulated I/O edge of one core: the twin of `node/io`, serving the same requests on virtual time.

Tcp through `streams.Tcp`, files on the node's `disk.Disk`, Offload by running the function at once and letting keyed
virtual time pass before its end. Nothing here reads a clock, opens a socket or starts a thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from regrove.node.core.bounds import Bounds
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
from regrove.node.core.errors import Misuse
from regrove.node.core.ports import IoCancel, IoCommand, IoDone, IoRelease, IoRequest
from regrove.node.core.reasons import Busy, OsError, Raised
from regrove.node.simulation.clock import MICROSECOND, MILLISECOND, Clock
from regrove.node.simulation.disk import Disk, DiskError
from regrove.node.simulation.handles import Handle, OpenFile, Pool, SimulatedListener, TcpStream
from regrove.node.simulation.seeds import Distribution, Draws, below
from regrove.node.simulation.streams import End, Tcp

FILE_TIME: Final = Distribution((15, 5 * MICROSECOND, 40 * MICROSECOND), (1, 40 * MICROSECOND, MILLISECOND))
SYNC_TIME: Final = Distribution((15, 200 * MICROSECOND, 3 * MILLISECOND), (1, 3 * MILLISECOND, 40 * MILLISECOND))
OFFLOAD_TIME: Final = Distribution((15, 50 * MICROSECOND, 2 * MILLISECOND), (1, 2 * MILLISECOND, 50 * MILLISECOND))
LOCAL_HOSTS: Final = ("", "0.0.0.0", "127.0.0.1", "::", "::1", "localhost")


Work: TypeAlias = Callable[[], object]
_BAD: Final = OsError("EBADF", "the stream is closed")


class SimulatedEdge:
    """The `IoPort` of one life of one simulated core. `wake` is called when there is something to collect."""

    def __init__(
        self,
        node: str,
        core: int,
        clock: Clock,
        draws: Draws,
        tcp: Tcp,
        disk: Disk,
        bounds: Bounds,
        resolve: Callable[[str], str | None],
        wake: Callable[[], None],
    ) -> None:
        self.node = node
        self.core = core
        self.tcp = tcp
        self._who = f"{node}/{core}"
        self._clock = clock
        self._draws = draws
        self._disk = disk
        self._bounds = bounds
        self._resolve = resolve
        self._wake = wake
        self._handles: dict[int, Handle] = {}
        self._last_handle = 0
        self._open_tokens: dict[int, IoRequest] = {}
        self._done: list[tuple[IoRequest, object]] = []
        self._pools = {"thread": Pool(bounds.offload_threads), "process": Pool(bounds.offload_processes)}
        self._half_done: dict[int, Work] = {}  # what a write, sync or rename under way may yet have done at a crash
        self.dead = False

    # --- the port ---

    def submit(self, commands: list[IoCommand]) -> None:
        """Begin what the pass asked for."""
        for command in commands:
            if type(command) is IoRequest:
                self._open_tokens[command.token] = command
                self._begin(command.token, command.wait, command.handle)
            elif type(command) is IoCancel:
                self._cancel(command.token)
            elif type(command) is IoRelease:
                self._release(command.handle)

    def collect(self) -> list[IoDone]:
        """Take what has ended since the last call, in order."""
        done, self._done = self._done, []
        return [IoDone(request.token, result) for request, result in done]

    @property
    def pending(self) -> bool:
        """Whether something waits to be collected."""
        return bool(self._done)

    @property
    def under_way(self) -> int:
        """How many requests are open, waits for somebody's bytes included."""
        return len(self._open_tokens)

    # --- for streams and listeners ---

    def end(self, token: int, result: object) -> None:
        """Report the end of a request; nothing for one that was cancelled."""
        request = self._open_tokens.pop(token, None)
        if request is not None and not self.dead:
            self._done.append((request, result))
            self._wake()

    def keep(self, handle: Handle) -> int:
        """Give a handle its number, never reused in this life."""
        self._last_handle = number = self._last_handle + 1
        self._handles[number] = handle
        return number

    # --- requests ---

    def _begin(self, token: int, wait: IoWait, handle: int) -> None:
        match wait:
            case Read() | Write() | Sync() | Truncate() | Close() | Accept():
                self._begin_on_handle(token, wait, self._handles.get(handle), handle)
            case Listen():
                self._listen(token, wait)
            case Connect():
                self._connect(token, wait)
            case Open() | Rename() | Remove() | ListFiles():
                self._begin_on_path(token, wait)
            case Offload():
                self._offload(token, wait)
            case _:
                raise Misuse(f"the simulated edge does not know {wait!r}")

    def _begin_on_handle(self, token: int, wait: IoWait, held: Handle | None, number: int) -> None:
        match wait, held:
            case Close(), _ if held is not None:
                self._close(token, number, held)
            case Read(), TcpStream():
                self._read(token, wait, held)
            case Write(), TcpStream():
                self._write(token, wait, held)
            case Accept(), SimulatedListener():
                held.accepts.append(token)
                held.serve()
            case Read() | Write() | Sync() | Truncate(), OpenFile():
                self._begin_on_file(token, wait, held)
            case _, None:
                self.end(token, _BAD)
            case _:
                self.end(token, OsError("EINVAL", f"{type(wait).__name__} does not work on this handle"))

    # --- tcp ---

    def _listen(self, token: int, wait: Listen) -> None:
        if self._host_of(wait.host) != self.node:
            self.end(token, OsError("EADDRNOTAVAIL", f"{wait.host} is no address of {self.node}"))
            return
        if len(self._handles) >= self._bounds.streams:
            self.end(token, OsError("EMFILE", "the bound streams is reached"))
            return
        listener = SimulatedListener(self, wait.host, self._bounds.accept_backlog)
        port = self.tcp.bind(self.node, wait.port, listener, wait.shared)
        if port is None:
            self.end(token, OsError("EADDRINUSE", f"{wait.host}:{wait.port}"))
            return
        listener.port = port
        self.end(token, (self.keep(listener), wait.host, port))

    def _connect(self, token: int, wait: Connect) -> None:
        if len(self._handles) >= self._bounds.streams:
            self.end(token, OsError("EMFILE", "the bound streams is reached"))
            return
        node = self._host_of(wait.host)
        if node is None:
            self.end(token, OsError("EHOSTUNREACH", f"{wait.host} is no node of this world"))
            return

        def connected(end: End | None, error: str) -> None:
            if end is None:
                self.end(token, OsError(error, f"{wait.host}:{wait.port}"))
            elif self.dead or token not in self._open_tokens:
                end.reset()
            else:
                self.end(token, self.keep(TcpStream(self, end)))

        self.tcp.connect((self.node, str(self.core)), (node, wait.port), connected)

    def _host_of(self, host: str) -> str | None:
        return self.node if host in LOCAL_HOSTS else self._resolve(host)

    def _read(self, token: int, wait: Read, stream: TcpStream) -> None:
        if stream.reader:
            self.end(token, Busy())
            return
        stream.reader = token
        stream.limit = wait.limit
        stream.stream_ready(stream.end)

    def _write(self, token: int, wait: Write, stream: TcpStream) -> None:
        if stream.writer:
            self.end(token, Busy())
        elif stream.end.error is not None:
            self.end(token, OsError("EPIPE", stream.end.name))
        else:
            stream.writer = token
            stream.end.write(wait.data)

    def _close(self, token: int, number: int, held: Handle) -> None:
        self._let_go(number, held)
        self.end(token, None)

    def _let_go(self, number: int, held: Handle) -> None:
        del self._handles[number]
        match held:
            case TcpStream():
                for waiting in (held.reader, held.writer):
                    if waiting:
                        self.end(waiting, OsError("ECANCELED", f"{held.end.name} was closed"))
                held.end.close()
            case SimulatedListener():
                held.close()
            case OpenFile():
                pass

    def _release(self, number: int) -> None:
        held = self._handles.get(number)
        if held is not None:
            self._let_go(number, held)

    def _cancel(self, token: int) -> None:
        request = self._open_tokens.pop(token, None)
        if request is None:
            self._undo(token)
            return
        held = self._handles.get(request.handle)
        if isinstance(held, TcpStream):
            if held.reader == token:
                held.reader = 0
            if held.writer == token:
                held.writer = 0
                held.end.unsent.clear()
        elif isinstance(held, SimulatedListener) and token in held.accepts:
            held.accepts.remove(token)

    def _undo(self, token: int) -> None:
        """Close what an outcome that nobody will collect had opened, and put back what it had read."""
        for place, (request, result) in enumerate(self._done):
            if request.token != token:
                continue
            del self._done[place]
            held = self._handles.get(request.handle)
            match request.wait, result:
                case (Listen() | Accept(), (int(number), *_)) | (Connect() | Open(), int(number)):
                    self._release(number)
                case Read(), bytes(data) if isinstance(held, TcpStream):
                    held.end.inbox[:0] = data
                case Read(), bytes(data) if isinstance(held, OpenFile):
                    held.position -= len(data)
            return

    # --- files ---

    def _later(self, token: int, delay: int, work: Work) -> None:
        self._half_done[token] = work
        self._clock.at(self._clock.now + delay, self._draws.draw("io.rank", self._who), self._finish, (token, work))

    def _finish(self, job: tuple[int, Work]) -> None:
        token, work = job
        if self.dead or self._half_done.pop(token, None) is None:
            return
        try:
            result = work()
        except DiskError as error:
            result = OsError(error.name, error.path)
        wanted = token in self._open_tokens
        if isinstance(result, OpenFile):
            result = self.keep(result) if wanted else None
        self.end(token, result)

    def _file_time(self, table: Distribution, path: str) -> int:
        return table.pick(self._draws.draw("disk.time", self._who, path)) * self._disk.slow

    def _begin_on_file(self, token: int, wait: IoWait, held: OpenFile) -> None:
        if isinstance(wait, Write | Truncate) and not held.writable:
            self.end(token, OsError("EBADF", f"{held.file.path} is open for reading only"))
            return
        table = SYNC_TIME if isinstance(wait, Sync) else FILE_TIME
        start = max(self._clock.now, held.busy_until)
        held.busy_until = start + self._file_time(table, held.file.path)
        self._later(token, held.busy_until - self._clock.now, lambda: self._on_file(wait, held))

    def _on_file(self, wait: IoWait, held: OpenFile) -> object:
        file = held.file
        match wait:
            case Read():
                data = bytes(file.content[held.position : held.position + wait.limit])
                held.position += len(data)
                return data
            case Write():
                offset = len(file.content) if held.append else held.position
                held.position = offset + len(wait.data)
                self._disk.write(file, offset, wait.data)
            case Truncate():
                held.position = wait.length
                self._disk.truncate(file, wait.length)
            case Sync():
                self._disk.sync(file)
        return None

    def _begin_on_path(self, token: int, wait: IoWait) -> None:
        paths = self._paths(wait)
        for path in paths:
            if path.startswith("/") or ".." in path.split("/"):
                self.end(token, OsError("EACCES", f"{path} is outside the data folder"))
                return
        self._later(token, self._file_time(FILE_TIME, paths[0]), lambda: self._on_path(wait))

    @staticmethod
    def _paths(wait: IoWait) -> tuple[str, ...]:
        match wait:
            case Rename():
                return (wait.old, wait.new)
            case Open() | Remove() | ListFiles():
                return (wait.path,)
            case _:
                raise Misuse(f"{wait!r} names no path")

    def _on_path(self, wait: IoWait) -> object:
        match wait:
            case Open():
                return OpenFile(self._disk.open(wait.path, wait.mode), wait.mode)
            case Rename():
                self._disk.rename(wait.old, wait.new)
            case Remove():
                self._disk.remove(wait.path)
            case ListFiles():
                return self._disk.names(wait.path)
        return None

    # --- offload ---

    def _offload(self, token: int, wait: Offload) -> None:
        pool = self._pools[wait.where]
        if pool.running < pool.limit:
            self._run(token, wait)
        elif len(pool.queue) < self._bounds.offload_queue:
            pool.queue.append((token, wait))
        else:
            self.end(token, Busy())

    def _run(self, token: int, wait: Offload) -> None:
        self._pools[wait.where].running += 1
        result: object
        try:
            result = wait.function(*wait.args)
        except Exception as error:
            result = Raised(type(error).__name__, str(error))
        delay = OFFLOAD_TIME.pick(self._draws.draw("offload", self._who, wait.function.__qualname__))
        rank = self._draws.draw("io.rank", self._who)
        self._clock.at(self._clock.now + delay, rank, self._returned, (token, result, wait.where))

    def _returned(self, job: tuple[int, object, str]) -> None:
        token, result, where = job
        if self.dead:
            return
        pool = self._pools[where]
        pool.running -= 1
        self.end(token, result)
        while pool.queue:
            token, wait = pool.queue.popleft()
            if token in self._open_tokens:
                self._run(token, wait)
                break

    # --- the end of this life ---

    def die(self) -> None:
        """The core's process is gone: a keyed part of what was under way is done, the kernel closes the rest."""
        if self.dead:
            return
        touched: dict[int, None] = {}
        for token, work in self._half_done.items():
            request = self._open_tokens.get(token)
            if request is not None and request.handle not in touched:
                self._interrupt(request, work)
                if request.handle:
                    touched[request.handle] = None
        self.dead = True
        for number, held in list(self._handles.items()):
            self._let_go(number, held)
        self._open_tokens.clear()
        self._done.clear()

    def _interrupt(self, request: IoRequest, work: Work) -> None:
        draw = self._draws.draw("io.interrupted", self._who)
        held = self._handles.get(request.handle)
        if isinstance(request.wait, Write) and isinstance(held, OpenFile):
            offset = len(held.file.content) if held.append else held.position
            self._disk.write_some(held.file, offset, request.wait.data)
        elif below(draw, 2):
            try:
                work()
            except DiskError:
                return
