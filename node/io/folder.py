"""The folders a core may have files in: no path leads out of them, and they are on the disk before their files.

Every function here may block and runs on a file thread. Paths are walked by descriptor, component by component, and no
symbolic link below such a folder is followed, so nothing can be swapped between the check and the use.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from regrove.records import dataclass

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO somebody put there must not hang the thread; it means nothing for a regular file.
FILE_FLAGS: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
MODE_FLAGS: Final = {
    "r": os.O_RDONLY,
    "r+": os.O_RDWR,
    "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    "a": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
}


def split_path(path: str) -> tuple[str, ...]:
    """The components of a path; raises OSError (EINVAL, EACCES) for what names no place or climbs."""
    if not isinstance(path, str) or "\0" in path:
        raise OSError(errno.EINVAL, "a path is a str without NUL")
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise OSError(errno.EINVAL, "the path does not encode as a file name") from None
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if ".." in parts:
        raise OSError(errno.EACCES, "the path has '..', which could lead outside the data folder")
    return parts


@dataclass(frozen=True, slots=True)
class Place:
    """A folder below one of the allowed ones, and the name of a file in it (empty: the folder itself is meant)."""

    root: Path
    folders: tuple[str, ...]
    name: str


class DataFolder:
    """Where files may be: relative paths below `root`; absolute ones below one of `others`, or below `root`.

    `others` are folders that the operator has named. All are made, with mode 0700, when a file first needs them.
    """

    __slots__ = ("_roots", "root")

    def __init__(self, root: Path, others: Sequence[Path] = ()) -> None:
        self.root = root.absolute()
        self._roots = [self.root, *(other.absolute() for other in others)]

    def open_file(self, path: str, mode: str) -> int:
        """Open a regular file and return its descriptor; `w` and `a` make it, and its folders, when missing."""
        place = self.file_place(path)
        with opened_folder(place, create=mode in ("w", "a")) as folder:
            try:
                # Cut only once it is known to be a regular file, hence without O_TRUNC.
                fd = os.open(place.name, (MODE_FLAGS[mode] & ~os.O_TRUNC) | FILE_FLAGS, FILE_MODE, dir_fd=folder)
            except OSError as error:
                raise explain_link(error, place.name, folder) from None
            try:
                _require_regular(fd)
                if mode == "w":
                    os.ftruncate(fd, 0)
            except BaseException:
                os.close(fd)
                raise
            return fd

    def sync_folder_of(self, path: str) -> None:
        """Make the entry of `path` in its folder durable."""
        with opened_folder(self.file_place(path), create=False) as folder:
            os.fsync(folder)

    def rename(self, old: str, new: str) -> None:
        """Rename atomically, replacing what `new` named, then sync both folders."""
        source, target = self.file_place(old), self.file_place(new)
        with opened_folder(source, create=False) as source_folder:
            os.stat(source.name, dir_fd=source_folder, follow_symlinks=False)  # before folders are made for nothing
            with opened_folder(target, create=True) as target_folder:
                os.rename(source.name, target.name, src_dir_fd=source_folder, dst_dir_fd=target_folder)
                os.fsync(target_folder)
            if (source.root, source.folders) != (target.root, target.folders):
                os.fsync(source_folder)

    def remove(self, path: str) -> None:
        """Remove a file and sync its folder."""
        place = self.file_place(path)
        with opened_folder(place, create=False) as folder:
            os.unlink(place.name, dir_fd=folder)
            os.fsync(folder)

    def names(self, path: str) -> tuple[str, ...]:
        """The names of the regular files in a folder, sorted; none when the folder is missing."""
        root, parts = self._locate(path)
        try:
            with opened_folder(Place(root, parts, ""), create=False) as folder, os.scandir(folder) as entries:
                return tuple(sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False)))
        except FileNotFoundError:
            return ()

    def file_place(self, path: str) -> Place:
        """Where a file is; raises OSError (EACCES, EINVAL) for what is not a file below an allowed folder."""
        root, parts = self._locate(path)
        if not parts or path.endswith("/"):
            raise OSError(errno.EINVAL, "the path names no file")
        return Place(root, parts[:-1], parts[-1])

    def _locate(self, path: str) -> tuple[Path, tuple[str, ...]]:
        parts = split_path(path)
        if not path.startswith("/"):
            return self.root, parts
        for root in self._roots:
            above = root.parts[1:]
            if parts[: len(above)] == above:
                return root, parts[len(above) :]
        raise OSError(errno.EACCES, f"the path is outside the data folder; give one relative to {self.root}")


@contextmanager
def opened_folder(place: Place, *, create: bool) -> Iterator[int]:
    """A descriptor of the place's folder; what `create` makes is on the disk before it is used."""
    if create:
        _make_root(place.root)
    here = os.open(place.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in place.folders:
            below = _enter(here, part, create)
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)


def explain_link(error: OSError, name: str, folder: int) -> OSError:
    """Turn the refusal of a symbolic link into a sentence; any other error stays as it is."""
    if error.errno not in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
        return error
    try:
        linked = stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return error
    if not linked:
        return error
    return OSError(errno.EACCES, f"{name!r} is a symbolic link, which is not followed below the data folder")


def _enter(folder: int, name: str, create: bool) -> int:
    try:
        return os.open(name, FOLDER_FLAGS, dir_fd=folder)
    except FileNotFoundError:
        if not create:
            raise
    except OSError as error:
        raise explain_link(error, name, folder) from None
    try:
        os.mkdir(name, FOLDER_MODE, dir_fd=folder)
        os.fsync(folder)
    except FileExistsError:  # made by another thread of ours in between
        pass
    return os.open(name, FOLDER_FLAGS, dir_fd=folder)


def _make_root(root: Path) -> None:
    if root.is_dir():
        return
    missing = [folder for folder in (root, *root.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
        parent = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)


def _require_regular(fd: int) -> None:
    mode = os.fstat(fd).st_mode
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
