"""Where a node keeps what belongs to this machine: RUNTIME/NAME/{lock,pid,control,...}; the state folder.

Runtime folders are 0700, of this user, and no symlinks: who may open `control` commands the node, so a folder that
somebody else made is refused, not repaired. The lock is an open-file-description lock (fcntl(2)) on `lock`: it ends
with the manager, however it dies, and can be asked about without being taken.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
import stat
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from regrove.node.core.errors import Misuse
from regrove.records import dataclass

SOCKET_PATH_MAX: Final = 107  # bytes in sockaddr_un.sun_path, without the closing zero (unix(7))
HASHED_NAME: Final = 24  # characters of a name that transport/endpoints.py shortens
STALE_S: Final = 60.0

_FLOCK: Final = struct.Struct("hhqqi0q")  # struct flock of 64-bit Linux: type, whence, start, length, pid


class FolderError(Misuse):
    """A folder or file of the node cannot be used; the text says which, why and the mend."""


class NodeNameTaken(FolderError):
    """Another node of this name runs on this machine; `pid` is its manager's, or None when it is not known yet."""

    def __init__(self, name: str, pid: int | None, folder: Path) -> None:
        self.name = name
        self.pid = pid
        who = f"pid {pid}" if pid is not None else "another process"
        super().__init__(
            f"a node named {name} already runs here ({who}, {folder}); "
            f"stop it with `regrove stop --node {name}` or start this one with another --name"
        )


@dataclass(frozen=True, slots=True)
class NodeFolder:
    """The runtime folder of one node and the files in it."""

    path: Path

    @property
    def name(self) -> str:
        """The node's name."""
        return self.path.name

    @property
    def control(self) -> Path:
        """The manager's control socket."""
        return self.path / "control"

    @property
    def lock(self) -> Path:
        """Held by the manager for as long as it lives."""
        return self.path / "lock"

    @property
    def pid_file(self) -> Path:
        """The manager's pid as text."""
        return self.path / "pid"

    @property
    def incarnation_file(self) -> Path:
        """The last incarnation of this name."""
        return self.path / "incarnation"

    def pid(self) -> int | None:
        """The pid the manager wrote, or None."""
        try:
            text = self.pid_file.read_text().strip()
        except OSError:
            return None
        return int(text) if text.isdigit() else None


def default_runtime_root(environ: Mapping[str, str]) -> tuple[Path, str]:
    """Where a node started now puts its runtime folder, and why there."""
    for root, origin in runtime_roots(environ):
        if origin != "/run/regrove" or os.access(root, os.W_OK):
            return root, origin
    raise AssertionError("the last root is always usable")


def runtime_roots(environ: Mapping[str, str]) -> list[tuple[Path, str]]:
    """All places where a node of this user may run, in the order they are searched."""
    roots: list[tuple[Path, str]] = []
    if environ.get("REGROVE_RUNTIME_DIR"):
        roots.append((Path(environ["REGROVE_RUNTIME_DIR"]), "REGROVE_RUNTIME_DIR"))
    if environ.get("RUNTIME_DIRECTORY"):  # systemd: one or several, separated by colons
        roots.append((Path(environ["RUNTIME_DIRECTORY"].split(":")[0]), "RUNTIME_DIRECTORY"))
    if environ.get("XDG_RUNTIME_DIR"):
        roots.append((Path(environ["XDG_RUNTIME_DIR"]) / "regrove", "XDG_RUNTIME_DIR"))
    roots.append((Path("/run/regrove"), "/run/regrove"))
    roots.append((Path(f"/tmp/regrove-{os.getuid()}"), "default: /tmp, the user's id"))
    return roots


def default_state_root(environ: Mapping[str, str]) -> tuple[Path, str]:
    """Where keys and data outlive the node, and why there."""
    if environ.get("REGROVE_STATE_DIR"):
        return Path(environ["REGROVE_STATE_DIR"]), "REGROVE_STATE_DIR"
    if environ.get("STATE_DIRECTORY"):
        return Path(environ["STATE_DIRECTORY"].split(":")[0]), "STATE_DIRECTORY"
    if environ.get("XDG_STATE_HOME"):
        return Path(environ["XDG_STATE_HOME"]) / "regrove", "XDG_STATE_HOME"
    return Path(environ.get("HOME") or os.path.expanduser("~")) / ".local/state/regrove", "default: the user's home"


def find_nodes(environ: Mapping[str, str]) -> list[NodeFolder]:
    """The nodes of this user that run on this machine, by root and name."""
    found: list[NodeFolder] = []
    seen: set[Path] = set()
    for root, _ in runtime_roots(environ):
        for folder in [] if is_foreign_link(root) else node_folders(root):
            real = folder.path.resolve()
            if real not in seen and is_locked(folder):
                seen.add(real)
                found.append(folder)
    return found


def node_folders(root: Path) -> list[NodeFolder]:
    """Every node's folder under a root, running or not, by name."""
    try:
        names = sorted(entry.name for entry in root.iterdir() if (entry / "lock").exists())
    except OSError:
        return []
    return [NodeFolder(root / name) for name in names]


