"""A compiled copy of this checkout (`REGROVE_COMPILE=1`), to be measured: the checkout itself stays as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDERS: Final = ("benchmarks", "examples", "node", "regrove", "supervisor", "tests", "transport")
FILES: Final = ("setup.py", "pyproject.toml", "README.md", "LICENSE")


class NotCompiled(Exception):
    """The modules could not be compiled; the text says why, and what is needed."""


def copy_to(folder: Path) -> Path:
    """Copy what is needed to build and to run into `folder`, without what was built here."""
    ignored = shutil.ignore_patterns("__pycache__", "*.so", "build")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    return folder


def compile_in(folder: Path, level: str = "3") -> None:
    """Compile the modules where they are, which takes minutes. Raises NotCompiled."""
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    environment = {**os.environ, "REGROVE_COMPILE": "1", "REGROVE_OPTIMISE": level}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode or not any(folder.rglob("*.so")):
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it said nothing"]
        raise NotCompiled(f"regrove was not compiled ({said[0]}): that needs a C compiler and `pip install mypy`")


@contextmanager
def compiled() -> Iterator[Path]:
    """Give the folder of a compiled copy, which goes with the end. Raises NotCompiled."""
    with tempfile.TemporaryDirectory(prefix="regrove-compiled-") as name:
        print("compiling, which takes some two minutes ...", file=sys.stderr, flush=True)
        folder = copy_to(Path(name))
        compile_in(folder)
        yield folder
