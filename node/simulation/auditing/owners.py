"""Whose code a frame runs: the application's, a library's, or ours; and which line of the application is to blame."""

from __future__ import annotations

import sysconfig
from enum import Enum
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

import regrove

CALLERS: Final = ("regrove.node.core.", "regrove.node.simulation.offloads")  # what calls an application inside a run
HARMLESS: Final = ("logging", "structlog", "warnings", "traceback", "linecache", "importlib", "_frozen_importlib")


class Owner(Enum):
    """Whose a frame is. `HARMLESS` are libraries that read clocks and files without telling the application."""

    OURS = "ours"
    APPLICATION = "application"
    LIBRARY = "library"
    HARMLESS = "harmless"


class Owners:
    """Tells owners apart, and remembers them by the code that runs."""

    def __init__(self) -> None:
        paths = sysconfig.get_paths()
        self._libraries = tuple(f"{Path(paths[name]).resolve()}/" for name in ("stdlib", "platstdlib"))
        self._known: dict[CodeType, Owner] = {}
        self._ours = tuple(f"{Path(place).resolve()}/" for place in regrove.__path__)

    def of(self, frame: FrameType) -> Owner:
        """Whose code this frame runs."""
        code = frame.f_code
        owner = self._known.get(code)
        if owner is None:
            owner = self._known[code] = self._find(str(frame.f_globals.get("__name__", "")), code.co_filename)
        return owner

    def _find(self, module: str, file: str) -> Owner:
        if module.startswith("regrove.") or module == "regrove":
            return Owner.OURS
        if module.partition(".")[0] in HARMLESS:
            return Owner.HARMLESS
        return Owner.LIBRARY if self.is_library(file) else Owner.APPLICATION

    def is_library(self, file: str) -> bool:
        """Whether a file belongs to Python or to an installed package; code without a file counts as theirs."""
        if file.startswith("<") or "/site-packages/" in file or "/dist-packages/" in file:
            return True
        return file.startswith(self._libraries) or str(Path(file).resolve()).startswith(self._libraries)

    def in_a_run(self, frame: FrameType) -> bool:
        """Whether this frame of the application was called by a core, not by a test or a property of it."""
        above = frame.f_back
        while above is not None:
            if self.of(above) is Owner.OURS:
                return str(above.f_globals.get("__name__", "")).startswith(CALLERS)
            above = above.f_back
        return False

    def to_blame(self, frame: FrameType | None) -> FrameType | None:
        """The frame of the application that called down to here inside a run; None when the runtime did, or a test."""
        while frame is not None:
            match self.of(frame):
                case Owner.APPLICATION:
                    return frame if self.in_a_run(frame) else None
                case Owner.OURS | Owner.HARMLESS:
                    return None
                case Owner.LIBRARY:
                    frame = frame.f_back
        return None