def is_locked(folder: NodeFolder) -> bool:
    """Tell whether a manager holds the folder's lock."""
    try:
        handle = os.open(folder.lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        answer = fcntl.fcntl(handle, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK))
    finally:
        os.close(handle)
    kind: int = _FLOCK.unpack(answer)[0]
    return kind != fcntl.F_UNLCK


def private_folder(path: Path, purpose: str) -> Path:
    """Make a 0700 folder of this user, with those above it, or check the one that is there; raises FolderError."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        facts = path.lstat()
    except OSError as problem:
        raise FolderError(
            f"the {purpose} {path} cannot be made: {problem.strerror}; give another one or its permissions"
        ) from problem
    if not stat.S_ISDIR(facts.st_mode):
        kind = "a symlink" if stat.S_ISLNK(facts.st_mode) else "no folder"
        raise FolderError(f"the {purpose} {path} is {kind}; remove it or give another one")
    if facts.st_uid != os.getuid():
        raise FolderError(f"the {purpose} {path} belongs to user {facts.st_uid}; remove it or give another one")
    if facts.st_mode & 0o077:
        raise FolderError(
            f"the {purpose} {path} is open to others (mode {stat.S_IMODE(facts.st_mode):04o}); run chmod 700 on it"
        )
    return path


def is_foreign_link(path: Path) -> bool:
    """Tell whether it is a symlink that neither this user nor root has made."""
    try:
        facts = path.lstat()
    except OSError:
        return False
    return stat.S_ISLNK(facts.st_mode) and facts.st_uid not in (os.getuid(), 0)


def short_folder(folder: Path) -> Path | None:
    """Where ipc sockets go when even short names in `folder` are over the limit of unix(7), else None."""
    if len(os.fsencode(folder)) + 1 + HASHED_NAME <= SOCKET_PATH_MAX:
        return None
    short = private_folder(Path(f"/tmp/regrove-{os.getuid()}"), "folder for short socket names")
    _sweep_stale(short)
    return short


def _sweep_stale(folder: Path) -> None:
    """Remove sockets that cores of a killed node left behind: nobody listens, and they are not being made just now."""
    for entry in sorted(folder.iterdir()):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            facts = entry.lstat()
            if not stat.S_ISSOCK(facts.st_mode) or time.time() - facts.st_mtime < STALE_S:
                continue
            try:
                probe.connect(str(entry))
            except ConnectionRefusedError:
                entry.unlink(missing_ok=True)


class RuntimeFolder:
    """A manager's hold on RUNTIME/NAME: `claim` makes and locks it, `release` removes what points at this life."""

    def __init__(self, root: Path, name: str) -> None:
        self.folder = NodeFolder(root / name)
        self._handle: int | None = None

    def claim(self) -> None:
        """Raises NodeNameTaken when another manager holds it, FolderError when it cannot be trusted."""
        root = self.folder.path.parent
        if is_foreign_link(root):
            raise FolderError(
                f"the runtime folder {root} is a symlink of another user, who could turn it elsewhere; "
                "give the folder it stands for, or remove it"
            )
        if not root.is_dir() or root.name.startswith("regrove-"):
            private_folder(root, "runtime folder")
        private_folder(self.folder.path, "runtime folder of the node")
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._handle = os.open(self.folder.lock, flags, 0o600)
        except OSError as problem:
            raise FolderError(f"{self.folder.lock} cannot be opened: {problem.strerror}; remove it") from problem
        try:
            fcntl.fcntl(self._handle, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK))
        except BlockingIOError:
            os.close(self._handle)
            self._handle = None
            raise NodeNameTaken(self.folder.name, self.folder.pid(), self.folder.path) from None
        self._sweep()
        _write(self.folder.pid_file, str(os.getpid()))

    def next_incarnation(self, wall_ms: int) -> int:
        """max(wall clock in ms, the last one stored + 1), stored before it is used."""
        try:
            text = self.folder.incarnation_file.read_text().strip()
        except OSError:
            text = ""
        last = int(text) if re.fullmatch(r"\d{1,18}", text) else 0
        incarnation = max(wall_ms, last + 1)
        _write(self.folder.incarnation_file, str(incarnation))
        return incarnation

    def release(self) -> None:
        """Forget this life: control socket and pid go, the lock is let go last."""
        if self._handle is None:
            return
        self._sweep()
        self.folder.pid_file.unlink(missing_ok=True)
        os.close(self._handle)
        self._handle = None

    def _sweep(self) -> None:
        """Remove the sockets of an earlier life: the lock is ours, so nobody can be using them."""
        for entry in sorted(self.folder.path.iterdir()):
            if stat.S_ISSOCK(entry.lstat().st_mode):
                entry.unlink(missing_ok=True)


def _flock(kind: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, 0, 0, 0)


def _write(path: Path, text: str) -> None:
    """Replace a small file as a whole."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_text(text + "\n")
        fresh.replace(path)
    except OSError as problem:
        raise FolderError(
            f"{path} cannot be written: {problem.strerror}; mend that, or give another folder"
        ) from problem
