"""Stacks of a core that may be stuck: asked for by a signal, written by faulthandler, read here.

faulthandler's handler is C and needs no GIL, so that a core shows its stack also while C code holds the GIL for ever.
The dump goes to a memfd the manager made; where the user's own code stands in it is found by `place_of` [pure].
"""

from __future__ import annotations

import faulthandler
import os
import re
import signal
import sysconfig
import time
from pathlib import Path
from typing import Final

from regrove.node import core as _core_package
from regrove.node.process.page import read_all
from regrove.records import dataclass

DUMP_SIGNAL: Final = signal.SIGRTMIN + 3
DUMP_BYTES_MAX: Final = 64 * 1024
DUMP_LIMIT_S: Final = 0.1  # a dump takes 2-3 ms; a core that gets no CPU takes longer and may miss it
DUMP_STEP_S: Final = 0.002
STACK_LINES_MAX: Final = 60
_FRAME: Final = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.*)')


@dataclass(frozen=True, slots=True)
class Frame:
    """One line of a stack."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"


@dataclass(frozen=True, slots=True)
class Stack:
    """Where the main thread of a core stands, innermost frame first; empty when it could not be seen."""

    frames: tuple[Frame, ...] = ()
    place: Frame | None = None  # the user's own line, or the nearest to it

    @property
    def text(self) -> str:
        """All of it, a line a frame."""
        return "\n".join(str(frame) for frame in self.frames[:STACK_LINES_MAX])


class Code:
    """Knows whose code a file is: this package's, Python's own or installed, or the user's.

    `processes` is the folder of what runs managers, zygotes and cores.
    """

    def __init__(self, ours: tuple[str, ...], libraries: tuple[str, ...], processes: str) -> None:
        self._ours = ours
        self._libraries = libraries
        self._processes = processes

    @classmethod
    def here(cls) -> Code:
        """As installed on this machine."""
        node = Path(_core_package.__file__).resolve().parent.parent
        ours = [node, node.parent / "supervisor", node.parent / "transport", node.parent / "regrove"]
        paths = sysconfig.get_paths()
        libraries = {os.path.realpath(paths[key]) for key in ("stdlib", "platstdlib", "purelib", "platlib")}
        ends = tuple(f"{folder}/" for folder in ours), tuple(f"{folder}/" for folder in sorted(libraries))
        return cls(*ends, f"{node}/process/")

    def called(self, frames: tuple[Frame, ...]) -> tuple[Frame, ...]:
        """What a process of ours has called: a forked one has the command that started its manager below that."""
        for at in range(len(frames) - 1, -1, -1):
            if os.path.realpath(frames[at].file).startswith(self._processes):
                return frames[:at]
        return frames

    def is_ours(self, file: str) -> bool:
        """Tell whether it is a part of regrove."""
        return os.path.realpath(file).startswith(self._ours)

    def is_library(self, file: str) -> bool:
        """Tell whether it is Python's own or an installed package."""
        return file.startswith("<") or os.path.realpath(file).startswith(self._libraries)


def main_stack(dump: str, code: Code) -> Stack:
    """Find the main thread in faulthandler's text; what it cannot be found in is an empty Stack."""
    blocks: list[list[Frame]] = []
    for row in dump.splitlines():
        if row.startswith(("Thread 0x", "Current thread 0x", "Stack (")):
            blocks.append([])
        elif blocks and (found := _FRAME.fullmatch(row)) is not None:
            blocks[-1].append(Frame(found["file"], int(found["line"]), found["function"]))
    # The main thread was made first and is listed last.
    frames = tuple(blocks[-1]) if blocks else ()
    return Stack(frames, place_of(frames, code))


def place_of(frames: tuple[Frame, ...], code: Code) -> Frame | None:
    """The line a person looks for: the user's innermost.

    When all of it is installed code (an application may be) it is the first one above regrove's own: the handler.
    """
    called = code.called(frames)
    for frame in called:
        if not code.is_ours(frame.file) and not code.is_library(frame.file):
            return frame
    inside = len(called) < len(frames)
    for frame in reversed(called):
        ours = code.is_ours(frame.file)
        if inside and not ours and not frame.file.startswith("<"):
            return frame
        inside = inside or ours
    return frames[0] if frames else None


def arm(manager_pid: int, fd: int) -> None:
    """Let this process answer DUMP_SIGNAL, and leave its last stack when it dies of a fault; raises OSError."""
    descriptor = os.open(f"/proc/{manager_pid}/fd/{fd}", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    faulthandler.enable(descriptor)
    faulthandler.register(DUMP_SIGNAL, descriptor, all_threads=True, chain=False)


def ask(pidfd: int, fd: int) -> str:
    """Ask an armed core for its stack; empty when none came in time. Sleeps 4 ms or more, off the main loop."""
    prompt(pidfd, fd)
    end = time.monotonic() + DUMP_LIMIT_S
    size = 0
    while time.monotonic() < end:
        time.sleep(DUMP_STEP_S)
        grown = os.fstat(fd).st_size
        if grown and grown == size:
            break
        size = grown
    return left(fd)


def prompt(pidfd: int, fd: int) -> None:
    """Ask for a stack without waiting: `left` has it a few ms later. One that is not armed yet ends of it."""
    os.ftruncate(fd, 0)
    signal.pidfd_send_signal(pidfd, DUMP_SIGNAL)


def left(fd: int) -> str:
    """What a core has left in its place for dumps."""
    return read_all(fd, DUMP_BYTES_MAX).decode("utf-8", "replace")
