"""What is in the files of a folder of cases, read once for all processes of a run. It imports nothing of ours.

Each worker of xdist makes items of them and must make the same as the others, also the one that comes later because
another died; and cases are written all the time, by the run itself and by others beside it.
"""

from __future__ import annotations

import os
from pathlib import Path

Contents = dict[bytes, bytes | str]  # by a file's name; a text says why it cannot be read


def contents_of(folder: Path) -> Contents:
    """Read the case files of a folder, by name. Where the folder itself cannot be read, that is said of the name ""."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".json"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as problem:
        return {b"": problem.strerror or str(problem)}
    return {os.fsencode(name): _content(folder / name) for name in names}


def _content(path: Path) -> bytes | str:
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            return "it is no regular file"  # reading a pipe would wait for ever
        return path.read_bytes()
    except OSError as problem:
        return problem.strerror or str(problem)
