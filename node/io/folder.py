"""The data folder of a core: paths that cannot leave it, and folders that are on the disk before their files.

Every function here may block and runs on a file thread. Paths are walked by descriptor, component by component, and no
symbolic link below the data folder is followed, so nothing can be swapped between the check and the use.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

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
    """The components of a relative path; raises OSError (EINVAL, EACCES) for one that could leave the folder."""
    if not isinstance(path, str) or "\0" in path:
        raise OSError(errno.EINVAL, "a path is a str without NUL")
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise OSError(errno.EINVAL, "the path does not encode as a file name") from None
    if path.startswith("/"):
        raise OSError(errno.EACCES, "the path is absolute; give one relative to the core's data folder")
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if ".." in parts:
        raise OSError(errno.EACCES, "the path has '..'; files live below the core's data folder")
    return parts


def split_file_path(path: str) -> tuple[tuple[str, ...], str]:
    """The folders and the name of a file."""
    parts = split_path(path)
    if not parts or path.endswith("/"):
        raise OSError(errno.EINVAL, "the path names no file")
    return parts[:-1], parts[-1]


class DataFolder:
    """`root` is made with mode 0700 when the first file needs it."""

    __slots__ = ("root",)

    def __init__(self, root: Path) -> None:
        self.root = root

    def open_file(self, path: str, mode: str) -> int:
        """Open a regular file and return its descriptor; `w` and `a` make it, and its folders, when missing."""
        folders, name = split_file_path(path)
        with self.folder(folders, create=mode in ("w", "a")) as folder:
            try:
                # Cut only once it is known to be a regular file, hence without O_TRUNC.
                fd = os.open(name, (MODE_FLAGS[mode] & ~os.O_TRUNC) | FILE_FLAGS, FILE_MODE, dir_fd=folder)
            except OSError as error:
                raise explain_link(error, name, folder) from None
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
        folders, _name = split_file_path(path)
        with self.folder(folders, create=False) as folder:
            os.fsync(folder)

    def rename(self, old: str, new: str) -> None:
        """Rename atomically, replacing what `new` named, then sync both folders."""
        old_folders, old_name = split_file_path(old)
        new_folders, new_name = split_file_path(new)
        with self.folder(old_folders, create=False) as source:
            os.stat(old_name, dir_fd=source, follow_symlinks=False)  # before folders are made for nothing
            with self.folder(new_folders, create=True) as target:
                os.rename(old_name, new_name, src_dir_fd=source, dst_dir_fd=target)
                os.fsync(target)
            if old_folders != new_folders:
                os.fsync(source)

    def remove(self, path: str) -> None:
        """Remove a file and sync its folder."""
        folders, name = split_file_path(path)
        with self.folder(folders, create=False) as folder:
            os.unlink(name, dir_fd=folder)
            os.fsync(folder)

    def names(self, path: str) -> tuple[str, ...]:
        """The names of the regular files in a folder, sorted; none when the folder is missing."""
        try:
            with self.folder(split_path(path), create=False) as folder, os.scandir(folder) as entries:
                return tuple(sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False)))
        except FileNotFoundError:
            return ()

    @contextmanager
    def folder(self, parts: tuple[str, ...], *, create: bool) -> Iterator[int]:
        """A descriptor of the folder `parts` below the root; what `create` makes is on the disk before it is used."""
        if create:
            _make_root(self.root)
        here = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
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
