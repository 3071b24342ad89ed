"""Ctrl-C while the `regrove` command still imports itself: it ends with 130 as it does later, and not with a traceback.

Only for that command (`python -m regrove`, or a program named regrove): who imports this package gets the interrupt.
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import pairwise
from types import FrameType
from typing import Final, NoReturn

INTERRUPTED: Final = 130


def is_the_command() -> bool:
    """Tell whether this process was started as `regrove ...` or `python -m regrove ...`."""
    program = sys.argv[0] if getattr(sys, "argv", None) else ""  # a Python inside another program may have none
    given = sys.orig_argv
    if (
        program != "-m"
    ):  # a worker process of multiprocessing says that it is its parent's program, and was not given it
        return os.path.basename(program) == "regrove" and program in given
    return "-mregrove" in given or any(pair == ("-m", "regrove") for pair in pairwise(given))


def end_at_interrupt() -> None:
    """Let SIGINT end this process at once; one that is ignored, as in the background of a script, stays ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_at_interrupt() -> None:
    """From here on somebody catches KeyboardInterrupt: SIGINT raises it again."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    os._exit(INTERRUPTED)  # nothing was begun that would have to be undone
