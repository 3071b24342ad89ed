"""The command line: one thin module per command group, imported only when its command runs.

`--help` must not pay for zmq, structlog or an application, so nothing here imports them at the top.
"""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and answer its exit code; the console script and `python -m regrove` pass it to sys.exit."""
    _complete_standard_streams()
    from regrove.node.cli.failing import run
    from regrove.node.cli.group import regrove

    return run(regrove, list(sys.argv[1:] if arguments is None else arguments))


def _complete_standard_streams() -> None:
    """Open /dev/null where one of the three is closed: the first socket of a node would take its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
    given = getattr(sys.stdout, "errors", "")
    if given in ("strict", "surrogateescape") and hasattr(sys.stdout, "reconfigure"):
        # As stderr: what is told may be no text of this terminal. In the locale C names of files go out as they are.
        codecs.register_error("regrove.told", _told)
        sys.stdout.reconfigure(errors="backslashreplace" if given == "strict" else "regrove.told")


def _told(problem: UnicodeError) -> tuple[str | bytes, int]:
    try:
        return codecs.lookup_error("surrogateescape")(problem)
    except UnicodeEncodeError:
        return codecs.lookup_error("backslashreplace")(problem)
