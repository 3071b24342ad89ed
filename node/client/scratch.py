"""The temporary folder of a node that `regrove.start` runs; what a killed program left is swept by the next one.

Each folder holds a file `owner`, locked for as long as its program lives: a lock ends with its holder, however that
dies. A folder is swept when nobody holds its lock and no manager runs in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from regrove.node.process.folders import is_locked, node_folders

PREFIX: Final = "regrove-start-"


class Scratch:
    """A fresh private folder with its lock; `remove` ends both."""

    def __init__(self) -> None:
        sweep(Path(tempfile.gettempdir()))
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._owner: int | None = os.open(self.path / "owner", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._owner, fcntl.LOCK_EX)

    def remove(self) -> None:
        """Delete the folder and everything in it. Idempotent."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._owner is not None:
            os.close(self._owner)
            self._owner = None


def sweep(root: Path) -> None:
    """Delete the folders of programs that are gone; whatever cannot be judged or deleted stays."""
    with contextlib.suppress(OSError):
        for folder in sorted(root.glob(f"{PREFIX}*")):
            if _is_left(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return False
        handle = os.open(folder / "owner", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False  # none of ours, or so young that it has no owner yet
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return not any(is_locked(node) for node in node_folders(folder / "run"))
