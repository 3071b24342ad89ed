"""The command line: one thin module per command group, imported only when its command runs.

`--help` must not pay for zmq, structlog or an application, so nothing here imports them at the top.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and answer its exit code; the console script and `python -m regrove` pass it to sys.exit."""
    from regrove.node.cli.failing import run
    from regrove.node.cli.group import regrove

    return run(regrove, list(sys.argv[1:] if arguments is None else arguments))
