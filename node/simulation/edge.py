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
from regrove.node.core.reasons import Busy, NotOwner, OsError
from regrove.node.simulation.clock import MICROSECOND, MILLISECOND, Clock
from regrove.node.simulation.disk import Disk, DiskError
from regrove.node.simulation.handles import Handle, OpenFile, SimulatedListener, TcpStream
from regrove.node.simulation.offloads import Offloads
from regrove.node.simulation.seeds import Distribution, Draws, below
from regrove.node.simulation.streams import End, Tcp

FILE_TIME: Final = Distribution((15, 5 * MICROSECOND, 40 * MICROSECOND), (1, 40 * MICROSECOND, MILLISECOND))
SYNC_TIME: Final = Distribution((15, 200 * MICROSECOND, 3 * MILLISECOND), (1, 3 * MILLISECOND, 40 * MILLISECOND))
LOCAL_HOSTS: Final = ("", "0.0.0.0", "127.0.0.1", "::", "::1", "localhost")


Work: TypeAlias = Callable[[], object]
_GONE: Final = NotOwner()


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
        roots: tuple[str, ...] = (),
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
        self._roots = roots  # absolute folders that the operator named
        self._handles: dict[int, Handle] = {}
        self._listening = 0
        self._opening = 0  # connects under way
        self._last_handle = 0
        self._open_tokens: dict[int, IoRequest] = {}
        self.done: list[tuple[IoRequest, object]] = []
        self.offloads = Offloads(self._who, clock, draws, bounds, self.end, self._open_tokens.__contains__)
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
        done, self.done = self.done, []
        return [IoDone(request.token, result) for request, result in done]

    @property
    def pending(self) -> bool:
        """Whether something waits to be collected."""
        return bool(self.done)

    @property
    def working(self) -> int:
        """How many file operations and offloads are under way."""
        return len(self._half_done) + self.offloads.working

    @property
    def under_way(self) -> int:
        """How many requests are open, waits for somebody's bytes included."""
        return len(self._open_tokens)

    # --- for streams and listeners ---

    def end(self, token: int, result: object) -> None:
        """Report the end of a request; nothing for one that was cancelled."""
        request = self._open_tokens.pop(token, None)
        if request is not None and not self.dead:
            self.done.append((request, result))
            self._wake()

    def has_room(self) -> bool:
        """Whether one more stream may be opened."""
        return len(self._handles) - self._listening + self._opening < self._bounds.streams

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
                self.offloads.begin(token, wait)
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
                held.accept(token)
            case Read() | Write() | Sync() | Truncate(), OpenFile():
                self._begin_on_file(token, wait, held)
            case _, None:
                self.end(token, _GONE)
            case _:
                self.end(token, OsError("EINVAL", f"{type(wait).__name__} does not work on this handle"))

    # --- tcp ---

    def _listen(self, token: int, wait: Listen) -> None:
        if self._host_of(wait.host) != self.node:
            self.end(token, OsError("EADDRNOTAVAIL", f"{wait.host} is no address of {self.node}"))
            return
        listener = SimulatedListener(self, wait.host, self._bounds.accept_backlog)
        port = self.tcp.bind(self.node, wait.port, listener, wait.shared)
        if port is None:
            self.end(token, OsError("EADDRINUSE", f"{wait.host}:{wait.port}"))
            return
        listener.port = port
        self._listening += 1
        self.end(token, (self.keep(listener), wait.host, port))

    def _connect(self, token: int, wait: Connect) -> None:
        if not self._may_open(token, f"connect to {wait.host}:{wait.port}"):
            return
        node = self._host_of(wait.host)
        if node is None:
            self.end(token, OsError("EHOSTUNREACH", f"{wait.host} is no node of this world"))
            return

        self._opening += 1

        def connected(end: End | None, error: str) -> None:
            self._opening -= 1
            if end is None:
                self.end(token, OsError(error, f"{wait.host}:{wait.port}"))
            elif self.dead or token not in self._open_tokens:
                end.reset()
            else:
                self.end(token, self.keep(TcpStream(self, end)))

        self.tcp.connect((self.node, str(self.core)), (node, wait.port), connected)

    def _may_open(self, token: int, action: str) -> bool:
        if self.has_room():
            return True
        text = f"{action}: bound streams = {self._bounds.streams} of this core is reached"
        self.end(token, OsError("EMFILE", text))
        return False

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
        if isinstance(held, OpenFile) and held.busy_until > self._clock.now:
            self._later(token, held.busy_until - self._clock.now, _nothing)
        else:
            self.end(token, None)

    def _let_go(self, number: int, held: Handle) -> None:
        del self._handles[number]
        match held:
            case TcpStream():
                for waiting in (held.reader, held.writer):
                    if waiting:
                        self.end(waiting, _GONE)
                held.end.close()
                self._serve_listeners()
            case SimulatedListener():
                self._listening -= 1
                held.close()
            case OpenFile():
                pass  # what was asked for before goes on

    def _serve_listeners(self) -> None:
        """A place has come free: let who was paused at the bound accept."""
        if self._listening and not self.dead and len(self._handles) - self._listening + 1 >= self._bounds.streams:
            for held in list(self._handles.values()):
                if isinstance(held, SimulatedListener):
                    held.serve()

    def _release(self, number: int) -> None:
        held = self._handles.get(number)
        if held is None:
            return
        for token in held.tokens():
            self._open_tokens.pop(token, None)
            if isinstance(held, OpenFile):
                self._take_out(held, token, harmless=False)
        self._let_go(number, held)

    def _cancel(self, token: int) -> None:
        request = self._open_tokens.pop(token, None)
        if request is None:
            self._undo(token)
            return
        if isinstance(request.wait, Offload):
            self.offloads.cancel(token, request.wait.where)
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
        elif isinstance(held, OpenFile):
            self._take_out(held, token, isinstance(request.wait, Read))

    def _take_out(self, held: OpenFile, token: int, harmless: bool) -> None:
        """Drop a file operation that has not begun; one under way ends unanswered, and a read then took nothing."""
        if harmless or held.tokens()[:1] != [token]:
            self._half_done.pop(token, None)
            held.busy = {word: other for word, other in held.busy.items() if other != token}

    def _undo(self, token: int) -> None:
        """Close what an outcome that nobody will collect had opened, and put back what it had read."""
        for place, (request, result) in enumerate(self.done):
            if request.token != token:
                continue
            del self.done[place]
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
        self._disk.slowed += self._disk.slow > 1
        return table.pick(self._draws.draw("disk.time", self._who, path)) * self._disk.slow

    def _begin_on_file(self, token: int, wait: IoWait, held: OpenFile) -> None:
        word = type(wait).__name__.lower()
        if word in held.busy:
            self.end(token, Busy())
            return
        if (isinstance(wait, Write | Truncate) and held.mode == "r") or (
            isinstance(wait, Read) and held.mode not in ("r", "r+")
        ):
            text = f"{word} {held.file.path!r}: it was opened with mode {held.mode!r}"
            self.end(token, OsError("EBADF", text))
            return
        held.busy[word] = token
        table = SYNC_TIME if isinstance(wait, Sync) else FILE_TIME
        start = max(self._clock.now, held.busy_until)
        held.busy_until = start + self._file_time(table, held.file.path)
        self._later(token, held.busy_until - self._clock.now, lambda: self._on_file(wait, held, word))

    def _on_file(self, wait: IoWait, held: OpenFile, word: str) -> object:
        file = held.file
        held.busy.pop(word, None)
        match wait:
            case Read():
                data = bytes(file.content[held.position : held.position + wait.limit])
                held.position += len(data)
                return data
            case Write():
                offset = held.offset()
                self._disk.write(file, offset, wait.data)
                held.position = offset + len(wait.data)
            case Truncate():
                if wait.length > len(file.content):
                    raise DiskError("EINVAL", f"{file.path}: Truncate only cuts, it has {len(file.content)} bytes")
                self._disk.truncate(file, wait.length)
                held.position = wait.length
            case Sync():
                if held.sync_failed:
                    raise DiskError("EIO", f"{file.path} (an earlier Sync of this stream failed)")
                held.sync_failed = True
                self._disk.sync(file)
                held.sync_failed = False
        return None

    def _begin_on_path(self, token: int, wait: IoWait) -> None:
        paths = self._paths(wait)
        for path in paths:
            problem = self._path_problem(path, folder=isinstance(wait, ListFiles))
            if problem is not None:
                self.end(token, problem)
                return
        self._later(token, self._file_time(FILE_TIME, paths[0]), lambda: self._on_path(wait))

    def _path_problem(self, path: str, folder: bool) -> OsError | None:
        parts = path.split("/")
        allowed = not path.startswith("/") or any(path.startswith(f"{root}/") or path == root for root in self._roots)
        if ".." in parts or not allowed:
            return OsError("EACCES", f"{path!r} is outside the data folder")
        if "\0" in path or (not folder and parts[-1] in ("", ".")):
            return OsError("EINVAL", f"{path!r} names no file")
        return None

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
                return OpenFile(self._disk.open(_plain(wait.path), wait.mode), wait.mode)
            case Rename():
                self._disk.rename(_plain(wait.old), _plain(wait.new))
            case Remove():
                self._disk.remove(_plain(wait.path))
            case ListFiles():
                return self._disk.names(_plain(wait.path))
        return None

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
        self.dead = self.offloads.dead = True
        for number, held in list(self._handles.items()):
            self._let_go(number, held)
        self._open_tokens.clear()
        self.done.clear()

    def _interrupt(self, request: IoRequest, work: Work) -> None:
        draw = self._draws.draw("io.interrupted", f"{self._who}:{self.offloads.whose(request.token)}")
        held = self._handles.get(request.handle)
        if isinstance(request.wait, Write) and isinstance(held, OpenFile):
            self._disk.write_some(held.file, held.offset(), request.wait.data)
        elif below(draw, 2):
            try:
                work()
            except DiskError:
                return


def _nothing() -> None:
    return None


def _plain(path: str) -> str:
    """Give the one spelling of a path."""
    plain = "/".join(part for part in path.split("/") if part not in ("", "."))
    return f"/{plain}" if path.startswith("/") else plain
